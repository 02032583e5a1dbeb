"""Tasks of tokens by name."""

from typing import Any

from rlkit.envs.tokens.core import TokenTask
from rlkit.errors import UsageError
from rlkit.registry import Entry, Table

TABLE = Table(
    "token task",
    {
        "tokens/modular": Entry("rlkit.envs.tokens.arithmetic:modular", "sums modulo a number"),
        "tokens/views": Entry("rlkit.envs.tokens.arithmetic:views", "two views of a sum"),
        "tokens/brackets": Entry("rlkit.envs.tokens.brackets:brackets", "close brackets; five rubrics"),
        "tokens/sorting": Entry("rlkit.envs.tokens.sorting:sorting", "sort numbers"),
        "tokens/calls": Entry("rlkit.envs.tokens.calls:calls", "write a tool call in its grammar"),
        "tokens/calculator": Entry(
            "rlkit.envs.tokens.calls:calculator", "compute with a calculator that answers; several turns"
        ),
        "tokens/lookup": Entry("rlkit.envs.tokens.lookup:lookup", "two-hop questions about fixed facts"),
        "tokens/preferences": Entry(
            "rlkit.envs.tokens.preferences:preferences", "strings with a hidden value"
        ),
        "tokens/series": Entry("rlkit.envs.tokens.series:series", "classify a series and say why"),
    },
)
"""Makers ``maker(**options) -> TokenTask``; ``"module:maker"`` names one of the user's."""


def make_task(name: str, **options: Any) -> TokenTask:
    """Make a task by name.

    Raises:
      UnknownNameError: no such task or option; the message suggests the nearest one.
      UsageError: the maker made something else, or an option is out of range.
    """
    task = TABLE.make(name, **options)
    if not isinstance(task, TokenTask):
        raise UsageError(f"{name} made {type(task).__name__}; expected an rlkit.envs.tokens.TokenTask")
    return task
