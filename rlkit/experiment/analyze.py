"""Emergence of a run's latents over its training, against surrogates: ``latents/`` to ``emergence.json``.

Each recording is measured as the stream it is, pairs across the end of an episode included: then a
phase-randomised surrogate has exactly its autocorrelation, which is what emergence measures confuse with
integration. Two ways from many units to pairs: the mean over all pairs of units, and the two halves of the
Fiedler bipartition, each reduced to its mean.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis import all_pairs_atoms, lagged_moments, pair_atoms
from rlkit.analysis.halves import half_means
from rlkit.analysis.moments import alive, correlation, covariance
from rlkit.analysis.nulls import NullTest, against_null, phase_randomised
from rlkit.analysis.partitions import fiedler_bipartition, information_graph
from rlkit.errors import UsageError
from rlkit.experiment import config, store
from rlkit.experiment.logbook import number
from rlkit.parallel import seed_keys, shard_seeds
from rlkit.types import Key

EMERGENCE = "emergence.json"
VERSION = 1
MEASURES = ("phi_r", "ce3", "ce4")
LEVELS = ("units", "halves")
_KEYS = 0xE3E26E  # keeps the keys of surrogates apart from those of training


def living_units(z: jax.Array) -> jax.Array:
    """bool [n]: the units of a recording ``[T, n]`` that are not constant."""
    living = alive(lagged_moments(z))
    return living[: z.shape[1]] & living[z.shape[1] :]


def all_pairs_measures(z: jax.Array, active: jax.Array) -> dict[str, jax.Array]:
    """Φ_R, CE3 and CE4 of a recording ``[T, n]``, nats, each the mean over all pairs of ``active`` units."""
    atoms = all_pairs_atoms(lagged_moments(z))
    pairs = active[:, None] & active[None, :] & ~jnp.eye(z.shape[1], dtype=bool)
    count = jnp.maximum(pairs.sum(), 1)
    return {name: jnp.where(pairs, atoms[name], 0).sum() / count for name in MEASURES}


def two_halves(z: jax.Array) -> jax.Array:
    """The mean series ``[T, 2]`` of the halves of the Fiedler bipartition of a recording ``[T, n]``.

    The graph is the Gaussian information between units at lag 1 (arXiv 2605.06746); units are
    standardised first and constant ones left out.
    """
    moments, n = lagged_moments(z), z.shape[1]
    active = living_units(z)
    side = fiedler_bipartition(information_graph(correlation(moments)[:n, n:]), active)
    deviation = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance(moments))[:n], 0))
    standard = (z - z.mean(0)) / jnp.where(active, deviation, 1)
    return half_means(standard, side, active)


def _tests(draws: int):
    def units(key: Key, z: jax.Array) -> NullTest:
        active = living_units(z)
        return against_null(lambda s: all_pairs_measures(s, active), phase_randomised, key, z, draws)

    def halves(key: Key, z: jax.Array) -> NullTest:
        def statistic(s: jax.Array) -> dict[str, jax.Array]:
            atoms = pair_atoms(lagged_moments(s))
            return {name: atoms[name] for name in MEASURES}

        return against_null(statistic, phase_randomised, key, z, draws)

    def both(item: tuple[Key, jax.Array, jax.Array]) -> dict[str, NullTest]:
        key, z, macro = item
        keys = jax.random.split(key)
        return {"units": units(keys[0], z), "halves": halves(keys[1], macro)}

    return jax.jit(shard_seeds(both))


def _table(test: NullTest) -> dict[str, dict[str, list[float | None]]]:
    """measure -> field -> one number per seed; z is null where there is no null distribution."""
    return {
        name: {
            field: [number(x) for x in np.asarray(getattr(test, field)[name])] for field in NullTest._fields
        }
        for name in MEASURES
    }


def emergence(latents: dict[int, dict[str, np.ndarray]], key: Key, draws: int = 100) -> list[dict[str, Any]]:
    """Measure recordings of latents.

    Args:
      latents: by update: ``latent [S, T, n]`` and what else the probe recorded, see
        :func:`rlkit.experiment.observe.latent_probe`.
      key: typed PRNG key of the surrogates; the recording of seed k at update u uses
        ``fold_in(fold_in(key, u), k)``.
      draws: surrogates per recording.

    Returns:
      One entry per update: ``update``, ``active`` (units that vary, by seed), ``reward`` and ``success``
      (mean per step of the recording, by seed) and, for ``units`` and ``halves``, every measure with
      ``value``, the surrogates' ``mean`` and ``sd``, ``z`` and ``p`` by seed; nats.
    """
    test, cut, living = _tests(draws), jax.jit(two_halves), jax.jit(jax.vmap(living_units))
    points = []
    for update, recorded in sorted(latents.items()):
        z = np.asarray(recorded["latent"], np.float32)
        # One recording at a time: several eigendecompositions in one program can block each other on a CPU.
        macro = np.stack([np.asarray(cut(one)) for one in z])
        keys = seed_keys(jax.random.fold_in(key, update), z.shape[0])
        measured = test((keys, z, np.nan_to_num(macro)))
        points.append(
            {"update": int(update), "active": np.asarray(living(z)).sum(1).tolist()}
            | {name: [number(x) for x in recorded[name].mean(1)] for name in ("reward", "success")}
            | {level: _table(measured[level]) for level in LEVELS}
        )
    return points


def read_latents(folder: Path) -> dict[int, dict[str, np.ndarray]]:
    """The recordings of a run by update.

    Raises:
      UsageError: one of them is damaged.
    """
    found = {}
    for path in sorted((folder / store.LATENTS).glob("*.npz")):
        try:
            with np.load(path) as arrays:
                found[int(path.stem)] = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(
                f"the recording {path} is damaged ({error}); delete it or repeat the run"
            ) from None
    return found


def analyze(folder: str | Path, draws: int = 100) -> Path:
    """Measure the latents of a run and write ``emergence.json`` into its folder.

    Args:
      folder: the run folder.
      draws: surrogates per recording.

    Returns:
      The path of the file. The same run gives the same content.

    Raises:
      UsageError: not a run folder, or it has no recordings.
    """
    folder = store.existing(folder)
    settings = config.load(folder / store.CONFIG)
    latents = read_latents(folder)
    if not latents:
        raise UsageError(
            f"{folder} has no recorded latents; train with --probes and --probe-steps greater than 0"
        )
    key = jax.random.fold_in(jax.random.key(settings.seed), _KEYS)
    points = emergence(latents, key, draws)
    per_update = config.build(settings).steps_per_update
    for point in points:
        point["step"] = point["update"] * per_update
    steps = next(iter(latents.values()))["latent"].shape[1]
    data = {"version": VERSION, "lag": 1, "draws": draws, "steps_per_recording": steps, "points": points}
    store.write_json(folder / EMERGENCE, data)
    return folder / EMERGENCE
