"""One option: its name, default, bounds and help text, declared once for the parser, the checks and the JSON."""

import argparse
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from coopcut.images.pixels import parse_ranges


class Options(argparse.Namespace):
    """The values of all options, as attributes with the names of their flags; `isTrain` tells the two scripts apart."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no option is called '{name}'")


def boolean(text: str) -> bool:
    """`--flag`, `--flag True` and `--flag no` as in CUT."""
    if text.lower() in ("yes", "true", "t", "y", "1", "on"):
        return True
    if text.lower() in ("no", "false", "f", "n", "0", "off"):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is not a boolean: write True or False")


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None


def count(text: str) -> float:
    """A whole number, or `inf` for no limit."""
    try:
        return math.inf if text.lower() in ("inf", "all") else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number or inf") from None


def ranges(text: str) -> str:
    """The text of --value_range, if it names ranges."""
    try:
        parse_ranges(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text}' is not a finite number")
    return value


@dataclass(frozen=True)
class Option:
    """A command-line option.

    `earlier` is the value of runs that were saved before there was the option; by default it is `default`.

    `low` and `high` are inclusive bounds, `above` and `below` exclusive ones. `parse` turns the text of the command
    line into a value; by default it follows from the type of `default`. `fixed` marks what a checkpoint was made
    with for good: neither `--continue_train` nor `test.py` may contradict it. `several`: choices joined by commas.
    `registry`: names that are choices, too; what is registered under the chosen one may declare options of its own.
    """

    name: str
    default: Any
    help: str
    choices: Sequence[str] = ()
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    earlier: Any = None
    parse: Callable[[str], Any] | None = None
    fixed: bool = False
    several: bool = False
    metavar: str | None = None
    registry: Collection[str] | None = None

    @property
    def known(self) -> tuple[str, ...]:
        """The names that may be chosen; empty if any text may."""
        return (*(self.registry or ()), *self.choices)

    @property
    def parser(self) -> Callable[[str], Any]:
        """The function from text to value."""
        if self.parse is not None:
            return self.parse
        if isinstance(self.default, bool):
            return boolean
        return _fraction if isinstance(self.default, float) else whole if isinstance(self.default, int) else str

    def complaint(self, value: Any) -> str | None:
        """What is wrong with `value`, in one line without the flag's name, or None."""
        wanted = self._other_type(value)
        if wanted:
            return f"{value!r} is not {wanted}"
        if self.parse is not None and isinstance(self.default, str):
            try:
                self.parse(value)
            except argparse.ArgumentTypeError as error:
                return str(error)
        for chosen in str(value).split(",") if self.several else [value]:
            if chosen in (self.registry or ()) or chosen in self.choices:
                continue
            if self.known:
                return f"'{chosen}' is not one of {', '.join(self.known)}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if self.low is not None and value < self.low:
            return f"{value} is too small: the minimum is {self.low}"
        if self.high is not None and value > self.high:
            return f"{value} is too large: the maximum is {self.high}"
        if self.above is not None and value <= self.above:
            return f"{value} is too small: it must be above {self.above}"
        if self.below is not None and value >= self.below:
            return f"{value} is too large: it must be below {self.below}"
        return None

    def _other_type(self, value: Any) -> str | None:
        """What `value` should have been, if its type is not that of the flag, as in JSON edited by hand."""
        if isinstance(self.default, str):
            return None if isinstance(value, str) else "text"
        if self.parse not in (None, count) or self.default is None:
            return None
        if isinstance(self.default, bool):
            return None if isinstance(value, bool) else "true or false"
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.parse is None and isinstance(self.default, float):
            return None if number and math.isfinite(value) else "a finite number"
        whole = isinstance(value, int) or (self.parse is count and value == math.inf)
        return None if number and whole else "a whole number"

    def add_to(self, group: "argparse._ArgumentGroup") -> None:
        """Declare the flag. Defaults are filled in by `coopcut.options.parser`, so that it can tell what was typed."""
        shown = "none" if self.default is None else repr(self.default) if self.default == "" else self.default
        text = f"{self.help} [default: {shown}]".replace("%", "%%")
        keywords: dict[str, Any] = {"type": self.parser, "default": argparse.SUPPRESS, "help": text}
        if isinstance(self.default, bool):
            keywords |= {"nargs": "?", "const": True, "metavar": "BOOL"}
        elif self.known:
            keywords["metavar"] = "{" + ",".join(self.known) + "}" + (",..." if self.several else "")
        elif self.metavar:
            keywords["metavar"] = self.metavar
        else:
            keywords["metavar"] = {float: "X", int: "N"}.get(type(self.default), "TEXT")
        group.add_argument(f"--{self.name}", **keywords)


@dataclass(frozen=True)
class Group:
    """Options that belong together in `--help`."""

    title: str
    options: Sequence[Option]
