"""A folder of questions and answers: pairs of clips, and what was said of them, as data.

``questions.json`` says which environment the clips are of; ``pairs/00000.npz`` holds the transitions of a
pair, ``pairs/00000-first.gif`` and ``pairs/00000-second.gif`` its pictures; ``answers.jsonl`` has a line
for each answer: ``{"pair": 0, "answer": "first", "by": "person", "at": 1700000000.0, "sha256": ...}``, whose
digest is of the line and of all before it.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit import outside
from rlkit.envs import make
from rlkit.errors import UsageError, unknown_name
from rlkit.experiment.asking.clips import Clips, draw_clip, take_clips
from rlkit.experiment.runs import store
from rlkit.experiment.training import integrity
from rlkit.paths import named_leaves
from rlkit.prefs.feedback.inputs import Inputs
from rlkit.prefs.types import PairBatch, Segment, pairs
from rlkit.reads import example_transition
from rlkit.records import record
from rlkit.types import Environment, Transition

QUESTIONS, ANSWERS, PAIRS = "questions.json", "answers.jsonl", "pairs"
LABELS: dict[str, tuple[float, float]] = {
    "first": (1.0, 1.0),
    "second": (0.0, 1.0),
    "equal": (0.5, 1.0),
    "skip": (0.5, 0.0),
}
"""What can be said of a pair: the probability that the first is preferred, and the weight of the answer."""
SIDES = ("first", "second")


class UnknownPairError(UsageError):
    """An answer to a question that was not asked."""


class AnsweredError(UsageError):
    """An answer to a question that has one."""


@dataclass(frozen=True)
class About:
    """What questions.json says."""

    version: int
    env: str
    env_options: dict[str, Any]
    segment: int
    pairs: int
    clips: list[str] | None = None  # sha256 of each file of a pair; none in folders of earlier versions
    pictures: list[str] | None = None  # of each pair's first and second picture, likewise


class Questions(NamedTuple):
    """A folder of questions."""

    folder: Path
    env: Environment
    about: dict[str, Any]  # the content of questions.json

    @property
    def size(self) -> int:
        """How many pairs there are."""
        return self.about["pairs"]


def create(
    folder: str | Path, env_id: str, options: dict[str, Any] | None = None, length: int = 50
) -> Questions:
    """A new folder without questions.

    Args:
      folder: it must not exist, or be empty.
      env_id: the environment that the clips are of.
      options: static choices of the environment.
      length: steps of a clip.

    Raises:
      UnknownNameError: no such environment or option.
      UsageError: the folder has content.
      RlkitError: it cannot be written.
    """
    env, path = make(env_id, **(options or {})), Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} exists and holds no questions; name a folder that does not exist")
    about = {"version": 1, "env": env_id, "env_options": options or {}, "segment": length, "pairs": 0}
    about |= {"clips": [], "pictures": []}
    with outside.at(path, "write"), store.whole_folder(path) as part:
        (part / PAIRS).mkdir()
        store.write_json(part / QUESTIONS, about, digest=True)
    return Questions(path, env, about)


def load(folder: str | Path) -> Questions:
    """Read a folder of questions.

    Raises:
      UsageError: it is none, or its description is damaged.
    """
    path = Path(folder)
    if not (path / QUESTIONS).is_file():
        raise UsageError(
            f"{path} holds no questions (it has no {QUESTIONS}); ask some: rlkit prefs ask {path}"
        )
    about = store.read_json(path / QUESTIONS)
    if isinstance(about, dict):
        if about.pop(store.DIGEST, None) is None:
            raise UsageError(
                f"{path / QUESTIONS} has lost its {store.DIGEST}: something has changed it; restore it"
            )
        if about.get("version") != 1:
            raise UsageError(
                f"{path / QUESTIONS} is of version {about.get('version')}; this rlkit reads version 1"
            )
    record(About, about, f"in {path / QUESTIONS}")
    return Questions(path, make(about["env"], **about["env_options"]), about)


def add(questions: Questions, clips: Clips, size: int = 192, env_params: Any = None) -> Questions:
    """Add pairs of clips: the first with the second, the third with the fourth, and so on.

    Args:
      questions: the folder.
      clips: an even number of clips, of the folder's length.
      size: of the pictures, pixels.
      env_params: to draw them with; None takes the environment's own.
    """
    if len(clips.mask) % 2:
        raise UsageError(f"{len(clips.mask)} clips; expected an even number, two for each question")
    begin, more, made, seen = questions.size, len(clips.mask) // 2, list[str](), list[str]()
    for i in range(more):
        arrays = {}
        for side, name in enumerate(SIDES):
            clip = take_clips(clips, 2 * i + side)
            arrays |= {f"{name}.{path}": x for path, x in named_leaves(clip.transition).items()}
            arrays[f"{name}.mask"] = clip.mask
            image = draw_clip(questions.env, clips, 2 * i + side, size, env_params)
            outside.replace(clip_path(questions, begin + i, name), lambda file, data=image: file.write(data))
            seen.append(hashlib.sha256(image).hexdigest())
        store.write_arrays(_pair_path(questions, begin + i), arrays)
        made.append(integrity.measure(_pair_path(questions, begin + i)).sha256)
    # The description comes last: what it does not count was not asked.
    about = questions.about | {"pairs": begin + more}
    for name, new in (("clips", made), ("pictures", seen)):
        if (before := about.get(name)) is not None:
            about[name] = [*before, *new]
    store.write_json(questions.folder / QUESTIONS, about, digest=True)
    return questions._replace(about=about)


def clip_path(questions: Questions, pair: int, side: str) -> Path:
    """The picture of one side of a pair.

    Raises:
      UnknownNameError: no such side.
      UnknownPairError: no such pair.
    """
    if side not in SIDES:
        raise unknown_name("side", side, SIDES)
    return questions.folder / PAIRS / f"{pair:05d}-{side}.gif"


def picture(questions: Questions, pair: int, side: str) -> bytes:
    """The content of the picture of one side of a pair.

    Raises:
      UsageError: it is not the picture that was drawn: an answer would be about something else.
      UnknownNameError: no such side. RlkitError: it cannot be read.
    """
    path, told = clip_path(questions, pair, side), questions.about.get("pictures")
    with outside.at(path, "read"):
        data = outside.read_bytes(path)
    if told is not None:
        place = len(SIDES) * pair + SIDES.index(side)
        if told[place : place + 1] != [hashlib.sha256(data).hexdigest()]:
            raise UsageError(f"{path} is not the picture that was drawn: it was changed; restore it")
    return data


def answered(questions: Questions) -> dict[int, dict[str, Any]]:
    """The answers by pair, in the order in which they were given.

    Raises:
      UsageError: the file is damaged, or answers a pair that does not exist or one twice.
    """
    found: dict[int, dict[str, Any]] = {}
    path, before = questions.folder / ANSWERS, ""
    lines = store.read_jsonl(path)
    chained = any(store.DIGEST in line for line in lines)  # earlier versions wrote none
    for number, line in enumerate(lines, 1):
        if chained and line.get(store.DIGEST) != (before := _link(before, line)):
            raise UsageError(f"line {number} of {path} was changed since it was written; restore the file")
        pair, said = line.get("pair"), line.get("answer")
        known = isinstance(said, str) and said in LABELS
        if pair is None or not _is_pair(questions, pair) or not known or pair in found:
            raise UsageError(
                f"line {number} of {path} is {line}: expected one answer ({', '.join(LABELS)}) for each of "
                f"the pairs 0 to {questions.size - 1}; restore the file"
            )
        found[pair] = line
    return found


def _link(before: str, line: dict[str, Any]) -> str:
    """The digest of an answer and of all before it: a line that is changed, moved or taken out breaks it."""
    rest = {name: value for name, value in line.items() if name != store.DIGEST}
    return hashlib.sha256((before + json.dumps(rest, sort_keys=True)).encode()).hexdigest()


def _is_pair(questions: Questions, pair: Any) -> bool:
    return isinstance(pair, int) and not isinstance(pair, bool) and 0 <= pair < questions.size


def answer(questions: Questions, pair: Any, said: Any, by: str = "person") -> dict[str, Any]:
    """Keep one answer; it is on the disk when this returns. Nothing that was kept before is ever changed.

    Not for two writers at once: hold :func:`rlkit.experiment.runs.store.locked` of the folder.

    Args:
      questions: the folder.
      pair: which question.
      said: a name of :data:`LABELS`.
      by: who said it.

    Returns:
      The line that was written.

    Raises:
      UnknownPairError: no such question.
      AnsweredError: it has an answer.
      UnknownNameError: no such answer.
    """
    if not _is_pair(questions, pair):
        raise UnknownPairError(f"pair={pair!r}: expected one of 0 to {questions.size - 1}, which were asked")
    if not isinstance(said, str):
        raise UsageError(f"answer={said!r:.60}: expected one of {', '.join(LABELS)}")
    if said not in LABELS:
        raise unknown_name("answer", said, LABELS)
    every = answered(questions)
    given_before = list(every.values())
    if (given := every.get(pair)) is not None:
        raise AnsweredError(f"pair {pair} has been answered ({given['answer']}); answers are not changed")
    line = {"pair": pair, "answer": said, "by": by, "at": round(time.time(), 3)}
    if not given_before or store.DIGEST in given_before[-1]:
        line[store.DIGEST] = _link(given_before[-1][store.DIGEST] if given_before else "", line)
    store.append_jsonl(questions.folder / ANSWERS, line)
    return line


def unanswered(questions: Questions) -> list[int]:
    """The pairs without an answer, in order."""
    given = answered(questions)
    return [pair for pair in range(questions.size) if pair not in given]


def read_pair(questions: Questions, pair: int) -> tuple[tuple[Transition, np.ndarray], ...]:
    """The transitions ``[L, ...]`` of both sides of a pair, and which steps there are, bool ``[L]``.

    Raises:
      UsageError: the file is damaged or of another environment.
    """
    path, told = _pair_path(questions, pair), questions.about.get("clips")
    arrays = store.read_arrays(path)
    if told is not None and told[pair : pair + 1] != [integrity.measure(path).sha256]:
        raise UsageError(f"{path} is not what was asked about: something has changed it; restore it")
    example = example_transition(questions.env.spec)
    paths = list(named_leaves(example))
    sides = []
    for name in SIDES:
        missing = [path for path in [*paths, "mask"] if f"{name}.{path}" not in arrays]
        if missing:
            raise UsageError(f"pair {pair} of {questions.folder} is without {name}.{missing[0]}; ask it anew")
        leaves, mask = [arrays[f"{name}.{path}"] for path in paths], arrays[f"{name}.mask"]
        if mask.ndim != 1 or mask.dtype != bool or not mask.any():
            raise UsageError(
                f"pair {pair} of {questions.folder}: {name}.mask is {mask.dtype}{list(mask.shape)}; expected "
                "bool [steps], with some; ask it anew"
            )
        for path, leaf, wanted in zip(paths, leaves, jax.tree.leaves(example), strict=True):
            if leaf.shape != (*mask.shape, *wanted.shape) or leaf.dtype != wanted.dtype:
                raise UsageError(
                    f"pair {pair} of {questions.folder}: {name}.{path} is {leaf.dtype}{list(leaf.shape)}; "
                    f"expected {wanted.dtype}{[*mask.shape, *wanted.shape]} as in {questions.env.spec.id}; "
                    "ask it anew"
                )
        sides.append((jax.tree.unflatten(jax.tree.structure(example), leaves), mask))
    return tuple(sides)


def _pair_path(questions: Questions, pair: int) -> Path:
    return questions.folder / PAIRS / f"{pair:05d}.npz"


def comparisons(questions: Questions, inputs: Inputs) -> PairBatch:
    """All answers as a set of comparisons, in the order in which they were given.

    Args:
      questions: the folder.
      inputs: what the reward model sees of a transition.

    Raises:
      UsageError: no answer, or none that prefers one of its clips.
    """
    given = answered(questions)
    if not any(line["answer"] in SIDES for line in given.values()):
        raise UsageError(
            f"{questions.folder} has {len(given)} answers, none of which prefers a clip; "
            f"answer some: rlkit prefs ask {questions.folder}"
        )
    sides: list[list[Segment]] = [[], []]
    for pair in given:
        for side, (transition, mask) in zip(sides, read_pair(questions, pair), strict=True):
            side.append(Segment(inputs.of(jax.tree.map(jnp.asarray, transition)), jnp.asarray(mask)))
    first, second = (jax.tree.map(lambda *x: jnp.stack(x), *side) for side in sides)
    label, weight = np.array([LABELS[line["answer"]] for line in given.values()], np.float32).T
    return pairs(first, second, label, weight)


def digest(questions: Questions) -> str:
    """What the answers are, in 16 characters: changes with every answer."""
    lines = [f"{pair} {line['answer']}" for pair, line in answered(questions).items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
