"""The command ``rlkit prefs``: questions to a person, and rewards fitted to the answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlkit.errors import UsageError, unknown_name
from rlkit.experiment.commands.arguments import parse
from rlkit.fields import check, option
from rlkit.prefs.feedback.queries import WAYS
from rlkit.prefs.feedback.teachers import KINDS

HELP = """usage: rlkit prefs ask FOLDER --env ID [options]   ask which of two clips is better, on a page of
this machine
       rlkit prefs fit FOLDER [options]            fit a reward to the answers: FOLDER/learned.reward.npz
       rlkit prefs show FOLDER                     what has been asked and answered

A round: rlkit prefs ask F --env nav/pointmaze-umaze; rlkit prefs fit F; rlkit train --env nav/pointmaze-umaze
--reward F/learned.reward.npz; rlkit prefs ask F --run runs/... --questions 20; rlkit prefs fit F; ...
With a simulated teacher, all in one run: rlkit train --agent prefs-sac (or prefs-ppo).
"""


@dataclass(frozen=True)
class AskArguments:
    """Ask which of two clips is better."""

    folder: str = option("", "folder of questions and answers; made if it does not exist")
    env: str = option("", "environment of a new folder; `rlkit envs` lists them")
    env_options: tuple[str, ...] = option((), "its static choices, each as key=value")
    segment: int = option(50, "steps of the clips of a new folder", low=2)
    questions: int = option(0, "questions to add; 0: 20 in a new folder, else none", low=0)
    run: tuple[str, ...] = option(
        (), "run folders whose policies act in new clips; without, actions are random"
    )
    ask: str = option(
        "disagreement",
        "which of the clips: uniform, disagreement or entropy of the fitted reward",
        choices=WAYS,
    )
    candidates: int = option(
        10, "pairs to choose from, for each question, once there is a fitted reward", low=1
    )
    seed: int = option(0, "of the clips", low=0, high=2**31 - 1)
    size: int = option(192, "size of a picture, pixels", low=16, high=1024)
    port: int = option(0, "of the page; 0: a free one", low=0, high=65535)
    by: str = option("person", "who answers, kept with the answers")
    teacher: str = option("", "a simulated teacher answers in your place", choices=("", *KINDS))

    def __post_init__(self) -> None:
        check(self)


def prefs(args: list[str]) -> int:
    """``rlkit prefs ask | fit | show FOLDER``."""
    actions = {"ask": _ask, "fit": _fit, "show": _show}
    if not args or args[0] in ("-h", "--help"):
        print(HELP)
        return 0 if args else 2
    if args[0] not in actions:
        raise unknown_name("action", args[0], actions, where="of rlkit prefs")
    rest = args[1:]
    if rest and not rest[0].startswith("-"):
        rest = ["--folder", *rest]
    return actions[args[0]](rest)


def _folder(folder: str, action: str) -> str:
    if not folder:
        raise UsageError(f"rlkit prefs {action} needs a folder, e.g. rlkit prefs {action} prefs/pendulum")
    return folder


def _ask(args: list[str]) -> int:
    chosen = parse(AskArguments, args, "rlkit prefs ask")
    from rlkit.experiment.asking import answers, page, rounds

    path = Path(_folder(chosen.folder, "ask"))
    more = chosen.questions
    if (path / answers.QUESTIONS).is_file():
        questions = answers.load(path)
        if chosen.env and chosen.env != questions.about["env"]:
            raise UsageError(
                f"--env {chosen.env}: {path} has clips of {questions.about['env']}; leave it out"
            )
        _check_kept(path, questions.about, chosen, {arg.partition("=")[0] for arg in args})
    else:
        env_id, options = _environment(chosen)
        questions, more = answers.create(path, env_id, options, chosen.segment), more or 20
    if more:
        questions = rounds.add_round(
            questions, more, runs=chosen.run, how=chosen.ask, candidates=chosen.candidates, seed=chosen.seed,
            size=chosen.size,
        )  # fmt: skip
    left = answers.unanswered(questions)
    if not left:
        raise UsageError(
            f"all {questions.size} questions of {path} are answered; add some with --questions 20"
        )
    if chosen.teacher:
        rounds.simulated(questions, chosen.teacher, chosen.seed)
    else:
        page.ask(questions, chosen.port, chosen.by)
    return _show([str(path)])


def _check_kept(path: Path, about: dict[str, Any], chosen: AskArguments, named: set[str]) -> None:
    """Raise where flags ask for other clips than those that the folder has."""
    from rlkit.experiment.training import config

    asked = {"--segment": chosen.segment, "--env-options": dict(config.env_options(chosen))}
    for flag, before in (("--segment", about["segment"]), ("--env-options", about["env_options"])):
        if flag in named and asked[flag] != before:
            raise UsageError(f"{flag} {asked[flag]}: {path} was made with {before}; leave it out")


def _environment(chosen: AskArguments) -> tuple[str, dict[str, Any]]:
    """The environment of a new folder: as it was named, or that of the first run."""
    from rlkit.experiment.runs import store
    from rlkit.experiment.training import config

    if chosen.env:
        return chosen.env, config.env_options(chosen)
    if not chosen.run:
        raise UsageError(f"{chosen.folder} is new: say of which environment, with --env or --run")
    settings = config.load(store.existing(chosen.run[0]) / store.CONFIG)
    return settings.env, config.env_options(settings)


@dataclass(frozen=True)
class _FolderArguments:
    """Name a folder of questions."""

    folder: str = option("", "folder of questions and answers")


def _show(args: list[str]) -> int:
    if args and not args[0].startswith("-"):
        args = ["--folder", *args]
    folder = _folder(parse(_FolderArguments, args, "rlkit prefs show").folder, "show")
    from collections import Counter

    from rlkit.experiment.asking import answers, fitting

    questions = answers.load(folder)
    given = answers.answered(questions)
    counts = Counter(line["answer"] for line in given.values())
    said = ", ".join(f"{counts[name]} {name}" for name in answers.LABELS if counts[name])
    print(
        f"{questions.about['env']}: {questions.size} questions, {len(given)} answered"
        + (f" ({said})" if said else "")
    )
    reward = questions.folder / fitting.REWARD
    print(f"reward: {reward}" if reward.exists() else f"no reward yet: rlkit prefs fit {folder}")
    return 0


def _fit(args: list[str]) -> int:
    from rlkit.experiment.commands.actions import take

    folder, args = take(args, "--folder")
    steps, args = take(args, "--steps")
    seed, args = take(args, "--seed")
    quiet, args = "--no-progress" in args, [arg for arg in args if arg != "--no-progress"]
    from rlkit.experiment.asking import answers, fitting
    from rlkit.experiment.commands.actions import count

    if "-h" in args or "--help" in args:
        print(
            "  --steps N   gradient steps of each member (default: 2000)\n"
            "  --seed N    of the weights (default: 0)"
        )
    config = parse(fitting.AnswersConfig, args, "rlkit prefs fit")
    questions = answers.load(_folder(folder or "", "fit"))
    steps, seed = count("--steps", steps or "2000", 1), count("--seed", seed or "0", 0)
    outcome = fitting.fit_folder(questions, config, steps, seed, progress=not quiet)
    if outcome.finished:
        print(fitting.told(outcome.folder))
        print(questions.folder / fitting.REWARD)
    return outcome.exit_code
