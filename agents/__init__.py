"""Agents: one file an algorithm, each a named tuple of pure functions."""

if __name__ != "rlkit.agents":
    raise ImportError("this folder is installed as rlkit.agents: import rlkit.agents instead of agents")

from rlkit.agents.demonstrations import trajectory_from
from rlkit.agents.dqn import DQNConfig, DQNState, dqn
from rlkit.agents.evaluate import Evaluation, evaluate, probe
from rlkit.agents.ppo import PPOConfig, PPOState, ppo
from rlkit.agents.pqn import PQNConfig, PQNState, pqn
from rlkit.agents.sac import SACConfig, SACState, sac

__all__ = [
    "DQNConfig",
    "DQNState",
    "Evaluation",
    "PPOConfig",
    "PPOState",
    "PQNConfig",
    "PQNState",
    "SACConfig",
    "SACState",
    "dqn",
    "evaluate",
    "ppo",
    "pqn",
    "probe",
    "sac",
    "trajectory_from",
]
