"""What the ``craft/*`` worlds share: tile ids, what is near the player, feature names, pictures.

Tile ids are Craftax-Classic's block ids; creatures that stand on a tile hide it and have ids of
their own. Distances count steps (rows plus columns). All positions are ``(row, column)``.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs import draw
from rlkit.types import Features, FeatureSpec, Terms

OUT_OF_BOUNDS, GRASS, WATER, STONE, TREE = 1, 2, 3, 4, 5
PATH, COAL, IRON, DIAMOND, TABLE, FURNACE = 7, 8, 9, 10, 11, 12
SAND, LAVA, PLANT, RIPE_PLANT = 13, 14, 15, 16
ZOMBIE, COW, SKELETON, ARROW = 17, 18, 19, 20
KINDS = 21

IDS = {
    **{"tree": TREE, "stone": STONE, "coal": COAL, "iron": IRON, "diamond": DIAMOND, "water": WATER},
    **{"lava": LAVA, "table": TABLE, "cow": COW, "zombie": ZOMBIE},
}
DIRECTIONS = ((0, -1), (0, 1), (-1, 0), (1, 0))  # left, right, up, down


def window(kinds: jax.Array, position: jax.Array, view: tuple[int, int]) -> jax.Array:
    """The part of a map around a position.

    Args:
      kinds: int32 ``[rows, columns]``, tile ids.
      position: int32 ``[2]``.
      view: odd height and width.

    Returns:
      int32 ``view``; what lies outside the map is ``OUT_OF_BOUNDS``.
    """
    half = tuple(side // 2 for side in view)
    padded = jnp.pad(kinds, [(h, h) for h in half], constant_values=OUT_OF_BOUNDS)
    return jax.lax.dynamic_slice(padded, tuple(position), view)


def _nearest(
    kinds: jax.Array, position: jax.Array, targets: Sequence[str], far: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Offset ``[K, 2]``, distance ``[K]`` and presence ``[K]`` of the nearest tile of each target."""
    rows, columns = kinds.shape
    down = jnp.arange(rows)[:, None] - position[0]
    right = jnp.arange(columns)[None, :] - position[1]
    steps = (jnp.abs(down) + jnp.abs(right)).astype(jnp.float32)
    ids = jnp.array([IDS[name] for name in targets])
    distances = jnp.where(kinds == ids[:, None, None], steps, jnp.float32(far)).reshape(len(targets), -1)
    where = jnp.argmin(distances, axis=1)
    offsets = jnp.stack([where // columns - position[0], where % columns - position[1]], -1)
    distance = jnp.min(distances, axis=1)
    found = distance < far
    return jnp.where(found[:, None], offsets, 0).astype(jnp.float32), distance, found


def surroundings(
    kinds: jax.Array, position: jax.Array, facing: jax.Array, view: tuple[int, int], targets: Sequence[str]
) -> Features:
    """Features of what is near the player, seen in the view or known from the whole map.

    Args:
      kinds: int32 ``[rows, columns]``, tile ids with creatures on top.
      position: int32 ``[2]``, the player's.
      facing: int32 ``[]``, index into ``DIRECTIONS``.
      view: height and width of what the player sees.
      targets: names of ``IDS`` to look for.
    """
    seen = window(kinds, position, view)
    centre = (view[0] // 2, view[1] // 2)
    features: Features = {}
    for prefix, there, found in (("nearest", "view", "visible"), ("world", "map", "exists")):
        if there == "view":
            grid, origin, far = seen, jnp.array(centre), sum(centre) + 1
        else:
            grid, origin, far = kinds, position, sum(kinds.shape)
        offsets, distances, present = _nearest(grid, origin, targets, far)
        for k, name in enumerate(targets):
            features[f"{prefix}_{name}_offset"] = offsets[k]
            features[f"{prefix}_{name}_distance"] = distances[k]
            features[f"{prefix}_{name}_{found}"] = present[k]
    around = jnp.array(DIRECTIONS) + jnp.array(centre)
    neighbours = seen[around[:, 0], around[:, 1]]
    features["facing_block"] = neighbours[facing]
    features["lava_adjacent"] = neighbours == LAVA
    return features


def surroundings_specs(
    shape: tuple[int, int], view: tuple[int, int], targets: Sequence[str]
) -> tuple[FeatureSpec, ...]:
    """The specifications of what :func:`surroundings` returns, for a map of ``shape``."""
    specs = [
        FeatureSpec(
            "facing_block",
            dtype="int32",
            low=0,
            high=KINDS - 1,
            meaning="what is in front of the player: 1 edge of the world, 2 grass, 3 water, 4 stone, 5 tree, "
            "7 path, 8 coal, 9 iron, 10 diamond, 11 table, 12 furnace, 13 sand, 14 lava, 15 plant, "
            "16 ripe plant, 17 zombie, 18 cow, 19 skeleton, 20 arrow",
        ),
        FeatureSpec(
            "lava_adjacent",
            (4,),
            "bool",
            0,
            1,
            meaning="whether there is lava to the left, to the right, above and below the player",
        ),
    ]
    half = sum(side // 2 for side in view)
    for prefix, found, far, observable in (
        ("nearest", "visible", half + 1, True),
        ("world", "exists", sum(shape), False),
    ):
        within = f"in the {view[0]}x{view[1]} view" if observable else "on the whole map"
        for name in targets:
            meanings = {
                "offset": f"rows down and columns right to the nearest {name} {within}, 0 if there is none",
                "distance": f"steps to the nearest {name} {within}, {far} if there is none",
                found: f"whether there is a {name} {within}",
            }
            common = {"unit": "tiles", "observable": observable}
            specs += [
                FeatureSpec(
                    f"{prefix}_{name}_offset", (2,), low=-far, high=far, meaning=meanings["offset"], **common
                ),
                FeatureSpec(
                    f"{prefix}_{name}_distance", low=0, high=far, meaning=meanings["distance"], **common
                ),
                FeatureSpec(
                    f"{prefix}_{name}_{found}",
                    dtype="bool",
                    low=0,
                    high=1,
                    meaning=meanings[found],
                    observable=observable,
                ),
            ]
    return tuple(specs)


def progress_specs(
    items: Sequence[str], vitals: Sequence[str], achievements: Sequence[str], tiles: int
) -> tuple[FeatureSpec, ...]:
    """The specifications of the player's own features: possessions, health, progress, death."""

    def count(name: str, high: float, meaning: str, **kw: Any) -> FeatureSpec:
        return FeatureSpec(name, dtype="int32", low=0, high=high, meaning=meaning, **kw)

    def flag(name: str, meaning: str) -> FeatureSpec:
        return FeatureSpec(name, dtype="bool", low=0, high=1, meaning=meaning)

    return (
        *(
            count(f"inventory_{item}", 9, f"how many the player has: {item.replace('_', ' ')}")
            for item in items
        ),
        *(count(name, 9, f"the player's {name}, 9 is best") for name in vitals),
        *(flag(f"achievement_{a}", f"done in this episode: {a.replace('_', ' ')}") for a in achievements),
        count("achievements_unlocked", len(achievements), "how many achievements are done in this episode"),
        count("tiles_visited", tiles, "different tiles that the player has stood on", observable=False),
        count("steps_since_progress", float("inf"), "steps since the last new achievement", unit="steps"),
        flag("died_in_lava", "the player walked into lava"),
        flag("died_other", "the player's health ran out for another reason than lava"),
    )


def progress(
    items: Features,
    vitals: Features,
    achievements: dict[str, jax.Array],
    visited: jax.Array,
    idle: jax.Array,
    in_lava: jax.Array,
) -> Features:
    """The player's own features, see :func:`progress_specs`."""
    return {
        **{f"inventory_{name}": count.astype(jnp.int32) for name, count in items.items()},
        **{name: value.astype(jnp.int32) for name, value in vitals.items()},
        **{f"achievement_{name}": done for name, done in achievements.items()},
        "achievements_unlocked": sum((d.astype(jnp.int32) for d in achievements.values()), jnp.int32(0)),
        "tiles_visited": jnp.sum(visited > 0, dtype=jnp.int32),
        "steps_since_progress": idle,
        "died_in_lava": in_lava,
        "died_other": (vitals["health"] <= 0) & ~in_lava,
    }


def crafter_reward(features: Features, next_features: Features) -> tuple[jax.Array, Terms]:
    """Crafter's reward (arXiv 2109.06780): 1 for every new achievement + 0.1 x change of health."""

    def change(name: str) -> jax.Array:
        return (next_features[name] - features[name]).astype(jnp.float32)

    terms = {"achievements": change("achievements_unlocked"), "health": 0.1 * change("health")}
    return terms["achievements"] + terms["health"], terms


_COLOURS = np.full((KINDS, 3), 128, np.uint8)
for _ids, _colour in (
    ((OUT_OF_BOUNDS,), (30, 32, 36)),
    ((GRASS, COW, ZOMBIE), (126, 180, 96)),
    ((WATER,), (72, 138, 205)),
    ((STONE,), (140, 144, 150)),
    ((TREE,), (38, 94, 54)),
    ((PATH, SKELETON, ARROW), (203, 186, 158)),
    ((COAL,), (58, 60, 66)),
    ((IRON,), (205, 146, 104)),
    ((DIAMOND,), (150, 240, 240)),
    ((TABLE,), (150, 98, 52)),
    ((FURNACE,), (92, 84, 84)),
    ((SAND,), (232, 214, 150)),
    ((LAVA,), (236, 92, 36)),
    ((PLANT, RIPE_PLANT), (186, 210, 92)),
):
    _COLOURS[[*_ids]] = _colour
_CREATURES = {COW: (250, 250, 250), ZOMBIE: (60, 130, 60), SKELETON: (235, 235, 220), ARROW: (90, 60, 30)}


def picture(
    kinds: np.ndarray,
    position: np.ndarray,
    facing: int,
    view: tuple[int, int],
    size: int,
    radius: int | None = None,
) -> np.ndarray:
    """A flat-colour picture of the map: the player's view bright, the rest dimmed.

    Args:
      kinds: int ``[rows, columns]``, tile ids with creatures on top.
      position: int ``[2]``, the player's.
      facing: index into ``DIRECTIONS``.
      view: height and width of what the player sees.
      size: side of the picture in pixels.
      radius: show only tiles so far from the player; None shows the whole map.

    Returns:
      uint8 ``[size, size, 3]``.
    """
    if radius is not None:
        padded = np.pad(kinds, radius, constant_values=OUT_OF_BOUNDS)
        kinds = padded[tuple(slice(int(p), int(p) + 2 * radius + 1) for p in position)]
        position = np.array([radius, radius])
    rows, columns = kinds.shape
    distance = np.abs(np.indices(kinds.shape) - np.asarray(position)[:, None, None])
    seen = (distance[0] <= view[0] // 2) & (distance[1] <= view[1] // 2)
    colours = _COLOURS[kinds] * np.where(seen, 1.0, 0.62)[..., None]
    image = draw.canvas(size, (30, 32, 36))
    # Rows count downwards, the rasteriser's cells upwards.
    place = draw.fit(size, (0, 0), (columns, rows))
    draw.tiles(image, colours[::-1], place)

    def centre(row: float, column: float) -> np.ndarray:
        return place((column + 0.5, rows - row - 0.5))

    for row, column in np.argwhere(kinds >= ZOMBIE):
        draw.disc(image, centre(row, column), 0.34 * place.scale, _CREATURES[int(kinds[row, column])])
    here = np.asarray(position, float)
    nose = here + 0.42 * np.asarray(DIRECTIONS[int(facing)])
    draw.disc(image, centre(*here), 0.4 * place.scale, draw.PAPER)
    draw.disc(image, centre(*here), 0.34 * place.scale, draw.RED)
    draw.line(image, centre(*here), centre(*nose), 0.16 * place.scale, draw.PAPER)
    return draw.finish(image)
