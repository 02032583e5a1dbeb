"""World generation of ``craft/mini``: a 16x16 map on which the diamond can always be reached.

Water and lava lie in ponds of 2x2 tiles, one in each mesh of a lattice of rows and columns that
stay free of both (every third one). So whatever is not a hazard hangs together, everything solid
can be mined, and trees stand where the start reaches them on foot.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs import craft_view as tile
from rlkit.products import matmul
from rlkit.types import Key

SIDE = 16
_MESHES = 5  # ponds per side
_WATER_PONDS, _LAVA_PONDS = 3, 3
_TREES, _IRON, _DIAMONDS = 9, 4, 2
_MOUNTAIN = 0.38  # share of the map


class World(NamedTuple):
    blocks: jax.Array  # int32 [16, 16]: tile ids
    start: jax.Array  # int32 [2]: where the player begins
    cow: jax.Array  # int32 [2]: where the cow begins


def _interpolation(coarse: int) -> np.ndarray:
    """Matrix ``[16, coarse]`` that spreads coarse noise linearly over the side of the map."""
    place = np.linspace(0, coarse - 1, SIDE)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(coarse))).astype(np.float32)


def _place(blocks: jax.Array, score: jax.Array, count: int, kind: int) -> jax.Array:
    """Put ``kind`` on the ``count`` tiles of highest score."""
    where = jax.lax.top_k(score.reshape(-1), count)[1]
    return blocks.reshape(-1).at[where].set(kind).reshape(SIDE, SIDE)


def _reached(passable: jax.Array, start: jax.Array) -> jax.Array:
    """Passable tiles within 24 steps on foot from ``start``."""

    def spread(_, reached):
        padded = jnp.pad(reached, 1)
        grown = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
        return (reached | grown) & passable

    begin = jnp.zeros((SIDE, SIDE), bool).at[start[0], start[1]].set(True)
    return jax.lax.fori_loop(0, 24, spread, begin)


def generate(key: Key) -> World:
    """Draw a world.

    Mountains (38 % of the map) follow smooth noise and hold iron, diamonds and three ponds of lava
    where it is highest; three ponds of water lie where it is lowest. The start is a crossing of two
    free lines outside the mountains, in a clearing of 3x3 tiles.
    """
    coarse = 5
    cells = SIDE * SIDE
    draws = jax.random.uniform(key, (coarse * coarse + 3 * cells + 16,))
    spread = jnp.asarray(_interpolation(coarse))
    height = matmul(matmul(spread, draws[: coarse * coarse].reshape(coarse, coarse)), spread.T)
    grains = draws[coarse * coarse : coarse * coarse + 3 * cells].reshape(3, SIDE, SIDE)
    mountain = height >= -jax.lax.top_k(-height.reshape(-1), round((1 - _MOUNTAIN) * cells))[0][-1]

    crossings = 3 * (
        1 + jnp.stack(jnp.meshgrid(jnp.arange(4), jnp.arange(4), indexing="ij"), -1).reshape(16, 2)
    )
    start = crossings[jnp.argmax(draws[-16:] - 2.0 * mountain[crossings[:, 0], crossings[:, 1]])]
    rows, columns = jnp.arange(SIDE)[:, None], jnp.arange(SIDE)[None, :]
    clearing = (jnp.abs(rows - start[0]) <= 1) & (jnp.abs(columns - start[1]) <= 1)

    meshes = jnp.arange(_MESHES)
    touching = jnp.isin(meshes, start[0] // 3 - jnp.arange(2))[:, None] & jnp.isin(
        meshes, start[1] // 3 - jnp.arange(2)
    )
    depth = height[1::3, 1::3]
    water = _ponds(jnp.where(touching, jnp.inf, depth), _WATER_PONDS)
    lava = _ponds(jnp.where(touching, jnp.inf, -depth), _LAVA_PONDS) & (grains[0] < 0.85) & ~water

    tunnel = mountain & (grains[1] > 0.88)
    ground = jnp.where(mountain, jnp.where(tunnel, tile.PATH, tile.STONE), tile.GRASS)
    ground = jnp.where(clearing, tile.GRASS, ground)
    hazard = (water | lava) & ~clearing
    ore = jnp.where(mountain & ~hazard & ~clearing, 1.0, 0.0)
    blocks = _place(ground, 2 * ore + 0.3 * grains[1], _IRON, tile.IRON)
    blocks = _place(
        blocks, 2 * ore * (blocks != tile.IRON) + height + 0.3 * grains[2], _DIAMONDS, tile.DIAMOND
    )
    blocks = jnp.where(hazard, jnp.where(water, tile.WATER, tile.LAVA), blocks)

    at_start = (rows == start[0]) & (columns == start[1])
    reached = _reached((blocks == tile.GRASS) | (blocks == tile.PATH), start)
    fertile = reached & (blocks == tile.GRASS) & ~at_start
    blocks = _place(blocks, fertile + grains[0], _TREES, tile.TREE)
    meadow = (blocks == tile.GRASS) & ~at_start
    best = jnp.argmax((meadow * (1.0 + reached) + 0.5 * grains[2]).reshape(-1))
    return World(blocks.astype(jnp.int32), start, jnp.stack([best // SIDE, best % SIDE]).astype(jnp.int32))


def _ponds(rank: jax.Array, count: int) -> jax.Array:
    """Tiles of the ``count`` meshes of lowest rank; ``rank`` is ``[5, 5]``."""
    threshold = -jax.lax.top_k(-rank.reshape(-1), count)[0][-1]
    mesh = np.arange(SIDE) // 3
    inside = np.arange(SIDE) % 3 != 0
    chosen = jnp.pad(rank <= threshold, ((0, 1), (0, 1)))[mesh][:, mesh]
    return chosen & inside[:, None] & inside[None, :]
