"""A judge that pronounces on a pair twice, in both orders (the reward of R1-Reward, arXiv 2505.02835)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

SHOWN_FIRST, SHOWN_SECOND, PASS, ELSE = range(4)
"""Actions: the answer shown first is better, the one shown second is, no opinion, nothing readable."""

_LIMIT = 8.0
_NONE = -1


class Params(NamedTuple):
    """float32 [] unless stated."""

    max_steps: jax.Array  # int32 []
    consistency: jax.Array  # α: of the bonus for agreeing with oneself
    format: jax.Array  # β: of the bonus for a readable verdict
    noise: jax.Array  # standard deviation of the noise of each look at a quality
    position_bias: jax.Array  # what being shown first adds to an answer's look


class State(NamedTuple):
    quality: jax.Array  # float32 [2]: of the answers
    looks: jax.Array  # float32 [2, 2]: each look at each answer, the noise included
    flipped: jax.Array  # bool []: the second answer was shown first in the first look
    opinions: jax.Array  # int32 [2]: which answer was named after each look, -1: none
    readable: jax.Array  # bool []: the verdict was
    looked: jax.Array  # int32 []: opinions given


@dataclass(frozen=True)
class OrderJudge:
    """``judge/order``: reason about two answers, then judge them when they are shown in the other order.

    Both looks are noisy and flatter what is shown first. The first opinion is the reasoning, the second the
    verdict. R1-Reward pays ``result (1 + α C) + β format`` with α = β = 0.5, where C is 1 if both name the
    same answer, -1 if they contradict each other, 0 without an opinion: consistency pays where the result is
    right and never by itself. The paper's C comes from another model that compares the reasoning with the
    answer; that the reasoning sees the other order, so that C is also position consistency, is ours.
    """

    @property
    def spec(self) -> EnvSpec:
        flag = {"dtype": "bool", "low": 0, "high": 1}
        return EnvSpec(
            id="judge/order",
            observation_space=Box((6,), (-_LIMIT,) * 2 + (0.0,) + (-1.0,) + (-_LIMIT,) * 2,
                                  (_LIMIT,) * 2 + (1.0,) * 2 + (_LIMIT,) * 2),
            action_space=Discrete(4),
            features=(
                FeatureSpec("verdict", **flag, meaning="whether the verdict has been given"),
                FeatureSpec("readable", **flag, meaning="whether the verdict names an answer"),
                FeatureSpec("right", **flag, meaning="whether it names the better one", observable=False),
                FeatureSpec(
                    "consistency",
                    low=-1,
                    high=1,
                    meaning="1 if reasoning and verdict name the same answer, -1 if not, 0 without reasoning",
                ),
            ),
            max_steps=2,
            task="Say twice which of two answers is better; they change places in between. What is shown "
            "first looks better than it is.",
            success="the verdict names the better answer",
            fitness="1 for a right verdict, 0 otherwise",
            native_reward="result (1 + 0.5 consistency) + 0.5 format, with the verdict",
            fitness_over="final",
            partial_obs=True,
            auto_reset=Fresh(),
        )  # fmt: skip

    def default_params(self) -> Params:
        return Params(jnp.int32(2), *(jnp.float32(x) for x in (0.5, 0.5, 1.0, 1.0)))

    def initial(self, key: Key, params: Params) -> State:
        draws = jax.random.normal(key, (7,), jnp.float32)
        looks = draws[:2] + params.noise * draws[2:6].reshape(2, 2)
        nothing = jnp.zeros((), jnp.int32)
        opinions = jnp.full((2,), _NONE, jnp.int32)
        return State(draws[:2], looks, draws[6] > 0, opinions, jnp.zeros((), bool), nothing)

    def _shown(self, state: State, look: Any) -> jax.Array:
        """Which answers are shown first and second, int32 [2]."""
        other_way = state.flipped ^ (look == 1)
        return jnp.where(other_way, jnp.array([1, 0]), jnp.array([0, 1]))

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        look = jnp.minimum(state.looked, 1)
        names = action <= SHOWN_SECOND
        named = jnp.where(names, self._shown(state, look)[jnp.minimum(action, 1)], _NONE)
        return state._replace(
            opinions=state.opinions.at[look].set(named.astype(jnp.int32)),
            readable=(look == 1) & names,
            looked=jnp.minimum(state.looked + 1, 2),
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        """Both answers as they look now, which look it is, the first opinion, and the first look again."""
        look = jnp.minimum(state.looked, 1)
        bias = jnp.stack([params.position_bias, jnp.zeros_like(params.position_bias)])
        seen = jnp.clip(state.looks[look][self._shown(state, look)] + bias, -_LIMIT, _LIMIT)
        before = jnp.clip(state.looks[0][self._shown(state, 0)] + bias, -_LIMIT, _LIMIT)
        # By where they are shown now: +1 the first, -1 the second, 0 no opinion.
        opinion = jnp.where(state.opinions[0] == self._shown(state, look)[0], 1.0, -1.0)
        opinion = jnp.where(state.opinions[0] == _NONE, 0.0, opinion)
        return jnp.concatenate([seen, jnp.stack([look.astype(jnp.float32), opinion]), look * before])

    def features(self, state: State, params: Params) -> Features:
        verdict = state.looked >= 2
        better = jnp.where(state.quality[0] > state.quality[1], 0, 1)
        agree = jnp.where(state.opinions[0] == state.opinions[1], 1.0, -1.0)
        both = jnp.all(state.opinions != _NONE)
        return {
            "verdict": verdict,
            "readable": state.readable,
            "right": state.readable & (state.opinions[1] == better),
            "consistency": jnp.where(both & verdict, agree, 0.0),
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        ends = (next_features["verdict"] & ~features["verdict"]).astype(jnp.float32)
        result = ends * next_features["right"]
        terms = {
            "result": result,
            "consistency": params.consistency * result * next_features["consistency"],
            "format": params.format * ends * next_features["readable"],
        }
        return terms["result"] + terms["consistency"] + terms["format"], terms

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.looked >= 2

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return self.features(next_state, params)["right"]

    def fitness(self, state: State, params: Params) -> jax.Array:
        return self.features(state, params)["right"].astype(jnp.float32)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        from rlkit.envs.judges.picture import bars

        seen = np.asarray(self.observe(jax.random.key(0), state, params))
        return bars([seen[:2], seen[2:4], seen[4:]], size)
