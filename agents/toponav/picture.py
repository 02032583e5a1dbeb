"""A topological map as a picture."""

from typing import Any

import numpy as np

from rlkit.agents.toponav.topological_map import FAR
from rlkit.envs import draw


def picture(graph: Any, size: int = 256) -> np.ndarray:
    """Draw what an agent knows: visited cells, frontier cells, nodes with the ways between them, and itself.

    Visited cells are light blue and frontier cells orange; nodes are green and larger the more frontier they
    own; the agent is blue. The view is as large as what is known.

    Args:
      graph: one :class:`rlkit.agents.toponav.topological_map.TopologicalMap`, e.g. ``carry.graph`` of
        :func:`rlkit.agents.toponav.toponav`.
      size: of the image, pixels.

    Returns:
      uint8 ``[size, size, 3]``.
    """
    visited, owner = np.asarray(graph.visited), np.asarray(graph.owner)
    frontier = (owner >= 0) & ~visited
    half, nodes = len(visited) // 2, int(graph.nodes)
    known = np.argwhere(visited | frontier)
    low, high = (
        (known.min(0), known.max(0) + 1) if len(known) else (np.array([half] * 2), np.array([half + 1] * 2))
    )
    image = draw.canvas(size)
    view = draw.fit(size, low[::-1], high[::-1], margin=size / 32)
    colours = np.full((*visited.shape, 3), draw.PAPER, np.float32)
    colours[visited], colours[frontier] = draw.SKY, draw.ORANGE
    draw.tiles(image, colours, view)
    place = view(np.asarray(graph.place)[:nodes] + half + 0.5)
    for a, b in np.argwhere(np.triu(np.asarray(graph.edge)[:nodes, :nodes] < FAR, 1)):
        draw.line(image, place[a], place[b], max(view.scale / 8, 1.2), draw.INK)
    for centre, owned in zip(place, np.asarray(graph.frontier)[:nodes], strict=True):
        draw.disc(image, centre, view.scale * (0.25 + 0.04 * min(int(owned), 6)), draw.GREEN)
    draw.disc(image, view(np.asarray(graph.last) + half + 0.5), 0.35 * view.scale, draw.BLUE)
    return draw.finish(image)
