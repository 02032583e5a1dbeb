"""The command line: ``rlkit train | analyze | report | demo | envs``.

Nothing slow is imported before a command needs it. Errors are one sentence (``--debug`` shows the
traceback); the exit code is 2 for a request that cannot be carried out, 1 for a failure, 130 or
143 after a signal.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rlkit.errors import RlkitError, UsageError, unknown_name


class Command(NamedTuple):
    """A subcommand: ``target`` is ``module:function`` of one argument, its own arguments."""

    target: str
    summary: str


COMMANDS = {
    "train": Command("rlkit.experiment.commands:train", "train a population of seeds, or resume a run"),
    "analyze": Command("rlkit.experiment.commands:analyze", "measure emergence in the latents of runs"),
    "report": Command("rlkit.experiment.commands:report", "write the report of runs, one HTML file each"),
    "demo": Command("rlkit.experiment.commands:demo", "see what rlkit does, in a few minutes"),
    "envs": Command("rlkit.experiment.commands:envs", "list environments, or describe one"),
}


def usage() -> str:
    """The text of ``rlkit --help``."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: rlkit COMMAND [--help] [options] [--debug]\n\n"
        f"{rows}\n\n"
        "rlkit COMMAND --help lists the options of a command, every hyper-parameter with its meaning.\n"
        "--debug shows tracebacks. RLKIT_CACHE sets the folder of compiled programs, or off."
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
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    try:
        return _run(args)
    except SystemExit as end:  # tyro has printed why
        return end.code if isinstance(end.code, int) else 2
    except KeyboardInterrupt:
        if debug:
            raise
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `rlkit envs | head`
        sys.stderr.close()
        return 0
    except Exception as error:
        if debug:
            raise
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 2 if _is_usage(error) else 1


def _is_usage(error: Exception) -> bool:
    return isinstance(error, UsageError) or type(error) in (ValueError, TypeError, KeyError)


def _sentence(error: Exception) -> str:
    if isinstance(error, RlkitError) or type(error) is ValueError:
        return str(error)
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}; this is a defect, --debug shows where"
