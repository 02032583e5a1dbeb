"""Agents: one file an algorithm, each a named tuple of pure functions."""

if __name__ != "rlkit.agents":
    raise ImportError("this folder is installed as rlkit.agents: import rlkit.agents instead of agents")

from rlkit.agents.evaluate import Evaluation, evaluate, probe
from rlkit.agents.ppo import PPOConfig, PPOState, ppo

__all__ = ["Evaluation", "PPOConfig", "PPOState", "evaluate", "ppo", "probe"]
