"""Reading what a designer wrote: nothing of it is imported, opened or run."""

from rlkit.rewards.designed import check_terms
from rlkit.rewards.language import parse_program, program_reward
from rlkit.rewards.lowered import is_lowered, read_lowered
from rlkit.rewards.reading import is_program, read_text
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
      UsageError: it is neither, it does not fit the environment, or a term has a name that is taken.
    """
    if is_lowered(text):
        check_terms(read_lowered(text, vet=True).terms)
    elif is_program(text):
        program = parse_program(text)
        check_terms(name for name, _ in program.terms)
        return program_reward(program, spec, tune=tune)
    return read_text(text, spec, tune=tune)
