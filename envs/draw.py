"""A small rasteriser: anti-aliased shapes on NumPy images, for the environments' ``render``.

Images are float32 ``[height, width, 3]`` with values 0 to 255 and are drawn on in place; pixel
coordinates are ``(x, y)`` with ``y`` downwards, pixel ``[0, 0]`` covering the unit square at the origin.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Colour = tuple[int, int, int]
Point = Sequence[float] | np.ndarray

PAPER: Colour = (250, 250, 248)
INK: Colour = (38, 45, 56)
GREY: Colour = (176, 182, 190)
BLUE: Colour = (38, 110, 190)
SKY: Colour = (205, 225, 243)
ORANGE: Colour = (232, 119, 34)
GREEN: Colour = (42, 150, 96)
RED: Colour = (205, 60, 60)


def canvas(size: int, colour: Colour = PAPER) -> np.ndarray:
    """A square image of one colour."""
    return np.full((size, size, 3), colour, np.float32)


def finish(image: np.ndarray) -> np.ndarray:
    """The image as uint8."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


class View(NamedTuple):
    """A map from world coordinates (y upwards) to pixels (y downwards)."""

    scale: float  # pixels per unit
    x: float  # pixel of the world's origin
    y: float

    def __call__(self, point: Point) -> np.ndarray:
        """The pixel coordinates of a world point (or of points, ``[..., 2]``)."""
        point = np.asarray(point, np.float64)
        return np.stack([self.x + self.scale * point[..., 0], self.y - self.scale * point[..., 1]], -1)


def fit(size: int, low: Point, high: Point, margin: float = 0.0) -> View:
    """The view that centres the world rectangle ``low .. high`` in a square image; margin in pixels."""
    extent = (high[0] - low[0], high[1] - low[1])
    scale = (size - 2 * margin) / max(extent)
    x = (size - scale * extent[0]) / 2 - scale * low[0]
    y = (size + scale * extent[1]) / 2 + scale * low[1]
    return View(scale, x, y)


def _region(
    image: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The part of the image around a box and the coordinates of its pixels' centres; None if outside."""
    height, width = image.shape[:2]
    x0, y0 = (max(int(np.floor(v)) - 1, 0) for v in low)
    x1, y1 = min(int(np.ceil(high[0])) + 1, width), min(int(np.ceil(high[1])) + 1, height)
    if x0 >= x1 or y0 >= y1:
        return None
    y, x = np.ogrid[y0:y1, x0:x1]
    return image[y0:y1, x0:x1], (x + 0.5).astype(np.float32), (y + 0.5).astype(np.float32)


def _paint(part: np.ndarray, coverage: np.ndarray, colour: Colour, alpha: float) -> None:
    opacity = (alpha * np.clip(coverage, 0.0, 1.0))[..., None].astype(np.float32)
    part += opacity * (np.asarray(colour, np.float32) - part)


def tiles(image: np.ndarray, colours: np.ndarray, view: View) -> None:
    """Paint a grid of unit cells.

    Args:
      image: drawn on in place.
      colours: uint8 or float ``[rows, columns, 3]``; entry ``[y, x]`` covers ``(x, y)`` to ``(x+1, y+1)``.
      view: from :func:`fit`.
    """
    rows, columns = colours.shape[:2]
    height, width = image.shape[:2]
    x = np.floor((np.arange(width) + 0.5 - view.x) / view.scale).astype(int)
    y = np.floor((view.y - np.arange(height) - 0.5) / view.scale).astype(int)
    inside_x, inside_y = np.flatnonzero((x >= 0) & (x < columns)), np.flatnonzero((y >= 0) & (y < rows))
    image[np.ix_(inside_y, inside_x)] = colours[np.ix_(y[inside_y], x[inside_x])]


def rectangle(image: np.ndarray, low: Point, high: Point, colour: Colour, alpha: float = 1.0) -> None:
    """Paint an axis-parallel rectangle between two pixel corners."""
    corners = np.stack([np.asarray(low, float), np.asarray(high, float)])
    low, high = corners.min(0), corners.max(0)
    region = _region(image, low, high)
    if region is not None:
        part, x, y = region
        across = np.minimum(np.minimum(x - low[0], high[0] - x) + 0.5, 1).clip(0)
        down = np.minimum(np.minimum(y - low[1], high[1] - y) + 0.5, 1).clip(0)
        _paint(part, across * down, colour, alpha)


def disc(
    image: np.ndarray, centre: Point, radius: float, colour: Colour, alpha: float = 1.0, width: float = 0.0
) -> None:
    """Paint a disc, or with ``width > 0`` a ring of that width just inside ``radius`` (pixels)."""
    centre = np.asarray(centre, float)
    region = _region(image, centre - radius, centre + radius)
    if region is not None:
        part, x, y = region
        distance = np.hypot(x - centre[0], y - centre[1])
        coverage = np.clip(radius - distance + 0.5, 0, 1)
        if width > 0:
            coverage = coverage - np.clip(radius - width - distance + 0.5, 0, 1)
        _paint(part, coverage, colour, alpha)


def line(
    image: np.ndarray, start: Point, end: Point, width: float, colour: Colour, alpha: float = 1.0
) -> None:
    """Paint a straight line with round ends between two pixel points."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    region = _region(image, np.minimum(start, end) - width / 2, np.maximum(start, end) + width / 2)
    if region is not None:
        part, x, y = region
        along = end - start
        share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / max(float(along @ along), 1e-12)
        share = np.clip(share, 0, 1)
        distance = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
        _paint(part, width / 2 - distance + 0.5, colour, alpha)


def grey_map(values: np.ndarray, size: int) -> np.ndarray:
    """An array as a uint8 image ``[size, size, 3]`` of grey values, the largest black.

    Three axes are ``[height, width, channels]``, the channels one beside the other; fewer are rows.
    """
    grid = np.concatenate(list(np.moveaxis(values, -1, 0)), 1) if values.ndim == 3 else np.atleast_2d(values)
    grid = grid.reshape(grid.shape[0], -1)
    span = max(float(grid.max() - grid.min()), 1e-6)
    rows, columns = (np.arange(size) * n // size for n in grid.shape)
    grey = 255 * (grid.max() - grid[rows][:, columns]) / span
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, -1)
