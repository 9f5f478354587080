"""Every command and the Python lines of the README and of docs/usage.md, run in a copy of the project."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import copy_project
from tests.visdom_tools import StandIn

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8") + (ROOT / "docs/usage.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README, re.DOTALL)
# what must be made shorter to be a test; everything else runs literally
SMALL = " --max_iters 1 --load_size 72 --crop_size 64 --ngf 16 --netG resnet_4blocks"
SHORTER = {"python train.py --model coopcut --dataroot ./datasets/horse2zebra": SMALL}


def commands() -> list[str]:
    lines = "".join(text for kind, text in BLOCKS if kind == "bash").replace("\\\n", " ").splitlines()
    found = [" ".join(line.split("#")[0].split()) for line in lines if line.startswith("python ")]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("readme"))


def test_commands_run_in_their_order(project: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    found = commands()
    assert len(found) >= 8
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # else one of the trainings would start a server, and leave it for a while
            stack.enter_context(StandIn(8097))
        run_all(found, project, environment)
    assert (project / "checkpoints/horse2zebra_coopcut/latest_net_G.pth").is_file()
    results = project / "results/small/test_latest"
    assert len(list((results / "images/fake_B").glob("*.png"))) == 8
    code = next(text for kind, text in BLOCKS if kind == "python")
    check = code + "\nassert zebra.size == (64, 64) and zebra.mode == 'RGB'\n"
    done = subprocess.run([sys.executable, "-c", check], cwd=project, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def run_all(found: list[str], project: Path, environment: dict[str, str]) -> None:
    for command in found:
        arguments = shlex.split(command + SHORTER.get(command, ""))[1:]
        done = subprocess.run(
            [sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_make_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wanted = re.findall(r"\bmake (\w+)", "".join(text for kind, text in BLOCKS if kind == "bash"))
    assert set(wanted) == {"demo"}
    for target in (*re.findall(r"`make (\w+)", README), "help", "venv", "lint"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_linked_pages_exist() -> None:
    for page in (ROOT / "README.md", ROOT / "docs/usage.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), target
