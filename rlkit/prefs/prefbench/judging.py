"""What a reward model is worth, by scenario."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError
from rlkit.prefs.metrics import macro_by_group
from rlkit.prefs.prefbench.scenarios import SCENARIOS, Bench
from rlkit.prefs.types import Segment


class Verdict(NamedTuple):
    """Accuracy by scenario with 95 % intervals (Wilson 1927); ties of scores count a half."""

    accuracy: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    macro: float  # mean over scenarios

    @property
    def at_chance(self) -> tuple[str, ...]:
        """Scenarios where the interval reaches down to a coin's 1/2."""
        return tuple(name for name, low in self.low.items() if low <= 0.5)


def judge(score: Callable[[Segment], jax.Array], bench: Bench) -> Verdict:
    """Judge a scorer.

    Args:
      score: ``item -> [B]``, e.g. ``lambda item: model.apply(params, item).total``; of an ensemble take a
        mean.
      bench: from :func:`prefbench`.

    Raises:
      UsageError: scores of another shape, or not finite: a comparison with NaN would count as wrong.
    """
    first, second = (np.asarray(score(item)) for item in (bench.test.first, bench.test.second))
    if first.shape != bench.scenario.shape:
        raise UsageError(
            f"score: gave {first.shape}; expected {bench.scenario.shape}, a number for each item"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise UsageError("score: gave numbers that are not finite; expected finite scores")
    margin, label = first - second, np.asarray(bench.test.label)
    right = np.where(margin == 0, 0.5, (margin > 0) == (label > 0.5)).astype(np.float32)
    found = macro_by_group(jnp.asarray(right), bench.scenario, len(SCENARIOS))
    accuracy = dict(zip(SCENARIOS, map(float, found.by_group), strict=True))
    ends = {name: _wilson(p, float(n)) for (name, p), n in zip(accuracy.items(), found.count, strict=True)}
    low, high = ({name: e[i] for name, e in ends.items()} for i in (0, 1))
    return Verdict(accuracy, low, high, float(found.macro))


def _wilson(share: float, count: float, z: float = 1.96) -> tuple[float, float]:
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return float(middle - half), float(middle + half)


def tabulate(verdicts: Mapping[str, Verdict]) -> str:
    """One line a scorer, one column a scenario; what is not above chance is marked ``!``."""
    width = max(map(len, verdicts)) + 2
    lines = ["".ljust(width) + "".join(f"{name:>14}" for name in (*SCENARIOS, "mean"))]
    for name, verdict in verdicts.items():
        marked = [f"{p:.3f}{'!' if s in verdict.at_chance else ' '}" for s, p in verdict.accuracy.items()]
        lines.append(
            name.ljust(width) + "".join(f"{cell:>14}" for cell in (*marked, f"{verdict.macro:.3f} "))
        )
    return "\n".join(lines)
