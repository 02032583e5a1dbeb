"""How rewards are made from functions and from other rewards.

There are two kinds. A *source* (``success()``, ``progress("distance")``) ignores the reward so far
and pays its own; a *transform* (``clip(-1, 1)``, ``potential_shaping(...)``) changes the reward so
far. ``weighted`` and ``total`` add sources up, ``chain`` puts transforms behind them.

Numbers given to constructors (weights, scales, discounts) may be scalar arrays, also traced ones:
they are then parameters of the reward, leaves of ``reward.params``, while Python numbers are
constants of the compiled program. A sweep maps over parameters, here and in agents::

    reward = weighted(goal=(1.0, success()), near=(jnp.array(0.1), distance("goal_distance")))
    params = jax.tree.map(lambda w: jnp.linspace(0.0, 1.0, 16), reward.params)
    jax.vmap(lambda p: relabel(reward, memory, trajectory, params=p)[1].reward)(params)
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, WrongTypeError
from rlkit.rewards.arguments import Scalar, as_scalar, check_number, check_reward, check_term_name
from rlkit.types import Key, PyTree, Reward, Terms, Transition

Paid = tuple[PyTree, jax.Array, Terms]
"""What paying a transition gives: (memory, reward, terms)."""


def _nothing(key: Key) -> tuple[()]:
    return ()


def from_function(fn: Callable[..., Any], name: str, params: PyTree = None) -> Reward:
    """A source without memory.

    Args:
      fn: from one transition to a scalar; cast to the dtype of ``transition.reward``. With ``params`` it
        takes two arguments, ``fn(transition, params)``.
      name: name of its one term, which is the whole reward.
      params: parameters of the reward, a pytree of arrays; None: it has none.

    Returns:
      The reward; its memory is ``()``.

    Raises:
      UsageError: the name is no name of a term, or (when traced) the value is not a scalar.
    """
    check_term_name(name)

    def apply(memory: PyTree, transition: Transition, params: PyTree) -> Paid:
        value = fn(transition) if bare else fn(transition, params)
        value = as_scalar(f"the reward {name!r}", value, transition)
        return memory, value, {name: value}

    bare = params is None
    return Reward(_nothing, apply, () if bare else params)


def transform(fn: Callable[..., Any], params: PyTree = None) -> Reward:
    """A transform without memory: the reward so far through ``fn`` (scalar to scalar). No terms.

    ``params`` as in :func:`from_function`: with them, ``fn(reward, params)``.
    """

    def apply(memory: PyTree, transition: Transition, params: PyTree) -> Paid:
        value = fn(transition.reward) if bare else fn(transition.reward, params)
        return memory, as_scalar("the transformed reward", value, transition), {}

    bare = params is None
    return Reward(_nothing, apply, () if bare else params)


def chain(*rewards: Reward) -> Reward:
    """Rewards one after the other: each sees the reward of the one before as ``transition.reward``.

    Args:
      *rewards: at least one; the first one sees the environment's own reward.

    Returns:
      The chain. Memory and parameters are tuples of theirs, its terms are all their terms. Each term is
      in the units of the reward that reports it: a later ``scale`` or ``normalise`` does not touch it.

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

    def apply(memory: PyTree, transition: Transition, params: PyTree) -> Paid:
        memories, terms = [], {}
        for reward, before, own in zip(rewards, memory, params, strict=True):
            after, value, new = reward.apply(before, transition, own)
            transition = transition._replace(reward=value)
            memories.append(after)
            terms = _merge(terms, new)
        return tuple(memories), transition.reward, terms

    return Reward(init, apply, tuple(reward.params for reward in rewards))


def _merge(terms: Terms, new: Terms) -> Terms:
    for name in new.keys() & terms.keys():
        raise UsageError(f"two rewards report the term {name!r}; rename one of them with name=...")
    return terms | new


def total(*parts: tuple[Scalar, Reward]) -> Reward:
    """A weighted sum of rewards that all see the same transition, with their own terms.

    Args:
      *parts: pairs ``(weight, reward)``, at least one.

    Returns:
      The sum. Its terms are those of the parts, each times the weight of its part; its memory is the
      tuple of memories, its parameters a tuple of :class:`Part`.

    Raises:
      UsageError: there is no part, a weight is not a finite scalar, or (when traced) two parts
        report a term of the same name.
      TypeError: a part is not a pair of a weight and a reward.
    """
    if not parts:
        raise UsageError("total() got no parts; give it pairs (weight, reward)")
    checked = [_check_part(f"part {i}", part) for i, part in enumerate(parts)]

    def init(key: Key) -> PyTree:
        return tuple(reward.init(jax.random.fold_in(key, i)) for i, (_, reward) in enumerate(checked))

    def apply(memory: PyTree, transition: Transition, params: PyTree) -> Paid:
        memories, terms, value = [], {}, jnp.zeros((), transition.reward.dtype)
        for (given, reward), before, p in zip(checked, memory, params, strict=True):
            after, part, new = reward.apply(before, transition, p.reward)
            weight = p.weighing(given)
            memories.append(after)
            value += as_scalar("a part of the sum", weight * part, transition)
            scaled = {name: as_scalar(f"term {name!r}", weight * x, transition) for name, x in new.items()}
            terms = _merge(terms, scaled)
        return tuple(memories), value, terms

    return Reward(init, apply, tuple(Part.of(*part) for part in checked))


def weighted(
    components: Mapping[str, tuple[Scalar, Reward]] | None = None, /, **named: tuple[Scalar, Reward]
) -> Reward:
    """A weighted sum of rewards that all see the same transition, one named term each.

    Args:
      components: ``{name: (weight, reward)}``.
      **named: the same as keywords.

    Returns:
      A reward with one term per component, ``weight * component``; the terms sum to it. Its memory
      is the dictionary of memories, its parameters a dictionary of :class:`Part`. What a component reports
      in its own terms is not repeated.

    Raises:
      UsageError: there is no component, a name is given twice, or a weight is not a finite scalar.
      TypeError: a component is not a pair of a weight and a reward.
    """
    for name in named.keys() & (components or {}).keys():
        raise UsageError(f"weighted got two components named {name!r}; rename one")
    parts = {check_term_name(name): part for name, part in {**(components or {}), **named}.items()}
    if not parts:
        raise UsageError("weighted() got no components; give it name=(weight, reward)")
    checked = {name: _check_part(f"component {name!r}", part) for name, part in parts.items()}

    def init(key: Key) -> PyTree:
        # Keys go by name: another component does not change what this one draws.
        return {
            name: reward.init(jax.random.fold_in(key, zlib.crc32(name.encode())))
            for name, (_, reward) in checked.items()
        }

    def apply(memory: PyTree, transition: Transition, params: PyTree) -> Paid:
        memories, terms, value = {}, {}, jnp.zeros((), transition.reward.dtype)
        for name, (given, reward) in checked.items():
            memories[name], part, _ = reward.apply(memory[name], transition, params[name].reward)
            weight = params[name].weighing(given)
            terms[name] = as_scalar(f"component {name!r}", weight * part, transition)
            value += terms[name]
        return memories, value, terms

    return Reward(init, apply, {name: Part.of(*part) for name, part in checked.items()})


class Part(NamedTuple):
    """Parameters of a weighted reward inside a sum."""

    weight: Any  # array [], or () if the weight is a constant
    reward: PyTree

    @classmethod
    def of(cls, weight: Scalar, reward: Reward) -> "Part":
        """The parameters of ``weight * reward``."""
        return cls(weight if isinstance(weight, jax.Array) else (), reward.params)

    def weighing(self, constant: Scalar) -> Scalar:
        """The weight: the parameter if it is one."""
        return constant if isinstance(self.weight, tuple) else self.weight


def _check_part(what: str, part: Any) -> tuple[Scalar, Reward]:
    if isinstance(part, Reward) or not isinstance(part, tuple) or len(part) != 2:
        raise WrongTypeError(f"{what} is {part!r}; expected a pair (weight, reward)")
    return check_number(f"the weight of {what}", part[0]), check_reward(what, part[1])


def add(reward: Reward) -> Reward:
    """The transform that adds a source to the reward so far; all else is the source's."""
    check_reward("add", reward)

    def apply(memory: PyTree, transition: Transition, params: PyTree) -> Paid:
        memory, value, terms = reward.apply(memory, transition, params)
        return memory, transition.reward + value, terms

    return Reward(reward.init, apply, reward.params)
