"""A judge that first says whom it judges for, then which answer they prefer (P-GenRM, arXiv 2602.12116)."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.errors import check_count
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

_LIMIT = 8.0
_NONE = -1


class Params(NamedTuple):
    """float32 [] unless stated."""

    max_steps: jax.Array  # int32 []
    process: jax.Array  # paid for naming the persona; 0: outcomes alone
    malformed: jax.Array  # paid for what is no judgement
    spread: jax.Array  # standard deviation of users around their persona
    noise: jax.Array  # of what the history tells


class State(NamedTuple):
    persona: jax.Array  # int32 []
    taste: jax.Array  # float32 [D]: of the user
    history: jax.Array  # float32 [D]: what the user preferred so far, on average
    pair: jax.Array  # float32 [D]: features of the first answer less those of the second
    named: jax.Array  # int32 []: the persona that was named, -1: none
    verdict: jax.Array  # int32 []: 0 the first answer, 1 the second, -1 none yet, 2 something else


@functools.lru_cache(maxsize=8)
def _tastes(personas: int, size: int) -> np.ndarray:
    """Unit vectors ``[personas, size]``, the same in every process."""
    rows = np.random.default_rng(personas * 1009 + size).normal(size=(personas, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class PersonaJudge:
    """``judge/persona``: a user's history, then two answers of which the user prefers one.

    The first actions name a persona, the last two an answer. A persona may be named once, before the answer
    or not at all. P-GenRM pays ``0.5 process + outcome`` with an outcome of 1, 0, or -0.1
    for what is malformed, and drops the process at a later stage (``params.process = 0``). That the process
    reward is for the right persona, and the problem itself, are ours.

    Attributes:
      personas: how many there are.
      size: number of features of an answer.
    """

    personas: int = 4
    size: int = 4

    def __post_init__(self) -> None:
        for name, value in (("personas", self.personas), ("size", self.size)):
            check_count(name, value, 2)

    @property
    def spec(self) -> EnvSpec:
        flag = {"dtype": "bool", "low": 0, "high": 1}
        wide = 2 * self.size
        low, high = (-_LIMIT,) * wide + (0.0,) * self.personas, (_LIMIT,) * wide + (1.0,) * self.personas
        return EnvSpec(
            id="judge/persona",
            observation_space=Box((len(low),), low, high),
            action_space=Discrete(self.personas + 2),
            features=(
                FeatureSpec("named", **flag, meaning="whether a persona has been named"),
                FeatureSpec(
                    "persona_right", **flag, meaning="whether it is that of the user", observable=False
                ),
                FeatureSpec("judged", **flag, meaning="whether the judge has finished"),
                FeatureSpec("malformed", **flag, meaning="whether it finished without an answer"),
                FeatureSpec("right", **flag, meaning="whether the user prefers it too", observable=False),
            ),
            max_steps=3,
            task="Say which kind of person a user is, from what they preferred so far, then which of two "
            "answers they prefer.",
            success="the answer that the user prefers was named",
            fitness="1 for the answer that the user prefers, 0 otherwise",
            native_reward="1 for the right answer, -0.1 for none, and 0.5 for the right persona",
            fitness_over="final",
            partial_obs=True,
            auto_reset=Fresh(),
        )

    def default_params(self) -> Params:
        return Params(jnp.int32(3), *(jnp.float32(x) for x in (0.5, -0.1, 0.2, 0.4)))

    def initial(self, key: Key, params: Params) -> State:
        pick, noise = jax.random.split(key)
        persona = jax.random.randint(pick, (), 0, self.personas, jnp.int32)
        draws = jax.random.normal(noise, (3, self.size), jnp.float32)
        taste = jnp.asarray(_tastes(self.personas, self.size))[persona] + params.spread * draws[0]
        history = jnp.clip(taste + params.noise * draws[1], -_LIMIT, _LIMIT)
        none = jnp.full((), _NONE, jnp.int32)
        return State(persona, taste, history, jnp.clip(draws[2], -_LIMIT, _LIMIT), none, none)

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        names = action < self.personas
        again = names & (state.named != _NONE)
        answer = jnp.where(again, 2, jnp.where(names, _NONE, action - self.personas))
        return state._replace(
            named=jnp.where(names & ~again, action, state.named).astype(jnp.int32),
            verdict=jnp.where(state.verdict == _NONE, answer, state.verdict).astype(jnp.int32),
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        """The history, the difference of the answers, and the persona that was named."""
        persona = jax.nn.one_hot(state.named, self.personas, dtype=jnp.float32)
        return jnp.concatenate([state.history, state.pair, persona])

    def features(self, state: State, params: Params) -> Features:
        preferred = jnp.where(jnp.sum(state.taste * state.pair) > 0, 0, 1)
        return {
            "named": state.named != _NONE,
            "persona_right": state.named == state.persona,
            "judged": state.verdict != _NONE,
            "malformed": state.verdict == 2,
            "right": state.verdict == preferred,
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        named = next_features["persona_right"] & ~features["named"]
        ends = next_features["judged"] & ~features["judged"]
        outcome = jnp.where(
            next_features["malformed"], params.malformed, next_features["right"].astype(jnp.float32)
        )
        terms = {"process": jnp.where(named, params.process, 0.0), "outcome": jnp.where(ends, outcome, 0.0)}
        return terms["process"] + terms["outcome"], terms

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.verdict != _NONE

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return self.features(next_state, params)["right"]

    def fitness(self, state: State, params: Params) -> jax.Array:
        return self.features(state, params)["right"].astype(jnp.float32)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        from rlkit.envs.judges.picture import bars

        seen = np.asarray(self.observe(jax.random.key(0), state, params))
        return bars([seen[: self.size], seen[self.size : 2 * self.size], seen[2 * self.size :]], size)
