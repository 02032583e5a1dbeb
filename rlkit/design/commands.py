"""The commands ``rlkit design`` and ``rlkit reward``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlkit import outside
from rlkit.errors import UsageError
from rlkit.experiment.commands.actions import take
from rlkit.experiment.commands.arguments import parse

DESIGN_HELP = """usage: rlkit design ENV [options]
       rlkit design --resume FOLDER [--say WORDS]
       rlkit design --report FOLDER
       rlkit design --ranges FOLDER [--passes X] [--curve NAME] [--count N] --try NAME=VALUE,VALUE ...
  --resume FOLDER   continue a design that was stopped or killed; takes no configuration
  --say WORDS       with --resume, where the design pauses: about its last generation; @FILE reads them
  --from FILE       start from a config.json; other options change it
  --root FOLDER     where folders are made (default: designs)
  --folder FOLDER   the folder itself; it must not exist
  --quiet           no table of candidates
  --report FOLDER   write the report of a design, finished or not; one that ends writes it by itself
  --ranges FOLDER   of a finished design: how far parameters may go for a policy trained with its winner
                    (--passes, 0.5 of --curve, the design's own), and ranges that a model
                    chooses for --randomise (--count answers, 16; --model, the design's own)
"""


def design(args: list[str]) -> int:
    """``rlkit design ENV``."""
    if "-h" in args or "--help" in args:
        print(DESIGN_HELP)
    told, args = take(args, "--report")
    if told is not None:
        if args:
            raise UsageError("--report FOLDER takes no other options")
        from rlkit.design.report import report

        print(report(told))
        return 0
    widened, args = take(args, "--ranges")
    if widened is not None:
        return _ranges(widened, args)
    resumed, args = take(args, "--resume")
    words, args = take(args, "--say")
    source, args = take(args, "--from")
    root, args = take(args, "--root")
    target, args = take(args, "--folder")
    quiet, args = "--quiet" in args, [arg for arg in args if arg != "--quiet"]
    if resumed is not None and (args or source or root or target):
        raise UsageError("--resume continues the design as it was configured; give it no other options")
    if words is not None and resumed is None:
        raise UsageError("--say goes with --resume FOLDER, of a design that pauses")
    if args and not args[0].startswith("-"):
        args = ["--env", *args]
    from rlkit.design import folder
    from rlkit.design.config import DesignConfig
    from rlkit.design.live import Table

    if resumed is not None:
        config = folder.load(resumed)
    else:
        default = folder.load_config(source) if source else DesignConfig()
        config = _filled(parse(DesignConfig, args, "rlkit design", default))
    table = Table(config.curve, config.score)
    tell = (lambda record: None) if quiet else table.tell
    say = lambda sentence: print(sentence, file=sys.stderr)
    if resumed is not None:
        found = folder.resume(resumed, words=_words(words or ""), tell=tell, say=say)
    else:
        found = folder.run(config, target, root=root or "designs", tell=tell, say=say)
    if found.result.finished:
        _conclude(found, config)
    return found.exit_code


def _ranges(folder: str, args: list[str]) -> int:
    """``rlkit design --ranges FOLDER --try NAME=VALUE,VALUE``."""
    from rlkit.design.dr_eureka import RANGES, widen
    from rlkit.design.models import client_of

    options: dict[str, Any] = {}
    for name, kind in (("passes", float), ("count", int), ("curve", str)):
        given, args = take(args, f"--{name}")
        if given is not None:
            try:
                options[name] = kind(given)
            except ValueError:
                raise UsageError(f"--{name}={given!r}: expected a number") from None
    model, args = take(args, "--model")
    tried: dict[str, tuple[float, ...]] = {}
    for text in args[1:]:
        tried |= _tried(text)
    if args[:1] != ["--try"] or not tried:
        raise UsageError("rlkit design --ranges FOLDER takes --try NAME=VALUE,VALUE ... of its environment")
    say = lambda sentence: print(sentence, file=sys.stderr)
    client = None if model is None else client_of(model)
    found = widen(folder, tried, client=client, progress=sys.stderr.isatty(), say=say, **options)
    print("\n".join(found.lines()))
    print(Path(folder) / RANGES)
    return 0


def _tried(text: str) -> dict[str, tuple[float, ...]]:
    """``NAME=VALUE,VALUE``."""
    name, _, rest = text.partition("=")
    try:
        values = tuple(map(float, rest.split(",")))
    except ValueError:
        raise UsageError(f"--try={text!r}: expected NAME=VALUE,VALUE, e.g. length=0.5,1,2") from None
    return {name: values}


def _filled(config: Any) -> Any:
    """The configuration with the contents of the files that it names: its folder then holds all of them."""
    import dataclasses

    texts = {name: _words(getattr(config, name)) for name in ("words", "safety")}
    begin = config.warm_start
    if begin:
        begin, base = _text(begin)
        if base and base != config.base:
            raise UsageError(f"warm_start: it is paid beside {base!r}, the candidates beside {config.base!r}")
    feedback = tuple(map(_words, config.feedback))
    return dataclasses.replace(config, **texts, warm_start=begin, feedback=feedback)


def _words(text: str) -> str:
    """A text, or that of the file behind an @."""
    if not text.startswith("@"):
        return text
    return outside.read_text(text[1:]).strip()


def _conclude(found: Any, config: Any) -> None:
    from rlkit.design.folder import RESULT, WINNER, sentence
    from rlkit.experiment.runs.store import read_json

    summary = read_json(found.folder / RESULT)
    if found.result.winner is None:
        print(f"{summary['sentence']} See {found.folder}", file=sys.stderr)
        return
    print(found.result.winner.candidate.text)
    print(sentence(config, found.result))
    _told(found.result.audited, "audit: ")
    print(
        f"{summary['proposed']} candidates by {config.designer}, {summary['refused']} refused, "
        f"{summary['trained']} trained, {summary['environment_steps']} environment steps"
    )
    print(found.folder / WINNER)


REWARD_HELP = """usage: rlkit reward show FILE
       rlkit reward check FILE --env ID
       rlkit reward audit FILE --env ID

FILE is the text of a reward, a file of a designed reward (*.reward.json), or the reward itself in quotes.
"""


def reward(args: list[str]) -> int:
    """``rlkit reward show | check | audit``."""
    if not args or args[0] in ("-h", "--help"):
        print(REWARD_HELP)
        return 0 if args else 2
    from rlkit.errors import unknown_name

    commands = {"show": _show, "check": _check, "audit": _audit}
    if args[0] not in commands:
        raise unknown_name("command", args[0], commands, where="of rlkit reward")
    env, rest = take(args[1:], "--env")
    if len(rest) != 1 or rest[0].startswith("-"):
        raise UsageError(f"rlkit reward {args[0]} takes one reward: rlkit reward {args[0]} FILE --env ID")
    return commands[args[0]](rest[0], env)


def _text(source: str) -> tuple[str, str]:
    """The text of a reward and its base."""
    from rlkit.rewards import designed
    from rlkit.rewards.reading import SUFFIX, text_of

    if source.endswith(designed.SUFFIX):
        data = designed.open_sealed(source)
        return data["text"], data.get("base", "")
    return (text_of(Path(source)) if source.endswith(SUFFIX) or _is_file(source) else source), ""


def _is_file(source: str) -> bool:
    try:
        return Path(source).is_file()
    except (OSError, ValueError):  # a text that is too long for a name, or can be none
        return False


def _show(source: str, env: str | None) -> int:
    """The reward, and where it came from."""
    from rlkit.rewards import designed
    from rlkit.rewards.language import parse_program, print_program
    from rlkit.rewards.reading import is_program, read_text

    text, base = _text(source)
    for part in (text, base) if base else (text,):
        read_text(part)
    lines = [print_program(parse_program(text)) if is_program(text) else text]
    lines += [f"# paid beside it: {base}"] if base else []
    if source.endswith(designed.SUFFIX):
        lines += _origin(source, designed.open_sealed(source))
    for line in lines:
        print("".join(c if c.isprintable() or c == "\n" else "?" for c in line))
    return 0


def _origin(source: str, data: dict[str, Any]) -> list[str]:
    """Where a designed reward came from, as comments."""
    try:
        own, env = data["candidate"], data["environment"]["id"]
        lines = [f"# {own['id']} by {own['origin']} for {env}"]
        for record in data["lineage"]:
            parents = ", ".join(record["candidate"]["parents"]) or "no parents"
            lines.append(f"#   {record['candidate']['id']} from {parents}: score {record['score']}")
    except (KeyError, TypeError) as error:
        raise UsageError(f"{source} does not say where its reward came from: {error} is missing") from None
    return lines


def _task(source: str, env: str | None, command: str) -> tuple[Any, str]:
    from rlkit.design.types import DesignTask
    from rlkit.envs import make
    from rlkit.registry import is_target
    from rlkit.rewards import designed

    if env is None and source.endswith(designed.SUFFIX):
        known = designed.open_sealed(source).get("environment")
        env = known.get("id") if isinstance(known, dict) else None
        if is_target(str(env)):  # what a file says is not imported
            raise UsageError(f"{source} is for an environment of somebody's own; name it: --env {env}")
    if not isinstance(env, str):
        raise UsageError(f"rlkit reward {command} needs the environment: --env ID")
    text, base = _text(source)
    return DesignTask(make(env), base=base), text


def _check(source: str, env: str | None) -> int:
    """All verdicts; exit code 1 if one stops the reward."""
    from rlkit.design.reading import read_candidate
    from rlkit.design.screen import screen
    from rlkit.design.types import Candidate, Verdict

    task, text = _task(source, env, "check")
    try:
        read_candidate(text, task.spec)
    except UsageError as error:  # before anything is gathered, which takes its time
        return _told([Verdict("read", False, str(error))])
    return _told(screen(task, 0)(Candidate(text)))


def _audit(source: str, env: str | None) -> int:
    """What the highest-paid behaviour achieves; exit code 1 if that is not success."""
    import jax

    from rlkit.design.audit import audit

    task, text = _task(source, env, "audit")
    return _told(audit(task.reward(text), task, jax.random.key(0)).verdicts)


def _told(verdicts: Sequence[Any], lead: str = "") -> int:
    """Print verdicts; 1 if one of them stops the reward."""
    for verdict in verdicts:
        word = "undecided" if verdict.passed is None else "passed" if verdict.passed else "FAILED"
        word = "warning" if verdict.passed is False and not verdict.blocks else word
        print(f"{word:<10} {lead}{verdict.check}{f': {verdict.reason}' if verdict.reason else ''}")
    return int(any(verdict.stops for verdict in verdicts))
