"""Helpers of the tests."""

import contextlib
import functools
import importlib.util
import io
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import numpy as np
import torch
from PIL import Image

from coopcut.datasets.toy import Settings
from coopcut.images.io import read_image, to_image, to_tensor
from coopcut.models import MODELS
from coopcut.networks import create_G
from coopcut.options.components import component_groups
from coopcut.options.option import Options
from coopcut.options.parser import OptionParser
from coopcut.util.cli import run_script

SMALL_TOY = Settings(size=32, train=3, test=9, seed=5)  # of the fixture `small_toy`
ROOT = Path(__file__).parents[1]


def train_options(argv: Sequence[str]) -> Options:
    """Options of a training, from the model `cut` unless `argv` says otherwise."""
    return OptionParser(True).parse(["--dataroot", "./datasets/none", *argv])


def make_images(folder: Path, number: int, size: int, seed: int = 0) -> list[Path]:
    """Write `number` colored noise images of size x size pixels as PNG; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, number, size])
    paths = [folder / f"{index}.png" for index in range(number)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
    return paths


# The one set of flags for networks and images as small as they go, on the CPU; `tiny` has those that a method knows.
TINY_NETWORKS = "--ngf 4 --ndf 4 --netF_nc 8 --num_patches 16 --netG resnet_4blocks".split()
TINY_GENERATION = "--domain B --nz 6 --normG none --normD none --chains 6 --batch_size 2".split()
TINY_RUN = "--load_size 36 --crop_size 32 --num_threads 0 --gpu_ids -1 --display_id 0".split()
TINY = [*TINY_NETWORKS, *TINY_RUN]
COOPERATIVE = (
    "--coop_iters 2 --coop_fade 1 --langevin_steps 2 --coop_negatives 0.5 --coop_every 2 --coop_replay 2".split()
)
METHODS = list(MODELS)  # every one that is registered: what is tested of all of them names none


def options_known_to(model: str) -> set[str]:
    """The options of a method and of the components that it has by default."""
    groups = component_groups(model, MODELS[model], defaults_of(model))
    return {option.name for group in groups for option in group.options}


def defaults_of(model: str) -> Mapping[str, Any]:
    """What a method presets."""
    return MODELS[model].presets(Options(dataroot="", CUT_mode="CUT", preset="none"))


def tiny(model: str) -> list[str]:
    """`--model` and the flags of `TINY` that it knows, with a short cooperative start and negatives if it can.

    One that generates learns from trainB, with networks that treat every image of a batch by itself.
    """
    known = options_known_to(model)
    generates = MODELS[model].purpose == "generation"
    flags = [*TINY_NETWORKS[:-2], *TINY_GENERATION] if generates else TINY_NETWORKS
    pairs = zip(flags[::2], flags[1::2], strict=True)
    networks = [text for flag, value in pairs if flag[2:] in known | {"batch_size"} for text in (flag, value)]
    start = COOPERATIVE if "coop_iters" in known and not defaults_of(model).get("coop_keep") else []
    return ["--model", model, *networks, *TINY_RUN, *start]


@dataclass(frozen=True)
class Outcome:
    """What a script did: exit code, stdout, and stderr with Python's warnings."""

    code: int
    out: str
    err: str


@functools.cache
def script(name: str) -> ModuleType:
    """train.py or test.py as a module; by path, because `import test` finds Python's own tests."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *flags: object) -> Outcome:
    """Call a script as the command line does, in this process; whatever it lets escape fails the test."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)  # as strict as a real stdout
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    root, argv, deterministic = logging.getLogger(), sys.argv, torch.are_deterministic_algorithms_enabled()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # else pytest's would be closed
    sys.argv = [f"{name}.py", *map(str, flags)]
    code: object = None
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("default")
            warnings.simplefilter("ignore", DeprecationWarning)
            run_script(script(name).main)
    except SystemExit as end:
        code = end.code
    finally:
        root.handlers, sys.argv = handlers, argv
        root.setLevel(level)
        torch.use_deterministic_algorithms(deterministic)
    assert isinstance(code, int), code
    warned = "".join(f"{warning.category.__name__}: {warning.message}\n" for warning in caught)
    out.seek(0)
    err.seek(0)
    return Outcome(code, out.read(), err.read() + warned)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below `folder` with its bytes, every folder with None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def write_image(path: Path, width: int, height: int, channels: int = 3, seed: int = 0) -> Path:
    """Write noise of any size in the format of the extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, width, height]).integers(0, 256, (height, width, channels), dtype=np.uint8)
    Image.fromarray(pixels if channels == 3 else pixels[:, :, 0]).save(path)
    return path


def truncate(path: Path, share: float = 0.5) -> Path:
    """Cut the end of a file off."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


TRAIN = ["--dataroot", "data", "--name", "new", *TINY, "--max_iters", 2]
CONTINUE = ["--name", "tiny", "--continue_train", "--gpu_ids", -1, "--max_iters", 4]
TEST = ["--dataroot", "data", "--name", "tiny", "--num_threads", 0, "--gpu_ids", -1]


def check_refusal(outcome: Outcome, says: tuple[str, ...]) -> None:
    """Exit code 2, and one line with all the words."""
    assert outcome.code == 2, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.split(": ")[1] == "error"
    for word in says:
        assert word in outcome.err, f"{word!r} is not in {outcome.err!r}"


def refused(script: str, flags: list[Any], *says: str) -> None:
    """The script refuses `flags` in one line with all of `says`, and leaves the current folder as it is."""
    before = tree(Path.cwd())
    outcome = run(script, *flags)
    check_refusal(outcome, says)
    after = tree(Path.cwd())
    assert {name for name in {*before, *after} if before.get(name, 0) != after.get(name, 0)} == set()


class RunsCode:
    """What it is pickled as creates a file when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("code_was_run",)


CPU = ["--num_threads", 0, "--gpu_ids", -1]
RESULTS = Path("results/tiny/test_latest")
FAKES = RESULTS / "images" / "fake_B"


def translate(*flags: Any, code: int = 0) -> Outcome:
    """test.py on the run `tiny`."""
    outcome = run("test", "--name", "tiny", *CPU, *flags)
    assert outcome.code == code, outcome
    return outcome


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as img:
        return np.asarray(img)


def generator_of(run_folder: Path, weights: str = "latest_net_G.pth") -> torch.nn.Module:
    """The generator of `tiny`, built and filled by hand."""
    net = create_G(train_options(TINY), 3, 3)
    net.load_state_dict(torch.load(run_folder / weights, weights_only=True))
    return net


def by_hand(net: torch.nn.Module, path: Path, size: tuple[int, int] | None = (32, 32)) -> np.ndarray:
    img = read_image(path, 3)
    img = img if size is None else img.resize(size, Image.Resampling.BICUBIC)
    with torch.no_grad():
        return np.asarray(to_image(net(to_tensor(img)[None])))


class Page(HTMLParser):
    """The pictures and links of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.images: list[str] = []
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            self.images.append(unquote(values["src"] or "", errors="surrogateescape"))
        if tag == "a":
            self.links.append(unquote(values["href"] or "", errors="surrogateescape"))


def translation_options(*flags: str) -> Options:
    return OptionParser(False).parse(["--dataroot", "./none", *flags])


def losses_of(run_folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_folder / "losses.jsonl").read_text().splitlines()]


def two_steps(*flags: object) -> list[dict[str, Any]]:
    """Train `cut` for two steps in the current folder; the records of the steps, every loss a finite number."""
    tiny_flags = [*TINY_RUN, *(TINY_NETWORKS if "sample" not in flags else TINY_NETWORKS[:4] + TINY_NETWORKS[6:])]
    outcome = run(
        "train", "--dataroot", "data", "--name", "r", *tiny_flags, "--max_iters", 2, "--print_freq", 1, *flags
    )
    assert (outcome.code, outcome.err) == (0, "")
    records = losses_of(Path("checkpoints/r"))
    assert [record["step"] for record in records] == [1, 2]
    assert all(value is not None for record in records for value in record["losses"].values()), records
    weights = torch.load("checkpoints/r/latest_net_G.pth", weights_only=True)
    assert all(bool(value.isfinite().all()) for value in weights.values())
    return records


def offered(model: str) -> list[tuple[str, str]]:
    """Every value that `train.py --model <model> --help` offers in braces, with its flag."""
    text = run("train", "--model", model, "--help").out.split("\nexperiment:\n")[1]
    found = re.findall(r"^  --(\w+) \{([^}]+)\}", text, re.MULTILINE)
    return [(name, value) for name, values in found for value in values.split(",") if name != "model"]
