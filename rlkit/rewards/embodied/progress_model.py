"""A small model of hops (Robo-Dopamine's general reward model, 2512.23703), its learner and its reward."""

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
from rlkit.rewards.arguments import Scalar, as_scalar, check_number, check_term_name
from rlkit.rewards.embodied.hop_pairs import Demonstrations, balanced_pairs
from rlkit.rewards.embodied.progress import (
    backward_progress,
    consistency_update,
    forward_progress,
    fuse_progress,
    hopped,
)
from rlkit.spaces import Space
from rlkit.types import Key, Metrics, PyTree, Reward, Transition

PERSPECTIVES = ("fused", "consistent", "incremental", "forward", "backward")


@dataclass(frozen=True)
class ProgressConfig:
    """How a model of hops is trained."""

    learning_rate: float = static(1e-3, "step size of Adam", above=0.0)
    sizes: tuple[int, ...] = static((128, 128), "layer sizes", low=1)
    batch_size: int = static(256, "pairs in a gradient step", low=1)
    steps_per_update: int = static(50, "gradient steps of an update", low=1)
    swap_anchors: float = static(
        0.75, "probability that start and goal are those of another demonstration", low=0.0, high=1.0
    )
    goal_pairs: float = static(
        0.2, "share of pairs that lead from the goal to a frame, as the backward perspective asks",
        low=0.0, high=1.0,
    )  # fmt: skip
    weight_decay: float = static(1e-4, "of AdamW", low=0.0)


class HopNet(nn.Module):
    """A hop in [-1, 1] from start, goal and two observations, all ``[..., d]``."""

    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, start: jax.Array, goal: jax.Array, before: jax.Array, after: jax.Array) -> jax.Array:
        h = jnp.concatenate([start, goal, before, after, after - before], -1)
        for size in self.sizes:
            h = nn.silu(nn.LayerNorm()(nn.Dense(size, precision=FULL)(h)))
        return jnp.tanh(nn.Dense(1, precision=FULL)(h)[..., 0])


class ProgressModel(NamedTuple):
    """A model of hops for one space of observations."""

    encoder: ObservationEncoder
    net: HopNet

    def hop(self, params: PyTree, start: Any, goal: Any, before: Any, after: Any) -> jax.Array:
        """Hops in [-1, 1] of observations ``[..., *shape]`` → ``[...]``."""
        seen = (self.encoder.encode(x).astype(jnp.float32) for x in (start, goal, before, after))
        return self.net.apply(params["net"], *seen)  # pyrefly: ignore


class ProgressState(NamedTuple):
    """Everything that learning needs."""

    params: PyTree  # {"net": ..., "goal": an observation}
    optimiser: PyTree
    key: Key


class ProgressLearner(NamedTuple):
    """A :class:`rlkit.types.Learner` of hops; ``rlkit.experiment.train.train`` trains it."""

    init: Callable[[Key], ProgressState]
    step: Callable[[ProgressState], tuple[ProgressState, Metrics]]
    steps_per_update: int
    model: ProgressModel
    title: str = "progress"
    undefined: tuple[str, ...] = ()
    bulk: tuple[str, ...] = ()


def progress_model(space: Space, config: ProgressConfig = ProgressConfig()) -> ProgressModel:
    """The model for observations of a space.

    Raises:
      UsageError: a number of the configuration is out of range, or the space suits no network.
    """
    check(config)
    return ProgressModel(observation_encoder(space), HopNet(config.sizes))


def progress_learner(
    space: Space, demos: Demonstrations, config: ProgressConfig = ProgressConfig()
) -> ProgressLearner:
    """Learn hops from demonstrations: mean square error on balanced pairs.

    Start and goal are the first and last frame of the pair's demonstration, or, as augmentation, of another
    one. A share of the pairs leads from that goal to a frame, with the start of the frame's demonstration:
    what the backward perspective asks (ours: where episodes differ, no pair of one demonstration asks it).
    The last frame of the first demonstration is kept as the goal with which the model pays (one-shot
    adaptation: put another one into ``params["goal"]``).

    Args:
      space: of observations.
      demos: from :func:`demonstrations`.
      config: hyper-parameters.

    Returns:
      The learner; its metrics are the loss ``"loss/hop"`` and the mean absolute error ``"error/hop"``.

    Raises:
      UsageError: as :func:`progress_model`, or the demonstrations' frames are not observations of the space.
    """
    model = progress_model(space, config)
    if demos.obs.shape[2:] != space.shape:
        raise UsageError(
            f"frames have shape {demos.obs.shape[2:]}; expected {space.shape}, that of the space"
        )
    adam = packed(optax.adamw(config.learning_rate, weight_decay=config.weight_decay))
    last = demos.length - 1
    goals = demos.obs[jnp.arange(last.shape[0]), last]

    def init(key: Key) -> ProgressState:
        begin, key = jax.random.split(typed_key(key))
        blank = model.encoder.encode(goals[0]).astype(jnp.float32)
        net = model.net.init(begin, blank, blank, blank, blank)
        return ProgressState({"net": net, "goal": goals[0]}, adam.init(net), key)

    def gradient_step(state: ProgressState, key: Key) -> tuple[ProgressState, Metrics]:
        draw, other, swap, ask = jax.random.split(key, 4)
        pairs = balanced_pairs(draw, demos, config.batch_size, oversample=8)
        shape = pairs.demonstration.shape
        another = jax.random.randint(other, shape, 0, last.shape[0])
        swapped = jax.random.bernoulli(swap, config.swap_anchors, shape)
        anchor = jnp.where(swapped, another, pairs.demonstration)
        frame = lambda index: demos.obs[pairs.demonstration, index]
        # What is asked when it pays: from the goal of another episode, which no pair of one demonstration
        # holds, with the start of the episode itself.
        asked = jax.random.bernoulli(ask, config.goal_pairs, shape)
        begun = jnp.where(asked, pairs.demonstration, anchor)
        at_goal = asked.reshape(-1, *[1] * (goals.ndim - 1))
        before = jnp.where(at_goal, goals[anchor], frame(pairs.before))
        label = jnp.where(asked, demos.progress[pairs.demonstration, pairs.after] - 1.0, pairs.hop)

        def loss(net: PyTree):
            found = model.hop({"net": net}, demos.obs[begun, 0], goals[anchor], before, frame(pairs.after))
            off = found - label
            mean = jnp.mean(off**2)
            return mean, {"loss/hop": mean, "error/hop": jnp.mean(jnp.abs(off))}

        net, optimiser, metrics = descend(loss, adam, state.params["net"], state.optimiser)
        return ProgressState({**state.params, "net": net}, optimiser, state.key), metrics

    def step(state: ProgressState) -> tuple[ProgressState, Metrics]:
        now, key = jax.random.split(state.key)
        keys = jax.random.split(now, config.steps_per_update)
        state, metrics = jax.lax.scan(gradient_step, state._replace(key=key), keys)
        return state, jax.tree.map(jnp.mean, metrics)

    return ProgressLearner(init, step, config.steps_per_update, model)


class ProgressMemory(NamedTuple):
    """What an episode has come to."""

    start: jax.Array  # its first observation
    progress: jax.Array  # float32 []


def next_progress(
    model: ProgressModel,
    params: PyTree,
    memory: ProgressMemory,
    obs: Any,
    next_obs: Any,
    perspective: str = "fused",
) -> jax.Array:
    """Progress after a step, in [0, 1].

    Args:
      model: of hops.
      params: its parameters and the goal.
      memory: of the episode so far.
      obs: before the step.
      next_obs: after it.
      perspective: ``"fused"`` (the mean of the three), ``"consistent"`` (:func:`consistency_update`),
        ``"incremental"``, ``"forward"`` or ``"backward"``.
    """
    seen = lambda before, after: model.hop(params, memory.start, params["goal"], before, after)
    small = seen(obs, next_obs)
    forward = forward_progress(seen(memory.start, next_obs))
    backward = backward_progress(seen(params["goal"], next_obs))
    if perspective == "consistent":
        return jnp.clip(consistency_update(memory.progress, small, forward, backward), 0.0, 1.0)
    incremental = hopped(memory.progress, small)
    table = {"incremental": incremental, "forward": forward, "backward": backward}
    return table.get(perspective, fuse_progress(incremental, forward, backward))


def episode_progress(
    model: ProgressModel, params: PyTree, obs: jax.Array, perspective: str = "fused"
) -> jax.Array:
    """Progress of the frames of an episode ``[T, *shape]`` → ``[T]``, the first 0."""

    def body(memory: ProgressMemory, pair: Any) -> tuple[ProgressMemory, jax.Array]:
        before, after = pair
        phi = next_progress(model, params, memory, before, after, perspective)
        return memory._replace(progress=phi), phi

    start = ProgressMemory(obs[0], jnp.zeros(()))
    return jnp.concatenate([jnp.zeros(1), jax.lax.scan(body, start, (obs[:-1], obs[1:]))[1]])


def learned_progress(
    model: ProgressModel,
    params: PyTree,
    discount: Scalar,
    *,
    scale: float = 1.0,
    perspective: str = "fused",
    name: str = "progress",
) -> Reward:
    """The source ``scale (γ Φ(h') [not terminated] - Φ(h))`` of a learned model, beside what judges the task.

    Φ depends on the episode so far, h; with the agent's discount the difference telescopes along every
    episode, and no optimal policy changes, whatever the model says. Nor does any advantage, once a critic
    knows Φ (Wiewiora 2003): before the first success such progress is learned from for a while only. With 1
    instead it pays an income of ``scale (1 - γ) Φ(h')`` a step beside that, which lasts, and is worth at most
    ``scale`` in all: success should pay more, and where the model's progress has a false peak, it pays to
    stay. The memory is the first observation and Φ.

    Args:
      model: of hops, trained.
      params: its ``params``; they are the reward's, and may be swept or trained on.
      discount: γ; the agent's, or 1 to pay differences of progress.
      scale: of the potential.
      perspective: see :func:`next_progress`.
      name: of the term.

    Raises:
      UsageError: a number is out of range.
      UnknownNameError: there is no such perspective.
    """
    term = check_term_name(name)
    check_number("discount", discount, 0.0, 1.0)
    check_number("scale", scale)
    if perspective not in PERSPECTIVES:
        raise unknown_name("perspective", perspective, PERSPECTIVES)

    def init(key: Key) -> ProgressMemory:
        return ProgressMemory(jnp.zeros_like(params["goal"]), jnp.zeros((), jnp.float32))

    def apply(memory: ProgressMemory, t: Transition, params: PyTree) -> Paid:
        start = jnp.where(t.first, t.obs, memory.start)
        memory = ProgressMemory(start, jnp.where(t.first, 0.0, memory.progress))
        phi = next_progress(model, params, memory, t.obs, t.next_obs, perspective)
        gain = discount * jnp.where(t.terminated, 0.0, phi) - memory.progress
        value = as_scalar(term, scale * gain, t)
        return memory._replace(progress=phi), value, {term: value}

    return Reward(init, apply, params)
