"""Checks of what a reward pays for: whether anything that is not success pays more than success."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from rlkit.design.episodes import Episodes, discounted, loops, pay
from rlkit.design.evidence import Evidence, sample, steps_of
from rlkit.design.paying import after, on_steps
from rlkit.design.types import Verdict
from rlkit.errors import unknown_name
from rlkit.types import Reward, Transition

_MARGIN = 1e-3
READINGS = ("pairs", "best", "strict")
EPISODE = "episode"
"""Of a verdict's numbers: which episode of the evidence is paid more than success."""
SUCCESS_PAYS = "success pays"
"""Of the numbers of *order*: what successes of the evidence are paid per episode (mean, undiscounted)."""


def _margin(*values: float) -> float:
    """What counts as a difference: a thousandth of the largest magnitude."""
    return _MARGIN * max((abs(v) for v in values if np.isfinite(v)), default=0.0) + 1e-6


def farming(reward: Reward, evidence: Evidence) -> Verdict:
    """Whether going round in a loop for ever is worth more than success, and more than resting on the way.

    The loops are closed ones of real episodes (:func:`rlkit.design.episodes.loops`): short patterns of
    actions repeated, going to and fro. What resting in one of its states pays as well is
    :func:`hovering`. Undecided where no success is known, or no loop.
    """
    return _endless("farming", reward, evidence)


def hovering(reward: Reward, evidence: Evidence) -> Verdict:
    """Whether waiting, next to success or elsewhere, is worth more than succeeding: a warning.

    The state before success is repeated until the time limit, and compared with the step of success and, if
    that does not end the episode, with staying there; the state is taken to be one in which one can
    stay. And real episodes that come to rest are compared with success as in :func:`farming`.
    """
    before = _before_success(reward, evidence)
    return _endless("hovering", reward, evidence) if before.passed else before


def dying(reward: Reward, evidence: Evidence) -> Verdict:
    """Whether an episode that ends by itself without success is worth more than success from the same start.

    Undecided where no such episode is known, or no success.
    """
    episodes = evidence.episodes
    value = discounted(pay(reward, episodes).reward, episodes, evidence.discount)
    value = np.where(episodes.terminated & ~episodes.solved, value, -np.inf)
    honest = _honest(reward, evidence)
    place = _worst(value, honest, episodes)
    if place is None:
        return Verdict("dying", None, "undecided: no success, or no end without it, is known")
    numbers = {"ending": float(value[place]), "success": float(honest[place])}
    if numbers["ending"] <= numbers["success"] + _margin(*numbers.values()):
        return Verdict("dying", True, numbers=numbers)
    numbers[EPISODE] = float(place)
    reason = f"ending the episode without success is worth {value[place]:.4g}, success {honest[place]:.4g}"
    return Verdict("dying", False, reason, numbers=numbers)


def _honest(reward: Reward, evidence: Evidence) -> np.ndarray:
    """For each episode what the best success from its start is worth; -inf where none is known."""
    episodes = evidence.episodes
    value = discounted(pay(reward, episodes).reward, episodes, evidence.discount, goes_on=True)
    value = np.where(episodes.solved, value, -np.inf)
    return np.array([value[episodes.start == start].max() for start in episodes.start])


def _worst(value: np.ndarray, honest: np.ndarray, episodes: Episodes) -> int | None:
    """The episode that exceeds success most; None if there is nothing to compare."""
    known = np.isfinite(value) & np.isfinite(honest) & ~episodes.solved
    if not known.any():
        return None
    return int(np.argmax(np.where(known, value - np.where(known, honest, 0), -np.inf)))


def _endless(check: str, reward: Reward, evidence: Evidence) -> Verdict:
    blocks = check == "farming"
    episodes, discount = evidence.episodes, evidence.discount
    found = loops(pay(reward, episodes).reward, _resting(reward, episodes), episodes, discount)
    known = np.isfinite(found.value)
    rate, rest = (np.where(known, x, 0.0) for x in (found.rate, found.resting))
    moving = rate > rest + 1e-3 * np.maximum(np.abs(rate), np.abs(rest)) + 1e-6
    value = np.where(moving if blocks else known & ~moving, found.value, -np.inf)
    honest = _honest(reward, evidence)
    if not np.isfinite(honest).any():
        return Verdict(check, None, "undecided: no episode with success is known", blocks)
    place = _worst(value, honest, episodes)
    if place is None:
        if known.any():
            return Verdict(check, True, blocks=blocks)
        return Verdict(check, None, "undecided: no closed loop is known from where success is", blocks)
    numbers = {"loop": float(value[place]), "success": float(honest[place]), "rate": float(found.rate[place])}
    if numbers["loop"] <= numbers["success"] + _margin(numbers["loop"], numbers["success"]):
        return Verdict(check, True, blocks=blocks, numbers=numbers)
    numbers[EPISODE] = float(place)
    what = "going round in a loop" if blocks else "staying without success"
    reason = f"{what} for ever is worth {value[place]:.4g}, success {honest[place]:.4g} (discounted)"
    return Verdict(check, False, reason, blocks, numbers)


def _resting(reward: Reward, episodes: Episodes) -> np.ndarray:
    """What staying in the state before each step would pay, ``[T, N]``."""
    t = episodes.trajectory.transition
    no: Any = np.zeros_like(t.terminated)
    nothing: Any = np.zeros_like(t.reward)
    flat = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), t._replace(
        next_features=t.features, next_obs=t.obs, reward=nothing,
        success=no, terminated=no, truncated=no, first=no,
    ))  # fmt: skip
    return _second(reward, flat, flat).reshape(t.terminated.shape)


def _before_success(reward: Reward, evidence: Evidence) -> Verdict:
    """Waiting in the states before success."""
    episodes = evidence.episodes
    reached = episodes.valid & episodes.trajectory.transition.success
    if not reached.any():
        return Verdict("hovering", None, "undecided: no episode with success is known", blocks=False)
    columns = np.flatnonzero(reached.any(0))
    first = reached.argmax(0)[columns]
    at = jax.tree.map(lambda x: np.asarray(x)[first, columns], episodes.trajectory.transition)
    nothing = np.zeros_like(at.terminated)
    waiting = at._replace(
        next_features=at.features, next_obs=at.obs, reward=np.zeros_like(at.reward),
        success=nothing, terminated=nothing, truncated=nothing,
    )  # fmt: skip
    staying = at._replace(features=at.next_features, obs=at.next_obs, first=nothing, truncated=nothing)
    wait, there, stay = (_second(reward, at, steps) for steps in (waiting, at, staying))
    left = np.maximum(evidence.max_steps - first, 1)
    g = evidence.discount
    rest = lambda n: n.astype(float) if g >= 1 else (1 - g**n) / (1 - g)
    waited = wait * rest(left)
    done = there + np.where(at.terminated, 0.0, g * stay * rest(left - 1))
    share = float(np.mean(waited > done + [_margin(a, b) for a, b in zip(waited, done, strict=True)]))
    numbers = {"waiting": float(np.median(waited)), "success": float(np.median(done)), "share": share}
    if share < 0.5:
        return Verdict("hovering", True, blocks=False, numbers=numbers)
    reason = (
        f"waiting next to success until the time limit is worth {numbers['waiting']:.4g}, "
        f"succeeding {numbers['success']:.4g} (discounted)"
    )
    return Verdict("hovering", False, reason, blocks=False, numbers=numbers)


def _second(reward: Reward, before: Transition, steps: Transition) -> np.ndarray:
    """The pay for steps, for a reward with memory after it has seen the states before."""
    if not jax.tree.leaves(reward.init(jax.random.key(0))):
        return on_steps(reward, steps)[0]
    no: Any = np.zeros_like(before.terminated)
    start = before._replace(
        next_features=before.features, next_obs=before.obs, success=no, terminated=no, first=~no,
    )  # fmt: skip
    return after(reward, start, steps)


def order(
    reward: Reward, evidence: Evidence, *, reading: str = "pairs", least: float = 0.8, reversed: float = 0.1
) -> Verdict:
    """Whether successes are paid more than failures (CARD, arXiv 2410.14660).

    Returns are discounted and end with the episode. Failing is a warning, because hovering fails here as
    well; a reward that pays failure more nearly always is stopped: its sign is wrong.

    Args:
      reward: the reward.
      evidence: of the task.
      reading: ``"pairs"``: the share of pairs of a success and a failure from one start that are in order is
        at least ``least`` (the paper's prose); ``"best"``: the share of successes above the best failure
        of their start is (its code); ``"strict"``: every success is above every failure (its definition).
      least: of the first two.
      reversed: share of pairs below which failing stops a candidate.

    Returns:
      The verdict, with the numbers of all three readings and :data:`SUCCESS_PAYS`; undecided where one of the
      classes is missing.
    """
    if reading not in READINGS:
        raise unknown_name("reading", reading, READINGS)
    episodes = evidence.episodes
    paid = pay(reward, episodes).reward
    value = discounted(paid, episodes, evidence.discount)
    pairs, best, strict = [], [], []
    for start in np.unique(episodes.start):
        here = episodes.start == start
        good, bad = value[here & episodes.solved], value[here & ~episodes.solved]
        if good.size and bad.size:
            pairs.append((good[:, None] > bad[None]).mean())
            best.append((good > bad.max()).mean())
            strict.append(good.min() > bad.max())
    if not pairs:
        missing = "failure" if episodes.solved.any() else "success"
        return Verdict("order", None, f"undecided: no {missing} is known", False)
    numbers = {name: float(np.mean(x)) for name, x in zip(READINGS, (pairs, best, strict), strict=True)}
    numbers[SUCCESS_PAYS] = float(discounted(paid, episodes, 1.0)[episodes.solved].mean())
    passed = numbers[reading] >= (1.0 if reading == "strict" else least)
    reason = (
        ""
        if passed
        else (
            f"in {numbers['pairs']:.0%} of pairs success is paid more than failure from the same start, "
            f"{numbers['best']:.0%} of successes are paid more than the best failure"
        )
    )
    return Verdict("order", passed, reason, numbers["pairs"] < reversed, numbers)


def hack_replay(
    reward: Reward, evidence: Evidence, parents: Sequence[Reward] = (), exploits: Episodes | None = None
) -> Verdict:
    """Whether a reward pays a known exploit more per step than its parents do, and than success.

    Amounts are in units of the root mean square of what each reward pays on the evidence, so that
    another scale changes nothing. What is paid less than successes are on average is no exploit of this
    reward: a denser child pays a little for nearly everything. Where no success is known, the parents alone
    are compared with; without parents it is a warning.

    Args:
      reward: the reward.
      evidence: of the task.
      parents: rewards that it was made from.
      exploits: episodes that some reward was found to pay for without success; None takes the evidence's.
    """
    exploits = evidence.exploits if exploits is None else exploits
    if exploits is None or not exploits.start.size:
        return Verdict("hack replay", None, "undecided: no exploit is known")
    mine = _rates(reward, exploits, evidence)
    limits = [_rates(parent, exploits, evidence) for parent in parents]
    than = "its parent pays" if parents else "success is paid"
    if evidence.episodes.solved.any():
        successes = evidence.episodes.take(evidence.episodes.solved)
        limits.append(np.full(mine.shape, _rates(reward, successes, evidence).mean()))
        than = "its parent and success are paid" if parents else than
    if not limits:
        return Verdict("hack replay", None, "undecided: it has no parent and no success is known")
    allowed = np.max(limits, 0)
    excess, blocks = mine - allowed, bool(parents)
    worst = int(np.argmax(excess))
    numbers = {"exploit": float(mine[worst]), "allowed": float(allowed[worst])}
    if excess[worst] <= _margin(mine[worst], allowed[worst]):
        return Verdict("hack replay", True, blocks=blocks, numbers=numbers)
    reason = (
        f"a known exploit is paid {mine[worst]:.3g} per step, {than} {allowed[worst]:.3g} "
        "(in units of its typical pay)"
    )
    return Verdict("hack replay", False, reason, blocks, numbers)


def _rates(reward: Reward, episodes: Episodes, evidence: Evidence) -> np.ndarray:
    steps = sample(steps_of(evidence.episodes), np.random.default_rng(1), 256)
    typical = float(np.sqrt(np.mean(on_steps(reward, steps)[0] ** 2))) or 1.0
    return pay(reward, episodes).reward.sum(0) / np.maximum(episodes.length, 1) / typical
