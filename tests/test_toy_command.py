"""datasets/make_toy.py as a command: what it refuses, and what a second call does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coopcut.datasets import make_toy
from tests.tools import tree


def fails(argv: list[str], capsys: pytest.CaptureFixture) -> str:
    """Run the command line, assert exit code 2 and one line on stderr, and return that line."""
    try:
        code = make_toy.main(argv)
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.startswith("make_toy.py: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--size", "15"], "--size"),
        (["--size", "4000"], "--size"),
        (["--size", "x"], "--size"),
        (["--train", "-1"], "--train"),
        (["--test", "-3"], "--test"),
        (["--seed", "-1"], "--seed"),
        (["--train", "0", "--test", "0"], "--train"),
    ],
)
def test_bad_arguments_write_nothing(
    flags: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert word in fails(["--out", str(tmp_path / "new"), *flags], capsys)
    assert list(tmp_path.iterdir()) == []


def test_out_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("mine")
    before = tree(tmp_path)
    assert "is a file" in fails(["--out", str(tmp_path / "file")], capsys)
    assert "--out: cannot write" in fails(["--out", str(tmp_path / "file" / "below")], capsys)
    assert "no toy data set" in fails(["--out", str(tmp_path / "photos"), "--force"], capsys)
    assert tree(tmp_path) == before


def test_count_of_missing_folders(small_toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert "is not a folder" in fails(["--count", str(tmp_path / "no"), "--out", str(small_toy)], capsys)
    assert "no file in" in fails(["--count", str(tmp_path), "--out", str(small_toy)], capsys)
    assert "no toy data set" in fails(["--count", str(tmp_path), "--out", str(tmp_path)], capsys)
    (tmp_path / "00001.png").write_text("not an image")
    assert "cannot read the image" in fails(["--count", str(tmp_path), "--out", str(small_toy)], capsys)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version": 1', '"version": 0', "version 0"),
        ('"split": "test"', '"split": "?"', "damaged"),
        ('"files"', '"files', "damaged"),
        ('"generator": "make_toy"', '"generator": "other"', "not written by"),
    ],
)
def test_count_of_a_damaged_record(
    old: str, new: str, message: str, small_toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "looks.json").write_text((small_toy / "looks.json").read_text().replace(old, new))
    (tmp_path / "testB").symlink_to(small_toy / "testB")
    assert message in fails(["--count", str(small_toy / "testB"), "--out", str(tmp_path)], capsys)


def test_second_call_writes_nothing_and_other_arguments_need_force(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "deep" / "data"
    argv = ["--out", str(out), "--size", "16", "--train", "2", "--test", "1"]
    assert make_toy.main(argv) == 0
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    capsys.readouterr()
    assert make_toy.main(argv) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == stamps
    changed = [*argv[:4], "--train", "1", "--test", "1"]
    assert "--force" in fails(changed, capsys)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == stamps
    (out / "trainA" / "mine.txt").write_text("stays")
    assert make_toy.main([*changed, "--force"]) == 0
    assert sorted(p.name for p in (out / "trainA").iterdir()) == ["00000.png", "mine.txt"]
    assert json.loads((out / "looks.json").read_text())["train"] == 1
    assert not list(tmp_path.rglob(".*"))


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """Of processes that are gone only, beside a new folder or in an empty one; the one of a running process stays."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    out = tmp_path / "da[t]a"
    beside, inside = tmp_path / f".da[t]a.part{gone.pid}", out / f".da[t]a.part{gone.pid}"
    running = tmp_path / f".da[t]a.part{os.getppid()}"
    for folder in (beside, inside, running):
        (folder / "trainA").mkdir(parents=True)
    assert make_toy.main(["--out", str(out), "--size", "16", "--train", "1", "--test", "0"]) == 0
    assert [folder.exists() for folder in (beside, inside, running)] == [False, False, True]
    assert (out / "looks.json").is_file()


def test_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def stop(*settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("coopcut.datasets.toy.store.draw_layers", stop)
    out = tmp_path / "data"
    assert make_toy.main(["--out", str(out), "--size", "16", "--train", "1", "--test", "0"]) == 130
    assert capsys.readouterr().err == "make_toy.py: error: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_runs_as_a_script(tmp_path: Path) -> None:
    script = Path(make_toy.__file__)
    argv = [sys.executable, str(script), "--out", "data", "--size", "16", "--train", "1", "--test", "0"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("data: 2 training and 0 test images of 16 px")
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["looks.json", "testA", "testB", "trainA", "trainB"]
