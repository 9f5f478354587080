"""Fills polygons in whole-number arithmetic, so that the pixels do not depend on a drawing library's version."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Corners are given in 1/SUB of a pixel; a pixel belongs to a shape if its center does.
SUB = 16

IntArray = NDArray[np.int64]


def _first(position: IntArray, step: IntArray | int) -> IntArray:
    """Return the first pixel whose center lies at or after position / step, in 1/SUB pixels."""
    first: IntArray = -((SUB // 2 * step - position) // (SUB * step))
    return first


def _edges(outlines: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the edges of outlines (k, n, 2): starts (k * n, 2), ends, and +1 or -1 by which way round each runs."""
    ends = np.concatenate([outlines[:, 1:], outlines[:, :1]], axis=1)
    area = (outlines[..., 0] * ends[..., 1] - ends[..., 0] * outlines[..., 1]).sum(axis=1)
    turn = np.where(area < 0, -1, 1).repeat(outlines.shape[1])
    return outlines.reshape(-1, 2), ends.reshape(-1, 2), turn


def _crossings(shapes: Sequence[IntArray], canvas: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return where outlines cross the pixel rows: row, first pixel to the right, direction +1 or -1."""
    start, end, turn = (np.concatenate(parts) for parts in zip(*map(_edges, shapes), strict=True))
    falls = end[:, 1] > start[:, 1]
    upper, lower = np.where(falls[:, None], start, end), np.where(falls[:, None], end, start)
    row0, row1 = (_first(np.minimum(np.maximum(y[:, 1], 0), canvas * SUB), 1) for y in (upper, lower))
    count = row1 - row0
    edge = np.arange(len(count)).repeat(count)
    row = np.arange(len(edge)) - (count.cumsum() - count - row0)[edge]
    width, height = (lower - upper).T
    height = height[edge]
    below = SUB * row + SUB // 2 - upper[:, 1][edge]
    column = _first(upper[:, 0][edge] * height + below * width[edge], height)
    return row, np.minimum(np.maximum(column, 0), canvas), np.where(falls, turn, -turn)[edge]


def fill(shapes: Sequence[IntArray], canvas: int) -> NDArray[np.uint8]:
    """Fill the union of closed outlines on a square canvas.

    Args:
        shapes: groups of outlines (k, n, 2), corners x, y in 1/SUB pixels; they may reach past the canvas. An outline
            should not cross itself: a part that runs the other way round would cut into the outlines below it.
        canvas: width and height in pixels.

    Returns:
        The canvas (canvas, canvas) uint8, 255 inside and 0 outside.
    """
    pixels = np.zeros((canvas, canvas), dtype=np.uint8)
    row, column, direction = _crossings(shapes, canvas)
    if len(row) == 0:
        return pixels
    top, left = int(row.min()), int(column.min())
    height, width = int(row.max()) - top + 1, int(column.max()) - left
    place = (row - top) * (width + 1) + column - left
    steps = np.bincount(place, weights=direction, minlength=height * (width + 1)).reshape(height, width + 1)
    inside = steps.cumsum(axis=1)[:, :width] != 0
    np.multiply(inside, 255, out=pixels[top : top + height, left : left + width], casting="unsafe")
    return pixels
