"""What the tree of rooms tells about itself: spaces, features and the task in words."""

import functools

from rlkit.envs.autoreset import Pool
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, FeatureSpec

ACTIONS = ("left", "right", "down", "up")


@functools.lru_cache(maxsize=64)
def treerooms_spec(rooms: int, room_size: int, view: int) -> EnvSpec:
    """The specification; arguments as the attributes of :class:`rlkit.envs.treerooms.TreeRooms`."""
    side = rooms * (room_size + 1) + 1
    reach, cells, limit = side - 3, side * side, 1200 * rooms**2 * room_size**2 // 400
    feature = FeatureSpec
    features = (
        feature("position", (2,), low=1, high=side - 2, unit="cells", observable=False,
                meaning="cell of the agent: x to the right, y upwards, from the lower left corner"),
        feature("odometry", (2,), low=-reach, high=reach, unit="cells",
                meaning="displacement since the start of the episode, x and y"),
        feature("travelled", low=0, unit="cells", meaning="length of the way so far"),
        feature("view", (view, view), "int32", 0, 2,
                meaning="the cells around the agent by offset (y upwards, x to the right, the agent in the "
                "middle): 0 hidden by walls, 1 free, 2 wall"),
        feature("clearance", low=0, high=1, unit="cells",
                meaning="room for another step the same way: 0 if the last one ran into a wall"),
        feature("collision", dtype="bool", low=0, high=1, meaning="whether the last step ran into a wall"),
        feature("cell_visits", dtype="int32", low=1, high=32767,
                meaning="how often the agent's cell was entered in this episode"),
        feature("cells_visited", dtype="int32", low=1, high=cells, unit="cells",
                meaning="number of different cells visited in this episode"),
        feature("new_cell", dtype="bool", low=0, high=1,
                meaning="whether the last step entered a cell for the first time in this episode"),
        feature("goal_visible", dtype="bool", low=0, high=1,
                meaning="whether the goal is near and not hidden by a wall"),
        feature("goal_offset", (2,), low=-(view // 2), high=view // 2, unit="cells",
                meaning="cells to the right and upwards to the goal while it is visible, else 0"),
        feature("path_distance", low=0, high=cells, unit="cells", observable=False,
                meaning="steps to the goal"),
        feature("at_goal", dtype="bool", low=0, high=1, meaning="whether the goal is reached"),
    )  # fmt: skip
    return EnvSpec(
        id="nav/treerooms",
        observation_space=Box((2 * view * view + 6,), -1.0, 1.0),
        action_space=Discrete(len(ACTIONS), ACTIONS),
        features=features,
        max_steps=limit,
        task=f"Find a goal in a maze of {rooms}x{rooms} rooms that doors join without a circle. The maze and "
        "the goal are new in every episode; the goal is far from the start, and nothing points to it: it is "
        f"recognised from beside it. You see the {view}x{view} cells around you that no wall hides.",
        success="the agent is at the goal",
        fitness="share of the shortest path from start to goal that has been covered; 1 at the goal",
        native_reward="1 on reaching the goal, which ends the episode, 0 otherwise",
        partial_obs=True,
        auto_reset=Pool(64, 4),
    )
