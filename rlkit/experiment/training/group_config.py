"""What a run of a group trainer is made of, as data."""

import ast
from dataclasses import dataclass, field
from typing import Any

from rlkit.errors import UsageError
from rlkit.experiment.runs import sinks
from rlkit.experiment.training import config
from rlkit.experiment.training.config import ON_NAN
from rlkit.fields import Config, check, not_float32, option, shown
from rlkit.group.trainer_config import GroupConfig


@dataclass(frozen=True)
class PolicyRunConfig(Config):
    """What all trainings of policies of tokens are made of."""

    task: str = option("tokens/modular", "task of tokens, or module:maker; `rlkit group tasks` lists them")
    task_options: tuple[str, ...] = option((), "arguments of the task, each as key=value")
    policy: str = option(
        "decoder", "policy: decoder, table, smollm2, run (of an earlier run), or module:maker"
    )
    policy_options: tuple[str, ...] = option((), "arguments of the policy, each as key=value")
    preset: str = option("grpo", "method; `rlkit group presets` lists them")
    preset_options: tuple[str, ...] = option((), "arguments of the method, each as key=value")
    loss: tuple[str, ...] = option(
        (), "other arguments of the method's loss, each as key=value: clip_high=0.28, entropy_coef=0.01"
    )
    updates: int = option(
        300, "updates of each seed; schedules are laid out over them", low=1, high=2**31 - 1
    )
    seeds: int = option(1, "number of seeds, trained side by side", low=1)
    seed: int = option(0, "base seed; seed k uses fold_in(key(seed), k)", low=0, high=2**32 - 1)
    log_every: int = option(0, "updates between two lines of metrics.jsonl; 0 makes about 200 lines", low=0)
    probes: int = option(
        10, "times that the policy is judged, beside the start; 0 for never", low=0, high=1_000_000
    )
    sample_prompts: int = option(4, "prompts whose completions are kept at each probe; 0: none", low=0)
    checkpoint_every: int = option(0, "updates between checkpoints; 0 makes ten of them", low=0)
    keep: int = option(3, "checkpoints to keep, the newest ones", low=1)
    batching: str = option(
        "auto", "seeds of one device: map (in turn), vmap (at once) or auto", choices=("auto", "map", "vmap")
    )
    spread: bool = option(False, "deal the prompts of a seed out over the devices, instead of the seeds")
    devices: int = option(0, "devices to use; 0 takes all, on a CPU one per core", low=0, high=4096)
    threads: int = option(
        0, "CPU threads that one operation may use; 0: the cores of a device", low=0, high=4096
    )
    on_nan: str = option("stop", "when something is not finite: stop, skip or rollback", choices=ON_NAN)
    sinks: tuple[str, ...] = option(
        (), "where metrics go beside metrics.jsonl: tensorboard, wandb, mlflow, or module:maker"
    )

    def __post_init__(self) -> None:
        check(self)
        for name in self.sinks:
            sinks.TABLE[name]  # raises for what is not there
        for name in ("task_options", "policy_options", "preset_options", "loss"):
            literals(name, getattr(self, name))

    # What run folders ask of any configuration.
    env = property(lambda self: self.task)
    agent_name = property(lambda self: self.preset)
    reward = property(lambda self: self.policy)
    probe_steps = property(lambda self: self.sample_prompts)
    untrained, buffer, sweep = 0, "keep", ()


@dataclass(frozen=True)
class GroupRunConfig(PolicyRunConfig):
    """Everything that decides what a training of a token policy computes."""

    kind = "group"

    rewards: tuple[str, ...] = option(
        (), "reward functions of texts with TRL's signature, each as module:function"
    )
    weights: tuple[str, ...] = option(
        (), "what is paid: NAME=NUMBER for terms of the task and for reward functions; none: the task's own"
    )
    eval_prompts: int = option(
        64, "fresh prompts per seed that judge the policy at each probe; 0: none", low=0
    )
    trainer: GroupConfig = field(
        default_factory=GroupConfig, metadata={"help": "hyper-parameters of the trainer"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.trainer)
        _weights(self.weights)

    eval_episodes = property(lambda self: self.eval_prompts)

    @property
    def total_steps(self) -> int:
        """Completions of a seed."""
        return self.updates * self.trainer.prompts * self.trainer.group_size

    def build(self) -> Any:
        """Make the trainer.

        Raises:
          UnknownNameError: task, policy, method, an option or a reward is unknown.
          UsageError: they do not fit each other.
        """
        from rlkit.envs.tokens import make_task
        from rlkit.group.judging import from_text
        from rlkit.group.policies.registry import make_policy
        from rlkit.group.spreading import spread
        from rlkit.group.training import trainer
        from rlkit.registry import load_target

        task = make_task(self.task, **literals("task_options", self.task_options))
        policy = make_policy(self.policy, task, **literals("policy_options", self.policy_options))
        rewards = [from_text(load_target(name), task) for name in self.rewards]
        options = literals("preset_options", self.preset_options)
        loss, weights = literals("loss", self.loss), _weights(self.weights) or None
        chosen = self.trainer.replace(total_updates=self.updates)

        def make(prompts: int, axis_name: str | None) -> Any:
            return trainer(
                task, policy, self.preset, chosen.replace(prompts=prompts), rewards=rewards, weights=weights,
                options=options, loss=loss, axis_name=axis_name,
            )  # fmt: skip

        if not self.spread:
            return make(chosen.prompts, None)
        from rlkit.experiment.training import devices

        return spread(make, chosen.prompts, devices.choose(self.devices))


def literals(name: str, texts: tuple[str, ...]) -> dict[str, Any]:
    """Options ``key=value``; values are Python literals where they can be, else text.

    Raises:
      UsageError: one has no key or no value.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.replace("-", "_").isidentifier():
            raise UsageError(f"{name} has {shown(text)}: expected key=value, e.g. base=10")
        try:
            found[key.replace("-", "_")] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            found[key.replace("-", "_")] = value
    return found


def _weights(texts: tuple[str, ...]) -> dict[str, float]:
    found = literals("weights", texts)
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not_float32(value):
            raise UsageError(f"weights has {name}={shown(value)}: expected a number")
    return {name: float(value) for name, value in found.items()}


def from_data(data: dict[str, Any], where: str) -> GroupRunConfig:
    """A configuration from JSON data without ``version`` and ``kind``; what is left out takes its default.

    Raises:
      UnknownNameError: an unknown key; the message suggests the nearest one.
      UsageError: a value of the wrong type.
    """
    return filled(GroupRunConfig, GroupConfig, data, where)


def filled(cls: type, trainer: type, data: dict[str, Any], where: str) -> Any:
    """A configuration, and that of its trainer, from JSON data."""
    own = data.get("trainer", {})
    if not isinstance(own, dict):
        raise UsageError(f"trainer={shown(own)} {where}: expected an object")
    return config.fill(cls, data, where, trainer=config.fill(trainer, own, f"of the trainer {where}"))
