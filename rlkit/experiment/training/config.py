"""What a run is made of, as data: one frozen dataclass that travels through JSON unchanged."""

import ast
import contextlib
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rlkit.agents import registry
from rlkit.errors import UnknownNameError, UsageError, unknown_name
from rlkit.experiment.runs import sinks
from rlkit.experiment.training.members import Members, parse_grid, sweep
from rlkit.fields import Config, check, option, shown
from rlkit.registry import is_target, load_target
from rlkit.types import Agent

VERSION = 1
KINDS = {
    "group": "rlkit.experiment.training.group_config:from_data",
    "fit": "rlkit.experiment.training.fit_config:from_data",
}
"""What else than agents runs train: by the key ``kind``, functions ``from_data(data, where) -> settings``."""
BUFFERS = ("keep", "forget")
ON_NAN = ("stop", "skip", "rollback")
_LONGEST = 1000  # characters of an option of the environment


def _default_agent() -> Any:
    return registry.config_class("ppo")()


@dataclass(frozen=True)
class TrainConfig(Config):
    """Everything that decides what a training run computes."""

    env: str = option("classic/cartpole", "environment id; `rlkit envs` lists them")
    env_options: tuple[str, ...] = option((), "static choices of the environment, each as key=value")
    agent: Any = field(default_factory=_default_agent, metadata={"help": "hyper-parameters of the agent"})
    algorithm: str = ""  # "module:maker" of an agent that is not in the table
    reward: str = option("task", "what the agent is paid; task is the environment's own reward")
    sweep: tuple[str, ...] = option(
        (), "numbers to vary side by side, each NAME=VALUE,VALUE,...: agent.learning-rate=1e-4,3e-4"
    )
    seeds: int = option(8, "number of seeds (of each member of a sweep), trained side by side", low=1)
    seed: int = option(
        0, "base seed; seed k of the population uses fold_in(key(seed), k)", low=0, high=2**32 - 1
    )
    total_steps: int = option(500_000, "environment steps per seed", low=1, high=2**53)
    log_every: int = option(0, "updates between two lines of metrics.jsonl; 0 makes about 200 lines", low=0)
    probes: int = option(
        20,
        "times that latents are recorded and policies judged, beside the start; 0 for never",
        low=0,
        high=1_000_000,
    )
    probe_steps: int = option(512, "steps of the rollout that records latents; 0 records none", low=0)
    untrained: int = option(
        20, "untrained networks per seed that see the last recording's observations; 0 for none", low=0
    )
    eval_episodes: int = option(
        32, "fresh episodes per seed that judge the policy at each probe; 0 for none", low=0
    )
    checkpoint_every: int = option(0, "updates between checkpoints; 0 makes ten of them", low=0)
    keep: int = option(3, "checkpoints to keep, the newest ones", low=1)
    buffer: str = option(
        "keep",
        "replay buffers in checkpoints: keep (in the newest) or forget (resuming begins with empty ones)",
        choices=BUFFERS,
    )
    batching: str = option(
        "auto", "seeds of one device: map (in turn), vmap (at once) or auto", choices=("auto", "map", "vmap")
    )
    devices: int = option(
        0, "devices to spread seeds over; 0 takes all, on a CPU one per core", low=0, high=4096
    )
    threads: int = option(
        0, "CPU threads that one operation may be split over; 0: the cores of a device", low=0, high=4096
    )
    on_nan: str = option(
        "stop", "when something is not finite: stop, skip (the update) or rollback", choices=ON_NAN
    )
    sinks: tuple[str, ...] = option(
        (), "where metrics go beside metrics.jsonl: tensorboard, wandb, mlflow, or module:maker"
    )

    def __post_init__(self) -> None:
        check(self)
        check(self.agent)
        for name in self.sinks:
            sinks.TABLE[name]  # raises for what is not there
        env_options(self)
        parse_grid(self.sweep)

    def settled(self) -> Self:
        """With what only a start can know: where the file of the reward is."""
        from rlkit.rewards.reading import reward_file

        file = reward_file(self.reward)
        return self if file is None else self.replace(reward=str(file.absolute()))

    def build(self) -> Agent:
        """The agent, see :func:`build`."""
        from rlkit.envs import make

        env = make(self.env, **env_options(self))
        reward = None
        if self.reward != "task":
            from rlkit.rewards import read

            reward = read(self.reward, env.spec)
        agent = registry.TABLE.make(self.agent_name, env, self.agent, reward=reward)
        # A reward model that is fitted to answers is a learner and no agent.
        if not all(callable(getattr(agent, name, None)) for name in ("init", "step")):
            raise UsageError(f"{self.agent_name} made a {type(agent).__name__}; expected a rlkit.types.Agent")
        return agent

    @property
    def agent_name(self) -> str:
        """The agent's name in the table, or its maker."""
        return self.algorithm or registry.name_of(self.agent)


def env_options(config: Any) -> dict[str, Any]:
    """The environment's options; values are Python literals where they can be, else text."""
    options = {}
    for text in config.env_options:
        name, equals, value = text.partition("=")
        if not equals or not name or len(text) > _LONGEST:
            raise UsageError(
                f"env_options has {shown(text)}: expected key=value, e.g. actions=discrete, "
                f"of at most {_LONGEST} characters"
            )
        try:
            options[name.replace("-", "_")] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            options[name.replace("-", "_")] = value
    return options


def settled(config: Any) -> Any:
    """A configuration as a run begins with it: with what only a start can know, such as a digest of data."""
    return config.settled() if hasattr(config, "settled") else config


def build(config: Any) -> Any:
    """Make the agent, or the other learner, that a configuration describes.

    The reward is read by :func:`rlkit.rewards.read`; ``"task"`` is the environment's own.

    Raises:
      UnknownNameError: the environment, an option of it or a feature of the reward is unknown.
      UsageError: the reward cannot be parsed.
    """
    return config.build()


def members(config: Any, agent: Agent) -> Members | None:
    """The members that a configuration sweeps over; None without a sweep.

    Raises:
      UsageError: a number cannot be swept, see :func:`rlkit.experiment.training.members.sweep`.
    """
    return sweep(agent, parse_grid(config.sweep)) if config.sweep else None


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as JSON data: of a training, or another dataclass with an agent."""
    data: dict[str, Any] = {"version": VERSION}
    if kind := getattr(config, "kind", ""):
        data["kind"] = kind
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if entry.name == "algorithm":
            continue
        if entry.name == "agent":
            value = {"name": config.agent_name} | {
                f.name: _plain(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)
            }
        elif dataclasses.is_dataclass(value):
            value = {f.name: _plain(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)}
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


def fill(cls: type, data: dict[str, Any], where: str, **ready: Any) -> Any:
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
            with contextlib.suppress(OverflowError):  # the check below says that it is no float
                value = float(value)
        if default is not None and type(value) is not type(default):
            wanted = f"expected {type(default).__name__}, e.g. {default!r}"
            raise UsageError(f"{name}={shown(value)} {where}: {wanted}")
        values[name] = value
    try:
        return cls(**values)
    except UnknownNameError:
        raise
    except UsageError as error:  # a number out of range, or values that do not go together
        raise type(error)(f"{error} ({where})") from None


def _defaults(cls: type) -> Any:
    return cls()


def from_dict(data: dict[str, Any], where: str = "in the configuration", cls: type = TrainConfig) -> Any:
    """The inverse of :func:`to_dict`; keys that are left out take their defaults.

    Args:
      data: the JSON data.
      where: it comes from, for messages.
      cls: what it describes.

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
            f"version {shown(version)} {where}: this rlkit reads version {VERSION}; install a matching one"
        )
    kind = data.pop("kind", "")
    if kind:
        if kind not in KINDS:
            raise unknown_name("kind", kind, KINDS, where=where)
        return load_target(KINDS[kind])(data, where)
    agent = data.get("agent", {})
    if not isinstance(agent, dict) or not isinstance(agent.get("name", ""), str):
        raise UsageError(f'agent={shown(agent)} {where}: expected an object like {{"name": "ppo"}}')
    chosen = dict(agent)
    name = chosen.pop("name", "ppo")
    hyper = fill(registry.config_class(name), chosen, f"of the agent {where}")
    return fill(cls, data, where, agent=hyper, algorithm=name if is_target(name) else "")


def load(path: str | Path) -> TrainConfig:
    """Read a configuration from a JSON file, e.g. ``runs/.../config.json``."""
    from rlkit.experiment.runs.store import read_json

    return from_dict(read_json(Path(path)), f"in {path}")


def save(path: Path, config: TrainConfig) -> None:
    """Write a configuration as JSON; :func:`load` gives an equal one."""
    from rlkit.experiment.runs.store import write_json

    write_json(path, to_dict(config))
