"""A judge that may call tools before it says which answer is better (ARM-Thinker, arXiv 2512.05111)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.errors import check_count
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

FIRST, SECOND, ELSE = range(3)
"""The actions that end an episode: the first answer is better, the second is, or no judgement at all."""

LADDER = (0.0, 0.3, 0.4, 1.0, 1.5)
"""What ARM-Thinker pays: no judgement; wrong, without and with a call; right, without and with one that gave
something."""

OUTCOME = (0.0, 0.0, 0.0, 1.0, 1.0)
"""The same where only the judgement counts."""

_LIMIT = 6.0  # evidence is clipped to it


class Params(NamedTuple):
    """float32 [] unless stated."""

    max_steps: jax.Array  # int32 []
    ladder: jax.Array  # float32 [5]: see LADDER
    call_cost: jax.Array  # paid for each call
    visible: jax.Array  # standard deviation of the evidence in sight, where a tool is needed
    hidden: jax.Array  # standard deviation of the evidence that decides, in sight or revealed
    failure: jax.Array  # probability that a call gives nothing


class State(NamedTuple):
    evidence: jax.Array  # float32 [K + 1]: for the first answer; what is in sight, and what each tool reveals
    need: jax.Array  # int32 []: the tool that matters, 0 for none
    revealed: jax.Array  # bool [K]
    calls: jax.Array  # int32 []
    verdict: jax.Array  # int32 []: -1 before it, then FIRST, SECOND or ELSE


@dataclass(frozen=True)
class ToolsJudge:
    """``judge/tools``: two answers, evidence in sight, and tools that may reveal more.

    Episodes are of ``tools + 1`` kinds, which are seen. In the first the evidence in sight decides; in the
    others it is faint, and one tool reveals what decides. The first answer is better where all evidence
    adds up to more than 0. The paper's ladder pays 1.5 for a right judgement with a successful call, needed
    or not: ``useful_calls`` says how many were needed. Its other ladders are other ``params.ladder``, so that
    a sweep compares them side by side. The problem is ours; the ladder is the released code's.

    Attributes:
      tools: how many tools there are.
    """

    tools: int = 3

    def __post_init__(self) -> None:
        check_count("tools", self.tools)

    @property
    def spec(self) -> EnvSpec:
        flag = {"dtype": "bool", "low": 0, "high": 1}
        count = {"dtype": "int32", "low": 0, "high": 8, "unit": "calls"}
        kinds, tools = self.tools + 1, self.tools
        low = (-_LIMIT,) + (0.0,) * kinds + (0.0,) * tools + (-_LIMIT,) * tools
        high = (_LIMIT,) + (1.0,) * kinds + (1.0,) * tools + (_LIMIT,) * tools
        return EnvSpec(
            id="judge/tools",
            observation_space=Box((len(low),), low, high),
            action_space=Discrete(3 + self.tools),
            features=(
                FeatureSpec("judged", **flag, meaning="whether one of the answers was said to be better"),
                FeatureSpec("ended", **flag, meaning="whether the judge has finished"),
                FeatureSpec("right", **flag, meaning="whether the better answer was named", observable=False),
                FeatureSpec("calls", **count, meaning="calls of tools so far"),
                FeatureSpec(
                    "useful_calls",
                    **count,
                    meaning="calls so far that revealed what decides, each tool once",
                    observable=False,
                ),
                FeatureSpec("successful_calls", **count, meaning="tools that gave something so far"),
            ),
            max_steps=8,
            task="Say which of two answers is better. Evidence is in sight, but for some kinds of questions "
            "only one of the tools reveals what decides.",
            success="the judgement names the better answer",
            fitness="1 for a right judgement, 0 otherwise",
            native_reward="the ladder of ARM-Thinker at the end, less a cost for each call",
            fitness_over="final",
            partial_obs=True,
            auto_reset=Fresh(),
        )

    def default_params(self) -> Params:
        numbers = (0.02, 0.3, 1.0, 0.1)
        return Params(jnp.int32(8), jnp.asarray(LADDER, jnp.float32), *(jnp.float32(x) for x in numbers))

    def initial(self, key: Key, params: Params) -> State:
        draw_key, need_key = jax.random.split(key)
        need = jax.random.randint(need_key, (), 0, self.tools + 1, jnp.int32)
        noise = jax.random.normal(draw_key, (self.tools + 1,), jnp.float32)
        visible = jnp.where(need == 0, params.hidden, params.visible)
        # What the other tools reveal looks like what decides, and says nothing.
        scale = jnp.concatenate([visible[None], jnp.full(self.tools, params.hidden)])
        evidence = jnp.clip(scale * noise, -_LIMIT, _LIMIT)
        nothing = jnp.zeros((), jnp.int32)
        return State(evidence, need, jnp.zeros(self.tools, bool), nothing, nothing - 1)

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        ends, tool = action <= ELSE, action - 3
        works = jax.random.uniform(key) >= params.failure
        called = (jnp.arange(self.tools) == tool) & ~ends
        return state._replace(
            revealed=state.revealed | (called & works),
            calls=state.calls + jnp.where(ends, 0, 1).astype(jnp.int32),
            verdict=jnp.where(ends, action, state.verdict).astype(jnp.int32),
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        revealed = state.revealed.astype(jnp.float32)
        kind = jax.nn.one_hot(state.need, self.tools + 1, dtype=jnp.float32)
        return jnp.concatenate([state.evidence[:1], kind, revealed, revealed * state.evidence[1:]])

    def features(self, state: State, params: Params) -> Features:
        judged = (state.verdict == FIRST) | (state.verdict == SECOND)
        decides = jnp.arange(1, self.tools + 1) == state.need
        total = state.evidence[0] + jnp.sum(jnp.where(decides, state.evidence[1:], 0.0))
        better = jnp.where(total > 0, FIRST, SECOND)
        return {
            "judged": judged,
            "ended": state.verdict >= 0,
            "right": judged & (state.verdict == better),
            "calls": state.calls,
            "useful_calls": jnp.sum(state.revealed & decides, dtype=jnp.int32),
            "successful_calls": jnp.sum(state.revealed, dtype=jnp.int32),
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        right, tried = next_features["right"], next_features["calls"] > 0
        wrong_rung, right_rung = (
            jnp.where(tried, 2, 1),
            jnp.where(next_features["successful_calls"] > 0, 4, 3),
        )
        rung = jnp.where(next_features["judged"], jnp.where(right, right_rung, wrong_rung), 0)
        ends = next_features["ended"] & ~features["ended"]
        terms = {
            "judgement": jnp.where(ends, params.ladder[rung], 0.0),
            "calls": -params.call_cost * (next_features["calls"] - features["calls"]),
        }
        return terms["judgement"] + terms["calls"], terms

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.verdict >= 0

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return self.features(next_state, params)["right"]

    def fitness(self, state: State, params: Params) -> jax.Array:
        return self.features(state, params)["right"].astype(jnp.float32)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        from rlkit.envs.judges.picture import bars

        seen = np.asarray(self.observe(jax.random.key(0), state, params))
        kinds = self.tools + 1
        return bars([seen[:1], seen[1 : 1 + kinds], seen[1 + kinds + self.tools :]], size)
