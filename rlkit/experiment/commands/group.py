"""``rlkit group``: train policies of tokens by methods of groups, and list what there is."""

from typing import Any

from rlkit.errors import UsageError, unknown_name
from rlkit.experiment.commands.actions import run_training, take
from rlkit.experiment.commands.arguments import parse

USAGE = """usage: rlkit group train [options] | presets | tasks | policies | metrics

  train      train a policy of tokens; --help lists all options
  presets    methods by name
  tasks      tasks of tokens, with the best reward that there is
  policies   policies by name
  metrics    what is logged, and what its extremes mean
"""

TRAIN_HELP = """where the run goes, and what it begins from:
  --from FILE       start from a config.json; other options change it
  --resume FOLDER   continue a run that was stopped or killed; takes no configuration
  --root FOLDER     where run folders are made (default: runs)
  --folder FOLDER   the run folder itself; it must not exist
  --no-cache        do not keep compiled programs for the next process
  --no-progress     no progress bar
"""


def group(args: list[str]) -> int:
    """``rlkit group COMMAND``."""
    known = {"train": train, "presets": presets, "tasks": tasks, "policies": policies, "metrics": metrics}
    if not args or args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if args else 2
    if args[0] not in known:
        raise unknown_name("command", args[0], known, where="of rlkit group")
    if args[0] != "train" and len(args) > 1:
        raise UsageError(f"usage: rlkit group {args[0]}")
    return known[args[0]](args[1:])


def train(args: list[str]) -> int:
    """``rlkit group train``."""
    from rlkit.experiment.training import config
    from rlkit.experiment.training.group_config import GroupRunConfig

    if "-h" in args or "--help" in args:
        print(TRAIN_HELP)
    source, args = take(args, "--from")
    folder, args = take(args, "--resume")
    root, args = take(args, "--root")
    target, args = take(args, "--folder")
    progress, args = "--no-progress" not in args, [a for a in args if a != "--no-progress"]
    cached, args = "--no-cache" not in args, [a for a in args if a != "--no-cache"]
    if folder is not None and (args or source or target or root):
        raise UsageError("--resume continues the run as it was configured; give it no other options")
    settings: Any = GroupRunConfig() if source is None else config.load(source)
    if not isinstance(settings, GroupRunConfig):
        raise UsageError(f"{source} is of an agent; train it with: rlkit train --from {source}")
    if folder is None:
        settings = parse(GroupRunConfig, args, "rlkit group train", settings)
    return run_training(settings, folder, target, root or "runs", progress, cached)


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
