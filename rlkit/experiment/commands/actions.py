"""What the commands of the command line do with their arguments."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.commands.arguments import parse
from rlkit.fields import option


def take(args: list[str], option: str) -> tuple[str | None, list[str]]:
    """The value of an option that decides how the others are read, and the arguments without it."""
    rest, value, i = [], None, 0
    while i < len(args):
        name, equals, given = args[i].partition("=")
        if name != option:
            rest.append(args[i])
        elif equals:
            value = given
        elif i + 1 < len(args):
            i += 1
            value = args[i]
        else:
            raise UsageError(f"{option} needs a value")
        i += 1
    return value, rest


PLACE_HELP = """what the run begins from, and where it goes:
  --from FILE       start from a config.json; other options change it
  --resume FOLDER   continue a run that was stopped or killed; takes no configuration
  --root FOLDER     where run folders are made (default: runs)
  --folder FOLDER   the run folder itself; it must not exist
  --no-cache        do not keep compiled programs for the next process
  --no-progress     no progress bar
"""

AGENT_HELP = """how the other options are read:
  --agent NAME      the agent, whose hyper-parameters --agent.* then are (default: ppo), or module:maker
"""


class Place(NamedTuple):
    """What a training begins from and where it goes, see :data:`PLACE_HELP`."""

    source: str | None
    resumed: str | None
    root: str
    folder: str | None
    progress: bool
    cached: bool


def place(args: list[str]) -> tuple[Place, list[str]]:
    """Where a training goes, and the arguments without what says it: those of its configuration.

    Raises:
      UsageError: a resumed run is given something else.
    """
    given = {}
    for name in ("--from", "--resume", "--root", "--folder"):
        given[name], args = take(args, name)
    switches = {name: name in args for name in ("--no-progress", "--no-cache")}
    args = [arg for arg in args if arg not in switches]
    source, resumed, root, folder = given.values()
    if resumed is not None and (args or source or root or folder):
        raise UsageError("--resume continues the run as it was configured; give it no other options")
    found = Place(
        source, resumed, root or "runs", folder, not switches["--no-progress"], not switches["--no-cache"]
    )
    return found, args


def train(args: list[str]) -> int:
    """``rlkit train``."""
    from rlkit.agents import registry
    from rlkit.experiment.training import config
    from rlkit.registry import is_target

    if "-h" in args or "--help" in args:
        print(AGENT_HELP + PLACE_HELP)
    where, rest = place(args)
    name, args = take(rest, "--agent")
    settings = config.TrainConfig() if where.source is None else config.load(where.source)
    if getattr(settings, "kind", ""):
        again = f"rlkit group {'fit' if settings.kind == 'fit' else 'train'} --from {where.source}"
        raise UsageError(f"{where.source} is of a {settings.kind} trainer; use: {again}")
    if name is not None and (where.source is None or name != settings.agent_name):
        own = name if is_target(name) else ""
        settings = settings.replace(agent=registry.config_class(name)(), algorithm=own)
    if where.resumed is None:
        algorithm = settings.algorithm
        settings = parse(config.TrainConfig, args, "rlkit train", settings).replace(algorithm=algorithm)
    return run_training(settings, where)


def run_training(settings: Any, where: Place) -> int:
    """Train in a new run folder, or go on in an old one, as a command does."""
    import os

    from rlkit.experiment.runs import store
    from rlkit.experiment.training import cache, config, devices

    if not where.cached:
        os.environ[cache.VARIABLE] = "off"
    if where.resumed is not None:  # on as many devices and threads as it had
        settings = config.load(store.existing(where.resumed) / store.CONFIG)
    devices.use_host_devices(settings.devices, settings.threads)
    from rlkit.experiment.training import run

    if where.resumed is not None:
        outcome = run.resume(where.resumed, progress=where.progress, abrupt=True)
    else:
        outcome = run.run(settings, where.folder, root=where.root, progress=where.progress, abrupt=True)
    if outcome.finished:
        print(outcome.folder)
    return outcome.exit_code


@dataclass(frozen=True)
class RunsArguments:
    """Name run folders, or folders that hold some."""

    runs: tuple[str, ...] = option((), "run folders, or folders above them")
    out: str = option("", "where the result goes instead of the run's folder, which may be read-only")


@dataclass(frozen=True)
class AnalyzeArguments(RunsArguments):
    """Measure emergence in the latents of runs."""

    draws: int = option(100, "surrogates per recording; as many give the same surrogates again", low=2)
    final_draws: int = option(999, "surrogates of the last recordings, at least as many as --draws", low=2)
    components: int = option(0, "measure that many leading components instead of the units; 0: the units")


def _runs(args: list[str], prog: str, cls: type = RunsArguments) -> tuple[list[Path], str | None]:
    """The run folders that the arguments name, and the value of ``--out``."""
    out, args = take(args, "--out")
    args = [arg for arg in args if arg != "--runs"]  # they can be named without, too
    if "-h" in args or "--help" in args or any(arg.startswith("-") for arg in args):
        parse(cls, args, prog)
    from rlkit import outside
    from rlkit.experiment.runs import store

    if not args:
        raise UsageError(f"{prog} needs a run folder, e.g. {prog} runs/classic-cartpole")
    found = []
    for arg in args:
        path = Path(arg)
        with outside.at(path, "read"):
            inside = [path] if (path / store.CONFIG).is_file() else store.runs(path) if path.is_dir() else []
        if not inside:
            store.existing(path)
        found += inside
    return found, out


def count(name: str, text: str, least: int) -> int:
    """A whole number from an argument."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise UsageError(f"{name} {text[:40]}: expected a whole number of at least {least}")
    return int(text)


def _each(folders: list[Path], do: Callable[[Path], Any]) -> tuple[list[Path], int]:
    """Do something with every run, after saying what is not as the run wrote it.

    One that fails is told, and takes no other with it.

    Returns:
      The runs that did not fail, and an exit code.

    Raises:
      RlkitError: of a run that is the only one.
    """

    from rlkit.experiment.training import loading

    done = []
    for folder in folders:
        try:
            for sentence in loading.damage(folder):
                print(f"warning: {sentence}", file=sys.stderr)
            do(folder)
        except RlkitError as error:
            if len(folders) == 1:
                raise
            print(f"error: {folder}: {error}", file=sys.stderr)
            continue
        done.append(folder)
    return done, int(len(done) < len(folders))


def analyze(args: list[str]) -> int:
    """``rlkit analyze RUN... [--draws N] [--final-draws N] [--components N] [--out FOLDER]``."""
    counts: dict[str, Any] = {}
    for name in ("draws", "final_draws", "components"):
        flag = "--" + name.replace("_", "-")
        given, args = take(args, flag)
        if given is not None:
            counts[name] = count(flag, given, 2)
    folders, out = _runs(args, "rlkit analyze", AnalyzeArguments)
    if out is not None and len(folders) > 1:
        raise UsageError(f"--out {out}: it takes the files of one run; {len(folders)} were named")
    from rlkit.experiment.runs import store
    from rlkit.experiment.training import cache, devices

    devices.use_host_devices(0)
    cache.enable()
    from rlkit.experiment.reports import analyze as module
    from rlkit.experiment.reports.telling import told

    def measure(folder: Path) -> None:
        path = module.analyze(folder, out=out, **counts)
        print("\n".join(told(store.read_json(path))))
        print(path)

    return _each(folders, measure)[1]


def report(args: list[str]) -> int:
    """``rlkit report RUN... [--out FILE]``: one report per run and one about all, or that one only."""
    folders, out = _runs(args, "rlkit report")
    from rlkit.experiment.reports import reading
    from rlkit.experiment.reports import report as module

    intact, code = _each(
        folders, (lambda folder: print(module.report(folder))) if out is None else reading.read
    )
    if len(intact) > 1 or (intact and out is not None):
        print(module.compare(intact, out))
    return code


def demo(args: list[str]) -> int | None:
    """``rlkit demo``; the module reads its own arguments."""
    import importlib

    return importlib.import_module("rlkit.experiment.commands.demo").main(args)


@dataclass(frozen=True)
class PolicyArguments:
    """Name one run folder, and which of its policies."""

    run: str = option("", "the run folder")
    seed: int = option(-1, "which seed; -1 takes the one that was judged best", low=-1)
    member: int = option(-1, "which member of a sweep the seed belongs to; -1: any", low=-1)
    out: str = option("", "where the result goes; it must not exist")
    episodes: int = option(1, "episodes to draw", low=1)
    size: int = option(256, "size of a picture, pixels", low=16, high=4096)


def _policy(args: list[str], prog: str) -> tuple[PolicyArguments, Any]:
    """The arguments, and the policy that they name."""
    if args and not args[0].startswith("-"):
        args = ["--run", *args]
    chosen = parse(PolicyArguments, args, prog)
    if not chosen.run:
        raise UsageError(f"{prog} needs a run folder, e.g. {prog} runs/classic-cartpole/ppo/...")
    from rlkit.experiment.training import loading

    member, seed = max(chosen.member, 0), chosen.seed
    if seed < 0:
        for sentence in loading.damage(chosen.run):
            print(f"warning: {sentence}", file=sys.stderr)
        member, seed = loading.best_seed(chosen.run, None if chosen.member < 0 else chosen.member)
    return chosen, loading.load(chosen.run, seed, member=member)


def render(args: list[str]) -> int:
    """``rlkit render RUN [--seed N] [--out FILE.gif|FILE.mp4]``."""
    import jax

    chosen, found = _policy(args, "rlkit render")
    from rlkit.experiment.reports import animation
    from rlkit.experiment.training import cache

    cache.enable()

    out = Path(chosen.out or "episode.gif")
    if out.exists():
        raise UsageError(f"{out} exists; name another file with --out")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; make it first")
    pictures = animation.render(
        found.agent, found.policy, jax.random.key(found.settings.seed), chosen.episodes, size=chosen.size,
        env_params=found.agent.settings(found.state).env_params,
    )  # fmt: skip
    print(animation.save(pictures, out))
    return 0


def export(args: list[str]) -> int:
    """``rlkit export RUN [--seed N] [--out FOLDER]``."""
    chosen, found = _policy(args, "rlkit export")
    from rlkit.experiment.training.export import export_policy

    print(export_policy(found.agent, found.policy, chosen.out or "policy"))
    return 0


def agents(args: list[str]) -> int:
    """``rlkit agents [NAME]``."""
    from rlkit.experiment.reports import listing

    _at_most_one(args, "rlkit agents [NAME]")
    print(listing.describe_agent(args[0]) if args else listing.agents())
    return 0


def rewards(args: list[str]) -> int:
    """``rlkit rewards [NAME]``."""
    from rlkit.experiment.reports import listing

    _at_most_one(args, "rlkit rewards [NAME]")
    print(listing.describe_reward(args[0]) if args else listing.rewards())
    return 0


def _at_most_one(args: list[str], usage: str) -> None:
    if len(args) > 1 or any(arg.startswith("-") for arg in args):
        raise UsageError(f"usage: {usage}")


@dataclass(frozen=True)
class EnvsArguments:
    """List environments, describe one, or check one: rlkit envs [ID], rlkit envs check ID."""

    id: str = option("", "an environment id to describe")
    family: str = option("", "list one family only, e.g. nav")


def envs(args: list[str]) -> int:
    """``rlkit envs [ID] [--family FAMILY]``, ``rlkit envs check ID``."""
    if args[:1] == ["check"]:
        return _check_environment(args[1:])
    if args and not args[0].startswith("-"):
        args = ["--id", *args]
    chosen = parse(EnvsArguments, args, "rlkit envs")
    from rlkit.experiment.reports import listing

    print(listing.describe(chosen.id) if chosen.id else listing.table(chosen.family), file=sys.stdout)
    return 0


def _check_environment(args: list[str]) -> int:
    """``rlkit envs check ID``: exit code 1 if something looks wrong."""
    if len(args) != 1 or args[0].startswith("-"):
        raise UsageError("usage: rlkit envs check ID, where ID is a name or your own as module:factory")
    from rlkit.experiment.reports import listing

    text, fine = listing.checked(args[0])
    print(text)
    return 0 if fine else 1
