"""Fitting reward models to comparisons: one gradient step, many of them, and a learner for the driver."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax.errors import FlaxError

from rlkit.draws import Draw, raw, split
from rlkit.errors import UsageError
from rlkit.fields import check, leaf, static
from rlkit.keys import typed_key
from rlkit.optimisers import descend, packed
from rlkit.prefs.checks import known, share_of
from rlkit.prefs.losses import (
    contaminated_logistic,
    noise_backward_logistic,
    noise_forward_logistic,
    pairwise_logistic,
    weighted_mean,
)
from rlkit.prefs.types import PairBatch, RewardModel, take
from rlkit.types import Key, Metrics, PyTree

LOSSES: dict[str, Callable[[jax.Array, jax.Array, Any], jax.Array]] = {
    "bt": lambda margin, label, noise: pairwise_logistic(margin, label),
    "contaminated": contaminated_logistic,
    "forward": lambda margin, label, noise: noise_forward_logistic(margin, label, noise, noise),
    "backward": lambda margin, label, noise: noise_backward_logistic(margin, label, noise, noise),
}
"""Losses ``(margin, label, noise) -> loss``, each of one comparison: Bradley-Terry; where a share ``noise``
of the answers is a coin toss (Christiano et al. 2017); where a share ``noise`` is turned round, corrected
in the model or in the loss (:mod:`rlkit.prefs.losses`)."""

Curate = Callable[[jax.Array, jax.Array, PairBatch, jax.Array], tuple[jax.Array, jax.Array]]
"""``curate(margins [M, N], losses [M, N], pairs, update) -> (weights [M, N], labels [M, N])``: what counts,
and as what, judged by the members without gradients. The weights are multiplied by those of the pairs."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FitConfig:
    """How a reward model is fitted. The float fields are pytree leaves."""

    learning_rate: float = leaf(1e-3, "step size of Adam", low=0.0)
    weight_decay: float = leaf(0.0, "decay of the weights per step, in units of the step size", low=0.0)
    noise: float = leaf(0.1, "share of answers that the loss takes for noise", low=0.0, high=0.49)
    loss: str = static("bt", "of a comparison: bt, contaminated, forward or backward", choices=LOSSES)
    members: int = static(3, "members of the ensemble", low=1)
    heads: int = static(1, "members that share all layers but the last", low=1)
    batch_size: int = static(64, "comparisons in a gradient step", low=1)
    num_steps: int = static(10, "gradient steps per update", low=1)
    holdout: float = static(0.1, "share of the comparisons that is kept for judging", low=0.0, high=0.9)


class FitState(NamedTuple):
    """What fitting changes."""

    config: FitConfig
    params: PyTree  # leaves [M / heads, ...]
    optimiser: PyTree
    updates: jax.Array  # int32 []: gradient steps made
    key: Key


def margins(model: RewardModel, params: PyTree, pairs: PairBatch) -> jax.Array:
    """The reward of the first item of each pair less that of the second, ``[..., N]``, in float32; of an
    ensemble ``[M, N]``."""
    one, two = (model.apply(params, side).total.astype(jnp.float32) for side in (pairs.first, pairs.second))
    return one - two


def optimiser_of(config: Any) -> optax.GradientTransformation:
    """Adam with the fields ``learning_rate`` and ``weight_decay``."""
    return packed(optax.adamw(config.learning_rate, weight_decay=config.weight_decay))


def fit_steps(
    model: RewardModel,
    params: PyTree,
    optimiser: PyTree,
    data: PairBatch,
    bits: jax.Array,
    config: Any,
    *,
    count: jax.Array | int | None = None,
    curate: Curate | None = None,
    update: jax.Array | int = 0,
) -> tuple[PyTree, PyTree, Metrics]:
    """Some gradient steps of an ensemble, each member on comparisons of its own.

    Members that share layers (``config.heads``) see the same comparisons, of which each takes a random half,
    doubled (bootstrap masks of Osband et al. 2016, drawn anew in each step).

    Args:
      model: one member, see :func:`rlkit.prefs.reward_model`; or the ``config.heads`` members that share
        layers, with scores ``[heads, ...]``.
      params: of all members, leaves ``[M / heads, ...]``.
      optimiser: states of :func:`optimiser_of`, likewise.
      data: the comparisons; draws are uniform with replacement.
      bits: random uint32 ``[U, M, N]``: U steps on N comparisons each.
      config: has the fields of :class:`FitConfig` that say how.
      count: how many of the comparisons there are, int32 []; None: all rows of ``data``.
      curate: see :data:`Curate`; members then see the same comparisons in each step, and each other's
        margins.
      update: gradient steps made before.

    Returns:
      ``(params, optimiser, metrics)``: means over the steps of ``loss`` and ``accuracy`` on the comparisons
      drawn.
    """
    transformation, loss_of = optimiser_of(config), LOSSES[config.loss]
    rows, heads = len(data.label) if count is None else count, config.heads
    index = (bits % jnp.maximum(jnp.asarray(rows), 1).astype(bits.dtype)).astype(jnp.int32)
    index = index[:, ::heads] if curate is None else jnp.broadcast_to(index[:, :1], index[:, ::heads].shape)

    def group(params: PyTree, state: PyTree, batch: PairBatch, weight: jax.Array):
        def loss(params: PyTree) -> tuple[jax.Array, Metrics]:
            margin = margins(model, params, batch)
            mean = weighted_mean(loss_of(margin, batch.label, config.noise), weight)
            return mean, {"loss": mean, "accuracy": agreement(margin, batch.label, weight)}

        return descend(loss, transformation, params, state)

    def step(carry: Any, drawn: tuple[jax.Array, jax.Array]) -> tuple[Any, Metrics]:
        params, state, update = carry
        index, bits = drawn
        batch = take(data, index)  # leaves [M / heads, N, ...]
        weight, label = batch.weight, batch.label
        if heads > 1:
            weight = jnp.repeat(weight, heads, 0) * (2.0 * (bits >> 31))
            label = jnp.repeat(label, heads, 0)
        if curate is not None:
            one = jax.tree.map(lambda x: x[0], batch)
            seen = jax.lax.stop_gradient(jax.vmap(lambda p: margins(model, p, one))(params))
            seen = seen.reshape(label.shape)
            losses = jax.vmap(lambda m: loss_of(m, one.label, config.noise))(seen)
            chosen, label = _curated(curate, seen, losses, one, update)
            weight = chosen * (one.weight if heads == 1 else weight)
        if heads > 1:
            weight, label = (x.reshape(-1, heads, x.shape[-1]) for x in (weight, label))
        params, state, found = jax.vmap(group)(params, state, batch._replace(label=label), weight)
        return (params, state, update + 1), _means(found)

    start = (params, optimiser, jnp.asarray(update, jnp.int32))
    (params, optimiser, _), found = jax.lax.scan(step, start, (index, bits))
    return params, optimiser, _means(found)


def _means(found: Metrics) -> Metrics:
    """Mean loss, and mean accuracy where something was decided."""
    return {"loss": jnp.mean(found["loss"]), "accuracy": jnp.nanmean(found["accuracy"])}


def _curated(curate: Curate, *seen: Any) -> tuple[jax.Array, jax.Array]:
    """What counts, and as what.

    Raises:
      UsageError: ``curate`` returns something else.
    """
    found = curate(*seen)
    shape = seen[0].shape
    if not isinstance(found, tuple) or len(found) != 2 or any(jnp.shape(x) != shape for x in found):
        got = [jnp.shape(x) for x in found] if isinstance(found, tuple) else type(found).__name__
        raise UsageError(f"curate returns {got}; expected (weights, labels), {list(shape)} each")
    return found


def agreement(margin: jax.Array, label: jax.Array, weight: jax.Array) -> jax.Array:
    """Share of decided comparisons whose margin has the right sign, by weight; margins of 0 count half; NaN
    where none was decided."""
    decided = weight * (label != 0.5)
    right = jnp.where(margin == 0, 0.5, ((margin > 0) == (label > 0.5)).astype(jnp.float32))
    return share_of(jnp.sum(decided * right), jnp.sum(decided))


class Fit(NamedTuple):
    """A reward model and comparisons as a :class:`rlkit.types.Learner`, made by :func:`fit`."""

    init: Callable[..., FitState]
    """``init(key) -> state``"""

    step: Callable[[FitState], tuple[FitState, Metrics]]
    """``step(state) -> (state, metrics)``: ``config.num_steps`` gradient steps of all members."""

    model: RewardModel
    """The ensemble: ``model.apply(state.params, item)`` has leaves ``[M, ...]``."""

    train: PairBatch
    held_out: PairBatch | None
    config: FitConfig
    steps_per_update: int
    """Gradient steps of each member per ``step``."""

    title: str
    undefined: tuple[str, ...] = ("fit/accuracy", "held_out/accuracy")
    """Metrics that may be NaN: where no comparison was decided."""

    bulk: tuple[str, ...] = ()


def fit(
    model: RewardModel,
    data: PairBatch,
    config: FitConfig | None = None,
    *,
    curate: Curate | None = None,
    title: str = "reward model",
) -> Fit:
    """Fit an ensemble to comparisons, under the driver that trains agents.

    ::

        learner = fit(reward_model(step_rewards(), data.first), data)
        trained = train(learner, 200, seeds=1, probes=0)  # rlkit.experiment.train
        params = jax.tree.map(lambda x: x[0], trained.state.params)
        reward = scorer(learner.model, inputs(env.spec), params)

    Args:
      model: one member; with ``config.heads`` as many as that, scores ``[heads, ...]``.
      data: the comparisons, see :func:`rlkit.prefs.pairs`. The last ``holdout`` of them, or as many as there
        are of that, are kept for judging and never fitted: shuffle them if their order means something.
      config: how.
      curate: see :data:`Curate`.
      title: what is fitted, in a few words.

    Returns:
      The learner. Its metrics are ``fit/loss`` and ``fit/accuracy`` on what is fitted, ``held_out/loss`` (of
      Bradley-Terry, whatever is fitted) and ``held_out/accuracy``, of the mean margin over members.

    Raises:
      UsageError: a setting is out of range, too few comparisons are left or none of them was decided, or the
        model is one of other items.
    """
    from rlkit.prefs.heads.models import ensemble

    config = config or FitConfig()
    check(config)
    if not isinstance(data, PairBatch):
        raise UsageError(f"data is a {type(data).__name__}; expected comparisons, rlkit.prefs.pairs(...)")
    total = len(data.label)
    kept = int(total * config.holdout)
    if total - kept < 1:
        raise UsageError(f"{total} comparisons with holdout={config.holdout}: none is left to fit")
    train, held_out = (
        take(data, jnp.arange(total - kept)),
        take(data, jnp.arange(total - kept, total)) if kept else None,
    )
    whole = ensemble(model, config.members, config.heads)
    _check_rows(train, model, config.heads)

    def init(key: Key, given: FitConfig | None = None) -> FitState:
        chosen = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), given or config)
        drawn = split(typed_key(key), params=Draw(), run=Draw())
        params = whole.init(drawn["params"])
        state = jax.vmap(optimiser_of(chosen).init)(params)
        return FitState(chosen, params, state, jnp.int32(0), drawn["run"])

    def step(state: FitState) -> tuple[FitState, Metrics]:
        shape = (config.num_steps, config.members, config.batch_size)
        drawn = split(state.key, rows=Draw(shape, raw), next=Draw())
        params, optimiser, found = fit_steps(
            model, state.params, state.optimiser, train, drawn["rows"], state.config,
            curate=curate, update=state.updates,
        )  # fmt: skip
        metrics = {f"fit/{name}": x for name, x in found.items()}
        if held_out is not None:
            metrics |= judged(whole, params, held_out)
        new = FitState(state.config, params, optimiser, state.updates + config.num_steps, drawn["next"])
        return new, metrics

    return Fit(init, step, whole, train, held_out, config, config.num_steps, title)


def _check_rows(train: PairBatch, model: RewardModel, heads: int) -> None:
    """Raise unless something can be learned of these comparisons, by this model."""
    label, weight = known(train.label), known(train.weight)
    if label is not None and weight is not None and not (weight * (label != 0.5)).any():
        raise UsageError(
            f"none of the {len(label)} comparisons that are left to fit was decided, or counts; expected "
            "some: shuffle them, or set holdout=0"
        )
    key = jax.random.key(0)
    try:
        found = jax.eval_shape(lambda: margins(model, model.init(key), train))
    except (FlaxError, TypeError, ValueError) as error:
        raise UsageError(
            f"the model cannot read these items, feats {list(train.first.feats.shape)} "
            f"({str(error).splitlines()[0]:.120}); expected items of the kind that it was made for"
        ) from None
    wanted = train.label.shape if heads == 1 else (heads, *train.label.shape)
    if found.shape != wanted:
        raise UsageError(
            f"heads={heads}: the model gives scores {list(found.shape)} for {len(train.label)} comparisons; "
            f"expected {list(wanted)}, e.g. of step_rewards(heads={heads})"
        )


def judged(model: RewardModel, params: PyTree, data: PairBatch) -> Metrics:
    """Loss and accuracy of an ensemble's mean margin on comparisons it has not seen."""
    margin = jnp.mean(margins(model, params, data), 0)
    loss = weighted_mean(pairwise_logistic(margin, data.label), data.weight)
    return {"held_out/loss": loss, "held_out/accuracy": agreement(margin, data.label, data.weight)}
