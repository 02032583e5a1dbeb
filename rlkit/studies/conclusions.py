"""Plain sentences about the results of a study, made from its numbers alone, and its methods as a text."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlkit.studies.study import Study


def number(value: float | None, digits: int = 2) -> str:
    """A number in words; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def p_words(p: float | None) -> str:
    """p in words."""
    if p is None:
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def conclusions(data: Mapping[str, Any]) -> list[str]:
    """What survives, and what does not, one sentence each.

    Args:
      data: of :func:`rlkit.studies.results.gather`.
    """
    measured = [cell for cell in data["cells"] if cell["state"] == "done"]
    if not measured:
        return ["No cell has been measured yet: there is nothing to conclude."]
    missing = [cell["name"] for cell in data["cells"] if cell["state"] in ("missing", "failed")]
    said = []
    if missing:
        said.append(
            f"{len(measured)} cells have been measured and {len(missing)} have not: what follows is of "
            "a part of the study."
        )
    for verdict in data["hypotheses"]:
        said.append(_hypothesis(verdict))
    said += _undefined(measured)
    done = [cell for cell in measured if not cell["arm"]]
    return [*said, _alignment(done), _prediction(done)] if done else said


def _undefined(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [one for cell in measured for one in cell.get("undefined_pairs", [])]
    recordings = sum(one["recordings"] for one in found)
    if not recordings:
        return []
    most = max(one["most"] for one in found)
    return [
        f"In {recordings} recordings some pairs of units (at most {most}) have no number, as one of past and "
        "future is a function of the rest; means over pairs leave them out."
    ]


def _hypothesis(verdict: Mapping[str, Any]) -> str:
    effect, what = verdict["effect"], "The primary hypothesis" if verdict["primary"] else "A hypothesis"
    name = f"{what} ({verdict['name']})"
    if verdict["p"] is None:
        return f"{name} cannot be judged yet: too few seeds or cells."
    ends = "" if effect["low"] is None else f" [{number(effect['low'])}, {number(effect['high'])}]"
    fate = "survives" if verdict["holds"] else "does not survive"
    if verdict["p_adjusted"] <= 0.05 and not verdict["holds"]:
        fate = "is contradicted"
    return (
        f"{name} {fate}: {verdict['unit']} {number(effect['mean'])}{ends}, {p_words(verdict['p'])}, "
        f"corrected {p_words(verdict['p_adjusted'])}, {verdict['cells']} cells. {verdict['claim']}"
    )


def _alignment(done: Sequence[Mapping[str, Any]]) -> str:
    known = [c for c in done if {"emergence halves", "baselines"} <= set(c["own"]["alignment"])]
    if not known:
        return "Alignment cannot be given: too few checkpoints or seeds with numbers."
    ahead = sum(_mean(c, "emergence halves") > _mean(c, "baselines") for c in known)
    return (
        "Emergence is aligned with the reward more than the five plain metrics are in "
        f"{ahead} of {len(known)} cells (means over seeds, own rollouts)."
    )


def _mean(cell: Mapping[str, Any], metric: str) -> float:
    value = cell["own"]["alignment"][metric]["global"]["mean"]
    return float("-inf") if value is None else value


def _prediction(done: Sequence[Mapping[str, Any]]) -> str:
    known = [c for c in done if {"emergence halves", "controls"} <= set(c["own"]["prediction"])]
    if not known:
        return "Nothing can be predicted: too few seeds with numbers."
    r2 = lambda cell, metric: cell["own"]["prediction"][metric]["r2"]
    ahead = sum((r2(c, "emergence halves") or -9.0) > (r2(c, "controls") or -9.0) for c in known)
    useful = sum((r2(c, "emergence halves") or -9.0) > 0 for c in known)
    return (
        "From the early window, emergence predicts the final return of a seed left out better than "
        f"the mean of the others (R² > 0) in {useful} of {len(known)} cells, and better than early return, "
        f"feature rank and dead units do in {ahead}."
    )


def methods(study: Study, data: Mapping[str, Any]) -> str:
    """A methods section that can be pasted into a paper."""
    how = study.measuring
    done = [cell for cell in data["cells"] if cell["state"] == "done"]
    seeds = sorted({cell["seeds"] for cell in done}) or ["no"]
    values = {
        "seeds": "/".join(map(str, seeds)), "reference": how.reference, "replay": how.replay_steps,
        "draws": how.draws, "early": f"{100 * how.fraction:.0f}", "hypotheses": len(study.hypotheses),
    }  # fmt: skip
    return " ".join(_METHODS.split()).format(**values)


_METHODS = """
Each cell (environment, algorithm, feature extractor) trained {seeds} seeds and {reference} reference seeds.
Latents (the output of the policy's feature extractor) were recorded at evenly spaced checkpoints over the
whole training, in the agents' own rollouts and by matched replay: {replay} stored observations of the
reference seeds at the start, half-way and at the end of their training, the same for all checkpoints and
seeds. Emergence was measured by integrated information decomposition (Mediano et al. 2021) with Gaussian
minimum mutual information at lag one, of all pairs of units (those with singular covariance left out, and
no value given where they were most) and of the means of the two halves of the
Fiedler bipartition of the lag-one information graph: Φ_R, CE3 = stx + sty + sts, CE4 = CE3 + str, sts, and
stx + sty, in nats per step. Each was compared with {draws} surrogates in which every unit goes on from its
own past alone. Partition, moments and surrogates of a checkpoint came from that checkpoint alone. Global
alignment is the cosine between the move of the embedded metric (two principal components) over training and
the reward direction fitted on the other seeds; local alignment is its mean over steps, signed by the change
of return. The final return (last tenth of checkpoints) was predicted from the first {early} % of
checkpoints by ridge regression, leaving one seed out. Gains are over early return (mean and slope), feature
rank (99 % of variance) and dead units; their test is the partial correlation given these (Student's t),
pooled over cells by normal scores (Stouffer). The {hypotheses} hypotheses were part of the study's data
before any cell ran, and p was corrected over them by Holm's method. Intervals are 95 % percentile
bootstraps.
"""
