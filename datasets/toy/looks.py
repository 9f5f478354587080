"""The eight looks: what a horse of each kind looks like, and which zebra it turns into.

A look is a coat (four) times a marking (two). In domain A the marking is dark points (dark mane, tail and
lower legs) or light points (flaxen mane, blaze and white socks); in domain B the same marking is a stripe
pattern. The one property therefore shows in both domains, so every horse has exactly one true zebra.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Color = tuple[int, int, int]

PATTERNS: tuple[str, str] = ("broad", "fine")
MARKINGS: tuple[str, str] = ("dark points", "light points")


@dataclass(frozen=True)
class Coat:
    """Colors (sRGB, 0..255) of one coat in both domains."""

    name: str
    horse_name: str
    horse: Color
    dark_hair: Color
    light_hair: Color
    sock: Color
    zebra: Color
    stripe: Color


# The zebra keeps the lightness order and the hue of its horse: a translator that preserves content can learn it.
COATS: tuple[Coat, ...] = (
    Coat(
        "white",
        "gray",
        horse=(205, 206, 212),
        dark_hair=(84, 86, 98),
        light_hair=(244, 240, 228),
        sock=(248, 247, 244),
        zebra=(250, 249, 245),
        stripe=(24, 22, 26),
    ),
    Coat(
        "cream",
        "palomino",
        horse=(222, 164, 76),
        dark_hair=(92, 56, 26),
        light_hair=(252, 232, 184),
        sock=(250, 246, 236),
        zebra=(252, 216, 128),
        stripe=(70, 38, 12),
    ),
    Coat(
        "gray",
        "black",
        horse=(62, 56, 62),
        dark_hair=(22, 20, 24),
        light_hair=(206, 196, 184),
        sock=(238, 238, 238),
        zebra=(150, 162, 184),
        stripe=(18, 22, 38),
    ),
    Coat(
        "tan",
        "chestnut",
        horse=(158, 74, 34),
        dark_hair=(52, 24, 16),
        light_hair=(236, 196, 140),
        sock=(246, 240, 230),
        zebra=(222, 126, 74),
        stripe=(58, 18, 12),
    ),
)

N_LOOKS = len(COATS) * len(PATTERNS)


def coat_of(look: int) -> Coat:
    """Return the coat of a look in 0..N_LOOKS-1."""
    return COATS[look // len(PATTERNS)]


def pattern_of(look: int) -> int:
    """Return the pattern of a look in 0..N_LOOKS-1: 0 broad upright bands, 1 fine diagonal ones."""
    return look % len(PATTERNS)


def look_name(look: int) -> str:
    """Return a readable name such as ``cream, fine``."""
    return f"{coat_of(look).name}, {PATTERNS[pattern_of(look)]}"


def balanced_look(seed: int, split: int, index: int) -> int:
    """Return the look of image ``index``: every run of N_LOOKS images holds each look once, in shuffled order.

    The shuffle is seeded by the block alone, so the look of one image does not depend on how many are made.
    """
    block, place = divmod(index, N_LOOKS)
    keys = np.random.default_rng([seed, split, block, 1]).random(N_LOOKS)
    return int(np.argsort(keys, kind="stable")[place])
