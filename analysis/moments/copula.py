"""Rank-normal (Gaussian copula) transform, and how many ties stand in its way."""

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.moments.sides import is_concrete
from rlkit.analysis.moments.validate import check_policy, report
from rlkit.errors import unknown_name
from rlkit.keys import typed_key

MAX_TIES = 0.05

# u = (rank - shift) / (N + 1 - 2 shift); Blom's and the plain N + 1 differ from the default by O(1/N).
_SHIFTS = {"half": 0.5, "blom": 0.375, "plain": 0.0}


def average_ranks(column: jax.Array, valid: jax.Array | None = None) -> jax.Array:
    """[T] ranks from 1 among the valid samples of ``column`` [T]; ties share their average rank."""
    kept = column if valid is None else jnp.where(valid, column, jnp.inf)
    ordered = jnp.sort(kept)
    below = jnp.searchsorted(ordered, column, side="left")
    through = jnp.searchsorted(ordered, column, side="right")
    return ((below + through + 1) / 2).astype(column.dtype)


def _random_ranks(column: jax.Array, valid: jax.Array | None, key: jax.Array) -> jax.Array:
    kept = column if valid is None else jnp.where(valid, column, jnp.inf)
    index = jnp.arange(column.shape[0])
    *_, order = jax.lax.sort((kept, jax.random.uniform(key, column.shape), index), num_keys=2)
    return jnp.zeros_like(column).at[order].set((index + 1).astype(column.dtype))


def rank_normal(
    z: jax.Array,
    valid: jax.Array | None = None,
    key: jax.Array | None = None,
    plotting_position: str = "half",
) -> jax.Array:
    """Give every unit a standard normal marginal by its ranks. Not differentiable.

    Args:
      z: [T, n] samples, float.
      valid: [T] bool, samples to rank; the others become NaN.
      key: breaks ties at random (seeded jitter); without it ties share a value and keep their point mass.
      plotting_position: ``"half"`` for ``(rank - 1/2) / N``, ``"plain"`` for ``rank / (N + 1)``, ``"blom"``.

    Returns:
      [T, n] in the dtype of ``z`` but at least in float32.
    """
    if plotting_position not in _SHIFTS:
        raise unknown_name("plotting position", plotting_position, _SHIFTS)
    z = as_samples(z)
    valid = None if valid is None else jnp.asarray(valid).astype(bool)
    if key is None:
        ranks = jax.vmap(lambda column: average_ranks(column, valid), 1, 1)(z)
    else:
        keys = jax.random.split(typed_key(key), z.shape[1])
        ranks = jax.vmap(lambda column, k: _random_ranks(column, valid, k), (1, 0), 1)(z, keys)
    count = z.shape[0] if valid is None else valid.sum()
    shift = _SHIFTS[plotting_position]
    normal = jax.scipy.special.ndtri(((ranks - shift) / (count + 1 - 2 * shift)).astype(z.dtype))
    return normal if valid is None else jnp.where(valid[:, None], normal, jnp.nan)


def tie_fraction(z: jax.Array, valid: jax.Array | None = None) -> jax.Array:
    """[n] share of each unit's samples whose value occurs more than once (rectified units have many).

    Ties keep a unit from becoming normal; report this beside every copula result.
    """
    z = as_samples(z)

    def one(column):
        kept = column if valid is None else jnp.where(valid, column, jnp.inf)
        ordered = jnp.sort(kept)
        below = jnp.searchsorted(ordered, column, side="left")
        through = jnp.searchsorted(ordered, column, side="right")
        tied = through - below > 1
        return jnp.mean(tied) if valid is None else jnp.sum(tied & valid) / jnp.sum(valid)

    valid = None if valid is None else jnp.asarray(valid).astype(bool)
    return jax.vmap(one, 1)(z).astype(z.dtype)


def check_ties(z: jax.Array, valid: jax.Array | None = None, *, policy: str = "warn") -> None:
    """Report units of which more than ``MAX_TIES`` of samples are tied; traced samples are not looked at.

    Raises:
      UsageError: with ``policy="error"``.
    """
    check_policy(policy)
    if policy == "off" or not is_concrete(z, valid):
        return
    share = np.asarray(tie_fraction(z, valid))
    tied = np.flatnonzero(share > MAX_TIES)
    if tied.size:
        named = ", ".join(f"unit {unit} ({share[unit]:.0%})" for unit in tied[:5])
        more = f" and {tied.size - 5} more" if tied.size > 5 else ""
        text = (
            f"ties keep {named}{more} from becoming normal: "
            "tied samples share one rank, and a point mass stays"
        )
        report(text, policy, "use estimator='discrete', or break ties with rank_normal(z, key=...)")
