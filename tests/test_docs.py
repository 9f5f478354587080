"""The pages tell the truth: their code runs, their commands parse, their tables hold the declared defaults."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Container
from pathlib import Path

import pytest

from coopcut.data import DATASETS
from coopcut.models import MODELS
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.parser import OptionParser
from docs import make_options
from tests.project import copy_project
from tests.tools import make_images

ROOT = Path(__file__).parents[1]
METHOD_PAGE = ROOT / "docs/adding_a_model.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [CONTRIBUTING, ROOT / "CHANGELOG.md", *(ROOT / "docs" / f"{name}.md" for name in (
    "adding_a_model", "coopcut", "options", "differences_from_cut", "evaluation"
))]  # fmt: skip
FOLDERS = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
TINY = "--load_size 36 --crop_size 32 --ngf 4 --ndf 4 --num_threads 0 --gpu_ids -1 --display_id 0 --print_freq 1"


def blocks(page: Path) -> dict[str, str]:
    """The code of a page that is titled with the file it belongs into."""
    return dict(re.findall(r"^```python title=(\S+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S))


def copy_with(folder: Path, page: Path) -> Path:
    """A copy of the project's Python files with those of `page`, and a little data set in `data_set`."""
    folder = copy_project(folder)
    (folder / "tests").mkdir()
    for name, code in blocks(page).items():
        assert not (folder / name).exists(), f"{name} would change the project"
        (folder / name).write_text(code, encoding="utf-8")
    for number, name in enumerate(("trainA", "trainB", "testA")):
        images = make_images(folder / "data_set" / name, 3, 36, seed=number)
        names = [f"{name}/{path.name}\n" for path in images]
        (folder / "data_set" / f"{name}.txt").write_text("".join(names), encoding="utf-8")
    return folder


def python(folder: Path, command: str) -> None:
    """Run `python <command>` in `folder`; fail with its output if it does."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, *shlex.split(command)]
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def translations(folder: Path, run: str) -> list[str]:
    return sorted(path.name for path in folder.glob(f"results/{run}/test_latest/images/fake_B/**/*.png"))


def test_method_of_the_page_trains_continues_and_translates(tmp_path: Path) -> None:
    ((name, code),) = blocks(METHOD_PAGE).items()
    assert name.startswith("models/")
    assert len(code.splitlines()) <= 60
    folder, model = copy_with(tmp_path, METHOD_PAGE), Path(name).stem
    python(folder, f"train.py --model {model} --dataroot data_set {TINY} --netG resnet_4blocks --max_iters 2 --ema 0.9")
    python(folder, f"train.py --name data_set_{model} --dataroot data_set --continue_train --max_iters 4")
    python(folder, f"test.py --name data_set_{model} --dataroot data_set --gpu_ids -1")
    lines = (folder / f"checkpoints/data_set_{model}/loss_log.txt").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("(epoch") for line in lines) == 4
    assert all("geo: " in line for line in lines if line.startswith("(epoch"))
    assert translations(folder, f"data_set_{model}") == ["0.png", "1.png", "2.png"]


EVERYTHING = f"""
import pytest, test, train
flags = "--dataroot data_set --dataset_mode list --name example"
assert train.main((flags + " --netG context --monitor files,table --n_epochs 1 --n_epochs_decay 0 {TINY}").split()) == 0
assert test.main((flags + " --gpu_ids -1").split()) == 0
raise SystemExit(pytest.main(["tests"]))
"""


def test_data_set_network_and_monitor_of_the_page_work_together(tmp_path: Path) -> None:
    folder = copy_with(tmp_path, CONTRIBUTING)
    (folder / "everything.py").write_text(EVERYTHING, encoding="utf-8")
    python(folder, "everything.py")
    assert translations(folder, "example") == ["0.png", "1.png", "2.png"]
    table = (folder / "checkpoints/example/figures.csv").read_text(encoding="utf-8").splitlines()
    assert table[0] == "epoch,step,phase,name,value"
    assert [line.split(",")[:4] for line in table if ",G," in line] == [
        ["1", str(n), "adversarial", "G"] for n in (1, 2, 3)
    ]


@pytest.mark.parametrize("page", [METHOD_PAGE, CONTRIBUTING], ids=lambda page: page.stem)
def test_code_of_the_pages_has_the_style_of_the_project(page: Path, tmp_path: Path) -> None:
    folder = copy_with(tmp_path, page)
    files = " ".join(blocks(page))
    python(folder, f"-m ruff check {files}")
    python(folder, f"-m ruff format --check {files}")


def commands(script: str) -> list[list[str]]:
    """The arguments of all command lines of `script` in the pages."""
    texts = [page.read_text(encoding="utf-8").replace("\\\n", " ") for page in PAGES]  # continued lines are one
    lines = [line for text in texts for line in text.splitlines()]
    return [shlex.split(line, comments=True)[2:] for line in lines if line.startswith(f"python {script}")]


@pytest.mark.parametrize("script", ["train.py", "test.py"])
def test_commands_of_the_pages_are_right(script: str, tmp_path: Path) -> None:
    examples: dict[str, tuple[str, Container[str]]] = {
        "--model": ("gcgan", MODELS),
        "--dataset_mode": ("list", DATASETS),
        "--netG": ("context", ()),
    }
    found = commands(script)
    assert found
    for argv in found:
        for flag, (name, known) in examples.items():  # the examples of the pages are not part of the project
            if flag in argv and argv[argv.index(flag) + 1] == name and name not in known:
                del argv[argv.index(flag) : argv.index(flag) + 2]
        argv = [flag for flag in argv if flag != "--continue_train"]  # there is nothing to continue
        argv += ["--checkpoints_dir", str(tmp_path)]
        opt = OptionParser(script == "train.py").parse(argv)
        assert opt.dataroot.startswith("./")


def test_table_of_options_is_up_to_date() -> None:
    written = make_options.PAGE.read_text(encoding="utf-8")
    assert written == make_options.page(), "the declarations have changed: python -m docs.make_options"


def test_page_of_coopcut_has_every_cooperative_option_and_its_default() -> None:
    text = (ROOT / "docs/coopcut.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `--(\w+)` \| `([^`]+)` \|", text, re.M)
    opt = OptionParser(True).parse(["--dataroot", "none", "--model", "coopcut"])
    assert table == [(option.name, str(getattr(opt, option.name))) for option in Cooperative.options]


def test_pre_commit_runs_what_make_lint_runs() -> None:
    hooks = re.findall(r"^ +entry: (.+)$", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"), re.M)
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert [line.strip() for line in recipe.splitlines()] == hooks


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_paths_of_the_pages_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).is_file(), target
    mentioned = re.findall(
        r"`((?:benchmarks|data|datasets|docs|engine|images|inference|losses|metrics|models|monitors|networks|objectives|options|sampling|tests|util)/[\w/]+\.(?:py|md))`",
        text,
    )
    for path in set(mentioned) - set(blocks(METHOD_PAGE)) - set(blocks(CONTRIBUTING)):
        assert (ROOT / path).is_file(), path
