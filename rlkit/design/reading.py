"""Reading what a designer wrote: nothing of it is imported, opened or run."""

from rlkit.errors import UsageError
from rlkit.registry import is_target
from rlkit.rewards import designed, parse
from rlkit.rewards.language import parse_program, program_reward
from rlkit.rewards.lowered import is_lowered, lowered_reward
from rlkit.rewards.reading import SUFFIX, is_program
from rlkit.types import EnvSpec, Reward


def read_candidate(text: str, spec: EnvSpec, *, tune: bool = False) -> Reward:
    """The reward of a candidate's text: a program, a call of constructors, or what was traced in a jail.

    :func:`rlkit.rewards.read` also takes names of files and of modules, which a person may trust; of a
    candidate they are refused, because importing a module runs it.

    Args:
      text: the candidate's.
      spec: of the environment, with the features that it may read.
      tune: its constants are parameters of the reward.

    Raises:
      UsageError: it is neither, or it does not fit the environment.
    """
    if is_lowered(text):
        return lowered_reward(text, spec)
    if is_program(text):
        return program_reward(parse_program(text), spec, tune=tune)
    stripped = text.strip()
    if is_target(stripped) or stripped.endswith((SUFFIX, designed.SUFFIX)):
        raise UsageError("expected the text of a reward, not the name of a file or of a module")
    return parse(text)
