"""Mode coverage on 2-D mixtures, with and without a cooperative start: python -m benchmarks.mixture

Two arms with the same networks, weights at the start, data and number of steps: `gan` is adversarial throughout,
`coopinit` cooperative in its first --coop_steps. The sampler and the losses are those of `--model coopcut`. The data
are a ring of 8 and a grid of 25 Gaussians. Each run is one JSON in --out, and is not repeated if it is there; the
tables (mixture.md) and the picture (mixture.png) are made of all of them.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.mixture_report import Results, picture, tables
from benchmarks.mixture_settings import ARMS, Settings, fitting
from benchmarks.mixture_train import train
from coopcut.data.mixtures import DATA
from coopcut.losses.gan import GAN_LOSSES
from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.errors import DataError, OptionError
from coopcut.util.files import write_text
from coopcut.util.launch import refuse_several

MODES = ("nonsaturating", "lsgan")
NUMBERS = [
    field.name for field in dataclasses.fields(Settings) if field.name not in ("data", "gan_mode", "arm", "seed")
]


def main(argv: Sequence[str]) -> int:
    """Run what is missing, print the tables, draw. Returns the exit code."""
    refuse_several()
    opt = parse(argv)
    torch.set_num_threads(1)  # the matrices are too small to share
    runs = list(wanted(opt))
    opt.out.mkdir(parents=True, exist_ok=True)
    results: Results = {}
    for number, settings in enumerate(runs, 1):
        path = opt.out / f"{settings.data}_{settings.gan_mode}_{settings.arm}_{settings.seed}.json"
        if (result := existing(path, settings)) is None:
            result = train(settings)
            write_text(path, json.dumps(result) + "\n")
            last = result["curve"][-1]
            figures = f"{last['modes']:.0f} modes, high quality {last['high_quality']:.2f}"
            print(f"{number}/{len(runs)} {path.stem}: {figures}, {result['seconds']:.0f} s", flush=True)
        results[settings.data, settings.gan_mode, settings.arm, settings.seed] = result
    text = tables(results)
    print(text)
    write_text(opt.out / "mixture.md", text)
    picture(results, opt.out / "mixture.png")
    print(opt.out / "mixture.png")
    return 0


def parse(argv: Sequence[str]) -> Any:
    """The command line. Raises `OptionError` for what cannot be run."""
    parser = Parser(__doc__, "benchmarks.mixture")
    parser.add_argument("--out", type=Path, default=Path("results/mixture"), help="folder of the runs and tables")
    parser.add_argument("--data", choices=(*DATA, "all"), default="all")
    parser.add_argument("--gan_mode", choices=(*GAN_LOSSES, "both"), default="both", help=f"both: {', '.join(MODES)}")
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds")
    parser.add_argument("--first_seed", type=int, default=0)
    for field in dataclasses.fields(Settings):
        if field.name in NUMBERS:
            parser.add_argument(f"--{field.name}", type=type(field.default), default=argument_default(field))
    opt = parser.parse_args(list(argv))
    for name in ("seeds", "steps", "batch_size", "width", "nz", "measure_freq", "langevin_steps"):
        if getattr(opt, name) < 1:
            raise OptionError(f"--{name} {getattr(opt, name)}: must be at least 1")
    for name in NUMBERS:
        if (value := getattr(opt, name)) is not None and not 0 <= value < float("inf"):
            raise OptionError(f"--{name} {value}: must be 0 or more, and finite")
    if opt.gan_mode == "wgangp":
        raise OptionError("--gan_mode wgangp: its penalty is for images; choose another one")
    if not 0 < opt.coop_steps <= opt.steps:
        raise OptionError(f"--coop_steps {opt.coop_steps}: must be between 1 and --steps {opt.steps}")
    return opt


def argument_default(field: "dataclasses.Field[Any]") -> Any:
    """None where the default depends on the data and the adversarial loss."""
    return None if field.name in fitting("ring", "lsgan") else field.default


def wanted(opt: Any) -> Iterator[Settings]:
    """All runs, seed by seed, so that an interrupted study is a study of fewer seeds."""
    given = {name: value for name in NUMBERS if (value := getattr(opt, name)) is not None}
    for seed in range(opt.first_seed, opt.first_seed + opt.seeds):
        for data in DATA if opt.data == "all" else [opt.data]:
            for gan_mode in MODES if opt.gan_mode == "both" else [opt.gan_mode]:
                for arm in ARMS:
                    yield Settings(data, gan_mode, arm, seed, **(fitting(data, gan_mode) | given))


def existing(path: Path, settings: Settings) -> dict[str, Any] | None:
    """The run in `path`, None if there is none. Raises `DataError` if it is one with other settings, or no run."""
    if not path.is_file():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = Settings(**result["settings"])
        if not result["curve"]:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} is not a run of this benchmark: remove it") from None
    if found.matters() != settings.matters():
        differs = [name for name, value in found.matters().items() if settings.matters().get(name) != value]
        raise DataError(f"{path} was made with another --{', --'.join(differs)}: choose another --out")
    return result


if __name__ == "__main__":
    sys.argv[0] = "mixture"
    run_script(main)
