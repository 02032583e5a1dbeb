"""Checks of which rewards are the same for a learner: potential differences, and equivalence to others."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from rlkit.design.evidence import Evidence, steps_of
from rlkit.design.paying import on_steps, on_trajectories
from rlkit.design.types import Verdict
from rlkit.types import Reward, Trajectory, Transition

_SAME = 1e-4
_CLOSE = 0.01


def potential_based(reward: Reward, evidence: Evidence, *, size: int = 256, blocks: bool = False) -> Verdict:
    """Whether a reward is a potential difference ``γ Φ(s') - Φ(s)`` beside what it pays for success.

    Between states that were seen (none of success, none that ended an episode), two ways of two steps from
    one to another are paid the same, ``F(s,u) + γ F(u,e) = F(s,v) + γ F(v,e)``, whatever the actions; and
    terminal states have Φ = 0 (Grzes 2017): ``F(s, e) - F(s, e terminal)`` does not depend on ``s``, and what
    is paid for ending does not depend on where. Such a reward changes no optimal policy (Ng, Harada & Russell
    1999). The test is ours; that no cycle gains would be a wrong one: with a negative Φ
    a cycle of a potential difference gains ``(1 - γ) |Φ|``.

    Args:
      reward: the reward; its memory sees both steps.
      evidence: of the task.
      size: how many quadruples of states.
      blocks: whether failing keeps a candidate from training, where what is optimal must not change.
    """
    steps = steps_of(evidence.episodes)
    usual = np.flatnonzero(~steps.success & ~steps.terminated)
    verdict = lambda passed, reason="", **n: Verdict("potential-based", passed, reason, blocks, n)
    if usual.size < 8:
        return verdict(None, "undecided: too few states were seen")
    chance = np.random.default_rng(0)
    s, u, v, e, w, act, act2 = chance.choice(usual, (7, size))
    paths, ways = {}, []
    for gamma in dict.fromkeys((evidence.discount, 1.0)):
        ways = [_two(reward, steps, (s, mid, e), (act, act2), gamma) for mid in (u, v)]
        paths[gamma] = _rms(ways[0] - ways[1])
    scale = _rms(np.concatenate(ways)) + 1e-12
    gap = paths[evidence.discount] / scale
    numbers = {"path": paths[evidence.discount], "relative": gap}
    if gap > _SAME:
        if paths[1.0] / scale <= _SAME:
            reason = f"it is a potential difference with discount 1 instead of {evidence.discount:g}"
        else:
            reason = (
                f"two ways between the same states are paid differently, by {gap:.2g} of what they are paid"
            )
        return verdict(False, reason, **numbers)
    # What the end of an episode does to F(s, e), for two states s: it takes away γ Φ(e).
    ends = [_one(reward, steps, x, e, act, False) - _one(reward, steps, x, e, act2, True) for x in (s, w)]
    places = [_one(reward, steps, s, x, act, True) for x in (e, v)]
    ending = max(_rms(ends[0] - ends[1]), _rms(places[0] - places[1])) / scale
    if ending > _SAME:
        reason = "the potential of a terminal state does not count as 0: use jnp.where(done, 0.0, ...) for it"
        return verdict(False, reason, **numbers, terminal=ending)
    return verdict(True, **numbers, terminal=ending)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def _between(steps: Transition, a: np.ndarray, b: np.ndarray, act: np.ndarray, ends: bool) -> Transition:
    """Steps from the states ``a`` to the states ``b`` (rows of what was seen), without any reward so far."""
    pick = lambda tree, index: jax.tree.map(lambda x: x[index], tree)
    no: Any = np.zeros(a.shape, bool)
    nothing: Any = np.zeros(a.shape, np.float32)
    return Transition(
        steps.obs[a], steps.action[act], steps.obs[b], pick(steps.features, a), pick(steps.features, b),
        nothing, no | ends, no, no, ~no,
    )  # fmt: skip


def _one(reward: Reward, steps: Transition, a: np.ndarray, b: np.ndarray, act: np.ndarray, ends: bool):
    return on_steps(reward, _between(steps, a, b, act, ends))[0]


def _two(reward: Reward, steps: Transition, states: tuple, actions: tuple, gamma: float) -> np.ndarray:
    """Discounted sum of two steps through three states, ``[size]``."""
    a, b, c = states
    first = _between(steps, a, b, actions[0], False)
    later: Any = np.zeros(a.shape, bool)
    second = _between(steps, b, c, actions[1], False)._replace(first=later)
    both = jax.tree.map(lambda *x: np.stack(x), first, second)
    value, _ = on_trajectories(reward, Trajectory(both, both.reward, {}, {}))
    return value[0] + gamma * value[1]


def canonical(reward: Reward, evidence: Evidence, *, size: int = 128, others: int = 64) -> np.ndarray:
    """A reward as EPIC compares it (Gleave et al., arXiv 2006.13900, definition 4.1), float64 ``[size]``.

    ``C(R)(s, a, s') = R(s, a, s') + γ E[R(s', A, S')] - E[R(s, A, S')] - γ E[R(S, A, S')]`` on steps that
    were seen, with S, A and S' independent and drawn from them. Rewards with memory are taken with fresh
    memory.

    Args:
      reward: the reward.
      evidence: of the task; the same evidence gives the same steps.
      size: how many steps.
      others: draws for each mean.
    """
    steps, chance = steps_of(evidence.episodes), np.random.default_rng(2)
    rows = steps.reward.shape[0]
    at = chance.integers(0, rows, size)
    start, act, end = chance.integers(0, rows, (3, others))
    # States are those before steps; those after the chosen steps are appended to them.
    chosen = jax.tree.map(lambda x: x[at], steps)
    after = chosen._replace(features=chosen.next_features, obs=chosen.next_obs)
    both = jax.tree.map(lambda *x: np.concatenate(x), steps, after)

    def mean(states: np.ndarray) -> np.ndarray:
        wide = lambda x: np.tile(x, states.size)
        pairs = _between(both, np.repeat(states, others), wide(end), wide(act), False)
        return on_steps(reward, pairs)[0].reshape(states.size, others).mean(1)

    own = _one(reward, both, at, rows + np.arange(size), at, False)
    g = evidence.discount
    return own + g * mean(rows + np.arange(size)) - mean(at) - g * mean(start).mean()


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The EPIC distance of two canonical rewards in [0, 1]: ``sqrt((1 - ρ) / 2)`` with Pearson's ρ.

    0 for rewards that differ by a positive scale and a potential difference; 1/√2 if one of them tells
    nothing beyond a potential difference and the other does, 0 if neither does.
    """
    small = [np.std(x) <= 1e-5 * (np.abs(x).max() + 1e-12) or np.std(x) < 1e-7 for x in (a, b)]
    if all(small):
        return 0.0
    if any(small):
        return float(np.sqrt(0.5))
    return float(np.sqrt(max(1.0 - np.corrcoef(a, b)[0, 1], 0.0) / 2))


class Forms(NamedTuple):
    """By what rewards are told apart."""

    canonical: np.ndarray  # float64 [size], see :func:`canonical`
    paid: np.ndarray  # float64 [M]: for the steps of the evidence, each with fresh memory


def forms(reward: Reward, evidence: Evidence, *, most: int = 16_384) -> Forms:
    """The forms of a reward, of at most so many steps."""
    steps = steps_of(evidence.episodes)
    rows = steps.reward.shape[0]
    if rows > most:
        at = np.random.default_rng(3).choice(rows, most, replace=False)
        steps = jax.tree.map(lambda x: x[at], steps)
    return Forms(canonical(reward, evidence), on_steps(reward, steps)[0])


def equivalence(
    reward: Reward, evidence: Evidence, trained: Mapping[str, Forms], *, least: float = _CLOSE
) -> Verdict:
    """Whether a reward is one that was trained already, up to a positive scale and a potential difference.

    Equivalent rewards have the same optimal policies, but may be learned at different speeds, which is what
    shaping is for: this warns. A reward that pays the same for every step is stopped: training it again
    would show nothing. It does not say that a candidate is bad.

    Args:
      reward: the reward.
      evidence: of the task.
      trained: :func:`forms` of those that were, by name.
      least: EPIC distance below which two are equivalent, and share of what one pays below which two are the
        same if they differ by it (root mean square).
    """
    if not trained:
        return Verdict("equivalence", True)
    mine = forms(reward, evidence)
    apart = {name: distance(mine.canonical, other.canonical) for name, other in trained.items()}
    nearest = min(apart, key=lambda name: (apart[name], _difference(mine.paid, trained[name].paid)))
    same = {name: _difference(mine.paid, other.paid) for name, other in trained.items()}
    closest = min(same, key=lambda name: same[name])
    numbers = {"distance": apart[nearest], "difference": same[closest]}
    if same[closest] < least:
        reason = f"it pays what candidate {closest} pays, which was trained already"
        return Verdict("equivalence", False, reason, numbers=numbers)
    if apart[nearest] >= least:
        return Verdict("equivalence", True, numbers=numbers)
    reason = (
        f"up to scale and a potential difference it is candidate {nearest}, which was trained already: it "
        "has the same optimal policies, perhaps learned at another speed"
    )
    return Verdict("equivalence", False, reason, blocks=False, numbers=numbers)


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square of the difference, as a share of the larger of both; 0 if both are 0."""
    size = max(_rms(one), _rms(other))
    return _rms(one - other) / size if size > 0 else 0.0
