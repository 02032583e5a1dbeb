"""Losses of pairs and of demonstrations, on sequence log-ratios to a reference.

As functions of arrays, and as objectives of groups: there the advantage of a token says how its completion
is judged, +1 for the better of a pair, -1 for the worse one, 0 for others (:func:`rlkit.group.credit.pairs`).
"""

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.group.config import DIVERGENCES

Scalar = float | jax.Array
_LARGEST = 50.0  # of what an exponential is taken


def dpo_loss(margin: jax.Array, label_smoothing: Scalar = 0.0) -> jax.Array:
    """DPO (2305.18290, eq. 7): ``-log sigmoid(z)`` of ``z = beta (D_w - D_l)``.

    Args:
      margin: ``z``, any shape; ``D`` is the sum over a completion of ``log pi - log pi_ref``.
      label_smoothing: chance ``e`` that a label is wrong: ``-(1 - e) log sigmoid(z) - e log sigmoid(-z)``.

    Returns:
      The loss of each pair.
    """
    right, wrong = jax.nn.log_sigmoid(margin), jax.nn.log_sigmoid(-margin)
    return -(1.0 - label_smoothing) * right - label_smoothing * wrong


def ipo_loss(difference: jax.Array, beta: Scalar = 0.1) -> jax.Array:
    """IPO (2310.12036, eq. 17): ``(D_w - D_l - 1 / (2 beta))²``; TRL takes ``D`` per token."""
    return jnp.square(difference - 1.0 / (2.0 * beta))


def hinge_loss(margin: jax.Array) -> jax.Array:
    """SLiC-HF (2305.10425) on ``z = beta (D_w - D_l)``: ``max(0, 1 - z)``."""
    return jax.nn.relu(1.0 - margin)


def kto_loss(
    log_ratio: jax.Array,
    desirable: jax.Array,
    baseline: jax.Array,
    beta: Scalar = 0.1,
    weight: jax.Array | float = 1.0,
) -> jax.Array:
    """KTO (2402.01306, eq. 8): ``w (1 - sigmoid(beta (D - z0)))``, with the other sign if undesirable.

    Args:
      log_ratio: ``D [...]``.
      desirable: bool ``[...]``.
      baseline: ``z0 []``, an estimate of the divergence, at least 0; no gradient flows into it.
      beta: strength.
      weight: ``lambda_D`` or ``lambda_U`` of each completion.

    Returns:
      The loss of each completion.
    """
    gain = log_ratio - jax.lax.stop_gradient(baseline)
    return weight * jax.nn.sigmoid(-beta * jnp.where(desirable, gain, -gain))


def f_sft(margin: jax.Array, divergence: str = "linear") -> jax.Array:
    """The loss of demonstrations from a divergence: ``-phi(u)``, ``u = beta sum_t (log pi - log pi_ref)``.

    The definition is ours, from the abstract of 2507.00018 and the dual form ``max_r min_pi E_demo[phi(r)] -
    E_pi[r] + beta KL`` with ``r = beta log(pi / pi_ref)``: ``"linear"`` (total variation) is supervised
    fine-tuning, the reference is a constant of it; ``"chi2"`` is ``u - u²/4``, which falls again beyond
    ``u = 2``; ``"hellinger"`` ``u / (1 + u)``, continued by its tangent below -0.5; ``"exponential"``
    ``1 - exp(-u)``, continued by its tangent below -5.

    Raises:
      UnknownNameError: there is no such divergence.
    """
    if divergence == "linear":
        return -margin
    if divergence == "chi2":
        return jnp.square(margin) / 4 - margin
    if divergence == "hellinger":
        inside = jnp.maximum(margin, -0.5)
        return -jnp.where(margin > -0.5, inside / (1.0 + inside), -1.0 + 4.0 * (margin + 0.5))
    if divergence == "exponential":
        inside = jnp.maximum(margin, -5.0)
        tangent = 1.0 - jnp.exp(5.0) + jnp.exp(5.0) * (margin + 5.0)
        return -jnp.where(margin > -5.0, 1.0 - jnp.exp(-inside), tangent)
    raise unknown_name("divergence", divergence, DIVERGENCES)


def implicit_reward(
    log_prob: jax.Array, reference: jax.Array, mask: jax.Array, beta: Scalar = 0.1
) -> tuple[jax.Array, jax.Array]:
    """``beta (log pi - log pi_ref)`` of tokens and, summed, of completions (2305.18290, eq. 5)."""
    token = beta * jnp.where(mask > 0, log_prob - reference, 0.0)
    return token, jnp.sum(token, -1)


def soft_values(logits: jax.Array, beta: Scalar = 1.0) -> tuple[jax.Array, jax.Array]:
    """Logits read as soft Q-values: ``V = beta logsumexp(Q / beta)`` and ``Q - V`` (the standard identity).

    Args:
      logits: ``Q [..., V]``.
      beta: temperature.

    Returns:
      ``V [...]`` and the advantages ``[..., V]``; ``softmax(Q / beta) = exp((Q - V) / beta)``.
    """
    value = beta * jax.nn.logsumexp(logits / beta, axis=-1)
    return value, logits - value[..., None]


def token_guidance(
    guide: jax.Array,
    reference: jax.Array,
    chosen: jax.Array,
    alpha: Scalar = 0.5,
    beta: Scalar = 0.1,
    bounds: tuple[float, float] | None = None,
) -> jax.Array:
    """TGDPO's weight of each token's log-ratio (2506.14574): ``1 ± alpha beta (log pi_rm - log pi_ref)``.

    Plus for tokens of the chosen completion, minus for those of the rejected one. Weights become negative
    where ``alpha beta |log-ratio| > 1``; ``bounds`` keeps them inside.

    Args:
      guide: ``log pi_rm [...]`` of a model that was trained on preferences before.
      reference: ``log pi_ref [...]``.
      chosen: bool ``[...]``.
      alpha: 0 gives weights of 1, plain DPO.
      beta: that of the guide's implicit reward.
      bounds: e.g. ``(0.0, 2.0)``; None as published.

    Returns:
      ``[...]``, without gradient.
    """
    reward = jnp.where(chosen, 1.0, -1.0) * (alpha * beta) * (guide - reference)
    weight = 1.0 + reward if bounds is None else jnp.clip(1.0 + reward, *bounds)
    return jax.lax.stop_gradient(weight)


def gap_order_loss(
    better: jax.Array, equal_good: jax.Array, equal_bad: jax.Array, worse: jax.Array
) -> jax.Array:
    """PIT's loss of a model of quality gaps (2310.00898): five ordered pairs of gaps.

    With ``g(a | b)`` the predicted gap of an answer ``a`` over a reference ``b``: ``g(w|l)`` is above
    ``g(w|w)``, ``g(l|l)`` and ``g(l|w)``, and these two equal ones are above ``g(l|w)``.

    Args:
      better: ``g(w|l) [...]``.
      equal_good: ``g(w|w) [...]``.
      equal_bad: ``g(l|l) [...]``.
      worse: ``g(l|w) [...]``.

    Returns:
      The loss ``[...]``: minus the sum of the log-sigmoids of five differences.
    """
    above = (better - equal_good, better - equal_bad, better - worse, equal_good - worse, equal_bad - worse)
    return -sum((jax.nn.log_sigmoid(gap) for gap in above), jnp.zeros(()))
