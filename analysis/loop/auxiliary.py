"""Emergence as a differentiable auxiliary loss on an agent's latents."""

import jax
import jax.numpy as jnp

from rlkit.analysis.atoms.gaussian import all_pairs_information, pair_correlations, pair_information
from rlkit.analysis.atoms.gaussian import pairs_mean as mean_over_pairs
from rlkit.analysis.atoms.lattice import DERIVED, decompose
from rlkit.analysis.atoms.redundancy import mmi_redundancy
from rlkit.analysis.moments.lagged import Moments, correlation, merge_moments
from rlkit.analysis.moments.streaming import decay_moments, pair_moments, zero_moments
from rlkit.analysis.moments.validate import check_units
from rlkit.analysis.parts.halves import even_units, half_means
from rlkit.errors import unknown_name
from rlkit.types import Auxiliary, PyTree

ROUTES = ("pairs", "means")


def emergence_loss(
    coefficient: float | jax.Array,
    quantity: str = "phi_r",
    *,
    route: str = "pairs",
    side: jax.Array | None = None,
    beta: float | None = 50.0,
    decay: float = 0.9,
    shrinkage: float = 1e-3,
    axis_name: str | None = None,
) -> Auxiliary:
    """An auxiliary loss that raises (or, with a negative coefficient, lowers) the emergence of latents.

    ``-coefficient * quantity``, Gaussian with minimum redundancy, of moments that are a minibatch's own,
    through which gradients flow, merged with those of earlier minibatches, through which they do not.
    Correlations alone enter: the scale of the latents is neither rewarded nor punished. Use it as
    ``ppo(env, config, auxiliary=emergence_loss(0.01))``. The definition is ours.

    Args:
      coefficient: weight, per nat.
      quantity: a name of ``DERIVED``.
      route: ``"pairs"``, the mean over all pairs of units, or ``"means"`` of two halves.
      side: [n] bool, the halves of ``"means"``; by default the units with even and odd index.
      beta: inverse temperature of the soft minimum, 1/nats; None takes the minimum and its subgradient.
      decay: weight that earlier moments keep per minibatch, in [0, 1); 0 uses the minibatch alone.
      shrinkage: of the correlations towards independence, which bounds the gradient of copies.
      axis_name: mapped axis whose minibatches are pooled (that of the agent).

    Returns:
      The loss. Its state is the moments of the past, which a minibatch joins after its gradient was taken.

    Raises:
      KeyError: an unknown quantity or route. ValueError: a number out of range, or (when traced) fewer than
        two units.
    """
    if quantity not in DERIVED:
        raise unknown_name("quantity", quantity, DERIVED)
    if route not in ROUTES:
        raise unknown_name("route", route, ROUTES)
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"decay={decay}: expected at least 0 and less than 1")
    if not 0.0 <= shrinkage < 1.0:
        raise ValueError(f"shrinkage={shrinkage}: expected at least 0 and less than 1")
    if beta is not None and not beta > 0:
        raise ValueError(f"beta={beta}: expected a positive number, or None for the exact minimum")

    def init(units: int) -> Moments:
        check_units(units)
        return zero_moments(2 if route == "means" else units)

    def apply(state: Moments, latent: jax.Array, next_latent: jax.Array, mask: jax.Array):
        past, future = (_reduced(rows, route, side) for rows in (latent, next_latent))
        earlier = jax.lax.stop_gradient(decay_moments(state, decay))
        moments = merge_moments(earlier, pair_moments(past, future, mask, axis_name))
        value = _average(moments, quantity, route, beta, shrinkage)
        kept = jax.tree.map(lambda new, old: jax.lax.stop_gradient(new).astype(old.dtype), moments, state)
        return -coefficient * value, kept

    return Auxiliary(init, apply)


def _reduced(rows: jax.Array, route: str, side: jax.Array | None) -> jax.Array:
    rows = rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
    if route == "pairs":
        return rows
    return half_means(rows, even_units(rows.shape[1]) if side is None else side)


def _average(moments: Moments, quantity: str, route: str, beta: float | None, shrinkage: float) -> PyTree:
    matrix = correlation(moments, shrinkage)
    if route == "pairs":
        information = all_pairs_information(matrix)
        return mean_over_pairs(decompose(mmi_redundancy(information, beta), information)[quantity])
    information = pair_information(*pair_correlations(matrix, 0, 1))
    return decompose(mmi_redundancy(information, beta), information)[quantity]
