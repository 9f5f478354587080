"""The options of a run as JSON beside its weights: written by training, read to continue it or to translate with it."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from coopcut.models import MODELS
from coopcut.options.base_options import BASE
from coopcut.options.components import all_groups
from coopcut.options.option import Option, Options
from coopcut.options.test_options import SAMPLING, TEST
from coopcut.options.train_options import TRAIN
from coopcut.util.errors import CheckpointError, OptionError
from coopcut.util.files import write_text

FILE = "train_opt.json"
RESTORE = "restore the file or use another checkpoint"
_NOT_SAVED = ("isTrain", "given", "continue_train", "auto_resume")


def run_folder(opt: Options) -> Path:
    """The folder of the run that `opt` names: that of --checkpoint, or <checkpoints_dir>/<name>."""
    if getattr(opt, "checkpoint", ""):
        path = Path(opt.checkpoint)
        return path if path.is_dir() else path.parent
    return Path(opt.checkpoints_dir) / opt.name


def to_dict(opt: Options) -> dict[str, Any]:
    """The options as JSON can hold them (no limit is written as 'inf')."""
    values = {name: value for name, value in vars(opt).items() if name not in _NOT_SAVED}
    return {name: "inf" if value == math.inf else value for name, value in sorted(values.items())}


def as_json(opt: Options) -> str:
    """The content of `FILE`."""
    return json.dumps(to_dict(opt), indent=1) + "\n"


def save_options(opt: Options, folder: Path) -> None:
    """Write `opt` to `folder`, atomically."""
    write_text(folder / FILE, as_json(opt), flush=True)


def load_options(folder: Path) -> dict[str, Any]:
    """The options saved in `folder`; an empty dictionary if there are none (a checkpoint of CUT, say).

    Raises `CheckpointError` for a file that is no JSON or holds a value that its option cannot have.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}): {RESTORE}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} does not hold options by name: {RESTORE}")
    declared = _declared(values.get("model"))
    texts = {option.name for option in declared.values() if isinstance(option.default, str)}
    saved = {name: math.inf if value == "inf" and name not in texts else value for name, value in values.items()}
    for name, value in saved.items():
        complaint = declared[name].complaint(value) if name in declared else None
        if complaint:
            raise CheckpointError(f"{path}: {name}: {complaint}; {RESTORE}")
        if name in declared and isinstance(declared[name].default, float) and isinstance(value, int):
            saved[name] = float(value)  # a 0 that a hand wrote for 0.0
    return {name: option.earlier for name, option in declared.items() if option.earlier is not None} | saved


def _declared(model: object) -> dict[str, Option]:
    """All options by name, as the method `model` declares those that others declare, too."""
    methods = sorted(MODELS, key=lambda name: name == model)
    groups = [*BASE, *TRAIN, *TEST, SAMPLING, *(group for name in methods for group in all_groups(name, MODELS[name]))]
    return {option.name: option for group in groups for option in group.options}


def contradictions(
    typed: Mapping[str, Any],
    saved: Mapping[str, Any],
    options: Iterable[Option],
    folder: Path | None,
    own_fixed: Iterable[str],
) -> None:
    """Raise `OptionError` if a typed flag differs from what the checkpoint was made with for good."""
    for option in options:
        name = option.name
        if name not in typed or name not in saved or not (option.fixed or name in own_fixed):
            continue
        if typed[name] != saved[name]:
            raise OptionError(
                f"--{name} {typed[name]} contradicts {folder}, which was trained with --{name} {saved[name]}: "
                f"leave --{name} out or choose another --name"
            )


def default_options(model: str) -> dict[str, Any]:
    """The defaults of translation with a method, those of all networks that it could have included."""
    groups = [*BASE, *TEST, SAMPLING, *all_groups(model, MODELS[model])]
    return {option.name: option.default for group in groups for option in group.options}


def contradictions_with_weights(opt: Options, found: Mapping[str, Any], source: Path) -> Mapping[str, Any]:
    """`found`, the options read off a weights file; raises `OptionError` if one that was typed differs from it."""
    for name, value in found.items():
        if name in opt.given and getattr(opt, name) != value:
            raise OptionError(
                f"--{name} {getattr(opt, name)} contradicts {source}, which has {value}: leave --{name} out"
            )
    return found
