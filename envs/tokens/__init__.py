"""Tasks whose observations and actions are tokens, verified on the device, each with a known optimum."""

from rlkit.envs.tokens.core import (
    Prompt,
    TermSpec,
    TokenSpec,
    TokenTask,
    Tool,
    read_groups,
    sample_prompts,
    spelt,
    task_reward,
    verify_groups,
)
from rlkit.envs.tokens.registry import TABLE, make_task
from rlkit.envs.tokens.texts import Words, texts, tokenizer_of

__all__ = [
    "TABLE",
    "Prompt",
    "TermSpec",
    "TokenSpec",
    "TokenTask",
    "Tool",
    "Words",
    "make_task",
    "read_groups",
    "sample_prompts",
    "spelt",
    "task_reward",
    "texts",
    "tokenizer_of",
    "verify_groups",
]
