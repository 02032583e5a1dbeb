"""``rlkit study``, and what a study gives to ``rlkit jobs make``."""

from pathlib import Path
from typing import Any, cast

from rlkit.errors import UsageError
from rlkit.experiment.commands.actions import take
from rlkit.experiment.commands.arguments import parse
from rlkit.jobs.file import Job
from rlkit.jobs.remote import check_store
from rlkit.studies import study as studies
from rlkit.studies.study import Study

USAGE = """usage: rlkit study NAME --scale smoke|cpu|full [options]   run what is missing, write the report
       rlkit study --from study.json [options]             the same of a study in a file
       rlkit study NAME --report [options]                 write the report of what there is

  --root FOLDER     of the study (default: studies/NAME-SCALE, or that of the file)
  --only CELL,CELL  these cells alone
  --workers N       so many processes; 0 runs the cells here, one after the other (default)
  --progress        show progress bars
options of the study itself:
"""


def study(args: list[str]) -> int:
    """``rlkit study``."""
    if not args or args[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if args else 2
    if "-h" in args or "--help" in args:
        print(USAGE)
    root, args = take(args, "--root")
    only, args = take(args, "--only")
    workers, args = take(args, "--workers")
    progress, args = "--progress" in args, [arg for arg in args if arg != "--progress"]
    bare, args = "--report" in args, [arg for arg in args if arg != "--report"]
    made, where = chosen(args)
    place = Path(root) if root else where
    count = _count(workers)
    from rlkit.studies import report, runner

    code = 0
    if not bare:
        code = runner.run(
            made, place, only=tuple(only.split(",")) if only else (), workers=count, progress=progress
        )
        if code >= 128:
            return code
    else:
        runner.prepare(made, place)
    print(report.write(made, place))
    return code


def _count(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdecimal() and int(text) < 10_000):
        raise UsageError(f"--workers {text[:40]}: expected a whole number")
    return int(text)


def chosen(args: list[str]) -> tuple[Study, Path]:
    """The study that arguments name, and its usual folder.

    Raises:
      UnknownNameError: no such study. UsageError: its options are wrong, or its file is.
    """
    path, args = take(args, "--from")
    if path is not None or (args and args[0].endswith(".json")):
        path, args = (args[0], args[1:]) if path is None else (path, args)
        if args:
            raise UsageError(f"a study from a file is what it is; leave out {' '.join(args)[:80]}")
        return studies.load(path), Path(path).parent
    from rlkit.studies.named import named

    if not args or args[0].startswith("-"):
        raise UsageError("name a study, e.g. rlkit study emergence --scale smoke")
    options, make = named(args[0])
    given: Any = parse(options, args[1:], f"rlkit study {args[0]}")
    return cast(Any, make)(given), Path("studies") / f"{args[0]}-{given.scale}"


def jobs_of(args: list[str], root: Path) -> list[Job]:
    """The jobs of a study whose folder is ``root``, where the study is written too.

    Args:
      args: a study's name and options, or its file; ``--base URL`` puts the cells behind a store.
      root: the folder of the file of jobs.
    """
    base, args = take(args, "--base")
    if base is not None:
        check_store(base)
    made, _ = chosen(args)
    studies.begin(made, root)
    return studies.jobs(made, base=base.rstrip("/") if base else studies.CELLS)
