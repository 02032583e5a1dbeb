"""Auxiliary losses on latents that push equally hard, whatever they push for.

That an agent whose emergence is pushed up learns otherwise says nothing by itself: any push does something.
So every loss here can be made to pull each latent with the same force (:func:`equal_force`), and what
emergence does is compared with what decorrelation or entropy do at that force.
"""

import jax
import jax.numpy as jnp

from rlkit.analysis.loop.auxiliary import emergence_loss
from rlkit.errors import unknown_name
from rlkit.products import matmul
from rlkit.types import Auxiliary, PyTree

PUSHES = ("untouched", "emergence up", "emergence down", "decorrelation", "latent entropy")
"""The arms: Φ_R of all pairs of units up or down, and two controls."""


def decorrelation_loss() -> Auxiliary:
    """Mean squared correlation of different latents of a minibatch (as Barlow twins' off-diagonal term)."""

    def apply(state: PyTree, latent: jax.Array, next_latent: jax.Array, mask: jax.Array):
        matrix = _correlation(latent)
        units = latent.shape[1]
        return (jnp.sum(jnp.square(matrix)) - units) / max(units * (units - 1), 1), state

    return Auxiliary(lambda units: (), apply)


def entropy_loss(floor: float = 1e-3) -> Auxiliary:
    """Minus the Gaussian entropy of the latents of a minibatch, nats per unit and up to a constant.

    Args:
      floor: added to every variance, which bounds the gradient of units that do not vary.
    """

    def apply(state: PyTree, latent: jax.Array, next_latent: jax.Array, mask: jax.Array):
        centred = latent - latent.mean(0)
        covariance = matmul(centred.T, centred) / latent.shape[0]
        spread = jnp.linalg.slogdet(covariance + floor * jnp.eye(latent.shape[1]))[1]
        return -0.5 * spread / latent.shape[1], state

    return Auxiliary(lambda units: (), apply)


def _correlation(latent: jax.Array, floor: float = 1e-6) -> jax.Array:
    centred = latent - latent.mean(0)
    scaled = centred * jax.lax.rsqrt(jnp.square(centred).mean(0) + floor)
    return matmul(scaled.T, scaled) / latent.shape[0]


def equal_force(auxiliary: Auxiliary, strength: float) -> Auxiliary:
    """A loss with the direction of another one's gradient and a force of its own.

    The gradient with respect to the ``N`` latents of a minibatch and their successors together has the norm
    ``strength / sqrt(N)``: that of a mean over N rows each of which is pulled with the force ``strength``.
    The loss that is reported is the other one's value times the strength.

    Args:
      auxiliary: gives the direction.
      strength: the force.
    """

    def apply(state: PyTree, latent: jax.Array, next_latent: jax.Array, mask: jax.Array):
        def value(pair: tuple[jax.Array, jax.Array]):
            return auxiliary.apply(state, *pair, mask)

        fixed = jax.lax.stop_gradient((latent, next_latent))
        (loss, kept), pull = jax.value_and_grad(value, has_aux=True)(fixed)
        length = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in pull))
        scale = strength / jnp.sqrt(latent.shape[0]) / jnp.maximum(length, 1e-12)
        along = sum(jnp.sum(g * x) for g, x in zip(pull, (latent, next_latent), strict=True))
        still = jax.lax.stop_gradient(along)
        return strength * jax.lax.stop_gradient(loss) + scale * (along - still), kept

    return Auxiliary(auxiliary.init, apply)


def push(name: str, strength: float) -> Auxiliary | None:
    """The auxiliary loss of an arm; None leaves the agent untouched.

    Raises:
      UnknownNameError: no such arm.
    """
    if name == "untouched":
        return None
    if name not in PUSHES:
        raise unknown_name("push", name, PUSHES)
    made = {
        "emergence up": lambda: emergence_loss(1.0),
        "emergence down": lambda: emergence_loss(-1.0),
        "decorrelation": decorrelation_loss,
        "latent entropy": entropy_loss,
    }[name]()
    return equal_force(made, strength)
