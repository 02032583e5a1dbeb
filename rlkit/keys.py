"""Random keys: what users give, as the typed keys that everything here works with."""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError
from rlkit.types import Key


def typed_key(key: Any, name: str = "key", *, many: bool = False) -> Key:
    """A typed PRNG key from what a user may have.

    Args:
      key: a typed key (``jax.random.key``); a raw one (``jax.random.PRNGKey``: uint32 ``[2]``, or as many
        words as the default implementation has); or a seed, which is an integer.
      name: the argument's name, for the error.
      many: whether an array of keys will do as well.

    Returns:
      The key; a typed one as it is. A seed ``s`` gives ``jax.random.key(s)``, a raw key the typed one with
      the same stream.

    Raises:
      UsageError: anything else; the message says how to make one.
    """
    typed = _typed(key, name)
    if typed.ndim and not many:
        raise UsageError(
            f"{name}={typed.dtype}{list(typed.shape)}: expected one PRNG key; for several, map over them "
            f"with jax.vmap"
        )
    return typed


def _typed(key: Any, name: str) -> Key:
    """Keys of any shape."""
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return key
    if dtype is None and not isinstance(key, bool):
        try:
            return jax.random.key(operator.index(key))
        except (TypeError, OverflowError):
            pass
    elif dtype is not None and np.shape(key) == () and jnp.issubdtype(dtype, np.integer):
        return jax.random.key(key)
    elif dtype == np.uint32 and np.shape(key)[-1] == _words():
        return jax.random.wrap_key_data(jnp.asarray(key))
    got = f"{dtype}{list(np.shape(key))}" if dtype is not None else f"{key!r:.60}"
    raise UsageError(f"{name}={got}: expected a PRNG key; make one with jax.random.key(0)")


def _words() -> int:
    """Words of a raw key of the default implementation."""
    return jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape[-1]
