"""Reward programs: rewards that were written as code and are data, never executed as code.

:func:`parse_program` reads the text of one function into a :class:`Program`, :func:`program_reward` makes the
reward that it describes, :func:`print_program` writes it again. What a program may contain is described in
:mod:`rlkit.rewards.language.parsing` and :mod:`rlkit.rewards.language.operations`.
"""

from rlkit.rewards.language.checking import Fields, check_program, fields_of
from rlkit.rewards.language.interpreting import program_reward, run_program
from rlkit.rewards.language.ir import LIMITS, Limits, Node, Program, ProgramError
from rlkit.rewards.language.operations import CALLS, OPERATIONS, Type
from rlkit.rewards.language.parsing import parse_program
from rlkit.rewards.language.printing import print_program

__all__ = [
    "CALLS",
    "LIMITS",
    "OPERATIONS",
    "Fields",
    "Limits",
    "Node",
    "Program",
    "ProgramError",
    "Type",
    "check_program",
    "fields_of",
    "parse_program",
    "print_program",
    "program_reward",
    "run_program",
]
