"""One training over several devices: prompts are dealt out, groups are not divided."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from rlkit.errors import RlkitError, UsageError
from rlkit.footprint import Memory
from rlkit.group.training import GroupTrainer
from rlkit.parallel import device_mesh, over_replicas
from rlkit.types import Key, Metrics, PyTree

AXIS = "prompts"


class SpreadTrainer(NamedTuple):
    """A :class:`rlkit.types.Learner` whose state has a leading axis over devices."""

    init: Callable[..., PyTree]
    step: Callable[[PyTree], tuple[PyTree, Metrics]]
    inner: GroupTrainer  # of one device
    mesh: Mesh
    steps_per_update: int
    title: str
    judge: Callable[[PyTree, Key, int], Metrics] | None
    record: Callable[[PyTree, Key, int], dict[str, jax.Array]]
    memory: Callable[[], Memory]  # of one device
    room: Callable[[int], str]
    failure: Callable[[], RlkitError | None]
    undefined: tuple[str, ...]
    bulk: tuple[str, ...]

    def params(self, state: PyTree) -> PyTree:
        """The policy's parameters, of which every device has a copy."""
        return self.inner.params(jax.tree.map(lambda x: x[0], state))


def spread(
    build: Callable[[int, str], GroupTrainer], prompts: int, devices: Sequence[jax.Device] | None = None
) -> SpreadTrainer:
    """Train on several devices what would be trained on one.

    Each device draws its share of the prompts and holds a copy of the parameters; gradients and statistics of
    the batch are those of all, so that the numbers are those of one device up to the order of sums.

    Args:
      build: ``build(prompts, axis_name) -> trainer`` of one device, e.g. ``lambda prompts, axis_name:
        trainer(task, policy, "grpo", config.replace(prompts=prompts), axis_name=axis_name)``.
      prompts: of an update, on all devices together.
      devices: None takes all there are.

    Raises:
      UsageError: the prompts cannot be dealt out evenly, or the trainer does not use the axis.
    """
    mesh = device_mesh(AXIS, devices)
    if prompts % mesh.size:
        raise UsageError(f"prompts={prompts}: expected a multiple of the {mesh.size} devices")
    inner = build(prompts // mesh.size, AXIS)
    if inner.axis_name != AXIS or inner.config.prompts != prompts // mesh.size:
        raise UsageError("build(prompts, axis_name) must give both to the trainer")
    chosen = list(mesh.devices.flat)

    def over(fn: Callable[..., Any]) -> Callable[..., Any]:
        return over_replicas(fn, AXIS, "shard_map", chosen)

    def init(key: Key, config: Any = None) -> PyTree:
        return over(lambda _, key: inner.init(key, config))(jnp.arange(mesh.size), key)

    def step(state: PyTree) -> tuple[PyTree, Metrics]:
        state, metrics = over(inner.step)(state)
        return state, {name: value[0] for name, value in metrics.items()}

    first, judge = lambda state: jax.tree.map(lambda x: x[0], state), inner.judge
    return SpreadTrainer(
        init=init,
        step=step,
        inner=inner,
        mesh=mesh,
        steps_per_update=inner.steps_per_update * mesh.size,
        title=f"{inner.title} on {mesh.size} devices",
        judge=judge and (lambda state, key, prompts: judge(first(state), key, prompts)),
        record=lambda state, key, prompts: inner.record(first(state), key, prompts),
        memory=inner.memory,
        room=inner.room,
        failure=inner.failure,
        undefined=inner.undefined,
        bulk=inner.bulk,
    )
