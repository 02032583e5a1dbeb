"""What the point maze tells about itself: spaces, features and the task in words."""

import functools
import math
from typing import Any

from rlkit.envs.autoreset import Fresh, Pool
from rlkit.envs.maze_layouts import named_layout
from rlkit.envs.pointmaze_scene import KINDS
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, FeatureSpec

RAYS = 16  # range rays
REACH = 4  # m: how far they see
TOP_SPEED = 5.25  # m/s: the speed limit plus the push of one simulation step
_MOVES = (
    *("stay", "east", "north-east", "north", "north-west"),
    *("west", "south-west", "south", "south-east"),
)
_DRIVES = ("stay", "forward", "forward left", "forward right", "left", "right", "backward")
_LIMIT = {"umaze": 300, "medium": 600, "large": 800, "rooms": 800, "open": 600}  # simulation steps
_LIMIT["random-rooms"] = 800
_SLOWER = 3  # times as many for a unicycle
_FAR_LIMIT = {"large": 500}  # a good agent needs 350; with much more time, wandering about gets there too


@functools.lru_cache(maxsize=64)
def pointmaze_spec(env: Any) -> EnvSpec:
    """The specification of a :class:`rlkit.envs.pointmaze.PointMaze`."""
    layout, far, actions = env.layout, env.far, env.actions
    height, width = named_layout("rooms" if layout == "random-rooms" else layout).shape
    local, unicycle = env.observation == "local", env.drive == "unicycle"
    size, path = math.hypot(height, width), float(height * width)
    limit = (_FAR_LIMIT if far else _LIMIT).get(layout, _LIMIT[layout])
    steps = limit * (_SLOWER if unicycle else 1) // env.frame_skip
    extent = max(height, width)
    feature = FeatureSpec
    features = (
        feature("position", (2,), low=0, high=extent, unit="m", observable=not local,
                meaning="place in the maze: x to the right, y upwards, from the lower left corner"),
        feature("velocity", (2,), low=-TOP_SPEED, high=TOP_SPEED, unit="m/s", meaning="velocity, x and y"),
        feature("speed", low=0, high=2 * TOP_SPEED, unit="m/s", meaning="absolute value of the velocity"),
        feature("odometry", (2,), unit="m", meaning="displacement since the start of the episode, x and y"),
        feature("travelled", low=0, unit="m", meaning="length of the way so far"),
        feature("rays", (RAYS,), low=0, high=REACH, unit="m",
                meaning=f"distance to the nearest wall in {RAYS} directions, counter-clockwise from "
                f"{'straight ahead' if unicycle else '+x'}, at most {REACH}"),
        feature("min_ray", low=0, high=REACH, unit="m", meaning="the smallest of the rays"),
        feature("collision", dtype="bool", low=0, high=1, meaning="whether the last step ran into a wall"),
        feature("cell", dtype="int32", low=0, high=height * width - 1, observable=not local,
                meaning="index of the unit cell of the maze that the agent is in"),
        feature("cells_visited", dtype="int32", low=1, high=height * width, unit="cells",
                meaning="number of different cells visited in this episode"),
        feature("new_cell", dtype="bool", low=0, high=1,
                meaning="whether the last step entered a cell for the first time in this episode"),
        feature("goal_visible", dtype="bool", low=0, high=1,
                meaning="whether the goal is near and not hidden by a wall"),
        feature("goal_position", (2,), low=0, high=extent, unit="m", observable=not local,
                meaning="place of the goal"),
        feature("goal_distance", low=0, high=size, unit="m", observable=not local,
                meaning="straight distance to the goal, through walls"),
        feature("goal_direction", (2,), low=-1.001, high=1.001, observable=not local,
                meaning="unit vector straight towards the goal, through walls"),
        feature("path_distance", low=0, high=path, unit="m", observable=False,
                meaning="distance to the goal along the shortest path around the walls"),
        feature("path_direction", (2,), low=-1.001, high=1.001, observable=False,
                meaning="unit vector along the shortest path to the goal"),
        feature("at_goal", dtype="bool", low=0, high=1, meaning="whether the goal is reached"),
        *_more_features(env, size),
    )  # fmt: skip
    place = math.inf if local else float(extent)
    bounds = [(0.0, REACH)] * RAYS + [(-TOP_SPEED, TOP_SPEED)] * 2 + [(-1.001, 1.001)] * 2
    bounds += [(0.0, size), (0.0, 1.0)] + [(-place, place)] * 2
    bounds += [(-1.001, 1.001)] * (2 * unicycle)
    bounds += ([(-1.001, 1.001)] * 2 + [(0.0, size)] + [(0.0, 1.0)] * KINDS) * env.landmarks
    bounds += [(0.0, 1.0)] * env.landmarks
    low, high = (tuple(float(b) for b in side) for side in zip(*bounds, strict=True))
    moves = _DRIVES if unicycle else _MOVES
    action_space = Discrete(len(moves), moves) if actions == "discrete" else Box((2,), -1.0, 1.0)
    seen = "It is shown while it is near and in line of sight. " if local else ""
    return EnvSpec(
        id=_id(env),
        observation_space=Box((len(bounds),), low, high),
        action_space=action_space,
        features=features,
        max_steps=steps,
        task=f"{_BODIES[env.drive]}The goal is somewhere else in every episode"
        f"{', far from the start' if far else ''}. {seen}{_circumstances(env)}",
        success="the agent is within 0.45 m of the goal",
        fitness="share of the shortest path from start to goal that has been covered; 1 at the goal",
        native_reward="exp(-path_distance) in every step"
        if env.dense
        else "1 on reaching the goal, which ends the episode, 0 otherwise",
        partial_obs=local,
        auto_reset=Pool(64, 8) if env.changes else Fresh(),
    )


_BODIES = {
    "point": "Push a small disc through a maze to a goal; it has inertia and slides along walls. ",
    "unicycle": "Drive a small round robot through a maze to a goal; it goes forward, backward and turns. ",
}


def _id(env: Any) -> str:
    words = ("unicycle" if env.drive == "unicycle" else "pointmaze", env.layout)
    flags = {"clutter": env.clutter > 0, "landmarks": env.landmarks > 0, "far": env.far, "dense": env.dense}
    return "nav/" + "-".join((*words, *(name for name, there in flags.items() if there)))


def _circumstances(env: Any) -> str:
    """What the task says of walls, boxes and landmarks."""
    rooms = (
        "The doors between the rooms are elsewhere in every episode. " if env.layout == "random-rooms" else ""
    )
    boxes = "Boxes drop into cells in the middle of an episode, and are walls from then on. " * (
        env.clutter > 0
    )
    spots = f"{env.landmarks} landmarks of {KINDS} kinds are seen while they are near and in line of sight. "
    there = {rooms: env.layout == "random-rooms", boxes: env.clutter > 0, spots: env.landmarks > 0}
    return "".join(text for text, said in there.items() if said)


def _more_features(env: Any, size: float) -> tuple[FeatureSpec, ...]:
    """Of headings, clutter and landmarks, where there are some."""
    feature, local, out = FeatureSpec, env.observation == "local", []
    if env.drive == "unicycle":
        out.append(feature("heading", (2,), low=-1.001, high=1.001,
                           meaning="unit vector of where the robot looks, by its compass"))  # fmt: skip
    if env.clutter:
        out.append(feature("clutter_dropped", dtype="bool", low=0, high=1,
                           meaning="whether boxes have dropped in this episode"))  # fmt: skip
    if env.landmarks:
        shape, hidden = (env.landmarks,), not local
        out += [
            feature("landmark_kind", shape, "int32", 0, KINDS - 1, observable=hidden,
                    meaning=f"kind of each landmark, one of {KINDS}"),
            feature("landmark_direction", (*shape, 2), low=-1.001, high=1.001, observable=hidden,
                    meaning="unit vectors straight towards the landmarks, through walls"),
            feature("landmark_distance", shape, low=0, high=size, unit="m", observable=hidden,
                    meaning="straight distances to the landmarks, through walls"),
            feature("landmark_visible", shape, "bool", 0, 1,
                    meaning="which landmarks are near and not hidden by a wall"),
            feature("landmark_reached", shape, "bool", 0, 1, meaning="which landmarks are within 0.45 m"),
        ]  # fmt: skip
    return tuple(out)
