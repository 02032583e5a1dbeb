"""What a run that learns from recorded rows is made of, as data."""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rlkit.errors import UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training.group_config import PolicyRunConfig, filled, literals
from rlkit.fields import check, option
from rlkit.group.trainer_config import RecordedConfig
from rlkit.registry import Entry, Table

TOKENIZERS = Table(
    "tokenizer",
    {
        "smollm2": Entry(
            "rlkit.group.policies.tokenizer:tokenizer_from_gguf", "of SmolLM2, or another GGUF file"
        )
    },
)
"""Makers ``maker(**options) -> tokenizer``; ``"module:maker"`` names one of the user's."""


@dataclass(frozen=True)
class FitRunConfig(PolicyRunConfig):
    """Everything that decides what a policy learns from recorded rows."""

    kind = "fit"

    task: str = option(
        "",
        "task that judges the policy and whose words the rows are written in; none: the rows' prompts alone",
    )
    preset: str = option("dpo", "method: dpo, ipo, slic, kto, tgdpo, tgdpo_bounded, sft or implicit_bridge")
    loss: tuple[str, ...] = option((), "other arguments of the method's loss, each as key=value: beta=0.05")
    data: str = option(
        "", "file with a JSON object on each line: prompt, and chosen and rejected, or completion"
    )
    digest: str = option("", "SHA-256 of all rows, which a start fills in: a run goes on with these alone")
    columns: tuple[str, ...] = option(
        (), "names of columns in the data, each as ours=theirs: prompt=question"
    )
    held_out: float = option(
        0.1, "share of the rows that judges and is never learnt from", low=0.0, high=0.99
    )
    held_out_data: str = option("", "file with rows that judge instead, all of them")
    tokenizer: str = option("", "of the policy: smollm2, or module:maker; none: the task's words")
    tokenizer_options: tuple[str, ...] = option((), "arguments of the tokenizer, each as key=value")
    chat: bool = option(False, "put the prompts into the tokenizer's template of chats")
    guide: str = option("", "run folder of a policy that was trained on preferences, for tgdpo")
    guide_update: int = option(0, "its checkpoint; 0: the newest, which a start fills in", low=0)
    trainer: RecordedConfig = field(
        default_factory=RecordedConfig, metadata={"help": "hyper-parameters of the trainer"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.trainer)
        for name in ("columns", "tokenizer_options"):
            literals(name, getattr(self, name))

    # What run folders ask of any configuration.
    env = property(lambda self: self.task or Path(self.data).stem or "recorded")
    eval_episodes = 1  # something is judged; how many prompts says the trainer

    @property
    def total_steps(self) -> int:
        """Rows of a seed."""
        return self.updates * self.trainer.batch

    def settled(self) -> Self:
        """With what only a start can know: where the files are, and the digest of the rows."""
        place = lambda path: str(Path(path).absolute()) if path else ""
        found = self.replace(
            data=place(self.data), held_out_data=place(self.held_out_data), guide=place(self.guide)
        )
        rows, more = found._rows()
        reached = checkpoint.steps(Path(found.guide) / store.CHECKPOINTS) if found.guide else []
        update = found.guide_update or (reached[-1] if reached else 0)
        return found.replace(digest=_digest(rows, more), guide_update=update)

    def _rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows, and those of the other file, if there is one."""
        from rlkit.group.rows import read_rows

        if not self.data:
            raise UsageError("data='': expected a file of rows, e.g. --data pairs.jsonl")
        return read_rows(self.data), read_rows(self.held_out_data) if self.held_out_data else []

    def build(self) -> Any:
        """Make the learner.

        Raises:
          UnknownNameError: task, policy, tokenizer, method or an option is unknown.
          UsageError: they do not fit each other, or the rows are not those that the run began with.
        """
        from rlkit.envs.tokens import make_task
        from rlkit.experiment.training import devices
        from rlkit.experiment.training.loading import load_group
        from rlkit.group.fitting import fitter
        from rlkit.group.policies.registry import make_policy
        from rlkit.group.rows import rows_digest
        from rlkit.group.spreading import spread

        rows, more = self._rows()
        now = _digest(rows, more) if "-" in self.digest or not self.digest else rows_digest([*rows, *more])
        if self.digest and self.digest != now:
            raise UsageError(
                f"the rows in {self.data} have changed (digest {now[:12]}) since the run began "
                f"({self.digest[:12]}): restore them, or start a new run"
            )
        task = make_task(self.task, **literals("task_options", self.task_options)) if self.task else None
        tokenizer = None
        if self.tokenizer:
            tokenizer = TOKENIZERS.make(
                self.tokenizer, **literals("tokenizer_options", self.tokenizer_options)
            )
        columns = {name: str(value) for name, value in literals("columns", self.columns).items()}
        guide = load_group(self.guide, update=self.guide_update or None) if self.guide else None
        chosen = self.trainer.replace(total_updates=self.updates)
        named = functools.partial(make_policy, **literals("policy_options", self.policy_options))
        policy = lambda task: named(self.policy, task)

        def make(batch: int, axis_name: str | None) -> Any:
            return fitter(
                rows, policy, self.preset, chosen.replace(batch=batch), task=task, tokenizer=tokenizer,
                held_out=more or self.held_out, columns=columns, chat=self.chat, file=self.data,
                guide=(guide.policy, guide.params) if guide else None, axis_name=axis_name,
                options=literals("preset_options", self.preset_options), loss=literals("loss", self.loss),
            )  # fmt: skip

        return (
            spread(make, chosen.batch, devices.choose(self.devices))
            if self.spread
            else make(chosen.batch, None)
        )


def from_data(data: dict[str, Any], where: str) -> FitRunConfig:
    """A configuration from JSON data, as :func:`rlkit.experiment.training.group_config.from_data`."""
    return filled(FitRunConfig, RecordedConfig, data, where)


def _digest(rows: list[dict[str, Any]], held_out: list[dict[str, Any]]) -> str:
    """Of the rows to learn from and, apart from them, of those that judge."""
    from rlkit.group.rows import rows_digest

    return rows_digest(rows) + (f"-{rows_digest(held_out)}" if held_out else "")
