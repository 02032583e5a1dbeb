"""Emergence of a run's latents over its training, against surrogates: ``latents/`` to ``emergence.json``.

Pairs of steps stay inside episodes, and so do surrogates. Two ways from many units to pairs: ``units``, the
mean over all pairs of units, and ``halves``, the two halves of the Fiedler bipartition, each reduced to its
mean.
Beside them the five baseline metrics, alignment with the reward, prediction of the final return from early
recordings, and the comparison with networks that have learnt nothing. All amounts are nats per step.

Members of a sweep are other settings, so each is measured by itself: nothing is averaged over them.

``emergence.json`` (version 4); a list "by seed" has an entry for each seed of the member, null if undefined::

    version, lag, steps_per_recording
    components      leading principal components that were measured instead of units; null: the units
    null            {name, hypothesis}: what surrogates obey, one sentence
    draws           surrogates of each recording but the last
    final_draws     surrogates of each last recording
    correction      {method, tests}: how p_adjusted was made, over how many tests of all members
    sha256          of the rest, see :func:`rlkit.experiment.runs.store.write_json`
    members         one entry per member of the sweep, one without a sweep, with what follows

    label           what tells it from the others, "" without a sweep
    warnings        sentences a reader must see beside the numbers (drift, few samples, few units)
    points          one entry per recording:
      update, step
      active               by seed: units that vary and are no copies
      undefined_pairs      by seed: pairs of these units without a number, which means over pairs leave out
      effective_samples    by seed: independent samples that the slowest pair of units is worth
      effective_dimension  by seed: directions in which standardised units vary
      drifting             by seed: units with a trend over the recording
      reward, success      by seed: mean per step of the recording
      baselines            by name and seed
      units, halves        by measure (phi_r, ce3, ce4):
        value, excess        by seed: as estimated; beyond what the hypothesis explains
        mean                 by seed: the null mean, value less excess
        sd                   by seed: of the surrogates
        p                    by seed, one-sided, floor 1 / (draws + 1); null for measures whose p is not
                             calibrated on slow units (ce3, ce4)
        over_seeds           {value, mean, excess: {mean, low, high, count}}: 95 % bootstrap over seeds;
                             in the last point also p of the mean excess (surrogates of all seeds
                             together), p_floor and p_adjusted
    untrained       null, or {update, networks, draws, units, halves: by measure {value, excess:
                    {trained: by seed, untrained: by seed and network, difference: by seed,
                    over_seeds: {mean, low, high, count}, p, p_floor}}}: the last recording less untrained
                    networks on the same observations, paired by seed; p by flipping signs, two-sided
    projections     like a measure of the last point, against random directions of the same latents: by level
                    and measure {value, mean, excess, over_seeds}
    alignment       by metric {seeds, global, local: by seed, embedding, nulls: by kind and null {value,
                    null_mean, null_sd, p, draws}}
    prediction      by metric {seeds, predicted, target, r2, r2_interval, spearman, spearman_interval}
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlkit import outside
from rlkit.analysis.study.baselines import Baselines
from rlkit.analysis.study.life import Life, study_life
from rlkit.analysis.study.nulls import NULLS, NullTest, holm, pooled_p
from rlkit.analysis.study.recordings import measure_recordings
from rlkit.analysis.study.shared import Shared
from rlkit.analysis.study.untrained import against_untrained
from rlkit.errors import UsageError
from rlkit.experiment.reports.intervals import interval
from rlkit.experiment.runs import store
from rlkit.experiment.runs.logbook import number
from rlkit.experiment.training import config, integrity
from rlkit.experiment.training.members import grid_labels, parse_grid
from rlkit.types import Key

EMERGENCE, ARRAYS = "emergence.json", "emergence.npz"
VERSION = 4
MEASURES = ("phi_r", "ce3", "ce4")
TESTED = ("phi_r",)
"""Measures whose p is calibrated on independent units however slow (``benchmarks/calibration.py``)."""
LEVELS = {"units": "pairs", "halves": "means"}
NULL = "own-past"
FINAL_DRAWS = 999
_KEYS = 0xE3E26E  # keeps the keys of surrogates apart from those of training
_FEW = 30  # effective samples below which a reader is warned
_COMPARED = 20  # surrogates of each network in comparisons between networks


def study(
    latents: dict[int, dict[str, np.ndarray]],
    returns: np.ndarray,
    key: Key,
    draws: int = 100,
    final_draws: int = FINAL_DRAWS,
    components: int | None = None,
    shared: Shared | None = None,
) -> Life:
    """:func:`rlkit.analysis.study.life.study_life` of recordings by update.

    Args:
      latents: by update: ``latent [S, T, n]``, ``first [S, T]`` and what else the probe recorded, see
        :func:`rlkit.experiment.training.observe.latent_probe`.
      returns: [S, K] what was achieved at each update.
      key: typed PRNG key of the surrogates.
      draws: surrogates per recording.
      final_draws: surrogates of the last recordings, rounded up to a multiple of ``draws``.
      components: measure that many leading principal components instead of the units.
      shared: see :func:`rlkit.analysis.study.life.study_life`.
    """
    updates = sorted(latents)
    z, first = (np.stack([latents[u][name] for u in updates], 1) for name in ("latent", "first"))
    options: Any = {
        "routes": tuple(LEVELS.values()),
        "null": NULL,
        "components": components,
        "shared": shared,
    }
    return study_life(z, returns, key, first=first, draws=draws, final_draws=final_draws, **options)


def read_latents(folder: Path) -> dict[int, dict[str, np.ndarray]]:
    """The recordings of a run by update.

    Raises:
      UsageError: one of them is damaged.
    """
    return {update: store.read_arrays(path) for update, path in store.recordings(folder).items()}


def read_returns(lines: list[dict[str, Any]], latents: dict[int, dict[str, np.ndarray]]) -> np.ndarray:
    """``[S, K]``: the evaluated return at each recording, as the lines of the log have it, or else the
    recording's own mean reward."""
    logged = {
        line["update"]: line["seeds"]["eval/return"]
        for line in lines
        if line["kind"] == "eval" and "eval/return" in line["seeds"]
    }
    if all(update in logged for update in latents):
        return np.array([logged[update] for update in sorted(latents)], np.float64).T
    return np.array([latents[update]["reward"].mean(1) for update in sorted(latents)], np.float64).T


def analyze(
    folder: str | Path,
    draws: int = 100,
    out: str | Path | None = None,
    *,
    final_draws: int | None = None,
    components: int | None = None,
) -> Path:
    """Measure the latents of a run; write ``emergence.json`` and ``emergence.npz``.

    Args:
      folder: the run folder; it is only read.
      draws: surrogates per recording.
      out: where the files go; None takes the run folder, where reports look for them.
      final_draws: surrogates of the last recordings, whose p is tabulated, rounded up to a multiple of
        ``draws``; at least so many. None takes 999, or ``draws`` if that is more.
      components: measure that many leading principal components instead of the units.

    Returns:
      The path of the JSON file. The same run gives the same content.

    Raises:
      UsageError: not a run folder, it has no recordings, or a number is out of range.
    """
    folder = store.existing(folder)
    settings = config.load(folder / store.CONFIG)
    if getattr(settings, "kind", ""):
        raise UsageError(f"{folder} is a run of a group trainer, which records no latents; see rlkit report")
    measured = integrity.measured(folder)
    latents = read_latents(folder)
    if not latents:
        raise UsageError(
            f"{folder} has no recorded latents; train with --probes and --probe-steps greater than 0"
        )
    if final_draws is None:
        final_draws = max(FINAL_DRAWS, draws)
    if draws < 2 or final_draws < draws:
        raise UsageError(
            f"draws={draws}, final_draws={final_draws}: expected at least 2 surrogates, and of the last "
            "recordings no fewer than of the others"
        )
    units = next(iter(latents.values()))["latent"].shape[-1]
    if components is not None and not 2 <= components <= units:
        raise UsageError(f"components={components}: expected 2 to {units}, the number of units")
    key = jax.random.fold_in(jax.random.key(settings.seed), _KEYS)
    lines = store.read_jsonl(folder / store.METRICS)
    returns, untrained = read_returns(lines, latents), _read_untrained(folder, latents)
    per_update, labels = _per_update(lines, settings), grid_labels(parse_grid(settings.sweep))
    # All measurements of a run are one compiled program.
    shared = Shared(tuple(LEVELS.values()), max(draws, _COMPARED), components=components)
    lives, members = [], []
    for member, (label, rows) in enumerate(zip(labels, _rows(len(returns), len(labels)), strict=True)):
        own = {
            update: {name: x[rows] for name, x in recorded.items()} for update, recorded in latents.items()
        }
        fresh = None if untrained is None else untrained[rows]
        own_key = jax.random.fold_in(key, member)
        lives.append(study(own, returns[rows], own_key, draws, final_draws, components, shared))
        members.append({"label": label} | _told(lives[-1], own, fresh, own_key, per_update, shared))
    data = {
        "version": VERSION,
        "lag": 1,
        "steps_per_recording": next(iter(latents.values()))["latent"].shape[1],
        "components": components,
        "null": {"name": NULL, "hypothesis": NULLS[NULL].hypothesis},
        "draws": draws,
        "final_draws": next(iter(lives[0].beyond["means"].values())).shape[1],
        "recordings": measured,
        "correction": _correct(lives, [member["points"][-1] for member in members]),
        "members": members,
    }
    target = folder if out is None else Path(out)
    with outside.at(target, "write"):
        target.mkdir(parents=True, exist_ok=True)
    parts = [_arrays(life) for life in lives]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    store.write_arrays(target / ARRAYS, {"returns": returns} | joined)
    store.write_json(target / EMERGENCE, data, digest=True)
    return target / EMERGENCE


def outdated(folder: Path, data: dict[str, Any]) -> bool:
    """Whether the content of ``emergence.json`` is of other recordings than the folder has now.

    Recordings that were removed to save space are no others; content of an earlier version says nothing.
    """
    told = data.get("recordings")
    if not isinstance(told, dict):
        return False
    now = integrity.measured(folder)
    return bool(now) and any(list(one) != told.get(name) for name, one in now.items())


def _per_update(lines: list[dict[str, Any]], settings: Any) -> int:
    """Environment steps of an update: as the log says, so that no agent is built; an empty log needs one."""
    for line in lines:
        if line["update"]:
            return line["step"] // line["update"]
    return config.build(settings).steps_per_update


def _rows(rows: int, members: int) -> list[slice]:
    """The rows of each member: all its seeds, one after the other.

    Raises:
      UsageError: as many rows are not of so many members.
    """
    if rows % members:
        raise UsageError(f"the recordings have {rows} rows, which are not of {members} members of one size")
    seeds = rows // members
    return [slice(member * seeds, (member + 1) * seeds) for member in range(members)]


def _told(
    life: Life,
    latents: dict[int, dict[str, np.ndarray]],
    untrained: np.ndarray | None,
    key: Key,
    per_update: int,
    shared: Shared,
) -> dict[str, Any]:
    """What is said of one member."""
    update = max(latents)
    last = latents[update]
    return {
        "warnings": warnings(life, shared.components or last["latent"].shape[-1]),
        "points": points(life, latents, per_update),
        "untrained": _untrained(untrained, last, update, jax.random.fold_in(key, 1), shared),
        "projections": _projections(last, jax.random.fold_in(key, 2), shared),
        "alignment": _alignment(life),
        "prediction": _prediction(life),
    }


def points(life: Life, latents: dict[int, dict[str, np.ndarray]], per_update: int) -> list[dict[str, Any]]:
    """One entry per recorded update, see the module's text."""
    found, quality = [], life.quality
    for k, update in enumerate(sorted(latents)):
        recorded = latents[update]
        entry: dict[str, Any] = {"update": int(update), "step": int(update) * per_update}
        entry |= {name: np.asarray(getattr(quality, name))[:, k].tolist() for name in ("active", "drifting")}
        entry["undefined_pairs"] = life.undefined[:, k].tolist()
        entry |= {
            name: _numbers(np.asarray(getattr(quality, name))[:, k])
            for name in ("effective_samples", "effective_dimension")
        }
        entry |= {name: _numbers(recorded[name].mean(1)) for name in ("reward", "success")}
        for level, route in LEVELS.items():
            entry[level] = {name: _measure(life.tests[route], name, k) for name in MEASURES}
        columns = life.metrics["baselines"][:, k].T
        entry["baselines"] = {
            name: _numbers(row) for name, row in zip(Baselines._fields, columns, strict=True)
        }
        found.append(entry)
    return found


def _measure(test: NullTest, name: str, k: int) -> dict[str, Any]:
    """A measure at recording ``k``: by seed and over seeds."""
    value, excess = test.value[name][:, k], test.excess[name][:, k]
    p = test.p[name][:, k] if name in TESTED else np.full_like(value, np.nan)
    fields = {"value": value, "mean": value - excess, "excess": excess}
    shown: dict[str, Any] = {field: _numbers(row) for field, row in fields.items()}
    shown |= {"sd": _numbers(test.sd[name][:, k]), "p": _numbers(p)}
    return shown | {"over_seeds": {field: _interval(row) for field, row in fields.items()}}


def _interval(values: np.ndarray) -> dict[str, Any]:
    return {name: number(x) if name != "count" else x for name, x in interval(values)._asdict().items()}


def _correct(lives: list[Life], last: list[dict[str, Any]]) -> dict[str, Any]:
    """Put p of the mean over seeds into the last point of every member, corrected for the number of them."""
    tests = [(m, level, name) for m in range(len(lives)) for level in LEVELS for name in TESTED]
    found = []
    for member, level, name in tests:
        route, excess = LEVELS[level], np.array(last[member][level][name]["excess"], np.float64)
        found.append(pooled_p(excess, lives[member].beyond[route][name])[0])
    for (member, level, name), p, adjusted in zip(tests, found, holm(found), strict=True):
        draws = lives[member].beyond[LEVELS[level]][name].shape[1]
        last[member][level][name]["over_seeds"] |= {
            "p": number(p),
            "p_floor": 1 / (draws + 1),
            "p_adjusted": number(float(adjusted)),
        }
    return {"method": "Holm", "tests": len(tests)}


def warnings(life: Life, units: int) -> list[str]:
    """Sentences that a reader must see beside the numbers."""
    quality = jax.tree.map(np.asarray, life.quality)
    said, recordings = [], quality.active.size
    drifting = int((quality.drifting > 0).sum())
    if drifting:
        said.append(
            f"In {drifting} of {recordings} recordings units drift: their level has a trend. Every "
            "hypothesis about stationary units takes a common trend for coupling."
        )
    few = int((quality.effective_samples < _FEW).sum())
    if few:
        said.append(
            f"In {few} of {recordings} recordings the slowest pair of units is worth fewer than {_FEW} "
            "independent samples; record longer (--probe-steps)."
        )
    dead = int((quality.active < units).sum())
    if dead:
        said.append(
            f"In {dead} of {recordings} recordings some of {units} units are constant or copies; they are "
            "left out."
        )
    undefined = int((life.undefined > 0).sum())
    if undefined:
        said.append(
            f"In {undefined} of {recordings} recordings some pairs of units, at most {life.undefined.max()}, "
            "have no number, as one of past and future is a function of the rest (few distinct states); "
            "means over pairs leave them out, and are unknown where they are most."
        )
    narrow = quality.effective_dimension < 0.25 * quality.active
    if narrow.any():
        said.append(
            f"In {int(narrow.sum())} of {recordings} recordings the units mix few sources (effective "
            "dimension below a quarter of them): coupling of units is then what mixing does; see the "
            "untrained networks, or measure leading components (--components)."
        )
    return said


def _read_untrained(folder: Path, latents: dict[int, dict[str, np.ndarray]]) -> np.ndarray | None:
    """Latents ``[S, M, T, n]`` of untrained networks on the last observations; None if there are none."""
    path, last = folder / store.LATENTS / store.UNTRAINED, latents[max(latents)]["latent"]
    if not path.exists():
        return None
    found = store.read_arrays(path).get("latent", np.zeros(0))
    if found.ndim != 4 or found.shape[0] != len(last) or found.shape[2:] != last.shape[1:]:
        raise UsageError(f"{path} has shape {found.shape}, which is not of this run; delete it")
    return found


def _untrained(
    latents: np.ndarray | None,
    last: dict[str, np.ndarray],
    update: int,
    key: Key,
    shared: Shared,
) -> dict[str, Any] | None:
    """The last recording less untrained networks on the same observations; None if there are none."""
    if latents is None:
        return None
    options: Any = {"first": last["first"], "null": NULL, "draws": _COMPARED, "shared": shared}
    found = against_untrained(
        last["latent"], latents, key, quantities=MEASURES, routes=tuple(LEVELS.values()), **options
    )

    def shown(result: Any) -> dict[str, Any]:
        return {
            "trained": _numbers(result.trained),
            "untrained": [_numbers(row) for row in result.untrained],
            "difference": _numbers(result.difference),
            "over_seeds": _interval(result.difference),
            "p": number(result.p),
            "p_floor": number(result.floor),
        }

    levels = {
        level: {
            name: {field: shown(result) for field, result in found[route][name].items()} for name in MEASURES
        }
        for level, route in LEVELS.items()
    }
    return {"update": int(update), "networks": latents.shape[1], "draws": _COMPARED} | levels


def _projections(last: dict[str, np.ndarray], key: Key, shared: Shared) -> dict[str, Any]:
    """The last recording against random directions of the same latents."""
    options: Any = {"first": last["first"], "draws": _COMPARED, "shared": shared}
    tests = measure_recordings(
        last["latent"], key, null="projections", routes=tuple(LEVELS.values()), quantities=MEASURES, **options
    ).tests

    def shown(test: NullTest, name: str) -> dict[str, Any]:
        fields = {f: np.asarray(getattr(test, f)[name]) for f in ("value", "mean", "excess")}
        return {field: _numbers(row) for field, row in fields.items()} | {
            "over_seeds": {field: _interval(row) for field, row in fields.items()}
        }

    return {level: {name: shown(tests[route], name) for name in MEASURES} for level, route in LEVELS.items()}


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


def _arrays(life: Life) -> dict[str, np.ndarray]:
    """Everything measured, ``[S, K]`` and ``[S, K, F]``: names like ``means/phi_r/value``."""
    arrays = {f"quality/{name}": np.asarray(x) for name, x in life.quality._asdict().items()}
    arrays["quality/undefined_pairs"] = life.undefined
    arrays |= {f"metric/{name}": values for name, values in life.metrics.items()}
    for route, test in life.tests.items():
        for field in NullTest._fields:
            values = getattr(test, field)
            arrays |= {f"{route}/{name}/{field}": value for name, value in values.items()}
    return arrays
