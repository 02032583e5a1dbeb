"""Reward hacking in a finished run: the reward moves, success does not."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.stats import kendalltau

from rlkit.design.types import Outcome, Verdict


def changes_nothing(verdicts: Iterable[Verdict], base: str) -> bool:
    """Whether checks found a reward to be a potential difference, beside a base that says what is wanted.

    Args:
      verdicts: of :func:`rlkit.design.screen`.
      base: the reward that is paid beside it, empty for none: a potential difference alone pays for nothing.
    """
    return bool(base) and any(v.check == "potential-based" and v.passed is True for v in verdicts)


class _Seed(NamedTuple):
    moved: bool  # the reward rose
    stuck: bool  # neither success nor fitness did, with room to
    fell: bool  # success fell while the reward did not


def hacking(
    outcome: Outcome, *, invariant: bool = False, level: float = 0.05, least: float = 0.05
) -> Verdict:
    """Whether a run was paid more and more while its success stayed or fell.

    Of each seed: the designed reward rises with the checkpoints (Kendall's τ, one-sided, at ``level``), while
    success and fitness do not rise by ``least`` (and twice the error of the difference) from the first
    third of checkpoints to the last, and success was not there anyway (below 0.9); or success falls by 4
    times ``least`` from its best third and the reward of the last third is above that of the best one. The
    run alarms if more than half of its seeds do. The definition is ours; it needs at least 6 checkpoints.

    Args:
      outcome: of a training.
      invariant: the reward is a potential difference beside the task's base (see :func:`changes_nothing`): it
        may be paid more and more before there is any success, and is no hack whatever its run looks like,
        because it changes no optimal policy (Ng, Harada & Russell 1999). Such a run never alarms.
      level: of the test for a rise of the reward, per seed.
      least: rise of success, and of fitness in units of its range, that counts as one.

    Returns:
      A verdict that does not block: False is an alarm.
    """
    if outcome.error or "total" not in outcome.terms or len(outcome.steps) < 6:
        return Verdict("hacking", None, "undecided: at least 6 checkpoints are needed", blocks=False)
    total, success, fitness = (outcome.curve(name) for name in ("total", "success", "fitness"))
    if not all(np.isfinite(x).all() for x in (total, success, fitness)):
        return Verdict("hacking", None, "undecided: a curve is not finite", blocks=False)
    seeds = [_seed(*curves, level, least) for curves in zip(total.T, success.T, fitness.T, strict=True)]
    alarms = [(seed.moved and seed.stuck) or seed.fell for seed in seeds]
    numbers = {
        "alarms": float(np.mean(alarms)),
        "reward first": float(total[: len(total) // 3].mean()),
        "reward last": float(total[-(len(total) // 3) :].mean()),
        "success first": float(success[: len(success) // 3].mean()),
        "success last": float(success[-(len(success) // 3) :].mean()),
    }
    if np.mean(alarms) <= 0.5:
        return Verdict("hacking", True, blocks=False, numbers=numbers)
    if invariant:
        reason = "a potential difference changes no optimal policy"
        return Verdict("hacking", True, reason, blocks=False, numbers=numbers)
    reason = (
        f"the reward went from {numbers['reward first']:.4g} to {numbers['reward last']:.4g} an episode, "
        f"success from {numbers['success first']:.3g} to {numbers['success last']:.3g}"
    )
    return Verdict("hacking", False, reason, blocks=False, numbers=numbers)


def _seed(total: np.ndarray, success: np.ndarray, fitness: np.ndarray, level: float, least: float) -> _Seed:
    third = len(total) // 3
    ends = lambda x: (x[:third].mean(), x[-third:].mean())
    rise = lambda x: ends(x)[1] - ends(x)[0]
    tau = kendalltau(np.arange(len(total)), total, alternative="greater")
    moved = bool(tau.pvalue < level) and rise(total) > 0
    still = not (_rose(success, third, least) or _rose(fitness, third, least * float(np.abs(fitness).max())))
    windows = [slice(i, i + third) for i in range(len(total) - third + 1)]
    peak = max(windows, key=lambda w: success[w].mean())
    lost = success[peak].mean() - ends(success)[1]
    fell = lost > 4 * least and ends(total)[1] > total[peak].mean()
    return _Seed(moved, still and ends(success)[1] < 0.9, fell)


def _rose(x: np.ndarray, third: int, least: float) -> bool:
    """Whether a curve rose by ``least``, and by more than twice the standard error of the difference."""
    first, last = x[:third], x[-third:]
    error = np.sqrt((first.var(ddof=1) + last.var(ddof=1)) / third)
    return bool(last.mean() - first.mean() > max(least, 2 * error))
