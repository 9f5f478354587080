"""Which values of the image files become black and white: logged at the start, so that nothing is guessed silently."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from coopcut.data.folders import CHECKING_THREADS, Domain
from coopcut.images.decode import untold_type
from coopcut.images.io import read_pixels
from coopcut.images.pixels import GIVE_RANGE, Pixels, Range
from coopcut.util.errors import DataError

log = logging.getLogger(__name__)

LOOKED_AT = 12  # images of a domain
MOST_OUTSIDE = 0.25  # of the values, beyond the range that was chosen
LEAST_SHARE = 1 / 16  # of the range: 16 of 256 levels
TAIL = 0.1  # percent of the values at either end that do not count: broken pixels, marks


@dataclass
class _Seen:
    """What images of one kind of numbers held: least and largest values, with and without tails."""

    assumed: Range | None
    first: str  # image
    ends: list[float] = field(default_factory=list)
    usual: list[list[float]] = field(default_factory=list)
    beyond: list[float] = field(default_factory=list)  # share of values that `chosen` cuts off

    def add(self, pixels: Pixels, chosen: Range | None) -> None:
        values = pixels.values
        self.ends += [float(values.min()), float(values.max())]
        self.usual.append(np.percentile(values, [TAIL, 100 - TAIL]).tolist())
        if chosen:
            self.beyond.append(float(((values < chosen[0]) | (values > chosen[1])).mean()))

    def used(self, low: float, high: float) -> float:
        """How much of low to high most images use; one that is brighter or darker than the others does not count."""
        lows, highs = np.clip(np.array(self.usual).T, low, high)
        return float(min(np.median(highs) - lows.min(), highs.max() - np.median(lows)))


def tell_range(domain: Domain, chosen: Range | None) -> None:
    """Log what becomes black and white in `domain`, as `LOOKED_AT` of its images show it; a warning if few levels do.

    chosen: of --value_range; None: what the type of the numbers says. Sets of 8 bits that use them are passed over.
    Raises `DataError` if the type says nothing and none is chosen.
    """
    kinds: dict[str, _Seen] = {}
    for place in np.unique(np.linspace(0, len(domain.paths) - 1, LOOKED_AT).astype(int)):
        path = domain.paths[place]
        try:
            pixels = read_pixels(path)
        except (DataError, MemoryError):
            continue  # told of when its turn comes
        kinds.setdefault(pixels.kind, _Seen(pixels.assumed, path)).add(pixels, chosen)
    for kind, seen in sorted(kinds.items()):
        _tell(domain.folder, kind, seen, chosen)
    if chosen is None:
        _refuse_untold(domain.paths)


def _refuse_untold(paths: Sequence[str]) -> None:
    """Raise `DataError` now for the first file whose type implies no range, so that it does not end training later."""
    with ThreadPoolExecutor(CHECKING_THREADS) as pool:
        for path, kind in zip(paths, pool.map(_untold, paths), strict=True):
            if kind is not None:
                raise DataError(f"{path}: {kind} values: {GIVE_RANGE}")


def _untold(path: str) -> str | None:
    try:
        return untold_type(path)
    except DataError:  # told of when its turn comes
        return None


def _tell(folder: str, kind: str, seen: _Seen, chosen: Range | None) -> None:
    least, most = min(seen.ends), max(seen.ends)
    found = f"{folder}: {kind} values {least:g} to {most:g}"
    if not np.isfinite(least + most):
        return  # told of when the image is read
    if chosen is None and (seen.assumed is None or least < seen.assumed[0] or most > seen.assumed[1]):
        raise DataError(f"{found} (the first: {seen.first}): {GIVE_RANGE}")
    low, high = chosen or seen.assumed or (0, 1)
    beyond = f"{100 * np.mean(seen.beyond or 0):.0f} % of the values lie outside"
    if seen.used(low, high) < LEAST_SHARE * (high - low):
        percent = 100 - 2 * TAIL
        log.warning(
            "%s, %g %% of them in less than 1/16 of the range %g (black) to %g (white): %s",
            found, percent, low, high, "check --value_range" if chosen else f"if that is not intended, {GIVE_RANGE}",
        )  # fmt: skip
    elif chosen is not None:
        level = logging.WARNING if np.mean(seen.beyond) > MOST_OUTSIDE else logging.INFO
        log.log(level, "%s; %g becomes black and %g white, %s", found, low, high, beyond)
    elif kind != "8-bit":
        log.info("%s; %g becomes black and %g white; to change that, use --value_range LOW,HIGH", found, low, high)
