"""One way to read a reward, whatever it is written in."""

import re
from pathlib import Path

from rlkit.errors import UsageError
from rlkit.fields import shown
from rlkit.registry import called, is_target, load_target
from rlkit.rewards import designed
from rlkit.rewards.arguments import check_reward
from rlkit.rewards.language import LIMITS, parse_program, program_reward
from rlkit.rewards.lowered import LONGEST, is_lowered, lowered_reward
from rlkit.rewards.text import parse
from rlkit.types import EnvSpec, Reward

SUFFIX = ".reward"
"""Of files that hold the text of a reward."""

LEARNED = ".reward.npz"
"""Of files that hold the weights of a learnt reward, see :mod:`rlkit.prefs.feedback.saved`."""

_LEARNED_READER = "rlkit.prefs.feedback.saved:read_reward"


def read(text: str | Path, spec: EnvSpec | None = None, *, tune: bool = False) -> Reward:
    """Read a reward.

    Args:
      text: one of: a call of constructors (``"success() + 0.1 * progress('distance')"``, see
        :mod:`rlkit.rewards.text`); a program (``"def reward(s, a, ns, done): ..."``, see
        :mod:`rlkit.rewards.language.parsing`); what was traced in a jail
        (:mod:`rlkit.rewards.lowered`); a file that holds one of these; a file of a designed reward
        (:mod:`rlkit.rewards.designed`) or a learnt one; ``"module:name"`` of a reward, or of
        a function without arguments that makes one, in a module of the user's.
      spec: of the environment that it is for; programs are then checked at once.
      tune: the constants of a program are parameters of the reward.

    Raises:
      UsageError: it is none of these; the message says why.
    """
    if not isinstance(text, str | Path):
        raise UsageError(f"expected a reward as text or a file of one; got {shown(text, 40)}")
    name = str(text).strip()
    if name.endswith(LEARNED):
        return load_target(_LEARNED_READER)(name, spec)
    if name.endswith(designed.SUFFIX):
        return designed.read_designed(name, spec, tune=tune)
    if isinstance(text, Path) or _is_file_name(name):
        return read_text(text_of(Path(name)), spec, tune=tune)
    if is_target(name):
        return _own(name)
    return read_text(text, spec, tune=tune)


def _own(name: str) -> Reward:
    """The reward that the user's ``"module:name"`` is or makes.

    Raises:
      UsageError: there is none, or the user's code failed, with whatever it raised.
    """
    found = load_target(name)
    if not isinstance(found, Reward) and not callable(found):
        raise UsageError(f"{name!r} is {shown(found)}; expected a reward, or what makes one")
    return check_reward(name, found if isinstance(found, Reward) else called(name, found))


def read_text(text: str, spec: EnvSpec | None = None, *, tune: bool = False) -> Reward:
    """The reward of a text from anywhere, of which nothing is imported, opened or run.

    As :func:`read`, without names of files and of modules: those a person may trust who typed them, but
    importing a module runs it.

    Raises:
      UsageError: it is no reward.
    """
    if is_lowered(text):
        return lowered_reward(text, spec)
    if is_program(text):
        return program_reward(parse_program(text), spec, tune=tune)
    name = text.strip()
    if is_target(name) or _is_file_name(name) or name.endswith((designed.SUFFIX, LEARNED)):
        raise UsageError("expected the text of a reward, not the name of a file or of a module")
    return parse(text)


def reward_file(text: str | Path) -> Path | None:
    """The file that holds a reward which :func:`read` is asked for; None if it is no name of a file."""
    name = str(text).strip()
    if isinstance(text, Path) or name.endswith((LEARNED, designed.SUFFIX)) or _is_file_name(name):
        return Path(name)
    return None


def _is_file_name(text: str) -> bool:
    return text.endswith(SUFFIX) and "\n" not in text


def is_program(text: str) -> bool:
    """Whether a text defines a function, rather than call constructors."""
    return re.search(r"^\s*(def\s|memory\s*=)", text, re.MULTILINE) is not None


def text_of(path: Path) -> str:
    """The text of a reward file.

    Raises:
      UsageError: it cannot be read, or is not text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the reward file {shown(str(path))}: {reason}") from error
    data = data if data.startswith(b"{") else data[: LIMITS.source + 1]
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text; a reward file holds UTF-8 text") from None
