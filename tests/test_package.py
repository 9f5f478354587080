"""What `pip install .` brings: one name, three commands; and the names of earlier versions in a checkout."""

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.project import ROOT, copy_project


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    project = copy_project(tmp_path_factory.mktemp("package"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    done = subprocess.run([*command, project / "dist", project], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next((project / "dist").glob("*.whl")))


def test_nothing_is_installed_beside_the_package(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"coopcut"}


def test_every_module_and_data_file_is_in_it(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    apart = ("benchmarks/", "docs/", "tests/", "coopcut/", ".")
    wanted = {f"coopcut/{name}" for name in tracked if "/" in name and not name.startswith(apart)}
    wanted |= {f"coopcut/{name}" for name in ("__init__.py", "train.py", "test.py", "evaluate.py", "compare.py")}
    assert wanted - set(wheel.namelist()) == set()
    assert len(wanted) > 100


def test_commands(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    parser = configparser.ConfigParser()
    parser.read_string(wheel.read(name).decode())
    assert dict(parser["console_scripts"]) == {
        f"coopcut-{script}": f"coopcut.{script}:command" for script in ("train", "test", "evaluate", "compare")
    }
    wheel.extractall(tmp_path)
    for script, flag in {"train": "gpu_ids", "test": "gpu_ids", "evaluate": "gpu_ids", "compare": "seeds"}.items():
        code = f"import sys; sys.argv = ['coopcut-{script}', '--help']; from coopcut.{script} import command; command()"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert f"--{flag} " in done.stdout
    code = "import coopcut; print(coopcut.Translator.__module__, coopcut.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["coopcut.inference.translator", str(tmp_path / "coopcut" / "__init__.py")]


def test_names_of_earlier_versions_are_the_same_modules() -> None:
    code = (
        "from models import Translator; from util.images import read_image; from util.errors import DataError\n"
        "import coopcut, coopcut.images.io, coopcut.util.errors\n"
        "assert Translator is coopcut.Translator and read_image is coopcut.images.io.read_image\n"
        "assert DataError is coopcut.util.errors.DataError"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
