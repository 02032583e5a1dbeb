"""Methods by name: what papers consist of, and mended variants where what is published does not do well."""

import math
from typing import Any

from rlkit.group.types import Method
from rlkit.registry import Entry, Table


def _entry(target: str, summary: str, **options: Any) -> Entry:
    return Entry(f"rlkit.group.presets.{target}", summary, options)


PRESETS = Table(
    "preset",
    {
        "grpo": _entry("base:grpo", "GRPO, 2402.03300"),
        "dr_grpo": _entry("base:dr_grpo", "Dr. GRPO, 2503.20783"),
        "rloo": _entry("base:rloo", "RLOO, 2402.14740"),
        "reinforce_pp": _entry("base:reinforce_pp", "REINFORCE++, 2501.03262"),
        "reinforce_pp_baseline": _entry("base:reinforce_pp", "the same less the group's mean", baseline=True),
        "dapo": _entry("base:dapo", "DAPO, 2503.14476"),
        "gspo": _entry("base:gspo", "GSPO, 2507.18071"),
        "luspo": _entry("base:luspo", "LUSPO, 2602.05261"),
        "cispo": _entry("base:cispo", "CISPO, 2506.13585"),
        "sapo": _entry("base:sapo", "SAPO, 2511.20347"),
        "vespo": _entry("base:vespo", "VESPO, 2602.10693"),
        "dppo_tv": _entry("base:dppo", "DPPO, 2602.04879, total variation", divergence="tv"),
        "dppo_kl": _entry("base:dppo", "DPPO, 2602.04879, Kullback-Leibler", divergence="kl", bound=0.05),
        "dro": _entry("base:dro", "DRO, 2405.19107"),
        "gdpo": _entry("base:gdpo", "GDPO, 2601.05242"),
        "dpo": _entry("preference:dpo", "DPO, 2305.18290, best and worst of a group"),
        "ipo": _entry("preference:dpo", "IPO, 2310.12036", objective="ipo"),
        "slic": _entry("preference:dpo", "SLiC-HF, 2305.10425", objective="hinge"),
        "kto": _entry("preference:kto", "KTO, 2402.01306"),
        "a2po": _entry("preference:a2po", "A*-PO, 2505.20686"),
        "r1_reward": _entry("papers:r1_reward", "R1-Reward, 2505.02835"),
        "r1_reward_released": _entry("papers:r1_reward", "the same, its code's filter", released=True),
        "pipo": _entry("papers:pipo", "PIPO, 2604.00860, feedback bounded"),
        "pipo_published": _entry("papers:pipo", "the same as published", largest=math.inf, min_std=1e-6),
        "pipo_capped": _entry("papers:pipo", "the same as its README", how="relu", largest=0.5),
        "risk_po": _entry("papers:risk_po", "RiskPO, 2510.00911, as published for easy tasks"),
        "risk_po_hard": _entry(
            "papers:risk_po", "the same for hard tasks", levels=(0.2, 0.8), credit="sum_mean",
            natural_baseline=False,
        ),
        "risk_po_centred": _entry("papers:risk_po", "the same, centred", center=True),
        "rgr_grpo": _entry("papers:rgr_grpo", "RGR-GRPO, 2511.12344"),
        "perceval": _entry("papers:perceval", "Perceval, CVPR 2026"),
        "tgdpo": _entry("preference:tgdpo", "TGDPO, 2506.14574"),
        "tgdpo_bounded": _entry("preference:tgdpo", "the same, no weight below 0", bounds=(0.0, 2.0)),
        "sft": _entry("preference:sft", "supervised fine-tuning on demonstrations"),
        "implicit_bridge": _entry("preference:implicit_bridge", "Implicit Reward as the Bridge, 2507.00018"),
        "self_vote": _entry("labels:self_vote", "TTRL, 2504.16084: majority voting"),
        "scope": _entry("labels:scope", "SCOPE, 2512.15146"),
        "co_reward": _entry("labels:co_reward", "Co-Reward, 2508.00410"),
        "armed": _entry("papers:armed", "ARMed, 2508.12957"),
        "armed_unscaled": _entry("papers:armed", "the same, not divided by deviations", scale="none"),
        "waltz_rl_feedback": _entry("dialogue:waltz_rl_feedback", "WaltzRL, 2510.08240, feedback agent"),
        "waltz_rl_conversation": _entry("dialogue:waltz_rl_conversation", "WaltzRL, the other agent"),
        "mora": _entry("papers:mora", "MORA, 2605.11679"),
        "mora_decoupled": _entry("papers:mora", "the same, normalised as GDPO", decoupled=True),
        "alpha_grpo": _entry("papers:alpha_grpo", "AlphaGRPO, 2605.12495"),
        "alpha_grpo_refine": _entry("papers:alpha_grpo", "the same with refinements", draft="draft_reward"),
        "time_master": _entry("papers:time_master", "TimeMaster, 2506.13705"),
        "atom_searcher": _entry("tools:atom_searcher", "Atom-Searcher, 2508.12800"),
        "tool_rl": _entry("tools:tool_rl", "ToolRL, 2504.13958"),
        "tool_rl_coarse": _entry("tools:tool_rl", "the same, all or nothing", granularity="coarse"),
        "tool_rl_scheduled": _entry("tools:tool_rl_scheduled", "the same, weights over time"),
        "ftrl": _entry("tools:ftrl", "FTRL, 2508.08791"),
        "crf": _entry("papers:crf", "conciseness reward, 2511.09158"),
        "pit": _entry("dialogue:pit", "PIT, 2310.00898"),
    },
)  # fmt: skip
"""Every preset by name; ``"module:function"`` names your own."""


def preset(name: str, **options: Any) -> Method:
    """A method by name.

    Args:
      name: see :data:`PRESETS`.
      **options: arguments of the preset's function.

    Raises:
      UnknownNameError: no such preset, or no such option; the message suggests the nearest.
      UsageError: an option's value is out of range.
    """
    return PRESETS.make(name, **options)
