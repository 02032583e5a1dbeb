"""Pure environments as Gymnasium environments, single and vectorised, for other people's agents."""

import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from rlkit.envs.check import check_environment
from rlkit.envs.core import advance, features, proper, reset, task_reward
from rlkit.errors import UsageError, check_count, unknown_name
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
        seen = features(env, state.inner, params)
        return {name: seen[name] for name in reads}

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
        paid, terms = task_reward(env, before, action, after, params)
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
        return gymnasium.spaces.Discrete(space.n, start=space.start)
    if space.dtype == "bool" and space.shape:
        return gymnasium.spaces.MultiBinary(space.shape)
    if space.integer:
        dtype = np.dtype("int8" if space.dtype == "bool" else space.dtype)
        low, high = (_whole(bound, space.shape, dtype) for bound in (space.low, space.high))
    else:
        standard = ("float16", "float32", "float64")  # NumPy has no others
        dtype = np.dtype(space.dtype if space.dtype in standard else "float32")
        low, high = (bound.astype(dtype) for bound in space.bounds())
    if space.dtype == "bool":
        low, high = np.zeros_like(low), np.ones_like(high)
    return gymnasium.spaces.Box(low, high, space.shape, dtype.type)


def _whole(bound: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A bound as integers; where there is none, the end of the dtype's range."""
    limits = np.iinfo(dtype)
    values = np.asarray(bound, np.float64)
    values = np.broadcast_to(values.reshape(shape) if values.ndim else values, shape)
    below, above = values <= limits.min, values >= limits.max
    inside = np.where(below | above, 0.0, values).astype(dtype)
    return np.where(below, limits.min, np.where(above, limits.max, inside)).astype(dtype)


def _shown(obs: Any, space: gymnasium.Space) -> Any:
    """An observation as Gymnasium's own environments give it: an int for ``Discrete``, else an array."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(obs)
    return np.array(obs).astype(space.dtype)


def _info(outcome: _Outcome) -> dict[str, Any]:
    terms = {name: float(value) for name, value in outcome.terms.items()}
    return {"success": bool(outcome.success), "terms": terms}


@jax.jit
def _keep(kept: jax.Array, slots: _Slot, others: _Slot) -> _Slot:
    """Those of ``slots`` where ``kept [B]``, else of ``others``."""
    pick = lambda a, b: jnp.where(kept.reshape(-1, *[1] * (a.ndim - 1)), a, b)
    return jax.tree.map(pick, slots, others)


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

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        seed = None if seed is None else operator.index(seed)
        super().reset(seed=seed)
        if self._slot is None or seed is not None:
            number = seed if seed is not None else int(self.np_random.integers(2**31))
            self._slot = self._run.begin(jax.random.key(number), self._given)
        else:
            self._slot = self._run.renew(self._slot, self._given)
        return _shown(self._slot.obs, self.observation_space), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._slot is None:
            raise gymnasium.error.ResetNeeded("step was called before reset; call reset first")
        action = proper(action, self.source.spec.action_space, ())
        self._slot, outcome = self._run.step(self._slot, action, self._given)
        outcome = jax.device_get(outcome)
        ended = bool(outcome.terminated), bool(outcome.truncated)
        obs = _shown(self._slot.obs, self.observation_space)
        return obs, float(outcome.reward), *ended, _info(outcome)

    def render(self) -> np.ndarray | None:
        if self.render_mode is None:
            gymnasium.logger.warn("render was called without a render_mode; pass render_mode='rgb_array'")
            return None
        if self._slot is None:
            raise gymnasium.error.ResetNeeded("render was called before reset; call reset first")
        return self.source.render(jax.device_get(self._slot.state.inner), self.params)


class GymnasiumVectorEnv(VectorEnv):
    """A batch of environments; made by :func:`to_gymnasium`, which describes the reset modes."""

    def __init__(
        self,
        env: Environment,
        num_envs: int,
        params: Any,
        reward: Reward | None,
        render_mode: str | None,
        mode: AutoresetMode,
    ):
        self.source, self.params, self.render_mode = env, params, render_mode
        self.num_envs, self.mode = num_envs, mode
        self.metadata = {**GymnasiumEnv.metadata, "autoreset_mode": mode}
        self.single_observation_space = _space(env.spec.observation_space)
        self.single_action_space = _space(env.spec.action_space)
        batch = gymnasium.vector.utils.batch_space
        self.observation_space = batch(self.single_observation_space, num_envs)
        self.action_space = batch(self.single_action_space, num_envs)
        self._run = _batched(_kind(env, reward))
        self._given = _Given(params, () if reward is None else resolve("params", reward.params))
        self._slots: _Slot | None = None
        self._ended = np.zeros(num_envs, bool)  # episodes that are over and not reset

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all episodes anew, or those of ``options={"reset_mask": bool [B]}``.

        Seeded ``s``, slot ``i`` acts as a single environment seeded ``s + i``; a sequence seeds each slot,
        None leaves its random numbers where they are.
        """
        seeds = self._seeds(seed)
        super().reset(seed=seeds[0] if isinstance(seed, int | np.integer) else None)
        mask = self._mask((options or {}).get("reset_mask"))
        if self._slots is None:
            drawn = self.np_random.integers(2**31, size=self.num_envs).tolist()
            numbers = [d if s is None else s for s, d in zip(seeds, drawn, strict=True)]
            self._slots = self._run.begin(self._keys(numbers), self._given)
        else:
            seeded = mask & np.array([s is not None for s in seeds])
            if seeded.any():  # by the program that begins all, so that a seed gives the same numbers always
                begun = self._run.begin(self._keys([s or 0 for s in seeds]), self._given)
                self._slots = _keep(jnp.asarray(seeded), begun, self._slots)
            for index in np.flatnonzero(mask & ~seeded):
                self._renew(index)
        self._ended = self._ended & ~mask
        return self._obs(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._slots is None:
            raise gymnasium.error.ResetNeeded("step was called before reset; call reset first")
        skipped = self._ended
        if self.mode == AutoresetMode.DISABLED and skipped.any():
            raise gymnasium.error.ResetNeeded(
                f"the episodes of the slots {np.flatnonzero(skipped).tolist()} are over; call "
                "reset(options={'reset_mask': terminated | truncated}) first"
            )
        actions = proper(actions, self.source.spec.action_space, (self.num_envs,), skipped)
        for index in np.flatnonzero(skipped):
            self._renew(index)
        before = self._slots
        self._slots, outcome = self._run.step(before, actions, self._given)
        if skipped.any():  # the step of these slots was their reset
            self._slots = _keep(jnp.asarray(skipped), before, self._slots)
        outcome = jax.device_get(outcome)
        terminated, truncated = (x & ~skipped for x in (outcome.terminated, outcome.truncated))
        self._ended = terminated | truncated
        infos = self._infos(outcome, skipped)
        if self.mode == AutoresetMode.SAME_STEP:
            for index in np.flatnonzero(self._ended):
                self._renew(index)
            self._ended = np.zeros_like(self._ended)
        rewards = np.where(skipped, 0.0, np.asarray(outcome.reward, np.float64))
        return self._obs(), rewards, terminated, truncated, infos

    def _infos(self, outcome: _Outcome, skipped: np.ndarray) -> dict[str, Any]:
        same = self.mode == AutoresetMode.SAME_STEP
        last_obs = self._obs() if same and self._ended.any() else None
        infos: dict[str, Any] = {}
        for index in np.flatnonzero(~skipped):
            info = _info(jax.tree.map(lambda x, index=index: x[index], outcome))
            if last_obs is not None and self._ended[index]:
                info = {"final_obs": last_obs[index].copy(), "final_info": info}
            infos = self._add_info(infos, info, int(index))
        return infos

    def _obs(self) -> np.ndarray:
        assert self._slots is not None
        return np.array(self._slots.obs).astype(self.observation_space.dtype)

    def _renew(self, index: int | np.integer) -> None:
        self._slots = self._run.renew(self._slots, jnp.int32(index), self._given)

    def _keys(self, numbers: Sequence[int]) -> Key:
        return jax.vmap(jax.random.key)(jnp.asarray(np.array(numbers, np.int64).astype(np.uint32)))

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """The seed of each slot; None keeps its random numbers."""
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            first = operator.index(seed)
            return [first + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise UsageError(
                f"seed has {len(seed)} entries; expected one for each of {self.num_envs} environments"
            )
        return [None if s is None else operator.index(s) for s in seed]

    def _mask(self, mask: Any) -> np.ndarray:
        """The slots to reset."""
        if mask is None:
            return np.ones(self.num_envs, bool)
        array = np.asarray(mask)
        if array.shape != (self.num_envs,) or array.dtype != bool:
            raise UsageError(
                f"reset_mask is {array.dtype}{list(array.shape)}; expected bool[{self.num_envs}], true for "
                "the environments to reset"
            )
        if self._slots is None and not array.all():
            raise gymnasium.error.ResetNeeded(
                "the first reset must be of all environments: leave reset_mask out"
            )
        return array

    def render(self) -> tuple[np.ndarray, ...] | None:
        if self.render_mode is None or self._slots is None:
            return None
        states = jax.device_get(self._slots.state.inner)
        rows = (jax.tree.map(lambda x, i=i: x[i], states) for i in range(self.num_envs))
        return tuple(self.source.render(row, self.params) for row in rows)


_MODES = {mode.name.lower(): mode for mode in AutoresetMode}


def to_gymnasium(
    env: Environment,
    num_envs: int | None = None,
    *,
    params: Any = None,
    reward: Reward | None = None,
    render_mode: str | None = None,
    autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
) -> GymnasiumEnv | GymnasiumVectorEnv:
    """Give a pure environment Gymnasium's interface.

    Args:
      env: the environment.
      num_envs: None makes a ``gymnasium.Env``; a number makes a ``gymnasium.vector.VectorEnv`` of so many.
      params: the environment's parameters; None takes ``env.default_params()``.
      reward: what is paid instead of the environment's own reward. Its memory lives on from episode to
        episode and begins anew with ``reset(seed=...)``.
      render_mode: None or ``"rgb_array"``.
      autoreset_mode: what a batch does after an episode ends (an ``AutoresetMode`` or its name).
        ``"next_step"``, the default as in ``gymnasium.make_vec``: the next step of that slot ignores the
        action and gives the first observation of the next episode, reward 0 and no ``info``.
        ``"same_step"``: the observation is already that of the next episode, ``info["final_obs"]`` and
        ``info["final_info"]`` belong to the last step. ``"disabled"``: nothing, until
        ``reset(options={"reset_mask": ...})``.

    Returns:
      The Gymnasium environment. ``info`` holds ``success`` and the reward's ``terms`` by name.

    Raises:
      UsageError: the environment is not pure, or an argument is out of range.
      UnknownNameError: the reward reads a feature that the environment does not have.
    """
    check_environment(env)
    if not env.spec.pure:
        raise UsageError(
            f"{env.spec.id} is not a pure environment: it already runs on the host, use it directly"
        )
    if render_mode not in (None, "rgb_array"):
        raise UsageError(f"render_mode={render_mode!r}: expected None or 'rgb_array'")
    name = getattr(autoreset_mode, "name", str(autoreset_mode)).lower()
    if name not in _MODES:
        raise unknown_name("value of autoreset_mode", autoreset_mode, _MODES)
    params = env.default_params() if params is None else params
    if num_envs is None:
        return GymnasiumEnv(env, params, reward, render_mode)
    num_envs = check_count("num_envs", num_envs)
    return GymnasiumVectorEnv(env, num_envs, params, reward, render_mode, _MODES[name])
