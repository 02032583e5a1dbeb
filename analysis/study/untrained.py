"""Was it learnt? A trained network against untrained ones that saw the same observations.

Any network couples its units: they read the same inputs through shared weights. What learning added is the
difference from networks of the same kind that have learnt nothing, on the same observations, seed by seed.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rlkit.analysis.study.recordings import measure_recordings
from rlkit.keys import typed_key
from rlkit.types import Key

_EXACT = 14  # seeds up to which all signs are tried


class Paired(NamedTuple):
    """A quantity of trained networks less that of untrained ones.

    Attributes:
      trained: [S] of the trained networks.
      untrained: [S, M] of M untrained ones that saw the observations of seed s.
      difference: [S], trained less the mean of the untrained.
      p: two-sided, of no difference: among all ways to flip the signs of the seeds' differences, the share
        with a mean at least as large in magnitude (9999 random ones beyond 14 seeds). NaN with one seed.
      floor: the smallest p that so many seeds can give.
    """

    trained: np.ndarray
    untrained: np.ndarray
    difference: np.ndarray
    p: float
    floor: float


def against_untrained(
    trained: jax.Array | np.ndarray,
    untrained: jax.Array | np.ndarray,
    key: Key,
    *,
    first: jax.Array | np.ndarray | None = None,
    quantities: Sequence[str] = ("phi_r", "ce3", "ce4"),
    routes: Sequence[str] = ("means", "pairs"),
    draws: int = 20,
    **options: Any,
) -> dict[str, dict[str, dict[str, Paired]]]:
    """Emergence of trained networks less that of untrained ones, paired by seed.

    Both are measured alike, each recording against few surrogates of its own: the comparison is between
    networks, and averages over them.

    Args:
      trained: [S, T, n] latents.
      untrained: [S, M, T, n] latents of untrained networks on the observations behind ``trained[s]``.
      key: typed PRNG key of the surrogates.
      first: [S, T] true at the first step of every episode.
      quantities, routes: what to measure, see :func:`rlkit.analysis.study.headline.measure_emergence`.
      draws: surrogates of each recording.
      **options: further options of :func:`rlkit.analysis.study.headline.measure_emergence`.

    Returns:
      By route, quantity and ``"value"`` or ``"excess"`` (nats) the comparison.

    Raises:
      ValueError: shapes that disagree.
    """
    shape, other = np.shape(trained), np.shape(untrained)
    if len(other) != 4 or shape != (other[0], *other[2:]):
        raise ValueError(f"trained is {shape} and untrained is {other}; expected [S, T, n] and [S, M, T, n]")
    key = typed_key(key)
    options |= {"routes": tuple(routes), "quantities": tuple(quantities), "draws": draws, "check": "off"}
    networks = [trained, *(np.asarray(untrained)[:, m] for m in range(other[1]))]
    found = [
        jax.tree.map(
            np.asarray, measure_recordings(z, jax.random.fold_in(key, m), first=first, **options).tests
        )
        for m, z in enumerate(networks)
    ]
    return {
        route: {
            name: {
                field: paired(*_split([getattr(tests[route], field)[name] for tests in found]))
                for field in ("value", "excess")
            }
            for name in found[0][route].value
        }
        for route in routes
    }


def _split(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return columns[0], np.stack(columns[1:], 1)


def paired(trained: np.ndarray, untrained: np.ndarray, seed: int = 0) -> Paired:
    """Compare ``trained`` [S] with ``untrained`` [S, M] seed by seed; ``seed`` is of random signs."""
    trained, untrained = np.asarray(trained, np.float64), np.asarray(untrained, np.float64)
    difference = trained - untrained.mean(1)
    known = difference[np.isfinite(difference)]
    if known.size < 2:
        return Paired(trained, untrained, difference, float("nan"), float("nan"))
    if known.size <= _EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=known.size)))
        extreme = np.abs(signs @ known) >= abs(known.sum()) * (1 - 1e-12)
        return Paired(trained, untrained, difference, float(extreme.mean()), 2.0 / len(signs))
    signs = np.random.default_rng(seed).choice((1.0, -1.0), (9999, known.size))
    extreme = np.abs(signs @ known) >= abs(known.sum()) * (1 - 1e-12)
    return Paired(trained, untrained, difference, float((1 + extreme.sum()) / 10000), 1e-4)
