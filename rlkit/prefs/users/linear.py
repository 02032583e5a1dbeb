"""What one user wants, as a linear taste, from few answers and from what others want."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, check_count
from rlkit.prefs.checks import axes, flags, in_range, probabilities, same_shape, share_of
from rlkit.prefs.losses.pairwise import pairwise_logistic


class Taste(NamedTuple):
    """A Gaussian over linear tastes ``w``; the reward of features ``φ`` is ``w · φ``."""

    mean: jax.Array  # float32 [D]
    precision: jax.Array  # float32 [D, D]


def taste_log_likelihood(
    weights: jax.Array, difference: jax.Array, label: jax.Array, valid: jax.Array
) -> jax.Array:
    """Log-likelihood of answers under Bradley-Terry: ``[..., D], [h, D], [h], bool [h] -> [...]``."""
    margin = jnp.einsum("...d,hd->...h", weights, difference, precision="highest")
    loss = pairwise_logistic(margin, jnp.broadcast_to(label, margin.shape))
    return -jnp.sum(jnp.where(valid, loss, 0.0), -1)


def nearest_prototype(
    prototypes: jax.Array, difference: jax.Array, label: jax.Array, valid: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Which prototype a user's answers fit best, by likelihood: a noisy estimate's cosine misleads for few
    answers.

    Args:
      prototypes: ``[K, D]``.
      difference: features of the first item less those of the second, ``[h, D]``.
      label: ``[h]``.
      valid: bool ``[h]``; None: all.

    Returns:
      ``(index int32 [], posterior [K])`` under equal priors.
    """
    same_shape("nearest_prototype", difference=difference[:, 0], label=label, valid=valid)
    valid = jnp.ones(label.shape, bool) if valid is None else flags("nearest_prototype", "valid", valid)
    score = taste_log_likelihood(prototypes, difference, label, valid)
    return jnp.argmax(score).astype(jnp.int32), jax.nn.softmax(score)


def fit_taste(
    difference: jax.Array,
    label: jax.Array,
    prior: Taste,
    valid: jax.Array | None = None,
    steps: int = 16,
) -> Taste:
    """The most probable taste given a user's answers and a prior, with its Laplace approximation.

    Newton steps on ``Σ loss + (w - μ)ᵀ P (w - μ) / 2``, which is convex, each of the length among 1, 1/2,
    ..., 1/128 that leaves least: whole steps run away where the answers contradict a prior far from 0. With
    the prior at zero the user stands alone; with the mean and spread of a prototype's members the prior is
    that prototype (ours), which is better than a fixed blend of both at any number of answers that was
    measured.

    Args:
      difference: ``[h, D]``.
      label: ``[h]``.
      prior: a :class:`Taste`.
      valid: bool ``[h]``, or a weight of each answer; None: all.
      steps: of Newton's method.
    """
    axes("fit_taste", "difference", difference, 2, "[h, D]")
    same_shape("fit_taste", difference=difference[:, 0], label=label, valid=valid)
    probabilities("fit_taste", "label", label)
    weight = jnp.ones(label.shape) if valid is None else jnp.asarray(valid, jnp.float32)
    x, full = difference, jax.lax.Precision.HIGHEST

    def objective(w: jax.Array) -> jax.Array:
        far = w - prior.mean
        pull = 0.5 * jnp.dot(far, jnp.matmul(prior.precision, far, precision=full), precision=full)
        return jnp.sum(weight * pairwise_logistic(jnp.matmul(x, w, precision=full), label)) + pull

    lengths = 0.5 ** jnp.arange(8.0)

    def hessian(w: jax.Array) -> tuple[jax.Array, jax.Array]:
        p = jax.nn.sigmoid(jnp.matmul(x, w, precision=full))
        curvature = jnp.matmul(x.T * (weight * p * (1.0 - p)), x, precision=full) + prior.precision
        return curvature, p

    def body(w: jax.Array, _: None) -> tuple[jax.Array, None]:
        curvature, p = hessian(w)
        pull = jnp.matmul(prior.precision, w - prior.mean, precision=full)
        slope = jnp.matmul(x.T, weight * (p - label), precision=full) + pull
        newton = jax.scipy.linalg.solve(curvature, slope, assume_a="pos")
        tried = jnp.concatenate([w[None], w - lengths[:, None] * newton])  # to stay is never worse
        return tried[jnp.nanargmin(jax.vmap(objective)(tried))], None

    mean, _ = jax.lax.scan(body, prior.mean, None, length=check_count("steps", steps))
    return Taste(mean, hessian(mean)[0])


def blend_scores(
    own: jax.Array,
    neighbours: jax.Array,
    own_valid: jax.Array,
    neighbour_valid: jax.Array,
    weights: tuple[float, float] = (0.5, 0.5),
    standardise: bool = True,
) -> jax.Array:
    """Test-time scaling over users: own samples and neighbours' (P-GenRM, arXiv 2602.12116, released code).

    ``(w_s mean own + w_n mean neighbours) / (w_s + w_n)``, without the side that is missing. Each sample's
    scores are first brought to one scale over the candidates (ours).

    Args:
      own: scores of the candidates, ``[S, C]``.
      neighbours: ``[N, C]``.
      own_valid: bool ``[S]``.
      neighbour_valid: bool ``[N]``.
      weights: of own and neighbours.
      standardise: bring each row to mean 0 and standard deviation 1.

    Returns:
      ``[C]``; zeros if nothing is valid.

    Raises:
      UsageError: shapes that do not agree, or a weight below 0.
    """
    candidates = axes("blend_scores", "own", own, 2, "[S, C]")[1:]
    if axes("blend_scores", "neighbours", neighbours, 2, "[N, C]")[1:] != candidates:
        raise UsageError(
            f"blend_scores: own has shape {own.shape} and neighbours {neighbours.shape}; expected scores of "
            "the same candidates"
        )
    same_shape("blend_scores", own=own[:, 0], own_valid=own_valid)
    same_shape("blend_scores", neighbours=neighbours[:, 0], neighbour_valid=neighbour_valid)
    in_range("blend_scores", "weights", weights, 0.0, float("inf"))

    def side(scores: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
        if standardise:
            centred = scores - jnp.mean(scores, 1, keepdims=True)
            scores = centred / jnp.maximum(jnp.std(scores, 1, keepdims=True), 1e-6)
        there = jnp.where(valid[:, None], scores, 0.0)
        return jnp.sum(there, 0) / jnp.maximum(jnp.sum(valid), 1), jnp.any(valid)

    (self_mean, has_self), (near_mean, has_near) = side(own, own_valid), side(neighbours, neighbour_valid)
    a, b = weights[0] * has_self, weights[1] * has_near
    return share_of(a * self_mean + b * near_mean, a + b, 0.0)
