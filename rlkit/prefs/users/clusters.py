"""Groups of similar users."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, check_count
from rlkit.keys import typed_key
from rlkit.prefs.checks import axes, in_range, same_shape
from rlkit.types import Key


class Clusters(NamedTuple):
    """Centres, and whose each is."""

    centre: jax.Array  # float32 [K, D]
    assignment: jax.Array  # int32 [N]
    inertia: jax.Array  # float32 []: mean squared distance to the own centre


def _distances(points: jax.Array, centre: jax.Array) -> jax.Array:
    """Squared, ``[N, K]``."""
    return jnp.sum(jnp.square(points[:, None] - centre[None]), -1)


def _spread_start(key: Key, points: jax.Array, clusters: int) -> jax.Array:
    """k-means++: each next centre drawn in proportion to the squared distance to those before."""
    keys = jax.random.split(key, clusters)
    first = points[jax.random.randint(keys[0], (), 0, len(points))]

    def more(i: jax.Array, centre: jax.Array) -> jax.Array:
        chosen = jnp.arange(clusters) < i
        far = jnp.min(jnp.where(chosen, _distances(points, centre), jnp.inf), 1)
        return centre.at[i].set(points[jax.random.categorical(keys[i], jnp.log(far + 1e-12))])

    centre = jnp.zeros((clusters, points.shape[1])).at[0].set(first)
    return jax.lax.fori_loop(1, clusters, more, centre)


def kmeans(
    key: Key, points: jax.Array, clusters: int, restarts: int = 10, steps: int = 50, unit: bool = False
) -> Clusters:
    """k-means (Lloyd 1982) from k-means++ starts (Arthur & Vassilvitskii 2007), the best of several.

    A centre without points stays where it was. P-GenRM (arXiv 2602.12116) clusters embeddings of users so, of
    unit length, and normalises the centres.

    Args:
      key: PRNG key.
      points: ``[N, D]``.
      clusters: K, at most N.
      restarts: how many starts, side by side.
      steps: of each.
      unit: normalise points and centres to unit length.

    Raises:
      UsageError: fewer points than clusters: with one user there are no groups to find.
    """
    count = axes("kmeans", "points", points, 2, "[N, D]")[0]
    if check_count("clusters", clusters) > count:
        raise UsageError(
            f"kmeans: clusters={clusters} of {count} points: expected at least as many users as groups; "
            "with few users fit each by itself (fit_taste)"
        )
    scaled = lambda x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-9) if unit else x
    largest = float(jnp.finfo(jnp.float32).max)  # NaN would be everybody's nearest
    in_range("kmeans", "points", points, -largest, largest)
    points = scaled(jnp.asarray(points, jnp.float32))

    def once(key: Key) -> Clusters:
        def body(centre: jax.Array, _: None) -> tuple[jax.Array, None]:
            own = jax.nn.one_hot(jnp.argmin(_distances(points, centre), 1), clusters)
            size = jnp.sum(own, 0)[:, None]
            total = jnp.matmul(own.T, points, precision=jax.lax.Precision.HIGHEST)
            return scaled(jnp.where(size > 0, total / jnp.maximum(size, 1.0), centre)), None

        centre, _ = jax.lax.scan(body, _spread_start(key, points, clusters), None, length=steps)
        distance = _distances(points, centre)
        return Clusters(centre, jnp.argmin(distance, 1).astype(jnp.int32), jnp.mean(jnp.min(distance, 1)))

    every = jax.vmap(once)(jax.random.split(typed_key(key), check_count("restarts", restarts)))
    return jax.tree.map(lambda x: x[jnp.argmin(every.inertia)], every)


def nearest_in_cluster(
    query: jax.Array, own: jax.Array, pool: jax.Array, assignment: jax.Array, k: int
) -> tuple[jax.Array, jax.Array]:
    """The most similar users of the same group, by cosine (P-GenRM takes 8).

    Args:
      query: ``[Q, D]``.
      own: the group of each, int ``[Q]``.
      pool: ``[N, D]``; leave the queried users out of it, or they find themselves.
      assignment: the group of each of the pool, int ``[N]``.
      k: how many, at most N.

    Returns:
      ``(index int32 [Q, k], valid bool [Q, k])``: fewer are valid where the group is smaller.
    """
    same_shape("nearest_in_cluster", pool=pool[:, 0], assignment=assignment)
    same_shape("nearest_in_cluster", query=query[:, 0], own=own)
    for name, x in (("query", query), ("pool", pool)):
        in_range("nearest_in_cluster", name, x, float("-inf"), float("inf"))
    if check_count("k", k) > len(pool):
        raise UsageError(f"nearest_in_cluster: k={k}: expected at most {len(pool)}, the size of the pool")
    unit = lambda x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-9)
    similarity = jnp.matmul(unit(query), unit(pool).T, precision=jax.lax.Precision.HIGHEST)
    similarity = jnp.where(own[:, None] == assignment[None], similarity, -jnp.inf)
    value, index = jax.lax.top_k(similarity, k)
    return index.astype(jnp.int32), value > -jnp.inf
