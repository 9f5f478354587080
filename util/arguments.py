"""The parser of the small commands: a mistake is one line, as everywhere."""

import argparse
from typing import Any

from coopcut.util.errors import OptionError


def whole(text: str, low: int, high: int) -> int:
    """The whole number that `text` writes. Raises `argparse.ArgumentTypeError` if it is none, or not in [low, high]."""
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number from {low} to {high}")
    return number


class Parser(argparse.ArgumentParser):
    """argparse that raises `OptionError` instead of printing and leaving; the description keeps its lines."""

    def __init__(self, description: str | None, prog: str | None = None) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, description=description, formatter_class=formatter, allow_abbrev=False)

    def error(self, message: str) -> Any:
        raise OptionError(message)
