"""A replay buffer: the last steps of ``B`` environments in a ring, packed, drawn from in O(batch).

Rows stay in the order of time within each environment, so that a draw can be a stretch of ``n`` steps and the
whole buffer can be paid anew under another reward. The buffer is one array per dtype, which updates in place
when its state is donated.
"""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.packing import PackedTree, packing
from rlkit.types import PyTree


class Replay(NamedTuple):
    """The last ``capacity`` steps of ``B`` environments."""

    stored: PackedTree  # rows [capacity, B, size] per dtype
    cursor: jax.Array  # int32 []: the row that is written next
    filled: jax.Array  # int32 []: rows that hold experience

    @property
    def capacity(self) -> int:
        """Rows of time."""
        return next(iter(self.stored.rows.values())).shape[0]

    @property
    def num_envs(self) -> int:
        """``B``."""
        return next(iter(self.stored.rows.values())).shape[1]


def replay_bytes(example: PyTree, transitions: int) -> int:
    """Bytes that a buffer of so many rows like ``example`` (leaves ``[...]`` of one row) takes."""
    layout = packing(example)
    rows = jax.eval_shape(layout.pack, example)
    return transitions * sum(row.size * row.dtype.itemsize for row in rows.values())


def empty_replay(example: PyTree, transitions: int, num_envs: int, num_steps: int = 1) -> Replay:
    """A buffer without experience.

    Args:
      example: one row: arrays or ``jax.ShapeDtypeStruct`` ``[...]``, e.g. a transition.
      transitions: rows that it shall hold at least; rounded up to whole rollouts.
      num_envs: ``B``.
      num_steps: steps that are added at a time.

    Raises:
      UsageError: no room for one rollout, or more bytes than the device (on a CPU, the machine) has.
    """
    block = num_envs * num_steps
    if transitions < block:
        raise UsageError(
            f"a buffer of {transitions} transitions: expected at least {block}, one rollout of "
            f"{num_steps} steps of {num_envs} environments"
        )
    capacity = -(-transitions // block) * num_steps
    need, have = replay_bytes(example, capacity * num_envs), _memory()
    if have and need > have:
        raise UsageError(
            f"a buffer of {capacity * num_envs} transitions takes {need / 1e9:.1f} GB, and there are "
            f"{have / 1e9:.1f} GB; ask for at most {int(transitions * have / need)} transitions"
        )
    layout = packing(example)
    rows = jax.eval_shape(layout.pack, example)
    empty = {name: jnp.zeros((capacity, num_envs, *row.shape), row.dtype) for name, row in rows.items()}
    return Replay(PackedTree(empty, layout), jnp.int32(0), jnp.int32(0))


def _memory() -> int:
    """Bytes of memory of the default device, 0 if unknown."""
    device = jax.devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats:
        return int(stats.get("bytes_limit", 0))
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def add_steps(replay: Replay, rows: PyTree) -> Replay:
    """Store the next steps of all environments over the oldest ones.

    Args:
      replay: the buffer.
      rows: leaves ``[T, B, ...]`` in the order of time; ``T`` divides the capacity.

    Raises:
      UsageError: ``T`` does not divide the capacity.
    """
    packed = replay.stored.layout.pack(rows)
    (steps,) = {leaf.shape[0] for leaf in packed.values()}
    if replay.capacity % steps:
        raise UsageError(
            f"{steps} steps for a buffer of {replay.capacity}: expected a divisor; make it with "
            f"empty_replay(..., num_steps={steps})"
        )
    put = lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, replay.cursor, 0)
    stored = {name: put(old, packed[name]) for name, old in replay.stored.rows.items()}
    return Replay(
        PackedTree(stored, replay.stored.layout),
        (replay.cursor + steps) % replay.capacity,
        jnp.minimum(replay.filled + steps, replay.capacity),
    )


def draw_windows(replay: Replay, bits: jax.Array, length: int = 1) -> PyTree:
    """Stretches of ``length`` steps, uniformly from all that are stored, with replacement.

    A stretch may run over the end of an episode: its ``first`` or ``done`` flags say so. The cost is that of
    the rows drawn, whatever the capacity.

    Args:
      replay: a buffer with at least ``length`` steps of experience (else rows of zeros come out).
      bits: random uint32 ``[N]``. The remainder of a division makes a draw of ``m`` rows uneven by
        ``m / 2**32`` at most.
      length: ``n``.

    Returns:
      Rows with leaves ``[n, N, ...]``, time leading.
    """
    starts = jnp.maximum(replay.filled - (length - 1), 1)
    index = (bits % (starts * replay.num_envs).astype(bits.dtype)).astype(jnp.int32)
    slot = index % replay.num_envs
    oldest = replay.cursor - replay.filled  # negative: the remainder below has the sign of the divisor
    time = oldest + index // replay.num_envs + jnp.arange(length, dtype=jnp.int32)[:, None]
    time = time % replay.capacity
    rows = {name: leaf[time, slot] for name, leaf in replay.stored.rows.items()}
    return replay.stored.layout.unpack(rows)


def stored_steps(replay: Replay) -> PyTree:
    """All rows, oldest first, leaves ``[capacity, B, ...]``; those not yet filled come last.

    Change them and give them back to :func:`replace_steps`, as :func:`rlkit.rewards.relabel_replay` does.
    """
    oldest = (replay.cursor - replay.filled) % replay.capacity
    return jax.tree.map(lambda x: jnp.roll(x, -oldest, 0), replay.stored.tree)


def replace_steps(replay: Replay, rows: PyTree) -> Replay:
    """The buffer with other rows, in the order and shape of :func:`stored_steps`."""
    oldest = (replay.cursor - replay.filled) % replay.capacity
    packed = replay.stored.layout.pack(jax.tree.map(lambda x: jnp.roll(x, oldest, 0), rows))
    return replay._replace(stored=PackedTree(packed, replay.stored.layout))
