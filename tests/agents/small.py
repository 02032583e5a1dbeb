"""Three small agents that between them use every option, each compiled once for all tests."""

import functools
import importlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.agents import PPOConfig, ppo
from rlkit.compiling import compiler_options, known
from rlkit.envs.cartpole import CartPole
from rlkit.envs.pendulum import Pendulum
from rlkit.envs.wrappers import select_observation
from rlkit.minibatches import minibatch_indices
from rlkit.rewards import chain, scale, task

module = importlib.import_module("rlkit.agents.ppo")  # `rlkit.agents.ppo` is the function

# These programs take longer to compile than to run: the backend need not optimise them.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def trained(function):
    """Compile as training is, whatever ``XLA_FLAGS`` of the suite say: for comparing bits.

    The older kernels, with which other tests run, add up differently in a loop, and without optimisation JAX
    0.12 fuses products with sums in one of two programs alone.
    """
    emitters = "xla_cpu_use_fusion_emitters"
    options = compiler_options() | ({emitters: True} if known(emitters, True) else {})
    if jax.default_backend() == "cpu":
        options["xla_backend_optimization_level"] = 2
    return jax.jit(function, compiler_options=options)


PAY = 0.5
LOUD = 1e5


@dataclass(frozen=True)
class Restless(CartPole):
    """Cart-pole that succeeds, often more than once an episode, where the cart is off the middle."""

    def success(self, state, action, next_state, params):
        return jnp.abs(next_state.physics[0]) > 0.12


@dataclass(frozen=True)
class Loud(Pendulum):
    """Pendulum with observations and rewards of enormous scales."""

    def observe(self, key, state, params):
        return 10.0 * LOUD + LOUD * super().observe(key, state, params)

    def task_reward(self, features, action, next_features, params):
        reward, terms = super().task_reward(features, action, next_features, params)
        return LOUD * reward, {name: LOUD * term for name, term in terms.items()}


_TINY = PPOConfig(learning_rate=1e-3, num_envs=4, num_steps=16, epochs=2, minibatches=2, sizes=(8, 8))
_SETTINGS = {
    "discrete": (Restless(), _TINY, {"reward": chain(task(), scale(PAY)), "latents": True}),
    "continuous": (
        Loud(),
        _TINY.replace(
            shared_torso=True,
            clip_value=True,
            normalize_obs=True,
            normalize_reward=True,
            activation="relu",
            discount=0.9,
        ),
        {},
    ),
    "recurrent": (select_observation(CartPole(), (0, 2)), _TINY.replace(torso="gru"), {}),
}
KINDS = tuple(_SETTINGS)


class Inside(NamedTuple):
    """What one step did, for tests that look inside."""

    trajectory: Any
    batch: Any  # what the losses see
    order: Any  # rows of each minibatch


class Small(NamedTuple):
    agent: Any
    init: Any  # compiled `init`
    step: Any  # compiled: state -> (state, metrics, Inside)

    @property
    def spec(self):
        return self.agent.learn.args[0]

    def states(self, updates, state=None, key=0):
        """``(state before, state after, metrics, inside)`` of some updates in a row, as NumPy arrays."""
        state = self.init(jax.random.key(key)) if state is None else state
        for _ in range(updates):
            after, metrics, inside = self.step(state)
            yield state, after, jax.tree.map(np.asarray, metrics), jax.tree.map(np.asarray, inside)
            state = after


def looking_inside(agent):
    """``agent.step`` that also returns what its parts were given."""

    def step(state):
        spec = agent.learn.args[0]
        collected, trajectory, metrics = agent.collect(state)
        after, learned = agent.learn(collected, trajectory)
        order = minibatch_indices(module._drawn(spec, state)["order"], agent.config.minibatches)
        inside = Inside(trajectory, module._batch(spec, collected, trajectory), order)
        return after, metrics | learned, inside

    return step


@functools.cache
def small(kind):
    """The agent of one of the KINDS."""
    env, config, options = _SETTINGS[kind]
    agent = ppo(env, config, **options)
    return Small(agent, jit(agent.init), jit(looking_inside(agent)))


def close(a, b, rtol=1e-5, atol=1e-6):
    """Assert that two trees have one structure and nearly equal leaves."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for path, x in jax.tree_util.tree_leaves_with_path(a):
        y = dict(jax.tree_util.tree_leaves_with_path(b))[path]
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_allclose(x, y, rtol, atol, err_msg=jax.tree_util.keystr(path))


def same_bits(a, b):
    """Assert that two trees are equal to the bit."""
    close(a, b, 0.0, 0.0)
