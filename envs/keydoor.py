"""Two rooms, a key and a locked door: a task of two stages that pays only in the end."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.errors import check_count
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

ACTIONS = ("left", "right", "down", "up", "use")
_USE = ACTIONS.index("use")
_STEPS = np.array([[-1, 0], [1, 0], [0, -1], [0, 1], [0, 0]], np.int32)  # (x, y) of each action


class Params(NamedTuple):
    max_steps: jax.Array  # int32 []
    slip: jax.Array  # float32 []: probability that an action is replaced by a random one


class State(NamedTuple):
    """Places are int32 ``[2]``, cells (x, y) counted from the lower left one inside the border."""

    position: jax.Array
    key: jax.Array
    door: jax.Array  # in the wall between the rooms
    goal: jax.Array
    has_key: jax.Array  # bool []: taken; it stays with the agent
    open: jax.Array  # bool []: the door
    bumped: jax.Array  # bool []: the last step ran into a wall or the locked door


@dataclass(frozen=True)
class KeyDoor:
    """``nav/keydoor``: take the key, unlock the door with it, and walk to the goal behind it.

    A wall with one door divides a square into a left and a right room, somewhere else in every episode, as
    are agent and key (left), door (in the wall) and goal (right). Everything is seen; nothing but the goal is
    paid. Key and door need the action ``use``: standing on the key, and beside the door. The task is ours,
    after MiniGrid's DoorKey (arXiv 2306.13831).

    Attributes:
      size: cells along a side of the square without its border, at least 5.
    """

    size: int = 9

    def __post_init__(self) -> None:
        check_count("size", self.size, 5)

    @property
    def spec(self) -> EnvSpec:
        far, last = 2 * (self.size - 1), self.size - 1

        def flag(name: str, meaning: str) -> FeatureSpec:
            return FeatureSpec(name, dtype="bool", low=0, high=1, meaning=meaning)

        def toward(what: str) -> tuple[FeatureSpec, FeatureSpec]:
            return (
                FeatureSpec(
                    f"{what}_offset", (2,), low=-last, high=last, unit="cells",
                    meaning=f"cells to the right and upwards from the agent to the {what}",
                ),
                FeatureSpec(
                    f"{what}_distance", low=0, high=far, unit="steps",
                    meaning=f"steps to the {what}, as if there were no wall: horizontal plus vertical cells",
                ),
            )  # fmt: skip

        return EnvSpec(
            id="nav/keydoor",
            observation_space=Box((14,), -1.0, 1.0),
            action_space=Discrete(len(ACTIONS), ACTIONS),
            features=(
                FeatureSpec("position", (2,), low=0, high=last, unit="cells",
                            meaning="cell of the agent: x to the right, y upwards, from the lower left"),
                *toward("key"),
                *toward("door"),
                *toward("goal"),
                flag("has_key", "the agent has taken the key"),
                flag("door_open", "the door has been unlocked"),
                flag("behind_door", "the agent is in the right room, where the goal is"),
                flag("at_goal", "the agent is at the goal"),
                flag("bumped", "the last step ran into a wall or the locked door"),
                FeatureSpec("stage", dtype="int32", low=0, high=3,
                            meaning="stages done: 1 for the key, 1 for the open door, 1 for the goal"),
                FeatureSpec("steps_left", low=0, high=3 * far + 3, unit="steps", observable=False,
                            meaning="fewest steps in which the whole task can still be done"),
            ),
            max_steps=100,
            task="Two rooms are divided by a wall with a locked door. Take the key in the left room (action "
            "'use' on its cell), unlock the door with it ('use' on a cell beside the door, with the key), "
            "walk through the door and to the goal in the right room. You see where everything is; it is "
            "elsewhere in every episode.",
            success="the agent is at the goal",
            fitness="share of the three stages done: key, door, goal",
            native_reward="1 on reaching the goal, which ends the episode, 0 otherwise",
            fitness_over="final",
            auto_reset=Fresh(),
        )  # fmt: skip

    def default_params(self) -> Params:
        return Params(jnp.int32(self.spec.max_steps), jnp.float32(0.0))

    def initial(self, key: Key, params: Params) -> State:
        draws = jax.random.uniform(key, (8,), jnp.float32)

        def between(draw: jax.Array, low: Any, high: Any) -> jax.Array:
            """A whole number from ``low`` to ``high - 1``, uniform."""
            return jnp.minimum(low + jnp.floor(draw * (high - low)).astype(jnp.int32), high - 1)

        wall = between(draws[0], 2, self.size - 2)  # rooms are at least two cells wide

        def place(draws: jax.Array, low: Any, high: Any) -> jax.Array:
            return jnp.stack([between(draws[0], low, high), between(draws[1], 0, self.size)])

        no = jnp.zeros((), bool)
        return State(
            position=place(draws[1:3], 0, wall),
            key=place(draws[3:5], 0, wall),
            door=jnp.stack([wall, between(draws[5], 0, self.size)]),
            goal=place(draws[6:8], wall + 1, self.size),
            has_key=no,
            open=no,
            bumped=no,
        )

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        slips, other = jax.random.uniform(key, (2,), jnp.float32)
        slipped = jnp.minimum((other * len(ACTIONS)).astype(jnp.int32), len(ACTIONS) - 1)
        action = jnp.where(slips < params.slip, slipped, action)
        uses = action == _USE
        ahead = state.position + jnp.asarray(_STEPS)[action]
        in_wall = (ahead[0] == state.door[0]) & ~(state.open & (ahead[1] == state.door[1]))
        free = jnp.all((ahead >= 0) & (ahead < self.size)) & ~in_wall
        beside = _steps(state.position, state.door) == 1
        return state._replace(
            position=jnp.where(free, ahead, state.position),
            has_key=state.has_key | (uses & jnp.all(state.position == state.key)),
            open=state.open | (uses & state.has_key & beside),
            bumped=~free,
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        offsets = [place - state.position for place in (state.key, state.door, state.goal)]
        places = jnp.concatenate([*offsets, state.position, state.door[:1]]) / jnp.float32(self.size - 1)
        around = state.position + jnp.asarray(_STEPS[:4])
        outside = jnp.any((around < 0) | (around >= self.size), 1)
        passage = state.open & (around[:, 1] == state.door[1])
        blocked = outside | ((around[:, 0] == state.door[0]) & ~passage)
        return jnp.concatenate([places, jnp.stack([state.has_key, *blocked]).astype(jnp.float32)])

    def features(self, state: State, params: Params) -> Features:
        def toward(what: str, place: jax.Array) -> Features:
            offset = (place - state.position).astype(jnp.float32)
            return {f"{what}_offset": offset, f"{what}_distance": jnp.sum(jnp.abs(offset))}

        return {
            "position": state.position.astype(jnp.float32),
            **toward("key", state.key),
            **toward("door", state.door),
            **toward("goal", state.goal),
            "has_key": state.has_key,
            "door_open": state.open,
            "behind_door": state.position[0] > state.door[0],
            "at_goal": _at_goal(state),
            "bumped": state.bumped,
            "stage": _stage(state),
            "steps_left": _steps_left(state),
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        reward = next_features["at_goal"].astype(jnp.float32)
        return reward, {"goal": reward}

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _at_goal(next_state)

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _at_goal(next_state)

    def fitness(self, state: State, params: Params) -> jax.Array:
        return _stage(state) / jnp.float32(3)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        """Both rooms from above: key and locked door in orange, goal in green, the agent in blue."""
        from rlkit.envs import draw

        image = draw.canvas(size, draw.INK)
        view = draw.fit(size, (-1, -1), (self.size + 1, self.size + 1))
        colours = np.full((self.size, self.size, 3), draw.PAPER, np.float32)
        wall, row = (int(x) for x in np.asarray(state.door))
        colours[:, wall] = draw.INK
        colours[row, wall] = draw.SKY if bool(state.open) else draw.ORANGE
        draw.tiles(image, colours, view)
        centre = lambda place: view(np.asarray(place) + 0.5)
        draw.disc(image, centre(state.goal), 0.36 * view.scale, draw.GREEN)
        draw.disc(image, centre(state.position), 0.34 * view.scale, draw.BLUE)
        place = state.position if bool(state.has_key) else state.key
        draw.disc(image, centre(place), 0.16 * view.scale, draw.ORANGE)
        return draw.finish(image)


def _steps(a: jax.Array, b: jax.Array) -> jax.Array:
    """Steps between two cells without walls between them, int32 []."""
    return jnp.sum(jnp.abs(a - b), dtype=jnp.int32)


def _at_goal(state: State) -> jax.Array:
    return jnp.all(state.position == state.goal)


def _stage(state: State) -> jax.Array:
    flags = jnp.stack([state.has_key, state.open, _at_goal(state)])
    return jnp.sum(flags, dtype=jnp.int32)


def _steps_left(state: State) -> jax.Array:
    """Rooms are free of obstacles, so steps in them are offsets, and both rooms meet in the door alone."""
    last = _steps(state.door, state.goal)
    inside = state.position[0] > state.door[0]
    walk = jnp.where(inside, _steps(state.position, state.goal), _steps(state.position, state.door) + last)
    unlock = _steps(state.position, state.door) + 1 + last  # one `use` more
    fetch = _steps(state.position, state.key) + 1 + _steps(state.key, state.door) + 1 + last
    left = jnp.where(state.open, walk, jnp.where(state.has_key, unlock, fetch))
    return left.astype(jnp.float32)
