"""Geometry of a disc among unit wall cells: contact, range rays, and distance along paths.

Positions are ``(x, y)`` in metres, walls as in :mod:`rlkit.envs.maze_layouts`.
"""

import jax
import jax.numpy as jnp


def cell_of(position: jax.Array, width: int) -> jax.Array:
    """Index ``y * width + x`` of the cell that a position ``[2]`` lies in (int32 [])."""
    x, y = jnp.floor(position).astype(jnp.int32)
    return y * width + x


def centre_of(cell: jax.Array, width: int) -> jax.Array:
    """Centre ``[2]`` (float32, m) of a cell."""
    return jnp.stack([cell % width, cell // width]).astype(jnp.float32) + 0.5


def push_out(
    walls: jax.Array, radius: jax.Array | float, position: jax.Array, velocity: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Move a disc out of the walls and remove the velocity into them (inelastic, frictionless).

    Exact if the disc's centre is in a free cell, and ``radius <= 0.5``: then it can only touch the
    two neighbours on its side of the cell, and the cell diagonally between them. A disc that was
    outside the walls and moved by less than its radius is in that situation.

    Args:
      walls: bool ``[height, width]``.
      radius: of the disc, m.
      position: of its centre, float ``[2]``.
      velocity: float ``[2]``, m/s.

    Returns:
      ``(position, velocity, hit)``; ``hit`` (bool []) says that velocity was removed.
    """
    flat, width = walls.reshape(-1), walls.shape[1]
    corner_of_cell = jnp.floor(position)
    x, y = corner_of_cell.astype(jnp.int32)
    offset = position - corner_of_cell - 0.5
    side = jnp.where(offset >= 0, 1, -1)
    here, aside, above = y * width + x, side[0], side[1] * width
    depth = jnp.abs(offset) + radius - 0.5
    touching = jnp.stack([flat[here + aside], flat[here + above]]) & (depth > 0)
    position = jnp.where(touching, position - side * depth, position)
    into = touching & (velocity * side > 0)
    velocity = jnp.where(into, 0, velocity)

    corner = corner_of_cell + 0.5 + 0.5 * side
    gap = position - corner
    distance = jnp.sqrt(jnp.maximum(jnp.sum(gap**2), 1e-12))
    normal = gap / distance
    touching_corner = flat[here + aside + above] & (distance < radius)
    inward = jnp.minimum(jnp.sum(velocity * normal), 0)
    position = jnp.where(touching_corner, corner + normal * radius, position)
    velocity = jnp.where(touching_corner, velocity - inward * normal, velocity)
    return position, velocity, jnp.any(into) | (touching_corner & (inward < 0))


def cast_rays(walls: jax.Array, origin: jax.Array, directions: jax.Array, reach: int) -> jax.Array:
    """Distances from a point to the first wall along rays.

    A ray can only enter a wall where it crosses a line of the grid: it is enough to look at the
    cells behind the first ``reach`` lines of each orientation.

    Args:
      walls: bool ``[height, width]``.
      origin: float ``[2]``, in a free cell.
      directions: unit vectors, float ``[R, 2]``.
      reach: how far to look, m (static).

    Returns:
      float ``[R]``, m; ``reach`` where the nearest wall is farther.
    """
    flat, (height, width) = walls.reshape(-1), walls.shape
    limits, strides = (width - 1, height - 1), (1, width)
    count = jnp.arange(reach, dtype=origin.dtype)
    distances = []
    for axis in (0, 1):
        along, across = directions[:, axis, None], directions[:, 1 - axis, None]
        along = jnp.where(jnp.abs(along) < 1e-6, 1e-6, along)  # parallel to the lines: crosses them far away
        forward = along > 0
        begin = jnp.floor(origin[axis])
        line = jnp.where(forward, begin + 1 + count, begin - count)
        distance = (line - origin[axis]) / along
        entered = jnp.clip(jnp.where(forward, line, line - 1), 0, limits[axis])
        beside = jnp.clip(jnp.floor(origin[1 - axis] + distance * across), 0, limits[1 - axis])
        index = (entered * strides[axis] + beside * strides[1 - axis]).astype(jnp.int32)
        distances.append(jnp.where(flat[index], distance, reach))
    return jnp.minimum(jnp.min(jnp.concatenate(distances, axis=1), axis=1), reach)


def along_path(distance: jax.Array, width: int, position: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Distance to a goal along the shortest path, continuous in the position. The definition is ours.

    It is the bilinear interpolation of the distances from the four cell centres around the
    position. A wall cell among them takes the value of the free cell beside it, raised by as much
    as the distance grows on the way from the cell behind that one: so distances go on growing
    towards the end of a dead end, and do not depend on the place across a corridor.

    Args:
      distance: from every cell's centre to the goal, float32 ``[height * width]``; infinite for walls.
      width: of the maze, cells.
      position: float ``[2]``, in a cell from which there is a path.

    Returns:
      ``(length, direction)``: float [] in m, and the unit vector ``[2]`` in which it decreases
      fastest (zero where it is flat).
    """
    corner = jnp.floor(position)
    x, y = corner.astype(jnp.int32)
    offset = position - corner - 0.5
    side = jnp.where(offset >= 0, 1, -1)
    a, b = jnp.abs(offset)
    step = jnp.arange(-1, 2)
    block = distance[
        (y + side[1] * step)[:, None] * width + x + side[0] * step
    ]  # [3, 3], mirrored to a, b >= 0

    def ahead_of(behind: jax.Array, here: jax.Array, ahead: jax.Array) -> jax.Array:
        growth = jnp.where(jnp.isfinite(behind) & jnp.isfinite(here), here - behind, 0)
        return jnp.where(jnp.isfinite(ahead), ahead, here + jnp.maximum(growth, 0))

    here = block[1, 1]
    beside, above = ahead_of(*block[1]), ahead_of(*block[:, 1])
    free_beside, free_above = jnp.isfinite(block[1, 2]), jnp.isfinite(block[2, 1])
    # The diagonal cell as seen from `beside` and from `above`. They differ if it is the inner corner
    # of a bend: then the weight makes the interpolation continuous with that of both neighbours.
    from_beside, from_above = ahead_of(*block[:, 2]), ahead_of(*block[2])
    weight = (0.5 - b) / jnp.maximum(1 - a - b, 1e-6)
    weight = jnp.where(free_beside & free_above, weight, free_beside)
    diagonal = jnp.where(free_beside, weight * from_beside, 0) + jnp.where(
        free_above, (1 - weight) * from_above, 0
    )
    diagonal = jnp.where(free_beside | free_above, diagonal, beside + above - here)
    length = (1 - b) * ((1 - a) * here + a * beside) + b * ((1 - a) * above + a * diagonal)
    slope = side * jnp.stack(
        [
            (1 - b) * (beside - here) + b * (diagonal - above),
            (1 - a) * (above - here) + a * (diagonal - beside),
        ]
    )
    norm = jnp.sqrt(jnp.sum(slope**2))
    return length, jnp.where(norm > 1e-6, -slope / jnp.maximum(norm, 1e-6), 0)
