"""Successive halving: candidates are compared on the way, and the worse part is not trained to the end.

Jamieson & Talwalkar 2016 (arXiv 1502.07943) compare by the loss so far. Here what they are ranked by is a
choice: the score so far, what the latents say (:mod:`rlkit.design.latents`), or the mean of several ranks,
which is ours.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from rlkit.design.latents import LATENTS
from rlkit.design.rows import Keep
from rlkit.design.scoring import merit
from rlkit.design.types import Outcome
from rlkit.errors import UsageError, unknown_name

SCORE = "score"
PREDICTORS = (SCORE, *LATENTS)


def check_predictors(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each of :data:`PREDICTORS` and there once.

    Raises:
      UsageError: they are not.
    """
    for name in names:
        if name not in PREDICTORS:
            raise unknown_name("predictor", name, PREDICTORS)
    if not names or len(set(names)) < len(names):
        raise UsageError(
            f"drop_by={tuple(names)!r}: expected one or more of {', '.join(PREDICTORS)}, each once"
        )
    return tuple(names)


def predicted(
    outcomes: Sequence[Outcome], by: Sequence[str] = (SCORE,), over: str = "mean", curve: str = "fitness"
) -> np.ndarray:
    """How good each of some half-trained candidates looks: float64 ``[N]``, greater is better.

    Args:
      outcomes: of candidates that were trained equally long.
      by: the predictors; of several the mean of a candidate's ranks counts.
      over: of the score, see :func:`rlkit.design.scoring.merit`.
      curve: of the score.

    Returns:
      Mean ranks, 1 for the worst, equal ones sharing theirs. What is undefined ranks last.
    """
    ranks = [rankdata(_values(outcomes, name, over, curve)) for name in check_predictors(by)]
    return np.mean(ranks, 0)


def _values(outcomes: Sequence[Outcome], name: str, over: str, curve: str) -> list[float]:
    if name == SCORE:
        return [merit(outcome, over, curve) for outcome in outcomes]
    sign, _ = LATENTS[name]
    found = [sign * float(np.mean(o.latents[name])) if name in o.latents else math.nan for o in outcomes]
    return [
        x if math.isfinite(x) and not o.error else -math.inf for x, o in zip(found, outcomes, strict=True)
    ]


def halving(
    drop: float, at: Sequence[float], by: Sequence[str] = (SCORE,), over: str = "mean", curve: str = "fitness"
) -> Keep:
    """What :meth:`rlkit.design.training.Trainer.train` needs to drop a share of the candidates on the way.

    Args:
      drop: share of the candidates that is dropped each time; one of them always stays.
      at: shares of the training after which.
      by, over, curve: see :func:`predicted`. Between equals the earlier one stays.
    """
    by = check_predictors(by)

    def chosen(outcomes: Sequence[Outcome]) -> list[bool]:
        looks = predicted(outcomes, by, over, curve)
        count = max(1, round(len(outcomes) * (1 - drop)))
        best = sorted(range(len(outcomes)), key=lambda i: (-looks[i], i))[:count]
        return [i in best for i in range(len(outcomes))]

    return Keep(tuple(at), chosen, any(name != SCORE for name in by))
