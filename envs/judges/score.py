"""A judge that gives an answer a score, paid by how near it comes (WavReward, arXiv 2505.09558)."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.errors import check_count, unknown_name
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

SHAPES = ("exp", "power", "linear", "exact")
"""How the reward falls with the distance ``d`` to the expert's score: ``exp(-κ d)``, ``(1 - d / D)²``,
``1 - d / D`` with the largest distance D, and 1 only at 0."""

_LIMIT = 8.0


class Params(NamedTuple):
    """float32 [] unless stated."""

    max_steps: jax.Array  # int32 []
    kappa: jax.Array  # κ of the exponential shape
    noise: jax.Array  # standard deviation of each piece of evidence
    rater_noise: jax.Array  # standard deviation of the expert, in scores


class State(NamedTuple):
    evidence: jax.Array  # float32 [E]
    gold: jax.Array  # int32 []: what the quality is worth
    rated: jax.Array  # int32 []: what the expert said
    given: jax.Array  # int32 []: the judge's score, -1 before it


@dataclass(frozen=True)
class ScoreJudge:
    """``judge/score``: one answer, noisy evidence, one score.

    The reward is a bounded function of the distance to an expert's score, which errs at times; success is the
    exact score that the quality is worth. WavReward says that its reward falls nonlinearly; the formula was
    not found and :data:`SHAPES` are ours. Only the exact shape gives nothing to climb.

    Attributes:
      scores: how many scores there are.
      evidence: pieces of evidence.
      shape: of the reward, one of :data:`SHAPES`.
    """

    scores: int = 5
    evidence: int = 8
    shape: str = "exp"

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise unknown_name("shape", self.shape, SHAPES, where="of the reward of judge/score")
        for name, value in (("scores", self.scores), ("evidence", self.evidence)):
            check_count(name, value, 2)

    @property
    def spec(self) -> EnvSpec:
        last = self.scores - 1
        return EnvSpec(
            id="judge/score",
            observation_space=Box((self.evidence,), -_LIMIT, _LIMIT),
            action_space=Discrete(self.scores),
            features=(
                FeatureSpec("scored", dtype="bool", low=0, high=1, meaning="whether a score has been given"),
                FeatureSpec(
                    "distance",
                    dtype="int32",
                    low=0,
                    high=last,
                    unit="scores",
                    meaning="distance of the score given to the expert's",
                    observable=False,
                ),
                FeatureSpec(
                    "error",
                    dtype="int32",
                    low=-last,
                    high=last,
                    unit="scores",
                    meaning="the score given less the one that the quality is worth",
                    observable=False,
                ),
            ),
            max_steps=1,
            task=f"Give an answer one of {self.scores} scores, from evidence of its quality.",
            success="the score is the one that the quality is worth",
            fitness="minus the distance to the score that the quality is worth",
            native_reward=f"falls from 1 with the distance to an expert's score ({self.shape})",
            fitness_over="final",
            partial_obs=True,
            auto_reset=Fresh(),
        )

    def default_params(self) -> Params:
        return Params(jnp.int32(1), *(jnp.float32(x) for x in (math.log(4.0), 1.0, 0.4)))

    def initial(self, key: Key, params: Params) -> State:
        draws = jax.random.normal(key, (self.evidence + 2,), jnp.float32)
        quality, last = draws[0], self.scores - 1
        # Scores are equally frequent: by the quantile of the quality.
        share = jax.scipy.special.ndtr(quality)
        gold = jnp.clip(jnp.floor(share * self.scores), 0, last).astype(jnp.int32)
        rated = jnp.round(gold + params.rater_noise * draws[1])
        # Each piece weighs the quality differently, and they differ in sign.
        weights = np.where(np.arange(self.evidence) % 2, -1.0, 1.0) * np.linspace(0.5, 1.5, self.evidence)
        evidence = quality * weights.astype(np.float32) + params.noise * draws[2:]
        evidence = jnp.clip(evidence, -_LIMIT, _LIMIT)
        return State(evidence, gold, jnp.clip(rated, 0, last).astype(jnp.int32), jnp.full((), -1, jnp.int32))

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        return state._replace(given=action.astype(jnp.int32))

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        return state.evidence

    def features(self, state: State, params: Params) -> Features:
        scored = state.given >= 0
        return {
            "scored": scored,
            "distance": jnp.where(scored, jnp.abs(state.given - state.rated), 0),
            "error": jnp.where(scored, state.given - state.gold, 0),
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        distance = next_features["distance"].astype(jnp.float32)
        near = 1.0 - distance / (self.scores - 1)
        paid = {
            "exp": jnp.exp(-params.kappa * distance),
            "power": near**2,
            "linear": near,
            "exact": (distance == 0).astype(jnp.float32),
        }[self.shape]
        reward = jnp.where(next_features["scored"] & ~features["scored"], paid, 0.0)
        return reward, {"near": reward}

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.given >= 0

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.given == next_state.gold

    def fitness(self, state: State, params: Params) -> jax.Array:
        missed = jnp.abs(state.given - state.gold)
        return -jnp.where(state.given >= 0, missed, self.scores - 1).astype(jnp.float32)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        from rlkit.envs.judges.picture import bars

        middle = (self.scores - 1) / 2
        scores = np.asarray([float(state.rated) - middle, max(float(state.given), 0.0) - middle])
        return bars([np.asarray(state.evidence), scores], size)
