"""Candidates that share a compiled program: all genomes one, other rewards one for each set of structures."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.design.genome import Schema, encode, from_json, term_names
from rlkit.design.interpreter import genome_reward
from rlkit.design.reading import read_candidate
from rlkit.design.switching import one_of
from rlkit.design.types import Candidate, DesignTask
from rlkit.errors import UsageError
from rlkit.reads import example_transition
from rlkit.rewards.designed import check_terms
from rlkit.rewards.language import parse_program
from rlkit.rewards.reading import is_program
from rlkit.types import PyTree, Reward


class Group(NamedTuple):
    """Candidates that one compiled program can train."""

    key: tuple  # equal keys share the program
    reward: Reward
    places: tuple[int, ...]  # of the candidates among all
    params: tuple[PyTree, ...]  # of each
    names: tuple[dict[str, str], ...]  # of each: its own name of a term of the reward


def grouped(
    candidates: Sequence[Candidate], task: DesignTask, schema: Schema | None = None
) -> tuple[list[Group], dict[int, str]]:
    """Sort candidates into groups.

    Args:
      candidates: what is to be trained.
      task: the task.
      schema: of the genomes; None: genomes are read as texts.

    Returns:
      The groups, and by place why a candidate cannot be trained.
    """
    genomes = [i for i, c in enumerate(candidates) if schema is not None and c.genome is not None]
    groups, errors = [], {}
    if genomes and schema is not None:
        groups.append(_genomes(genomes, candidates, schema))
    rest = [i for i in range(len(candidates)) if i not in genomes]
    read_ones: dict[int, tuple[str, Reward, tuple[str, ...]]] = {}
    for i in rest:
        try:
            read_ones[i] = _read(candidates[i].text, task)
        except UsageError as error:
            errors[i] = str(error)
    if read_ones:
        groups.append(_texts(read_ones))
    return groups, errors


def _genomes(places: Sequence[int], candidates: Sequence[Candidate], schema: Schema) -> Group:
    genomes = [from_json(candidates[i].genome, schema) for i in places]
    names = tuple({f"slot{j}": name for j, name in enumerate(term_names(g))} for g in genomes)
    params = tuple(encode(genome, schema) for genome in genomes)
    return Group(("genomes", schema), genome_reward(schema), tuple(places), params, names)


def _read(text: str, task: DesignTask) -> tuple[str, Reward, tuple[str, ...]]:
    """The structure of a reward, the reward with its numbers as parameters, and its terms."""
    reward = read_candidate(text, task.spec, tune=True)
    memory = jax.eval_shape(reward.init, jax.random.key(0))
    _, _, terms = jax.eval_shape(reward.apply, memory, example_transition(task.spec), reward.params)
    check_terms(terms)
    structure = parse_program(text).structure if is_program(text) else text
    return structure, reward, tuple(terms)


def _texts(found: dict[int, tuple[str, Reward, tuple[str, ...]]]) -> Group:
    """One group of all: structures are the branches of a switch, numbers are parameters."""
    branches = {structure: (reward, terms) for structure, reward, terms in found.values()}
    order = sorted(branches)
    rewards = [branches[structure][0] for structure in order]
    reward = one_of(rewards, [branches[structure][1] for structure in order])
    params, names = [], []
    for structure, own, terms in found.values():
        i = order.index(structure)
        each = (*(r.params for r in rewards[:i]), own.params, *(r.params for r in rewards[i + 1 :]))
        params.append((jnp.int32(i), each))
        names.append({f"slot{j}": name for j, name in enumerate(terms)})
    return Group(("texts", *order), reward, tuple(found), tuple(params), tuple(names))
