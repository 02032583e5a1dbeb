"""The report of trainings of groups: curves, what metrics mean, and completions to read."""

import json
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlkit.errors import UsageError
from rlkit.experiment.reports import figures
from rlkit.experiment.reports.intervals import interval
from rlkit.experiment.reports.pages import page
from rlkit.experiment.reports.reading import Run, labels, origin, relative, steps_per_second
from rlkit.experiment.runs import store
from rlkit.experiment.training import config
from rlkit.group.glossary import meaning

KINDS = ("group", "fit")
_SHOWN = 4  # completions of a prompt in a table of samples
_LONGEST = 600  # characters of a text in it
_LEARNING = ("eval/", "held_out/preferred", "held_out/loss", "held_out/margin", "reward/mean", "task/")
_HEALTH = (
    "frac_zero_std", "entropy", "approx_kl", "kl", "clip/low", "clip/high", "grad_norm", "length/mean",
    "frac_truncated", "loss/policy", "preferred", "margin", "implicit/chosen", "implicit/rejected",
    "implicit/baseline", "log_prob/chosen", "log_prob/rejected",
)  # fmt: skip


def render(runs: Sequence[Run]) -> str:
    """The HTML of a report about runs of group trainers."""
    return page("groups.html", context(runs))


def context(runs: Sequence[Run]) -> dict[str, Any]:
    """Everything that the template shows."""
    looks = [figures.look(i) for i in range(len(runs))]
    names = labels(runs) if len(runs) > 1 else [runs[0].settings.preset]
    logged = {key for run in runs for key in run.metrics.curves}
    learning = sorted((key for key in logged if key[1].startswith(_LEARNING)), key=_order)
    health = [("train", name) for name in _HEALTH if ("train", name) in logged]
    panels = lambda keys: [_panel(runs, names, looks, key, i) for i, key in enumerate(keys)]
    same = len({run.settings.env for run in runs}) == 1
    return {
        "title": runs[0].settings.env if same else "Comparison",
        "task": _task_words(runs[0]) if same else "",
        "runs": [_run(run, name, look) for run, name, look in zip(runs, names, looks, strict=True)],
        "legend": figures.legend(list(zip(names, looks, strict=True))) if len(runs) > 1 else [],
        "learning": panels(learning),
        "health": panels(health),
        "table": [(name, meaning(name)) for name in sorted({name for _, name in logged})],
        "dict": dict,
        "command": "rlkit report " + " ".join(shlex.quote(relative(run.folder)) for run in runs),
    }


def _order(key: tuple[str, str]) -> tuple[int, str]:
    """Judgements first, then what is paid, then the other terms."""
    return next(i for i, start in enumerate(_LEARNING) if key[1].startswith(start)), key[1]


def _task_words(run: Run) -> str:
    try:
        return run.settings.replace(spread=False).build().task.spec.task
    except Exception:  # whatever a user's module raises: the report does without it
        return ""


def _panel(runs: Sequence[Run], names: list[str], looks: list[Any], key: tuple[str, str], i: int) -> Any:
    series = [
        figures.Series(name, look, curve.steps, curve.values, curve.low, curve.high)
        if curve.lines > 1
        else figures.Series(name, look, curve.steps, curve.values)
        for run, name, look in zip(runs, names, looks, strict=True)
        if (curve := run.curve(*key)) is not None
    ]
    share = key[1].startswith(
        (
            "frac_",
            "preferred",
            "held_out/preferred",
            "eval/success",
            "eval/greedy",
            "eval/pass",
            "eval/maj",
            "clip/",
        )
    )
    panel = figures.Panel(key[1], series, (-0.02, 1.02) if share else None, share)
    return figures.draw(panel, f"{key[0]}-{i}-{key[1]}".replace("/", "-").replace("@", "-"))


def _run(run: Run, name: str, look: Any) -> dict[str, Any]:
    newest = {key: interval(curve.last) for key, curve in run.metrics.curves.items()}
    return {
        "run": run,
        "label": name,
        "colour": look.colour,
        "success": newest.get(("eval", "eval/success")),
        "ranked": newest.get(("eval", "held_out/preferred")),
        "unit": "rows" if run.settings.kind == "fit" else "completions",
        "zero": newest.get(("train", "frac_zero_std")),
        "newest": [(key[1], value) for key, value in sorted(newest.items(), key=lambda item: item[0][1])],
        "speed": steps_per_second(run),
        "samples": samples(run),
        "config": json.dumps(config.to_dict(run.settings), indent=2),
        "folder": relative(run.folder),
        **origin(run.origin),
    }


def samples(run: Run) -> list[dict[str, Any]]:
    """Tables of completions of the first seed, at the first and the last point where some were kept."""
    from rlkit.group.judging import decoding

    kept = list(store.recordings(run.folder).items())
    if not kept:
        return []
    try:
        decode = decoding(run.settings.replace(spread=False).build().task)
    except Exception:  # the module of a task may be gone: the numbers can be read without it
        return []
    tables = []
    for update, path in [kept[0], *kept[1:][-1:]]:
        try:
            arrays = store.read_arrays(path)
            tables.append({"at": update, "rows": _rows(arrays, decode)})
        except (UsageError, KeyError, IndexError, TypeError, ValueError):
            continue  # damage is among the run's notes
    return tables


def _rows(arrays: dict[str, np.ndarray], decode: Any) -> list[dict[str, Any]]:
    rewards = [name for name in arrays if name.startswith("reward/")]
    rows = []
    for p in range(arrays["prompt"].shape[1]):
        asked = decode(arrays["prompt"][0, p][arrays["prompt_mask"][0, p] > 0].tolist())
        for g in range(min(_SHOWN, arrays["tokens"].shape[2])):
            own = np.flatnonzero(arrays["mask"][0, p, g] > 0)
            said = decode(arrays["tokens"][0, p, g][: own[-1] + 1 if own.size else 0].tolist())
            paid = [
                (name.removeprefix("reward/"), float(arrays[name][0, p, g]))
                for name in rewards
                if arrays[name][0, p, g].ndim == 0
            ]
            rows.append(
                {"prompt": asked[-_LONGEST:] if g == 0 else "", "said": said[:_LONGEST], "paid": paid}
            )
    return rows
