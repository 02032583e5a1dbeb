"""Agents that learn from preferences, by name: ``prefs-sac`` and ``prefs-ppo``."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax

from rlkit.agents.ppo import PPOConfig, ppo
from rlkit.agents.sac import SACConfig, sac
from rlkit.prefs.feedback.config import FeedbackConfig
from rlkit.prefs.feedback.loop import from_preferences
from rlkit.types import Agent, Environment, Reward


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PreferenceSACConfig(FeedbackConfig, SACConfig):
    """Hyper-parameters of SAC, and of the teacher and the reward models beside it."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PreferencePPOConfig(FeedbackConfig, PPOConfig):
    """Hyper-parameters of PPO, and of the teacher and the reward models beside it."""

    query_starts: int = dataclasses.field(
        default=4096, metadata=FeedbackConfig.__dataclass_fields__["query_starts"].metadata
    )
    query_every: int = dataclasses.field(
        default=8192, metadata=FeedbackConfig.__dataclass_fields__["query_every"].metadata
    )


def preference_sac(
    env: Environment, config: PreferenceSACConfig | None = None, reward: Reward | None = None, **options: Any
) -> Agent:
    """SAC from preferences (PEBBLE, arXiv 2106.05091): the replay buffer is paid anew as the reward changes.

    Args:
      env: the environment.
      config: hyper-parameters.
      reward: what the simulated teacher judges by; None: the environment's own reward. The agent never sees
        it.
      **options: of :func:`rlkit.agents.sac.sac`.

    Returns:
      The agent, see :func:`rlkit.prefs.feedback.loop.from_preferences`.
    """
    make = lambda env, config, paid, record: sac(env, config, paid, record=record, **options)
    return from_preferences(make, env, config or PreferenceSACConfig(), reward)


def preference_ppo(
    env: Environment, config: PreferencePPOConfig | None = None, reward: Reward | None = None, **options: Any
) -> Agent:
    """PPO from preferences, as in Christiano et al. 2017 (arXiv 1706.03741), there with TRPO and A2C.

    Arguments and result as of :func:`preference_sac`.
    """
    make = lambda env, config, paid, record: ppo(env, config, paid, record=record, **options)
    return from_preferences(make, env, config or PreferencePPOConfig(), reward)
