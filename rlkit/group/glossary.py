"""What the metrics of a group trainer mean, and what their extremes say."""

from typing import NamedTuple


class Meaning(NamedTuple):
    """A metric in words."""

    what: str
    extremes: str = ""  # whether 0, or another extreme, is a fault


METRICS = {
    "reward/mean": Meaning("reward that completions of a group are compared by, mean"),
    "reward/std": Meaning("standard deviation of the reward within groups, mean", "0: see frac_zero_std"),
    "reward/*/mean": Meaning("a reward function over the completions that it applies to, mean"),
    "reward/*/std": Meaning("the same, standard deviation", "0: the function tells nothing apart"),
    "reward/*/missing": Meaning("share of completions that a reward function does not apply to (NaN, None)"),
    "frac_zero_std": Meaning(
        "share of groups whose completions all earn the same",
        "such groups have advantage 0 and teach nothing. Near 1 and reward low: the task is too hard for "
        "this policy (warm start, partial credit, more completions). Near 1 and reward high: it is solved. "
        "A loss of 0 is then no fault",
    ),
    "frac_counted": Meaning(
        "share of completions with a token that counts in the loss", "0: nothing is learnt"
    ),
    "loss/policy": Meaning(
        "the loss before divergence and entropy",
        "about 0 at the first step on a batch is right: ratios are 1 and advantages have mean 0; the "
        "gradient is not 0",
    ),
    "margin": Meaning(
        "implicit reward of what is preferred less that of the other, mean of the pairs",
        "0 at the start; without an end: the reference is left behind, raise beta or stop earlier",
    ),
    "preferred": Meaning(
        "share of pairs whose margin has the right sign; of KTO's completions, on the right side of its "
        "reference point",
        "1/2: nothing is learnt yet",
    ),
    "implicit/chosen": Meaning(
        "implicit reward, beta times the log-ratio to the reference, of what is preferred, mean",
        "below 0 while the margin grows: the chosen become less likely too; smaller steps, larger beta",
    ),
    "implicit/rejected": Meaning("the same of what is not preferred"),
    "implicit/baseline": Meaning(
        "KTO's reference point, beta times its estimate of the divergence from the reference",
        "0 at the start, and where mismatched completions became less likely",
    ),
    "log_prob/chosen": Meaning("log-probability of what is preferred, nats per completion"),
    "log_prob/rejected": Meaning("the same of what is not preferred"),
    "held_out/loss": Meaning(
        "the loss on recorded rows that are never learnt from",
        "rising while the loss falls: rows are learnt by heart; stop earlier, raise beta, get more rows",
    ),
    "held_out/*": Meaning("the metric of that name on recorded rows that are never learnt from"),
    "epoch": Meaning("how often the recorded rows were gone through"),
    "kl": Meaning("divergence from the reference policy, nats per token", "0 at the start"),
    "kl_coef": Meaning("its coefficient, as the controller has it"),
    "approx_kl": Meaning(
        "divergence from the policy that wrote the batch, nats per token",
        "0 with one gradient step per batch; above 0.1 the batch is used too often",
    ),
    "entropy": Meaning(
        "entropy of tokens, nats", "falling to 0 early: collapse; raise temperature or entropy_coef"
    ),
    "ratio/min": Meaning("least importance ratio", "1 with one gradient step per batch"),
    "ratio/max": Meaning("largest importance ratio", "1 with one gradient step per batch"),
    "clip/low": Meaning("share of tokens clipped from below", "0 with one gradient step per batch"),
    "clip/high": Meaning("share of tokens clipped from above", "0 with one gradient step per batch"),
    "grad_norm": Meaning("global norm of the gradient before it is clipped", "0: no group differs"),
    "length/mean": Meaning("tokens that the policy writes per completion, the end included"),
    "length/min": Meaning("the shortest"),
    "length/max": Meaning("the longest"),
    "length/ended": Meaning("the same over completions with an end; undefined without any"),
    "frac_truncated": Meaning(
        "share of completions without an end", "near 1: the length is too short, or the end is not learnt"
    ),
    "pipo/improvement": Meaning(
        "mean reward of the batch in deviations of the last ones (PIPO)", "0 until there are enough of them"
    ),
    "pipo/scale": Meaning("how strongly the last update is repeated, or taken back below 0 (PIPO)"),
    "risk/low": Meaning("lower quantile of the scores of bundles (RiskPO)"),
    "risk/high": Meaning("upper quantile of the scores of bundles (RiskPO)"),
    "adaptive/*/threshold": Meaning("quantile of a term's past, around which it is spread out (ARMed)"),
    "adaptive/*/std": Meaning(
        "standard deviation of a term's past", "near 0: its judge gives everything the same score"
    ),
    "sampling/rounds": Meaning("rounds of dynamic sampling that were needed"),
    "task/*": Meaning("a term of the task's verifier, mean, whether it is paid or not"),
    "eval/success": Meaning("share of completions of fresh prompts that solve the task (pass@1)"),
    "eval/greedy": Meaning("the same for the likeliest tokens"),
    "eval/reward": Meaning("the task's own reward of fresh prompts; its optimum is in `rlkit group tasks`"),
    "eval/length": Meaning("tokens per completion of fresh prompts"),
    "eval/pass@*": Meaning("probability that one of so many completions solves a prompt (2107.03374)"),
    "eval/maj@*": Meaning("share of prompts whose most frequent answer of so many is right"),
    "skipped": Meaning("share of updates that were undone because something was not finite"),
}
"""By name; ``*`` stands for a part of a name."""


def meaning(name: str) -> Meaning:
    """What a metric means; empty words for one of a stage of the user's."""
    if name in METRICS:
        return METRICS[name]
    for pattern, found in METRICS.items():
        head, star, tail = pattern.partition("*")
        if star and name.startswith(head) and name.endswith(tail) and len(name) >= len(head) + len(tail):
            return found
    return Meaning("")
