"""Emergence over a training life: recordings of many seeds and checkpoints beside what was learned.

Pure functions of arrays ``[seeds, checkpoints, ...]``, wherever they were recorded. Every recording is
measured by itself: its partition, moments and nulls come from that checkpoint alone, so that an early feature
depends on early data only (the leakage rule of :mod:`rlkit.analysis.study.prediction`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.moments.lagged import pair_mask
from rlkit.analysis.study.alignment import (
    Alignment,
    NullComparison,
    alignment_against_nulls,
    random_projection_metrics,
    reward_alignment,
)
from rlkit.analysis.study.baselines import Baselines, latent_baselines
from rlkit.analysis.study.headline import QUANTITIES, Emergence
from rlkit.analysis.study.nulls import NullTest, compare
from rlkit.analysis.study.prediction import Prediction, compare_predictors
from rlkit.analysis.study.recordings import Quality, measure_recordings, recording_quality
from rlkit.analysis.study.shared import HYPOTHESES, Shared
from rlkit.keys import typed_key
from rlkit.types import Key

FEATURES = ("phi_r", "ce3", "ce4", "downward", "decoupling")
"""The emergence features, as many as there are baselines, of the two halves' means."""


class Life(NamedTuple):
    """A training life; arrays are NumPy.

    Attributes:
      tests: by route, a NullTest of dictionaries by quantity, ``[S, K]``; at the last checkpoint against
        ``final_draws`` surrogates, at the others against ``draws``.
      beyond: by route and quantity ``[S, B]``, what the surrogates of the last checkpoint have beyond the
        baseline of the hypothesis, for :func:`rlkit.analysis.study.nulls.pooled_p`.
      quality: how much each recording can say, ``[S, K]``.
      metrics: features ``[S, K, F]`` by name: ``"emergence"`` (FEATURES of the two halves), ``"beyond null"``
        (the excess: what the hypothesis does not explain) and ``"baselines"`` (the five).
      seeds: [S'] the seeds whose metrics and returns are all finite; only they enter what follows.
      alignment: by metric; empty with fewer than two such seeds or checkpoints.
      null_alignment: ``{metric: {"global" | "local": {null: NullComparison}}}``; the nulls are
        ``"projections"``, and for the two emergence metrics also ``"shuffled"`` and ``"autocorrelation"``.
      prediction: of the final return from the early part of each metric; empty with fewer than four seeds.
      undefined: pairs of active units without a number, ``[S, K]``, which means over pairs leave out.
    """

    tests: dict[str, NullTest]
    beyond: dict[str, dict[str, np.ndarray]]
    quality: Quality
    metrics: dict[str, np.ndarray]
    seeds: np.ndarray
    alignment: dict[str, Alignment]
    null_alignment: dict[str, dict[str, dict[str, NullComparison]]]
    prediction: dict[str, Prediction]
    undefined: np.ndarray


def study_life(
    latents: jax.Array | np.ndarray,
    returns: np.ndarray,
    key: Key,
    *,
    first: jax.Array | np.ndarray | None = None,
    routes: Sequence[str] = ("means", "pairs"),
    null: str = "own-past",
    draws: int = 100,
    final_draws: int | None = None,
    components: int | None = None,
    projections: int = 200,
    fraction: float = 0.2,
    lag: int = 1,
    shared: Shared | None = None,
) -> Life:
    """Measure emergence over training, and how it goes with what was learned.

    Args:
      latents: [S, K, T, n] recordings of S seeds at K checkpoints.
      returns: [S, K] what was achieved at each checkpoint.
      key: typed PRNG key of surrogates and projections.
      first: [S, K, T] true at the first step of every episode.
      routes: see :func:`rlkit.analysis.study.measure_emergence`; ``"means"`` is added where it lacks.
      null: the hypothesis, see :data:`rlkit.analysis.study.nulls.NULLS`.
      draws: surrogates of each recording.
      final_draws: surrogates of the last checkpoint, whose p is worth tabulating; rounded up to a multiple of
        ``draws``, which is also the default.
      components: measure that many leading principal components of each recording.
      projections: draws of the random-projection null of alignment.
      fraction: part of training that counts as early.
      lag: steps from past to future.
      shared: a program for these recordings that other measurements use too, of the same ``lag`` and
        ``components`` and at least these ``routes`` and ``draws``; by default one of this life alone.

    Returns:
      The life. Alignment and prediction are of :mod:`rlkit.analysis.study.alignment` and
      :mod:`rlkit.analysis.study.prediction`, the same recipe for emergence and baselines.

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
    keys = jax.random.split(typed_key(key), 3)
    routes = tuple(dict.fromkeys(("means", *routes)))
    options: dict[str, Any] = {"routes": routes, "null": null, "draws": draws}
    if null in HYPOTHESES:
        options["shared"] = shared or Shared(routes, draws, QUANTITIES, lag, components)
    else:
        options |= {"lag": lag, "components": components}

    def measure(k: int, key: Key, **changed: Any) -> Emergence:
        starts = None if first is None else first[:, k]
        found = measure_recordings(
            latents[:, k], key, first=starts, keep_draws=True, check="off", **options | changed
        )
        return jax.tree.map(np.asarray, found)

    more = -(-(final_draws or draws) // draws)
    tests, drawn, beyond, undefined = _measured(measure, returns.shape[1], routes, keys[0], more)
    metrics = _metrics(tests["means"], baselines_over(latents, first, lag))
    known = np.isfinite(returns).all(1)
    for metric in metrics.values():
        known &= np.isfinite(metric).all((1, 2))
    quality = jax.tree.map(np.asarray, recording_quality(latents, first))
    life = Life(tests, beyond, quality, metrics, np.flatnonzero(known), {}, {}, {}, undefined)
    if known.sum() < 2 or returns.shape[1] < 2:
        return life
    kept = {name: metric[known] for name, metric in metrics.items()}
    projected = np.asarray(random_projection_metrics(keys[1], latents[known], len(FEATURES), projections))
    own_keys = jax.random.split(keys[2], returns.shape)
    shuffled = [
        measure(k, own_keys[:, k], routes=("means",), null="shuffle").drawn["means"][0]
        for k in range(returns.shape[1])
    ]
    own_draws = {
        "shuffled": np.stack([_features(values) for values in shuffled], 2),
        "autocorrelation": drawn,
    }
    own_draws = {name: draw[:, known] for name, draw in own_draws.items()}
    # Surrogates have nothing beyond their own mean but chance; what they do to baselines was not drawn.
    own_nulls = {
        "emergence": own_draws,
        "beyond null": {name: draw - draw.mean(0) for name, draw in own_draws.items()},
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
    excess = np.stack([test.excess[name] for name in FEATURES], -1)
    return {"emergence": raw, "beyond null": excess, "baselines": np.stack([*baselines.values()], -1)}


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


def _measured(measure: Callable[..., Emergence], count: int, routes: Sequence[str], key: Key, more: int):
    """Tests ``[S, K]`` by route, the features of ``draws`` surrogates [B, S, K, F], and the last recordings'
    surrogates beyond their baseline [S, B'], and pairs without a number [S, K]. One program of one
    checkpoint's shape measures all."""
    found = [measure(k, jax.random.fold_in(key, k)) for k in range(count)]
    last = [measure(count - 1, jax.random.fold_in(key, count + i)) for i in range(more - 1)]
    tests, beyond = {}, {}
    for route in routes:
        ended, beyond[route] = _pooled([found[-1], *last], route)
        over = [result.tests[route] for result in found[:-1]] + [ended]
        tests[route] = jax.tree.map(lambda *leaves: np.stack(leaves, 1), *over)
    drawn = np.stack([_features(result.drawn["means"][0]) for result in found], 2)
    return tests, drawn, beyond, np.stack([result.undefined for result in found], 1)


def _pooled(parts: Sequence[Emergence], route: str) -> tuple[NullTest, dict[str, np.ndarray]]:
    """The test of recordings against the surrogates of several measurements of them, and what these have
    beyond their baseline [S, B] by quantity."""
    first = parts[0].tests[route]
    names = tuple(first.value)
    joined = [
        {name: np.concatenate([part.drawn[route][i][name] for part in parts], -1) for name in names}
        for i in (0, 1)
    ]
    # The recording's own baseline is what its excess leaves.
    own = {
        name: first.value[name] - first.excess[name] - parts[0].drawn[route][1][name].mean(-1)
        for name in names
    }
    leading = lambda tree: jax.tree.map(lambda v: np.moveaxis(v, -1, 0), tree)
    drawn, over = leading(joined[0]), leading(joined[1])
    test = compare(first.value, drawn, own, jax.tree.map(np.subtract, drawn, over))
    return jax.tree.map(np.asarray, test), joined[1]


def _features(values: Mapping[str, Any]) -> np.ndarray:
    """Draws ``[..., B]`` by quantity as ``[B, ..., F]`` in the order of FEATURES."""
    return np.moveaxis(np.stack([np.asarray(values[name]) for name in FEATURES], -1), -2, 0)
