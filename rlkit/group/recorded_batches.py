"""Batches of recorded rows: which rows an update takes, and what the first policy thought of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.recorded import recorded_batch, recorded_log_prob
from rlkit.group.rows import Recorded, mismatched
from rlkit.group.statistics import mean
from rlkit.group.types import Completions
from rlkit.minibatches import minibatch_indices
from rlkit.types import Key, PyTree

GOOD = "chosen"
"""The reward that says which completions are good, 1 or 0."""

GUIDE = "guide_log_prob"
"""The column of the guide's log-probabilities, for TGDPO."""


class Source(NamedTuple):
    """Where batches come from: the static side."""

    policy: TokenPolicy
    data: Recorded  # arrays on the device, N rows
    train: np.ndarray  # int: rows that are learnt from
    held_out: np.ndarray  # int: rows that are not
    partners: np.ndarray  # int [N]: the row whose completion is mismatched with a row's prompt
    guide: jax.Array | None  # float32 [N, G, T]
    reference: bool  # whether the method compares with the first policy
    mismatched: bool  # whether it reads a divergence from mismatched completions, as KTO does
    size: int  # rows of a batch, on each device
    temperature: float
    axis_name: str | None


class Opinions(NamedTuple):
    """What the first policy thinks of the rows, computed once."""

    rows: jax.Array  # float32 [N, G, T]: of their completions; [0] if nothing needs it
    mismatched: jax.Array  # float32 [N, G, T]: of other rows' completions, for KTO; [0] else


def partners(data: Recorded, *sides: np.ndarray) -> np.ndarray:
    """int [N]: for each row, another one on its side of the split, with another prompt where there is one."""
    found = np.arange(len(data.prompt))
    for side in sides:
        if len(side):
            found[side] = mismatched(data, side)
    return found


def opinions(source: Source, params: PyTree) -> Opinions:
    """Ask the first policy."""
    every = np.arange(len(source.partners))

    def seen(said: np.ndarray) -> jax.Array:
        policy, data = source.policy, source.data
        return recorded_log_prob(policy, params, data, every, said, source.size, source.temperature)

    nothing = jnp.zeros(0)
    return Opinions(
        seen(every) if source.reference else nothing, seen(source.partners) if source.mismatched else nothing
    )


def next_rows(source: Source, order: Key, update: jax.Array) -> tuple[jax.Array, jax.Array]:
    """int32 ``[P]``: the rows of an update, and the passes that will have been made after it.

    Each pass has an order of its own, which all devices know; rows that do not fill a batch wait for another.

    Args:
      source: the rows.
      order: key of all passes.
      update: updates made so far.

    Raises:
      UsageError: (when traced) there are fewer rows than the devices take together.
    """
    count = len(source.train)
    devices = 1 if source.axis_name is None else jax.lax.axis_size(source.axis_name)
    turns = count // (source.size * devices)
    if not turns:
        raise UsageError(
            f"batch={source.size} on each of {devices} devices: {count} rows are left to learn from; give "
            "more rows, or take a smaller batch"
        )
    bits = jax.random.bits(jax.random.fold_in(order, update // turns), (1, count))
    shuffled = minibatch_indices(bits, 1)[0]
    own = 0 if source.axis_name is None else jax.lax.axis_index(source.axis_name) * source.size
    begin = (update % turns) * source.size * devices + own
    chosen = jax.lax.dynamic_slice_in_dim(shuffled, begin, source.size)
    return jnp.asarray(source.train, jnp.int32)[chosen], ((update + 1) / turns).astype(jnp.float32)


def batch_of(source: Source, params: PyTree, first: Opinions, index: jax.Array) -> Completions:
    """Rows ``index [P]`` as a batch; ``params`` are the policy's of now."""
    batch = recorded_batch(source.data, index, first.rows if source.reference else None, GOOD)
    if source.guide is not None:
        batch = batch._replace(extras={GUIDE: source.guide[index]})
    if source.mismatched:
        estimate = divergence(source, params, first, index)
        batch = batch._replace(divergence=jnp.full(index.shape, estimate))
    return batch


def divergence(source: Source, params: PyTree, first: Opinions, index: jax.Array) -> jax.Array:
    """KTO's ``z0`` (2402.01306, eq. 8): mean log-ratio of mismatched prompts and completions, at least 0.

    A prompt keeps its partner, so that the reference need be asked but once.
    """
    said = jnp.asarray(source.partners)[index]
    now = recorded_log_prob(source.policy, params, source.data, index, said, source.size, source.temperature)
    mask = jnp.arange(now.shape[-1]) < jnp.asarray(source.data.size)[said][..., None]
    ratio = jnp.sum(jnp.where(mask, now - first.mismatched[index], 0.0), -1)
    return jax.lax.stop_gradient(jnp.maximum(mean(ratio, source.axis_name), 0.0))
