"""The gradient steps of an update: passes, minibatches, and gradients that are accumulated in pieces."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rlkit.group.config import LossConfig
from rlkit.group.objective import objective
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.policies.scoring import score
from rlkit.group.statistics import over_devices
from rlkit.group.trainable import join
from rlkit.group.types import Update
from rlkit.group.updates import merge_metrics
from rlkit.types import Key, Metrics, PyTree


class Step(NamedTuple):
    """What all gradient steps of an update share."""

    policy: TokenPolicy
    frozen: PyTree
    loss: LossConfig
    config: Any  # temperature, entropy, packed, iterations, minibatches, micro_batches
    axis_name: str | None


def loss_of(step: Step, learnt: PyTree, update: Update) -> tuple[jax.Array, Metrics]:
    """The loss of an update, or of a piece of one, from parameters."""
    batch, config = update.batch, step.config
    scores = score(
        step.policy, join(learnt, step.frozen), batch.prompt, batch.prompt_mask, batch.tokens,
        temperature=config.temperature, entropy=config.entropy, packed=config.packed,
    )  # fmt: skip
    return objective(step.loss, scores.log_prob, update, scores.entropy if config.entropy else None)


def gradient(step: Step, learnt: PyTree, update: Update) -> tuple[PyTree, Metrics]:
    """The gradient of an update and its metrics, accumulated over pieces and summed over devices.

    The normalisers of an update are in its weights, so that pieces add up: how many there are changes
    nothing but rounding and memory.
    """
    grad = jax.grad(lambda learnt, update: loss_of(step, learnt, update), has_aux=True)
    pieces = step.config.micro_batches
    if pieces == 1:
        total, parts = grad(learnt, update)
        parts = jax.tree.map(lambda x: x[None], parts)
    else:
        cut = jax.tree.map(lambda x: x.reshape(pieces, x.shape[0] // pieces, *x.shape[1:]), update)

        def add(total: PyTree, piece: Update) -> tuple[PyTree, Metrics]:
            found, metrics = grad(learnt, piece)
            return jax.tree.map(jnp.add, total, found), metrics

        total, parts = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, learnt), cut)
    if step.axis_name is not None:
        total = jax.lax.psum(total, step.axis_name)
        parts = jax.tree.map(lambda x: jax.lax.all_gather(x, step.axis_name, tiled=True), parts)
    count = jax.tree.leaves(parts)[0].shape[0]
    metrics = merge_metrics([jax.tree.map(lambda x, i=i: x[i], parts) for i in range(count)])
    return total, metrics


def descend_plan(
    step: Step,
    optimiser: Callable[[jax.Array], optax.GradientTransformation],
    learnt: PyTree,
    moments: PyTree,
    count: jax.Array,
    updates: tuple[Update, ...],
    key: Key,
) -> tuple[PyTree, PyTree, jax.Array, Metrics]:
    """All gradient steps that a plan asks for.

    Args:
      step: what they share.
      optimiser: ``optimiser(count)``, of the step with that number.
      learnt: parameters that learn.
      moments: state of the optimiser.
      count: gradient steps made before.
      updates: of the plan; each is gone through ``iterations`` times in ``minibatches``.
      key: of the order of prompts.

    Returns:
      ``(learnt, moments, count, metrics)``; metrics are means over the steps of the last update (least and
      largest values where they are that).
    """
    metrics: Metrics = {}
    for i, update in enumerate(updates):
        carry, found = _passes(step, optimiser, (learnt, moments, count), update, jax.random.fold_in(key, i))
        learnt, moments, count = carry
        metrics = found
    return learnt, moments, count, metrics


def _passes(step: Step, optimiser: Any, carry: Any, update: Update, key: Key) -> tuple[Any, Metrics]:
    """Up to ``iterations * minibatches`` gradient steps; a part in which no token counts makes none."""
    config = step.config

    def one(carry: Any, part: Update) -> tuple[Any, Metrics]:
        learnt, moments, count = carry
        grad, metrics = gradient(step, learnt, part)
        change, after = optimiser(count).update(grad, moments, learnt)
        metrics |= {"grad_norm": optax.tree.norm(grad)}
        stepped = optax.apply_updates(learnt, change), after, count + 1
        # Without a token that counts there is nothing to follow, and momentum alone is no reason to move.
        counts = over_devices(jnp.sum(part.mask), step.axis_name) > 0
        return jax.tree.map(functools.partial(jnp.where, counts), stepped, carry), _finite_ratios(metrics)

    if config.iterations * config.minibatches == 1:
        return one(carry, update)
    parts = [
        _shuffled(update, config.minibatches, jax.random.fold_in(key, i)) for i in range(config.iterations)
    ]
    rows = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    carry, metrics = jax.lax.scan(one, carry, rows)
    how = {"min": jnp.min, "max": jnp.max}
    return carry, {name: how.get(name.rpartition("/")[2], jnp.mean)(x) for name, x in metrics.items()}


def _shuffled(update: Update, count: int, key: Key) -> Update:
    """Minibatches ``[count, P / count, ...]`` of an update, each with the scale of the whole."""
    prompts = update.mask.shape[0]
    if count == 1:
        return jax.tree.map(lambda x: x[None], update)
    order = jax.random.permutation(key, prompts).reshape(count, prompts // count)
    scaled = ("weight", "share", "prompt_weight", "completion_weight", "side_weight")
    update = update._replace(**{name: getattr(update, name) * count for name in scaled})
    return jax.tree.map(lambda x: x[order], update)


def _finite_ratios(metrics: Metrics) -> Metrics:
    """Least and largest ratios of a batch in which no token counts are 1, not infinite."""
    ratios = {name: metrics[name] for name in ("ratio/min", "ratio/max") if name in metrics}
    return metrics | {name: jnp.where(jnp.isfinite(x), x, 1.0) for name, x in ratios.items()}
