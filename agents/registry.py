"""Agents by name. Nothing is imported before it is made."""

import typing
from types import NoneType
from typing import Any

from rlkit.errors import UsageError
from rlkit.registry import Entry, Table, load_target

TABLE = Table(
    "agent",
    {
        "dqn": Entry("rlkit.agents.dqn:dqn", "deep Q-networks: double, n steps, replay; discrete actions"),
        "pqn": Entry("rlkit.agents.pqn:pqn", "Q(λ) without buffer or targets; discrete actions, MLP or GRU"),
        "toponav": Entry(
            "rlkit.agents.toponav:toponav", "explore on a topological map; discrete actions, nav/*"
        ),
        "sac": Entry("rlkit.agents.sac:sac", "soft actor-critic, replay; continuous actions"),
        "ppo": Entry("rlkit.agents.ppo:ppo", "proximal policy optimisation, any actions, MLP or GRU"),
        "prefs-model": Entry(
            "rlkit.experiment.asking.fitting:answered_model", "no agent: a reward fitted to answers"
        ),
        "prefs-ppo": Entry(
            "rlkit.prefs.feedback.agents:preference_ppo", "PPO whose reward is learnt from preferences"
        ),
        "prefs-sac": Entry(
            "rlkit.prefs.feedback.agents:preference_sac", "SAC whose reward is learnt from preferences"
        ),
    },
)
"""Makers ``maker(env, config=None, reward=None) -> Agent``."""


def names() -> tuple[str, ...]:
    """The names of agents, sorted."""
    return tuple(TABLE)


def config_class(name: str) -> type:
    """The class of an agent's hyper-parameters: what its maker says of its argument ``config``.

    Args:
      name: a name of the table, or ``"module:maker"``.

    Raises:
      UnknownNameError: no such agent; the message suggests the nearest one.
      UsageError: the maker does not say.
    """
    maker = load_target(TABLE[name].target)
    try:
        hint = typing.get_type_hints(maker).get("config")
    except (NameError, TypeError):  # hints that cannot be looked up
        hint = None
    found = [kind for kind in (typing.get_args(hint) or (hint,)) if kind not in (None, NoneType)]
    if len(found) != 1 or not isinstance(found[0], type):
        raise UsageError(
            f"{name}: its maker does not say what its configuration is; "
            "expected def maker(env, config: SomeConfig | None = None, reward=None)"
        )
    return found[0]


def name_of(config: Any) -> str:
    """The name of the agent whose configuration this is.

    Raises:
      UsageError: it is none of the table's.
    """
    for name, entry in TABLE.items():
        # Where a class is defined tells without importing every agent.
        if type(config).__module__ == entry.target.partition(":")[0] and type(config) is config_class(name):
            return name
    raise UsageError(
        f"{type(config).__name__} is the configuration of no agent in the table ({', '.join(TABLE)}); "
        "name its maker: algorithm='module:maker'"
    )
