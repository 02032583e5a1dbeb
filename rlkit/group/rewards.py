"""The first slot: named terms from the columns of a batch, and the checks of what a batch brings."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, unknown_name
from rlkit.group.statistics import AxisName, masked_moments, over_devices
from rlkit.group.types import Completions, Context, Method, Stage
from rlkit.types import Metrics, PyTree, Terms


def column(batch: Completions, name: str) -> jax.Array:
    """A column of ``batch.rewards`` or ``batch.extras``, by name.

    Raises:
      UnknownNameError: there is no such column; the message suggests the nearest.
    """
    for place in (batch.rewards, batch.extras):
        if name in place:
            return place[name]
    raise unknown_name("column", name, [*batch.rewards, *batch.extras], where="of the batch")


def columns(*names: str, axis_name: AxisName = None) -> Stage:
    """The slot's plain form: columns of the batch as terms.

    Args:
      *names: which; none are all of ``batch.rewards``.
      axis_name: mapped axis whose members hold other prompts, for the metrics.

    Returns:
      A stage. For each term of one number a completion it reports ``reward/NAME/mean`` and
      ``reward/NAME/std`` (``ddof=1``) over the completions that the term applies to, and
      ``reward/NAME/missing``, the share that it does not apply to.
    """

    def read(batch: Completions, ctx: Context) -> Terms:
        return {name: column(batch, name) for name in names or tuple(batch.rewards)}

    return scores(read, axis_name)


def scores(fn: Callable[[Completions, Context], Terms], axis_name: AxisName = None) -> Stage:
    """Terms that are computed from the batch: ``fn(batch, ctx) -> terms``, metrics as :func:`columns`."""

    def apply(state: PyTree, x: Any, batch: Completions, ctx: Context) -> tuple[PyTree, Terms, Metrics]:
        terms = {name: jnp.asarray(term, jnp.float32) for name, term in fn(batch, ctx).items()}
        metrics = {}
        for name, term in terms.items():
            if term.ndim == 2:
                there = (~jnp.isnan(term)).astype(jnp.float32)
                size = over_devices(jnp.float32(term.size), axis_name)
                middle, std = masked_moments(term, there, axis_name=axis_name)
                metrics[f"reward/{name}/mean"], metrics[f"reward/{name}/std"] = middle, std
                metrics[f"reward/{name}/missing"] = 1.0 - over_devices(jnp.sum(there), axis_name) / size
        return state, terms, metrics

    return Stage(tuple, apply)


_AXES = {"P": "prompts", "G": "completions of a prompt", "T": "tokens of a completion"}


def check_batch(method: Method, batch: Completions) -> None:
    """Check that a batch, or its shapes, is one that a method can learn from; before anything compiles.

    Args:
      method: what a preset returned.
      batch: arrays or ``jax.ShapeDtypeStruct``.

    Raises:
      UsageError: groups are too small, a reference is missing, no reward is there, or a column has other
        axes.
      UnknownNameError: a column is missing; the message suggests the nearest.
    """
    sizes: dict[str, int] = dict(zip("PGT", batch.mask.shape, strict=True))
    if sizes["G"] < method.group_size:
        raise UsageError(
            f"G={sizes['G']} completions a prompt: this method compares at least {method.group_size}; raise "
            "the group size, or take a method without groups (reinforce_pp)"
        )
    weighed = not isinstance(method.loss.kl_coef, jax.Array) and method.loss.kl_coef > 0
    if (method.reference or weighed) and batch.reference_log_prob is None:
        why = f"kl_coef={method.loss.kl_coef}" if weighed else f"objective={method.loss.objective!r}"
        raise UsageError(f"{why} needs batch.reference_log_prob, which is None; give a reference policy")
    if not method.reads and not batch.rewards:
        raise UsageError("batch.rewards is empty; give at least one reward function")
    for name, axes in method.reads.items():
        shape = column(batch, name).shape
        wanted = [sizes.get(axis) for axis in axes]
        fits = len(shape) == len(axes) and all(w in (None, n) for w, n in zip(wanted, shape))  # noqa: B905
        if not fits:
            words = ", ".join(_AXES.get(axis, f"its own {axis}") for axis in axes)
            raise UsageError(f"column {name!r} has shape {shape}; expected [{', '.join(axes)}]: {words}")


def check_rewards(rewards: Mapping[str, Any]) -> None:
    """Check rewards that functions gave, on the host: NaN says "does not apply", and some must apply.

    Args:
      rewards: ``[P, G]`` by name of the function.

    Raises:
      UsageError: no function applies to a completion, or a reward is infinite.
    """
    for name, values in rewards.items():
        if np.isinf(np.asarray(values)).any():
            p, g = np.argwhere(np.isinf(np.asarray(values)))[0][:2]
            raise UsageError(f"reward {name!r} of prompt {p}, completion {g} is infinite; bound it")
    missing = np.all([np.isnan(np.asarray(values)) for values in rewards.values()], axis=0)
    if missing.any():
        p, g = np.argwhere(missing)[0][:2]
        raise UsageError(
            f"no reward function applies to {int(missing.sum())} completions, e.g. number {g} of prompt {p}: "
            f"all of {', '.join(rewards)} gave NaN or None; let one of them return a number"
        )
