"""A model that scores episodes by the rubric (RoboReward, arXiv 2601.00675), its learner and its reward."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from rlkit.encoding import ObservationEncoder, observation_encoder
from rlkit.errors import UsageError, unknown_name
from rlkit.fields import check, static
from rlkit.keys import typed_key
from rlkit.optimisers import descend, packed
from rlkit.products import FULL
from rlkit.rewards.algebra import Paid
from rlkit.rewards.arguments import as_scalar, check_term_name
from rlkit.rewards.embodied.rubric import (
    LEVELS,
    TABLE,
    balanced_scores,
    counterfactual_relabel,
    ordinal_loss,
    ordinal_score,
    score_to_reward,
    temporal_clip,
)
from rlkit.spaces import Space
from rlkit.types import Features, Key, Metrics, PyTree, Reward, Transition

AUGMENTATIONS = ("none", "relabel", "clip", "both")


class Episodes(NamedTuple):
    """``N`` episodes of at most ``T`` frames, most or all of them successes, with their commands."""

    obs: jax.Array  # [N, T, *shape]
    valid: jax.Array  # bool [N, T]: frames of the episode, first ones true
    command: jax.Array  # int [N, A]: attributes
    score: jax.Array  # int32 [N]: 1 to 5
    progress: jax.Array  # float32 [N, T]: towards the command, in [0, 1]
    facts: PyTree = ()  # [N, ...]: what a judge needs to score another command


Judge = Callable[[PyTree, jax.Array], jax.Array]
"""``judge(facts, command [A]) -> score``: the exact rubric of an episode's end, of one row of ``facts``."""


@dataclass(frozen=True)
class RubricConfig:
    """How a model of the rubric is trained."""

    learning_rate: float = static(1e-3, "step size of Adam", above=0.0)
    sizes: tuple[int, ...] = static((64, 64), "layer sizes, of frames and of the head", low=1)
    batch_size: int = static(128, "episodes in a gradient step", low=1)
    steps_per_update: int = static(50, "gradient steps of an update", low=1)
    augment: str = static("both", "none, relabel, clip or both", choices=AUGMENTATIONS)
    near: float = static(0.5, "share of relabelled commands that change one attribute", low=0.0, high=1.0)
    untouched: float = static(0.34, "share of examples that are not augmented", low=0.0, high=1.0)
    pool: int = static(4, "augmented examples per example of a batch, which is balanced over scores", low=1)
    weight_decay: float = static(1e-4, "of AdamW", low=0.0)


class RubricNet(nn.Module):
    """Four cumulative logits from the first, the last and the mean embedded frame, and the command."""

    sizes: tuple[int, ...]

    def setup(self) -> None:
        self.frame = [nn.Dense(size, precision=FULL) for size in self.sizes]
        self.head = [nn.Dense(size, precision=FULL) for size in self.sizes]
        self.slope, self.thresholds = (
            nn.Dense(1, precision=FULL),
            self.param("thresholds", nn.initializers.zeros, (LEVELS - 1,)),
        )

    def embed(self, x: jax.Array) -> jax.Array:
        """One frame ``[..., d]`` → ``[..., sizes[-1]]``."""
        for layer in self.frame:
            x = nn.silu(layer(x))
        return x

    def __call__(self, first: jax.Array, last: jax.Array, mean: jax.Array, command: jax.Array) -> jax.Array:
        h = jnp.concatenate([first, last, last - first, mean, command], -1)
        for layer in self.head:
            h = nn.silu(layer(h))
        # Thresholds that descend: P(score > k) falls with k whatever the slope.
        gaps = jnp.concatenate([self.thresholds[:1], -jax.nn.softplus(self.thresholds[1:])])
        return self.slope(h) + jnp.cumsum(gaps)


class RubricModel(NamedTuple):
    """A model of the rubric for observations of a space and commands of some attributes."""

    encoder: ObservationEncoder
    net: RubricNet
    sizes: tuple[int, ...]  # values of each attribute

    def embed(self, params: PyTree, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Encoded and embedded frames ``[..., *shape]`` → ``[..., d]``, ``[..., e]``."""
        seen = self.encoder.encode(obs).astype(jnp.float32)
        return seen, self.net.apply(params, seen, method="embed")  # pyrefly: ignore

    def commanded(self, command: jax.Array) -> jax.Array:
        """A command ``[..., A]`` as one-hot attributes and as shares of their range."""
        each = [jax.nn.one_hot(command[..., a], n) for a, n in enumerate(self.sizes)]
        shares = command / jnp.maximum(jnp.asarray(self.sizes) - 1, 1)
        return jnp.concatenate([*each, shares], -1)

    def logits(self, params: PyTree, obs: jax.Array, valid: jax.Array, command: jax.Array) -> jax.Array:
        """``P(score > k)``, of episodes ``[..., T, *shape]`` → ``[..., 4]``."""
        seen, embedded = self.embed(params, obs)
        count = jnp.sum(valid, -1)
        mean = jnp.sum(embedded * valid[..., None], -2) / jnp.maximum(count, 1)[..., None]
        last = jnp.take_along_axis(seen, jnp.maximum(count - 1, 0)[..., None, None], -2)[..., 0, :]
        return self.net.apply(params, seen[..., 0, :], last, mean, self.commanded(command))  # pyrefly: ignore

    def score(self, params: PyTree, obs: jax.Array, valid: jax.Array, command: jax.Array) -> jax.Array:
        """Expected scores in [1, 5] of episodes."""
        return ordinal_score(self.logits(params, obs, valid, command))


class RubricState(NamedTuple):
    """Everything that learning needs."""

    params: PyTree
    optimiser: PyTree
    key: Key


class RubricLearner(NamedTuple):
    """A :class:`rlkit.types.Learner` of the rubric; ``rlkit.experiment.train.train`` trains it."""

    init: Callable[[Key], RubricState]
    step: Callable[[RubricState], tuple[RubricState, Metrics]]
    steps_per_update: int
    model: RubricModel
    title: str = "rubric"
    undefined: tuple[str, ...] = ()
    bulk: tuple[str, ...] = ()


def rubric_model(space: Space, sizes: tuple[int, ...], config: RubricConfig = RubricConfig()) -> RubricModel:
    """The model for observations of a space and commands whose attributes have ``sizes`` values.

    Raises:
      UsageError: a number is out of range, an attribute has no value, or the space suits no network.
    """
    check(config)
    if not sizes or min(sizes) < 1:
        raise UsageError(f"sizes={sizes}: expected the number of values of each attribute of a command")
    return RubricModel(observation_encoder(space), RubricNet(config.sizes), tuple(sizes))


def augmented(
    key: Key, one: Episodes, sizes: tuple[int, ...], judge: Judge | None, config: RubricConfig
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One episode (leaves without ``N``) as ``(valid [T], command [A], score)``, perhaps changed.

    Only successes are changed: what a clipped or relabelled failure is worth would not be known.
    """
    keep, which, relabelled, clipped = jax.random.split(key, 4)
    same = one.valid, one.command, one.score
    relabels, clips = config.augment in ("relabel", "both"), config.augment in ("clip", "both")
    if not (relabels or clips):
        return same
    options = []
    if relabels:
        assert judge is not None
        found = counterfactual_relabel(
            relabelled, one.command, jnp.asarray(sizes), lambda c: judge(one.facts, c), near=config.near
        )
        options.append((one.valid, found.command, found.score))
    if clips:
        short = temporal_clip(clipped, one.progress, one.valid)
        options.append((short.valid, one.command, short.score))
    pick = jax.random.randint(which, (), 0, len(options))
    changed = jax.tree.map(lambda *x: jnp.stack(x)[pick], *options)
    untouched = jax.random.bernoulli(keep, config.untouched) | (one.score < LEVELS)
    return jax.tree.map(lambda a, b: jnp.where(untouched, a, b), same, changed)


def rubric_learner(
    space: Space,
    episodes: Episodes,
    sizes: tuple[int, ...],
    judge: Judge | None = None,
    config: RubricConfig = RubricConfig(),
) -> RubricLearner:
    """Learn to score episodes from (mostly) successes, with negatives made of them.

    Args:
      space: of observations.
      episodes: the data.
      sizes: values of each attribute of a command.
      judge: the exact rubric, for relabelling.
      config: hyper-parameters; ``augment`` chooses what negatives are made.

    Returns:
      The learner; its metrics are ``"loss/ordinal"`` and the mean absolute error ``"error/score"``.

    Raises:
      UsageError: relabelling without a judge, scores beyond 1 to 5, or arrays that do not fit.
    """
    model = rubric_model(space, sizes, config)
    if judge is None and config.augment in ("relabel", "both"):
        raise UsageError(
            f"augment={config.augment!r} needs a judge that scores other commands; or augment='clip'"
        )
    if episodes.obs.shape[2:] != space.shape:
        raise UsageError(
            f"frames have shape {episodes.obs.shape[2:]}; expected {space.shape}, that of the space"
        )
    if episodes.command.shape[1:] != (len(sizes),):
        raise UsageError(f"commands have shape {episodes.command.shape[1:]}; expected {(len(sizes),)}")
    if not bool(jnp.all((episodes.score >= 1) & (episodes.score <= LEVELS))):
        raise UsageError(
            f"scores reach from {episodes.score.min()} to {episodes.score.max()}; expected 1 to 5"
        )
    adam = packed(optax.adamw(config.learning_rate, weight_decay=config.weight_decay))
    number = episodes.score.shape[0]

    def init(key: Key) -> RubricState:
        begin, key = jax.random.split(typed_key(key))
        blank = model.encoder.encode(episodes.obs[0, 0]).astype(jnp.float32)

        def whole(net: RubricNet, x: jax.Array, command: jax.Array) -> jax.Array:
            return net(x, x, net.embed(x), command)

        params = model.net.init(begin, blank, model.commanded(episodes.command[0]), method=whole)
        return RubricState(params, adam.init(params), key)

    def gradient_step(state: RubricState, key: Key) -> tuple[RubricState, Metrics]:
        draw, change, level = jax.random.split(key, 3)
        many = config.batch_size * config.pool
        rows = jax.random.randint(draw, (many,), 0, number)
        some = jax.tree.map(lambda x: x[rows], episodes._replace(obs=rows))
        make = lambda key, one: augmented(key, one, sizes, judge, config)
        valid, command, score = jax.vmap(make)(jax.random.split(change, many), some)
        chosen = balanced_scores(level, score, config.batch_size)
        valid, command, score = valid[chosen], command[chosen], score[chosen]
        obs = episodes.obs[rows[chosen]]

        def loss(params: PyTree):
            logits = model.logits(params, obs, valid, command)
            value = jnp.mean(ordinal_loss(logits, score))
            error = jnp.mean(jnp.abs(ordinal_score(logits) - score))
            return value, {"loss/ordinal": value, "error/score": error}

        params, optimiser, metrics = descend(loss, adam, state.params, state.optimiser)
        return RubricState(params, optimiser, state.key), metrics

    def step(state: RubricState) -> tuple[RubricState, Metrics]:
        now, key = jax.random.split(state.key)
        keys = jax.random.split(now, config.steps_per_update)
        state, metrics = jax.lax.scan(gradient_step, state._replace(key=key), keys)
        return state, jax.tree.map(jnp.mean, metrics)

    return RubricLearner(init, step, config.steps_per_update, model)


class RubricMemory(NamedTuple):
    """An episode so far."""

    first: jax.Array  # its first observation
    total: jax.Array  # float32 [e]: sum of embedded frames
    count: jax.Array  # float32 []


def rubric_reward(
    model: RubricModel,
    params: PyTree,
    command: str | Callable[[Features], jax.Array],
    *,
    frame: Callable[[jax.Array], jax.Array] | None = None,
    limit: bool = False,
    table: tuple[float, ...] = TABLE,
    name: str = "rubric",
) -> Reward:
    """The source that pays an episode's score where it ends by itself, and 0 before.

    At a time limit learners bootstrap, as if the episode went on: its score is still to come. Paid there as
    well, a policy would be paid anew at every limit for never ending an episode, and learn that.

    Args:
      model: of the rubric, trained.
      params: its parameters; they are the reward's.
      command: the feature that holds the command's attributes, int ``[A]``, or a function of the features.
      frame: what the model is shown of an observation, where the policy sees more than it was trained on
        (such as the command itself, which relabelling would contradict); None: all of it.
      limit: pay at time limits, too: for learners that do not bootstrap there, and for judging episodes. In
        an environment that never ends by itself nothing is paid without it.
      table: rewards of the scores 1 to 5.
      name: of the term.

    Raises:
      UsageError: the table has not five entries; (when traced) frames are not of the model's space.
      UnknownNameError: (when traced) there is no such feature.
    """
    term = check_term_name(name)
    score_to_reward(jnp.ones(()), table)
    blank = jnp.zeros(model.encoder.shape, jnp.float32)

    def embedded(params: PyTree, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        return model.embed(params, obs if frame is None else frame(obs))

    def asked(features: Features) -> jax.Array:
        if callable(command):
            return command(features)
        if command not in features:
            raise unknown_name("feature", command, features, where="among those at hand")
        return features[command]

    def init(key: Key) -> RubricMemory:
        width = model.net.sizes[-1]
        return RubricMemory(blank, jnp.zeros(width, jnp.float32), jnp.zeros((), jnp.float32))

    def apply(memory: RubricMemory, t: Transition, params: PyTree) -> Paid:
        before, vector = embedded(params, t.obs)
        begun = RubricMemory(before, vector, jnp.ones_like(memory.count))
        memory = jax.tree.map(lambda a, b: jnp.where(t.first, a, b), begun, memory)
        after, vector = embedded(params, t.next_obs)
        memory = memory._replace(total=memory.total + vector, count=memory.count + 1)
        mean = memory.total / memory.count
        given = model.commanded(asked(t.next_features))
        logits: Any = model.net.apply(params, memory.first, after, mean, given)
        paid = score_to_reward(ordinal_score(logits), table)
        ended = t.done if limit else t.terminated
        value = as_scalar(term, jnp.where(ended, paid, 0.0), t)
        return memory, value, {term: value}

    return Reward(init, apply, params)
