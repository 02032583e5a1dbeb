"""The command line: ``rlkit train | analyze | report | design | score | envs`` and others.

Nothing slow is imported before a command needs it. Errors are one sentence (``--debug`` shows the
traceback); the exit code is 2 for a request that cannot be carried out, 1 for a failure, and 128
plus its number after a signal (130 for SIGINT, 143 for SIGTERM).
"""

import contextlib
import gc
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rlkit import outside, streams
from rlkit.errors import RlkitError, UsageError, said, unknown_name


class Command(NamedTuple):
    """A subcommand: ``target`` is ``module:function`` of one argument, its own arguments."""

    target: str
    summary: str


COMMANDS = {
    "train": Command(
        "rlkit.experiment.commands.actions:train", "train a population of seeds, or resume a run"
    ),
    "analyze": Command(
        "rlkit.experiment.commands.actions:analyze", "measure emergence in the latents of runs"
    ),
    "report": Command(
        "rlkit.experiment.commands.actions:report", "write the report of runs, one HTML file each"
    ),
    "demo": Command("rlkit.experiment.commands.actions:demo", "see what rlkit does, in a few minutes"),
    "render": Command(
        "rlkit.experiment.commands.actions:render", "draw episodes of a run's policy, as a GIF or video"
    ),
    "export": Command(
        "rlkit.experiment.commands.actions:export", "write a run's policy so that it acts without rlkit"
    ),
    "agents": Command("rlkit.experiment.commands.actions:agents", "list agents, or describe one"),
    "rewards": Command("rlkit.experiment.commands.actions:rewards", "list what rewards are written with"),
    "design": Command(
        "rlkit.design.commands:design", "design a reward for an environment, or resume a design"
    ),
    "reward": Command("rlkit.design.commands:reward", "check, show or audit a reward"),
    "group": Command(
        "rlkit.experiment.commands.group:group", "train policies of tokens by methods of groups"
    ),
    "prefs": Command(
        "rlkit.experiment.asking.commands:prefs", "ask a person, and fit a reward to the answers"
    ),
    "score": Command("rlkit.experiment.commands.scoring:score", "score how physically plausible motions are"),
    "envs": Command("rlkit.experiment.commands.actions:envs", "list environments, or describe one"),
    "study": Command("rlkit.studies.commands:study", "run a whole study, and report what survives"),
    "jobs": Command("rlkit.jobs.commands:jobs", "trainings as indexed jobs, on one machine or many"),
}


def usage() -> str:
    """The text of ``rlkit --help``."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: rlkit COMMAND [--help] [options] [--debug]\n\n"
        f"{rows}\n\n"
        "rlkit COMMAND --help lists the options of a command, every hyper-parameter with its meaning.\n"
        "--debug shows tracebacks. Compiled programs are kept in ~/.cache/rlkit, a folder that only you may\n"
        "open, because they are machine code; RLKIT_CACHE names another folder, or off."
    )


def _command(name: str) -> Callable[[list[str]], int | None]:
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    module, function = COMMANDS[name].target.split(":")
    return getattr(importlib.import_module(module), function)


def _version() -> str:
    from importlib.metadata import version

    return version("rlkit-jax")


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        print(f"rlkit {_version()}")
        return 0
    return _command(args[0])(args[1:]) or 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      argv: arguments without the program's name; None takes those of the process.

    Returns:
      The exit code.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # the process is this command's alone
        gc.set_threshold(20_000, 20, 20)  # tracing makes many objects and few cycles
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    with streams.guarded() as (out, _):
        code = _reported(args, debug)
        out.flush()
        if out.failure is None or isinstance(out.failure, BrokenPipeError):  # `rlkit envs | head`
            return code
        print(f"error: {outside.explain(out.failure, 'standard output', 'write')}", file=sys.stderr)
        return code or 1


def _reported(args: list[str], debug: bool) -> int:
    """Run a command; its errors become a sentence and an exit code."""
    try:
        return _run(args)
    except SystemExit as end:  # tyro has printed why
        return end.code if isinstance(end.code, int) else 2
    except KeyboardInterrupt:
        if debug:
            raise
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        print(f"error: {_bounded(_sentence(error))}", file=sys.stderr)
        return 2 if _is_usage(error) else 1


def _is_usage(error: Exception) -> bool:
    return isinstance(error, UsageError) or type(error) is ValueError


def _sentence(error: Exception) -> str:
    text = said(error)
    if isinstance(error, RlkitError) or (type(error) is ValueError and not _is_page(text)):
        return text
    with contextlib.suppress(Exception):  # what it reads, of causes too, may have a __str__ that fails
        if (told := outside.explain(error)) is not None:
            return told
    first = text.strip().split("\n")[0]
    kind = type(error).__name__
    return f"{kind if first == kind else f'{kind}: {first}'}; this is a defect, --debug shows where"


def _is_page(text: str) -> bool:
    """Whether an error's text is a library's report rather than a sentence."""
    return text.count("\n") > 2


def _bounded(text: str, most: int = 1000) -> str:
    """A sentence in one line that fits on a screen, whatever was given to the command."""
    line = " ".join(text.split("\n")).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-most // 2 :]}"
