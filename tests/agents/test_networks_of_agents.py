"""Networks and optimisers as arguments: own modules, pixels, precisions."""

from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import Restless, jit

from rlkit.agents import PPOConfig, evaluate, ppo
from rlkit.agents.dqn import DQNConfig, dqn
from rlkit.agents.pqn import PQNConfig, pqn
from rlkit.agents.sac import SACConfig, sac
from rlkit.critics import chosen_critics
from rlkit.envs import Fresh
from rlkit.envs.pendulum import Pendulum
from rlkit.errors import UsageError
from rlkit.memory import side_by_side
from rlkit.networks import ActorCritic, Outputs
from rlkit.policies import chosen_network, network_of, one_at_a_time
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, FeatureSpec


class Params(NamedTuple):
    max_steps: jax.Array


class Cells(NamedTuple):
    me: jax.Array  # int32 [2]
    goal: jax.Array  # int32 [2]


@dataclass(frozen=True)
class Grid:
    """Walk to the bright cell of a picture of bytes."""

    side: int = 5

    @property
    def spec(self):
        return EnvSpec(
            id="toy/grid",
            observation_space=Box((self.side, self.side, 2), 0, 255, "uint8"),
            action_space=Discrete(4),
            features=(FeatureSpec("distance", dtype="int32", low=0, meaning="steps to the goal"),),
            max_steps=12,
            task="Walk to the goal.",
            success="at the goal",
            fitness="minus the distance",
            native_reward="1 at the goal",
            auto_reset=Fresh(),
        )

    def default_params(self):
        return Params(jnp.int32(12))

    def initial(self, key, params):
        me, other = jax.random.split(key)
        place = jax.random.randint(me, (2,), 0, self.side)
        step = jax.random.randint(other, (2,), 1, self.side)  # never where one stands
        return Cells(place, (place + step) % self.side)

    def transition(self, key, state, action, params):
        moves = jnp.array([[0, 1], [0, -1], [1, 0], [-1, 0]], jnp.int32)
        return state._replace(me=jnp.clip(state.me + moves[action], 0, self.side - 1))

    def observe(self, key, state, params):
        picture = jnp.zeros((self.side, self.side, 2), jnp.uint8)
        return picture.at[*state.me, 0].set(255).at[*state.goal, 1].set(255)

    def features(self, state, params):
        return {"distance": jnp.abs(state.me - state.goal).sum()}

    def task_reward(self, features, action, next_features, params):
        reward = jnp.where(next_features["distance"] == 0, 1.0, 0.0)
        return reward, {"goal": reward}

    def terminated(self, state, action, next_state, params):
        return (next_state.me == next_state.goal).all()

    def success(self, state, action, next_state, params):
        return (next_state.me == next_state.goal).all()

    def fitness(self, state, params):
        return -jnp.abs(state.me - state.goal).sum().astype(jnp.float32)

    def render(self, state, params, size=256):
        raise NotImplementedError


class Mine(nn.Module):
    actions: int

    @nn.compact
    def __call__(self, carry, x):
        z = nn.relu(nn.Dense(24)(x.reshape(*x.shape[:-3], -1)))
        return Outputs(nn.Dense(self.actions)(z), nn.Dense(1)(z)[..., 0], z)


def learn(agent, updates):
    """Success of greedy episodes before and after, and the metrics."""

    def run(key):
        state = agent.init(key)
        judge = lambda s: evaluate(agent, agent.policy(s), jax.random.key(9), 64).success.mean()
        after, metrics = jax.lax.scan(lambda s, _: agent.step(s), state, length=updates)
        return judge(state), judge(after), metrics

    return jit(run)(jax.random.key(0))


FAST = PPOConfig(learning_rate=3e-3, num_envs=32, num_steps=16, epochs=4, minibatches=4, discount=0.9)


def test_an_own_network_sees_the_picture_and_learns():
    before, after, _ = learn(ppo(Grid(), FAST, network=Mine(4)), 60)
    assert before < 0.6 < 0.9 < after


@pytest.mark.slow
class Centred(nn.Module):
    """A network that would learn from what other environments see, given a batch."""

    critics: bool = False

    @nn.compact
    def __call__(self, carry, x):
        z = nn.tanh(nn.Dense(8)(jnp.concatenate([carry, x], -1) if self.critics else x))
        z = z - (z.mean(0, keepdims=True) if z.ndim > 1 else 0)
        if self.critics:
            return nn.Dense(2)(z).T  # right for one observation only
        return Outputs(nn.Dense(2)(z), z.sum(), z)


def test_own_networks_cannot_mix_environments():
    x = jax.random.normal(jax.random.key(1), (2, 3, 4))
    network, _ = chosen_network(Centred(), Box((4,), -1, 1), "mlp", lambda shape: None)
    params = network.initialiser.build(jax.random.bits(jax.random.key(0), (network.initialiser.words,)))
    single = [network.apply(params, (), row) for row in x.reshape(6, 4)]
    together = (network.apply(params, (), x), network.unroll(params, (), x, jnp.zeros((2, 3), bool)))
    wanted = jax.tree.map(lambda *rows: jnp.stack(rows).reshape(2, 3, *rows[0].shape), *single)
    for got in together:
        jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, atol=1e-6), got, wanted)


def test_own_critics_cannot_mix_environments():
    obs, action = (jax.random.normal(jax.random.key(i), (2, 3, 4)) for i in range(2))
    values, first = chosen_critics(Centred(critics=True), (4,), 4, SACConfig())
    params = first.build(jax.random.bits(jax.random.key(0), (first.words,)))
    single = [values(params, *row) for row in zip(obs.reshape(6, 4), action.reshape(6, 4), strict=True)]
    wanted = jnp.stack(single, 1).reshape(2, 2, 3)
    np.testing.assert_allclose(values(params, obs, action), wanted, atol=1e-6)


def test_own_networks_with_memory_see_sequences_of_one_environment():
    module = ActorCritic(2, False, "gru", (8,), "tanh", True)
    network, mine = network_of(module, (3,)), one_at_a_time(network_of(module, (3,)), (3,))
    params = network.initialiser.build(jax.random.bits(jax.random.key(0), (network.initialiser.words,)))
    x = jax.random.normal(jax.random.key(1), (5, 4, 3))
    first = jnp.zeros((5, 4), bool).at[2, 1].set(True)
    carry = side_by_side(network.memory(), 4)
    for one, other in zip(
        jax.tree.leaves(network.unroll(params, carry, x, first)),
        jax.tree.leaves(mine.unroll(params, carry, x, first)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_pixels_are_solved_by_convolutions():
    for agent in (
        ppo(Grid(), FAST.replace(torso="cnn", sizes=(32,), activation="relu")),
        pqn(
            Grid(),
            PQNConfig(torso="cnn", sizes=(32,), num_envs=32, num_steps=16, epsilon_steps=2e4, discount=0.9),
        ),
    ):
        before, after, _ = learn(agent, 80)
        assert before < 0.6 < 0.9 < after


def test_pictures_enter_scaled_once_and_whole():
    for agent in (
        ppo(Grid(), FAST.replace(torso="cnn", sizes=(8,))),
        dqn(Grid(), DQNConfig(torso="cnn", sizes=(8,), buffer_size=64, learning_starts=8, batch_size=8)),
        pqn(Grid(), PQNConfig(torso="cnn", sizes=(8,))),
    ):
        state = jax.eval_shape(agent.init, jax.random.key(0))
        params = jax.eval_shape(lambda s, a=agent: a.policy(s).params, state)
        kernels = [x.shape for x in jax.tree.leaves(params) if len(x.shape) == 4]
        assert set(kernels) == {(3, 3, 2, 16), (3, 3, 16, 32), (3, 3, 32, 32)}
        moved, _ = jax.eval_shape(agent.step, state)
        assert jax.tree.structure(moved) == jax.tree.structure(state)


def test_images_are_wanted_where_there_are_none():
    with pytest.raises(UsageError, match=r"torso='cnn' wants images .* shape \(4,\): choose torso='mlp'"):
        ppo(Restless(), PPOConfig(torso="cnn"))


def test_an_own_optimiser_is_used():
    still = lambda config, update: optax.set_to_zero()
    agent = ppo(Restless(), FAST.replace(sizes=(8,)), optimiser=still)
    state = jit(agent.init)(jax.random.key(0))
    after, _ = jit(agent.step)(state)
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)
    assert after.optimiser == optax.EmptyState()


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_products_have_the_precision_that_is_asked_for(precision):
    small = {"sizes": (8,), "precision": precision}
    replay = {"buffer_size": 64, "learning_starts": 8, "batch_size": 8}
    agents = {
        "ppo": ppo(Restless(), FAST.replace(**small, torso="gru")),
        "pqn": pqn(Restless(), PQNConfig(**small)),
        "dqn": dqn(Restless(), DQNConfig(**small, **replay)),
        "sac": sac(Pendulum(), SACConfig(**small, **replay)),
        "cnn": ppo(Grid(), FAST.replace(**small, torso="cnn")),
    }
    for name, agent in agents.items():
        state = jax.eval_shape(agent.init, jax.random.key(0))
        text = jax.jit(agent.step).lower(state).as_text()
        found = ("stablehlo.dot_general", "stablehlo.convolution")
        products = [line for line in text.splitlines() if any(name in line for name in found)]
        networks = [line for line in products if "precision = [HIGHEST" not in line]
        assert len(networks) > len(products) / 2, name
        assert (all("bf16" in line for line in networks)) == (precision == "bfloat16"), name
        params = jax.eval_shape(lambda s, a=agent: a.policy(a.step(s)[0]).params, state)
        assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_layers_are_normalised_where_asked():
    agent = ppo(Restless(), FAST.replace(sizes=(8,), layer_norm=True))
    params = jit(agent.init)(jax.random.key(0)).params
    np.testing.assert_array_equal(params["actor_torso"]["LayerNorm_0"]["scale"], 1.0)
