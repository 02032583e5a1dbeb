"""How a body moves in itself: limbs, speeds, jitter, collisions with itself."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp

from rlkit.rewards.motion.features import MotionFeatures

Terms = dict[str, jax.Array]


def mean_of(parts: Iterable[jax.Array]) -> jax.Array:
    """The mean of some arrays of one shape."""
    return jnp.mean(jnp.stack(list(parts)), 0)


def published_kinematic(features: MotionFeatures, *, limbs: str = "limits") -> tuple[jax.Array, Terms]:
    """PhyMotion's kinematic score ``1 - mean(v_limb, v_vel, v_jit, v_self)`` (arXiv 2605.14269, its release).

    Bodies' origins stand for joints, and the share of geoms that touch the body itself for that of mesh
    triangles. Where ``limbs="lengths"``, ``v_limb`` is the release's: the mean of
    ``min(1, 10 std_t(length) / mean_t(length))``, which is 0 for every rigid body; ``"limits"`` takes what it
    stands for, the mean of ``min(1, excess / 0.1 rad)`` of the worst joint limit.

    Returns:
      The score in [0, 1] (scalar) and its violations.
    """
    gap = lambda x: jnp.sqrt(jnp.sum(x**2, -1))
    speed = gap(features.body_velocity)
    root = features.body_acceleration[:, :1]
    jitter = jnp.mean(gap(features.body_acceleration)) + jnp.mean(gap(features.body_acceleration - root))
    if limbs == "lengths":
        spread = jnp.std(features.limb_length, 0) / jnp.mean(features.limb_length, 0)
        limb = jnp.mean(jnp.minimum(10.0 * spread, 1.0))
    else:
        limb = jnp.mean(jnp.minimum(features.limit_excess / 0.1, 1.0))
    violations = {
        "limb": limb,
        "velocity": jnp.mean(jnp.max(speed, 1) > 5.0, dtype=speed.dtype),
        "jitter": jnp.clip((jitter - 4.5) / 90.0, 0.0, 1.0),
        "self": jnp.clip((100.0 * jnp.mean(features.self_contact) - 2.0) / 18.0, 0.0, 1.0),
    }
    return jnp.clip(1.0 - mean_of(violations.values()), 0.0, 1.0), violations


def kinematic_terms(features: MotionFeatures) -> Terms:
    """Scores of each frame in [0, 1], ``[T]`` each; the definition is ours.

    ``limits``: exp(-excess / 0.1 rad) of the worst joint limit; ``speed``: exp(-(v - 5 m/s)₊ / 2) of the
    fastest body; ``acceleration``: exp(-(a - 40 m/s²)₊ / 40) of the most accelerated one; ``self``:
    exp(-depth / 0.02 m) of the deepest contact with itself.
    """
    largest = lambda x: jnp.max(jnp.sqrt(jnp.sum(x**2, -1)), 1)
    over = lambda x, most, scale: jnp.exp(-jnp.maximum(x - most, 0.0) / scale)
    return {
        "limits": jnp.exp(-features.limit_excess / 0.1),
        "speed": over(largest(features.body_velocity), 5.0, 2.0),
        "acceleration": over(largest(features.body_acceleration), 40.0, 40.0),
        "self": jnp.exp(-features.self_penetration / 0.02),
    }
