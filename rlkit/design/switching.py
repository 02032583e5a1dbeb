"""One reward that pays by any of several: which, is a parameter."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from rlkit.types import Key, PyTree, Reward, Transition


def one_of(rewards: Sequence[Reward], names: Sequence[Sequence[str]]) -> Reward:
    """One reward that pays by any of several, which of them being a parameter.

    Args:
      rewards: what may be paid.
      names: the terms of each.

    Returns:
      The reward. Its parameters are the index and the parameters of all; its memory is that of all, of which
      one moves; its terms are ``slot0``, ``slot1`` ..., those of the chosen one in their order, then zeros.
    """
    most = max(map(len, names))

    def init(key: Key) -> PyTree:
        return tuple(reward.init(jax.random.fold_in(key, i)) for i, reward in enumerate(rewards))

    def branch(i: int, t: Transition):
        # The transition is not an argument: reading it is how it becomes known which features are needed.
        def pay(memory: PyTree, params: PyTree) -> tuple[PyTree, jax.Array, jax.Array]:
            mine, value, terms = rewards[i].apply(memory[i], t, params[i])
            mine = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), mine, memory[i])
            row = [jnp.asarray(terms[name], t.reward.dtype) for name in names[i]]
            row += [jnp.zeros((), t.reward.dtype)] * (most - len(row))
            return (*memory[:i], mine, *memory[i + 1 :]), value, jnp.stack(row) if row else jnp.zeros(0)

        return pay

    def apply(memory: PyTree, t: Transition, params: PyTree) -> tuple[PyTree, jax.Array, dict]:
        chosen, each = params
        branches = [branch(i, t) for i in range(len(rewards))]
        memory, value, row = jax.lax.switch(chosen, branches, memory, each)
        return memory, value, {f"slot{i}": row[i] for i in range(most)}

    return Reward(init, apply, (jnp.zeros((), jnp.int32), tuple(reward.params for reward in rewards)))
