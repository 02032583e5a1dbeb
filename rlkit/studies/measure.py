"""What is measured of a cell: its latents over the whole training life, by two protocols, as ``study.npz``.

Every number is a mean over steps, so that a longer recording gives another estimate and not a larger number.
Every checkpoint is measured by itself: an early one knows nothing of what came later.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.moments.copula import rank_normal
from rlkit.analysis.study.alignment import random_projection_metrics
from rlkit.analysis.study.life import baselines_over
from rlkit.analysis.study.recordings import measure_recordings
from rlkit.analysis.study.shared import Shared
from rlkit.errors import RlkitError
from rlkit.experiment.reports.analyze import read_latents, read_returns
from rlkit.experiment.runs import store
from rlkit.experiment.training import loading
from rlkit.studies.matched import Checkpoints, Replayed, reference_observations, replayed
from rlkit.studies.representation import of_latents
from rlkit.studies.study import Measuring
from rlkit.types import Key

MEASURED = "study.npz"
STATISTICS = ("phi_r", "ce3", "ce4", "sts", "causation")
"""Φ_R, CE3, CE4, causal decoupling sts, and downward causation stx + sty, in this order."""
LEVELS = {"pairs": "pairs", "halves": "means"}
BASELINES = ("entropy", "mutual_information", "autocorrelation", "effective_dimension", "magnitude")
_QUANTITIES = ("phi_r", "ce3", "ce4", "decoupling")
_KEYS = 0x57D1
_PROJECTIONS = 200


class Recorded(NamedTuple):
    """Recordings of a training life: ``latent [S, K, T, n]``, ``first [S, K, T]``."""

    latent: np.ndarray
    first: np.ndarray


OF = "of"
"""Array of ``study.npz`` that says what was measured: :func:`made_of`."""


def made_of(folder: Path, how: Measuring) -> str:
    """A digest of a run's configuration and of how it is measured."""
    said = {"config": store.read_json(folder / store.CONFIG), "measuring": asdict(how)}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def measure(folder: str | Path, options: dict[str, Any]) -> Path:
    """Measure a finished run of a study.

    Args:
      folder: the run folder; ``study.npz`` is written there.
      options: the fields of :class:`rlkit.studies.study.Measuring`.

    Returns:
      The path of the file. The same run gives the same numbers.

    Raises:
      RlkitError: the run has no recordings, or no checkpoints at them.
    """
    folder, how = Path(folder), Measuring(**options)
    latents = read_latents(folder)
    if not latents:
        raise RlkitError(f"{folder} has no recorded latents; a study trains with --probes and --probe-steps")
    if damage := loading.damage(folder):
        more = f" (and {len(damage) - 1} more)" if damage[1:] else ""
        raise RlkitError(f"{damage[0]}{more}: a damaged run is not measured; restore it, or train it anew")
    run = Checkpoints(folder)
    seeds = run.settings.seeds - how.reference
    returns = read_returns(store.read_jsonl(folder / store.METRICS), latents)[:seeds]
    keys = jax.random.split(jax.random.fold_in(run.key, _KEYS), 4)
    own = Recorded(*(np.stack([latents[u][n][:seeds] for u in run.updates], 1) for n in ("latent", "first")))
    rows = range(seeds, run.settings.seeds)
    obs, first = reference_observations(run, rows, how.replay_steps, keys[0])
    shown = replayed(run, seeds, obs, first, keys[1])
    matched = Recorded(shown.latent, np.broadcast_to(shown.first, shown.latent.shape[:3]))
    steps = np.asarray(run.updates) * run.agent.steps_per_update
    arrays: dict[str, np.ndarray] = {"returns": returns, "steps": steps}
    for name, recorded, key in (("own", own, keys[2]), ("matched", matched, keys[3])):
        found = statistics(recorded, key, how.draws)
        found["representation"] = representation(recorded, shown)
        arrays |= {f"{name}/{part}": value for part, value in found.items()}
    arrays["not_normal"] = not_normal(own.latent[:, -1])
    arrays[OF] = np.array(made_of(folder, how))
    store.write_arrays(folder / MEASURED, arrays)
    return folder / MEASURED


def statistics(recorded: Recorded, key: Key, draws: int) -> dict[str, np.ndarray]:
    """Every statistic of recordings, and its nulls.

    Args:
      recorded: the recordings.
      key: typed PRNG key of surrogates and projections.
      draws: surrogates of each recording.

    Returns:
      By level (``"pairs"``, ``"halves"``) ``value`` and ``beyond null`` ``[S, K, 5]`` in the order of
      :data:`STATISTICS`; of the halves also ``drawn`` and ``shuffled`` ``[B, S, K, 5]``, of surrogates with
      the same memory and without any; ``undefined`` ``[S, K]``, pairs of units without a number, which means
      over pairs leave out; ``projections`` ``[200, S, K, 5]``; ``baselines`` ``[S, K, 5]``.
    """
    keys = jax.random.split(key, 3)
    routes = tuple(LEVELS.values())
    options: dict[str, Any] = {
        "first": recorded.first, "shared": Shared(routes, draws, _QUANTITIES), "quantities": _QUANTITIES,
        "draws": draws, "keep_draws": True,
    }  # fmt: skip
    measured = measure_recordings(recorded.latent, keys[0], routes=routes, **options)
    shuffled = measure_recordings(recorded.latent, keys[1], routes=("means",), null="shuffle", **options)
    found = {}
    for level, route in LEVELS.items():
        found[f"{level}/value"] = _five(measured[route].value)
        found[f"{level}/beyond null"] = _five(measured[route].excess)
    found["undefined"] = np.asarray(measured.undefined)
    found["halves/drawn"] = np.moveaxis(_five(measured.drawn["means"][0]), -2, 0)
    found["halves/shuffled"] = np.moveaxis(_five(shuffled.drawn["means"][0]), -2, 0)
    projected = random_projection_metrics(
        keys[2], jnp.asarray(recorded.latent), len(STATISTICS), _PROJECTIONS
    )
    found["projections"] = np.asarray(projected, np.float32)
    plain = baselines_over(jnp.asarray(recorded.latent), jnp.asarray(recorded.first))
    found["baselines"] = np.stack([plain[name] for name in BASELINES], -1).astype(np.float64)
    return found


def _five(values: Any) -> np.ndarray:
    """The statistics ``[..., 5]`` from the measured quantities: stx + sty is CE3 less sts."""
    known = {name: np.asarray(values[name], np.float64) for name in _QUANTITIES}
    sts = known["decoupling"]
    return np.stack([known["phi_r"], known["ce3"], known["ce4"], sts, known["ce3"] - sts], -1)


def representation(recorded: Recorded, shown: Replayed) -> np.ndarray:
    """``[S, K, 4]`` in the order of :data:`rlkit.studies.representation.NAMES`; entropy is of the same
    observations in both protocols."""
    rank, dead = of_latents(recorded.latent)
    return np.stack([rank, dead, shown.entropy, shown.norm], -1).astype(np.float64)


def not_normal(latents: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """Share of units ``[S]`` of latents ``[S, T, n]`` that are not normal after the rank transform.

    By the omnibus test of D'Agostino and Pearson (1973). A continuous unit is normal by construction: what is
    left are ties, e.g. the zeros of rectified units. Constant units count as not normal.
    """
    from scipy.stats import normaltest

    units = np.asarray(jax.vmap(rank_normal)(jnp.asarray(latents)), np.float64)
    varies = units.std(1) > 1e-9
    with np.errstate(all="ignore"):
        p = np.asarray(normaltest(units, axis=1).pvalue)
    return np.mean(~varies | ~(p > alpha), axis=-1)
