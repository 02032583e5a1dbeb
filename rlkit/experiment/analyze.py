"""Emergence of a run's latents over its training, against surrogates: ``latents/`` to ``emergence.json``.

Pairs of steps stay inside episodes, and so do surrogates. Two ways from many units to pairs: the mean over
all pairs of units, and the two halves of the Fiedler bipartition, each reduced to its mean. Beside them the
five baseline metrics, alignment with the reward, and prediction of the final return from early recordings.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlkit.analysis.baselines import Baselines
from rlkit.analysis.life import Life, study_life
from rlkit.analysis.nulls import NullTest
from rlkit.errors import UsageError
from rlkit.experiment import config, outside, store
from rlkit.experiment.logbook import number
from rlkit.types import Key

EMERGENCE, ARRAYS = "emergence.json", "emergence.npz"
VERSION = 2
MEASURES = ("phi_r", "ce3", "ce4")
LEVELS = {"units": "pairs", "halves": "means"}
_KEYS = 0xE3E26E  # keeps the keys of surrogates apart from those of training


def study(latents: dict[int, dict[str, np.ndarray]], returns: np.ndarray, key: Key, draws: int = 100) -> Life:
    """:func:`rlkit.analysis.life.study_life` of recordings by update.

    Args:
      latents: by update: ``latent [S, T, n]``, ``first [S, T]`` and what else the probe recorded, see
        :func:`rlkit.experiment.observe.latent_probe`.
      returns: [S, K] what was achieved at each update.
      key: typed PRNG key of the surrogates.
      draws: surrogates per recording.
    """
    updates = sorted(latents)
    z, first = (np.stack([latents[u][name] for u in updates], 1) for name in ("latent", "first"))
    return study_life(z, returns, key, first=first, draws=draws, routes=tuple(LEVELS.values()))


def read_latents(folder: Path) -> dict[int, dict[str, np.ndarray]]:
    """The recordings of a run by update.

    Raises:
      UsageError: one of them is damaged.
    """
    return {update: store.read_arrays(path) for update, path in store.recordings(folder).items()}


def read_returns(folder: Path, latents: dict[int, dict[str, np.ndarray]]) -> np.ndarray:
    """``[S, K]``: the evaluated return at each recording, or else the recording's own mean reward."""
    logged = {
        line["update"]: line["seeds"]["eval/return"]
        for line in store.read_jsonl(folder / store.METRICS)
        if line["kind"] == "eval" and "eval/return" in line["seeds"]
    }
    if all(update in logged for update in latents):
        return np.array([logged[update] for update in sorted(latents)], np.float64).T
    return np.array([latents[update]["reward"].mean(1) for update in sorted(latents)], np.float64).T


def analyze(folder: str | Path, draws: int = 100, out: str | Path | None = None) -> Path:
    """Measure the latents of a run; write ``emergence.json`` and ``emergence.npz``.

    Args:
      folder: the run folder; it is only read.
      draws: surrogates per recording.
      out: where the files go; None takes the run folder, where reports look for them.

    Returns:
      The path of the JSON file. The same run gives the same content.

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
    returns = read_returns(folder, latents)
    life = study(latents, returns, key, draws)
    per_update = config.build(settings).steps_per_update
    data = {
        "version": VERSION,
        "lag": 1,
        "draws": draws,
        "steps_per_recording": next(iter(latents.values()))["latent"].shape[1],
        "points": points(life, latents, per_update),
        "alignment": _alignment(life),
        "prediction": _prediction(life),
    }
    target = folder if out is None else Path(out)
    with outside.at(target, "write"):
        target.mkdir(parents=True, exist_ok=True)
    store.write_arrays(target / ARRAYS, _arrays(life, returns))
    store.write_json(target / EMERGENCE, data)
    return target / EMERGENCE


def points(life: Life, latents: dict[int, dict[str, np.ndarray]], per_update: int) -> list[dict[str, Any]]:
    """One entry per recorded update.

    ``update``, ``step``, ``active`` (units that vary, by seed), ``reward`` and ``success`` (mean per step of
    the recording, by seed), for ``units`` and ``halves`` every measure with the fields of
    :class:`rlkit.analysis.nulls.NullTest` by seed (nats), and the ``baselines`` by name and seed.
    """
    found = []
    for k, update in enumerate(sorted(latents)):
        recorded = latents[update]
        entry: dict[str, Any] = {"update": int(update), "step": int(update) * per_update}
        entry["active"] = life.active[:, k].tolist()
        entry |= {name: _numbers(recorded[name].mean(1)) for name in ("reward", "success")}
        for level, route in LEVELS.items():
            test = life.tests[route]
            entry[level] = {
                name: {field: _numbers(getattr(test, field)[name][:, k]) for field in NullTest._fields}
                for name in MEASURES
            }
        columns = life.metrics["baselines"][:, k].T
        entry["baselines"] = {
            name: _numbers(row) for name, row in zip(Baselines._fields, columns, strict=True)
        }
        found.append(entry)
    return found


def _numbers(values: np.ndarray) -> list[float | None]:
    return [number(x) for x in np.asarray(values).tolist()]


def _alignment(life: Life) -> dict[str, Any]:
    """By metric: global and local alignment by seed, their nulls, and the plane ``[S', K, 2]``."""
    table = {}
    for name, found in life.alignment.items():
        table[name] = {
            "seeds": life.seeds.tolist(),
            "global": _numbers(found.global_alignment),
            "local": _numbers(found.local_alignment),
            "embedding": [[_numbers(point) for point in run] for run in found.embedding],
            "nulls": {
                kind: {
                    null: {field: number(x) for field, x in row._asdict().items()}
                    for null, row in rows.items()
                }
                for kind, rows in life.null_alignment[name].items()
            },
        }
    return table


def _prediction(life: Life) -> dict[str, Any]:
    """By metric: predicted and true final returns by seed, R² and Spearman's ρ with intervals."""
    return {
        name: {
            "seeds": life.seeds.tolist(),
            "predicted": _numbers(found.predicted),
            "target": _numbers(found.target),
            "r2": number(found.r2),
            "r2_interval": _numbers(found.r2_interval),
            "spearman": number(found.spearman),
            "spearman_interval": _numbers(found.spearman_interval),
        }
        for name, found in life.prediction.items()
    }


def _arrays(life: Life, returns: np.ndarray) -> dict[str, np.ndarray]:
    """Everything measured, ``[S, K]`` and ``[S, K, F]``: names like ``means/phi_r/value``."""
    arrays = {"returns": returns, "active": life.active}
    arrays |= {f"metric/{name}": values for name, values in life.metrics.items()}
    for route, test in life.tests.items():
        for field in NullTest._fields:
            values = getattr(test, field)
            arrays |= {f"{route}/{name}/{field}": value for name, value in values.items()}
    return arrays
