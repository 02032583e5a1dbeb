"""Reward models as rewards."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError

from rlkit.errors import UsageError, unknown_name
from rlkit.prefs.feedback.inputs import Inputs
from rlkit.prefs.types import RewardModel, RewardOut, Segment
from rlkit.rewards import from_function
from rlkit.types import PyTree, Reward, Transition

MEMBERS = ("mean", "min", "one")
"""How the rewards of an ensemble become one: their mean, the least of them, or (one model) nothing to do."""


def bounded(model: RewardModel) -> RewardModel:
    """A model whose rewards of steps are within -1 .. 1, by ``tanh``, as in PEBBLE (arXiv 2106.05091).

    What an agent is paid then has a known scale, whatever the margins between segments are. For models that
    give rewards of steps; the total is their sum.

    Args:
      model: a member, or an ensemble.
    """

    def apply(params: PyTree, item: Segment) -> RewardOut:
        step = jnp.tanh(steps_of(model.apply(params, item)))
        step = jnp.where(item.mask, step, 0.0)
        return RewardOut(jnp.sum(step, -1), step)

    return RewardModel(model.init, apply)


def steps_of(out: RewardOut) -> jax.Array:
    """The rewards of steps.

    Raises:
      UsageError: the model gives none.
    """
    if out.step is None:
        raise UsageError(
            "the model gives items a reward as a whole; expected one with rewards of steps, "
            "e.g. OutcomeHead(pool='sum_step')"
        )
    return out.step


def scorer(
    model: RewardModel, inputs: Inputs, params: PyTree, *, members: str = "mean", name: str = "learned"
) -> Reward:
    """A reward model as a reward, whose parameters are the weights.

    It is paid for one transition at a time, so that the model must see each step by itself. The weights are
    ``reward.params``: agents keep them in their state, a sweep maps over them, and
    :func:`rlkit.agents.collecting.with_reward_params` puts in new ones while the model is being trained.

    Args:
      model: gives rewards of steps; of an ensemble (:func:`rlkit.prefs.ensemble`) they are ``[M, B, T]``.
      inputs: what it sees of a transition.
      params: the weights, ``model.init(key)``.
      members: how an ensemble's rewards become one; ``"one"`` for a model that is no ensemble.
      name: of the reward's one term.

    Returns:
      A reward without memory.

    Raises:
      UnknownNameError: no such way to join members.
      UsageError: the model gives no rewards of steps, or a step's reward depends on other steps.
    """
    if members not in MEMBERS:
        raise unknown_name("way to join members", members, MEMBERS)
    _check(model, inputs, params, members)

    def pay(transition: Transition, params: PyTree) -> jax.Array:
        item = Segment(inputs.of(transition)[None, None], jnp.ones((1, 1), bool))
        step = steps_of(model.apply(params, item))[..., 0, 0]
        return {"mean": jnp.mean, "min": jnp.min, "one": jnp.asarray}[members](step)

    return from_function(pay, name, params)


def _check(model: RewardModel, inputs: Inputs, params: PyTree, members: str) -> None:
    """Compare the reward of a step among others with that of the same step alone."""
    try:
        found = jax.eval_shape(lambda: steps_of(model.apply(params, _example(inputs.size))))
    except (FlaxError, TypeError, ValueError) as error:
        raise UsageError(
            f"the model with these weights cannot read the {inputs.size} numbers of "
            f"{', '.join(inputs.reads)} ({str(error).splitlines()[0]:.120}); expected inputs of the kind "
            "that it was made for"
        ) from None
    ndim = len(found.shape)
    if (ndim == 2) != (members == "one"):
        kind = "one model" if ndim == 2 else "an ensemble"
        raise UsageError(
            f"members={members!r}, but this is {kind}: expected {'one' if ndim == 2 else 'mean'!r}"
        )
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(params)):
        return
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params)):
        raise UsageError("the weights of this model are not all finite; fit it anew, in smaller steps")
    item = _example(inputs.size)
    whole, parts = (np.asarray(steps_of(model.apply(params, x))) for x in (item, _apart(item)))
    if not np.allclose(whole, parts.reshape(whole.shape), rtol=1e-3, atol=1e-4):
        raise UsageError(
            "the reward that this model gives a step depends on the steps around it, which an agent that is "
            "being paid has not taken yet: train a model of single steps on its rewards, e.g. "
            "OutcomeHead(Backbone('mlp'), 'sum_step')"
        )


def _example(size: int) -> Segment:
    """One item of three steps."""
    feats = np.random.default_rng(0).normal(size=(1, 3, size)).astype(np.float32)
    return Segment(jnp.asarray(feats), jnp.ones((1, 3), bool))


def _apart(item: Segment) -> Segment:
    """Its steps as items of their own."""
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), item)


def step_rewards(
    sizes: tuple[int, ...] = (64, 64), activation: str = "tanh", heads: int = 1, **backbone: Any
) -> nn.Module:
    """The head for trajectories: a reward for each step by itself, and their sum; ``heads`` of them."""
    from rlkit.prefs.heads import Backbone, OutcomeHead

    return OutcomeHead(Backbone("mlp", sizes, activation, **backbone), "sum_step", heads)
