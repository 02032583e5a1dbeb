"""How rewards are made from functions and from other rewards.

There are two kinds. A *source* (``success()``, ``progress("distance")``) ignores the reward so far
and pays its own; a *transform* (``clip(-1, 1)``, ``potential_shaping(...)``) changes the reward so
far. ``weighted`` and ``total`` add sources up, ``chain`` puts transforms behind them.

Numbers given to constructors (weights, scales, discounts) may be scalar JAX arrays, also traced
ones: they are closed over, so that a reward without memory keeps an empty state. A sweep builds
the reward inside the function that is mapped::

    def paid(weight):
        reward = weighted(goal=(1.0, success()), near=(weight, distance("goal_distance")))
        return relabel(reward, (), trajectory)[1].reward

    jax.vmap(paid)(jnp.linspace(0.0, 1.0, 16))
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.rewards.arguments import Scalar, as_scalar, check_number, check_reward
from rlkit.types import Key, PyTree, Reward, Terms, Transition


def _nothing(key: Key) -> tuple[()]:
    return ()


def from_function(fn: Callable[[Transition], Any], name: str) -> Reward:
    """A source without memory.

    Args:
      fn: from one transition to a scalar; cast to the dtype of ``transition.reward``.
      name: name of its one term, which is the whole reward.

    Returns:
      The reward; its state is ``()``.

    Raises:
      UsageError: the name is empty, or (when traced) the value is not a scalar.
    """
    if not isinstance(name, str) or not name:
        raise UsageError(f"name={name!r}: expected the name of a term")

    def apply(state: PyTree, transition: Transition) -> tuple[PyTree, jax.Array, Terms]:
        value = as_scalar(f"the reward {name!r}", fn(transition), transition)
        return state, value, {name: value}

    return Reward(_nothing, apply)


def transform(fn: Callable[[jax.Array], Any]) -> Reward:
    """A transform without memory: the reward so far through ``fn`` (scalar to scalar). No terms."""

    def apply(state: PyTree, transition: Transition) -> tuple[PyTree, jax.Array, Terms]:
        return state, as_scalar("the transformed reward", fn(transition.reward), transition), {}

    return Reward(_nothing, apply)


def chain(*rewards: Reward) -> Reward:
    """Rewards one after the other: each sees the reward of the one before as ``transition.reward``.

    Args:
      *rewards: at least one; the first one sees the environment's own reward.

    Returns:
      The chain. Its state is the tuple of states, its terms are all their terms. Each term is in the
      units of the reward that reports it: a later ``scale`` or ``normalise`` does not touch it.

    Raises:
      UsageError: no reward is given, or (when traced) two of them report a term of the same name.
      TypeError: an argument is not a reward.
    """
    if not rewards:
        raise UsageError("chain() got no rewards; give it at least one")
    for reward in rewards:
        check_reward("chain", reward)

    def init(key: Key) -> PyTree:
        return tuple(reward.init(jax.random.fold_in(key, i)) for i, reward in enumerate(rewards))

    def apply(state: PyTree, transition: Transition) -> tuple[PyTree, jax.Array, Terms]:
        states, terms = [], {}
        for reward, before in zip(rewards, state, strict=True):
            after, value, new = reward.apply(before, transition)
            transition = transition._replace(reward=value)
            states.append(after)
            terms = _merge(terms, new)
        return tuple(states), transition.reward, terms

    return Reward(init, apply)


def _merge(terms: Terms, new: Terms) -> Terms:
    for name in new.keys() & terms.keys():
        raise UsageError(f"two rewards report the term {name!r}; rename one of them with name=...")
    return terms | new


def total(*parts: tuple[Scalar, Reward]) -> Reward:
    """A weighted sum of rewards that all see the same transition, with their own terms.

    Args:
      *parts: pairs ``(weight, reward)``, at least one.

    Returns:
      The sum. Its terms are those of the parts, each times the weight of its part; its state is the
      tuple of states.

    Raises:
      UsageError: there is no part, a weight is not a finite scalar, or (when traced) two parts
        report a term of the same name.
      TypeError: a part is not a pair of a weight and a reward.
    """
    if not parts:
        raise UsageError("total() got no parts; give it pairs (weight, reward)")
    for i, part in enumerate(parts):
        _check_part(f"part {i}", part)

    def init(key: Key) -> PyTree:
        return tuple(reward.init(jax.random.fold_in(key, i)) for i, (_, reward) in enumerate(parts))

    def apply(state: PyTree, transition: Transition) -> tuple[PyTree, jax.Array, Terms]:
        states, terms, value = [], {}, jnp.zeros((), transition.reward.dtype)
        for (weight, reward), before in zip(parts, state, strict=True):
            after, part, new = reward.apply(before, transition)
            states.append(after)
            value += as_scalar("a part of the sum", weight * part, transition)
            scaled = {name: as_scalar(f"term {name!r}", weight * x, transition) for name, x in new.items()}
            terms = _merge(terms, scaled)
        return tuple(states), value, terms

    return Reward(init, apply)


def weighted(
    components: Mapping[str, tuple[Scalar, Reward]] | None = None, /, **named: tuple[Scalar, Reward]
) -> Reward:
    """A weighted sum of rewards that all see the same transition, one named term each.

    Args:
      components: ``{name: (weight, reward)}``.
      **named: the same as keywords.

    Returns:
      A reward with one term per component, ``weight * component``; the terms sum to it. Its state
      is the dictionary of states. What a component reports in its own terms is not repeated.

    Raises:
      UsageError: there is no component, a name is given twice, or a weight is not a finite scalar.
      TypeError: a component is not a pair of a weight and a reward.
    """
    for name in named.keys() & (components or {}).keys():
        raise UsageError(f"weighted got two components named {name!r}; rename one")
    parts = {**(components or {}), **named}
    if not parts:
        raise UsageError("weighted() got no components; give it name=(weight, reward)")
    for name, part in parts.items():
        _check_part(f"component {name!r}", part)

    def init(key: Key) -> PyTree:
        # Keys go by name: another component does not change what this one draws.
        return {
            name: reward.init(jax.random.fold_in(key, zlib.crc32(name.encode())))
            for name, (_, reward) in parts.items()
        }

    def apply(state: PyTree, transition: Transition) -> tuple[PyTree, jax.Array, Terms]:
        states, terms, value = {}, {}, jnp.zeros((), transition.reward.dtype)
        for name, (weight, reward) in parts.items():
            states[name], part, _ = reward.apply(state[name], transition)
            terms[name] = as_scalar(f"component {name!r}", weight * part, transition)
            value += terms[name]
        return states, value, terms

    return Reward(init, apply)


def _check_part(what: str, part: Any) -> None:
    if isinstance(part, Reward) or not isinstance(part, tuple) or len(part) != 2:
        raise TypeError(f"{what} is {part!r}; expected a pair (weight, reward)")
    check_number(f"the weight of {what}", part[0])
    check_reward(what, part[1])


def add(reward: Reward) -> Reward:
    """The transform that adds a source to the reward so far; state and terms are the source's."""
    check_reward("add", reward)

    def apply(state: PyTree, transition: Transition) -> tuple[PyTree, jax.Array, Terms]:
        state, value, terms = reward.apply(state, transition)
        return state, transition.reward + value, terms

    return Reward(reward.init, apply)
