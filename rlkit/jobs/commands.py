"""``rlkit jobs make | run | status | emit``."""

import sys
from pathlib import Path
from typing import Any

from rlkit.errors import MissingExtraError, RlkitError, UsageError, unknown_name
from rlkit.experiment.commands.actions import take
from rlkit.jobs import file, state
from rlkit.jobs.file import Job

USAGE = """usage: rlkit jobs make STUDY -o jobs.jsonl      a file of jobs, one a line; STUDY: a name or a file
       rlkit jobs run jobs.jsonl --index I          do what is left of job I; 0 when it is done
       rlkit jobs run jobs.jsonl --indices 0-63     of several, one after the other
       rlkit jobs run jobs.jsonl --workers 3        of all that are not done, by processes of this machine
       rlkit jobs run jobs.jsonl --slurm            of all that are not done, through submitit (extra slurm)
       rlkit jobs status jobs.jsonl [--unfinished]  where they stand; --unfinished prints their indices alone
       rlkit jobs emit slurm|kubernetes|skypilot jobs.jsonl     a file for a scheduler, which is yours

options of run: --progress, --multihost (one program over many machines), --scratch FOLDER (for jobs whose
folder is a store's), --clip (leave out indices beyond the last), --only-failed."""


def jobs(args: list[str]) -> int:
    """``rlkit jobs``."""
    if not args or args[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if args else 2
    if args[0] not in _COMMANDS:
        raise unknown_name("command", args[0], _COMMANDS, where="of rlkit jobs")
    return _COMMANDS[args[0]](args[1:])


def _flag(args: list[str], name: str) -> tuple[bool, list[str]]:
    return name in args, [arg for arg in args if arg != name]


def _path(args: list[str], usage: str) -> Path:
    if len(args) != 1 or args[0].startswith("-"):
        raise UsageError(f"usage: {usage}")
    return Path(args[0])


def _make(args: list[str]) -> int:
    from rlkit.registry import load_target

    out, args = take(args, "-o")
    if out is None or not args or args[0].startswith("-"):
        raise UsageError("usage: rlkit jobs make STUDY -o jobs.jsonl [options of the study]")
    # What a study is, is known above; this module only knows jobs.
    made: list[Job] = load_target("rlkit.studies.commands:jobs_of")(args, Path(out).parent)
    print(f"{file.write(out, made)}: {len(made)} jobs")
    return 0


def _standings(path: Path) -> list[tuple[Job, state.Standing]]:
    return [(job, _standing(job, path.parent)) for job in file.read(path)]


def _standing(job: Job, root: Path) -> state.Standing:
    """Where a job stands. A store that does not answer is its own job's failure, and the others are told."""
    from rlkit.jobs import remote

    if not remote.is_url(job.folder):
        return state.standing(state.place(job, root))
    try:
        return remote.standing(job.folder)
    except MissingExtraError:  # no job's failure, and the same for all
        raise
    except RlkitError as error:
        return state.Standing(state.FAILED, note=str(error))


def _status(args: list[str]) -> int:
    bare, args = _flag(args, "--unfinished")
    path = _path(args, "rlkit jobs status jobs.jsonl [--unfinished]")
    standings = _standings(path)
    if bare:
        print(file.ranges(i for i, (_, found) in enumerate(standings) if found.state != state.DONE))
    else:
        print("\n".join(state.tell(standings)))
    return 0


def _run(args: list[str]) -> int:
    options: dict[str, Any] = {}
    for name in ("--index", "--indices", "--workers", "--scratch"):
        options[name], args = take(args, name)
    flags: dict[str, bool] = {}
    for name in ("--progress", "--multihost", "--clip", "--slurm", "--only-failed"):
        flags[name], args = _flag(args, name)
    cluster, args = (args[1:], args[:1]) if flags["--slurm"] else ([], args)
    path = _path(args, "rlkit jobs run jobs.jsonl [--index I | --indices 0-63] [--workers N | --slurm]")
    chosen = _chosen(path, options, flags)
    if not chosen:
        print("nothing is left to do")
        return 0
    if flags["--slurm"]:
        return _submit(path, chosen, cluster)
    if options["--workers"] is not None:
        from rlkit.jobs.local import run_local

        passed = ["--scratch", options["--scratch"]] if options["--scratch"] else []
        return run_local(path, chosen, _number("--workers", options["--workers"]), options=passed)
    from rlkit.jobs.running import run_here

    return run_here(
        path, chosen, progress=flags["--progress"], multihost=flags["--multihost"], abrupt=True,
        scratch=options["--scratch"],
    )  # fmt: skip


def _chosen(path: Path, options: dict[str, Any], flags: dict[str, bool]) -> list[int]:
    """The indices that are asked for: all that are not done, unless some are named."""
    text = options["--index"] if options["--index"] is not None else options["--indices"]
    if text is not None:
        if options["--index"] is not None and options["--indices"] is not None:
            raise UsageError("--index, --indices: expected one of them")
        count = len(file.read(path))
        if flags["--clip"]:
            return [index for index in file.indices(text, sys.maxsize) if index < count]
        return file.indices(text, count)
    wanted = {state.FAILED} if flags["--only-failed"] else {state.NEW, state.PARTIAL, state.FAILED}
    return [index for index, (_, found) in enumerate(_standings(path)) if found.state in wanted]


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 10_000):
        raise UsageError(f"{name} {text[:40]}: expected a whole number of at least 1")
    return int(text)


def _submit(path: Path, chosen: list[int], args: list[str]) -> int:
    from rlkit.experiment.commands.arguments import parse
    from rlkit.jobs.emit import Cluster
    from rlkit.jobs.slurm import submit

    cluster = parse(Cluster, args, "rlkit jobs run jobs.jsonl --slurm")
    for job in submit(path, chosen, cluster, path.parent / "submitit"):
        print(job.job_id)
    return 0


def _emit(args: list[str]) -> int:
    from rlkit.experiment.commands.arguments import parse
    from rlkit.jobs.emit import Cluster, emit

    if len(args) < 2 or args[0].startswith("-") or args[1].startswith("-"):
        raise UsageError("usage: rlkit jobs emit slurm|kubernetes|skypilot jobs.jsonl [options]")
    cluster = parse(Cluster, args[2:], f"rlkit jobs emit {args[0]} jobs.jsonl")
    print(emit(args[0], Path(args[1]), len(file.read(args[1])), cluster), end="")
    return 0


_COMMANDS = {"make": _make, "run": _run, "status": _status, "emit": _emit}
