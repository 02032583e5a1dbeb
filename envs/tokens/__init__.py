"""Tasks whose observations and actions are tokens, verified on the device, each with a known optimum."""

from rlkit.envs.tokens.core import (
    Prompt,
    TermSpec,
    TokenSpec,
    TokenTask,
    Tool,
    sample_prompts,
    spelt,
    task_reward,
    verify_groups,
)
from rlkit.envs.tokens.registry import TABLE, make_task

__all__ = [
    "TABLE",
    "Prompt",
    "TermSpec",
    "TokenSpec",
    "TokenTask",
    "Tool",
    "make_task",
    "sample_prompts",
    "spelt",
    "task_reward",
    "verify_groups",
]
