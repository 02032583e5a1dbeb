"""Action distributions as bundles of pure functions, one for each kind of action space.

Sampling is split from randomness: ``noise`` turns the random bits of a whole rollout into noise,
``sample`` turns noise and parameters into an action. All functions act on the last axis and
accept leading axes.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.draws import gumbel, normal, uniform
from rlkit.encoding import ActionDecoder, action_decoder
from rlkit.spaces import Box, Discrete, Space

INDICES = ActionDecoder(1, lambda index: index, lambda action: action)
"""Of actions that are their own indices."""


class ActionDistribution(NamedTuple):
    """A family of distributions over the actions of one space.

    ``action`` below is the policy's own action; ``to_env`` turns it into the environment's units.
    """

    size: int
    """Length of the parameter vector that the network's head produces."""

    width: int
    """Random words (uint32) that an action takes."""

    noise: Callable[[jax.Array], jax.Array]
    """``noise(bits [..., width]) -> [..., width]``: randomness for a batch of actions."""

    sample: Callable[[jax.Array, jax.Array], jax.Array]
    """``sample(params [..., size], noise) -> action``"""

    mode: Callable[[jax.Array], jax.Array]
    """``mode(params) -> action``: the most likely action."""

    log_prob: Callable[[jax.Array, jax.Array], jax.Array]
    """``log_prob(params, action) -> [...]``, natural logarithm."""

    entropy: Callable[[jax.Array], jax.Array]
    """``entropy(params) -> [...]``, nats."""

    log_prob_and_entropy: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    """``log_prob_and_entropy(params, action)``: both, from one normalisation of the parameters."""

    to_env: Callable[[jax.Array], jax.Array]
    """``to_env(action) -> action in the environment's units, within its bounds``"""

    from_env: Callable[[jax.Array], jax.Array]
    """``from_env(action in the environment's units) -> action``: one that ``to_env`` turns into it."""


@jax.custom_jvp
def log_softmax(logits: jax.Array) -> jax.Array:
    """Normalised log-probabilities ``[..., n]``, as :func:`jax.nn.log_softmax`.

    Its derivative is written with the probabilities themselves, which a loss has at hand.
    """
    return jax.nn.log_softmax(logits)


@log_softmax.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    log_p, (change,) = log_softmax(*primals), tangents
    return log_p, change - jnp.sum(jnp.exp(log_p) * change, -1, keepdims=True)


def categorical(n: int, decoder: ActionDecoder = INDICES) -> ActionDistribution:
    """Categorical distribution over ``n`` actions; parameters are the logits ``[..., n]``, actions indices.

    ``decoder`` turns indices into the environment's actions, see :func:`rlkit.encoding.action_decoder`.
    """

    def chosen(log_p: jax.Array, action: jax.Array) -> jax.Array:
        # A masked sum, because the gradient of an index is a scatter, which is slow on the CPU.
        return jnp.sum(jnp.where(action[..., None] == jnp.arange(n), log_p, 0.0), -1)

    def spread(log_p: jax.Array) -> jax.Array:
        return -jnp.sum(jnp.exp(log_p) * log_p, -1)

    def both(logits: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_p = log_softmax(logits)
        return chosen(log_p, action), spread(log_p)

    def pick(logits: jax.Array) -> jax.Array:
        return jnp.argmax(logits, -1).astype(jnp.int32)

    return ActionDistribution(
        size=n,
        width=n,
        noise=gumbel,
        sample=lambda logits, noise: pick(logits + noise),
        mode=pick,
        log_prob=lambda logits, action: chosen(log_softmax(logits), action),
        entropy=lambda logits: spread(log_softmax(logits)),
        log_prob_and_entropy=both,
        to_env=decoder.decode,
        from_env=decoder.encode,
    )


def gaussian(space: Box) -> ActionDistribution:
    """Diagonal Gaussian; parameters are means and log standard deviations ``[..., 2 d]``.

    The policy's own action ``[..., d]`` becomes the environment's as :func:`rlkit.encoding.action_decoder`
    says (scaled and clipped between two bounds); log-probabilities are those of the policy's own action.

    Raises:
      UsageError: a box of integers, or one without entries.
    """
    decoder = action_decoder(space)
    d = decoder.size

    def split(params: jax.Array) -> tuple[jax.Array, jax.Array]:
        return params[..., :d], params[..., d:]

    def sample(params: jax.Array, noise: jax.Array) -> jax.Array:
        mean, log_std = split(params)
        return mean + jnp.exp(log_std) * noise

    def log_prob(params: jax.Array, action: jax.Array) -> jax.Array:
        mean, log_std = split(params)
        z = (action - mean) * jnp.exp(-log_std)
        return -jnp.sum(0.5 * z**2 + log_std, -1) - 0.5 * d * math.log(2 * math.pi)

    def entropy(params: jax.Array) -> jax.Array:
        return jnp.sum(split(params)[1], -1) + 0.5 * d * math.log(2 * math.pi * math.e)

    return ActionDistribution(
        size=2 * d,
        width=d,
        noise=normal,
        sample=sample,
        mode=lambda params: split(params)[0],
        log_prob=log_prob,
        entropy=entropy,
        log_prob_and_entropy=lambda params, action: (log_prob(params, action), entropy(params)),
        to_env=decoder.decode,
        from_env=decoder.encode,
    )


_INSIDE = 1.0 - 1e-6  # a tangent reaches no bound

LOG_STD_RANGE = (-20.0, 2.0)
"""Bounds of a squashed Gaussian's log standard deviation, as the authors of arXiv 1812.05905 set them."""


def squashed_gaussian(space: Box) -> ActionDistribution:
    """A diagonal Gaussian ``u`` that a tangent takes into the bounds (arXiv 1801.01290, appendix C).

    Parameters are means and log standard deviations ``[..., 2 d]``, both of which may depend on the state;
    the latter are clipped to ``LOG_STD_RANGE``. The policy's own action is ``u [..., d]``: ``to_env``
    squashes it, so that nothing has to invert the tangent. Log-probabilities and
    entropies are those of ``tanh(u)`` in ``(-1, 1)`` for an entry with two bounds, and of ``u`` for any other
    entry, which is not squashed. For densities in the environment's units subtract
    ``log((high - low) / 2)`` for each entry with two bounds.

    ``log_prob`` is exact: ``log N(u) - Σ log(1 - tanh(u)^2)`` with the logarithm written as
    ``2 (log 2 - log(e^u + e^-u))``, which no ``u`` makes infinite. The entropy has no closed form; it is
    integrated by Gauss and Hermite with 32 nodes (error below 2e-4 nats an entry up to a deviation of 2, 0.1
    at the largest deviation). The mode given is the squashed mean, the median of each entry.

    Raises:
      UsageError: a box of integers, or one without entries.
    """
    base, decoder = gaussian(space), action_decoder(space)
    low, high = (bound.reshape(-1) for bound in space.bounds())
    squashed = np.isfinite(low) & np.isfinite(high)
    d = decoder.size
    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    nodes, weights = nodes.astype(np.float32), (weights / weights.sum()).astype(np.float32)

    def clipped(params: jax.Array) -> jax.Array:
        return jnp.concatenate([params[..., :d], jnp.clip(params[..., d:], *LOG_STD_RANGE)], -1)

    def log_slope(u: jax.Array) -> jax.Array:
        slope = 2.0 * (math.log(2.0) - jnp.logaddexp(u, -u))
        return slope if squashed.all() else jnp.where(squashed, slope, 0.0)

    def log_prob(params: jax.Array, u: jax.Array) -> jax.Array:
        return base.log_prob(clipped(params), u) - jnp.sum(log_slope(u), -1)

    def entropy(params: jax.Array) -> jax.Array:
        params = clipped(params)
        mean, std = params[..., :d, None], jnp.exp(params[..., d:, None])
        slopes = log_slope((mean + std * nodes).swapaxes(-1, -2))  # [..., nodes, d]
        return base.entropy(params) + jnp.sum(slopes * weights[:, None], (-1, -2))

    def to_env(u: jax.Array) -> jax.Array:
        return decoder.decode(jnp.tanh(u) if squashed.all() else jnp.where(squashed, jnp.tanh(u), u))

    def from_env(action: jax.Array) -> jax.Array:
        x = decoder.encode(action)
        return jnp.where(squashed, jnp.arctanh(jnp.clip(x, -_INSIDE, _INSIDE)), x)

    return base._replace(
        sample=lambda params, noise: base.sample(clipped(params), noise),
        log_prob=log_prob,
        entropy=entropy,
        log_prob_and_entropy=lambda params, u: (log_prob(params, u), entropy(params)),
        to_env=to_env,
        from_env=from_env,
    )


def epsilon_greedy(n: int, decoder: ActionDecoder = INDICES) -> ActionDistribution:
    """The action of largest value with probability ``1 - ε``, else any of the ``n``, uniformly.

    Parameters are the values of the actions and ε, ``[..., n + 1]``; actions are indices. Of equal values the
    first counts as the largest. ``decoder`` as for :func:`categorical`.
    """

    def best(params: jax.Array) -> jax.Array:
        return jnp.argmax(params[..., :n], -1).astype(jnp.int32)

    def sample(params: jax.Array, noise: jax.Array) -> jax.Array:
        anything = jnp.minimum((noise[..., 1] * n).astype(jnp.int32), n - 1)
        return jnp.where(noise[..., 0] < params[..., n], anything, best(params))

    def log_prob(params: jax.Array, action: jax.Array) -> jax.Array:
        epsilon = params[..., n]
        return jnp.log(epsilon / n + jnp.where(action == best(params), 1.0 - epsilon, 0.0))

    def entropy(params: jax.Array) -> jax.Array:
        other = params[..., n] / n
        top = 1.0 - (n - 1) * other
        return -(jax.scipy.special.xlogy(top, top) + (n - 1) * jax.scipy.special.xlogy(other, other))

    return ActionDistribution(
        size=n + 1,
        width=2,
        noise=uniform,
        sample=sample,
        mode=best,
        log_prob=log_prob,
        entropy=entropy,
        log_prob_and_entropy=lambda params, action: (log_prob(params, action), entropy(params)),
        to_env=decoder.decode,
        from_env=decoder.encode,
    )


def action_distribution(space: Space) -> ActionDistribution:
    """The distribution for an action space: categorical if discrete, diagonal Gaussian if a box.

    Raises:
      UsageError: a space that policies cannot act in, see :func:`rlkit.encoding.action_decoder`.
    """
    if isinstance(space, Discrete):
        return categorical(space.n, action_decoder(space))
    return gaussian(space)
