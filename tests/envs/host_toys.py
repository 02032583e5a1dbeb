"""Gymnasium environments that count, end as they are told, and fail."""

import multiprocessing
import os
import re
import time

import gymnasium
import numpy as np


class Counter(gymnasium.Env):
    """Observes (episode, step); ends after ``limit`` steps by itself or cut off; action 4 pays 1 more."""

    def __init__(self, limit: int = 5, truncates: bool = False, dtype: str = "float32", says: str = ""):
        self.limit, self.truncates, self.says = limit, truncates, says
        self.episode, self.t = -1, 0
        high = 255 if dtype == "uint8" else 1000
        self.observation_space = gymnasium.spaces.Box(0, high, (2,), np.dtype(dtype).type)
        self.action_space = gymnasium.spaces.Discrete(2, start=3)

    def _obs(self):
        return np.array([self.episode, self.t], self.observation_space.dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.episode = -1
        self.episode, self.t = self.episode + 1, 0
        return self._obs(), {}

    def step(self, action):
        self.t += 1
        over = self.t == self.limit
        info = {self.says: self.t == 2} if self.says else {}
        reward = 1.0 + (int(action) == 4)
        return self._obs(), reward, over and not self.truncates, over and self.truncates, info


class Failing(Counter):
    """Fails in step 7 of slot 3, which its process's name tells, or the order in which slots are made."""

    made = 0

    def __init__(self, how: str):
        super().__init__(limit=1000)
        worker = re.search(r"VectorEnv>-(\d+)$", multiprocessing.current_process().name)
        self.how, self.slot, self.steps = how, int(worker[1]) if worker else Failing.made, 0
        Failing.made += 1

    def reset(self, *, seed=None, options=None):
        if self.how == "reset":
            raise KeyError("no such level")
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.steps += 1
        out = super().step(action)
        if self.steps == 7 and self.slot % 4 == 3:
            if self.how == "crash":
                raise ValueError("boom")
            if self.how == "hang":
                time.sleep(60)
            if self.how == "die":
                os._exit(3)
            if self.how == "nan":
                return np.full(2, np.nan, np.float32), *out[1:]
        return out


class Parts(gymnasium.Env):
    """Observations and actions with parts; pays the joint action in digits."""

    def __init__(self):
        self.observation_space = gymnasium.spaces.Dict(
            {"place": gymnasium.spaces.Discrete(3), "speed": gymnasium.spaces.Box(-1.0, 1.0, (2,))}
        )
        self.action_space = gymnasium.spaces.MultiDiscrete([2, 3], start=[1, 0])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"place": 1, "speed": np.array([0.5, -0.5], np.float32)}, {}

    def step(self, action):
        observation = {"place": 2, "speed": np.zeros(2, np.float32)}
        return observation, float(10 * action[0] + action[1]), False, False, {}


class Odd(Counter):
    """Returns something else than it should in the second step."""

    def __init__(self, changes: dict, dtype: str = "float32"):
        super().__init__(dtype=dtype)
        self.changes = changes

    def step(self, action):
        names = "obs", "reward", "terminated", "truncated", "info"
        out = dict(zip(names, super().step(action), strict=True))
        return tuple((out | (self.changes if self.t == 2 else {})).values())


class Drifting(Counter):
    """Draws from where it is told to: the generator that seeds set, or the global one, which no seed does."""

    def __init__(self, own: bool):
        super().__init__()
        self.own = own

    def _obs(self):
        chance = self.np_random if self.own else np.random
        return np.float32([chance.uniform(0, 1), self.t])
