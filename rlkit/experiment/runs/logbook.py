"""From rows of metrics to lines of ``metrics.jsonl``.

A line is ``{"kind", "update", "step", "mean", "std", "seeds"}``: ``kind`` is ``"train"`` (averages
over the updates since the last log point) or ``"eval"``; ``step`` counts environment steps of one
seed; ``seeds`` maps each metric to its values by seed, ``mean`` and ``std`` summarise them.
Undefined values (no episode ended) are null and left out of averages.
"""

import warnings
from typing import Any

import numpy as np

from rlkit.errors import UsageError

Line = dict[str, Any]


def number(value: Any) -> float | None:
    """A value as the shortest JSON number that reads back as the same float32; null if not finite."""
    if not np.isfinite(value):
        return None
    return float(str(np.float32(value)))


def line(kind: str, update: int, step: int, values: dict[str, np.ndarray]) -> Line:
    """One line of the log from values ``[S]`` by metric."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # all seeds undefined: the result is NaN, as it should
        wide = {name: np.asarray(v, np.float64) for name, v in values.items()}
        mean = {name: number(np.nanmean(v)) for name, v in wide.items()}
        many = {name: np.isfinite(v).sum() > 1 for name, v in wide.items()}
        std = {name: number(np.nanstd(v, ddof=1)) if many[name] else None for name, v in wide.items()}
    seeds = {name: [number(x) for x in v] for name, v in values.items()}
    return {"kind": kind, "update": update, "step": step, "mean": mean, "std": std, "seeds": seeds}


def window_mean(rows: np.ndarray) -> np.ndarray:
    """Averages ``[S, M]`` of rows ``[S, n, M]`` over n, ignoring NaN (NaN where there is nothing else)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(rows.astype(np.float64), axis=1)


def cut_windows(
    pending: np.ndarray, rows: np.ndarray, update: int, every: int, last: int
) -> tuple[list[tuple[int, np.ndarray]], np.ndarray]:
    """Split rows at the log points.

    Args:
      pending: rows ``[S, k, M]`` since the last log point.
      rows: rows ``[S, n, M]`` that came now.
      update: updates made once these are counted.
      every: log points are its multiples.
      last: the update that ends the training, a log point too.

    Returns:
      ``(windows, pending)``: ``(log point, rows)`` of each complete window, and what remains. The
      windows do not depend on how the rows arrived.

    Raises:
      UsageError: the rows have other metrics than the pending ones, which another version wrote.
    """
    if pending.shape[2] != rows.shape[2]:
        raise UsageError(
            f"this run was logging {pending.shape[2]} metrics, the program now has {rows.shape[2]}: it was "
            "begun by another version, or with other code of yours; continue it with that, or begin anew "
            "with --from config.json"
        )
    rows = np.concatenate([pending, rows], axis=1)
    begin = update - rows.shape[1]
    points = [u for u in range(begin + 1, update + 1) if u % every == 0 or u == last]
    windows = []
    for point in points:
        windows.append((point, rows[:, : point - begin]))
        rows, begin = rows[:, point - begin :], point
    return windows, rows
