"""Disks that refuse or are full: one line on stderr, and the previous checkpoint is as it was."""

import ctypes
import errno
import os
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from tests.tools import (
    CONTINUE,
    TEST,
    TRAIN,
    Outcome,
    check_refusal,
    refused,
    run,
    tree,
)


def test_checkpoint_folder_not_writable(place: Path) -> None:
    """Below a file, which not even root can write to."""
    for folder in ("data/testA/0.png", "data/testA/0.png/deeper"):
        refused("train", [*TRAIN, "--checkpoints_dir", folder], folder, "cannot be written", "--checkpoints_dir")


def test_files_where_the_folders_of_runs_and_results_are_expected(a_run: Path) -> None:
    (a_run.parent / "new").write_text("a file")
    refused("train", TRAIN, "checkpoints/new cannot be written (File exists)", "--checkpoints_dir")
    refused("train", [*TRAIN, "--continue_train"], "checkpoints/new", "nothing to continue")
    refused("test", [*TEST, "--name", "new"], "checkpoints/new/latest_net_G.pth does not exist")
    Path("results").mkdir()
    Path("results/tiny").write_text("a file")
    refused("test", TEST, "results/tiny/test_latest", "cannot be written", "--results_dir")


@pytest.fixture
def obeys_permissions() -> Iterator[None]:
    """Root, too, may not write where permissions forbid it: the thread is without CAP_DAC_OVERRIDE for a while."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # version 3; this thread
    assert libc.capget(header, sets) == 0
    effective = sets[0]
    sets[0] &= ~(1 << 1)
    assert libc.capset(header, sets) == 0
    yield
    sets[0] = effective
    assert libc.capset(header, sets) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="capabilities are of Linux")
@pytest.mark.usefixtures("obeys_permissions")
def test_checkpoint_folder_without_permission(place: Path) -> None:
    (place / "checkpoints").mkdir(mode=0o500)
    refused("train", TRAIN, "checkpoints", "Permission denied", "--checkpoints_dir")


def test_continuing_where_nothing_can_be_written(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told before the training, not at its first save."""

    def full(dir: Path) -> None:
        raise OSError(errno.EACCES, "Permission denied", str(dir))

    monkeypatch.setattr("coopcut.engine.run.TemporaryFile", full)
    refused("train", CONTINUE, "checkpoints/tiny cannot be written (Permission denied)", "--checkpoints_dir")


def test_output_among_the_input(a_run: Path) -> None:
    """It would be input of the next run."""
    refused("test", [*TEST, "--results_dir", "data/testA/out"], "--results_dir data/testA/out is inside data/testA")
    single = [*TEST, "--dataset_mode", "single", "--dataroot", "data/testA", "--results_dir", "data/testA"]
    refused("test", single, "is inside data/testA", "outside")
    for domain in "AB":
        inside = ["--checkpoints_dir", f"data/train{domain}/runs"]
        refused("train", [*TRAIN, *inside], f"runs is inside data/train{domain}", "name a folder outside of it")
    assert run("test", *TEST, "--results_dir", "data/out").code == 0


def test_results_folder_not_writable(a_run: Path) -> None:
    folder = "data/trainA/0.png"
    refused("test", [*TEST, "--results_dir", folder], folder, "cannot be written", "--results_dir")


class FullDisk:
    """A file that takes no byte."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> int:
        self.file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(params=["every file", "the last file"])
def full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for checkpoints, or none for the last of their files, the full state."""
    opened = Path.open

    def open_full(self: Path, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        file = opened(self, mode, *arguments, **keywords)
        full = "_state." in self.name if request.param == "the last file" else ".pth" in self.name
        return FullDisk(file) if mode == "wb" and full else file

    monkeypatch.setattr(Path, "open", open_full)


def check_previous_checkpoint_is_whole(a_run: Path, before: dict[str, bytes | None], outcome: Outcome) -> None:
    check_refusal(outcome, ("could not be written", "the previous checkpoint is unchanged", "--continue_train"))
    after = tree(a_run)
    weights = [name for name in before if name.endswith(".pth")]
    assert len(weights) == 4
    assert {name: after[name] for name in weights} == {name: before[name] for name in weights}
    assert sorted(name for name in after if ".pth" in name or "tmp" in name) == sorted(weights)


@pytest.mark.usefixtures("full_disk")
def test_disk_full_while_saving(a_run: Path) -> None:
    before = tree(a_run)
    outcome = run("train", *CONTINUE, "--no_html")
    assert "No space left on device" in outcome.err
    check_previous_checkpoint_is_whole(a_run, before, outcome)


def test_training_goes_on_when_there_is_room_again(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        check_refusal(run("train", *CONTINUE, "--no_html"), ("checkpoints/tiny/", "could not be written"))
    outcome = run("train", *CONTINUE, "--no_html")
    assert (outcome.code, outcome.err) == (0, "")
    assert "step 2" in outcome.out
    assert torch.load(a_run / "latest_state.pth", weights_only=True)["position"]["step"] == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_is_really_full(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:  # after the leftovers of a killed save were removed
        (folder / f".latest_state.pth.{os.getpid()}.tmp").symlink_to("/dev/full")

    before = tree(a_run)
    monkeypatch.setattr("coopcut.engine.run.finish_writing", full)
    outcome = run("train", *CONTINUE, "--no_html")
    assert "latest_state.pth" in outcome.err
    assert "No space left on device" in outcome.err
    check_previous_checkpoint_is_whole(a_run, before, outcome)


@pytest.fixture
def small_files(a_run: Path) -> Iterator[None]:
    """The system refuses to let a file grow beyond what the weights need; the full state needs more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_file_that_the_system_refuses_to_enlarge(a_run: Path) -> None:
    before = tree(a_run)
    outcome = run("train", *CONTINUE, "--no_html")
    assert "File too large" in outcome.err
    check_previous_checkpoint_is_whole(a_run, before, outcome)


def test_checkpoint_folder_removed_while_training(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = os.fsync

    def remove(descriptor: int) -> None:
        synced(descriptor)
        shutil.rmtree(place / "checkpoints", ignore_errors=True)

    monkeypatch.setattr(os, "fsync", remove)
    outcome = run("train", *TRAIN, "--no_html")
    check_refusal(outcome, ("checkpoints/new", "cannot be written"))
