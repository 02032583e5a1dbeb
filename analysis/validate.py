"""Checks of concrete input: an error, or NaN with a warning that names the unit, never a silent number.

Checks read values, so they run on concrete arrays only; under ``jit`` or ``vmap`` they are skipped.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import unknown_name

POLICIES = ("warn", "error", "off")


class Findings(NamedTuple):
    """Units whose atoms are undefined.

    Attributes:
      constant: units that never change (among the samples used).
      duplicates: pairs of units of which one is an affine copy of the other.
    """

    constant: tuple[int, ...] = ()
    duplicates: tuple[tuple[int, int], ...] = ()

    def undefined_pairs(self, units: int) -> np.ndarray:
        """[units, units] bool: pairs with a constant unit or of two copies."""
        undefined = np.zeros((units, units), bool)
        undefined[list(self.constant)] = True
        undefined[:, list(self.constant)] = True
        for i, j in self.duplicates:
            undefined[i, j] = undefined[j, i] = True
        return undefined


class AnalysisWarning(UserWarning):
    """A result that is undefined and was set to NaN."""


def is_concrete(*values) -> bool:
    """True if no value is being traced, so that its numbers can be looked at."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def check_policy(policy: str) -> None:
    """Raise a KeyError unless ``policy`` is one of :data:`POLICIES`."""
    if policy not in POLICIES:
        raise unknown_name("validation policy", policy, POLICIES)


def check_samples(
    z,
    lag: int = 1,
    mask=None,
    *,
    policy: str = "warn",
    names: Sequence[str] | None = None,
    outcome: str = "atoms of these pairs are undefined and set to NaN",
) -> Findings:
    """Look at samples before anything is estimated from them.

    Args:
      z: [T, n] samples.
      lag: steps from past to future.
      mask: [T - lag] bool, pairs that will be used.
      policy: ``"warn"`` reports constant and duplicate units by a warning, ``"error"`` by an error, ``"off"``
        skips all checks.
      names: names of the units for messages; ``unit 3`` and so on by default.
      outcome: what the caller does about constant and duplicate units, for the warning.

    Returns:
      What was found; empty if skipped.

    Raises:
      ValueError: on fewer than two units, fewer usable pairs than ``max(n, 8)``, or values that are not
        finite; with ``policy="error"`` also on constant or duplicate units.
    """
    check_policy(policy)
    if policy == "off" or not is_concrete(z, mask):
        return Findings()
    z = np.asarray(z)
    name = lambda unit: f"unit {unit}" if names is None else f"unit {unit} ({names[unit]})"
    rows = _used_rows(z, lag, mask)
    broken = np.flatnonzero(~np.isfinite(rows).all(0))
    if broken.size:
        step = int(np.flatnonzero(~np.isfinite(rows[:, broken[0]]))[0])
        raise ValueError(
            f"z holds values that are not finite in {', '.join(map(name, broken[:5]))} "
            f"(first at used sample {step}): mask those steps or drop the unit"
        )
    findings = _degenerate(rows)
    report = [f"{name(unit)} is constant" for unit in findings.constant]
    report += [f"{name(i)} and {name(j)} are copies of each other" for i, j in findings.duplicates]
    if report and policy == "error":
        raise ValueError("; ".join(report) + ": drop one of each, or pass check='warn' to get NaN there")
    if report:
        warnings.warn(f"{'; '.join(report)}: {outcome}", AnalysisWarning, stacklevel=3)
    return findings


def _used_rows(z: np.ndarray, lag: int, mask) -> np.ndarray:
    """[samples, n] what the kept pairs touch, after the checks of shape and number."""
    if z.ndim != 2:
        raise ValueError(f"z must have shape [steps, units], got {z.shape}; use vmap for more axes")
    steps, units = z.shape
    check_units(units)
    if not 1 <= lag < steps:
        raise ValueError(f"lag={lag} leaves no pair in {steps} samples: shorten the lag or record longer")
    pairs, used = steps - lag, np.ones(steps, bool)
    if mask is not None:
        keep = np.asarray(mask).astype(bool)
        if keep.shape != (pairs,):
            raise ValueError(f"mask must have shape ({pairs},), one entry a pair, got {keep.shape}")
        if not keep.any():
            raise ValueError("mask drops every lagged pair: episodes may be shorter than the lag")
        pairs = int(keep.sum())
        used = np.zeros(steps, bool)
        used[:-lag] |= keep
        used[lag:] |= keep
    if pairs < max(units, 8):
        raise ValueError(
            f"{pairs} lagged pairs are too few for {units} units (at least {max(units, 8)}): "
            "record longer, or transpose z if its shape is [units, steps]"
        )
    return z[used]


def _degenerate(rows: np.ndarray) -> Findings:
    rows = rows.astype(np.float64) if rows.dtype.kind != "f" else rows
    eps = np.finfo(rows.dtype).eps
    wide = rows.astype(np.float64)
    centred = wide - wide.mean(0)
    deviation = centred.std(0)
    constant = deviation <= 4 * eps * np.abs(wide.mean(0)) + np.finfo(np.float32).tiny
    unit = centred / np.where(constant, 1, deviation) / np.sqrt(len(rows))
    matrix = np.abs(unit.T @ unit)
    matrix[constant] = 0
    # Copies differ by rounding only; 8 eps leaves room for an affine map computed in the same precision.
    first, second = np.nonzero(np.triu(matrix > 1 - max(8 * eps, 1e-12), 1))
    duplicates = tuple((int(i), int(j)) for i, j in zip(first, second, strict=True))
    return Findings(tuple(int(unit) for unit in np.flatnonzero(constant)), duplicates)


def check_covariance(covariance) -> None:
    """Raise a ValueError unless a concrete covariance is square, finite, symmetric and positive definite."""
    if not is_concrete(covariance):
        return
    matrix = np.asarray(covariance, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] % 2:
        raise ValueError(f"covariance must have shape [2n, 2n], past units first, got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("covariance holds values that are not finite")
    scale = np.sqrt(np.abs(np.diagonal(matrix)))
    if (np.diagonal(matrix) <= 0).any():
        bad = int(np.flatnonzero(np.diagonal(matrix) <= 0)[0])
        raise ValueError(f"covariance has variance {matrix[bad, bad]:g} at row {bad}; it must be positive")
    matrix = matrix / scale[:, None] / scale[None, :]
    if np.abs(matrix - matrix.T).max() > 1e-5:
        raise ValueError("covariance is not symmetric")
    smallest = np.linalg.eigvalsh(matrix)[0]
    if smallest <= 0:
        raise ValueError(
            f"covariance is not positive definite (smallest eigenvalue of its correlations {smallest:.3g}): "
            "shrink it, or drop units that are functions of others"
        )


def check_distribution(p) -> None:
    """Raise a ValueError unless a concrete ``p[x, y, a, b]`` is non-negative, finite and sums to one."""
    if not is_concrete(p):
        return
    p = np.asarray(p, np.float64)
    if p.ndim != 4:
        raise ValueError(f"p must have four axes, x, y, a and b, got shape {p.shape}")
    if not np.isfinite(p).all() or (p < 0).any():
        raise ValueError("p must hold finite, non-negative probabilities")
    if abs(p.sum() - 1) > 1e-5:
        raise ValueError(f"p sums to {p.sum():.8g}, it must sum to 1: divide it by its sum")


def check_units(units: int) -> None:
    """Raise a ValueError if there are too few units for a pair."""
    if units < 2:
        raise ValueError(f"z has {units} unit; integrated information needs at least two")


def lagged_units(covariance: jax.Array) -> int:
    """The number of units of a covariance [2n, 2n] of (past, future); a ValueError on any other shape."""
    shape = jnp.shape(covariance)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] % 2:
        raise ValueError(f"covariance has shape {shape}; expected [2n, 2n], past units first")
    return shape[0] // 2


def check_symbols(symbols: jax.Array, size: int, name: str) -> None:
    """Raise a ValueError unless ``symbols`` are integers in [0, size); values are checked where known.

    NumPy looks at the values: jax's reductions would trace the constants of a traced function.
    """
    if not jnp.issubdtype(symbols.dtype, jnp.integer):
        raise ValueError(f"{name} has dtype {symbols.dtype}; expected integers: quantise it first")
    if isinstance(symbols, jax.core.Tracer):
        return
    least, largest = np.min(np.asarray(symbols)), np.max(np.asarray(symbols))
    if least < 0 or largest >= size:
        raise ValueError(f"{name} lies in {least}..{largest}; expected 0..{size - 1}")
