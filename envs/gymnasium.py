"""Pure environments as Gymnasium environments, single and vectorised, for other people's agents."""

import functools
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from rlkit.envs.core import advance, reset
from rlkit.errors import UsageError
from rlkit.parameters import resolve
from rlkit.reads import reward_reads, task_reads
from rlkit.spaces import Discrete, Space
from rlkit.types import Environment, EnvState, Key, PyTree, Reward, Terms, Transition


class _Slot(NamedTuple):
    """One running environment."""

    key: Key
    state: EnvState
    obs: jax.Array
    reward: PyTree  # the reward's memory, kept from episode to episode
    first: jax.Array  # bool []: `obs` is the first of an episode


class _Outcome(NamedTuple):
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    success: jax.Array
    terms: Terms


class _Given(NamedTuple):
    """The numbers of a program: they are its arguments, so that another weight compiles nothing anew."""

    env: Any
    reward: PyTree


class _Program(NamedTuple):
    begin: Any  # (key, given) -> slot
    renew: Any  # (slot, given) -> slot: the next episode
    step: Any  # (slot, action, given) -> (slot, outcome)


class _Kind(NamedTuple):
    """What decides the program of a slot; hashable."""

    env: Environment
    reward: Reward | None  # without its parameters
    reads: tuple[str, ...]


def _kind(env: Environment, reward: Reward | None) -> _Kind:
    reads = {*task_reads(env), *(reward_reads(reward, env.spec) if reward is not None else ())}
    return _Kind(env, reward if reward is None else reward._replace(params=()), tuple(sorted(reads)))


def _program(kind: _Kind) -> _Program:
    """What one slot does, as pure functions."""
    env, reward, reads = kind

    def read(state: EnvState, params: Any) -> dict[str, jax.Array]:
        features = env.features(state.inner, params)
        return {name: features[name] for name in reads}

    def begin(key: Key, given: _Given) -> _Slot:
        key, key_reward, key_reset = jax.random.split(key, 3)
        obs, state = reset(env, key_reset, given.env)
        memory = reward.init(key_reward) if reward is not None else ()
        return _Slot(key, state, obs, memory, jnp.ones((), bool))

    def renew(slot: _Slot, given: _Given) -> _Slot:
        key, key_reset = jax.random.split(slot.key)
        obs, state = reset(env, key_reset, given.env)
        return _Slot(key, state, obs, slot.reward, jnp.ones((), bool))

    def step(slot: _Slot, action: jax.Array, given: _Given) -> tuple[_Slot, _Outcome]:
        params = given.env
        key, key_step = jax.random.split(slot.key)
        out = advance(env, key_step, slot.state, action, params)
        before, after = read(slot.state, params), read(out.state, params)
        paid, terms = env.task_reward(before, action, after, params)
        memory = slot.reward
        if reward is not None:
            flags = (out.terminated, out.truncated, out.success, slot.first)
            transition = Transition(slot.obs, action, out.obs, before, after, paid, *flags)
            memory, paid, terms = reward.apply(memory, transition, given.reward)
        outcome = _Outcome(paid, out.terminated, out.truncated, out.success, terms)
        return _Slot(key, out.state, out.obs, memory, jnp.zeros((), bool)), outcome

    return _Program(begin, renew, step)


@functools.lru_cache(maxsize=64)
def _single(kind: _Kind) -> _Program:
    return _Program(*(jax.jit(f) for f in _program(kind)))


@functools.lru_cache(maxsize=64)
def _batched(kind: _Kind) -> _Program:
    begin, renew, step = _program(kind)

    def renew_one(slots: _Slot, index: jax.Array, given: _Given) -> _Slot:
        fresh = renew(jax.tree.map(lambda x: x[index], slots), given)
        return jax.tree.map(lambda x, new: x.at[index].set(new), slots, fresh)

    # One world after the other: generating many at once is slower than linear on a CPU.
    return _Program(
        jax.jit(lambda keys, given: jax.lax.map(lambda key: begin(key, given), keys)),
        jax.jit(renew_one),
        jax.jit(jax.vmap(step, (0, 0, None))),
    )


def _space(space: Space) -> gymnasium.Space:
    """Gymnasium's counterpart of a space."""
    if isinstance(space, Discrete):
        return gymnasium.spaces.Discrete(space.n)
    low, high = space.bounds()
    dtype = np.dtype(space.dtype)
    return gymnasium.spaces.Box(low.astype(dtype), high.astype(dtype), space.shape, dtype.type)


def _info(outcome: _Outcome) -> dict[str, Any]:
    terms = {name: float(value) for name, value in outcome.terms.items()}
    return {"success": bool(outcome.success), "terms": terms}


class GymnasiumEnv(gymnasium.Env):
    """One environment behind Gymnasium's interface; made by :func:`to_gymnasium`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (Gymnasium's convention)

    def __init__(self, env: Environment, params: Any, reward: Reward | None, render_mode: str | None):
        self.source, self.params, self.render_mode = env, params, render_mode
        self.observation_space = _space(env.spec.observation_space)
        self.action_space = _space(env.spec.action_space)
        self._run = _single(_kind(env, reward))
        self._given = _Given(params, () if reward is None else resolve("params", reward.params))
        self._slot: _Slot | None = None

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        if self._slot is None or seed is not None:
            number = seed if seed is not None else int(self.np_random.integers(2**31))
            self._slot = self._run.begin(jax.random.key(number), self._given)
        else:
            self._slot = self._run.renew(self._slot, self._given)
        return np.array(self._slot.obs), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self._slot is None:
            raise gymnasium.error.ResetNeeded("step was called before reset; call reset first")
        action = _checked(action, self.source.spec.action_space, ())
        self._slot, outcome = self._run.step(self._slot, action, self._given)
        outcome = jax.device_get(outcome)
        ended = bool(outcome.terminated), bool(outcome.truncated)
        return np.array(self._slot.obs), float(outcome.reward), *ended, _info(outcome)

    def render(self) -> np.ndarray | None:
        if self.render_mode is None:
            gymnasium.logger.warn("render was called without a render_mode; pass render_mode='rgb_array'")
            return None
        if self._slot is None:
            raise gymnasium.error.ResetNeeded("render was called before reset; call reset first")
        return self.source.render(jax.device_get(self._slot.state.inner), self.params)


class GymnasiumVectorEnv(VectorEnv):
    """A batch of environments with same-step reset; made by :func:`to_gymnasium`.

    Where an episode ends, the returned observation is the first of the next one, and
    ``info["final_obs"]`` and ``info["final_info"]`` belong to the last step.
    """

    def __init__(
        self, env: Environment, num_envs: int, params: Any, reward: Reward | None, render_mode: str | None
    ):
        self.source, self.params, self.render_mode = env, params, render_mode
        self.num_envs = num_envs
        self.metadata = {**GymnasiumEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = _space(env.spec.observation_space)
        self.single_action_space = _space(env.spec.action_space)
        batch = gymnasium.vector.utils.batch_space
        self.observation_space = batch(self.single_observation_space, num_envs)
        self.action_space = batch(self.single_action_space, num_envs)
        self._run = _batched(_kind(env, reward))
        self._given = _Given(params, () if reward is None else resolve("params", reward.params))
        self._slots: _Slot | None = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all episodes anew; seeded ``s``, slot ``i`` acts as a single environment seeded ``s + i``."""
        super().reset(seed=seed if isinstance(seed, int) else None)
        drawn = self.np_random.integers(2**31, size=self.num_envs)
        if seed is None:
            numbers = drawn
        elif isinstance(seed, int):
            numbers = seed + np.arange(self.num_envs)
        elif len(seed) == self.num_envs:
            numbers = np.array([d if s is None else s for s, d in zip(seed, drawn, strict=True)])
        else:
            raise UsageError(
                f"seed has {len(seed)} entries; expected one for each of {self.num_envs} environments"
            )
        keys = jax.vmap(jax.random.key)(jnp.asarray(numbers.astype(np.uint32)))
        self._slots = self._run.begin(keys, self._given)
        return np.array(self._slots.obs), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._slots is None:
            raise gymnasium.error.ResetNeeded("step was called before reset; call reset first")
        actions = _checked(actions, self.source.spec.action_space, (self.num_envs,))
        self._slots, outcome = self._run.step(self._slots, actions, self._given)
        outcome = jax.device_get(outcome)
        ended = np.flatnonzero(outcome.terminated | outcome.truncated)
        last_obs = np.array(self._slots.obs)
        infos: dict[str, Any] = {}
        for index in range(self.num_envs):
            info = _info(jax.tree.map(lambda x, index=index: x[index], outcome))
            if index in ended:
                infos = self._add_info(
                    infos, {"final_obs": last_obs[index].copy(), "final_info": info}, index
                )
                self._slots = self._run.renew(self._slots, jnp.int32(index), self._given)
            else:
                infos = self._add_info(infos, info, index)
        rewards = np.asarray(outcome.reward, np.float64)
        flags = np.array(outcome.terminated), np.array(outcome.truncated)
        return np.array(self._slots.obs), rewards, *flags, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        if self.render_mode is None or self._slots is None:
            return None
        states = jax.device_get(self._slots.state.inner)
        rows = (jax.tree.map(lambda x, i=i: x[i], states) for i in range(self.num_envs))
        return tuple(self.source.render(row, self.params) for row in rows)


def _checked(action: Any, space: Space, batch: tuple[int, ...]) -> np.ndarray:
    """The action as an array of the space's dtype; wrong shapes and numbers are errors."""
    array = np.asarray(action)
    expected = (*batch, *space.shape)
    if array.shape != expected:
        raise ValueError(f"action has shape {array.shape}; expected {expected}")
    if isinstance(space, Discrete) and not np.all((array >= 0) & (array < space.n)):
        raise ValueError(f"action={action!r} is outside 0 .. {space.n - 1}")
    return array.astype(space.dtype)


def to_gymnasium(
    env: Environment,
    num_envs: int | None = None,
    *,
    params: Any = None,
    reward: Reward | None = None,
    render_mode: str | None = None,
) -> GymnasiumEnv | GymnasiumVectorEnv:
    """Give a pure environment Gymnasium's interface.

    Args:
      env: the environment.
      num_envs: None makes a ``gymnasium.Env``; a number makes a ``gymnasium.vector.VectorEnv`` of so many
        in ``SAME_STEP`` mode, with the true last observation in ``info["final_obs"]``.
      params: the environment's parameters; None takes ``env.default_params()``.
      reward: what is paid instead of the environment's own reward. Its memory lives on from episode to
        episode and begins anew with ``reset(seed=...)``.
      render_mode: None or ``"rgb_array"``.

    Returns:
      The Gymnasium environment. ``info`` holds ``success`` and the reward's ``terms`` by name.

    Raises:
      UsageError: the environment is not pure, or an argument is out of range.
      UnknownNameError: the reward reads a feature that the environment does not have.
    """
    if not env.spec.pure:
        raise UsageError(
            f"{env.spec.id} is not a pure environment: it already runs on the host, use it directly"
        )
    if render_mode not in (None, "rgb_array"):
        raise UsageError(f"render_mode={render_mode!r}: expected None or 'rgb_array'")
    if num_envs is not None and num_envs < 1:
        raise UsageError(f"num_envs={num_envs}: expected at least 1, or None for a single environment")
    params = env.default_params() if params is None else params
    if num_envs is None:
        return GymnasiumEnv(env, params, reward, render_mode)
    return GymnasiumVectorEnv(env, num_envs, params, reward, render_mode)
