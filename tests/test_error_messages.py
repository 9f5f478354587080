"""What the scripts make of errors: one line on stderr, but mistakes in the code keep their traceback."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import CONTINUE, ROOT, TINY, Outcome, RunsCode, check_refusal, run, tree

# -- what the scripts make of errors ----------------------------------------------------------------------------------


def test_mistakes_in_the_code_keep_their_traceback(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr("coopcut.models.cut.CUT.step", fail)
    with pytest.raises(RuntimeError, match="a mistake"):
        run("train", *CONTINUE)


def test_paths_that_no_terminal_can_show(place: Path) -> None:
    """A file name that is not UTF-8 in messages on stdout, in the name of the run, and on its page."""
    root = place / os.fsdecode(b"caf\xe9")
    try:
        (place / "data").rename(root)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    outcome = run("train", "--dataroot", root, *TINY, "--max_iters", 1)
    assert (outcome.code, outcome.err) == (0, "")
    assert "caf\\udce9_cut" in outcome.out
    assert (place / "checkpoints" / os.fsdecode(b"caf\xe9_cut") / "latest_net_G.pth").is_file()
    (root / "trainA" / "0.png").write_bytes(b"")
    check_refusal(run("train", "--dataroot", root, "--name", "b", *TINY), ("caf\\udce9/trainA/0.png: empty file",))


# -- as separate programs ---------------------------------------------------------------------------------------------


def test_one_line_on_the_real_stderr(place: Path) -> None:
    """Nothing of torch, warnings or tracebacks comes with it; the pickle's warning is the loudest of them."""
    folder = place / "checkpoints" / "evil"
    folder.mkdir(parents=True)
    (folder / "latest_net_G.pth").write_bytes(pickle.dumps(RunsCode(), protocol=4))
    before = tree(place)
    command = [sys.executable, str(ROOT / "test.py"), "--dataroot", "data", "--name", "evil", "--gpu_ids", "-1"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    check_refusal(Outcome(done.returncode, done.stdout, done.stderr), ("evil/latest_net_G.pth", "could run code"))
    assert done.stderr.startswith("test.py: error: ")
    assert tree(place) == before
