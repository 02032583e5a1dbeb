"""The point maze seen from above."""

from typing import Any

import numpy as np

from rlkit.envs import draw

_KINDS = (draw.RED, draw.ORANGE, draw.INK)  # colours of landmarks


def picture(state: Any, params: Any, size: int, reaches: np.ndarray | None) -> np.ndarray:
    """Draw walls, visited cells, the goal with its radius, and the agent with its velocity.

    Args:
      state: :class:`rlkit.envs.pointmaze_state.State`.
      params: :class:`rlkit.envs.pointmaze_state.Params`.
      size: of the image, pixels.
      reaches: where range rays end, relative to the agent, ``[R, 2]``; None draws none.

    Returns:
      uint8 ``[size, size, 3]``.
    """
    height, width = params.walls.shape
    image = draw.canvas(size)
    view = draw.fit(size, (0, 0), (width, height))
    colours = np.full((height, width, 3), draw.PAPER, np.float32)
    colours[np.asarray(state.visited).reshape(height, width)] = draw.SKY
    walls = params.walls if isinstance(state.scene.walls, tuple) else state.scene.walls
    colours[np.asarray(walls)] = draw.INK
    draw.tiles(image, colours, view)
    position, velocity = np.asarray(state.position), np.asarray(state.velocity)
    here, scale = view(position), view.scale
    for end in view(position + reaches) if reaches is not None else ():
        draw.line(image, here, end, size / 200, draw.GREEN, 0.45)
    cell = int(state.goal)
    goal = view((cell % width + 0.5, cell // width + 0.5))
    draw.disc(image, goal, scale * float(params.goal_radius), draw.GREEN, 0.3)
    draw.disc(image, goal, scale * float(params.goal_radius), draw.GREEN, width=max(scale / 16, 1.2))
    draw.disc(image, goal, scale * 0.12, draw.GREEN)
    draw.line(image, here, view(position + 0.12 * velocity), max(scale / 14, 1.5), draw.ORANGE)
    for spot, kind in zip(*map(np.atleast_1d, (state.scene.landmarks, state.scene.kinds)), strict=True):
        place = view((int(spot) % width + 0.5, int(spot) // width + 0.5))
        draw.disc(image, place, scale * 0.22, _KINDS[int(kind)])
    if not isinstance(state.scene.heading, tuple):
        ahead = np.array([np.cos(state.scene.heading), np.sin(state.scene.heading)])
        draw.line(image, here, view(position + 0.35 * ahead), max(scale / 14, 1.5), draw.INK)
    draw.disc(image, here, scale * 0.17, draw.PAPER)
    draw.disc(image, here, scale * 0.14, draw.BLUE)
    return draw.finish(image)
