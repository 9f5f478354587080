"""What is to be run: every method on every data set with every seed."""

import hashlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from coopcut.data.folders import phase_of
from coopcut.data.image_sources import open_images
from coopcut.images.listing import list_images
from coopcut.models import MODELS
from coopcut.options.option import Options
from coopcut.options.parser import OptionParser
from coopcut.util.errors import OptionError

# Runs of a comparison show nothing, and keep nothing but their figures.
QUIET = shlex.split("--display_id 0 --no_html --num_threads 0 --save_latest_freq 1000000000 --save_epoch_freq 1000000")
SUPERVISED = "supervised"


@dataclass(frozen=True)
class Candidate:
    """A method of training with flags, as it is written in --runs: "coopcut --coop_negatives 0.67"."""

    text: str
    common: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        """Those of train.py. Its own come last and win."""
        first, *rest = shlex.split(self.text)
        return ["--model", "cut" if first == SUPERVISED else first, *self.common, *rest]

    @property
    def supervised(self) -> bool:
        """Whether the generator learns the true counterparts, as a ceiling."""
        return shlex.split(self.text)[0] == SUPERVISED

    def options(self, dataroot: Path) -> Options:
        """As train.py parses them. Raises `OptionError`."""
        return OptionParser(True).parse([*self.flags, "--dataroot", str(dataroot)])


@dataclass(frozen=True)
class Job:
    """One training."""

    candidate: Candidate
    dataroot: Path
    seed: int
    steps: int
    out: Path

    @property
    def path(self) -> Path:
        """Its file of figures: told apart by all that changes them."""
        told = f"{shlex.join(self.candidate.flags)} {self.candidate.supervised} {self.steps}"
        digest = hashlib.sha256(told.encode()).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9.]+", "_", self.candidate.text).strip("_")[:80]
        return self.out / data_name(self.dataroot) / f"{name}_{digest}" / f"{self.seed}.json"

    def flags(self) -> list[str]:
        """Those of train.py that make exactly this run; the learning rate is constant for half of its epochs."""
        opt = self.candidate.options(self.dataroot)
        epochs = -(-self.steps // steps_per_epoch(opt))
        decay = epochs // 2
        length = ["--n_epochs", epochs - decay, "--n_epochs_decay", decay, "--max_iters", self.steps]
        return [*self.candidate.flags, "--dataroot", str(self.dataroot), "--seed", str(self.seed), *map(str, length)]


def steps_per_epoch(opt: Options) -> int:
    """Batches of an epoch; an unaligned data set has as many samples as its larger domain."""
    if MODELS[opt.model].purpose == "generation":
        samples = len(open_images(opt, "train").paths)
    else:
        root, phase = Path(opt.dataroot), phase_of(opt.dataroot, "train", "AB")
        samples = max(len(list_images(root / f"{phase}{domain}")) for domain in "AB")
    return -(-samples // int(opt.batch_size))


def data_name(dataroot: Path) -> str:
    """The name of a data set's results: that of its folder; ring_8 for ring:8."""
    kind, colon, rest = str(dataroot).partition(":")
    return f"{kind}_{Path(rest).name}" if colon else dataroot.name


def parse_seeds(text: str) -> list[int]:
    """ "1-8" or "1,3,5". Raises `OptionError`."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not match:
            raise OptionError(f"--seeds {text}: write whole numbers as 1-8 or 1,3,5")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    if not found or len(set(found)) < len(found):
        raise OptionError(f"--seeds {text}: name each seed once")
    return found
