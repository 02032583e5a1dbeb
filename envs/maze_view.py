"""What is seen of a maze from a cell: the cells around it that no wall hides."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError

UNSEEN, FREE, WALL = 0, 1, 2


@functools.cache
def _between(radius: int) -> np.ndarray:
    """For each cell of the view the cells between it and the centre, bool ``[2, V*V, V*V]``.

    Two lines of sight run just beside the one through both centres, one on each side of it, so that a line
    that passes exactly through the corner between two cells meets one of them on either side.
    """
    side = 2 * radius + 1
    offsets = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) - radius  # (x, y)
    out = np.zeros((2, len(offsets), side, side), bool)
    along = np.linspace(0.0, 1.0, 64 * side)[:, None]
    for k, (x, y) in enumerate(offsets):
        aside = 0.02 * np.array([-y, x]) / max(np.hypot(x, y), 1)
        for sign in (0, 1):
            cells = np.floor(along * (x, y) + (2 * sign - 1) * aside + 0.5).astype(int) + radius
            out[sign, k, cells[:, 1], cells[:, 0]] = True
        out[:, k, y + radius, x + radius] = False
    out[..., radius, radius] = False
    return out.reshape(2, len(offsets), -1)


def view_of(walls: jax.Array, cell: jax.Array, radius: int) -> jax.Array:
    """The square of cells around a cell, as far as they are seen from its centre.

    A cell is seen if no wall lies on a line to its centre; of two lines, each infinitely close to it on one
    side, one is enough: past a corner one sees, between two walls that touch at corners one does not.

    Args:
      walls: bool or 0/1 ``[height, width]``, see :mod:`rlkit.envs.maze_layouts`.
      cell: int32 ``[2]``: x, y.
      radius: cells to each side (static).

    Returns:
      int32 ``[2 * radius + 1, 2 * radius + 1]``, entry ``[y, x]`` the cell at that offset plus ``radius``:
      ``UNSEEN`` (0), ``FREE`` (1) or ``WALL`` (2); outside the maze there are walls.
    """
    side = 2 * radius + 1
    padded = jnp.pad(walls.astype(bool), radius, constant_values=True)
    solid = jax.lax.dynamic_slice(padded, (cell[1], cell[0]), (side, side)).reshape(-1)
    hidden = jnp.all(jnp.any(jnp.asarray(_between(radius)) & solid, -1), 0)
    return jnp.where(hidden, UNSEEN, jnp.where(solid, WALL, FREE)).astype(jnp.int32).reshape(side, side)


def check_view(view: int) -> int:
    """The radius of a view of ``view`` cells a side.

    Raises:
      UsageError: it is no odd number of at least 3.
    """
    if not isinstance(view, int) or view < 3 or view % 2 == 0:
        raise UsageError(f"view={view!r}: expected an odd number of cells a side, at least 3")
    return view // 2
