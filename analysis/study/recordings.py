"""Many recordings: emergence of all in one compiled program, and how much each of them can say."""

import functools
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.moments.dimension import active_units, drift, effective_dimension, effective_sample_size
from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.study.headline import QUANTITIES, Emergence, measure_emergence
from rlkit.analysis.study.shared import Shared, measure_shared
from rlkit.keys import typed_key
from rlkit.parallel import shard_seeds
from rlkit.types import Key


class Quality(NamedTuple):
    """How much recordings can say; arrays of the recordings' leading axes.

    Attributes:
      steps: steps recorded.
      effective_samples: independent samples that the slowest pair of units is worth, see
        :func:`rlkit.analysis.moments.dimension.effective_sample_size`.
      active: units that vary and are no copies.
      effective_dimension: directions in which standardised units vary (participation ratio).
      drifting: units with a trend over the recording, which every null that assumes stationary units takes
        for coupling, see :func:`rlkit.analysis.moments.dimension.drift`.
    """

    steps: jax.Array
    effective_samples: jax.Array
    active: jax.Array
    effective_dimension: jax.Array
    drifting: jax.Array


def measure_recordings(
    z: jax.Array | np.ndarray,
    key: Key,
    *,
    first: jax.Array | np.ndarray | None = None,
    valid: jax.Array | np.ndarray | None = None,
    shared: Shared | None = None,
    **options: Any,
) -> Emergence:
    """:func:`rlkit.analysis.study.headline.measure_emergence` of many recordings in one compiled call.

    Recordings spread over the local devices; on each they run one after the other, so that memory is that
    of one recording. Constant units and copies are left out without a warning.

    Args:
      z: [..., T, n], e.g. seeds and checkpoints in front.
      key: typed PRNG key, of which every recording gets its own; or keys [...].
      first, valid: [..., T] each, optional.
      shared: what this measurement has in common with others of recordings of the same shape: all of them are
        one compiled program, see :mod:`rlkit.analysis.study.shared`. ``null``, ``draws``, ``routes``,
        ``quantities`` and ``keep_draws`` are then the options that there are.
      **options: as for :func:`measure_emergence`.

    Returns:
      The same with leading axes.
    """
    z = as_samples(z)
    if z.ndim < 3:
        raise ValueError(f"z must have shape [..., steps, units] with leading axes, got {z.shape}")
    if "side" in options:
        raise ValueError(
            "side: every recording has its own bipartition; use measure_emergence for a given one"
        )
    lead = z.shape[:-2]
    flat = lambda a: None if a is None else jnp.asarray(a).reshape(-1, *a.shape[len(lead) :])
    keys = typed_key(key, many=jnp.shape(key)[: len(lead)] == lead)
    keys = keys if keys.ndim else jax.random.split(keys, lead)
    items = (keys.reshape(-1), flat(z), flat(first), flat(valid))
    frozen = {k: v if isinstance(v, Hashable) else tuple(v) for k, v in options.items()}
    if shared is not None:
        result = _by_shared(shared, items, **options)
        return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), result)
    result = _program(tuple(sorted(frozen.items())), tuple(jax.local_devices()))(items)
    return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), result)


def _by_shared(
    shared: Shared,
    items: Any,
    *,
    null: str = "own-past",
    draws: int = 100,
    routes: Sequence[str] = ("means", "pairs"),
    quantities: Sequence[str] = QUANTITIES,
    keep_draws: bool = False,
    check: str = "off",
) -> Emergence:
    del check  # recordings are measured as they are
    result = measure_shared(shared, items, null, draws, routes, quantities)
    return result if keep_draws else result._replace(drawn={})


@functools.lru_cache(maxsize=32)
def _program(options: tuple[tuple[str, Any], ...], devices: tuple[jax.Device, ...]) -> Any:
    """The compiled measurement of a stack of recordings; one program for all stacks of one shape."""

    def one(item: Any) -> Emergence:
        key, z, first, valid = item
        return measure_emergence(z, key, first=first, valid=valid, **dict(options))

    return jax.jit(shard_seeds(one, list(devices)))


def recording_quality(
    z: jax.Array | np.ndarray,
    first: jax.Array | np.ndarray | None = None,
    valid: jax.Array | np.ndarray | None = None,
) -> Quality:
    """How much recordings ``[..., T, n]`` can say; arguments as for :func:`measure_recordings`."""
    z = as_samples(z)
    lead = z.shape[:-2]
    flat = lambda a: None if a is None else jnp.asarray(a).reshape(-1, *a.shape[len(lead) :])
    found = _qualities((flat(z), flat(first), flat(valid)))
    return jax.tree.map(lambda leaf: leaf.reshape(lead), found)


@jax.jit
def _qualities(items: Any) -> Quality:
    def one(item: Any) -> Quality:
        z, first, valid = item
        return Quality(
            jnp.int32(z.shape[0]) if valid is None else valid.sum(),
            effective_sample_size(z, first=first, valid=valid),
            active_units(z, valid=valid).sum(),
            effective_dimension(z, valid, standardise=True),
            drift(z, first=first, valid=valid).drifting.sum(),
        )

    return jax.lax.map(one, items)
