"""Two-hop questions about a small table of facts."""

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.tokens.core import Prompt, TermSpec, TokenSpec, TokenTask, padded, prompt_of, truth
from rlkit.errors import check_count
from rlkit.types import Key, Terms


def lookup(entities: int = 8, relations: int = 3, seed: int = 0) -> TokenTask:
    """``e r1 r2``: the entity that ``r2`` leads to from the one that ``r1`` leads to from ``e``.

    The completion names the entity between, the answer, and ends. The facts are fixed and are learnt.

    Args:
      entities: how many there are.
      relations: how many there are; each is a permutation of the entities without fixed points.
      seed: of the facts.

    Raises:
      UsageError: a number is too small.
    """
    check_count("entities", entities, 2)
    check_count("relations", relations)
    facts = jnp.array(_derangements(entities, relations, seed))
    spec = TokenSpec(
        id="tokens/lookup",
        task="name the entity that the first relation leads to, and the one that the second leads to from it",
        vocabulary=("<eos>", *(f"e{i}" for i in range(entities)), *(f"r{i}" for i in range(relations))),
        prompt_length=3,
        completion_length=3,
        terms=(
            TermSpec("correct", "the answer is right and the completion ends after it", weight=1.0),
            TermSpec("bridge", "the entity between is right"),
            TermSpec("format", "two entities and the end"),
        ),
        success="correct",
        optimum=1.0,
    )

    def written(entity: jax.Array, first: jax.Array, second: jax.Array) -> Prompt:
        bridge = facts[first, entity]
        columns = {"through": bridge, "truth": facts[second, bridge]}
        return prompt_of([entity + 1, entities + 1 + first, entities + 1 + second], **columns)

    def prompt(key: Key, part: jax.Array) -> Prompt:
        one, two = jax.random.split(key)
        return written(jax.random.randint(one, (), 0, entities), *jax.random.randint(two, (2,), 0, relations))

    def verify(prompt: Prompt, tokens: jax.Array) -> Terms:
        said, ends = tokens[:2] - 1, tokens[2] == 0
        return {
            "correct": truth(said[1] == prompt.columns["truth"], ends),
            "bridge": truth(said[0] == prompt.columns["through"]),
            "format": truth(((said >= 0) & (said < entities)).all(), ends),
        }

    def every() -> Prompt:
        ranges = (jnp.arange(entities), jnp.arange(relations), jnp.arange(relations))
        return jax.vmap(written)(*(x.ravel() for x in jnp.meshgrid(*ranges, indexing="ij")))

    def solve(prompt: Prompt) -> jax.Array:
        return padded([prompt.columns["through"] + 1, prompt.columns["truth"] + 1], 3)

    def columns(prompt: Prompt, tokens: jax.Array) -> dict[str, jax.Array]:
        said = tokens[1] - 1
        return {"answer": jnp.where((said >= 0) & (said < entities), said, -1)}

    return TokenTask(spec, prompt, verify, solve, every, columns=columns)


def _derangements(entities: int, relations: int, seed: int) -> np.ndarray:
    """int32 [R, E]: cyclic permutations, so that nothing stays where it is."""
    rng = np.random.default_rng(seed)
    table = np.zeros((relations, entities), np.int32)
    for row in table:
        order = rng.permutation(entities)
        row[order] = np.roll(order, 1)
    return table
