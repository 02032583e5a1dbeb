"""Tables of experiments: means over seeds, differences from a base with 95 % intervals."""

import time
from collections.abc import Mapping

import numpy as np
from scipy import stats

_STARTED = time.perf_counter()


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's t) over seeds."""
    values = np.asarray(values, float)
    mean, error = values.mean(), stats.sem(values) if values.size > 1 else np.inf
    half = 0.0 if error == 0 else stats.t.ppf(0.975, max(values.size - 1, 1)) * error
    return float(mean), float(mean - half), float(mean + half)


def difference(ours: np.ndarray, base: np.ndarray) -> tuple[float, float, float]:
    """The same of the difference; seeds are paired: they share their keys."""
    return interval(np.asarray(ours, float) - np.asarray(base, float))


def show(title: str, rows: Mapping[str, Mapping[str, np.ndarray]], base: str) -> None:
    """Print a table: each method's metrics, and how they differ from the base's.

    Args:
      title: a line above.
      rows: by method, by metric, one value per seed.
      base: the method that the others are compared with.
    """
    width = max(map(len, rows)) + 2
    names = list(next(iter(rows.values())))
    seeds = len(next(iter(rows[base].values())))
    print(f"{title} ({seeds} seeds; difference from {base!r} with its 95 % interval)")
    print(" " * width + "".join(f"{name:>40}" for name in names))
    for method, metrics in rows.items():
        cells = []
        for name in names:
            text = f"{np.mean(metrics[name]):.3f}"
            if method != base:
                mean, low, high = difference(metrics[name], rows[base][name])
                text += f"  {mean:+.3f} [{low:+.3f}, {high:+.3f}]"
            cells.append(f"{text:>40}")
        print(f"{method:<{width}}" + "".join(cells))


def better(ours: np.ndarray, base: np.ndarray) -> bool:
    """Whether the interval of the difference is above 0."""
    return difference(ours, base)[1] > 0


def claim(text: str, appears: bool) -> None:
    """Print whether a paper's claim appears, and how long the script took."""
    word = "appears" if appears else "DOES NOT APPEAR"
    print(f"claim {word}: {text}  ({time.perf_counter() - _STARTED:.0f} s)")
