"""What a run is made of, as data: one frozen dataclass that travels through JSON unchanged."""

import ast
import dataclasses
import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rlkit.errors import UsageError, unknown_name
from rlkit.types import Agent

VERSION = 1


class Maker(NamedTuple):
    """Where an agent and its configuration are defined."""

    module: str
    function: str
    config: str


AGENTS: dict[str, Maker] = {
    "ppo": Maker("rlkit.agents.ppo", "ppo", "PPOConfig"),
}


def agent_config(name: str) -> type:
    """The configuration class of a registered agent; an unknown name raises with a suggestion."""
    if name not in AGENTS:
        raise unknown_name("agent", name, AGENTS)
    return getattr(importlib.import_module(AGENTS[name].module), AGENTS[name].config)


def agent_name(config: Any) -> str:
    """The registered name of the agent that ``config`` configures."""
    for name, maker in AGENTS.items():
        if type(config).__name__ == maker.config:
            return name
    known = [maker.config for maker in AGENTS.values()]
    raise unknown_name("agent configuration", type(config).__name__, known)


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


def _default_agent() -> Any:
    return agent_config("ppo")()


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training run computes."""

    env: str = _option("classic/cartpole", "environment id; `rlkit envs` lists them")
    env_options: tuple[str, ...] = _option((), "static choices of the environment, each as key=value")
    agent: Any = field(default_factory=_default_agent, metadata={"help": "hyper-parameters of the agent"})
    reward: str = _option("task", "what the agent is paid; task is the environment's own reward")
    seeds: int = _option(8, "number of seeds, trained side by side")
    seed: int = _option(0, "base seed; seed k of the population uses fold_in(key(seed), k)")
    total_steps: int = _option(500_000, "environment steps per seed")
    log_every: int = _option(0, "updates between two lines of metrics.jsonl; 0 makes about 200 lines")
    probes: int = _option(
        20, "times that latents are recorded and policies judged, beside the start; 0 for never"
    )
    probe_steps: int = _option(512, "steps of the rollout that records latents; 0 records none")
    eval_episodes: int = _option(
        32, "fresh episodes per seed that judge the policy at each probe; 0 for none"
    )
    checkpoint_every: int = _option(0, "updates between checkpoints; 0 makes ten of them")
    keep: int = _option(3, "checkpoints to keep, the newest ones")
    batching: str = _option("auto", "seeds of one device: map (in turn), vmap (at once) or auto")
    devices: int = _option(0, "devices to spread seeds over; 0 takes all, on a CPU one per core")
    threads: int = _option(0, "CPU threads that one operation may be split over; 0: the cores of a device")
    on_nan: str = _option("stop", "when something is not finite: stop, skip (the update) or rollback")
    sinks: tuple[str, ...] = _option((), "where metrics go beside metrics.jsonl: tensorboard, wandb, mlflow")

    def __post_init__(self) -> None:
        for name in ("seeds", "total_steps", "keep"):
            _at_least(self, name, 1)
        for name in (
            "log_every",
            "probes",
            "probe_steps",
            "eval_episodes",
            "checkpoint_every",
            "devices",
            "threads",
        ):
            _at_least(self, name, 0)
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(f"value of {name}", getattr(self, name), known)
        for sink in self.sinks:
            if sink not in SINKS:
                raise unknown_name("sink", sink, SINKS)
        env_options(self)

    def replace(self, **changes: Any) -> "TrainConfig":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


CHOICES = {"batching": ("auto", "map", "vmap"), "on_nan": ("stop", "skip", "rollback")}
SINKS = ("tensorboard", "wandb", "mlflow")


def _at_least(config: Any, name: str, least: int) -> None:
    value = getattr(config, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name}={value!r}: expected an integer of at least {least}")


def env_options(config: TrainConfig) -> dict[str, Any]:
    """The environment's options; values are Python literals where they can be, else text."""
    options = {}
    for text in config.env_options:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"env_options has {text!r}: expected key=value, e.g. actions=discrete")
        try:
            options[name.replace("-", "_")] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name.replace("-", "_")] = value
    return options


def build(config: TrainConfig) -> Agent:
    """Make the agent that a configuration describes.

    Raises:
      UnknownNameError: the environment, an option of it or a feature of the reward is unknown.
      UsageError: the reward cannot be parsed.
    """
    from rlkit.envs import make

    env = make(config.env, **env_options(config))
    maker = AGENTS[agent_name(config.agent)]
    reward = None
    if config.reward != "task":
        from rlkit.rewards import parse

        reward = parse(config.reward)
    return getattr(importlib.import_module(maker.module), maker.function)(env, config.agent, reward=reward)


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """The configuration as JSON data."""
    data = {"version": VERSION}
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if entry.name == "agent":
            value = {"name": agent_name(value)} | {
                f.name: _plain(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)
            }
        data[entry.name] = _plain(entry.name, value)
    return data


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (bool, int, float, str, dict, type(None))):
        return value
    if getattr(value, "shape", None) == ():
        return value.item()
    raise UsageError(f"{name}={value!r}: a run's configuration holds numbers and texts, not arrays")


def _fill(cls: type, data: dict[str, Any], where: str, **ready: Any) -> Any:
    """An instance of a dataclass from JSON data; unknown keys raise with a suggestion."""
    known = {entry.name: entry for entry in dataclasses.fields(cls)}
    values = dict(ready)
    for name, value in data.items():
        if name not in known:
            raise unknown_name("key", name, known, where=where)
        if name in ready:
            continue
        default = getattr(_defaults(cls), name)
        if isinstance(default, tuple):
            value = tuple(value) if isinstance(value, list) else value
        elif isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if default is not None and type(value) is not type(default):
            raise UsageError(f"{name}={value!r} {where}: expected {type(default).__name__}, e.g. {default!r}")
        values[name] = value
    return cls(**values)


def _defaults(cls: type) -> Any:
    return cls()


def from_dict(data: dict[str, Any], where: str = "in the configuration") -> TrainConfig:
    """The inverse of :func:`to_dict`; keys that are left out take their defaults.

    Raises:
      UnknownNameError: an unknown key or agent; the message suggests the nearest one.
      UsageError: a value of the wrong type, or a newer version.
    """
    if not isinstance(data, dict):
        raise UsageError(f"{where}: expected a JSON object, got {type(data).__name__}")
    data = dict(data)
    version = data.pop("version", VERSION)
    if version != VERSION:
        raise UsageError(
            f"version {version!r} {where}: this rlkit reads version {VERSION}; install a matching one"
        )
    chosen = dict(data.get("agent") or {})
    cls = agent_config(chosen.pop("name", "ppo"))
    return _fill(TrainConfig, data, where, agent=_fill(cls, chosen, f"of the agent {where}"))


def load(path: str | Path) -> TrainConfig:
    """Read a configuration from a JSON file, e.g. ``runs/.../config.json``."""
    from rlkit.experiment.store import read_json

    return from_dict(read_json(Path(path)), f"in {path}")


def save(path: Path, config: TrainConfig) -> None:
    """Write a configuration as JSON; :func:`load` gives an equal one."""
    from rlkit.experiment.store import write_json

    write_json(path, to_dict(config))
