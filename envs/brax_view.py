"""Pictures of the ``mujoco/*`` robots without a graphics library: capsules and spheres, projected."""

from typing import Any

import numpy as np

from rlkit.envs import draw

_PLANE, _SPHERE, _CAPSULE = 0, 2, 3  # mujoco.mjtGeom
_SIDE = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # screen right, screen up
_TOP = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_TURN, _TILT = np.deg2rad(-20), np.deg2rad(18)
_OBLIQUE = np.array(
    [
        [np.cos(_TURN), np.sin(_TURN), 0.0],
        [-np.sin(_TURN) * np.sin(_TILT), np.cos(_TURN) * np.sin(_TILT), np.cos(_TILT)],
    ]
)
VIEWS = {"side": _SIDE, "top": _TOP, "oblique": _OBLIQUE}
_GROUND, _LINES = (228, 230, 226), (200, 204, 200)
_NEAR, _FAR = np.array(draw.BLUE, float), np.array((120, 150, 180), float)


def _turn(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Rotate a vector by a unit quaternion ``(w, x, y, z)``."""
    w, axis = quaternion[0], quaternion[1:]
    return vector + 2 * np.cross(axis, np.cross(axis, vector) + w * vector)


def _shapes(
    model: Any, positions: np.ndarray, rotations: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray, float, int]]:
    """The robot's capsules and spheres in the world: two ends, a radius (m) and the body they belong to."""
    shapes = []
    for geom in range(model.ngeom):
        kind, body = int(model.geom_type[geom]), int(model.geom_bodyid[geom])
        if kind not in (_SPHERE, _CAPSULE):
            continue
        place = np.asarray(model.geom_pos[geom], float)
        reach = np.zeros(3)
        if kind == _CAPSULE:
            reach = _turn(model.geom_quat[geom], np.array([0.0, 0.0, model.geom_size[geom, 1]]))
        ends = np.stack([place - reach, place + reach])
        if body > 0:  # brax's links are MuJoCo's bodies without the world
            ends = np.stack([positions[body - 1] + _turn(rotations[body - 1], end) for end in ends])
        shapes.append((ends[0], ends[1], float(model.geom_size[geom, 0]), body))
    return shapes


def picture(
    model: Any,
    positions: np.ndarray,
    rotations: np.ndarray,
    centre: np.ndarray,
    width: float,
    view: str,
    size: int,
    target: int | None = None,
) -> np.ndarray:
    """Draw a robot.

    Args:
      model: its ``mujoco.MjModel``.
      positions: float ``[links, 3]``, m.
      rotations: float ``[links, 4]``, unit quaternions.
      centre: float ``[3]``, the point in the middle of the picture, m.
      width: what the picture spans, m.
      view: ``"side"`` (along +y), ``"top"`` or ``"oblique"``.
      size: side of the picture in pixels.
      target: a link to mark.

    Returns:
      uint8 ``[size, size, 3]``.
    """
    axes = VIEWS[view]
    middle = axes @ centre
    place = draw.fit(size, middle - width / 2, middle + width / 2)
    image = draw.canvas(size)
    if view != "top" and np.any(np.asarray(model.geom_type) == _PLANE):
        _ground(image, place, axes, centre, width)
    shapes = _shapes(model, positions, rotations)
    away = np.cross(axes[1], axes[0]) if view != "top" else np.array([0.0, 0.0, -1.0])
    depths = np.array([(a + b) @ away / 2 for a, b, _, _ in shapes])
    span = max(float(np.ptp(depths)), 1e-6)
    for index in np.argsort(-depths):
        start, end, radius, body = shapes[index]
        nearness = 1 - (depths[index] - depths.min()) / span
        blend = _FAR + (_NEAR - _FAR) * nearness
        if body == 0:
            colour = draw.GREY
        else:
            red, green, blue = (int(channel) for channel in blend)
            colour = draw.ORANGE if body - 1 == target else (red, green, blue)
        ends = place(axes @ start), place(axes @ end)
        draw.line(image, *ends, max(2 * radius * place.scale, 2.0), draw.INK)
        draw.line(image, *ends, max(2 * radius * place.scale - 2.0, 1.0), colour)
    return draw.finish(image)


def _ground(image: np.ndarray, place: draw.View, axes: np.ndarray, centre: np.ndarray, width: float) -> None:
    """A floor with lines at every half metre (side view) or metre (oblique view), so that motion shows."""
    oblique = abs(axes[1, 1]) > 1e-9
    horizon = 0.0 if oblique else place((0.0, 0.0))[1]
    draw.rectangle(image, (0, horizon), (image.shape[1], image.shape[0]), _GROUND)
    if not oblique:
        for x in np.arange(np.floor(centre[0] - width), centre[0] + width, 0.5):
            start = place((x, 0.0))
            draw.line(image, start, start + np.array([-6.0, 14.0]), 1.5, _LINES)
        return
    reach = np.ceil(1.5 * width)
    for axis in (0, 1):
        for offset in np.arange(-reach, reach + 1):
            ends = np.zeros((2, 3))
            ends[:, axis] = np.floor(centre[axis]) + offset
            ends[:, 1 - axis] = centre[1 - axis] + np.array([-2, 2]) * width
            draw.line(image, place(axes @ ends[0]), place(axes @ ends[1]), 1.5, _LINES)
