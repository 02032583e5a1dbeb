"""A population of seeds that advances by chunks of updates inside one compiled program."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from rlkit.bulk import check_bulk, is_below, replace_rest, rest
from rlkit.errors import check_count, unknown_name
from rlkit.experiment.training.members import Members, check_members
from rlkit.packing import stacked
from rlkit.parallel import device_mesh, over_seeds, seed_keys, shard_seeds
from rlkit.types import Agent, Key, Learner, PyTree


class Population(NamedTuple):
    """Compiled functions over the stacked state of ``S`` rows; every leaf is ``[S, ...]``.

    A row is a seed, or with members a seed of a member: first all seeds of the first member, then all of
    the next.
    """

    agent: Agent  # or another learner
    num_seeds: int  # of each member
    members: Members | None
    sharding: NamedSharding  # of states: seeds over devices
    metrics: tuple[str, ...]  # columns of the rows, sorted
    leaves: tuple[str, ...]  # paths of the floating leaves of a state, without its bulk
    max_chunk: int
    init: Callable[[Key], PyTree]
    """``init(key) -> state``; seed k (of every member) starts from ``fold_in(key, k)``."""

    advance: Any
    """``advance(state, n, born) -> (state, rows[S, max_chunk, M], finite[S, L])``, jitted.

    ``n`` (int32, at most ``max_chunk``) updates; the state given is donated, and the new one takes its place
    in memory. Row i < n holds the
    metrics of the i-th update; ``finite`` says which floating leaves of the new state are finite.
    ``born`` (bool [L]) says which ones were at the start of the run; only skipping reads it. All n
    share one program: where a training is cut into chunks does not change its bits."""

    @property
    def size(self) -> int:
        """``S``: seeds times members."""
        return self.num_seeds * (1 if self.members is None else len(self.members.labels))

    def keys(self, key: Key) -> Key:
        """Keys ``[S]``: seed k of every member has ``fold_in(key, k)``."""
        return _row_keys(key, self.num_seeds, self.size)


def _row_keys(key: Key, num_seeds: int, size: int) -> Key:
    keys = seed_keys(key, num_seeds)
    return keys if size == num_seeds else jnp.tile(keys, size // num_seeds)


def float_leaves(state: PyTree, bulk: tuple[str, ...] = ()) -> dict[str, jax.Array]:
    """The floating leaves of a pytree by path, without those of the fields that ``bulk`` names."""
    flat = jax.tree_util.tree_flatten_with_path(state)[0]
    return {
        jax.tree_util.keystr(path): x
        for path, x in flat
        if jnp.issubdtype(x.dtype, jnp.floating) and not is_below(path, bulk)
    }


def fold_keys(state: PyTree, data: int | jax.Array) -> PyTree:
    """The state with ``data`` folded into all its PRNG keys, so that it draws other numbers."""

    def fold(x: jax.Array) -> jax.Array:
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return x
        folded = jax.vmap(jax.random.fold_in, (0, None))(x.reshape(-1), data)
        return folded.reshape(x.shape)

    return jax.tree.map(fold, state)


def _finite(state: PyTree, bulk: tuple[str, ...]) -> jax.Array:
    """bool [L]: which floating leaves are finite."""
    return jnp.stack([jnp.isfinite(x).all() for x in float_leaves(state, bulk).values()])


def is_pure(learner: Learner) -> bool:
    """Whether training it runs on the device alone: true of learners without an environment."""
    env = getattr(learner, "env", None)
    return env is None or env.spec.pure


def may_be_undefined(learner: Learner, metric: str) -> bool:
    """Whether NaN in a metric means "nothing to measure", as the learner says."""
    return metric.startswith(learner.undefined)


def _skip(
    bulk: tuple[str, ...], watched: jax.Array, born: jax.Array, old: PyTree, new: PyTree, row: jax.Array
):
    """The old state with fresh keys if the new one is bad; and 1.0 if it was.

    Bulk stays the new one, so that it need not be there twice: a cursor that goes back writes over it.
    """
    good = (jnp.isfinite(row) | ~watched).all() & (_finite(new, bulk) | ~born).all()
    chosen = jax.lax.cond(good, lambda: rest(bulk, new), lambda: fold_keys(rest(bulk, old), 1))
    return replace_rest(bulk, new, chosen), jnp.where(good, 0.0, 1.0).astype(row.dtype)


def _chunk(learner: Learner, step: Callable, max_chunk: int, skip_nonfinite: bool) -> Callable:
    """``chunk(state, n, born) -> (state, rows, finite)`` of one seed."""

    def chunk(state: PyTree, n: jax.Array, born: jax.Array):
        metrics = jax.eval_shape(step, state)[1]
        names = tuple(sorted(name for name, x in metrics.items() if x.ndim == 0))
        dtype = jnp.result_type(float, *(metrics[name].dtype for name in names))
        width = len(names) + skip_nonfinite
        watched = jnp.array([not may_be_undefined(learner, name) for name in names])
        bulk = learner.bulk

        def body(loop):
            i, state, rows = loop
            new, metrics = step(state)
            row = stacked([metrics[name].astype(dtype) for name in names])
            if skip_nonfinite:
                new, skipped = _skip(bulk, watched, born, state, new, row)
                row = jnp.append(row, skipped)
            return i + 1, new, rows.at[i].set(row)

        start = (jnp.int32(0), state, jnp.zeros((max_chunk, width), dtype))
        _, state, rows = jax.lax.while_loop(lambda loop: loop[0] < n, body, start)
        return state, rows, _finite(state, bulk)

    return chunk


def resolve_batching(batching: str) -> str:
    """``"auto"`` is ``"map"`` on a CPU, where batching gains nothing, and ``"vmap"`` elsewhere."""
    if batching not in ("auto", "map", "vmap"):
        raise unknown_name("batching", batching, ("auto", "map", "vmap"))
    if batching != "auto":
        return batching
    return "map" if jax.default_backend() == "cpu" else "vmap"


def over_rows(
    learner: Learner, fn: Callable, devices: Sequence[jax.Device], batching: str, *, in_place: bool = False
) -> Callable:
    """Apply ``fn(row, *shared)`` to every row of a population, spread over devices.

    A learner that has a ``mesh`` takes the devices for itself: its rows come one after the other.
    """
    if getattr(learner, "mesh", None) is not None:
        return over_seeds(fn, resolve_batching(batching), in_place=in_place)
    return shard_seeds(fn, devices, resolve_batching(batching), in_place=in_place)


def _placement(learner: Learner, size: int, devices: Sequence[jax.Device]) -> NamedSharding:
    """Where states are: rows over devices, or, for a learner with a ``mesh``, the axis after that of rows."""
    own = getattr(learner, "mesh", None)
    if own is not None:
        return NamedSharding(own, PartitionSpec(None, *own.axis_names))
    mesh = device_mesh("seeds", devices)
    return NamedSharding(mesh, PartitionSpec() if size % mesh.size else PartitionSpec("seeds"))


def population(
    agent: Agent | Learner,
    num_seeds: int,
    *,
    members: Members | None = None,
    batching: str = "auto",
    devices: Sequence[jax.Device] | None = None,
    max_chunk: int = 512,
    skip_nonfinite: bool = False,
) -> Population:
    """Build the functions that train ``num_seeds`` seeds of an agent side by side.

    Args:
      agent: the agent, or another :class:`rlkit.types.Learner`; its scalar metrics become columns.
      num_seeds: ``S``; the result of a seed does not depend on it (with ``"map"`` to the bit, on the
        same number of devices; XLA compiles for another number with other last bits).
      members: settings to train side by side, each with all seeds; None trains the agent as it is. A
        member costs what as many seeds cost, and its result does not depend on the others.
      batching: how the seeds of one device run: ``"map"``, ``"vmap"`` or ``"auto"``.
      devices: devices to spread the seeds over; None takes all local ones.
      max_chunk: most updates in one call of ``advance``.
      skip_nonfinite: undo an update that makes anything non-finite and go on with other random
        numbers; adds the metric ``skipped``. Costs a second copy of the state, except of its bulk.

    Returns:
      The compiled functions (compilation happens at the first call).

    Raises:
      UsageError: ``num_seeds`` or ``max_chunk`` is below 1, or the members do not fit the agent.
      UnknownNameError: the agent's bulk names what its state does not have.
    """
    num_seeds, max_chunk = check_count("num_seeds", num_seeds), check_count("max_chunk", max_chunk)
    batching = resolve_batching(batching)
    size = num_seeds * (1 if members is None else check_members(agent, members))
    chosen = list(jax.local_devices() if devices is None else devices)[:size]
    pure = is_pure(agent)
    if not pure:  # nothing may run twice to fill devices up, nor be waited for by the others if it fails
        chosen = chosen[: max(n for n in range(1, len(chosen) + 1) if size % n == 0)]
    sharding = _placement(agent, size, chosen)
    rows = sharding if getattr(agent, "mesh", None) is None else NamedSharding(sharding.mesh, PartitionSpec())
    step = jax.jit(agent.step)  # traced once for its shapes and once for the loop otherwise
    init = over_rows(agent, lambda row: agent.init(row[0], *row[1:]), chosen, batching)
    settings = () if members is None else (members.config, members.env_params, members.reward_params)
    each = jax.tree.map(lambda leaf: jnp.repeat(leaf, num_seeds, 0), settings)
    example = jax.eval_shape(agent.init, jax.random.key(0))
    check_bulk(example, agent.bulk)
    metrics = jax.eval_shape(step, example)[1]
    names = tuple(sorted(name for name, x in metrics.items() if x.ndim == 0))
    chunk = over_rows(agent, _chunk(agent, step, max_chunk, skip_nonfinite), chosen, batching, in_place=True)
    return Population(
        agent=cast(Agent, agent),
        num_seeds=num_seeds,
        members=members,
        sharding=sharding,
        metrics=(*names, "skipped") if skip_nonfinite else names,
        leaves=tuple(float_leaves(example, agent.bulk)),
        max_chunk=max_chunk,
        init=jax.jit(lambda key: init((_row_keys(key, num_seeds, size), *each)), out_shardings=sharding),
        advance=jax.jit(
            chunk,
            donate_argnums=0
            if pure
            else (),  # an environment on the host may fail: then this is what is left
            in_shardings=(sharding, None, None),
            out_shardings=(sharding, rows, rows),
        ),
    )
