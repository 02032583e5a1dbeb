"""Policies by name, for run folders and the command line: each is made for a task."""

from typing import Any

from rlkit.envs.tokens import TokenTask
from rlkit.errors import UsageError
from rlkit.group.policies.adapters import lora
from rlkit.group.policies.decoder import DecoderConfig, decoder
from rlkit.group.policies.protocol import TokenPolicy, check_policy
from rlkit.registry import Entry, Table

TABLE = Table(
    "policy",
    {
        "table": Entry("rlkit.group.policies.tables:table", "a softmax for each prompt and place"),
        "decoder": Entry("rlkit.group.policies.registry:small_decoder", "a small decoder of Llama's kind"),
        "run": Entry(  # by name only: nothing of this floor uses what is above it
            "rlkit.experiment.training.loading:run_policy", "what an earlier run has learned: folder=runs/..."
        ),
        "smollm2": Entry(
            "rlkit.group.policies.registry:smollm2", "SmolLM2-135M-Instruct, or another GGUF file"
        ),
    },
)
"""Makers ``maker(task, **options) -> TokenPolicy``; ``"module:maker"`` names one of the user's."""


def small_decoder(task: TokenTask, *, warm_start: int = 0, **sizes: Any) -> TokenPolicy:
    """A decoder with the vocabulary and the lengths of a task.

    Args:
      task: the task.
      warm_start: updates that imitate its solutions before anything else.
      **sizes: fields of :class:`rlkit.group.policies.decoder.DecoderConfig`.
    """
    from rlkit.group.imitation import warm_started

    spec = task.spec
    config = DecoderConfig(len(spec.vocabulary), spec.prompt_length + spec.completion_length, **sizes)
    policy = decoder(config)
    return warm_started(task, policy, warm_start) if warm_start else policy


def smollm2(
    task: TokenTask, *, path: str = "", rank: int = 8, alpha: float = 16.0, context: int = 0, **changes: Any
) -> TokenPolicy:
    """The packaged language model, adapted by small matrices.

    Args:
      task: one of texts, with the model's tokenizer.
      path: of another GGUF file; empty: SmolLM2-135M-Instruct.
      rank: of the adapters, see :func:`rlkit.group.policies.adapters.lora`; 0: all weights learn.
      alpha: of the adapters.
      context: tokens of a row; 0: as many as the task needs.
      **changes: other fields of the decoder, e.g. ``remat=True``.
    """
    from rlkit.group.policies.gguf import from_gguf

    needed = task.spec.prompt_length + task.spec.completion_length
    policy = from_gguf(path or None, context=context or needed, **changes)
    return lora(policy, rank, alpha) if rank else policy


def make_policy(name: str, task: TokenTask, **options: Any) -> TokenPolicy:
    """Make a policy by name.

    Raises:
      UnknownNameError: no such policy or option; the message suggests the nearest one.
      UsageError: the maker made something else.
    """
    policy = TABLE.make(name, task, **options)
    if not isinstance(policy, TokenPolicy):
        raise UsageError(f"{name} made {type(policy).__name__}; expected an rlkit.group TokenPolicy")
    return check_policy(policy)
