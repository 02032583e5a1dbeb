"""``rlkit group``: train policies of tokens by methods of groups, and list what there is."""

from typing import Any

from rlkit.errors import UsageError, unknown_name
from rlkit.experiment.commands.actions import PLACE_HELP, place, run_training
from rlkit.experiment.commands.arguments import parse

USAGE = """usage: rlkit group train [options] | fit [options] | presets | tasks | policies | metrics

  train      train a policy of tokens on a task; --help lists all options
  fit        train one on recorded preferences or demonstrations; --help lists all options
  presets    methods by name
  tasks      tasks of tokens, with the best reward that there is
  policies   policies by name
  metrics    what is logged, and what its extremes mean
"""


def group(args: list[str]) -> int:
    """``rlkit group COMMAND``."""
    known = {"train": train, "fit": fit}
    known |= {"presets": presets, "tasks": tasks, "policies": policies, "metrics": metrics}
    if not args or args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if args else 2
    if args[0] not in known:
        raise unknown_name("command", args[0], known, where="of rlkit group")
    if args[0] not in ("train", "fit") and len(args) > 1:
        raise UsageError(f"usage: rlkit group {args[0]}")
    return known[args[0]](args[1:])


def train(args: list[str]) -> int:
    """``rlkit group train``."""
    from rlkit.experiment.training.group_config import GroupRunConfig

    return _train(GroupRunConfig, "rlkit group train", args)


def fit(args: list[str]) -> int:
    """``rlkit group fit``."""
    from rlkit.experiment.training.fit_config import FitRunConfig

    return _train(FitRunConfig, "rlkit group fit", args)


_COMMANDS = {"": "rlkit train", "group": "rlkit group train", "fit": "rlkit group fit"}


def _train(cls: Any, prog: str, args: list[str]) -> int:
    """Train what a configuration of a class describes, in a run folder."""
    from rlkit.experiment.training import config

    if "-h" in args or "--help" in args:
        print(PLACE_HELP)
    where, args = place(args)
    settings: Any = cls() if where.source is None else config.load(where.source)
    if not isinstance(settings, cls):
        own = _COMMANDS[getattr(settings, "kind", "")]
        raise UsageError(f"{where.source} is of another training; train it with: {own} --from {where.source}")
    if where.resumed is None:
        settings = parse(cls, args, prog, settings)
    return run_training(settings, where)


def presets(args: list[str]) -> int:
    """``rlkit group presets``."""
    from rlkit.group.presets import PRESETS

    _list({name: entry.summary for name, entry in PRESETS.items()})
    return 0


def tasks(args: list[str]) -> int:
    """``rlkit group tasks``."""
    from rlkit.envs.tokens import TABLE, make_task

    rows = {}
    for name, entry in TABLE.items():
        spec = make_task(name).spec
        terms = ", ".join(
            f"{term.name} (paid {term.weight:g})" if term.weight else term.name for term in spec.terms
        )
        rows[name] = (
            f"{entry.summary}; at most {spec.completion_length} tokens, optimum {spec.optimum:g}: {terms}"
        )
    _list(rows)
    return 0


def policies(args: list[str]) -> int:
    """``rlkit group policies``."""
    from rlkit.group.policies.registry import TABLE

    _list({name: entry.summary for name, entry in TABLE.items()})
    return 0


def metrics(args: list[str]) -> int:
    """``rlkit group metrics``."""
    from rlkit.group.glossary import METRICS

    _list({name: f"{m.what}. {m.extremes}".rstrip(" .") for name, m in METRICS.items()})
    return 0


def _list(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, text in rows.items():
        print(f"{name:<{width}}  {text}")
