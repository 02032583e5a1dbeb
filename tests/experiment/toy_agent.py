"""A small learner that obeys the agent contract and compiles in a fraction of a second.

It minimises ``|x - target|^2`` by noisy gradient descent with momentum. Its state has what real
agents have: parameters, optimiser state, typed keys, counters, bools, an empty leaf.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.agents import registry
from rlkit.envs.registry import make
from rlkit.registry import Entry, Table
from rlkit.rewards import task
from rlkit.types import ActInfo, Agent, Environment, Key


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ToyConfig:
    """Hyper-parameters of the toy learner."""

    rate: float = field(default=0.05, metadata={"help": "step size"})
    noise: float = field(default=0.1, metadata={"help": "standard deviation of the gradient noise"})
    size: int = field(default=5, metadata={"static": True, "help": "number of parameters"})
    steps: int = field(default=10, metadata={"static": True, "help": "environment steps per update"})
    sick_at: int = field(default=-1, metadata={"static": True, "help": "update that turns `sick` non-finite"})
    sick: str = field(default="loss", metadata={"static": True, "help": "loss, params, reward or obs"})
    sick_seed: int = field(default=-1, metadata={"static": True, "help": "fold-in number of the sick seed"})
    cured: bool = field(default=False, metadata={"static": True, "help": "other keys do not fall sick"})
    bests: bool = field(default=True, metadata={"static": True, "help": "keep the best loss; else infinity"})
    work: int = field(
        default=0, metadata={"static": True, "help": "idle loop turns per update, to take time"}
    )

    def replace(self, **changes: Any) -> "ToyConfig":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


class ToyState(NamedTuple):
    """Everything that learning needs."""

    params: dict[str, jax.Array]
    momentum: dict[str, jax.Array]
    obs: jax.Array
    best: jax.Array  # starts at infinity, as a best-so-far does
    flag: jax.Array
    empty: jax.Array  # float32 [0]
    key: Key
    origin: jax.Array  # the key's data at the start, to tell seeds and retries apart
    update: jax.Array
    rate: jax.Array  # the leaf of the configuration that a sweep may vary


def toy(env: Environment | None = None, config: ToyConfig | None = None, reward: Any = None) -> Agent:
    """Build the toy learner; ``env`` only gives its name."""
    config = config or ToyConfig()
    env = env or make("classic/cartpole")
    reward = reward or task()

    def init(key: Key, given: ToyConfig | None = None, env_params: Any = None, reward_params: Any = None):
        x = jax.random.normal(key, (config.size,))
        zeros = jax.tree.map(jnp.zeros_like, {"x": x})
        best = jnp.array(jnp.inf, jnp.float32)
        origin = jax.random.key_data(key)
        return ToyState(
            {"x": x},
            zeros,
            jnp.zeros((3,)),
            best,
            jnp.array(True),
            jnp.zeros((0,)),
            key,
            origin,
            jnp.zeros((), jnp.int32),
            jnp.float32((given or config).rate),
        )

    def step(state: ToyState) -> tuple[ToyState, dict[str, jax.Array]]:
        key = jax.random.fold_in(state.key, state.update)
        sick = state.update == config.sick_at
        if config.sick_seed >= 0:
            ours = jax.random.key_data(jax.random.fold_in(jax.random.key(0), config.sick_seed))
            sick &= (state.origin == ours).all()
        if config.cured:
            sick &= (jax.random.key_data(state.key) == state.origin).all()
        bad = jnp.where(sick, jnp.nan, 0.0)
        x = state.params["x"]
        obs = jax.random.normal(key, (3,)) + (bad if config.sick == "obs" else 0.0)
        reward = -((x - 1.0) ** 2).sum() + (bad if config.sick == "reward" else 0.0)
        loss, grad = jax.value_and_grad(
            lambda x: ((x - 1.0) ** 2).sum() + obs.sum() * x.sum() * config.noise
        )(x)
        grad = grad + (bad if config.sick == "params" else 0.0) + 0.0 * reward
        loss = loss + (bad if config.sick == "loss" else 0.0)
        momentum = 0.9 * state.momentum["x"] + grad
        idle = jax.lax.fori_loop(0, config.work, lambda i, y: jnp.sin(y), x.sum())
        metrics = {
            "loss": loss,
            "reward": reward,
            "idle": idle * 0.0,
            "episode/return": jnp.where(state.update % 3 == 0, jnp.nan, reward),
        }
        new = ToyState(
            {"x": x - state.rate * momentum},
            {"x": momentum},
            obs,
            jnp.minimum(state.best, loss) if config.bests else state.best,
            ~state.flag,
            state.empty,
            state.key,
            state.origin,
            state.update + 1,
            state.rate,
        )
        return new, metrics

    def act(params: Any, carry: Any, obs: jax.Array, key: Key | None = None):
        return jnp.zeros((), jnp.int32), carry, ActInfo(params["x"], jnp.zeros(()), jnp.array(jnp.nan))

    return Agent(init, step, lambda s: s.params, lambda: (), act, env, reward, config, config.steps)


TABLE = Table("agent", {**registry.TABLE, "toy": Entry("toy_agent:toy", "the toy learner")})
"""The table of agents, with the toy learner in it."""


def same_alone(one, together):
    """Curves of a seed alone and in a population: to the bit on a CPU, where seeds are mapped one by one."""
    exact = jax.default_backend() == "cpu"
    np.testing.assert_allclose(
        together, one, **({"rtol": 0, "atol": 0} if exact else {"rtol": 1e-5, "atol": 1e-6})
    )
