"""A trained policy at work, in pictures drawn by the environment itself."""

import io
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit import outside
from rlkit.agents import evaluate
from rlkit.agents.episodes import Episode, episode_functions
from rlkit.errors import UsageError, missing_extra
from rlkit.keys import typed_key
from rlkit.parameters import resolve
from rlkit.types import Agent, Key, PyTree


def inner_state(running: Episode) -> PyTree:
    """The environment's state."""
    return running.state.inner


def with_memory(running: Episode) -> PyTree:
    """The environment's state and the policy's memory, for agents that can draw it."""
    return running.state.inner, running.carry


def record(
    agent: Agent,
    policy: PyTree,
    key: Key,
    episodes: int = 4,
    *,
    env_params: Any = None,
    keep: Callable[[Episode], PyTree] = inner_state,
) -> tuple[PyTree, np.ndarray]:
    """Run whole greedy episodes and keep the states.

    Args:
      agent: the agent.
      policy: ``agent.policy(state)`` of one seed.
      key: typed PRNG key.
      episodes: ``E``.
      env_params: the environment's parameters, with the time limit; None takes the default ones.
      keep: what to keep of each moment: :func:`inner_state` or :func:`with_memory`.

    Returns:
      ``(states, lengths)``: what was kept, ``[E, longest + 1, ...]`` on the host, and the number of steps of
      each episode. The episodes are those that ``evaluate`` judges with this key.
    """
    env, key = agent.env, typed_key(key)
    params = resolve("env_params", env.default_params(), env_params)
    # Run twice: only then is it known how many states there are to keep.
    lengths = np.asarray(jax.jit(lambda: evaluate(agent, policy, key, episodes, env_params=params))().length)
    begin, step = episode_functions(agent, policy, params, lambda state: (), lambda nothing, moment: nothing)

    @jax.jit
    def run(keys: Key) -> PyTree:
        running, step_keys = jax.vmap(begin)(keys)

        def body(running: Episode, t: jax.Array) -> tuple[Episode, PyTree]:
            new = jax.vmap(step, (0, 0, None))(running, step_keys, t)
            return new, keep(new)

        _, later = jax.lax.scan(body, running, jnp.arange(lengths.max()))
        return jax.tree.map(lambda a, b: jnp.moveaxis(jnp.concatenate([a[None], b]), 0, 1),
                            keep(running), later)  # fmt: skip

    return jax.device_get(run(jax.random.split(key, episodes))), lengths


def frames(
    env: Any,
    states: PyTree,
    lengths: np.ndarray,
    most: int = 96,
    size: int = 256,
    env_params: Any = None,
    beside: Callable[[PyTree, int], Any] | None = None,
) -> list[np.ndarray]:
    """Draw episodes one after the other.

    Args:
      env: the environment.
      states: from :func:`record`.
      lengths: from :func:`record`.
      most: most pictures in all; longer episodes are drawn every few steps.
      size: of a picture, pixels.
      env_params: the environment's parameters; None takes the default ones.
      beside: draws the policy's memory, ``Agent.picture``; the states then are those of :func:`with_memory`.

    Returns:
      uint8 ``[size, size, 3]`` each, twice as wide with a memory; the last state of an episode is always
      among them.
    """
    params = env.default_params() if env_params is None else env_params
    stride = max(1, -(-int(np.sum(lengths + 1)) // most))
    out = []
    for i, length in enumerate(lengths):
        for t in [*range(0, int(length), stride), int(length)]:
            state = jax.tree.map(operator.itemgetter((i, t)), states)
            if beside is None:
                out.append(env.render(state, params, size))
            else:
                out.append(np.concatenate([env.render(state[0], params, size), beside(state[1], size)], 1))
    return out


def render(
    agent: Agent,
    policy: PyTree,
    key: Key,
    episodes: int = 1,
    *,
    most: int = 96,
    size: int = 256,
    env_params: Any = None,
) -> list[np.ndarray]:
    """Draw whole greedy episodes: :func:`frames` of what :func:`record` keeps; arguments as there. What the
    policy remembers is drawn beside them, where the agent can."""
    keep = inner_state if agent.picture is None else with_memory
    states, lengths = record(agent, policy, key, episodes, env_params=env_params, keep=keep)
    return frames(agent.env, states, lengths, most, size, env_params, agent.picture)


def save(pictures: list[np.ndarray], path: str | Path, seconds_per_picture: float = 0.06) -> Path:
    """Write pictures as an animation, ``.gif``, or ``.mp4`` with the extra ``video``.

    Raises:
      UsageError: another ending.
      MissingExtraError: the package that writes videos is not installed.
      RlkitError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".gif", ".mp4"):
        raise UsageError(f"{path}: expected a name that ends with .gif or .mp4")
    with outside.at(path, "write"):
        if path.suffix == ".gif":
            path.write_bytes(gif(pictures, seconds_per_picture))
        else:
            _video(pictures, path, round(1 / seconds_per_picture))
    return path


def _video(pictures: list[np.ndarray], path: Path, rate: int) -> None:
    try:
        import imageio_ffmpeg  # pyrefly: ignore
    except ImportError:
        raise missing_extra("a video", "imageio-ffmpeg", "video") from None
    height, width = (n - n % 2 for n in pictures[0].shape[:2])  # the encoder takes even sizes
    writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=rate, macro_block_size=1)
    writer.send(None)
    for picture in pictures:
        writer.send(np.ascontiguousarray(picture[:height, :width]))
    writer.close()


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
