"""A trained policy at work, as an animated GIF drawn by the environment itself."""

import io
import operator
from typing import Any

import jax
import numpy as np

from rlkit.envs import advance, reset
from rlkit.types import Agent, Key, PyTree


def record(agent: Agent, policy: PyTree, key: Key, episodes: int = 4) -> tuple[PyTree, np.ndarray]:
    """Run whole greedy episodes and keep the states.

    Args:
      agent: the agent.
      policy: ``agent.policy(state)`` of one seed.
      key: typed PRNG key.
      episodes: ``E``.

    Returns:
      ``(states, lengths)``: inner states ``[E, max_steps + 1, ...]`` on the host, and the number of steps of
      each episode.
    """
    env, params = agent.env, agent.env.default_params()

    @jax.jit
    @jax.vmap
    def episode(key: Key):
        key_reset, key_steps = jax.random.split(key)
        obs, state = reset(env, key_reset, params)

        def body(loop, key):
            obs, state, carry = loop
            action, carry, _ = agent.act(policy, carry, obs, None)
            out = advance(env, key, state, action, params)
            return (out.obs, out.state, carry), (out.state.inner, out.terminated | out.truncated)

        keys = jax.random.split(key_steps, env.spec.max_steps)
        _, (states, done) = jax.lax.scan(body, (obs, state, agent.carry()), keys)
        states = jax.tree.map(lambda a, b: jax.numpy.concatenate([a[None], b]), state.inner, states)
        return states, jax.numpy.argmax(done) + 1

    states, lengths = episode(jax.random.split(key, episodes))
    return jax.device_get(states), np.asarray(lengths)


def frames(
    env: Any, states: PyTree, lengths: np.ndarray, most: int = 96, size: int = 256
) -> list[np.ndarray]:
    """Draw episodes one after the other.

    Args:
      env: the environment.
      states: from :func:`record`.
      lengths: from :func:`record`.
      most: most pictures in all; longer episodes are drawn every few steps.
      size: of a picture, pixels.

    Returns:
      uint8 ``[size, size, 3]`` each; the last state of an episode is always among them.
    """
    params = env.default_params()
    stride = max(1, -(-int(np.sum(lengths + 1)) // most))
    out = []
    for i, length in enumerate(lengths):
        for t in [*range(0, int(length), stride), int(length)]:
            out.append(env.render(jax.tree.map(operator.itemgetter((i, t)), states), params, size))
    return out


def gif(pictures: list[np.ndarray], seconds_per_picture: float = 0.06) -> bytes:
    """An endless animated GIF with one palette for all pictures."""
    from PIL import Image

    images = [Image.fromarray(picture) for picture in pictures]
    sample = Image.fromarray(np.concatenate(pictures[:: max(1, len(pictures) // 8)]))
    palette = sample.quantize(colors=64)
    small = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    out = io.BytesIO()
    small[0].save(
        out, "GIF", save_all=True, append_images=small[1:], duration=round(1000 * seconds_per_picture), loop=0
    )
    return out.getvalue()
