"""Labels that the completions of a prompt vote for, instead of labels that someone knows.

Answers are integers; a negative one is an answer that could not be read: it neither votes nor is ever right.
"""

import math

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError


def weighted_vote(answer: jax.Array, weight: jax.Array) -> jax.Array:
    """The answer with the largest sum of weights; of equal ones the smallest id.

    Args:
      answer: int32 ``[..., G]``.
      weight: float ``[..., G]``, at least 0; 1 for majority voting.

    Returns:
      int32 ``[...]``; -1 where no answer could be read.
    """
    votes = jnp.where(answer >= 0, weight, 0.0)
    same = answer[..., :, None] == answer[..., None, :]
    total = jnp.sum(same * votes[..., None, :], -1)
    most = jnp.max(jnp.where(answer >= 0, total, -jnp.inf), -1, keepdims=True)
    # Sums of the same votes in another order round differently: what is as good as equal is equal.
    winners = (answer >= 0) & (total >= most - 1e-5 * jnp.abs(most))
    label = jnp.min(jnp.where(winners, answer, jnp.iinfo(jnp.int32).max), -1)
    return jnp.where(jnp.any(winners, -1), label, -1)


def agrees(answer: jax.Array, label: jax.Array) -> jax.Array:
    """1.0 where an answer is the label; an unread answer agrees with nothing."""
    return ((answer == label) & (answer >= 0)).astype(jnp.float32)


def step_confidence(top_log_prob: jax.Array, step: jax.Array, mask: jax.Array, steps: int) -> jax.Array:
    """How peaked the policy was along a completion (SCOPE 2512.15146): the mean over steps of their means.

    A token's confidence is minus the mean log-probability of its k best candidates: large where one of them
    has all.

    Args:
      top_log_prob: ``[..., T, k]``.
      step: int32 ``[..., T]``, in which step of the reasoning a token is, from 0.
      mask: ``[..., T]``.
      steps: how many steps there are at most.

    Returns:
      float32 ``[...]``; 0 for a completion without tokens.
    """
    confidence = -jnp.mean(top_log_prob, -1)
    member = jax.nn.one_hot(step, steps) * mask[..., None]  # [..., T, S]
    count = jnp.sum(member, -2)
    each = jnp.sum(member * jnp.where(mask > 0, confidence, 0.0)[..., None], -2) / jnp.maximum(count, 1.0)
    return jnp.sum(each, -1) / jnp.maximum(jnp.sum(count > 0, -1), 1)


def subgroup_labels(key: jax.Array, answer: jax.Array, weight: jax.Array, size: int, votes: int) -> jax.Array:
    """A label for each subgroup, voted by a random sample of the whole group (SCOPE 2512.15146).

    Members ``0 .. size - 1`` are the first subgroup, and so on; each gets the label of its own.

    Args:
      key: typed PRNG key.
      answer: int32 ``[P, G]``.
      weight: ``[P, G]``, e.g. :func:`step_confidence`.
      size: of a subgroup; divides ``G``.
      votes: completions that vote on one label, without replacement; ``G``: all do, and labels are those of
        :func:`weighted_vote`.

    Returns:
      int32 ``[P, G]``.

    Raises:
      UsageError: ``size`` does not divide ``G``, or there are not so many votes.
    """
    prompts, group = answer.shape
    if size < 1 or group % size:
        raise UsageError(f"subgroups of size={size} do not fill a group of G={group}; take a divisor")
    if not 1 <= votes <= group:
        raise UsageError(f"votes={votes}: expected 1 to G={group}")
    count = group // size
    if votes == group:
        labels = jnp.broadcast_to(weighted_vote(answer, weight)[:, None], (prompts, count))
    else:
        score = jax.random.uniform(key, (prompts, count, group))
        _, chosen = jax.lax.top_k(score, votes)
        pick = lambda x: jnp.take_along_axis(x[:, None], chosen, -1)
        labels = weighted_vote(pick(answer), pick(weight))
    return jnp.repeat(labels, size, axis=1)


def choose_group_size(
    labels: jax.Array, answer: jax.Array, sizes: tuple[int, ...], lam: float = 0.7
) -> jax.Array:
    """Which size of subgroups balances agreement and diversity (SCOPE 2512.15146).

    For each size: ``rate``, the mean pseudo-reward, and ``div``, the mean number of distinct labels of a
    prompt. Of those that no other size beats in both, scaled to [0, 1], the one with the least
    ``sqrt(lam (1 - rate)² + (1 - lam) (1 - div)²)``.

    Args:
      labels: int32 ``[S, P, G]``, by size, from :func:`subgroup_labels`.
      answer: int32 ``[P, G]``.
      sizes: the ``S`` sizes.
      lam: weight of agreement.

    Returns:
      int32 ``[]``: the place in ``sizes``.
    """
    rate = jnp.mean(agrees(answer, labels), (1, 2))
    distinct = []
    for place, size in enumerate(sizes):
        own = labels[place][:, ::size]  # one of each subgroup
        earlier = jnp.tril(own[:, :, None] == own[:, None, :], -1)
        distinct.append(jnp.mean(jnp.sum(~jnp.any(earlier, -1), -1)))
    div = jnp.stack(distinct)
    beaten = (rate[None] >= rate[:, None]) & (div[None] >= div[:, None])
    beaten &= (rate[None] > rate[:, None]) | (div[None] > div[:, None])
    front = ~jnp.any(beaten, 1)

    def scaled(x: jax.Array) -> jax.Array:
        low = jnp.min(jnp.where(front, x, jnp.inf))
        high = jnp.max(jnp.where(front, x, -jnp.inf))
        return (x - low) / jnp.where(high > low, high - low, 1.0)

    away = lam * jnp.square(1 - scaled(rate)) + (1 - lam) * jnp.square(1 - scaled(div))
    return jnp.argmin(jnp.where(front, away, math.inf)).astype(jnp.int32)


def cross_view_labels(answer: jax.Array, pair: jax.Array) -> jax.Array:
    """Each prompt's label is the majority answer of its other view (Co-Reward 2508.00410, eq. 6-8).

    Args:
      answer: int32 ``[P, G]``, both views of every question in one batch.
      pair: int32 ``[P]``, the place of the other view.

    Returns:
      int32 ``[P]``; -1 where the other view has no answer that could be read.
    """
    return weighted_vote(answer, jnp.ones(answer.shape))[pair]
