"""Do the representations move in the direction in which the reward improves?

The published protocol (arXiv 2605.06746) names a global and a local alignment and nulls; its formulas were
not found, so every definition here is ours. Arrays are ``metric[seeds, checkpoints, features]`` and
``returns[seeds, checkpoints]`` of one task. These are statistics of small arrays on the host: NumPy float64.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.moments.variation import varies
from rlkit.keys import typed_key
from rlkit.products import FULL


class Alignment(NamedTuple):
    """Alignment of every run with the reward direction of the others.

    Attributes:
      global_alignment: ``[S]``, cosine between the whole move e_K - e_0 and the reward direction; NaN for a
        run that does not move, or if there is no reward direction.
      local_alignment: ``[S]``, mean over steps of the cosine between e_{k+1} - e_k and the direction, times
        the sign of the change of return; steps without a move are left out.
      embedding: ``[S, K, m]``, z-scored metric in its principal plane.
      directions: ``[S, m]``, unit reward direction fitted without the run itself.
    """

    global_alignment: np.ndarray
    local_alignment: np.ndarray
    embedding: np.ndarray
    directions: np.ndarray


class NullComparison(NamedTuple):
    """A mean alignment over seeds against its values under a null.

    Attributes:
      value: mean over seeds of the observed alignment.
      null_mean, null_sd: over the draws of the null.
      p: one-sided, (1 + number of draws >= value) / (1 + number of draws).
      draws: number of draws, which bounds p from below.
    """

    value: float
    null_mean: float
    null_sd: float
    p: float
    draws: int


def embed(metric: np.ndarray, dims: int = 2) -> np.ndarray:
    """z-score every feature over all runs and checkpoints, then project on the principal components.

    Args:
      metric: ``[S, K, F]``, finite.
      dims: number of components m; at most F are kept.

    Returns:
      ``[S, K, min(m, F)]``. Constant features are 0. The sign of every component makes its loading of largest
      magnitude positive, so that the plane is reproducible.

    Raises:
      ValueError: for the wrong rank, NaN, or ``dims`` below 1.
    """
    metric = _finite(metric, "metric", 3)
    if dims < 1:
        raise ValueError(f"dims is {dims}; expected at least 1")
    flat = metric.reshape(-1, metric.shape[-1])
    centred = flat - flat.mean(axis=0)
    spread = flat.std(axis=0)
    dead = ~varies(spread**2, flat.mean(axis=0))
    scaled = np.where(dead, 0.0, centred / np.where(dead, 1.0, spread))
    _, _, axes = np.linalg.svd(scaled, full_matrices=False)
    axes = axes[:dims]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = axes * np.where(largest < 0, -1.0, 1.0)
    return (scaled @ axes.T).reshape(*metric.shape[:2], -1)


def reward_direction(embedding: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """Unit vector along which the return rises fastest: g ∝ Cov(e)⁻¹ Cov(e, R), over all given runs.

    It is a regression slope: where a component hardly varies, its weight is large and uncertain, and features
    whose noise is correlated tilt it. Collinear features are better merged before the embedding.

    Args:
      embedding: ``[S, K, m]``.
      returns: ``[S, K]``.

    Returns:
      ``[m]``; NaN if the return is constant, or does not covary with the embedding.
    """
    points = np.asarray(embedding, dtype=np.float64).reshape(-1, np.shape(embedding)[-1])
    values = np.asarray(returns, dtype=np.float64).ravel()
    centred = points - points.mean(axis=0)
    # lstsq and not an inverse: a principal component may be empty.
    slope = np.linalg.lstsq(centred, values - values.mean(), rcond=1e-10)[0]
    norm = np.linalg.norm(slope)
    # Of a constant return that is no power of two its own rounding is left, which has a direction too.
    known = norm > 0 and varies(values.var(), values.mean())
    return slope / norm if known else np.full_like(slope, np.nan)


def reward_alignment(metric: np.ndarray, returns: np.ndarray, dims: int = 2) -> Alignment:
    """Global and local alignment of every run, the reward direction fitted on the other runs.

    Args:
      metric: ``[S, K, F]``, S >= 2 runs of one task, K >= 2 checkpoints.
      returns: ``[S, K]``, mean return at every checkpoint.
      dims: dimensions of the embedding.

    Returns:
      ``Alignment``.

    Raises:
      ValueError: if shapes disagree, values are not finite, or there are too few seeds or checkpoints.
    """
    returns = _finite(returns, "returns", 2)
    embedding = embed(metric, dims)
    if embedding.shape[:2] != returns.shape or min(returns.shape) < 2:
        raise ValueError(
            f"metric is {np.shape(metric)} and returns is {returns.shape}; expected [S, K, F] and [S, K], "
            "at least 2 seeds (the direction comes from the other seeds) and 2 checkpoints"
        )
    seeds = np.arange(len(returns))
    directions = np.stack([reward_direction(embedding[seeds != s], returns[seeds != s]) for s in seeds])
    whole = _cosine(embedding[:, -1] - embedding[:, 0], directions)
    steps = _cosine(np.diff(embedding, axis=1), directions[:, None])
    signed = steps * np.sign(np.diff(returns, axis=1))
    moved = ~np.isnan(steps)
    count = moved.sum(axis=1)
    local = np.where(count > 0, np.where(moved, signed, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
    return Alignment(whole, local, embedding, directions)


def alignment_against_nulls(
    metric: np.ndarray, returns: np.ndarray, nulls: Mapping[str, np.ndarray], dims: int = 2
) -> dict[str, dict[str, NullComparison]]:
    """Compare the mean alignment over seeds with that of null metrics.

    The three nulls of the protocol are metrics computed by ``random_projection_metrics`` (at least 200 draws)
    and by ``null_metrics`` with a time shuffle and with autocorrelation-matched surrogates.

    Args:
      metric: ``[S, K, F]``.
      returns: ``[S, K]``.
      nulls: name -> ``[B, S, K, F']``, B draws of the metric under that null.
      dims: dimensions of the embedding, the same for metric and nulls.

    Returns:
      ``{"global": {name: NullComparison}, "local": {...}}``. A metric that does not move compares as NaN.
    """
    observed = reward_alignment(metric, returns, dims)
    table: dict[str, dict[str, NullComparison]] = {"global": {}, "local": {}}
    for name, draws in nulls.items():
        drawn = [reward_alignment(draw, returns, dims) for draw in _finite(draws, f"nulls[{name!r}]", 4)]
        for kind, field in (("global", "global_alignment"), ("local", "local_alignment")):
            null = np.array([np.mean(getattr(result, field)) for result in drawn])
            table[kind][name] = _compare(float(np.mean(getattr(observed, field))), null)
    return table


def random_projection_metrics(
    key: jax.Array, latents: jax.Array, num_features: int, num_draws: int = 200
) -> jax.Array:
    """The random-projection null: the mean latent of every checkpoint on random unit directions.

    Args:
      key: PRNG key, or a seed.
      latents: ``[S, K, T, n]``, or ``[S, K, n]`` if averaged over time already.
      num_features: number F of directions, that of the metric it stands for; static.
      num_draws: number B of draws; static.

    Returns:
      ``[B, S, K, F]``; one draw uses the same directions for all seeds and checkpoints.
    """
    key, latents = typed_key(key), jnp.asarray(latents)
    points = latents.mean(axis=2) if latents.ndim == 4 else latents
    directions = jax.random.normal(key, (num_draws, points.shape[-1], num_features), dtype=points.dtype)
    directions = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    return jnp.einsum("skn,bnf->bskf", points, directions, precision=FULL)


def null_metrics(
    key: jax.Array,
    latents: jax.Array,
    metric: Callable[[jax.Array], jax.Array],
    surrogate: Callable[[jax.Array, jax.Array], jax.Array],
    num_draws: int,
) -> jax.Array:
    """A metric of surrogate latents: the time-shuffled and the autocorrelation-matched nulls.

    Args:
      key: PRNG key, or a seed.
      latents: ``[S, K, T, n]``.
      metric: ``[T, n] -> [F]``, pure.
      surrogate: ``(key, [T, n]) -> [T, n]``, pure; every seed and checkpoint gets its own key.
      num_draws: number B of draws; static. Draws run one after another, which bounds the memory.

    Returns:
      ``[B, S, K, F]``.
    """
    key, latents = typed_key(key), jnp.asarray(latents)
    seeds, checkpoints = latents.shape[:2]

    def draw(key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, (seeds, checkpoints))
        return jax.vmap(jax.vmap(lambda k, z: metric(surrogate(k, z))))(keys, latents)

    return jax.lax.map(draw, jax.random.split(key, num_draws))


def _cosine(moves: np.ndarray, directions: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(moves, axis=-1)
    dot = np.sum(moves * directions, axis=-1)
    return np.where(length > 1e-12, dot / np.where(length > 1e-12, length, 1.0), np.nan)


def _compare(value: float, null: np.ndarray) -> NullComparison:
    mean, sd = float(null.mean()), float(null.std(ddof=1)) if len(null) > 1 else float("nan")
    p = (1 + int(np.sum(null >= value))) / (1 + len(null)) if np.isfinite(value) else float("nan")
    return NullComparison(value, mean, sd, p, len(null))


def _finite(array: np.ndarray, name: str, rank: int) -> np.ndarray:
    array = np.asarray(array, dtype=np.float64)
    if array.ndim != rank:
        raise ValueError(f"{name} has shape {array.shape}; expected {rank} axes, seeds and checkpoints first")
    if not array.size:
        raise ValueError(f"{name} has shape {array.shape}; expected at least one entry along each axis")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} is not finite at index {where}; drop that run or checkpoint first")
    return array
