"""From the command line to validated options.

A value comes from, in falling order: the command line, the checkpoint that is continued or translated with, the
preset of the model (FastCUT, say), the default.
"""

import argparse
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from coopcut.data import DATASETS
from coopcut.engine.checkpoint.files import has_state
from coopcut.engine.processes.peers import restarted
from coopcut.models import MODELS
from coopcut.options.base_options import BASE, CHANNELS, DATA
from coopcut.options.components import all_groups, component_groups, groups_of_all
from coopcut.options.help import by_name, fitting, hint, without_repeats
from coopcut.options.option import Group, Option, Options
from coopcut.options.saved import FILE, RESTORE, contradictions, load_options, run_folder
from coopcut.options.test_options import SAMPLES, SAMPLING, TEST
from coopcut.options.train_options import TRAIN
from coopcut.util.errors import CheckpointError, OptionError

# what to type for a method of the published CycleGAN that is none here
_MEANT = {"test": "instead of --model test use --checkpoint FILE, or --model cycle_gan --export B2A for the way back"}


class _Parser(argparse.ArgumentParser):
    """argparse with one line for an error, raised instead of printed."""

    def error(self, message: str) -> Any:
        message = re.sub(r"^argument (--\w+): ", r"\1: ", message)
        raise OptionError(" ".join(message.split()))


def _joined(argv: Sequence[str]) -> list[str]:
    """--flag -1,5 as --flag=-1,5: argparse takes what begins with a minus for another flag."""
    joined: list[str] = []
    for text in argv:
        if joined and re.match(r"-[.\d]", text) and re.fullmatch(r"--\w+", joined[-1]):
            joined[-1] += f"={text}"
        else:
            joined.append(text)
    return joined


class OptionParser:
    """Parses the flags of `train.py` (`is_train`) or `test.py`."""

    def __init__(self, is_train: bool) -> None:
        self.is_train = is_train
        self.base = [*BASE, *(TRAIN if is_train else TEST)]

    def parse(self, argv: Sequence[str]) -> Options:
        """All options, validated. Raises `OptionError`, or `CheckpointError`; creates nothing."""
        argv = _joined(argv)
        if {"-h", "--help"} & set(argv):
            print(self._help(argv))
            raise SystemExit(0)
        first = self._first(argv)
        resumes = self.is_train and not first.continue_train and self._resumes(first)
        if resumes:
            first.continue_train = True
        saved, folder = self._saved(first)
        model, groups = self._collect(argv, saved)
        typed = self._typed(argv, groups)
        known = by_name(groups)
        values = {name: value for name, value in saved.items() if name in known}
        preset = MODELS[model].presets(self._fill(typed, values, {}, groups))
        here = self._phase_defaults(MODELS[model].purpose, typed, values)
        opt = self._fill(typed, values, here | dict(preset), groups)
        self._check(opt, known.values(), folder / FILE if folder else None, saved.keys() - typed.keys())
        if saved:
            own = (
                [] if self.is_train else [option.name for group in groups[len(self.base) :] for option in group.options]
            )
            contradictions(typed, saved, known.values(), folder, own_fixed=own)
        if self.is_train:
            MODELS[model].check(opt)
        opt.given = sorted(typed)
        opt.name = first.name
        if resumes:
            opt.continue_train = True
        if getattr(opt, "checkpoint", ""):
            self._epoch_of_checkpoint(opt)
            if not opt.name:
                opt.name = run_folder(opt).resolve().name if saved or Path(opt.checkpoint).is_dir() else ""
                self._name(opt)
        return opt

    # -- the steps of parse ---------------------------------------------------------------------------------------

    def _collect(self, argv: Sequence[str], saved: Mapping[str, Any]) -> tuple[str, list[Group]]:
        """The method, and all options with those of the components that the command line or `saved` choose."""
        typed = self._typed(argv, self.base, partial=True)
        model = typed.get("model", saved.get("model", by_name(self.base)["model"].default))
        if model not in MODELS:
            hint = f"; {_MEANT[model]}" if model in _MEANT else ""
            raise OptionError(f"--model: '{model}' is not one of {', '.join(MODELS)}{hint}")
        method, values = MODELS[model], dict(saved) | typed
        while True:
            groups = [*self.base, *self._running(method.purpose), *component_groups(model, method, values)]
            typed = self._typed(argv, groups, partial=True)
            preset = method.presets(self._fill(typed, saved, {}, groups))
            chosen = {**preset, **saved, **typed}
            if chosen == values:
                return model, groups
            values = chosen

    def _running(self, purpose: str) -> Sequence[Group]:
        """The options of `test.py` that depend on what a method is for."""
        return (SAMPLING,) if purpose == "generation" and not self.is_train else ()

    def _first(self, argv: Sequence[str]) -> Options:
        """What is known before a checkpoint is read, with the name of the run unless --checkpoint says where it is."""
        model, groups = self._collect(argv, {})
        typed = self._typed(argv, groups, partial=True)
        first = self._fill(typed, {}, MODELS[model].presets(self._fill(typed, {}, {}, groups)), groups)
        if first.name or not getattr(first, "checkpoint", ""):
            self._name(first)
        return first

    @staticmethod
    def _resumes(first: Options) -> bool:
        """Whether a training goes on by itself: it was allowed to, or torchrun restarts it, and there is a state."""
        return (first.auto_resume or restarted()) and has_state(run_folder(first))

    def _parser(self, groups: Iterable[Group]) -> _Parser:
        script = "train.py" if self.is_train else "test.py"
        parser = _Parser(prog=script, allow_abbrev=False, add_help=False, argument_default=argparse.SUPPRESS)
        for group in groups:
            section = parser.add_argument_group(group.title)
            for option in group.options:
                self._offered(option).add_to(section)
        return parser

    def _offered(self, option: Option) -> Option:
        """The option with the choices that the script has: `single` images cannot train, say."""
        if option.registry is None or not self.is_train:
            return option
        registry: Any = option.registry
        names = [name for name in registry if getattr(registry[name], "trains", True)]
        return option if len(names) == len(registry) else replace(option, registry=names)

    def _help(self, argv: Sequence[str]) -> str:
        """The options of the chosen components, or after `--help all` of every one that there is."""
        rest = [text for text in argv if text not in ("-h", "--help", "all")]
        saved: dict[str, Any] = {}
        if not self.is_train:
            with suppress(CheckpointError):  # what the chosen run offers
                saved, _ = self._saved(self._first(rest))
        model, groups = self._collect(rest, saved)
        groups = fitting(groups, MODELS[model].purpose)
        if "all" in argv:
            groups = [*self.base, *groups_of_all(MODELS)]
        about = "" if "all" in argv else "\n--help all shows the options of every method, network and loss"
        return without_repeats(groups, self._parser) + about

    def _typed(self, argv: Sequence[str], groups: Sequence[Group], partial: bool = False) -> dict[str, Any]:
        """What the user typed, and only that."""
        namespace, rest = self._parser(groups).parse_known_args(list(argv))
        if rest and not partial:
            meant = hint(rest[0].split("=")[0], [f"--{name}" for name in by_name(groups)], self.is_train)
            raise OptionError(
                f"unknown flag {rest[0]}{meant}" if rest[0].startswith("-") else f"unexpected '{rest[0]}'{meant}"
            )
        return vars(namespace)

    def _fill(
        self,
        typed: Mapping[str, Any],
        saved: Mapping[str, Any],
        preset: Mapping[str, Any],
        groups: Iterable[Group],
    ) -> Options:
        defaults = {name: option.default for name, option in by_name(groups).items()}
        return Options(**{**defaults, **preset, **saved, **typed}, isTrain=self.is_train)

    def _saved(self, first: Options) -> tuple[dict[str, Any], Path | None]:
        """The options of the run that is continued or translated with, without those of the machine it ran on."""
        if self.is_train and not first.continue_train:
            return {}, None
        folder = run_folder(first)
        if self.is_train and not folder.is_dir():
            raise CheckpointError(
                f"--continue_train: there is nothing to continue, {folder} does not exist; "
                "check --name and --checkpoints_dir, or leave --continue_train out to start"
            )
        if not self.is_train and not folder.is_dir() and not first.checkpoint and not first.dataroot:
            there = sorted(path.parent.name for path in Path(first.checkpoints_dir).glob(f"*/{FILE}"))
            raise CheckpointError(f"{folder}: no such run; found: {', '.join(there) or 'none'}")
        saved = load_options(folder)
        model = saved.get("model", first.model)
        if model not in MODELS:
            raise CheckpointError(
                f"{folder / FILE}: model: '{model}' is unknown; known: {', '.join(MODELS)}; {RESTORE}"
            )
        if self.is_train:
            here = ("max_iters", "gpu_ids", "checkpoints_dir", "name", "suffix", "epoch")  # the folder may have moved
            return {k: v for k, v in saved.items() if k not in here}, folder
        described = {"model", "easy_label", *by_name([CHANNELS, DATA, *all_groups(model, MODELS[model])])}
        return {k: v for k, v in saved.items() if k in described}, folder

    def _phase_defaults(self, purpose: str, typed: Mapping[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
        """Translating reads testA without flips or shuffling, at the scale that the generator was trained at.

        A run trained with resize_and_crop is translated as CUT does it, resized to the crop size; one that was
        trained on crops of the unscaled images keeps each image's size.
        """
        if self.is_train:
            return {}
        if purpose == "generation":
            for name in ("phase", "batch_size"):
                saved.pop(name, None)
            return {"phase": "test", "num_test": SAMPLES}
        for name in ("phase", "no_flip", "serial_batches", "max_dataset_size", "batch_size", "dataset_mode"):
            saved.pop(name, None)
        trained = saved.pop("preprocess", "resize_and_crop")
        load_size = saved.pop("load_size", 286)
        scaled = trained.startswith("scale_width")
        usual = trained if trained in ("resize_and_crop", "square") else "scale_width" if scaled else "none"
        if "load_size" in typed:
            square = typed.get("preprocess", usual) in ("resize_and_crop", "square")
            saved["crop_size"] = typed["load_size"] if square else min(typed["load_size"], saved.get("crop_size", 256))
        crop_size = typed.get("crop_size", saved.get("crop_size", 256))
        return {
            "phase": "test",
            "no_flip": True,
            "serial_batches": True,
            "preprocess": usual,
            # nothing is cut off at random: only --load_size itself makes it another size than the crop
            "load_size": max(load_size, crop_size) if scaled else crop_size,
        }

    def _check(self, opt: Options, known: Iterable[Option], file: Path | None, saved: Collection[str]) -> None:
        """Raise an error for invalid values; those of the options `saved` come from `file`."""
        for option in known:
            complaint = option.complaint(getattr(opt, option.name))
            if complaint and option.name in saved:
                raise CheckpointError(f"{file}: {option.name}: {complaint}; {RESTORE}")
            if complaint:
                raise OptionError(f"--{option.name}: {complaint}")
        for name in ("checkpoints_dir", "results_dir", "phase", "epoch"):
            value = getattr(opt, name, None)
            if value == "":
                raise OptionError(f"--{name} is empty: give it a value or leave it out")
            if name in ("phase", "epoch") and value is not None and Path(value).name != value:
                raise OptionError(f"--{name} '{value}' must be usable in a file name, without slashes")
        cropped_from_load = "crop" in opt.preprocess and opt.preprocess not in ("crop", "zoom_and_crop")
        if cropped_from_load and opt.crop_size > opt.load_size:
            raise OptionError(
                f"--crop_size {opt.crop_size} is larger than --load_size {opt.load_size}: raise or lower one"
            )
        method = MODELS[opt.model]
        if not opt.dataroot and (self.is_train or method.purpose == "translation"):
            raise OptionError("--dataroot is missing: name the folder with the images")
        if self.is_train and DATASETS[opt.dataset_mode].purpose != method.purpose:
            others = [name for name in DATASETS if DATASETS[name].purpose == method.purpose]
            raise OptionError(
                f"--dataset_mode {opt.dataset_mode}: --model {opt.model} is for {method.purpose}: use "
                f"{' or '.join(others)}"
            )
        if self.is_train and opt.epoch != "latest" and not opt.continue_train and not opt.pretrained_name:
            raise OptionError(f"--epoch {opt.epoch} says which weights to load: add --pretrained_name, or leave it out")
        if self.is_train and opt.n_epochs + opt.n_epochs_decay < opt.epoch_count:
            raise OptionError(
                f"--epoch_count {opt.epoch_count} is after the last epoch, "
                f"--n_epochs {opt.n_epochs} + --n_epochs_decay {opt.n_epochs_decay}"
            )

    def _epoch_of_checkpoint(self, opt: Options) -> None:
        """Name the results of a weights file by it, so that those of two epochs do not end up in one folder."""
        path = Path(opt.checkpoint)
        if not path.is_file():
            return
        weights = re.fullmatch(r"(.+)_net_(?!.*_net_)\w+?(_ema)?\.pth", path.name)
        if "epoch" not in opt.given:
            opt.epoch = weights[1] if weights else path.stem
        elif weights and opt.epoch != weights[1]:
            raise OptionError(f"--epoch {opt.epoch} contradicts --checkpoint {path}: leave one of them out")

    def _name(self, opt: Options) -> None:
        """Fill in and check the name of the run, one folder under `checkpoints_dir`."""
        if not opt.name:
            data = Path(os.path.abspath(opt.dataroot)).name.replace(":", "_") if opt.dataroot else "run"
            opt.name = f"{data}_{opt.model}"
        if opt.suffix:
            try:
                opt.name = f"{opt.name}_{opt.suffix.format(**vars(opt))}"
            except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
                raise OptionError(
                    f"--suffix '{opt.suffix}' ({error}): write options in braces, as in {{model}}_{{netG}}"
                ) from None
        if Path(opt.name).name != opt.name or opt.name in (".", ".."):
            raise OptionError(f"--name '{opt.name}' must be one folder name, without slashes")
        if len(os.fsencode(opt.name)) > 255:
            raise OptionError(f"--name '{opt.name[:40]}...' is too long for a folder: at most 255 bytes")
