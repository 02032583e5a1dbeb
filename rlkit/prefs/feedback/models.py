"""Reward models of single steps, from a few choices."""

from typing import NamedTuple

import jax.numpy as jnp

from rlkit.prefs.feedback.inputs import Inputs, inputs
from rlkit.prefs.feedback.scoring import bounded, step_rewards
from rlkit.prefs.heads.models import ensemble, reward_model
from rlkit.prefs.types import RewardModel, Segment
from rlkit.types import EnvSpec


class ModelConfig(NamedTuple):
    """What a reward model of single steps is built from."""

    reads: tuple[str, ...] = ("obs", "action")
    sizes: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    members: int = 3
    heads: int = 1  # members that share all layers but the last
    join: str = "mean"  # of an ensemble's rewards
    bounded: bool = True  # rewards of steps are within -1 .. 1


class Built(NamedTuple):
    """A reward model of single steps for an environment."""

    member: RewardModel  # one member; or as many as `heads` says, which share layers
    whole: RewardModel  # the ensemble
    inputs: Inputs
    config: ModelConfig


def build(spec: EnvSpec, config: ModelConfig) -> Built:
    """The functions of a reward model of single steps.

    Raises:
      UnknownNameError: it reads what the environment does not have.
      UsageError: the number of members is no multiple of ``heads``.
    """
    seen = inputs(spec, config.reads)
    example = Segment(jnp.zeros((1, 1, seen.size)), jnp.ones((1, 1), bool))
    model = reward_model(step_rewards(config.sizes, config.activation, config.heads), example)
    model = bounded(model) if config.bounded else model
    return Built(model, ensemble(model, config.members, config.heads), seen, config)
