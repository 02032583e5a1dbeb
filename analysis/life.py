"""Emergence over a training life: recordings of many seeds and checkpoints beside what was learned.

Pure functions of arrays ``[seeds, checkpoints, ...]``, wherever they were recorded. Every recording is
measured by itself: its partition, moments and nulls come from that checkpoint alone, so that an early feature
depends on early data only (the leakage rule of :mod:`rlkit.analysis.prediction`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.alignment import (
    Alignment,
    NullComparison,
    alignment_against_nulls,
    random_projection_metrics,
    reward_alignment,
)
from rlkit.analysis.baselines import Baselines, latent_baselines
from rlkit.analysis.headline import measure_recordings, null_values
from rlkit.analysis.moments import pair_mask
from rlkit.analysis.nulls import NullTest
from rlkit.analysis.prediction import Prediction, compare_predictors
from rlkit.types import Key

FEATURES = ("phi_r", "ce3", "ce4", "downward", "decoupling")
"""The emergence features, as many as there are baselines, of the two halves' means."""

SURROGATES = {"shuffled": "shuffle", "autocorrelation": "phases"}


class Life(NamedTuple):
    """A training life; arrays are NumPy.

    Attributes:
      tests: by route, a NullTest of dictionaries by quantity, ``[S, K]``.
      active: [S, K] units that take part.
      metrics: features ``[S, K, F]`` by name: ``"emergence"`` (FEATURES of the two halves), ``"beyond null"``
        (the same less the null mean: what persistence does not explain) and ``"baselines"`` (the five).
      seeds: [S'] the seeds whose metrics and returns are all finite; only they enter what follows.
      alignment: by metric; empty with fewer than two such seeds or checkpoints.
      null_alignment: ``{metric: {"global" | "local": {null: NullComparison}}}``; the nulls are
        ``"projections"``, and for the two emergence metrics also ``"shuffled"`` and ``"autocorrelation"``.
      prediction: of the final return from the early part of each metric; empty with fewer than four seeds.
    """

    tests: dict[str, NullTest]
    active: np.ndarray
    metrics: dict[str, np.ndarray]
    seeds: np.ndarray
    alignment: dict[str, Alignment]
    null_alignment: dict[str, dict[str, dict[str, NullComparison]]]
    prediction: dict[str, Prediction]


def study_life(
    latents: jax.Array | np.ndarray,
    returns: np.ndarray,
    key: Key,
    *,
    first: jax.Array | np.ndarray | None = None,
    routes: Sequence[str] = ("means", "pairs"),
    draws: int = 100,
    projections: int = 200,
    fraction: float = 0.2,
    lag: int = 1,
) -> Life:
    """Measure emergence over training, and how it goes with what was learned.

    Args:
      latents: [S, K, T, n] recordings of S seeds at K checkpoints.
      returns: [S, K] what was achieved at each checkpoint.
      key: typed PRNG key of surrogates and projections.
      first: [S, K, T] true at the first step of every episode.
      routes: see :func:`rlkit.analysis.headline.measure_emergence`; ``"means"`` is added where it lacks.
      draws: surrogates of each recording.
      projections: draws of the random-projection null of alignment.
      fraction: part of training that counts as early.
      lag: steps from past to future.

    Returns:
      The life. Alignment and prediction are of :mod:`rlkit.analysis.alignment` and
      :mod:`rlkit.analysis.prediction`, the same recipe for emergence and baselines.

    Raises:
      ValueError: shapes that disagree.
    """
    latents, returns = jnp.asarray(latents, jnp.float32), np.asarray(returns, np.float64)
    if latents.ndim != 4 or returns.shape != latents.shape[:2]:
        raise ValueError(
            f"latents is {latents.shape} and returns is {returns.shape}; expected [S, K, T, n] and [S, K]"
        )
    if first is not None and np.shape(first) != latents.shape[:3]:
        raise ValueError(f"first has shape {np.shape(first)}; expected {latents.shape[:3]}")
    first = None if first is None else jnp.asarray(first).astype(bool)
    keys = jax.random.split(key, 3)
    routes = tuple(dict.fromkeys(("means", *routes)))
    found = measure_recordings(
        latents, keys[0], first=first, routes=routes, draws=draws, lag=lag, check="off"
    )
    tests = jax.tree.map(np.asarray, found.tests)
    metrics = _metrics(tests["means"], baselines_over(latents, first, lag))
    known = np.isfinite(returns).all(1)
    for metric in metrics.values():
        known &= np.isfinite(metric).all((1, 2))
    life = Life(tests, np.asarray(found.active.sum(-1)), metrics, np.flatnonzero(known), {}, {}, {})
    if known.sum() < 2 or returns.shape[1] < 2:
        return life
    kept = {name: metric[known] for name, metric in metrics.items()}
    projected = np.asarray(random_projection_metrics(keys[1], latents[known], len(FEATURES), projections))
    drawn = _null_features(latents[known], keys[2], None if first is None else first[known], draws, lag)
    # Surrogates have nothing beyond their own mean but chance; what they do to baselines was not drawn.
    own_nulls = {
        "emergence": drawn,
        "beyond null": {name: draw - draw.mean(0) for name, draw in drawn.items()},
        "baselines": {},
    }
    aligned = {name: reward_alignment(metric, returns[known]) for name, metric in kept.items()}
    against = {
        name: alignment_against_nulls(metric, returns[known], {"projections": projected, **own_nulls[name]})
        for name, metric in kept.items()
    }
    life = life._replace(alignment=aligned, null_alignment=against)
    if known.sum() < 4:
        return life
    return life._replace(prediction=compare_predictors(kept, returns[known], fraction=fraction))


def _metrics(test: NullTest, baselines: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    raw = np.stack([test.value[name] for name in FEATURES], -1)
    null = np.stack([test.mean[name] for name in FEATURES], -1)
    return {"emergence": raw, "beyond null": raw - null, "baselines": np.stack([*baselines.values()], -1)}


def baselines_over(latents: jax.Array, first: jax.Array | None = None, lag: int = 1) -> dict[str, np.ndarray]:
    """The five baseline metrics ``[S, K]`` of recordings ``[S, K, T, n]``, pairs kept inside episodes."""
    latents = jnp.asarray(latents)
    lead = latents.shape[:-2]
    flat = lambda a: None if a is None else jnp.asarray(a).reshape(-1, *a.shape[len(lead) :])

    def one(item: Any) -> Baselines:
        z, starts = item
        return latent_baselines(z, pair_mask=None if starts is None else pair_mask(starts, lag), lag=lag)

    found = jax.jit(lambda items: jax.lax.map(one, items))((flat(latents), flat(first)))
    return {name: np.asarray(value).reshape(lead) for name, value in found._asdict().items()}


def _null_features(latents, key: Key, first, draws: int, lag: int) -> dict[str, np.ndarray]:
    """FEATURES of each of SURROGATES, ``[draws, S, K, F]``."""
    lead = latents.shape[:2]
    flat = lambda a: None if a is None else a.reshape(-1, *a.shape[2:])
    items = (jax.random.split(key, lead).reshape(-1), flat(latents), flat(first))

    def one(item: Any) -> dict[str, jax.Array]:
        key, z, starts = item
        options = {"first": starts, "draws": draws, "lag": lag, "quantities": FEATURES}
        drawn = {name: null_values(z, key, null=null, **options) for name, null in SURROGATES.items()}
        return {name: jnp.stack([values[f] for f in FEATURES], -1) for name, values in drawn.items()}

    found = jax.jit(lambda items: jax.lax.map(one, items))(items)
    shaped = lambda draw: np.asarray(draw).reshape(*lead, draws, len(FEATURES)).transpose(2, 0, 1, 3)
    return jax.tree.map(shaped, found)
