"""Labels of steps and of chains from several imperfect sources: rollouts, verifiers, judges."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.prefs.checks import axes, flags, in_range, known, same_shape


def rollout_value(verdict: jax.Array, mask: jax.Array, outcome: jax.Array) -> jax.Array:
    """Value of a node from a rollout with verdicts on its steps (GroundedPRM, arXiv 2510.14942).

    ``V = (1/N) Σ_{i<N} v_i (N - i) / N + F / N``: early steps weigh more. A value for search, not a step's
    label.

    Args:
      verdict: ``[B, T]``: 1 right, -1 wrong, 0 unknown.
      mask: bool ``[B, T]``: the N steps that there are, first.
      outcome: F ``[B]``: 1 or -1.

    Returns:
      ``[B]``; F itself for a rollout without steps.
    """
    axes("rollout_value", "verdict", verdict, 2, "[B, T]")
    same_shape("rollout_value", verdict=verdict, mask=mask)
    same_shape("rollout_value", outcome=outcome, verdict=verdict[:, 0])
    mask = flags("rollout_value", "mask", mask)
    there = known(mask)
    if there is not None and (there[:, 1:] & ~there[:, :-1]).any():
        raise UsageError("rollout_value: mask has steps behind a gap; expected the steps first")
    count = jnp.maximum(jnp.sum(mask, -1), 1).astype(jnp.float32)
    share = (count[:, None] - jnp.arange(mask.shape[1])) / count[:, None]
    steps = jnp.sum(jnp.where(mask, verdict * share, 0.0), -1) / count
    return jnp.where(jnp.any(mask, -1), steps, 0.0) + outcome / count


def discounted_backup(value: jax.Array, distance: jax.Array, discount: float = 0.9) -> jax.Array:
    """What an ancestor at ``distance`` gets of a node's value: ``0.9^d V`` (arXiv 2510.14942)."""
    return discount**distance * value


def verifier_labels(
    log_right: jax.Array, log_wrong: jax.Array, sure: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """What a verifier that answers in words says of a step (GroundedPRM, arXiv 2510.14942).

    ``p = P(right) / (P(right) + P(wrong))``, of the two words that it may say; the verdict is 1 above 1/2 and
    -1 below. That a verifier may be unsure is ours.

    Args:
      log_right: log-probability of the word for right, ``[...]``.
      log_wrong: of the word for wrong.
      sure: in [0, 1): the verdict is 0, unknown, where ``|2 p - 1|`` is no more.

    Returns:
      ``(p [...], verdict int32 [...] of 1, -1 and 0)``, float32 the former.
    """
    same_shape("verifier_labels", log_right=log_right, log_wrong=log_wrong)
    in_range("verifier_labels", "sure", sure, 0.0, 0.999999)
    p = jax.nn.sigmoid(jnp.asarray(log_right, jnp.float32) - log_wrong)
    lean = 2.0 * p - 1.0
    return p, jnp.where(jnp.abs(lean) > sure, jnp.sign(lean), 0.0).astype(jnp.int32)


def agreeing_paths(score: jax.Array, verdict: jax.Array, mask: jax.Array) -> jax.Array:
    """Which chains to keep: those none of whose scores contradicts what the rationale says of its step.

    GroundedPRM's data rule (arXiv 2510.14942): a chain is dropped if the sign of any score disagrees.

    Args:
      score: of each step, e.g. a search value, ``[B, T]``; 0 contradicts nothing.
      verdict: ``[B, T]``: 1 right, -1 wrong, 0 unknown.
      mask: bool ``[B, T]``.

    Returns:
      Bool ``[B]``.
    """
    axes("agreeing_paths", "score", score, 2, "[B, T]")
    same_shape("agreeing_paths", score=score, verdict=verdict, mask=mask)
    return ~jnp.any(flags("agreeing_paths", "mask", mask) & (score * verdict < 0), -1)


def fuse_labels(
    verdict: jax.Array,
    verifier_error: float | jax.Array,
    before: jax.Array,
    after: jax.Array,
    kappa: float = 1.0,
    eps: float = 0.02,
) -> jax.Array:
    """Log-odds that a step is right, from a verifier and from what rollouts say of it (ours).

    ``logit(1 - e) v + κ (logit MC_t - logit MC_{t-1})``: both sources as evidence per step, where a search
    value mixes them. It finds first errors better than the verifier at every error measured, and than
    rollouts alone while the verifier errs in 10 % or less (``benchmarks/papers/grounded_prm.py``).

    Args:
      verdict: v ``[...]``: 1, -1, or 0 where there is none.
      verifier_error: e, how often the verifier errs, in (0, 0.5].
      before: share of rollouts that succeed before the step, ``[...]``.
      after: after it.
      kappa: weight of the rollouts.
      eps: shares are kept in ``[eps, 1 - eps]``: a few rollouts are never certain.

    Returns:
      ``[...]``; above 0: right.
    """
    same_shape("fuse_labels", verdict=verdict, before=before, after=after)
    in_range("fuse_labels", "verifier_error", verifier_error, 1e-6, 0.5)
    in_range("fuse_labels", "before", before, 0.0, 1.0)
    in_range("fuse_labels", "after", after, 0.0, 1.0)
    logit = lambda p: jax.scipy.special.logit(jnp.clip(p, eps, 1.0 - eps))
    certain = jax.scipy.special.logit(1.0 - jnp.asarray(verifier_error, jnp.float32))
    return certain * verdict + kappa * (logit(after) - logit(before))


def truncate_after_first_error(score: jax.Array, mask: jax.Array) -> jax.Array:
    """Which steps of a failed chain to keep: up to where scores turn non-negative after the first negative
    one.

    After GroundedPRM's data rules (arXiv 2510.14942): beyond an error, "right" steps build on it.

    Args:
      score: ``[B, T]``.
      mask: bool ``[B, T]``.

    Returns:
      Bool ``[B, T]``.
    """
    same_shape("truncate_after_first_error", score=score, mask=mask)
    mask = flags("truncate_after_first_error", "mask", mask)
    wrong = mask & (score < 0)
    erred = jnp.cumsum(wrong, -1) > 0
    recovered = jnp.cumsum(erred & mask & (score >= 0), -1) > 0
    return mask & ~recovered


def step_label_fuse(
    sources: jax.Array, beta: float = 1.0, threshold: float = 0.5
) -> tuple[jax.Array, jax.Array]:
    """Fin-PRM's three sources of a step's label: rollouts, judge, fact check (arXiv 2508.15202; mixture
    ours).

    ``R = Σ_k softmax(β r)_k r_k``: the more a source says yes, the more it counts.

    Args:
      sources: each in [0, 1], ``[..., K]``.
      beta: β; 0 is the mean.
      threshold: of the label.

    Returns:
      ``(label [...] of 0 and 1, R [...])``.
    """
    in_range("step_label_fuse", "sources", sources, 0.0, 1.0)
    fused = jnp.sum(jax.nn.softmax(beta * sources) * sources, -1)
    return (fused > threshold).astype(jnp.float32), fused


def trajectory_label_fuse(
    outcome: jax.Array, coverage: jax.Array, mu: float = 0.5, threshold: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """Fin-PRM's label of a whole chain: ``R = outcome + μ coverage`` (arXiv 2508.15202; numbers ours).

    Args:
      outcome: whether the answer is right, ``[...]``.
      coverage: share of the knowledge that the chain names, in [0, 1], ``[...]``.
      mu: weight of the coverage.
      threshold: of the label.

    Returns:
      ``(label [...] of 0 and 1, R [...])``.
    """
    same_shape("trajectory_label_fuse", outcome=outcome, coverage=coverage)
    total = outcome + mu * coverage
    return (total > threshold).astype(jnp.float32), total
