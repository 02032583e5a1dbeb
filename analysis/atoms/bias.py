"""Bias of Gaussian plug-in information, and how many independent pairs a correlated recording is worth."""

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma

from rlkit.analysis.atoms.gaussian import own_correlation
from rlkit.analysis.atoms.lattice import Atoms, Information, decompose, recompose
from rlkit.analysis.atoms.redundancy import mmi_redundancy
from rlkit.analysis.moments.lagged import Moments


def log_det_bias(dimension: int, count: jax.Array | float) -> jax.Array:
    """Mean error of the log-determinant of a sample covariance (ddof 1) of ``count`` normal samples.

    ``sum_{i<d} digamma((N - 1 - i) / 2) - d ln((N - 1) / 2)``, from the Wishart distribution; negative.
    NaN if there are too few samples for the covariance to have full rank.
    """
    freedom = jnp.asarray(count, jnp.result_type(float)) - 1
    terms = sum(digamma((freedom - i) / 2) - jnp.log(freedom / 2) for i in range(dimension))
    return jnp.where(freedom >= dimension, terms, jnp.nan)


def information_bias(left: int, right: int, count: jax.Array | float) -> jax.Array:
    """Mean error, in nats, of the plug-in information between ``left`` and ``right`` normal variables.

    Exact for ``count`` independent samples whatever the true information; about ``left * right / (2 N)``.
    """
    g = lambda dimension: log_det_bias(dimension, count)
    return 0.5 * (g(left) + g(right) - g(left + right))


def pair_information_bias(count: jax.Array | float, sizes: tuple[int, int] = (1, 1)) -> Information:
    """Bias of the nine informations for halves of ``sizes`` units; arrays of the shape of ``count``."""
    x, y = sizes
    size = {"x": x, "a": x, "y": y, "b": y, "xy": x + y, "ab": x + y}
    sides = {name: name.split("_") for name in Information._fields}
    return Information(**{k: information_bias(size[a], size[b], count) for k, (a, b) in sides.items()})


def correct_bias(atoms: Atoms, count: jax.Array | float, sizes: tuple[int, int] = (1, 1)) -> Atoms:
    """MMI atoms from informations with their exact bias removed.

    Args:
      atoms: Gaussian MMI atoms, nats, any shape.
      count: lagged pairs they come from, or their effective number; broadcasts against the atoms.
      sizes: units in x and in y.

    Returns:
      The atoms of the corrected informations. The minima keep a (smaller) bias of their own.
    """
    _, information = recompose(atoms)
    bias = pair_information_bias(count, sizes)
    corrected = jax.tree.map(lambda value, b: value - b.astype(value.dtype), information, bias)
    return decompose(mmi_redundancy(corrected), corrected)


def effective_count(count: jax.Array | float, own_x: jax.Array, own_y: jax.Array) -> jax.Array:
    """Independent pairs that ``count`` pairs of two AR(1) units are worth for their cross-information.

    ``N (1 - a_x a_y) / (1 + a_x a_y)`` with the lag-one autocorrelations ``own_x, own_y`` (Bartlett),
    kept within [1, N].
    """
    product = own_x * own_y
    return jnp.clip(count * (1 - product) / (1 + product), 1, count)


def effective_counts(moments: Moments) -> jax.Array:
    """[n, n] effective pairs of every pair of units, from lag-one moments.

    Unequal weights (exponential forgetting) count by ``(sum w)^2 / sum w^2``.
    """
    weight = moments.squared_count
    count = jnp.where(weight > 0, moments.count**2 / jnp.where(weight > 0, weight, 1), 0)
    own = own_correlation(moments)
    return effective_count(count, own[:, None], own[None, :])
