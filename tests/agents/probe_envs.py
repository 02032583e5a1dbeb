"""The probe environments: problems so small that the right value and policy are known exactly.

The five problems (after Andy Jones, "Debugging RL, without the agonizing pain", 2021), one at a
time limit and one for memory are parameters of one environment, so that one compiled program
solves them all. A problem shows an observation ``(cue, clock)``, lasts ``length`` steps and pays when
its last step, or the time limit, is reached::

    constant + from_cue * cue + from_action * merit(action, target),    target = on + with_cue * cue

Merit is 1 for the right action and -1 for the wrong one if there are two of them, and
``1 - (action - target)^2`` if actions are numbers in [-2, 2].
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs import Fresh
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, FeatureSpec

DISCOUNT = 0.5


class ProbeParams(NamedTuple):
    """Which problem it is; float32 [] unless stated."""

    max_steps: jax.Array  # int32 []
    length: jax.Array  # int32 []: the episode terminates after so many steps
    cues: jax.Array  # bool []: the cue is -1 or +1 at random, else 0
    hides: jax.Array  # bool []: the cue is seen at the first step only
    timed: jax.Array  # bool []: the clock is seen, else 0
    constant: jax.Array
    from_cue: jax.Array
    from_action: jax.Array
    on: jax.Array  # target action, as a number
    with_cue: jax.Array


class ProbeState(NamedTuple):
    cue: jax.Array  # float32 []
    clock: jax.Array  # int32 []: steps taken


def problem(
    length=1,
    cues=False,
    hides=False,
    timed=False,
    constant=0.0,
    from_cue=0.0,
    from_action=0.0,
    on=0.0,
    with_cue=0.0,
    max_steps=100,
):
    """Parameters of one problem."""
    numbers = (jnp.float32(x) for x in (constant, from_cue, from_action, on, with_cue))
    flags = (jnp.bool_(x) for x in (cues, hides, timed))
    return ProbeParams(jnp.int32(max_steps), jnp.int32(length), *flags, *numbers)


PROBLEMS = {
    "constant value": problem(constant=1.0),
    "value of the observation": problem(cues=True, from_cue=1.0),
    "delayed reward": problem(length=2, timed=True, constant=1.0),
    "value of the action": problem(from_action=1.0, on=0.5),
    "value of action and observation": problem(cues=True, from_action=1.0, with_cue=0.5),
    "time limit": problem(length=1000, constant=1.0, max_steps=1),
    "memory": problem(length=3, cues=True, hides=True, timed=True, from_action=1.0, with_cue=0.5),
}
"""The five, one that only the time limit ends, whose value is that of going on for ever, and one
whose last action must answer the cue of the first step."""


@dataclass(frozen=True)
class Probe:
    """The environment; ``continuous`` chooses the kind of actions."""

    continuous: bool = False

    @property
    def spec(self):
        return EnvSpec(
            id="probe/continuous" if self.continuous else "probe/discrete",
            observation_space=Box((2,), (-1.0, 0.0), (1.0, 1e6)),
            action_space=Box((1,), -2.0, 2.0) if self.continuous else Discrete(2),
            features=(
                FeatureSpec("cue", low=-1, high=1, meaning="what the reward and the right action depend on"),
                FeatureSpec("clock", dtype="int32", low=0, meaning="steps taken"),
            ),
            max_steps=100,
            task="Answer the cue.",
            success="the episode ended with a positive reward",
            fitness="steps taken",
            native_reward="see the module",
            auto_reset=Fresh(),
        )

    def default_params(self):
        return PROBLEMS["constant value"]

    def initial(self, key, params):
        sign = jnp.where(jax.random.bernoulli(key), 1.0, -1.0)
        return ProbeState(jnp.where(params.cues, sign, 0.0).astype(jnp.float32), jnp.zeros((), jnp.int32))

    def transition(self, key, state, action, params):
        return state._replace(clock=state.clock + 1)

    def observe(self, key, state, params):
        seen = jnp.where(params.hides & (state.clock > 0), 0.0, state.cue)
        return jnp.stack([seen, jnp.where(params.timed, state.clock, 0).astype(jnp.float32)])

    def features(self, state, params):
        return {"cue": state.cue, "clock": state.clock}

    def _merit(self, action, target):
        if self.continuous:
            return 1.0 - (action[0] - target) ** 2
        return jnp.where((action == 1) == (target > 0), 1.0, -1.0)

    def _pay(self, cue, action, clock, params):
        merit = self._merit(action, params.on + params.with_cue * cue)
        paid = params.constant + params.from_cue * cue + params.from_action * merit
        return jnp.where(clock >= jnp.minimum(params.length, params.max_steps), paid, 0.0)

    def task_reward(self, features, action, next_features, params):
        reward = self._pay(features["cue"], action, next_features["clock"], params)
        return reward, {"answer": reward}

    def terminated(self, state, action, next_state, params):
        return next_state.clock >= params.length

    def success(self, state, action, next_state, params):
        return self._pay(state.cue, action, next_state.clock, params) > 0

    def fitness(self, state, params):
        return state.clock.astype(jnp.float32)

    def render(self, state, params, size=256):
        raise NotImplementedError
