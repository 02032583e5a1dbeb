"""A small screen on which the right thing is to be clicked: ``gui/pointing``."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.errors import check_count
from rlkit.spaces import Box
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms


class Params(NamedTuple):
    """float32 [] unless stated."""

    max_steps: jax.Array  # int32 []
    smallest: jax.Array  # least side of a widget, as a share of the screen
    largest: jax.Array  # largest side, at most one over the widgets along a side of the screen


class State(NamedTuple):
    boxes: jax.Array  # float32 [W, 4]: left, lower, right, upper edge of each widget
    target: jax.Array  # int32 []: which one is meant
    click: jax.Array  # float32 [2]: the last click, the middle of the screen before the first
    clicked: jax.Array  # bool []: there was one


@dataclass(frozen=True)
class Pointing:
    """``gui/pointing``: click the widget that is meant, on a screen of several, of any size and place.

    One widget lies in each cell of a regular grid, so that they never overlap; sides are uniform between two
    parameters, independently. A click is a point of the screen. The task is ours, for rewards of graphical
    interfaces (e.g. GUI-G², arXiv 2507.15846): a click that misses by far tells the task's own reward
    nothing.

    Attributes:
      widgets: along each side of the screen.
    """

    widgets: int = 2

    def __post_init__(self) -> None:
        check_count("widgets", self.widgets)

    @property
    def spec(self) -> EnvSpec:
        count = self.widgets**2
        return EnvSpec(
            id="gui/pointing",
            observation_space=Box((5 * count + 3,), -1.0, 1.0),
            action_space=Box((2,), 0.0, 1.0),
            features=(
                FeatureSpec("click", (2,), low=0, high=1, unit="screen",
                            meaning="where was clicked: to the right and upwards from the lower left corner"),
                FeatureSpec("target_box", (4,), low=0, high=1, unit="screen",
                            meaning="left, lower, right and upper edge of the widget that is meant"),
                FeatureSpec("target_offset", (2,), low=-1, high=1, unit="screen",
                            meaning="from the click to the centre of the widget that is meant"),
                FeatureSpec("hit", dtype="bool", low=0, high=1,
                            meaning="the click is inside the right widget"),
                FeatureSpec("wrong", dtype="bool", low=0, high=1,
                            meaning="the click is inside another widget"),
            ),
            max_steps=8,
            task="Click the widget that is meant on a screen with several widgets of different sizes. You "
            "see the edges of all of them, which one is meant, and your last click. The screen is new in "
            "every episode.",
            success="a click is inside the widget that is meant",
            fitness="1 minus the distance of the click from the widget's centre, screens",
            native_reward="1 for a click inside the right widget, which ends the episode, 0 otherwise",
            fitness_over="final",
            auto_reset=Fresh(),
        )  # fmt: skip

    def default_params(self) -> Params:
        return Params(jnp.int32(self.spec.max_steps), jnp.float32(0.04), jnp.float32(0.8 / self.widgets))

    def initial(self, key: Key, params: Params) -> State:
        count, cell = self.widgets**2, 1.0 / self.widgets
        draws = jax.random.uniform(key, (4 * count + 1,), jnp.float32)
        size, place = draws[: 2 * count].reshape(count, 2), draws[2 * count : 4 * count].reshape(count, 2)
        size = jnp.minimum(params.smallest + (params.largest - params.smallest) * size, cell)
        corner = cell * np.stack(np.divmod(np.arange(count), self.widgets), -1).astype(np.float32)
        low = corner + place * (cell - size)
        target = jnp.minimum((draws[-1] * count).astype(jnp.int32), count - 1)
        middle = jnp.full(2, 0.5, jnp.float32)
        boxes = jnp.clip(jnp.concatenate([low, low + size], -1), 0.0, 1.0)
        return State(boxes, target, middle, jnp.zeros((), bool))

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        click = jnp.clip(action.astype(jnp.float32), 0.0, 1.0)
        return state._replace(click=click, clicked=jnp.ones((), bool))

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        meant = jnp.arange(len(state.boxes)) == state.target
        last = jnp.append(state.click, state.clicked)
        return jnp.concatenate([2 * state.boxes.reshape(-1) - 1, meant.astype(jnp.float32), last])

    def features(self, state: State, params: Params) -> Features:
        box, inside = state.boxes[state.target], _inside(state)
        meant = jnp.arange(len(state.boxes)) == state.target
        return {
            "click": state.click,
            "target_box": box,
            "target_offset": (box[:2] + box[2:]) / 2 - state.click,
            "hit": jnp.any(inside & meant),
            "wrong": jnp.any(inside & ~meant),
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        reward = next_features["hit"].astype(jnp.float32)
        return reward, {"hit": reward}

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _inside(next_state)[next_state.target]

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _inside(next_state)[next_state.target]

    def fitness(self, state: State, params: Params) -> jax.Array:
        return 1.0 - jnp.sqrt(jnp.sum(self.features(state, params)["target_offset"] ** 2))

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        """The screen: the widget that is meant in green, others grey, the last click in orange."""
        from rlkit.envs import draw

        image = draw.canvas(size)
        view = draw.fit(size, (0, 0), (1, 1))
        for k, box in enumerate(np.asarray(state.boxes)):
            colour = draw.GREEN if k == int(state.target) else draw.GREY
            draw.rectangle(image, view(box[:2]), view(box[2:]), colour)
        if bool(state.clicked):
            draw.disc(image, view(np.asarray(state.click)), size / 50, draw.ORANGE)
        return draw.finish(image)


def _inside(state: State) -> jax.Array:
    """Which widgets the click is inside of, bool ``[W]``; before the first click none."""
    low, high = state.boxes[:, :2], state.boxes[:, 2:]
    return state.clicked & jnp.all((state.click >= low) & (state.click <= high), -1)
