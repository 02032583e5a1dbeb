"""Agents of the interventions: PPO whose latents are pushed, or of which some units alone are trained."""

from dataclasses import dataclass

import jax

from rlkit.agents.ppo import PPOConfig, ppo
from rlkit.errors import UsageError
from rlkit.fields import check, static
from rlkit.optimisers import decayed_adam
from rlkit.studies.masks import CHOICES, masking, training_some
from rlkit.studies.pushes import PUSHES, push
from rlkit.types import Agent, Environment, Reward


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PushedConfig(PPOConfig):
    """PPO with a push on its latents."""

    push: str = static("untouched", "what the latents are pushed to", choices=PUSHES)
    strength: float = static(
        0.05, "force on each latent; that of the policy's loss is of the order of 1", low=0.0
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MaskedConfig(PPOConfig):
    """PPO of which from some update on some units alone are trained."""

    choice: str = static("all", "which units are trained in the end", choices=CHOICES)
    share: float = static(0.25, "of the units, those that are trained", above=0.0, high=1.0)
    begin: int = static(20, "updates before the choice", low=1)


def pushed(env: Environment, config: PushedConfig | None = None, reward: Reward | None = None) -> Agent:
    """PPO with the auxiliary loss of an arm, see :mod:`rlkit.studies.pushes`."""
    config = config or PushedConfig()
    check(config)
    return ppo(env, config, reward, auxiliary=push(config.push, config.strength))


def masked(env: Environment, config: MaskedConfig | None = None, reward: Reward | None = None) -> Agent:
    """PPO that trains some units only in the end, see :mod:`rlkit.studies.masks`.

    Raises:
      UsageError: policy and value share a torso, or it is neither an MLP nor a GRU.
    """
    config = config or MaskedConfig()
    check(config)
    if config.shared_torso or config.torso not in ("mlp", "gru"):
        raise UsageError(
            f"torso={config.torso!r}, shared_torso={config.shared_torso}: units can be trained alone in "
            "an mlp or a gru of the policy's own"
        )
    agent = ppo(env, config, reward, optimiser=masking(decayed_adam), latents=True)
    return training_some(agent, config.sizes[-1], config.choice, config.share, config.begin)
