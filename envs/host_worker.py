"""One Gymnasium environment whose observations are records. Runs where the environment runs.

A record is one flat array: what the agent sees, and after it the facts, float32 numbers that features,
success and fitness are made of. In one array they survive automatic resets and shared memory as observations
do. Nothing here imports JAX, so that worker processes start quickly (functions reach them by value).
"""

import math
import multiprocessing
import signal
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

COMMON = ("reward", "returned", "success", "fitness")
"""Facts that every environment has, in order: reward of the step that led here (0 at reset), sum of the
episode's rewards, the sparse success signal and the fitness; the meter's own come after them."""

Meter = Callable[..., tuple[bool, float, tuple[float, ...]]]
"""``meter(env, obs, reward, terminated, info, memory) -> (success, fitness, further facts)``, called after
reset (with reward 0 and an empty memory) and after every step; ``memory`` is a dict that lives for an episode
and holds ``"returned"``."""


def plain(env: Any, obs: Any, reward: float, terminated: bool, info: dict, memory: dict) -> tuple:
    """The meter of an environment of which nothing is known."""
    told = info.get("is_success", info.get("success", False))
    return flag(told, "success"), memory["returned"], ()


def flag(value: Any, what: str) -> bool:
    """What an environment says is so or not. Texts, NaN and arrays count as true in Python, and say nothing.

    Raises:
      ValueError: it is no bool and no finite number.
    """
    if value is True or value is False:
        return value
    known = isinstance(value, bool | int | float | np.number | np.bool_ | np.ndarray) and np.ndim(value) == 0
    if not known or not np.isfinite(value):
        raise ValueError(f"returned {what}={value!r:.60}; expected True or False")
    return bool(value)


def seen_space(space: spaces.Space) -> tuple[spaces.Space, bool]:
    """The space of what an agent sees, and whether observations are flattened for it.

    Boxes and ``Discrete`` stay; what has parts becomes one vector.

    Raises:
      TypeError: elements have no fixed number of entries.
    """
    if isinstance(space, spaces.Box | spaces.Discrete):
        return space, False
    if not space.is_np_flattenable:
        raise TypeError(f"its observation space is {space}, whose elements have no fixed size")
    return spaces.flatten_space(space), True


def time_limit_of(env: gymnasium.Env) -> int | None:
    """The time limit of an environment in steps, None if it has none."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return env._max_episode_steps
        env = env.env
    return None


def limited(make: Callable[..., gymnasium.Env], limit: int, **options: Any) -> gymnasium.Env:
    """An environment that ends: with this time limit, if it has none."""
    env = make(**options)
    return env if time_limit_of(env) else gymnasium.wrappers.TimeLimit(env, limit)


def record_dtype(space: spaces.Space) -> Any:
    """Bytes stay bytes, everything else travels as float32."""
    return np.uint8 if space.dtype == np.uint8 else np.float32


def number(reward: Any) -> float:
    """A reward as a number.

    Raises:
      ValueError: it is none, or not finite in float32.
    """
    plain_float = type(reward) is float  # in each step of each slot: NumPy would take as long as all the rest
    if not plain_float and (isinstance(reward, str) or np.ndim(reward) != 0 or reward is None):
        raise ValueError(f"returned the reward {reward!r:.60}; expected a number")
    value = float(reward)
    if not abs(value) <= _LARGEST:
        raise ValueError(f"returned the reward {value!r}, which is not finite in float32")
    return value


_LARGEST = float(np.finfo(np.float32).max)


def said(error: BaseException) -> str:
    """The type of an error and what it says, if its own ``__str__`` does not fail."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:
        return name


class Recorded(gymnasium.Wrapper):
    """A Gymnasium environment that observes records.

    Args:
      env: the environment.
      slot: its number in the batch, for messages.
      meter: measures the facts.
      num_facts: how many there are, the common ones included.
    """

    def __init__(self, env: gymnasium.Env, slot: int, meter: Meter, num_facts: int):
        super().__init__(env)
        self.slot, self.meter, self.num_facts = slot, meter, num_facts
        self.doing: str | None = None  # "reset" or "step" while the environment computes
        self.seen, self.flattened = seen_space(env.observation_space)
        self.dtype = record_dtype(self.seen)
        self.split = math.prod(self.seen.shape or ())  # where the facts begin
        self.width = width = self.split + self.facts_width()
        self.shape = self.seen.shape or ()
        self.inner = env.unwrapped  # looked up once: a property of every wrapper in between
        low, high = (0, 255) if self.dtype == np.uint8 else (-np.inf, np.inf)
        self.observation_space = spaces.Box(low, high, (width,), self.dtype)
        self.memory: dict[str, Any] = {}

    def facts_width(self) -> int:
        """Entries of a record that the facts take."""
        return self.num_facts * (4 // np.dtype(self.dtype).itemsize)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        self.doing = "reset"
        try:
            obs, info = self.env.reset(seed=seed, options=options)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit too: it would end a thread or a process without a word
            raise self._failed(error) from error
        self.doing = None
        self.memory = {"returned": 0.0}
        return self._told(obs, 0.0, False, False, info)[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.doing = "step"
        try:
            obs, reward, terminated, truncated, info = self.env.step(action)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._failed(error) from error
        self.doing = None
        return *self._told(obs, reward, terminated, truncated, info), {}

    def _failed(self, error: BaseException) -> RuntimeError:
        return RuntimeError(f"slot {self.slot} failed in {self.doing}: {said(error)}")

    def _told(self, obs: Any, reward: Any, terminated: Any, truncated: Any, info: Any) -> tuple:
        """Record, reward and flags of what the environment returned, which may be anything."""
        try:
            flags = flag(terminated, "terminated"), flag(truncated, "truncated")
            if not isinstance(info, dict):
                raise ValueError(f"returned info={info!r:.60}; expected a dict")
            reward = number(reward)
            self.memory["returned"] += reward
            return self._record(obs, reward, flags[0], info), reward, *flags
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RuntimeError(f"slot {self.slot} {error}") from error

    def _record(self, obs: Any, reward: float, terminated: bool, info: dict) -> np.ndarray:
        seen: Any = spaces.flatten(self.env.observation_space, obs) if self.flattened else obs
        if np.shape(seen) != self.shape:
            raise ValueError(f"returned an observation of shape {np.shape(seen)}; expected {self.shape}")
        success, fitness, more = self.meter(self.inner, seen, reward, terminated, info, self.memory)
        facts = (reward, self.memory["returned"], success, fitness, *more)
        record = np.empty(self.width, self.dtype)
        record[: self.split] = seen if len(self.shape) == 1 else np.ravel(seen)
        if self.dtype is np.float32:
            record[self.split :] = facts
        else:
            if getattr(seen, "dtype", None) != np.uint8 and np.any(record[: self.split] != np.ravel(seen)):
                raise ValueError(
                    "returned an observation that is no array of bytes (uint8), as its space says"
                )
            record[self.split :] = np.array(facts, np.float32).view(np.uint8)
        return record


class Blueprint:
    """Makes one environment of a batch, in this process or in one of its own."""

    def __init__(self, make: Callable[[], gymnasium.Env], slot: int, meter: Meter, num_facts: int):
        self.make, self.slot, self.meter, self.num_facts = make, slot, meter, num_facts

    def __call__(self) -> Recorded:
        if multiprocessing.parent_process() is not None:  # Ctrl-C is for the parent, which closes its workers
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return Recorded(self.make(), self.slot, self.meter, self.num_facts)
