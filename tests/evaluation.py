"""What the tests of evaluate.py share."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tools import Outcome, run

SMALL = ["--feature_size", 32]


def evaluate(*flags: Any, code: int = 0) -> Outcome:
    outcome = run("evaluate", *flags, *SMALL)
    assert outcome.code == code, outcome
    return outcome


def figures_of(path: str = "m.json") -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=lambda text: pytest.fail(text))
