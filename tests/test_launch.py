"""Whether a process is one of several, from the environment; what the scripts say where that is not clear."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from coopcut.util.errors import OptionError
from coopcut.util.launch import NUMBERS, Place, find_place, without_local_rank
from tests.project import ROOT
from tests.tools import TINY, check_refusal, refused, run

AT = "MASTER_ADDR=node1 MASTER_PORT=29500"
TWO = f"WORLD_SIZE=2 {AT}"
FOUR = f"RANK=3 WORLD_SIZE=4 {AT}"


def environment(text: str) -> dict[str, str]:
    """Variables as a shell reads them."""
    return {name: value for name, _, value in (word.partition("=") for word in shlex.split(text))}


@pytest.mark.parametrize(
    ("variables", "expected"),
    {
        "": Place(),
        "RANK= WORLD_SIZE=' ' LOCAL_RANK=": Place(),
        "WORLD_SIZE=1": Place(),
        "RANK=0 WORLD_SIZE=1": Place(),
        "RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1 MASTER_ADDR=a MASTER_PORT=x PEER_TIMEOUT=x": Place(),
        "RANK=0 WORLD_SIZE=1 LOCAL_RANK=0": Place(),
        AT: Place(),
        "SLURM_PROCID=3 SLURM_NTASKS=4 SLURM_LOCALID=3": Place(),
        "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 PMI_RANK=1 PMI_SIZE=2 MV2_COMM_WORLD_RANK=1": Place(),
        "TORCHELASTIC_RESTART_COUNT=2": Place(),  # torchrun sets WORLD_SIZE too
        "RANK=0 WORLD_SIZE=1 TORCHELASTIC_RESTART_COUNT=2": Place(restarts=2),
        f"RANK=1 {TWO}": Place(1, 2, 0, 1, "node1", 29500),  # one process a machine
        f"RANK=' 1 ' {TWO} PEER_TIMEOUT=2.5": Place(1, 2, 0, 1, "node1", 29500, timeout=2.5),
        f"{FOUR} LOCAL_RANK=1 LOCAL_WORLD_SIZE=2": Place(3, 4, 1, 2, "node1", 29500),
        f"{FOUR} LOCAL_RANK=3 LOCAL_WORLD_SIZE=4 TORCHELASTIC_RESTART_COUNT=1": Place(3, 4, 3, 4, "node1", 29500, 1),
        f"{FOUR} PEER_TIMEOUT= TORCHELASTIC_RESTART_COUNT=": Place(3, 4, 0, 1, "node1", 29500),
    }.items(),
)
def test_clear_places(variables: str, expected: Place) -> None:
    assert find_place(environment(variables)) == expected


@pytest.mark.parametrize(
    ("variables", "fault"),
    {
        "RANK=0": "RANK is set and WORLD_SIZE is not (RANK=0): ",
        "RANK=1 WORLD_SIZE=": "RANK is set and WORLD_SIZE is not (RANK=1): ",
        f"RANK=1 {AT}": f"RANK is set and WORLD_SIZE is not (RANK=1, {AT.replace(' ', ', ')}): ",
        "LOCAL_RANK=0": "LOCAL_RANK is set and WORLD_SIZE is not (LOCAL_RANK=0): ",
        "LOCAL_WORLD_SIZE=1": "LOCAL_WORLD_SIZE is set and WORLD_SIZE is not ",
        "WORLD_SIZE=2": "WORLD_SIZE is set and RANK is not (WORLD_SIZE=2): ",
        f"RANK='' {TWO}": "WORLD_SIZE is set and RANK is not ",
        "RANK=3 WORLD_SIZE=1": "RANK is not below WORLD_SIZE (RANK=3, WORLD_SIZE=1): ",
        f"RANK=2 {TWO}": "RANK is not below WORLD_SIZE ",
        f"RANK=-1 {TWO}": "RANK is not a whole number of 0 or more (RANK=-1, ",
        f"RANK=1.0 {TWO}": "RANK is not a whole number of 0 or more ",
        f"RANK=one {TWO}": "RANK is not a whole number of 0 or more (RANK=one, ",
        f"RANK=+1 {TWO}": "RANK is not a whole number of 0 or more ",
        f"RANK=1_0 {TWO}": "RANK is not a whole number of 0 or more ",
        f"RANK=१ {TWO}": "RANK is not a whole number of 0 or more ",
        f"RANK={'9' * 5000} {TWO}": f"RANK is not a whole number of 0 or more (RANK={'9' * 60}..., ",
        "RANK=0 WORLD_SIZE=0": "WORLD_SIZE is not a whole number of 1 or more ",
        "RANK=0 WORLD_SIZE=two": "WORLD_SIZE is not a whole number of 1 or more (RANK=0, WORLD_SIZE=two): ",
        "RANK=0 WORLD_SIZE='1 1'": "WORLD_SIZE is not a whole number of 1 or more (RANK=0, WORLD_SIZE='1 1'): ",
        "RANK=0 WORLD_SIZE=1 LOCAL_RANK=1": "LOCAL_RANK is not below WORLD_SIZE ",
        "RANK=0 WORLD_SIZE=1 LOCAL_WORLD_SIZE=2": "LOCAL_WORLD_SIZE is above WORLD_SIZE ",
        "WORLD_SIZE=1 LOCAL_RANK=-1": "LOCAL_RANK is not a whole number of 0 or more ",
        f"{FOUR} LOCAL_RANK=1": "LOCAL_RANK is set and LOCAL_WORLD_SIZE is not ",
        f"{FOUR} LOCAL_WORLD_SIZE=1": "LOCAL_WORLD_SIZE is set and LOCAL_RANK is not ",
        f"{FOUR} LOCAL_RANK=2 LOCAL_WORLD_SIZE=2": "LOCAL_RANK is not below LOCAL_WORLD_SIZE ",
        f"{FOUR} LOCAL_RANK=0 LOCAL_WORLD_SIZE=8": "LOCAL_WORLD_SIZE is above WORLD_SIZE ",
        f"RANK=0 {TWO} LOCAL_RANK=1 LOCAL_WORLD_SIZE=2": "LOCAL_RANK is above RANK (RANK=0, ",
        f"RANK=1 WORLD_SIZE=4 {AT} LOCAL_RANK=2 LOCAL_WORLD_SIZE=4": "LOCAL_RANK is above RANK ",
        "RANK=1 WORLD_SIZE=2": "WORLD_SIZE is above 1 and MASTER_ADDR is not set ",
        "RANK=1 WORLD_SIZE=2 MASTER_ADDR=a": "WORLD_SIZE is above 1 and MASTER_PORT is not set ",
        "RANK=1 WORLD_SIZE=2 MASTER_ADDR='a b' MASTER_PORT=1": "MASTER_ADDR contains a space ",
        "RANK=1 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=http": "MASTER_PORT is not a whole number from 1 to 65535 ",
        "RANK=1 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=70000": "MASTER_PORT is not a whole number from 1 to 65535 ",
        "RANK=1 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=0": "MASTER_PORT is not a whole number from 1 to 65535 ",
        **{f"RANK=1 {TWO} PEER_TIMEOUT={value}": f"PEER_TIMEOUT={value} is not a number of seconds from 0.001 to "
           for value in ("0", "-5", "nan", "inf", "soon", "1e30", "1e-9")},
        "TORCHELASTIC_RESTART_COUNT=x": "TORCHELASTIC_RESTART_COUNT=x is not a whole number of 0 or more: unset it",
        f"{FOUR} TORCHELASTIC_RESTART_COUNT=-1": "TORCHELASTIC_RESTART_COUNT=-1 is not a whole number of 0 or more",
    }.items(),
)  # fmt: skip
def test_unclear_places(variables: str, fault: str) -> None:
    with pytest.raises(OptionError) as caught:
        find_place(environment(variables))
    assert str(caught.value).startswith(fault)
    if "unset" not in str(caught.value):
        set_here = [name for name in NUMBERS if name in environment(variables)]
        assert f"put 'env {' '.join(f'-u {name}' for name in set_here)}' before" in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "local", "rest"),
    [
        (["--local-rank=1", "--name", "r"], 1, ["--name", "r"]),
        (["--local_rank=0", "--name", "r"], 0, ["--name", "r"]),
        (["--name", "r", "--local_rank", "1", "--local-rank", "1"], 1, ["--name", "r"]),
        (["--name=--local-rank=1"], 0, ["--name=--local-rank=1"]),
        (["--local-rank=1"], 0, None),
        (["--local-rank=-1"], 0, None),
        (["--local_rank", "x"], 0, None),
        (["--local-rank"], 0, None),
    ],
)
def test_local_rank_says_what_the_environment_says(argv: list[str], local: int, rest: list[str] | None) -> None:
    here = Place(local, 2, local, 2, "node1", 29500) if local else Place()
    if rest is not None:
        assert without_local_rank(argv, here) == rest
        return
    with pytest.raises(OptionError, match=r"^--local.rank .*: this process is alone; leave --local.rank out, "):
        without_local_rank(argv, here)


def test_local_rank_of_another_process() -> None:
    with pytest.raises(OptionError, match=r"^--local-rank 0: the environment says LOCAL_RANK=1; "):
        without_local_rank(["--local-rank=0"], Place(1, 2, 1, 2, "node1", 29500))


@pytest.mark.parametrize("script", ["train", "test", "evaluate"])
def test_a_rank_without_a_size_is_refused(script: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    refused(script, ["--name", "r"], "RANK=1", "WORLD_SIZE is not", "env -u RANK")
    refused(script, ["--help"], "RANK=1")


def test_alone_in_a_launcher_or_a_job_a_run_is_saved(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment("RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1 SLURM_PROCID=1").items():
        monkeypatch.setenv(name, value)
    outcome = run("train", "--local-rank=0", "--dataroot", "data", "--name", "r", *TINY, "--max_iters", 1)
    assert (outcome.code, outcome.err) == (0, "")
    assert Path("checkpoints/r/latest_net_G.pth").is_file()


def test_the_others_of_a_run_leave_the_files_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(f"RANK=1 {TWO}").items():
        monkeypatch.setenv(name, value)
    assert find_place().rank == 1  # also before they have met
    monkeypatch.setenv("RANK", "0")
    assert find_place().rank == 0


def test_evaluate_works_in_one_process(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(f"RANK=1 {TWO}").items():
        monkeypatch.setenv(name, value)
    outcome = run("evaluate", "--real", "data/testA", "--fake", "data/testB")
    cure = "this script runs as a single process: start it without torchrun, or put 'env -u RANK -u WORLD_SIZE' before"
    check_refusal(outcome, ("process 1 of 2", cure))


@pytest.mark.parametrize("host", ["localhost", "nohost.invalid"])
def test_others_that_do_not_come_are_one_line(host: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens on port 1. This process alone can say it."""
    several = f"RANK=1 WORLD_SIZE=2 MASTER_ADDR={host} MASTER_PORT=1 PEER_TIMEOUT=0.2"
    for name, value in environment(several).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("coopcut.engine.processes.peers.PATIENCE", 0.05)
    outcome = run("test", "--name", "r", "--dataroot", "data")
    assert outcome.code == 2
    waiting, error = outcome.err.splitlines()
    assert waiting.startswith(
        "warning: process 1 of 2 (RANK, WORLD_SIZE) is waiting for the others, up to 0.2 seconds "
    )
    assert error.startswith(f"test.py: error: process 1 of 2 (RANK, WORLD_SIZE) did not find the others at {host} ")
    assert "no answer" in error


def test_the_decision_needs_no_torch() -> None:
    command = "import sys, coopcut.util.launch, coopcut.util.interrupts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=False).returncode == 0
