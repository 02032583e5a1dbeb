"""Checks of concrete input: an error, or NaN with a warning that names the unit, never a silent number.

Checks read values, so they run on concrete arrays only; under ``jit`` or ``vmap`` they are skipped.
"""

import sys
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.moments.blocks import singular_below
from rlkit.analysis.moments.lagged import check_lag
from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.moments.sides import is_concrete
from rlkit.analysis.moments.variation import varies
from rlkit.errors import UsageError, unknown_name

POLICIES = ("warn", "error", "off")
_SHOWN = 5


class Findings(NamedTuple):
    """Units and pairs whose atoms are undefined, by their numbers.

    Attributes:
      constant: units that never change (among the samples used).
      duplicates: pairs of units of which one is an affine copy of the other.
      singular: other pairs of which one of past and future of both is a function of the rest.
      sets: whether two sets of units are singular together.
    """

    constant: tuple[int, ...] = ()
    duplicates: tuple[tuple[int, int], ...] = ()
    singular: tuple[tuple[int, int], ...] = ()
    sets: bool = False

    def undefined_pairs(self, units: int) -> np.ndarray:
        """[units, units] bool: pairs with a constant unit, of two copies, or singular."""
        undefined = np.zeros((units, units), bool)
        undefined[list(self.constant)] = True
        undefined[:, list(self.constant)] = True
        for i, j in (*self.duplicates, *self.singular):
            undefined[i, j] = undefined[j, i] = True
        return undefined


class AnalysisWarning(UserWarning):
    """A result that is undefined and was set to NaN, or that rests on less than it seems to."""


def check_policy(policy: str) -> None:
    """Raise a KeyError unless ``policy`` is one of :data:`POLICIES`."""
    if policy not in POLICIES:
        raise unknown_name("value of check", policy, POLICIES)


def report(text: str, policy: str, remedy: str) -> None:
    """Say ``text`` as the policy wants it: a warning, a UsageError with its ``remedy``, or nothing."""
    if policy == "error":
        raise UsageError(f"{text}: {remedy}")
    if policy == "warn":
        frame, level = sys._getframe(1), 2
        while frame.f_back and frame.f_globals.get("__name__", "").startswith("rlkit.analysis"):
            frame, level = frame.f_back, level + 1
        warnings.warn(text, AnalysisWarning, stacklevel=level - 1)


def check_samples(
    z,
    lag: int = 1,
    mask=None,
    *,
    policy: str = "warn",
    names: Sequence[str] | None = None,
    outcome: str = "atoms of these pairs are undefined and set to NaN",
    sides: tuple | None = None,
    singular: bool = False,
) -> Findings:
    """Look at samples before anything is estimated from them, in double precision.

    Args:
      z: [T, n] samples.
      lag: steps from past to future.
      mask: [T - lag] bool, pairs that will be used.
      policy: ``"warn"`` reports undefined units and pairs by a warning, ``"error"`` by an error, ``"off"``
        skips all checks.
      names: names of the units for messages; ``unit 3`` and so on by default.
      outcome: what the caller does about them, for the warning.
      sides: two masks [n] if two sets are measured; only their units are looked at.
      singular: look for singular pairs (or sets), whose Gaussian information is infinite, too.

    Returns:
      What was found; empty if skipped.

    Raises:
      UsageError: on fewer than two units, fewer usable pairs than ``max(n, 8)``, or values that are not
        finite; with ``policy="error"`` also on undefined units or pairs.
    """
    check_policy(policy)
    if policy == "off" or not is_concrete(z, mask, sides):
        return Findings()
    z = np.asarray(as_samples(z)) if not isinstance(z, np.ndarray) or z.dtype.kind not in "fiub" else z
    if z.ndim != 2:
        raise UsageError(f"z must have shape [steps, units], got {z.shape}; use vmap for more axes")
    index = np.arange(z.shape[1]) if sides is None else np.flatnonzero(np.asarray(sides[0]) | sides[1])
    name = lambda unit: f"unit {unit}" if names is None else f"unit {unit} ({names[unit]})"
    check_units(z.shape[1])
    z = z[:, index]
    past, future = _lagged_samples(z, lag, mask)
    for part in (past, future):
        broken = np.flatnonzero(~np.isfinite(part).all(0))
        if broken.size:
            step = int(np.flatnonzero(~np.isfinite(part[:, broken[0]]))[0])
            raise UsageError(
                f"z holds values that are not finite in {', '.join(name(index[b]) for b in broken[:5])} "
                f"(first at used sample {step}): mask those steps or drop the unit"
            )
    kind = _precision(z.dtype)
    _check_squares(past, future, kind, lambda unit: name(index[unit]))
    centre = (z if mask is None else past).mean(0, dtype=np.float64)  # as `lagged_moments` has it
    matrix, living = _lagged_correlation(past, future, centre, kind)
    findings, lines = _degenerate(matrix, living, kind, lambda unit: name(index[unit]))
    if singular and (sides is None or len(index) == 2):
        found = _singular_pairs(matrix, kind, findings)
        findings = findings._replace(singular=tuple(found))
        lines += [cause.format(i=name(index[i]), j=name(index[j])) for (i, j), cause in found.items()]
    elif singular:
        cause = _singular_sets(matrix, kind, len(past), lambda unit: name(index[unit]))
        if cause and not findings.constant:
            findings = findings._replace(sets=True)
            lines = lines or [cause]
    back = lambda pairs: tuple((int(index[i]), int(index[j])) for i, j in pairs)
    if lines:
        more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        text = "; ".join(lines[:_SHOWN]) + more
        remedy = "drop one of each, or pass check='warn' to get NaN there"
        report(text if policy == "error" else f"{text}: {outcome}", policy, remedy)
    constant = tuple(int(index[unit]) for unit in findings.constant)
    return Findings(constant, back(findings.duplicates), back(findings.singular), findings.sets)


def _check_squares(past: np.ndarray, future: np.ndarray, kind, name) -> None:
    """Raise a UsageError where sums of squares overflow, which would give NaN without a word."""
    size = np.maximum(np.abs(past).max(0), np.abs(future).max(0)).astype(np.float64)
    wrong = np.flatnonzero(size > np.sqrt(np.finfo(kind).max / len(past)))
    if wrong.size:
        unit = wrong[0]
        raise UsageError(
            f"z holds values of size {size[unit]:.3g} in {name(unit)}, whose squares overflow in "
            f"{np.dtype(kind).name}: divide the unit by its size, which changes no information"
        )


def _precision(dtype) -> type:
    """The type that a result is computed in, whose rounding decides what is singular."""
    dtype = dtype if np.dtype(dtype).kind == "f" else np.float64
    return np.float64 if jax.dtypes.canonicalize_dtype(dtype) == np.float64 else np.float32


def _lagged_samples(z: np.ndarray, lag: int, mask) -> tuple[np.ndarray, np.ndarray]:
    """Past and future [pairs, n] of the kept pairs, after the checks of shape and number."""
    steps, units = z.shape
    check_lag(steps, lag)
    pairs, keep = steps - lag, slice(None)
    if mask is not None:
        keep = np.asarray(mask).astype(bool)
        if keep.shape != (pairs,):
            raise UsageError(f"mask must have shape ({pairs},), one entry a pair, got {keep.shape}")
        if not keep.any():
            raise UsageError("mask drops every lagged pair: episodes may be shorter than the lag")
        pairs = int(keep.sum())
    if pairs < max(units, 8):
        raise UsageError(
            f"{pairs} lagged pairs are too few for {units} units (at least {max(units, 8)}): "
            "record longer, or transpose z if its shape is [units, steps]"
        )
    return z[:-lag][keep], z[lag:][keep]


def _lagged_correlation(
    past: np.ndarray, future: np.ndarray, centre: np.ndarray, kind
) -> tuple[np.ndarray, np.ndarray]:
    """Correlations [2n, 2n] and which of the 2n columns vary by more than the rounding of ``kind``."""
    wide = np.concatenate([past, future], axis=1).astype(np.float64)
    mean = wide.mean(0)
    wide -= mean
    variance = np.square(wide).mean(0)
    living = varies(variance, mean, kind, offset=mean - np.tile(centre, 2), count=len(wide))
    wide = np.where(living, wide / np.sqrt(np.where(living, variance, 1) * len(wide)), 0)
    matrix = wide.T @ wide
    np.fill_diagonal(matrix, 1)
    return matrix, living


def _degenerate(matrix, living, kind, name) -> tuple[Findings, list[str]]:
    n = len(living) // 2
    constant = np.flatnonzero(~(living[:n] & living[n:]))
    same = np.maximum(np.abs(matrix[:n, :n]), np.abs(matrix[n:, n:]))
    same[constant], same[:, constant] = 0, 0
    # Copies differ by rounding only; half of what counts as singular leaves room for an affine map.
    first, second = np.nonzero(np.triu(1 - same**2 <= singular_below(kind), 1))
    duplicates = tuple((int(i), int(j)) for i, j in zip(first, second, strict=True))
    lines = [f"{name(unit)} is constant" for unit in constant]
    lines += [f"{name(i)} and {name(j)} are copies of each other" for i, j in duplicates]
    return Findings(tuple(int(unit) for unit in constant), duplicates), lines


def _singular_pairs(matrix, kind, findings: Findings) -> dict[tuple[int, int], str]:
    """{pair: cause} of singular pairs that are neither constant nor copies."""
    n = len(matrix) // 2
    i, j = np.triu_indices(n, 1)
    bound = singular_below(kind)
    known = findings.undefined_pairs(n)
    order = i, j, n + i, n + j
    pivots = _pivots(np.stack([np.stack([matrix[a, b] for b in order], -1) for a in order], -2))
    # A failed elimination leaves NaN behind its first pivot that is too small.
    bad = ~(pivots > bound).all(-1) & ~known[i, j]
    causes = {}
    for a, b in zip(i[bad], j[bad], strict=True):
        same = lambda row, column: 1 - matrix[row, column] ** 2 <= bound
        if same(a, n + b):
            cause = "{j} repeats {i} one lag later"
        elif same(b, n + a):
            cause = "{i} repeats {j} one lag later"
        elif same(a, n + a) or same(b, n + b):
            cause = "in {i} and {j} a unit is a function of its own past"
        else:
            cause = "of past and future of {i} and {j} one is a linear function of the others"
        causes[int(a), int(b)] = cause
    return causes


def _singular_sets(matrix, kind, pairs: int, name) -> str | None:
    """Why all these units together are singular, or None."""
    n, size = len(matrix) // 2, len(matrix)
    if pairs - 1 < size:
        return (
            f"{pairs} lagged pairs are too few for sets of {n} units together, whose past and future have "
            f"{size} dimensions (at least {size + 1} pairs, better ten times as many)"
        )
    small = np.flatnonzero(~(_pivots(matrix) > singular_below(kind, size)))
    if not small.size:
        return None
    unit = small[0] % n
    if small[0] < n:
        return f"{name(unit)} is a linear function of the units before it"
    return f"the future of {name(unit)} is a linear function of the past and of the units before it"


def _pivots(matrix: np.ndarray) -> np.ndarray:
    """[..., d] pivots of the elimination of matrices [..., d, d] in double precision."""
    rest, pivots = matrix.astype(np.float64), []
    with np.errstate(all="ignore"):
        for k in range(rest.shape[-1]):
            row = rest[..., k, :]
            pivots.append(row[..., k].copy())
            rest = rest - row[..., :, None] * (row / row[..., k, None])[..., None, :]
    return np.stack(pivots, -1)


def check_covariance(covariance) -> None:
    """Raise a UsageError unless a concrete covariance is square, finite, symmetric and positive definite."""
    if not is_concrete(covariance):
        return
    matrix = np.asarray(covariance, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] % 2:
        raise UsageError(f"covariance must have shape [2n, 2n], past units first, got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise UsageError("covariance holds values that are not finite")
    scale = np.sqrt(np.abs(np.diagonal(matrix)))
    if (np.diagonal(matrix) <= 0).any():
        bad = int(np.flatnonzero(np.diagonal(matrix) <= 0)[0])
        raise UsageError(f"covariance has variance {matrix[bad, bad]:g} at row {bad}; it must be positive")
    matrix = matrix / scale[:, None] / scale[None, :]
    if np.abs(matrix - matrix.T).max() > 1e-5:
        raise UsageError("covariance is not symmetric")
    smallest = np.linalg.eigvalsh(matrix)[0]
    if smallest <= 0:
        raise UsageError(
            f"covariance is not positive definite (smallest eigenvalue of its correlations {smallest:.3g}): "
            "shrink it, or drop units that are functions of others"
        )


def check_distribution(p) -> None:
    """Raise a UsageError unless a concrete ``p[x, y, a, b]`` is non-negative, finite and sums to one."""
    if not is_concrete(p):
        return
    p = np.asarray(p, np.float64)
    if p.ndim != 4:
        raise UsageError(f"p must have four axes, x, y, a and b, got shape {p.shape}")
    if not np.isfinite(p).all() or (p < 0).any():
        raise UsageError("p must hold finite, non-negative probabilities")
    if abs(p.sum() - 1) > 1e-5:
        raise UsageError(f"p sums to {p.sum():.8g}, it must sum to 1: divide it by its sum")


def check_units(units: int) -> None:
    """Raise a UsageError if there are too few units for a pair."""
    if units < 2:
        raise UsageError(f"z has {units} unit; integrated information needs at least two")


def lagged_units(covariance: jax.Array) -> int:
    """The number of units of a covariance [2n, 2n] of (past, future); a UsageError on any other shape."""
    shape = jnp.shape(covariance)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] % 2:
        raise UsageError(f"covariance has shape {shape}; expected [2n, 2n], past units first")
    return shape[0] // 2


def check_symbols(symbols: jax.Array, size: int, name: str) -> None:
    """Raise a UsageError unless ``symbols`` are integers in [0, size); values are checked where known.

    NumPy looks at the values: jax's reductions would trace the constants of a traced function.
    """
    if not jnp.issubdtype(symbols.dtype, jnp.integer):
        raise UsageError(f"{name} has dtype {symbols.dtype}; expected integers: quantise it first")
    if isinstance(symbols, jax.core.Tracer):
        return
    least, largest = np.min(np.asarray(symbols)), np.max(np.asarray(symbols))
    if least < 0 or largest >= size:
        raise UsageError(f"{name} lies in {least}..{largest}; expected 0..{size - 1}")
