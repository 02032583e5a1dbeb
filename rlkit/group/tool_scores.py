"""Scores of calls of tools, as arrays: a call is the number of a tool and the values of its parameters."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name


class Calls(NamedTuple):
    """Calls of tools. Unused places have the name -1."""

    name: jax.Array  # int32 [..., C]: which tool, -1: no call
    values: jax.Array  # int32 [..., C, K]: value of each parameter, -1: the call does not give it


def _shared(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How many members two multisets share, and how many they have together; float32 ``[...]``."""
    members, others = a >= 0, b >= 0
    own = jnp.sum((a[..., :, None] == a[..., None, :]) & members[..., None, :], -1)
    across = jnp.sum((a[..., :, None] == b[..., None, :]) & others[..., None, :], -1)
    # Each of the `own` equal members of a carries its part of what they share with b.
    shared = jnp.sum(jnp.where(members, jnp.minimum(own, across) / jnp.maximum(own, 1), 0.0), -1)
    return shared, (jnp.sum(members, -1) + jnp.sum(others, -1)).astype(jnp.float32)


def multiset_jaccard(a: jax.Array, b: jax.Array) -> jax.Array:
    """``sum min / (|a| + |b| - sum min)`` of two multisets of ids; 1 if both are empty.

    Args:
      a: int32 ``[..., N]``; negative entries are no members.
      b: int32 ``[..., M]``.

    Returns:
      float32 ``[...]``.
    """
    shared, size = _shared(a, b)
    return jnp.where(size > 0, shared / jnp.where(size > 0, size - shared, 1.0), 1.0)


def multiset_f1(predicted: jax.Array, gold: jax.Array) -> jax.Array:
    """``2 |common| / (|predicted| + |gold|)`` of two multisets of ids, e.g. words; 1 if both are empty."""
    shared, size = _shared(predicted, gold)
    return jnp.where(size > 0, 2.0 * shared / jnp.where(size > 0, size, 1.0), 1.0)


GRANULARITIES = ("fine", "intermediate", "coarse")


def tool_call_reward(
    gold: Calls,
    predicted: Calls,
    parsed: jax.Array,
    largest: float = 3.0,
    granularity: str = "fine",
) -> jax.Array:
    """ToolRL's correctness (2504.13958) in ``[-largest, largest]``.

    ``S`` is the Jaccard similarity of the names, plus for each gold call, in order, the best of the unused
    predicted calls of the same name: the Jaccard similarity of the parameters given and the number of equal
    values. ``R = 2 largest S / S_max - largest``. An exact match gives ``largest``, calls that cannot be
    parsed ``-largest``, a prompt without gold calls 0.

    Args:
      gold: ``[...]`` of up to ``C`` calls.
      predicted: ``[...]`` of up to ``C'`` calls.
      parsed: bool ``[...]``: the predicted calls could be read.
      largest: see above.
      granularity: ``"fine"``; ``"intermediate"`` (the definition is ours): the values of a call count only
        if exactly the right parameters are given; ``"coarse"``: all or nothing.

    Returns:
      float32 ``[...]``.

    Raises:
      UnknownNameError: there is no such granularity.
    """
    if granularity not in GRANULARITIES:
        raise unknown_name("granularity", granularity, GRANULARITIES)
    exact = _same_calls(gold, predicted)
    if granularity == "coarse":
        value = jnp.where(exact, largest, -largest)
    else:
        score, best = _match(gold, predicted, strict=granularity == "intermediate")
        names = multiset_jaccard(gold.name, predicted.name)
        value = 2.0 * largest * (names + score) / (1.0 + best) - largest
        value = jnp.where(exact, largest, value)
    value = jnp.where(parsed, value, -largest)
    return jnp.where(jnp.any(gold.name >= 0, -1), value, 0.0)


def _match(gold: Calls, predicted: Calls, strict: bool) -> tuple[jax.Array, jax.Array]:
    """Greedy matching of gold calls: the score and what it could be at most."""
    places = predicted.name.shape[-1]
    shape = jnp.broadcast_shapes(gold.name.shape[:-1], predicted.name.shape[:-1])
    used = jnp.zeros((*shape, places), bool)
    total, most = jnp.zeros(shape), jnp.zeros(shape)
    for c in range(gold.name.shape[-1]):
        name, values = gold.name[..., c : c + 1], gold.values[..., c : c + 1, :]
        there = name[..., 0] >= 0
        given = (values >= 0) & (predicted.values >= 0)
        either = (values >= 0) | (predicted.values >= 0)
        count = jnp.sum(either, -1)
        keys = jnp.where(count > 0, jnp.sum(given, -1) / jnp.maximum(count, 1), 1.0)
        equal = jnp.sum(given & (values == predicted.values), -1)
        score = keys + equal if not strict else jnp.where(keys == 1.0, 1.0 + equal, 0.0)
        free = (predicted.name == name) & ~used & there[..., None]
        best = jnp.argmax(jnp.where(free, score, -1.0), -1)
        took = jax.nn.one_hot(best, places, dtype=bool) & free
        total = total + jnp.sum(jnp.where(took, score, 0.0), -1)
        most = most + there * (1.0 + jnp.sum(values[..., 0, :] >= 0, -1))
        used = used | took
    return total, most


def _same_calls(gold: Calls, predicted: Calls) -> jax.Array:
    """Whether both are the same multiset of calls."""
    same = jnp.all(gold.values[..., :, None, :] == predicted.values[..., None, :, :], -1)
    same &= gold.name[..., :, None] == predicted.name[..., None, :]
    own = jnp.all(gold.values[..., :, None, :] == gold.values[..., None, :, :], -1)
    own &= gold.name[..., :, None] == gold.name[..., None, :]
    there = gold.name >= 0
    as_often = jnp.sum(same, -1) == jnp.sum(own & there[..., None, :], -1)
    sizes = jnp.sum(there, -1) == jnp.sum(predicted.name >= 0, -1)
    return jnp.all(as_often | ~there, -1) & sizes


MEASURES = ("f1", "precision", "rate", "product")


def solved_reward(
    calls: jax.Array,
    solved: jax.Array,
    still_open: jax.Array,
    answered: jax.Array,
    broken: jax.Array,
    empty: jax.Array,
    measure: str = "f1",
) -> jax.Array:
    """FTRL's reward of one step of a trajectory (2508.08791).

    With calls: ``f1 = 2 k / (n + 1)``, ``precision = k / n``, ``rate = k``, ``product = k² / n``, for ``n``
    calls of which ``k`` solved a sub-goal that was open (each counts once). Without calls: broken markup
    -0.3; an empty step -0.5; the final answer ``1 / (1 + open)``; all solved but no answer 0.5; else 0. The
    code adds 1 to ``n``, not the number of open goals; evaluation takes those (:func:`solve_f1`).

    Args:
      calls: ``n [...]``.
      solved: ``k [...]``.
      still_open: sub-goals that are still open after the step ``[...]``.
      answered: bool ``[...]``: the final answer was given.
      broken: bool ``[...]``: markup of a call that could not be read.
      empty: bool ``[...]``: the step says nothing.
      measure: one of the four.

    Returns:
      float32 ``[...]``.

    Raises:
      UnknownNameError: there is no such measure.
    """
    if measure not in MEASURES:
        raise unknown_name("measure", measure, MEASURES)
    some = jnp.maximum(calls, 1)
    value = {
        "f1": 2.0 * solved / (calls + 1.0),
        "precision": solved / some,
        "rate": jnp.asarray(solved, jnp.float32),
        "product": jnp.square(solved) / some,
    }[measure]
    quiet = jnp.where(still_open == 0, 0.5, 0.0)
    quiet = jnp.where(answered, 1.0 / (1.0 + still_open), quiet)
    quiet = jnp.where(broken, -0.3, jnp.where(empty, -0.5, quiet))
    return jnp.where(calls > 0, value, quiet)


def solve_f1(calls: jax.Array, solved: jax.Array, goals: jax.Array) -> jax.Array:
    """FTRL's evaluation: ``2 k / (n + goals)``, with all goals of the task; 0 without any."""
    size = calls + goals
    return jnp.where(size > 0, 2.0 * solved / jnp.where(size > 0, size, 1), 0.0)
