"""Exact minimum cuts of symmetric submodular functions (Queyranne's algorithm), on the host.

A symmetric submodular function on n units has its minimum over all proper subsets found with O(n²) sweeps
(Queyranne, 1998). Two such functions matter here: the weight of a graph cut (the algorithm then is that of
Stoer and Wagner) and the mutual information of the two sides of a Gaussian. The search branches on its own
results, so it runs in NumPy float64 and cannot be traced.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rlkit.analysis.moments.variation import varies

Group = tuple[int, ...]


class CutFunction(NamedTuple):
    """A symmetric submodular set function f as pure functions over the state of one sweep.

    Attributes:
      initial: () -> state of the empty set W.
      include: (state, group) -> state of W ∪ group.
      gains: (state, groups) -> ``[len(groups)]``, f(W ∪ u) - f(u) for each group u up to one constant.
      value: group -> f(group).
    """

    initial: Callable[[], Any]
    include: Callable[[Any, Group], Any]
    gains: Callable[[Any, Sequence[Group]], np.ndarray]
    value: Callable[[Group], float]


def minimize_cut(function: CutFunction, num_units: int) -> tuple[np.ndarray, float]:
    """Minimise a symmetric submodular function over the proper non-empty subsets of the units.

    Args:
      function: the set function.
      num_units: number of units n, at least 2.

    Returns:
      ``(side, value)``: bool ``[n]`` with the minimising subset ``True``, and the minimum.

    Raises:
      ValueError: for fewer than two units.
    """
    if num_units < 2:
        raise ValueError(f"num_units is {num_units}; a bipartition needs at least 2 units")
    groups: list[Group] = [(unit,) for unit in range(num_units)]
    best, best_value = groups[0], np.inf
    while len(groups) > 1:
        before_last, last = _pendent_pair(function, groups)
        value = function.value(last)
        if value < best_value:
            best, best_value = last, value
        groups = [group for group in groups if group not in (before_last, last)] + [before_last + last]
    side = np.zeros(num_units, dtype=bool)
    side[list(best)] = True
    return side, float(best_value)


def minimum_cut_bipartition(weights: jax.Array) -> np.ndarray:
    """Cut a graph where the total weight of the cut edges is least (it tends to cut off single units).

    Args:
      weights: ``[n, n]`` symmetric non-negative weights; the diagonal is ignored.

    Returns:
      ``side``, NumPy bool ``[n]``.

    Raises:
      ValueError: if the matrix is not square, symmetric, finite and non-negative, or is traced.
    """
    matrix = _host_matrix(weights, "weights")
    np.fill_diagonal(matrix, 0.0)
    if (matrix < 0).any():
        raise ValueError(f"weights has a negative entry ({matrix.min():g}); a cut needs weights >= 0")
    side, _ = minimize_cut(_graph_cut(matrix), len(matrix))
    return side


def queyranne_bipartition(covariance: jax.Array) -> np.ndarray:
    """The bipartition whose halves share the least Gaussian mutual information, exactly, for any n.

    Minimises the symmetric submodular I(M1;M2) without normalisation, which tends to cut off single units.

    Args:
      covariance: ``[n, n]`` covariance or correlation of the units at one time, positive definite up to
        constant units (those count as independent and make a cut of zero information).

    Returns:
      ``side``, NumPy bool ``[n]``.

    Raises:
      ValueError: if the matrix is not square, symmetric and finite, is traced, or is singular (a duplicated
        unit: drop it, or shrink the covariance).
    """
    matrix = _host_matrix(covariance, "covariance")
    scale = np.sqrt(np.where(varies(np.diag(matrix)), np.diag(matrix), np.inf))
    correlation = matrix / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    if np.linalg.eigvalsh(correlation)[0] < 1e-12:
        raise ValueError(
            "covariance is singular (a unit is a linear function of others): information is infinite; "
            "drop the duplicated unit or shrink the covariance"
        )
    side, _ = minimize_cut(_gaussian_cut(correlation), len(correlation))
    return side


def _pendent_pair(function: CutFunction, groups: Sequence[Group]) -> tuple[Group, Group]:
    """The last two groups of the order in which each next one has the least gain."""
    state = function.include(function.initial(), groups[0])
    rest = list(groups[1:])
    previous = groups[0]
    while len(rest) > 1:
        chosen = rest.pop(int(np.argmin(function.gains(state, rest))))
        state = function.include(state, chosen)
        previous = chosen
    return previous, rest[0]


def _graph_cut(weights: np.ndarray) -> CutFunction:
    degree = weights.sum(axis=1)

    def gains(attachment: np.ndarray, groups: Sequence[Group]) -> np.ndarray:
        return np.array([-attachment[list(group)].sum() for group in groups])

    def value(group: Group) -> float:
        index = list(group)
        return float(degree[index].sum() - weights[np.ix_(index, index)].sum())

    return CutFunction(
        initial=lambda: np.zeros(len(weights)),
        include=lambda attachment, group: attachment + weights[list(group)].sum(axis=0),
        gains=gains,
        value=value,
    )


def _gaussian_cut(correlation: np.ndarray) -> CutFunction:
    # ln|R_B| of the complement B of A is ln|R| + ln|P_A| with P the inverse of R, hence
    # 2 I(A;B) = ln|R_A| + ln|P_A|, and both grow by the log-determinant of a Schur complement.
    precision = np.linalg.inv(correlation)
    own: dict[Group, float] = {}

    def value(group: Group) -> float:
        if group not in own:
            own[group] = 0.5 * (_logdet(correlation, group) + _logdet(precision, group))
        return own[group]

    def gains(state: tuple[np.ndarray, np.ndarray], groups: Sequence[Group]) -> np.ndarray:
        grown = np.array([0.5 * (_logdet(state[0], group) + _logdet(state[1], group)) for group in groups])
        return grown - np.array([value(group) for group in groups])

    return CutFunction(
        initial=lambda: (correlation, precision),
        include=lambda state, group: (_condition(state[0], group), _condition(state[1], group)),
        gains=gains,
        value=value,
    )


def _logdet(matrix: np.ndarray, group: Group) -> float:
    if len(group) == 1:
        return float(np.log(matrix[group[0], group[0]]))
    return float(np.linalg.slogdet(matrix[np.ix_(group, group)])[1])


def _condition(matrix: np.ndarray, group: Group) -> np.ndarray:
    index = list(group)
    rows = matrix[index]
    return matrix - rows.T @ np.linalg.solve(matrix[np.ix_(index, index)], rows)


def _host_matrix(matrix: jax.Array, name: str) -> np.ndarray:
    if isinstance(matrix, jax.core.Tracer):
        raise ValueError(f"{name} is traced; this search runs on the host: call it outside jit and vmap")
    array = np.array(matrix, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.shape[0] < 2:
        raise ValueError(f"{name} has shape {array.shape}; expected a square matrix of at least 2 units")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has a NaN or infinite entry; drop the constant or broken units first")
    scale = np.abs(array).max()
    if not np.allclose(array, array.T, rtol=0.0, atol=1e-5 * scale):
        raise ValueError(f"{name} is not symmetric; expected a symmetric matrix")
    return 0.5 * (array + array.T)
