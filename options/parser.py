"""From the command line to validated options.

A value comes from, in falling order: the command line, the checkpoint that is continued or translated with, the
preset of the model (FastCUT, say), the default. The registries of models, data sets and networks are handed in by
the scripts, so that this package imports nothing of the project but its own declarations.
"""

import argparse
import difflib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from coopcut.engine.checkpoint.files import has_state
from coopcut.engine.processes.peers import restarted
from coopcut.options.base_options import BASE, DATA, NETWORKS
from coopcut.options.option import Option, Options
from coopcut.options.saved import FILE, RESTORE, contradictions, load_options, run_folder
from coopcut.options.test_options import TEST
from coopcut.options.train_options import TRAIN
from coopcut.util.errors import CheckpointError, OptionError


class Method(Protocol):
    """What the parser needs to know of a model class."""

    @classmethod
    def options(cls) -> Sequence[Option]:
        """The options that the method adds."""

    @classmethod
    def presets(cls, given: Options) -> Mapping[str, Any]:
        """Defaults that differ for this method, in view of what was `given`."""

    @classmethod
    def check(cls, opt: Options) -> None:
        """Raise `OptionError` if the values do not fit together."""


class Registered(Protocol):
    """A registry of methods by name."""

    def __getitem__(self, name: str) -> type[Method]: ...

    def __contains__(self, name: object) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...


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

    def __init__(self, is_train: bool, models: Registered, choices: Mapping[str, Iterable[str]]) -> None:
        """`choices` gives the known names for options whose values are registered elsewhere (netG, dataset_mode...)."""
        self.is_train = is_train
        self.models = models
        self.choices = choices
        self.groups = [*BASE, *(TRAIN if is_train else TEST)]

    def parse(self, argv: Sequence[str]) -> Options:
        """All options, validated. Raises `OptionError`, or `CheckpointError`; creates nothing."""
        argv = _joined(argv)
        peek = self._typed(argv, (), partial=True)
        first = self._first(argv, peek)
        resumes = self.is_train and not first.continue_train and self._resumes(first)
        if resumes:
            first.continue_train = True
        saved, folder = self._saved(first)
        model = peek.get("model", saved.get("model", first.model))
        own = self._model_options(model)
        typed = self._typed(argv, own)
        known = {o.name: o for o in self._all(own)}
        values = {name: value for name, value in saved.items() if name in known}
        preset = self.models[model].presets(self._fill(typed, values, {}, own))
        opt = self._fill(typed, values, self._phase_defaults(typed, values) | dict(preset), own)
        self._check(opt, known.values(), folder / FILE if folder else None, saved.keys() - typed.keys())
        if saved:
            contradictions(
                typed, saved, known.values(), folder, own_fixed=() if self.is_train else [o.name for o in own]
            )
        if self.is_train:
            self.models[model].check(opt)
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

    def _first(self, argv: Sequence[str], peek: Mapping[str, Any]) -> Options:
        """What is known before a checkpoint is read, with the name of the run unless --checkpoint says where it is."""
        own = self._model_options(peek.get("model", next(o.default for o in self._all(()) if o.name == "model")))
        typed = self._typed(argv, own, partial=True) if peek.get("suffix") else peek
        given = self._fill(typed, {}, {}, own)
        first = self._fill(typed, {}, self.models[given.model].presets(given), own)
        if first.name or not getattr(first, "checkpoint", ""):
            self._name(first)
        return first

    @staticmethod
    def _resumes(first: Options) -> bool:
        """Whether a training goes on by itself: it was allowed to, or torchrun restarts it, and there is a state."""
        return (first.auto_resume or restarted()) and has_state(run_folder(first))

    def _model_options(self, model: str) -> Sequence[Option]:
        if model not in self.models:
            raise OptionError(f"--model: '{model}' is unknown; known: {', '.join(self.models)}")
        return self.models[model].options()

    def _all(self, own: Sequence[Option]) -> list[Option]:
        """Every option, with the choices that the registries give."""
        return [self._with_choices(o) for o in [*(o for g in self.groups for o in g.options), *own]]

    def _with_choices(self, option: Option) -> Option:
        names = self.models if option.name == "model" else self.choices.get(option.name)
        return option if names is None else Option(**{**vars(option), "choices": tuple(names)})

    def _typed(self, argv: Sequence[str], own: Sequence[Option], partial: bool = False) -> dict[str, Any]:
        """What the user typed, and only that."""
        script = "train.py" if self.is_train else "test.py"
        parser = _Parser(prog=script, allow_abbrev=False, add_help=not partial, argument_default=argparse.SUPPRESS)
        for group in self.groups:
            section = parser.add_argument_group(group.title)
            for option in group.options:
                self._with_choices(option).add_to(section)
        section = parser.add_argument_group("method", "options of the chosen --model")
        for option in own:
            self._with_choices(option).add_to(section)
        namespace, rest = parser.parse_known_args(list(argv))
        if rest and not partial:
            known = [f"--{o.name}" for o in self._all(own)]
            flag = rest[0].split("=")[0]
            other, groups = ("test", TEST) if self.is_train else ("train", TRAIN)
            others = [f"--{option.name}" for group in groups for option in group.options]
            close = [name for name in known if name.lower() == flag.lower()]
            close = close or difflib.get_close_matches(flag, known, n=1)
            owners = [name for name in self.models if flag in (f"--{o.name}" for o in self.models[name].options())]
            hint = f"; did you mean {close[0]}?" if close else f"; see python {script} --help"
            hint = f"; it belongs to --model {', '.join(owners)}" if owners else hint
            hint = f"; it is a flag of {other}.py" if flag in others else hint
            raise OptionError(
                f"unknown flag {rest[0]}{hint}" if rest[0].startswith("-") else f"unexpected '{rest[0]}'{hint}"
            )
        return vars(namespace)

    def _fill(
        self, typed: Mapping[str, Any], saved: Mapping[str, Any], preset: Mapping[str, Any], own: Sequence[Option] = ()
    ) -> Options:
        defaults = {o.name: o.default for o in self._all(own)}
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
        saved = load_options(folder)
        if saved.get("model", first.model) not in self.models:
            raise CheckpointError(
                f"{folder / FILE}: model: '{saved['model']}' is unknown; known: {', '.join(self.models)}; {RESTORE}"
            )
        if self.is_train:
            here = ("max_iters", "gpu_ids", "checkpoints_dir", "name", "suffix", "epoch")  # the folder may have moved
            return {k: v for k, v in saved.items() if k not in here}, folder
        described = {o.name for g in (NETWORKS, DATA) for o in g.options} | {"model", "easy_label"}
        described |= {o.name for o in self._model_options(saved["model"])} if "model" in saved else set()
        return {k: v for k, v in saved.items() if k in described}, folder

    def _phase_defaults(self, typed: Mapping[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
        """Translating reads testA without flips or shuffling, at the scale that the generator was trained at.

        A run trained with resize_and_crop is translated as CUT does it, resized to the crop size; one that was
        trained on crops of the unscaled images keeps each image's size.
        """
        if self.is_train:
            return {}
        for name in ("phase", "no_flip", "serial_batches", "max_dataset_size", "batch_size", "dataset_mode"):
            saved.pop(name, None)
        trained = saved.pop("preprocess", "resize_and_crop")
        load_size = saved.pop("load_size", 286)
        scaled = trained.startswith("scale_width")
        usual = trained if trained == "resize_and_crop" else "scale_width" if scaled else "none"
        if "load_size" in typed:
            square = typed.get("preprocess", usual) == "resize_and_crop"
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
        """Raise an error for values that cannot be; those of the options `saved` come from `file`."""
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
                raise OptionError(f"--{name} '{value}' must be part of a file name, without slashes")
        cropped_from_load = "crop" in opt.preprocess and opt.preprocess not in ("crop", "zoom_and_crop")
        if cropped_from_load and opt.crop_size > opt.load_size:
            raise OptionError(
                f"--crop_size {opt.crop_size} is larger than --load_size {opt.load_size}: raise or lower one"
            )
        if not opt.dataroot:
            raise OptionError("--dataroot is missing: name the folder with the images")
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
        weights = re.fullmatch(r"(.+)_net_G(_ema)?\.pth", path.name)
        if "epoch" not in opt.given:
            opt.epoch = weights[1] if weights else path.stem
        elif weights and opt.epoch != weights[1]:
            raise OptionError(f"--epoch {opt.epoch} contradicts --checkpoint {path}: leave one of them out")

    def _name(self, opt: Options) -> None:
        """Fill in and check the name of the run, one folder under `checkpoints_dir`."""
        if not opt.name:
            data = Path(os.path.abspath(opt.dataroot)).name if opt.dataroot else "run"
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
