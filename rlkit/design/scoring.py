"""One number for what training with a reward gave, and what candidates are ranked by."""

import math

import numpy as np

from rlkit.design.types import Outcome
from rlkit.errors import unknown_name

SCORES = ("max", "final", "mean")


def score(outcome: Outcome | None, over: str = "max", curve: str = "fitness") -> float:
    """One number for an outcome; minus infinity if there is none, so that it never wins.

    Args:
      outcome: of a training; None: there was none.
      over: ``"max"``: the mean over seeds of each one's best checkpoint, which is what Eureka does
        (2310.12931 §3.3); ``"final"``: of the last checkpoint; ``"mean"``: of all of them.
      curve: what is scored, see :meth:`Outcome.curve`.
    """
    if over not in SCORES:
        raise unknown_name("score", over, SCORES)
    if outcome is None or outcome.error or not len(outcome.steps):
        return -math.inf
    values = outcome.curve(curve)
    if not np.isfinite(values).all():
        return -math.inf
    seeds = {"max": values.max(0), "final": values[-1], "mean": values.mean(0)}[over]
    return float(seeds.mean())


def merit(outcome: Outcome | None, over: str = "max", curve: str = "fitness") -> float:
    """What candidates are ranked by: their score, and between equals in success their fitness.

    Hardly any candidate succeeds at first where success is rare: then fitness leads, until one does. It adds
    less than a thousandth to a success, which is less than one episode in any judgement of up to a thousand.

    Args:
      outcome, over, curve: see :func:`score`.
    """
    found = score(outcome, over, curve)
    if curve != "success" or not math.isfinite(found):
        return found
    fitness = score(outcome, over, "fitness")
    return found + 1e-3 * fitness / (1.0 + abs(fitness)) if math.isfinite(fitness) else found
