"""Hyper-parameters of a trainer of groups, and the optimiser that they describe."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from rlkit.fields import Config, leaf, static
from rlkit.group.policies.sampling import Sampling


@dataclass(frozen=True)
class DescentConfig(Config):
    """What :func:`adamw` reads, whatever the batches are."""

    learning_rate: float = leaf(1e-3, "step size of AdamW", low=0.0)
    weight_decay: float = leaf(0.0, "of AdamW", low=0.0)
    max_grad_norm: float = leaf(1.0, "global norm that gradients are clipped to", above=0.0)
    warmup: float = leaf(0.0, "gradient steps over which the step size grows from 0", low=0.0)
    decay: bool = static(False, "let the step size fall linearly to 0 at total_updates")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GroupConfig(DescentConfig):
    """Hyper-parameters of a trainer of groups; those of the loss belong to the method."""

    prompts: int = static(32, "P: prompts of an update (on each device)", low=1)
    group_size: int = static(8, "G: completions of each prompt", low=1)
    iterations: int = static(1, "passes over a batch (mu of GRPO)", low=1)
    minibatches: int = static(1, "gradient steps of a pass, on parts of the prompts", low=1)
    micro_batches: int = static(
        1, "pieces in which a gradient is accumulated: less memory, the same gradient", low=1
    )
    packed: int = static(
        1, "completions of a prompt that share a row while learning, and read it once: less to compute", low=1
    )
    rollout_batches: int = static(1, "pieces in which completions are written, one after the other", low=1)
    completion_length: int = static(0, "T: tokens of a completion at most; 0: the task's", low=0)
    temperature: float = static(1.0, "of the policy while it writes and learns", above=0.0)
    top_k: int = static(0, "write from the likeliest so many tokens; 0: from all", low=0)
    top_p: float = static(1.0, "write from the likeliest tokens of this probability", above=0.0, high=1.0)
    min_p: float = static(0.0, "write from tokens of this share of the likeliest one's", low=0.0, high=1.0)
    dynamic_sampling: int = static(
        0, "rounds in which prompts whose completions all earn the same are replaced; 0: none", low=0
    )
    mask_truncated: bool = static(False, "completions without an end do not count")
    overlong_buffer: int = static(
        0,
        "tokens before the longest completion in which the term overlong falls from 0 to -1; 0: no term",
        low=0,
    )
    reference_every: int = static(
        0, "updates after which the reference becomes the policy; 0: it stays the first policy", low=0
    )
    entropy: bool = static(True, "measure the entropy of tokens, which the bonus needs")
    eval_samples: int = static(8, "completions of each prompt that judge the policy", low=1)
    total_updates: int = static(1000, "updates that schedules are laid out over", low=1)

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_k, self.top_p, self.min_p)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RecordedConfig(DescentConfig):
    """Hyper-parameters of learning from recorded rows; those of the loss belong to the method."""

    batch: int = static(16, "P: rows of a gradient step (on each device)", low=1)
    micro_batches: int = static(
        1, "pieces in which a gradient is accumulated: less memory, the same gradient", low=1
    )
    packed: int = static(
        1, "completions of a prompt that share a row and read it once, 2 for pairs: less to compute", low=1
    )
    completion_length: int = static(
        0, "T: tokens of a completion at most, longer ones are cut; 0: the longest one's", low=0
    )
    mask_truncated: bool = static(False, "completions that were cut do not count")
    temperature: float = static(1.0, "of the policy while it learns and is judged", above=0.0)
    entropy: bool = static(False, "measure the entropy of tokens, which the bonus needs")
    eval_prompts: int = static(64, "fresh prompts that the task judges the policy on; 0: none", low=0)
    eval_samples: int = static(8, "completions of each of them", low=1)
    total_updates: int = static(1000, "updates that schedules are laid out over", low=1)

    # What a trainer of groups may vary.
    iterations, minibatches, reference_every = 1, 1, 0
    prompts = property(lambda self: self.batch)

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature)


def adamw(config: GroupConfig | RecordedConfig, step: jax.Array) -> optax.GradientTransformation:
    """AdamW behind clipping by the global norm; ``step`` counts gradient steps."""
    rate = config.learning_rate * jnp.minimum(1.0, (step + 1) / jnp.maximum(config.warmup, 1.0))
    if config.decay:
        each = config.iterations * config.minibatches
        rate = rate * jnp.maximum(1.0 - step / (each * config.total_updates), 0.0)
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.adamw(rate, b2=0.99, weight_decay=config.weight_decay),
    )
