"""Causal emergence 2.0: what every scale of a Markov chain adds to its causation (arXiv 2503.13395)."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr

from rlkit.analysis.atoms.lattice import unit_scale
from rlkit.analysis.macro.markov import check_tpm, coarse_grain
from rlkit.products import matmul


class CausalPath(NamedTuple):
    """Causal contributions along a path of scales from micro to macro.

    Attributes:
      labels: int ``[L+1, N]``, the macro state of every micro state at every scale, the micro scale first.
      sizes: int ``[L+1]``, number of states of every scale.
      cp: ``[L+1]``, causal primitive score of every scale.
      gains: ``[L]``, ΔCP of every step.
      emergence: CP of the best scale minus CP of the micro scale.
      complexity: emergent complexity of the gains, bits (``emergent_complexity``).
      inconsistency: ``[L+1]``, ``dynamical_inconsistency`` of every scale; a scale with a value that is not
        near 0 does not describe the same dynamics, and its CP should not be counted.
    """

    labels: np.ndarray
    sizes: np.ndarray
    cp: np.ndarray
    gains: np.ndarray
    emergence: float
    complexity: float
    inconsistency: np.ndarray


def causal_path(tpm: jax.Array, partitions: Sequence[Sequence[int]], horizon: int = 5) -> CausalPath:
    """Causal contributions of given scales, each a coarse-graining of the one before (on the host).

    Args:
      tpm: ``[N, N]``, concrete.
      partitions: int ``[L, N]``, the group of every micro state, scale by scale (micro excluded).
      horizon: steps of the consistency check.

    Raises:
      ValueError: if a partition does not merge groups of the one before it.
    """
    tpm = check_tpm(tpm)
    labels = [np.arange(tpm.shape[0])]
    for level, partition in enumerate(partitions):
        _, groups = np.unique(np.asarray(partition), return_inverse=True)
        merged = {(fine, coarse) for fine, coarse in zip(labels[-1], groups, strict=True)}
        if len(merged) != len(np.unique(labels[-1])) or groups.max() >= labels[-1].max():
            raise ValueError(
                f"partitions[{level}] = {list(partition)} does not merge groups of the scale before it, "
                f"{labels[-1].tolist()}; each scale must be a strict coarse-graining of the one before"
            )
        labels.append(groups)
    return _measure_path(tpm, labels, horizon)


def greedy_causal_path(tpm: jax.Array, horizon: int = 5) -> CausalPath:
    """A path from micro to two states that merges, at each step, the two groups that leave the highest CP.

    Greedy and therefore not optimal (ours); cubic in the number of states, meant for N up to about 50.
    """
    tpm = check_tpm(tpm)
    matrix = np.asarray(tpm, dtype=np.float64)
    labels = [np.arange(len(matrix))]
    while labels[-1].max() > 1:
        groups = labels[-1]
        pairs = [(i, j) for j in range(groups.max() + 1) for i in range(j)]
        candidates = [np.where(groups == j, i, groups - (groups > j)) for i, j in pairs]
        labels.append(candidates[int(np.argmax([_numpy_cp(matrix, groups) for groups in candidates]))])
    return _measure_path(tpm, labels, horizon)


def emergent_complexity(gains: jax.Array, *, normalize: bool = False) -> jax.Array:
    """How widely causal gains are spread over the scales: EC = -Σ p_i log2 p_i, p_i = ΔCP_i / Σ ΔCP.

    Hoel 2025 (arXiv 2503.13395). That losses (ΔCP < 0) are left out and that EC is 0 without a gain is ours.

    Args:
      gains: ``[L]``, ΔCP of every step of a path.
      normalize: divide by log2 L, the largest possible value.

    Returns:
      Scalar, bits (or in [0, 1]).
    """
    gains = jnp.maximum(jnp.asarray(gains), 0.0)
    total = gains.sum()
    share = gains / jnp.where(total > 0, total, 1.0)
    bits = entr(share).sum() * unit_scale("bits")
    if normalize:
        bits = bits / (np.log2(gains.shape[0]) if gains.shape[0] > 1 else 1.0)
    return bits


def dynamical_inconsistency(tpm: jax.Array, labels: jax.Array, num_macro: int, horizon: int = 5) -> jax.Array:
    """How far a macro chain departs from the micro chain seen through the same grouping, nats.

    Mean over starting states and over ``horizon`` steps of KL(grouped micro walk || macro walk): 0 for a
    lumpable grouping. CE 2.0 asks for such a check of scales; averaging instead of adding is ours.

    Args:
      tpm: ``[N, N]``.
      labels: int ``[N]``, group of every state.
      num_macro: number of groups, static.
      horizon: number of steps, static.
    """
    tpm = check_tpm(tpm)
    macro = coarse_grain(tpm, labels, num_macro)
    member = jax.nn.one_hot(jnp.asarray(labels), num_macro, dtype=tpm.dtype)

    def step(state, _):
        micro_walk, macro_walk = matmul(state[0], tpm), matmul(state[1], macro)
        seen = matmul(micro_walk, member)
        ratio = jnp.where(seen > 0, seen, 1.0) / jnp.where(seen > 0, macro_walk, 1.0)
        return (micro_walk, macro_walk), jnp.sum(seen * jnp.log(ratio), axis=1).mean()

    start = (jnp.eye(tpm.shape[0], dtype=tpm.dtype), member)
    _, divergence = jax.lax.scan(step, start, length=horizon)
    return jnp.maximum(divergence.mean(), 0.0)


def _numpy_cp(tpm: np.ndarray, groups: np.ndarray) -> float:
    size = groups.max() + 1
    member = np.eye(size)[groups]
    macro = member.T @ tpm @ member / member.sum(axis=0)[:, None]
    entropy = lambda rows: -np.sum(rows * np.log(np.where(rows > 0, rows, 1.0)), axis=-1)
    return float((entropy(macro.mean(axis=0)) - entropy(macro).mean()) / np.log(max(size, 2)))


def _measure_path(tpm: jax.Array, labels: Sequence[np.ndarray], horizon: int) -> CausalPath:
    matrix = np.asarray(tpm, dtype=np.float64)
    cp = np.array([_numpy_cp(matrix, groups) for groups in labels])
    sizes = np.array([groups.max() + 1 for groups in labels])
    gap = [
        float(dynamical_inconsistency(tpm, jnp.asarray(g), int(size), horizon))
        for g, size in zip(labels, sizes, strict=True)
    ]
    gains = np.diff(cp)
    return CausalPath(
        labels=np.stack(labels),
        sizes=sizes,
        cp=cp,
        gains=gains,
        emergence=float(cp.max() - cp[0]),
        complexity=float(emergent_complexity(jnp.asarray(gains))) if len(gains) else 0.0,
        inconsistency=np.array(gap),
    )
