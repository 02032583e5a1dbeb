"""The study's hypotheses, each tested once over all its cells, and corrected for how many there are.

A test pools the cells in the way that its numbers allow: normal scores of the cells' own p (gain and
prediction), means over cells against means of surrogates (alignment), or flips of the signs of seeds
(differences). All are one-sided for what the claim says, or two-sided where flips of signs are.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlkit.analysis.study.nulls import holm
from rlkit.analysis.study.untrained import paired
from rlkit.experiment.reports.intervals import Interval, interval
from rlkit.studies.evidence import Evidence
from rlkit.studies.gain import pooled
from rlkit.studies.study import Hypothesis


class Verdict(NamedTuple):
    """What the cells say of a hypothesis.

    Attributes:
      hypothesis: it.
      cells: cells that say anything.
      effect: mean over cells (seeds, where seeds are compared), with its 95 % bootstrap interval: R² gained,
        correlation, or alignment less that of the null or rival.
      unit: of the effect, in words.
      p: over all cells; NaN without any.
      p_adjusted: corrected over the hypotheses of the study.
    """

    hypothesis: Hypothesis
    cells: int
    effect: Interval
    unit: str
    p: float
    p_adjusted: float = float("nan")

    @property
    def holds(self) -> bool:
        """Whether it survives: p corrected at most 0.05, and an effect in the direction of the claim."""
        return bool(self.p_adjusted <= 0.05 and self.effect.mean > 0)


def verdicts(
    hypotheses: Sequence[Hypothesis],
    found: Mapping[str, Mapping[str, Evidence]],
    arms: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> list[Verdict]:
    """Test all hypotheses.

    Args:
      hypotheses: of the study.
      found: by cell and protocol.
      arms: of interventions, by environment and arm: final returns ``[S]``.

    Returns:
      In the same order, p corrected by Holm over all of them.
    """
    alone = []
    for hypothesis in hypotheses:
        if hypothesis.test == "arms":
            alone.append(_arms(hypothesis, arms or {}))
            continue
        cells = [by[hypothesis.protocol] for by in found.values()]
        alone.append(_TESTS[hypothesis.test](hypothesis, cells))
    adjusted = holm([verdict.p for verdict in alone])
    return [v._replace(p_adjusted=float(p)) for v, p in zip(alone, adjusted, strict=True)]


def _gain(hypothesis: Hypothesis, cells: Sequence[Evidence]) -> Verdict:
    gains = [cell.gains[hypothesis.metric] for cell in cells if hypothesis.metric in cell.gains]
    p = pooled([gain.partial.p for gain in gains])
    known = [gain.gain for gain in gains if np.isfinite(gain.partial.p)]
    return Verdict(hypothesis, len(known), interval(known), "R² gained over the controls", p)


def _prediction(hypothesis: Hypothesis, cells: Sequence[Evidence]) -> Verdict:
    plain = [cell.plain[hypothesis.metric] for cell in cells if hypothesis.metric in cell.plain]
    known = [one.r for one in plain if np.isfinite(one.p)]
    p = pooled([one.p for one in plain])
    return Verdict(hypothesis, len(known), interval(known), "correlation with the final return", p)


def _alignment(hypothesis: Hypothesis, cells: Sequence[Evidence]) -> Verdict:
    """Mean over cells against means of one surrogate life of each."""
    known = [cell for cell in cells if hypothesis.metric in cell.null_draws]
    nothing = Verdict(hypothesis, 0, interval([]), "global alignment beyond its null", float("nan"))
    values = [np.nanmean(cell.alignment[hypothesis.metric].global_alignment) for cell in known]
    if not values or not np.isfinite(values).all():
        return nothing
    draws = min(len(cell.null_draws[hypothesis.metric]) for cell in known)
    null = np.mean([cell.null_draws[hypothesis.metric][:draws] for cell in known], 0)
    p = (1 + int((null >= np.mean(values)).sum())) / (1 + draws)
    beyond = [v - cell.null_draws[hypothesis.metric].mean() for v, cell in zip(values, known, strict=True)]
    return Verdict(hypothesis, len(known), interval(beyond), nothing.unit, float(p))


def _beyond_baselines(hypothesis: Hypothesis, cells: Sequence[Evidence]) -> Verdict:
    apart = [
        cell.alignment[hypothesis.metric].global_alignment - cell.alignment["baselines"].global_alignment
        for cell in cells
        if {hypothesis.metric, "baselines"} <= set(cell.alignment)
    ]
    return _of_seeds(hypothesis, apart, "global alignment more than the plain metrics")


def _local(hypothesis: Hypothesis, cells: Sequence[Evidence]) -> Verdict:
    known = [cell for cell in cells if hypothesis.metric in cell.alignment]
    values = [cell.alignment[hypothesis.metric].local_alignment for cell in known]
    return _of_seeds(hypothesis, values, "local alignment")


def _arms(hypothesis: Hypothesis, arms: Mapping[str, Mapping[str, np.ndarray]]) -> Verdict:
    """One arm less another, seed by seed: they start alike and meet the same chances.

    Returns of an environment are divided by their deviation over the seeds of both arms.
    """
    one, other = hypothesis.metric.split(" - ")
    apart = []
    for by in arms.values():
        if one in by and other in by:
            both = np.stack([by[one], by[other]])
            scale = np.sqrt(both.var(1, ddof=1).mean())
            apart.append((both[0] - both[1]) / max(scale, 1e-12))
    return _of_seeds(hypothesis, apart, "final return, in deviations over seeds")


def _of_seeds(hypothesis: Hypothesis, values: Sequence[np.ndarray], unit: str) -> Verdict:
    """Flips of the signs of all seeds, two-sided."""
    flat = np.concatenate([np.asarray(v, np.float64) for v in values]) if values else np.zeros(0)
    p = paired(flat, np.zeros((flat.size, 1))).p if flat.size else float("nan")
    return Verdict(hypothesis, len(values), interval(flat), unit, float(p))


_TESTS = {
    "gain": _gain,
    "prediction": _prediction,
    "alignment": _alignment,
    "beyond baselines": _beyond_baselines,
    "local": _local,
}
