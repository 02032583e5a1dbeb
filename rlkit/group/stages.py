"""Composition of stages: in sequence, on a part of the batch, under a name; and the five slots."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.group.types import Completions, Context, Credit, Stage
from rlkit.types import Metrics, PyTree


def stateless(fn: Callable[..., Any]) -> Stage:
    """A stage without state.

    Args:
      fn: ``fn(x)``, ``fn(x, batch)`` or ``fn(x, batch, ctx)`` to the new ``x``.

    Raises:
      UsageError: it takes no or more than three arguments.
    """
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(p.kind in kinds for p in inspect.signature(fn).parameters.values())
    if not 1 <= count <= 3:
        raise UsageError(f"stateless() got {fn!r}, which takes {count} arguments; expected (x, batch, ctx)")

    def apply(state: PyTree, x: Any, batch: Completions, ctx: Context) -> tuple[PyTree, Any, Metrics]:
        return state, fn(*(x, batch, ctx)[:count]), {}

    return Stage(tuple, apply)


def identity() -> Stage:
    """The stage that changes nothing."""
    return stateless(lambda x: x)


def chain(*stages: Stage) -> Stage:
    """Stages one after the other. The state is the tuple of theirs; each gets its own ``ctx.key``.

    Raises:
      UsageError: no stage is given, one of them is none, or (when traced) two report the same metric.
    """
    if not stages:
        raise UsageError("chain() got no stages; give it at least one, or identity()")
    for stage in stages:
        check_stage("chain", stage)

    def init() -> PyTree:
        return tuple(stage.init() for stage in stages)

    def apply(state: PyTree, x: Any, batch: Completions, ctx: Context) -> tuple[PyTree, Any, Metrics]:
        states, metrics = [], {}
        for i, (stage, before) in enumerate(zip(stages, state, strict=True)):
            own = ctx._replace(key=jax.random.fold_in(ctx.key, i))
            after, x, new = stage.apply(before, x, batch, own)
            states.append(after)
            metrics = _merge(metrics, new)
        return tuple(states), x, metrics

    return Stage(init, apply)


def _merge(metrics: Metrics, new: Metrics) -> Metrics:
    for name in new.keys() & metrics.keys():
        raise UsageError(f"two stages report the metric {name!r}; wrap one of them: named('...', stage)")
    return metrics | new


def named(name: str, stage: Stage) -> Stage:
    """The same stage, whose metrics are called ``name/...``."""
    check_stage("named", stage)

    def apply(state: PyTree, x: Any, batch: Completions, ctx: Context) -> tuple[PyTree, Any, Metrics]:
        state, x, metrics = stage.apply(state, x, batch, ctx)
        return state, x, {f"{name}/{key}": value for key, value in metrics.items()}

    return Stage(stage.init, apply)


def masked(stage: Stage, where: Callable[[Completions], jax.Array]) -> Stage:
    """A stage on a part of the batch; the rest of ``x`` stays as it was.

    The stage still sees the whole batch, its statistics included, and its state moves on.

    Args:
      stage: one that keeps the structure and the shapes of ``x``.
      where: bool ``[P]``, ``[P, G]`` or ``[P, G, T]`` from the batch: what the stage may change.
    """
    check_stage("masked", stage)

    def apply(state: PyTree, x: Any, batch: Completions, ctx: Context) -> tuple[PyTree, Any, Metrics]:
        state, changed, metrics = stage.apply(state, x, batch, ctx)
        chosen = where(batch)
        return state, jax.tree.map(lambda new, old: _select(chosen, new, old), changed, x), metrics

    return Stage(stage.init, apply)


def _select(chosen: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    if chosen.ndim > new.ndim:  # a term of completions and a choice of tokens: changed if any token is
        chosen = jnp.any(chosen, axis=tuple(range(new.ndim, chosen.ndim)))
    return jnp.where(jnp.expand_dims(chosen, tuple(range(chosen.ndim, new.ndim))), new, old)


def pipeline(
    rewards: Stage, shape: Stage, combine: Stage, advantage: Stage, filters: Stage | None = None
) -> Stage:
    """The five slots in their order, as one stage from nothing to a :class:`rlkit.group.types.Credit`.

    Args:
      rewards: the batch's terms, by name: ``() -> terms``.
      shape: terms to terms.
      combine: terms to one number per completion, ``[P, G]``.
      advantage: that number to a credit.
      filters: credit to credit; None changes nothing.

    Returns:
      The stage. Its metrics are those of its slots, and ``reward/mean``, ``reward/std`` (within groups)
      and ``frac_zero_std``, the share of prompts whose completions all have the same reward.
    """
    slots = chain(rewards, shape, combine, advantage, filters or identity())

    def apply(state: PyTree, x: Any, batch: Completions, ctx: Context) -> tuple[PyTree, Credit, Metrics]:
        state, credit, metrics = slots.apply(state, x, batch, ctx)
        spread = jnp.std(credit.reward, axis=1)
        told = {
            "reward/mean": jnp.mean(credit.reward),
            "reward/std": jnp.mean(spread),
            "frac_zero_std": jnp.mean(jnp.ptp(credit.reward, axis=1) == 0.0),
        }
        return state, credit, _merge(metrics, told)

    return Stage(slots.init, apply)


def check_stage(where: str, value: Any) -> Stage:
    """Check that something is a stage.

    Raises:
      UsageError: it is not.
    """
    if not isinstance(value, Stage):
        hint = "; call it to build one" if callable(value) else ""
        raise UsageError(f"{where} got {value!r}; expected an rlkit.group Stage{hint}")
    return value
