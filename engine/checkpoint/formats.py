"""The format of a training's full state, and the conversion of earlier formats."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coopcut.util.errors import CheckpointError

FORMAT = 2


def current(state: Mapping[str, Any], source: Path) -> Mapping[str, Any]:
    """`state` in the current format. Raises `CheckpointError` for a later one."""
    if state["format"] == FORMAT:
        return state
    if state["format"] == 1:
        return _from_1(state)
    raise CheckpointError(f"{source} has format {state['format']}, but this version reads formats 1 to {FORMAT}")


def _from_1(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """One generator G, at most one average, and what the objectives keep beside the networks."""
    model = dict(state["model"])
    objectives = {"adversarial": {"pool": model.pop("pool", [])}}
    if "colors" in model:
        objectives["color"] = model.pop("colors")
    model |= {"ema": {} if model["ema"] is None else {"G": model["ema"]}, "objectives": objectives}
    best = {"A2B": state["best"]} if state.get("best") else {}
    return dict(state) | {"format": FORMAT, "model": model, "best": best}
