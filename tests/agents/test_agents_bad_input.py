"""What SAC, DQN and PQN cannot do is one sentence, before anything compiles."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest

from rlkit.agents import DQNConfig, PPOConfig, PQNConfig, SACConfig, dqn, ppo, pqn, sac
from rlkit.critics import HeadedTorso
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError
from rlkit.networks import Outputs
from rlkit.rewards import progress, task
from rlkit.types import Reward

CART, PENDULUM = make("classic/cartpole"), make("classic/pendulum")
MAKERS = {sac: (SACConfig, PENDULUM), dqn: (DQNConfig, CART), pqn: (PQNConfig, CART)}
every = pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)


@pytest.mark.parametrize(("maker", "env"), [(sac, CART), (dqn, PENDULUM), (pqn, PENDULUM)])
def test_actions_that_do_not_fit_are_refused_with_an_alternative(maker, env):
    with pytest.raises(
        UsageError, match=f"{env.spec.id} has the actions .*; {maker.__name__.upper()} needs .*: take"
    ):
        maker(env)


@pytest.mark.parametrize(
    ("maker", "change", "message"),
    [
        (sac, {"learning_rate": -1.0}, "learning_rate=-1.0: expected a number of at least 0"),
        (sac, {"tau": 0.0}, "tau=0.0: expected a number above 0"),
        (sac, {"temperature": 0.0}, "temperature=0.0"),
        (sac, {"batch_size": 0}, "batch_size=0: expected an integer of at least 1"),
        (sac, {"updates_to_data": 0.3}, "makes 0.3 gradient steps after each 1 .* e.g. updates_to_data=1"),
        (sac, {"buffer_size": 999}, "buffer_size=999: expected at least 1000, so that learning starts"),
        (dqn, {"updates_to_data": 0.2}, "makes 1.6 gradient steps after each 8 .* e.g. updates_to_data=0.25"),
        (dqn, {"n_step": 0}, "n_step=0: expected an integer of at least 1"),
        (dqn, {"n_step": 20_000}, "buffer_size=100000: expected at least 160000"),
        (dqn, {"epsilon_end": 2.0}, "epsilon_end=2.0"),
        (dqn, {"target_every": 0}, "target_every=0"),
        (pqn, {"minibatches": 3}, "num_envs \\* num_steps = 2048 is not a multiple of minibatches=3"),
        (pqn, {"torso": "gru", "minibatches": 5}, "num_envs = 32 is not a multiple of minibatches=5"),
        (pqn, {"lambda_": 1.5}, "lambda_=1.5"),
        (pqn, {"sizes": ()}, "sizes=\\(\\): expected a tuple that is not empty"),
    ],
)  # fmt: skip
def test_impossible_hyperparameters_are_named(maker, change, message):
    config, env = MAKERS[maker]
    with pytest.raises(UsageError, match=message):
        maker(env, config(**change))


def test_a_buffer_larger_than_memory_is_refused(monkeypatch):
    monkeypatch.setattr("rlkit.replay._memory", lambda: 10**7)
    for maker in (sac, dqn):
        config, env = MAKERS[maker]
        with pytest.raises(UsageError, match=r"a buffer of 200000 .* there are 0.0 GB; ask for at most \d+"):
            maker(env, config(buffer_size=200_000))


@every
def test_misspelt_names_get_a_suggestion(maker):
    config, env = MAKERS[maker]
    with pytest.raises(UnknownNameError, match="did you mean 'relu'"):
        maker(env, config(activation="relo"))
    name = env.spec.features[0].name
    with pytest.raises(UnknownNameError, match=f"did you mean '{name}'"):
        maker(env, reward=progress(name + "x"))
    if maker is not pqn:
        with pytest.raises(UnknownNameError, match=f"did you mean '{name}'"):
            maker(env, record=(name + "x",))


@every
def test_networks_that_return_the_wrong_thing_are_refused(maker):
    _, env = MAKERS[maker]

    class Bare(nn.Module):
        @nn.compact
        def __call__(self, carry, x):
            return nn.Dense(2)(x)

    with pytest.raises(UsageError, match=r"expected rlkit.networks.Outputs"):
        maker(env, network=Bare())
    with pytest.raises(UsageError, match=r"distribution has shape \(7,\); expected \(2,\)"):
        maker(env, network=HeadedTorso(7))


class Own(nn.Module):
    """A network of which one output is changed."""

    change: str

    @nn.compact
    def __call__(self, carry, x):
        z = nn.Dense(8)(x)
        out = Outputs(nn.Dense(2)(z), nn.Dense(1)(z)[..., 0], z)
        if self.change == "noise":
            return out._replace(value=out.value + jax.random.normal(self.make_rng("noise")))
        changes = {
            "int": {"distribution": out.distribution.astype(jnp.int32)},
            "none": {"value": None},
            "vector": {"value": nn.Dense(1)(z)},
        }
        return out._replace(**changes[self.change])


@pytest.mark.parametrize("maker", [ppo, sac, dqn, pqn])
@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Own("int"), "distribution is of int32; expected an array of floats"),
        (Own("none"), "value is a NoneType; expected an array of floats"),
        (Own("vector"), r"value has shape \(1,\); expected \(\), a scalar: index or squeeze"),
        (Own("noise"), "draws random numbers when it is called"),
        (Own, r"expected a flax module, .*; did you mean Own\(...\)"),
        ("mlp", "network='mlp': expected a flax module"),
    ],
)
def test_outputs_that_would_teach_nothing_are_named(maker, network, message):
    _, env = (MAKERS | {ppo: (PPOConfig, CART)})[maker]
    with pytest.raises(UsageError, match=message):
        maker(env, network=network)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": {"num_envs": 3}}, r"is no PPOConfig; did you mean PPOConfig\(\*\*config\)"),
        ({"config": DQNConfig()}, "config=DQNConfig.* is no PPOConfig"),
        ({"reward": "task()"}, r"is no reward; .* did you mean rlkit.rewards.read\('task\(\)'\)"),
        ({"reward": task}, r"did you mean task\(\), or rlkit.rewards.from_function\(task, name\)"),
        (
            {"reward": Reward(lambda key: (), lambda memory, t, params: (memory, t.done.astype(int), {}))},
            "is int32; expected floats",
        ),
        ({"optimiser": optax.adam(1e-3)}, "did you mean lambda config, update"),
        ({"optimiser": lambda: optax.adam(1e-3)}, r"cannot be called with \(config, update\)"),
        ({"optimiser": lambda config, update: "adam"}, "optimiser returns 'adam'"),
    ],
)
def test_arguments_of_another_kind_say_what_was_meant(arguments, message):
    with pytest.raises(UsageError, match=message):
        ppo(CART, **arguments)


@pytest.mark.parametrize("maker", [sac, dqn])
def test_memory_is_refused_where_steps_are_drawn_singly(maker):
    with pytest.raises(UsageError, match=r"has memory; .* take PQN or PPO"):
        maker(MAKERS[maker][1], network=HeadedTorso(2, torso="gru"))


def test_a_critic_that_returns_the_wrong_thing_is_refused():
    class One(nn.Module):
        @nn.compact
        def __call__(self, obs, action):
            return nn.Dense(1)(jnp.concatenate([obs, action], -1))[..., 0]

    with pytest.raises(UsageError, match=r"the critic returns shape \(\); expected \[critics\]"):
        sac(PENDULUM, critic=One())


@every
def test_every_hyperparameter_has_help(maker):
    assert all(field.metadata["help"] for field in dataclasses.fields(MAKERS[maker][0]))
