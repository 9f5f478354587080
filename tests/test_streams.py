"""Nobody reads what the scripts print: training and translating end as they would have, with the same exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import ROOT, TINY


def shell(place: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run `command` in `place`, as bash does, with $train and $test for the scripts."""
    train = f"{sys.executable} {ROOT / 'train.py'} --dataroot data --name new {' '.join(map(str, TINY))} --max_iters 8"
    test = f"{sys.executable} {ROOT / 'test.py'} --dataroot data --name new --num_threads 0"
    environment = os.environ | {"train": f"{train} --print_freq 1", "test": test, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-c", command], cwd=place, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    "command",
    [
        "$train 2>&1 | head -n 2; exit ${PIPESTATUS[0]}",  # as when tee, or a terminal far away, dies
        "$train >&- 2>&-",
        "$train > /dev/full",
    ],
)
def test_training_goes_on(place: Path, command: str) -> None:
    done = shell(place, command)
    assert (done.returncode, done.stderr) == (0, "")
    lines = (place / "checkpoints/new/losses.jsonl").read_text().splitlines()
    assert len(lines) == 8
    assert (place / "checkpoints/new/latest_net_G.pth").is_file()
    done = shell(place, "$test >&-")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert len(list((place / "results/new/test_latest/images/fake_B").iterdir())) == 3


def test_an_error_is_an_exit_code_all_the_same(place: Path) -> None:
    done = shell(place, "$train --netG nonsense 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
