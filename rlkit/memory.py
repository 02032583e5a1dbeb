"""The memory of policies between steps."""

import jax
import jax.numpy as jnp

from rlkit.types import PyTree


def restart(memory: PyTree, first: jax.Array, fresh: PyTree) -> PyTree:
    """Forget what belongs to an episode that is over.

    Args:
      memory: leaves ``[..., *shape]`` of any dtype.
      first: bool ``[...]``: the next observation is the first of an episode.
      fresh: the memory at the start of an episode, leaves ``shape``.

    Returns:
      ``fresh`` where ``first``, else ``memory``.
    """

    def one(kept: jax.Array, new: jax.Array) -> jax.Array:
        new = jnp.asarray(new)
        return jnp.where(first.reshape(*first.shape, *[1] * new.ndim), new.astype(kept.dtype), kept)

    return jax.tree.map(one, memory, fresh)


def side_by_side(fresh: PyTree, num_envs: int) -> PyTree:
    """The memories of ``num_envs`` episodes that begin, leaves ``[num_envs, ...]``."""
    return jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x)[None], num_envs, 0), fresh)
