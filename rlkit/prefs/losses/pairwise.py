"""Losses on comparisons: Bradley-Terry, with ties, with uncertain rewards, and of rankings.

A margin is the reward of the first item less that of the second. Everything is computed in float32
logarithms, so that gradients are finite at any margin.
"""

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, check_count
from rlkit.prefs.checks import axes, in_range, known, probabilities, same_shape, same_shape_or_number

LOG_5 = float(np.log(5.0))  # of EditReward's released k

LOG_STD_RANGE = (-5.0, 3.0)
"""Where log standard deviations of rewards are kept; the bounds are ours."""


def _float(x: jax.Array) -> jax.Array:
    """At least float32: margins of half precision lose what comparisons are about."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def pairwise_logistic(
    margin: jax.Array, label: jax.Array | float = 1.0, offset: jax.Array | float = 0.0
) -> jax.Array:
    """Bradley-Terry: ``-(y log σ(m - o) + (1 - y) log σ(-m - o))``.

    Bradley & Terry 1952; as a reward model's loss Christiano et al. 2017 (arXiv 1706.03741, eq. 1) with soft
    labels. An offset above 0 asks for a margin.

    Args:
      margin: float ``[...]``.
      label: probability that the first is preferred, ``[...]`` or a number.
      offset: ``[...]`` or a number.

    Returns:
      ``[...]``, float32 at least.

    Raises:
      UsageError: a known label is outside [0, 1], or shapes differ.
    """
    m, y = _float(margin), jnp.asarray(label, jnp.float32)
    same_shape_or_number("pairwise_logistic", margin=margin, label=label, offset=offset)
    probabilities("pairwise_logistic", "label", label)
    return -(y * jax.nn.log_sigmoid(m - offset) + (1.0 - y) * jax.nn.log_sigmoid(-m - offset))


def win_tie(margin: jax.Array, label: jax.Array, tie_weight: float = 1.0, offset: float = 0.0) -> jax.Array:
    """Bradley-Terry with win-ties: pairs of equally good items are pulled together (arXiv 2512.22170, BT-WT).

    A pair with the label 1/2 costs ``-(log σ(m) + log σ(-m)) / 2``, which is least at a margin of 0. The
    released code has ``tie_weight=2, offset=3``. Ties cost ranking power among the good, and keep rewards
    from growing along what merely goes with being good: choose their weight.

    Args:
      margin: float ``[...]``.
      label: ``[...]``: 1, 0 or 1/2.
      tie_weight: factor of the loss of ties.
      offset: as in :func:`pairwise_logistic`.

    Returns:
      ``[...]``.
    """
    label = jnp.asarray(label, jnp.float32)
    tie = label == 0.5
    loss = pairwise_logistic(margin, label, offset)
    return jnp.where(tie, tie_weight, 1.0) * loss


def rao_kupper(margin: jax.Array, outcome: jax.Array, log_k: jax.Array | float = LOG_5) -> jax.Array:
    """Bradley-Terry with a probability of ties (Rao & Kupper 1967).

    ``P(win) = σ(m - log k)``, ``P(loss) = σ(-m - log k)``, and a tie has the rest,
    ``(k² - 1) P(win) P(loss)``.

    Args:
      margin: float ``[...]``.
      outcome: ``[...]``: 1 the first won, 0 the second, 1/2 a tie.
      log_k: ``log k > 0``, may be learned; ``k = 5`` in EditReward's released code.

    Returns:
      ``[...]``: the negative log-likelihood.

    Raises:
      UsageError: ``log_k`` is not above 0, an outcome is none of the three, or shapes differ.
    """
    same_shape("rao_kupper", margin=margin, outcome=outcome)
    told = known(outcome)
    if told is not None and not np.isin(told, (0.0, 0.5, 1.0)).all():
        raise UsageError("rao_kupper: outcome has entries other than 0, 1/2 and 1")
    in_range("rao_kupper", "log_k", log_k, 0.0, np.inf, strict=True, hint="k is above 1, else no pair ties")
    m, outcome = _float(margin), jnp.asarray(outcome, jnp.float32)
    win, lose = jax.nn.log_sigmoid(m - log_k), jax.nn.log_sigmoid(-m - log_k)
    tie = win + lose + jnp.log(jnp.expm1(2.0 * jnp.asarray(log_k, m.dtype)))
    return -jnp.where(outcome == 0.5, tie, jnp.where(outcome > 0.5, win, lose))


_SMOOTH = 2.0
"""Standard deviation from which on the normal distribution is smoother than the logistic function."""

_REACH, _SPACING = 20.0, 1.25  # of the sum over the logistic distribution
_NODES = np.arange(-_REACH, _REACH + _SPACING / 2, _SPACING).astype(np.float32)
_DENSITY = (_SPACING / (4.0 * np.cosh(_NODES.astype(np.float64) / 2.0) ** 2)).astype(np.float32)


def _spread(where: str, margin, log_std_first, log_std_second, label) -> tuple[jax.Array, jax.Array]:
    """``(margin, standard deviation of the difference)``, float32."""
    same_shape(where, margin=margin, log_std_first=log_std_first, log_std_second=log_std_second)
    same_shape_or_number(where, margin=margin, label=label)
    probabilities(where, "label", label)
    a, b = _float(log_std_first), _float(log_std_second)
    return _float(margin), jnp.exp(0.5 * jnp.logaddexp(2.0 * a, 2.0 * b))


def _hermite(m: jax.Array, std: jax.Array, order: int) -> tuple[jax.Array, jax.Array]:
    """``[order, ...]``: margins at the nodes of Gauss-Hermite quadrature, and logarithms of their weights."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(check_count("order", order))
    column = lambda x: x.astype(np.float32).reshape(-1, *[1] * m.ndim)
    return m + std * column(nodes), jnp.log(column(weights / weights.sum()))


def _beside(m: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of the logistic distribution and their weights, to be broadcast against margins."""
    shape = (-1, *[1] * m.ndim)
    return _NODES.reshape(shape), _DENSITY.reshape(shape)


def _log_chance(m: jax.Array, std: jax.Array, order: int) -> jax.Array:
    """``log E σ(z)``, ``z ~ N(m, std²)``, for any ``m`` and ``std``.

    Either of two sums: over the nodes of the normal distribution, where it is narrow; else over the logistic
    one, ``σ(z) = P(L < z)``, of the smooth ``Φ((m + L) / std)``. As ``σ(z) = e^z σ(-z)``, far below 0 it is
    ``e^(m + std² / 2)`` times the chance at ``-m - std²``, which is above half of that.
    """
    narrow = std < _SMOOTH
    z, log_w = _hermite(m, jnp.where(narrow, std, 1.0), order)
    by_normal = jax.nn.logsumexp(log_w + jax.nn.log_sigmoid(z), 0)
    s, (level, weight) = jnp.where(narrow, _SMOOTH, std), _beside(m)
    tilt = m + 0.5 * s * s
    log_cdf = jax.scipy.special.log_ndtr((jnp.where(tilt < 0, -m - s * s, m) + level) / s)
    by_logistic = jax.nn.logsumexp(jnp.log(weight) + log_cdf, 0) + jnp.minimum(tilt, 0.0)
    return jnp.where(narrow, by_normal, by_logistic)


def gaussian_pairwise(
    margin: jax.Array,
    log_std_first: jax.Array,
    log_std_second: jax.Array,
    label: jax.Array | float = 1.0,
    order: int = 16,
) -> jax.Array:
    """Comparison of Gaussian rewards: ``-log E σ(z)``, ``z ~ N(m, σ1² + σ2²)`` (arXiv 2509.26346).

    The expectation is a Gauss-Hermite sum up to a standard deviation of 2, where its nodes lie closer than
    the logistic function bends, and above that a sum over the logistic distribution (ours). With 16 nodes the
    loss is within 1e-4 of the exact one, in proportion above 1, at every standard deviation and margin.

    Args:
      margin: difference of the means, float ``[...]``.
      log_std_first: of the first reward, ``[...]``.
      log_std_second: of the second.
      label: probability that the first is preferred, ``[...]`` or a number.
      order: number of nodes of the Gauss-Hermite sum.

    Returns:
      ``[...]``.

    Raises:
      UsageError: a known label is outside [0, 1], or shapes differ.
    """
    m, std = _spread("gaussian_pairwise", margin, log_std_first, log_std_second, label)
    y = jnp.asarray(label, jnp.float32)
    return -(y * _log_chance(m, std, order) + (1.0 - y) * _log_chance(-m, std, order))


def gaussian_pairwise_released(
    margin: jax.Array,
    log_std_first: jax.Array,
    log_std_second: jax.Array,
    label: jax.Array | float = 1.0,
    order: int = 16,
) -> jax.Array:
    """``E[-log σ(z)]``, what EditReward's released code computes, there with 1000 samples.

    It is not the paper's loss (:func:`gaussian_pairwise`): ``-log σ`` is convex, so this grows with the
    variance at every mean, and the standard deviations that it learns shrink to nothing. Arguments as there.
    """
    m, std = _spread("gaussian_pairwise_released", margin, log_std_first, log_std_second, label)
    narrow = std < _SMOOTH
    z, log_w = _hermite(m, jnp.where(narrow, std, 1.0), order)
    by_normal = jnp.sum(jnp.exp(log_w) * jax.nn.softplus(-z), 0)
    s, (level, weight) = jnp.where(narrow, _SMOOTH, std), _beside(m)
    u = (level - m) / s  # softplus(-z) is the mean of max(0, L - z) over the logistic distribution
    density = jnp.exp(-0.5 * u * u) / np.sqrt(2.0 * np.pi).astype(np.float32)
    win = jnp.where(narrow, by_normal, jnp.sum(weight * s * (u * jax.scipy.special.ndtr(u) + density), 0))
    return win + (1.0 - jnp.asarray(label, jnp.float32)) * m  # -log σ(-z) = z - log σ(z)


def reward_centering(first: jax.Array, second: jax.Array) -> jax.Array:
    """``(r1 + r2)²``, which fixes the level that comparisons leave free (Eisenstein et al. 2023, 2312.09244).

    TRL offers it with the coefficient 0.01. Shapes ``[...]`` as the rewards'.
    """
    same_shape("reward_centering", first=first, second=second)
    return jnp.square(_float(first) + _float(second))


def symmetrised_logistic(
    forward: jax.Array, backward: jax.Array, label: jax.Array | float = 1.0, weight: float = 0.0
) -> jax.Array:
    """Bradley-Terry of a judge that sees both items, in both orders, which are to say the same (ours).

    ``(l(m, y) + l(-n, y)) / 2 + w (m + n)²`` with the margin ``m`` of the first item in order and ``n`` of
    what is shown first with the items exchanged: a judge without a preference for places has ``n = -m``.
    R1-Reward (arXiv 2505.02835) rewards such consistency; see also
    :func:`rlkit.prefs.metrics.position_consistency`.

    Args:
      forward: ``m [...]``.
      backward: ``n [...]``.
      label: probability that the first item is preferred, ``[...]`` or a number.
      weight: ``w``, at least 0.

    Returns:
      ``[...]``.

    Raises:
      UsageError: shapes differ, or a weight below 0.
    """
    same_shape("symmetrised_logistic", forward=forward, backward=backward)
    in_range("symmetrised_logistic", "weight", weight, 0.0, np.inf)
    both = (pairwise_logistic(forward, label) + pairwise_logistic(-_float(backward), label)) / 2
    return both + weight * jnp.square(_float(forward) + _float(backward))


def plackett_luce(scores: jax.Array, order: jax.Array, valid: jax.Array | None = None) -> jax.Array:
    """Negative log-likelihood of rankings (Luce 1959, Plackett 1975).

    ``-Σ_k (s_(k) - log Σ_{j >= k} exp s_(j))``: each place is won against those that are not placed yet. With
    two items it is Bradley-Terry's.

    Args:
      scores: float ``[B, K]``.
      order: integer ``[B, K]``: indices of the items, best first.
      valid: bool ``[B, K]``, by place: whether there is an item; None: all are. Those that are come first.

    Returns:
      ``[B]``.

    Raises:
      UsageError: shapes differ, or a known ``order`` is no permutation.
    """
    axes("plackett_luce", "scores", scores, 2, "[B, K]")
    same_shape("plackett_luce", scores=scores, order=order, valid=valid)
    in_range("plackett_luce", "order", order, 0, scores.shape[1] - 1)
    places = known(order)
    if places is not None and not np.all(np.sort(places, -1) == np.arange(scores.shape[1])):
        raise UsageError("plackett_luce: order has a row that is no permutation of the items")
    ranked = jnp.take_along_axis(_float(scores), order, -1)
    valid = jnp.ones(ranked.shape, bool) if valid is None else valid
    left = jax.lax.cumlogsumexp(jnp.where(valid, ranked, -1e30), axis=1, reverse=True)
    return jnp.sum(jnp.where(valid, left - ranked, 0.0), -1)
