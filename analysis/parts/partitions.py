"""From many units to two halves: information graphs and the ways to cut them.

Every method returns ``side``, bool ``[n]``, both sides non-empty, and every method stops gradients: a
partition is a decision, not a differentiable quantity. ``queyranne`` has the cuts that need
a host-side search (minimum cut of a graph, minimum mutual information of any number of units).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.moments.blocks import correlation_of, masked_logdet
from rlkit.analysis.moments.sides import read_partition
from rlkit.errors import UsageError, unknown_name
from rlkit.products import matmul

MAX_CORRELATION = 1.0 - 1e-6
MAX_EXACT_UNITS = 14
GRAPHS = ("mean", "sum")
NORMALIZERS = ("none", "entropy")


def information_graph(lagged_correlation: jax.Array, kind: str = "mean") -> jax.Array:
    """Symmetric graph of the pairwise Gaussian information between units at a lag.

    ``"mean"`` averages the two directed correlations and then takes -½ ln(1-r²) (the weights of the RL code
    behind arXiv 2605.06746; directions of opposite sign cancel). ``"sum"`` adds the information of the two
    directions, where nothing cancels (the weights of the gene-network code by the same authors).

    Args:
      lagged_correlation: ``[n, n]``; entry (i, j) is the correlation of unit i at t with unit j at t+lag.
        NaN entries (constant units) count as 0. Correlations are clipped to ±(1 - 1e-6).
      kind: ``"mean"`` or ``"sum"``.

    Returns:
      ``[n, n]`` weights in nats, non-negative, symmetric, zero diagonal.

    Raises:
      UsageError: if the matrix is not square, or ``kind`` is unknown.
    """
    correlation = _square(lagged_correlation, "lagged_correlation")
    correlation = jnp.nan_to_num(correlation, nan=0.0)
    if kind == "mean":
        weights = _information(0.5 * (correlation + correlation.T))
    elif kind == "sum":
        directed = _information(correlation)
        weights = directed + directed.T
    else:
        raise unknown_name("graph", kind, GRAPHS)
    return jnp.where(jnp.eye(correlation.shape[0], dtype=bool), 0.0, weights)


@partial(jax.jit, static_argnames="squarings")
def fiedler_bipartition(
    weights: jax.Array, active: jax.Array | None = None, floor: float = 1e-6, *, squarings: int | None = None
) -> jax.Array:
    """Cut a graph by the sign of the second eigenvector of its Laplacian.

    ``floor`` is added to every weight, so that the graph is connected. The eigenvector comes from a dense
    ``eigh``; its sign is fixed by making the entry of largest magnitude positive (the first of them on
    ties), entries that are zero up to rounding join the smaller half, and a median split takes over should
    a half be empty. The partition follows a permutation of the units unless the second eigenvalue is
    degenerate, where any vector of the eigenspace is a correct answer.

    Args:
      weights: ``[n, n]`` symmetric non-negative weights, n >= 2 (the diagonal is ignored).
      active: bool ``[n]``, the units that take part, at least 2; the others (constant units) have no say
        in the cut and join the smaller half. Without it a constant unit, which hangs on the floor alone,
        tends to be cut off as a half of its own.
      floor: weight added to each edge.
      squarings: find the eigenvector by so many squarings of a matrix instead of ``eigh``: the same but
        for eigenvalues closer than about ``2 ** -squarings`` of the largest degree, whose vectors mix; many
        times as fast for many small graphs at once.

    Returns:
      ``side``, bool ``[n]``: ``True`` where the eigenvector is positive.

    Raises:
      UsageError: if ``weights`` is not square or has fewer than two units.
    """
    vector, active = _fiedler_vector(weights, active, floor, squarings)
    return _split_by_sign(vector, active)


@jax.jit
def fiedler_halves(
    weights: jax.Array, active: jax.Array | None = None, floor: float = 1e-6
) -> tuple[jax.Array, jax.Array]:
    """The two halves of arXiv 2605.06746: entries of the Fiedler vector above zero, and below it.

    As :func:`fiedler_bipartition`, but units whose entry is zero up to rounding, and inactive ones, are in
    neither half, and a half may be empty.

    Args:
      weights, active, floor: see :func:`fiedler_bipartition`.

    Returns:
      Two masks, bool ``[n]``.
    """
    vector, active = _fiedler_vector(weights, active, floor)
    vector = _fix_sign(jnp.where(active, vector, 0.0))
    tolerance = jnp.finfo(vector.dtype).eps ** (2 / 3)
    return vector > tolerance, vector < -tolerance


def _fiedler_vector(weights, active, floor, squarings: int | None = None) -> tuple[jax.Array, jax.Array]:
    weights = jax.lax.stop_gradient(_square(weights, "weights"))
    n = weights.shape[0]
    active = jnp.ones(n, dtype=bool) if active is None else jnp.asarray(active, dtype=bool)
    edge = active[:, None] & active[None, :] & ~jnp.eye(n, dtype=bool)
    weights = jnp.where(edge, jnp.nan_to_num(weights) + floor, 0.0)
    laplacian = jnp.diag(weights.sum(axis=1)) - weights
    if squarings is not None:
        return _second_by_squaring(laplacian, active, squarings), active
    # The constant vector is moved from the bottom of the spectrum to its top: the floor is lost in float32
    # beside heavy edges, and eigh would mix the constant vector into the answer. So are inactive units.
    top = jnp.trace(laplacian) + 1.0
    constant = active / jnp.sum(active)
    deflation = jnp.where(active[:, None], constant[None, :], 0.0) + jnp.diag(jnp.where(active, 0.0, 1.0))
    _, vectors = jnp.linalg.eigh(laplacian + top * deflation)
    return vectors[:, 0], active


def _second_by_squaring(laplacian: jax.Array, active: jax.Array, squarings: int) -> jax.Array:
    """The second eigenvector of a Laplacian: the first of ``2 d - L``, d the largest degree."""
    both = active[:, None] & active[None, :]
    eye = jnp.eye(laplacian.shape[0], dtype=laplacian.dtype)
    constant = jnp.where(both, 1.0, 0.0) / jnp.sum(active)
    project = jnp.where(both, eye, 0.0) - constant
    turned = jnp.where(both, 2 * jnp.max(jnp.diagonal(laplacian)) * eye - laplacian, 0.0)
    scaled = lambda m: m / jnp.maximum(jnp.trace(m), jnp.finfo(m.dtype).tiny)
    power = scaled(matmul(project, matmul(turned, project)))
    power = jax.lax.fori_loop(0, squarings, lambda _, m: scaled(matmul(m, m)), power)
    return power[:, jnp.argmax(jnp.diagonal(power))]


@jax.jit
def normalized_cut_bipartition(weights: jax.Array, floor: float = 1e-6) -> jax.Array:
    """Cut a graph by the normalised-cut relaxation with a full threshold sweep.

    The units are ordered by the second eigenvector of the normalised Laplacian, and of the n-1 splits of
    this order the one with the smallest ``normalized_cut`` is kept (Shi and Malik, 2000).

    Args:
      weights: ``[n, n]`` symmetric non-negative weights, n >= 2 (the diagonal is ignored).
      floor: weight added to each edge, which keeps constant units at a finite place.

    Returns:
      ``side``, bool ``[n]``: ``True`` for the upper part of the order.

    Raises:
      UsageError: if ``weights`` is not square or has fewer than two units.
    """
    weights = jax.lax.stop_gradient(_square(weights, "weights"))
    n = weights.shape[0]
    weights = jnp.where(jnp.eye(n, dtype=bool), 0.0, jnp.nan_to_num(weights) + floor)
    root = jnp.sqrt(weights.sum(axis=1))
    affinity = weights / (root[:, None] * root[None, :])
    constant = root / jnp.linalg.norm(root)
    # Without the trivial eigenvector (eigenvalue 1) the largest of the affinity is the one wanted.
    _, vectors = jnp.linalg.eigh(affinity - 2.0 * constant[:, None] * constant[None, :])
    order = jnp.argsort(_fix_sign(vectors[:, -1]) / root)
    rank = jnp.zeros(n, dtype=order.dtype).at[order].set(jnp.arange(n, dtype=order.dtype))
    sides = rank[None, :] >= jnp.arange(1, n, dtype=order.dtype)[:, None]
    cuts = jax.vmap(normalized_cut, in_axes=(None, 0))(weights, sides)
    return sides[jnp.argmin(cuts)]


@partial(jax.jit, static_argnames=("normalizer", "min_size"))
def exact_bipartition(
    covariance: jax.Array, normalizer: str = "none", min_size: int = 1, floor: float = 0.0
) -> jax.Array:
    """The minimum-information bipartition by exhaustive search, for up to 14 units.

    Minimises ``partition_information`` over all 2^(n-1)-1 splits; all log-determinants are batched.
    ``normalizer`` and ``min_size`` are static.

    Args:
      covariance: ``[2n, 2n]`` covariance (or correlation) of ``(past, future)``, 2 <= n <= 14.
      normalizer: ``"none"``, or ``"entropy"`` to divide by K = min(H(M1), H(M2)) of the correlation blocks of
        the past (Balduzzi-Tononi). Differential entropies can be negative: splits with K <= 0 are left out,
        and if no split has K > 0 the plain value decides.
      min_size: least number of units in a half. Without a normaliser small halves are favoured.
      floor: added to the diagonal of the correlation matrix, for data with duplicated units.

    Returns:
      ``side``, bool ``[n]``, with ``side[0]`` true.

    Raises:
      UsageError: for n out of range, an impossible ``min_size`` or an unknown ``normalizer``.
    """
    covariance = jax.lax.stop_gradient(_square(covariance, "covariance"))
    n = covariance.shape[0] // 2
    if covariance.shape[0] % 2 or not 2 <= n <= MAX_EXACT_UNITS:
        raise UsageError(
            f"covariance is {covariance.shape}; expected [2n, 2n] of (past, future) with 2 <= n <= "
            f"{MAX_EXACT_UNITS}; for more units use fiedler_bipartition or queyranne_bipartition"
        )
    if not 1 <= min_size <= n // 2:
        raise UsageError(f"min_size is {min_size}; expected 1 to {n // 2} for {n} units")
    if normalizer not in NORMALIZERS:
        raise unknown_name("normalizer", normalizer, NORMALIZERS)
    sides = jnp.asarray(_all_sides(n, min_size))
    matrix = correlation_of(covariance) + floor * jnp.eye(2 * n, dtype=covariance.dtype)
    parts = jax.vmap(_persistence, in_axes=(None, 0))
    whole = _persistence(matrix, jnp.ones(n, dtype=bool))
    value = whole - parts(matrix, sides) - parts(matrix, ~sides)
    if normalizer == "entropy":
        least = jax.vmap(_least_entropy, in_axes=(None, 0))(matrix[:n, :n], sides)
        normal = jnp.where(least > 0, value / jnp.where(least > 0, least, 1.0), jnp.inf)
        value = jnp.where(jnp.any(least > 0), normal, value)
    return sides[jnp.argmin(jnp.where(jnp.isnan(value), jnp.inf, value))]


def partition_information(covariance: jax.Array, side: jax.Array) -> jax.Array:
    """Information that the whole carries about its future beyond its two halves.

    φ(M1, M2) = I(X;X') - I(M1;M1') - I(M2;M2') (Balduzzi and Tononi; Barrett and Seth), Gaussian.

    Args:
      covariance: ``[2n, 2n]`` of ``(past, future)``; constant units count as independent.
      side: bool ``[n]``.

    Returns:
      Scalar, nats; negative when the halves share redundant information.
    """
    matrix = correlation_of(_square(covariance, "covariance"))
    side = jnp.asarray(read_partition(side, matrix.shape[0] // 2))
    return _beyond_halves(matrix, side)


@jax.jit
def _beyond_halves(matrix: jax.Array, side: jax.Array) -> jax.Array:
    whole = _persistence(matrix, jnp.ones_like(side))
    return whole - _persistence(matrix, side) - _persistence(matrix, ~side)


def cut_weight(weights: jax.Array, side: jax.Array) -> jax.Array:
    """Total weight of the edges between the two sides of a cut (scalar, units of ``weights``)."""
    weights = _square(weights, "weights")
    side = jnp.asarray(read_partition(side, weights.shape[0]))
    return jnp.sum(jnp.where(side[:, None] & ~side[None, :], weights, 0.0))


def normalized_cut(weights: jax.Array, side: jax.Array) -> jax.Array:
    """Normalised cut: the cut weight over the volume of each side, summed (Shi and Malik, 2000).

    Args:
      weights: ``[n, n]`` symmetric, zero diagonal.
      side: bool ``[n]``.

    Returns:
      Scalar in [0, 2]; the volume of a side is the sum of the degrees of its units.
    """
    weights = _square(weights, "weights")
    side = jnp.asarray(read_partition(side, weights.shape[0]))
    degree = weights.sum(axis=1)
    inside, outside = jnp.sum(jnp.where(side, degree, 0.0)), jnp.sum(jnp.where(side, 0.0, degree))
    cut = cut_weight(weights, side)
    return cut / inside + cut / outside


def _persistence(matrix: jax.Array, part: jax.Array) -> jax.Array:
    """I(M;M') of one part; the blocks of one time are cut out first because they are four times cheaper."""
    n = part.shape[0]
    both = masked_logdet(matrix, jnp.concatenate([part, part]))
    return 0.5 * (masked_logdet(matrix[:n, :n], part) + masked_logdet(matrix[n:, n:], part) - both)


def _square(matrix: jax.Array, name: str) -> jax.Array:
    matrix = jnp.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 2:
        raise UsageError(
            f"{name} has shape {matrix.shape}; expected a square matrix of >= 2 units (vmap over batches)"
        )
    return matrix


def _information(correlation: jax.Array) -> jax.Array:
    clipped = jnp.clip(correlation, -MAX_CORRELATION, MAX_CORRELATION)
    return -0.5 * jnp.log1p(-jnp.square(clipped))


def _fix_sign(vector: jax.Array) -> jax.Array:
    magnitude = jnp.abs(vector)
    tolerance = jnp.finfo(vector.dtype).eps ** (2 / 3)
    largest = jnp.argmax(magnitude >= jnp.max(magnitude) * (1.0 - tolerance))
    return vector * jnp.where(vector[largest] < 0, -1.0, 1.0)


def _split_by_sign(vector: jax.Array, active: jax.Array) -> jax.Array:
    vector = _fix_sign(jnp.where(active, vector, 0.0))
    tolerance = jnp.finfo(vector.dtype).eps ** (2 / 3)
    positive, negative = vector > tolerance, vector < -tolerance
    zeros_up = jnp.sum(positive) <= jnp.sum(negative)
    side = positive | (zeros_up & ~positive & ~negative)
    rank = jnp.argsort(jnp.argsort(vector))
    lonely = ~jnp.any(positive) | ~jnp.any(negative)
    return jnp.where(lonely, rank >= vector.shape[0] // 2, side)


def _all_sides(n: int, min_size: int) -> np.ndarray:
    codes = np.arange(2 ** (n - 1) - 1)
    rest = (codes[:, None] >> np.arange(n - 1)) & 1
    sides = np.concatenate([np.ones((len(codes), 1), dtype=bool), rest.astype(bool)], axis=1)
    size = sides.sum(axis=1)
    return sides[np.minimum(size, n - size) >= min_size]


def _least_entropy(correlation: jax.Array, side: jax.Array) -> jax.Array:
    constant = jnp.log(2.0 * jnp.pi * jnp.e).astype(correlation.dtype)
    one = masked_logdet(correlation, side) + constant * jnp.sum(side)
    other = masked_logdet(correlation, ~side) + constant * jnp.sum(~side)
    return 0.5 * jnp.minimum(one, other)
