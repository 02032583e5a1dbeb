"""What a judge sees, as a picture."""

from collections.abc import Sequence

import numpy as np

from rlkit.envs import draw


def bars(groups: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Numbers around 0 as bars: one row of the picture for each group, upwards if positive.

    Args:
      groups: float ``[n]`` each; values beyond ±3 are drawn at the edge.
      size: of the picture, pixels.

    Returns:
      uint8 ``[size, size, 3]``.
    """
    image = draw.canvas(size)
    for row, group in enumerate(groups):
        values = np.clip(np.asarray(group, np.float64).reshape(-1) / 3, -1, 1)
        middle, reach = (row + 0.5) * size / len(groups), 0.42 * size / len(groups)
        draw.line(image, (0, middle), (size, middle), size / 200, draw.GREY)
        for i, value in enumerate(values):
            left, right = (i + 0.2) * size / len(values), (i + 0.8) * size / len(values)
            colour = draw.BLUE if value >= 0 else draw.ORANGE
            draw.rectangle(image, (left, middle - reach * value), (right, middle), colour)
    return draw.finish(image)
