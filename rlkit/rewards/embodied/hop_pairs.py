"""Demonstrations, their step-aware progress, and balanced pairs of frames to learn hops from (2512.23703)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, check_count
from rlkit.rewards.embodied.progress import hop
from rlkit.types import Key, Trajectory


class Demonstrations(NamedTuple):
    """``N`` successful episodes of at most ``T`` frames."""

    obs: jax.Array  # [N, T, ...]
    progress: jax.Array  # float32 [N, T]: in [0, 1]
    length: jax.Array  # int32 [N]: frames that count


class Pairs(NamedTuple):
    """Pairs of frames of one demonstration each; leaves ``[P]``."""

    demonstration: jax.Array  # int32
    before: jax.Array  # int32: frame
    after: jax.Array  # int32: frame
    hop: jax.Array  # float32: the label


def step_aware_progress(boundaries: Sequence[int], length: int, done: int = 0) -> np.ndarray:
    """Progress of each frame, every sub-task counting the same however long it takes; float32 ``[length]``.

    Args:
      boundaries: the frames in which sub-tasks end, ascending, the last one ``length - 1``.
      length: frames of the demonstration.
      done: sub-tasks that were done before it.

    Raises:
      UsageError: the boundaries do not ascend to the last frame.
    """
    ends = [0, *boundaries]
    if len(ends) < 2 or ends[-1] != length - 1 or min(np.diff(ends)) < 1:
        raise UsageError(
            f"boundaries={tuple(boundaries)}: expected ascending frames after 0, the last {length - 1}"
        )
    levels = np.linspace(done / (done + len(boundaries)), 1, len(ends))
    return np.interp(np.arange(length), ends, levels).astype(np.float32)


def demonstrations(
    trajectory: Trajectory, stages: Sequence[str] = (), takeover: Any = None
) -> Demonstrations:
    """Successful episodes of a trajectory ``[T, B]``, their frames from the first observation to success.

    Args:
      trajectory: experience, e.g. of an expert in an environment of ours, longer than its episodes.
      stages: names of bool features that turn on when a sub-task is done, in any order; progress then counts
        every sub-task the same, the last being success. None: progress is the share of the episode's time.
      takeover: bool ``[T, B]``, steps in which an expert takes over from somebody who went astray (a person
        who intervenes, in the paper). A demonstration begins with the last of them in its episode, at the
        progress of the sub-tasks that were done before; so a model also sees where beginners come to.

    Raises:
      UsageError: no episode is whole and successful, a stage is no feature of the trajectory, or
        ``takeover`` has another shape.
    """
    t: Any = jax.tree.map(np.asarray, trajectory.transition)
    found = []
    over = np.zeros(t.first.shape, bool) if takeover is None else np.asarray(takeover).astype(bool)
    if over.shape != t.first.shape:
        raise UsageError(f"takeover has shape {over.shape}; expected {t.first.shape}, one entry a step")
    for name in stages:
        if name not in t.next_features:
            raise UsageError(f"stage {name!r} is no feature of the trajectory: {sorted(t.next_features)}")
    for b in range(t.reward.shape[1]):
        begin = None
        for k in range(t.reward.shape[0]):
            begin = k if t.first[k, b] or (over[k, b] and begin is not None) else begin
            if begin is not None and t.success[k, b]:
                frames = np.concatenate([t.obs[begin : k + 1, b], t.next_obs[k : k + 1, b]])
                ends, done = {k - begin + 1}, 0
                for name in stages:
                    on = np.flatnonzero(t.next_features[name][begin : k + 1, b])
                    before = bool(over[begin, b] and t.features[name][begin, b])
                    done += before
                    ends |= {int(on[0]) + 1} if on.size and not before else set()
                found.append((frames, step_aware_progress(sorted(ends), len(frames), done)))
            if t.success[k, b] or t.terminated[k, b] or t.truncated[k, b]:
                begin = None
    if not found:
        raise UsageError(
            "no episode of the trajectory is whole and successful: take a better policy, or more steps"
        )
    longest = max(len(frames) for frames, _ in found)
    # Frames after the end repeat the last one.
    pad = lambda x: np.concatenate([x, np.repeat(x[-1:], longest - len(x), 0)])
    return Demonstrations(
        jnp.asarray(np.stack([pad(frames) for frames, _ in found])),
        jnp.asarray(np.stack([pad(progress) for _, progress in found]), jnp.float32),
        jnp.asarray([len(frames) for frames, _ in found], jnp.int32),
    )


def balanced_pairs(
    key: Key,
    demos: Demonstrations,
    count: int,
    *,
    hop_bins: int = 25,
    gap_bins: int = 4,
    oversample: int = 20,
    still: float = 0.05,
) -> Pairs:
    """Draw pairs whose hops and distances in time are spread evenly.

    From ``oversample`` times as many random pairs, equal numbers are taken of every bin of hop and gap as far
    as they reach; what is missing is filled from the bins of smallest hops. The definition is the paper's but
    for its order of filling, and for ``still`` pairs, which are a frame with itself.

    Args:
      key: typed PRNG key.
      demos: the demonstrations.
      count: pairs.
      hop_bins: bins on [-1, 1].
      gap_bins: bins of distance in time, relative to the demonstration's length.
      oversample: candidates per pair.
      still: share of pairs without any change.
    """
    count = check_count("count", count)
    which, one, two, tie = jax.random.split(key, 4)
    pool = count * oversample
    demo = jax.random.randint(which, (pool,), 0, demos.length.shape[0])
    frames = demos.length[demo]
    pick = lambda key: jnp.floor(jax.random.uniform(key, (pool,)) * frames).astype(jnp.int32)
    before, after = pick(one), pick(two)
    label = hop(demos.progress[demo, before], demos.progress[demo, after])
    far = jnp.abs(after - before) / jnp.maximum(frames - 1, 1)
    column = jnp.clip(((label + 1) / 2 * hop_bins).astype(jnp.int32), 0, hop_bins - 1)
    row = jnp.clip((far * gap_bins).astype(jnp.int32), 0, gap_bins - 1)
    cell = column * gap_bins + row
    # The n-th of every cell comes before any n+1-th; small hops first among equals.
    shuffled = jnp.argsort(jax.random.uniform(tie, (pool,)))
    order = shuffled[jnp.argsort(cell[shuffled], stable=True)]
    sorted_cell = cell[order]
    start = jnp.searchsorted(sorted_cell, sorted_cell, side="left")
    nth = jnp.arange(pool) - start
    rank = jnp.zeros(pool, jnp.int32).at[order].set(nth)
    chosen = jnp.lexsort((jnp.abs(column - hop_bins // 2), rank))[:count]
    quiet = jnp.arange(count) < round(still * count)
    after = jnp.where(quiet, before[chosen], after[chosen])
    return Pairs(demo[chosen], before[chosen], after, jnp.where(quiet, 0.0, label[chosen]))
