"""The plausibility of its motion as what an agent is paid."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, unknown_name
from rlkit.rewards.algebra import Paid
from rlkit.rewards.arguments import as_scalar, check_positive, check_term_name, lookup
from rlkit.rewards.motion.body import Body
from rlkit.rewards.motion.extract import BACKENDS, motion_features
from rlkit.rewards.motion.features import MotionFeatures
from rlkit.rewards.motion.score import frame_score
from rlkit.types import Features, Key, PyTree, Reward, Transition

Pose = str | Callable[[Features], jax.Array]


class MotionMemory(NamedTuple):
    """The pose before the last step."""

    pose: jax.Array  # [nq]
    known: jax.Array  # bool []


def motion_reward(
    body: Body,
    dt: float,
    *,
    pose: Pose = "pose",
    score: Callable[[MotionFeatures], jax.Array] = frame_score,
    backend: str = "mujoco",
    name: str = "motion",
) -> Reward:
    """A source: the score, in [0, 1], of the motion around each step's beginning.

    It sees the poses before the last step, before this one and after it; the first step of an episode, which
    has no earlier pose, pays 0, and so does a step with a pose that is not finite.

    Args:
      body: the robot.
      dt: seconds per step of the environment.
      pose: the feature that holds ``qpos`` ``[nq]``, or a function of the features to it. Environments may
        mark it as hidden from the agent.
      score: of the features of one frame; by default that for simulators, and
        ``lambda f: published_motion_score(f, floor="true").score`` is one as well.
      backend: ``"mujoco"`` calls back to the host, also from compiled programs; ``"mjx"`` is pure JAX. See
        :func:`rlkit.rewards.motion.motion_features`.
      name: of the term.

    Raises:
      UsageError: ``dt`` is not positive, or (when traced) the pose has another shape.
      UnknownNameError: there is no such backend, or (when traced) no such feature.
    """
    term = check_term_name(name)
    check_positive("dt", dt)
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    rest = np.asarray(body.model.qpos0, np.float32)
    measure = (
        _on_host(body, dt, rest)
        if backend == "mujoco"
        else lambda q: motion_features(body, q, dt, backend="mjx")
    )

    def posed(features: Features) -> jax.Array:
        value = jnp.asarray(pose(features) if callable(pose) else lookup(features, pose))
        if value.shape != rest.shape:
            raise UsageError(f"the pose has shape {value.shape}; expected {rest.shape}: {body.frames}")
        return value.astype(jnp.float32)

    def init(key: Key) -> MotionMemory:
        return MotionMemory(jnp.asarray(rest), jnp.zeros((), bool))

    def apply(memory: MotionMemory, t: Transition, params: PyTree) -> Paid:
        now = posed(t.features)
        window = jnp.stack([memory.pose, now, posed(t.next_features)])
        good = memory.known & ~t.first & jnp.all(jnp.isfinite(window))
        seen = measure(jnp.where(good, window, rest))
        value = as_scalar(term, jnp.where(good, jnp.mean(score(seen)), 0.0), t)
        return MotionMemory(now, jnp.ones((), bool)), value, {term: value}

    return Reward(init, apply)


def _on_host(body: Body, dt: float, rest: np.ndarray) -> Callable[[jax.Array], MotionFeatures]:
    """Features of a window ``[3, nq]`` by a call to the host, once for all rows of mapped axes."""
    one = lambda q: jax.tree.map(np.asarray, motion_features(body, q, dt))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), one(np.stack([rest] * 3)))

    def many(windows: jax.Array) -> MotionFeatures:
        rows = np.asarray(windows).reshape(-1, 3, rest.size)
        found = [one(row) for row in rows]
        lead = windows.shape[:-2]
        return jax.tree.map(lambda *x: np.stack(x).reshape(*lead, *x[0].shape), *found)

    return lambda window: jax.pure_callback(many, shapes, window, vmap_method="broadcast_all")
