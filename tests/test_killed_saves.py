"""A training killed at any rename of a save goes on when it is started again, and loses nothing."""

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from coopcut.data.held_out import HeldOut
from coopcut.engine.checkpoint.files import READY, finish_writing, has_state, write_files
from tests.tools import TINY, make_images, run
from tests.training import same

FLAGS = ["--name", "r", *TINY, "--display_id", 0, "--no_html", "--num_threads", 0, "--auto_resume"]
EPOCHS = ["--n_epochs", 2, "--n_epochs_decay", 0, "--save_epoch_freq", 1, "--eval_freq", 1, "--eval_num", 2]
SAVED = 6  # renames of a save of three networks: their weights, the options, and the state in two steps


def killed_at(rename: int, argv: list[str]) -> None:
    """Train, until it is renamed for the `rename`-th time."""
    done, replace = 0, os.replace

    def counting(source: Any, target: Any) -> None:
        nonlocal done
        if Path(target).parent.name == "r" and Path(target).suffix in (".pth", ".json", READY):
            done += 1
        replace(source, target)
        if done == rename:
            os._exit(9)

    os.replace = counting  # type: ignore[assignment]
    os._exit(train.main(argv))


def kill_and_go_on(folder: Path, rename: int, flags: list[Any]) -> tuple[int, dict[str, Any]]:
    """How often a training in `folder` was killed, and its state in the end."""
    argv = [str(word) for word in [*FLAGS, *flags, "--checkpoints_dir", folder]]
    process = multiprocessing.get_context("fork").Process(target=killed_at, args=(rename, argv))
    process.start()
    process.join()
    outcome = run("train", *argv)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert [path.name for path in (folder / "r").glob(".*")] == []
    return int(process.exitcode == 9), torch.load(folder / "r/latest_state.pth", weights_only=True)


@pytest.mark.parametrize("rename", range(2, SAVED + 3))  # the first one is that of the options, at the start
def test_first_save(place: Path, rename: int) -> None:
    flags = ["--dataroot", place / "data", "--max_iters", 2, "--save_latest_freq", 1]
    whole = run("train", *FLAGS, *flags, "--checkpoints_dir", place / "whole")
    assert whole.code == 0
    kills, state = kill_and_go_on(place / "killed", rename, flags)
    assert kills == 1
    same(state["model"], torch.load(place / "whole/r/latest_state.pth", weights_only=True)["model"])


@pytest.mark.parametrize("kill", [0, 1, 4, 8])
def test_end_of_an_epoch(place: Path, kill: int) -> None:
    """Its evaluation, the best weights and those of the epoch are one save: none is left out."""
    make_images(place / "data" / "testB", 3, 40)
    flags = ["--dataroot", place / "data", *EPOCHS]
    assert run("train", *FLAGS, *flags, "--checkpoints_dir", place / "whole").code == 0
    kills, state = kill_and_go_on(place / "killed", 2 + kill, flags)
    assert kills == 1
    for name in sorted(path.name for path in (place / "whole/r").glob("*.pth")):
        whole, killed = (torch.load(place / at / "r" / name, weights_only=True) for at in ("whole", "killed"))
        same(whole, killed, name) if "net" in name else same(whole["model"], state["model"])
    lines = [json.loads(line) for line in (place / "killed/r/metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]


def test_a_save_is_finished_or_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before all is written it leaves the old files; after that, the new ones."""
    replace = os.replace

    class Kill(BaseException):
        pass

    def fail_at(number: int) -> Callable[[Any, Any], None]:
        def counting(source: Any, target: Any, done: list[int] = []) -> None:  # noqa: B006
            if len(done) == number:
                raise Kill
            done.append(1)
            replace(source, target)

        return counting

    monkeypatch.setattr(Path, "unlink", lambda *arguments, **how: None)  # of a killed process nothing is removed
    contents = {"a_net_G.pth": {"x": torch.ones(1)}, "options.json": b"{}", "latest_state.pth": {"y": 1}}
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "options.json").write_bytes(b"old")
        monkeypatch.setattr(os, "replace", fail_at(number))
        with pytest.raises(Kill):
            write_files(folder, contents)
        monkeypatch.setattr(os, "replace", replace)
        assert has_state(folder) == (number > 0)
        with monkeypatch.context() as patch:
            patch.undo()
            finish_writing(folder)
        assert (folder / "options.json").read_bytes() == (b"{}" if number else b"old")
        assert (folder / "latest_state.pth").is_file() == (number > 0)
        assert list(folder.glob(".*")) == [] or not number


def test_an_evaluation_that_waits_is_done_when_training_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of held-out images does not answer; SIGTERM comes; later all is as if it had answered."""
    make_images(place / "data" / "testB", 3, 40)
    flags = [*FLAGS, "--dataroot", place / "data", *EPOCHS, "--checkpoints_dir"]
    assert run("train", *flags, "whole").code == 0
    read, reads = HeldOut.read, []

    def hangs(held_out: HeldOut, domain: str, index: int) -> torch.Tensor:
        reads.append(domain)
        if domain == "A" and reads.count("A") == 4:  # two at the start, one of the first evaluation
            os.kill(os.getpid(), 15)
            raise AssertionError("the signal is answered at once")
        return read(held_out, domain, index)

    with monkeypatch.context() as patch:
        patch.setattr(HeldOut, "read", hangs)
        outcome = run("train", *flags, "parts")
    assert outcome.code == 143, outcome
    state = torch.load("parts/r/latest_state.pth", weights_only=True)
    assert (state["unfinished"], state["best"]) == (1, {})
    assert not Path("parts/r/1_net_G.pth").exists()
    assert run("train", *flags, "parts").code == 0
    names = sorted(path.name for path in Path("whole/r").glob("*.pth"))
    assert names == sorted(path.name for path in Path("parts/r").glob("*.pth"))
    for name in names:
        if "net" in name:
            whole, parts = (torch.load(Path(at, "r", name), weights_only=True) for at in ("whole", "parts"))
            same(whole, parts, name)
    assert Path("parts/r/metrics.jsonl").read_text() == Path("whole/r/metrics.jsonl").read_text()
