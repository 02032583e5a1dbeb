"""What a training taught, in words and numbers that a model reads: Eureka's reward reflection.

Source: arXiv 2310.12931 §3.3 and appendix, and its release for the numbers: about ten equally spaced
values of each component, rounded to two decimals, then the largest, mean and smallest over the whole
training. The reward itself is not shown, because it cannot be compared between candidates.
"""

import math
from collections.abc import Sequence

import numpy as np

from rlkit.design.types import Outcome

POINTS = 10
HIDDEN = ("total", "base")
"""Terms that are not shown: the sum, and what the task pays in any case."""


def reflection(outcome: Outcome, *, task_score: str = "fitness", points: int = POINTS) -> str:
    """The feedback on one training.

    Args:
      outcome: of the training.
      task_score: the curve that judges rewards; it is shown as ``task_score`` and called by no other name.
      points: about how many values of each curve are shown.

    Returns:
      A line of when the values were taken, then one for each component, for the task's score and
      for the length of episodes. Values are means over seeds; what is not finite is shown, and left out of
      the three numbers.
    """
    count = len(outcome.steps)
    stride = max(1, count // points)
    names = [name for name in outcome.terms if name not in HIDDEN]
    curves = {name: np.asarray(outcome.terms[name], np.float64) for name in names}
    curves |= {"task_score": outcome.curve(task_score), "episode_length": outcome.curve("length")}
    steps = ", ".join(str(step) for step in outcome.steps[::stride])
    lines = [f"environment steps: [{steps}]"]
    lines += [
        curve_line(name, curve.mean(1).tolist(), stride) for name, curve in curves.items() if curve.size
    ]
    return "\n".join(lines)


def curve_line(name: str, values: Sequence[float], stride: int = 1) -> str:
    """``name: ['0.10', ...], Max: 0.90, Mean: 0.50, Min: 0.10``."""
    shown = ", ".join(f"'{_number(value)}'" for value in values[::stride])
    finite = [value for value in values if math.isfinite(value)] or [math.nan]
    three = (max(finite), float(np.mean(finite)), min(finite))
    big, mean, small = (_number(value) for value in three)
    return f"{name[:64]}: [{shown}], Max: {big}, Mean: {mean}, Min: {small}"


def _number(value: float) -> str:
    """Two decimals; of numbers of more than six digits the exponent."""
    return f"{value:.2f}" if not math.isfinite(value) or abs(value) < 1e6 else f"{value:.2e}"
