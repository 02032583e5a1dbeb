"""One way to read a reward, whatever it is written in."""

import re
from pathlib import Path

from rlkit.errors import UsageError
from rlkit.registry import is_target, load_target
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
    if str(text).strip().endswith(LEARNED):
        return load_target(_LEARNED_READER)(str(text).strip(), spec)
    if str(text).strip().endswith(designed.SUFFIX):
        return designed.read_designed(str(text).strip(), spec, tune=tune)
    if isinstance(text, Path) or text.strip().endswith(SUFFIX):
        return read(text_of(Path(str(text).strip())), spec, tune=tune)
    if is_lowered(text):
        return lowered_reward(text, spec)
    if is_program(text):
        return program_reward(parse_program(text), spec, tune=tune)
    if is_target(text):
        found = load_target(text)
        found = found if isinstance(found, Reward) else found()
        check_reward(text, found)
        return found
    return parse(text)


def is_program(text: str) -> bool:
    """Whether a text defines a function, rather than call constructors."""
    return re.search(r"^\s*(def\s|memory\s*=)", text, re.MULTILINE) is not None


def text_of(path: Path) -> str:
    """The text of a reward file.

    Raises:
      UsageError: it cannot be read, or is not text.
    """
    try:
        data = path.read_bytes()[:LONGEST]
        data = data if data.startswith(b"{") else data[: LIMITS.source + 1]
    except OSError as error:
        raise UsageError(f"cannot read the reward file {path}: {error.strerror or error}") from error
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text; a reward file holds UTF-8 text") from None
