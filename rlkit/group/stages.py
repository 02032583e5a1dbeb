"""Composition of stages: in sequence, on a part of the batch, one after another in time, under a name."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.group.types import Completions, Context, Stage
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
            metrics = merge(metrics, new)
        return tuple(states), x, metrics

    return Stage(init, apply)


def merge(metrics: Metrics, new: Metrics) -> Metrics:
    """Metrics of two stages.

    Raises:
      UsageError: both report the same one.
    """
    for name in sorted(new.keys() & metrics.keys()):
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


def switched(first: Stage, second: Stage, at: int) -> Stage:
    """One stage before update number ``at``, another from then on. Both run, and both states move on.

    Args:
      first: the stage of the first updates.
      second: the stage after them; gives ``x`` of the same structure and reports the same metrics.
      at: number of the update where it changes.
    """
    check_stage("switched", first), check_stage("switched", second)

    def apply(state: PyTree, x: Any, batch: Completions, ctx: Context) -> tuple[PyTree, Any, Metrics]:
        one, before, told = first.apply(state[0], x, batch, ctx)
        two, after, tell = second.apply(state[1], x, batch, ctx)
        late = ctx.step >= at
        x, metrics = jax.tree.map(lambda a, b: jnp.where(late, b, a), (before, told), (after, tell))
        return (one, two), x, metrics

    return Stage(lambda: (first.init(), second.init()), apply)


def check_stage(where: str, value: Any) -> Stage:
    """Check that something is a stage.

    Raises:
      UsageError: it is not.
    """
    if not isinstance(value, Stage):
        hint = "; call it to build one" if callable(value) else ""
        raise UsageError(f"{where} got {value!r}; expected an rlkit.group Stage{hint}")
    return value
