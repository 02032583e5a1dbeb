"""One compiled program for a whole analysis: the hypotheses about units, few surrogates or many.

An analysis measures recordings of one shape many times: with a hundred surrogates, with twenty, under one
hypothesis and another. To compile a measurement takes as long as many surrogates do, so the hypothesis,
the number of surrogates and the routes that are wanted are arguments of one program here. The numbers are
those of :func:`rlkit.analysis.study.headline.measure_emergence` up to rounding.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.analysis.moments.dimension import leading_components
from rlkit.analysis.moments.lagged import pair_mask
from rlkit.analysis.study import headline, nulls, resampling, surrogates
from rlkit.analysis.study.headline import QUANTITIES, Emergence
from rlkit.analysis.study.nulls import NULLS, NullTest
from rlkit.analysis.study.routes import (
    MACRO_QUANTITIES,
    STATISTICS,
    Context,
    Options,
    Values,
    partition,
    related,
)
from rlkit.errors import unknown_name
from rlkit.parallel import shard_seeds

HYPOTHESES = ("own-past", "projections", "shuffle")
"""Those whose surrogates are made of all units at once."""
_OWN_PAST, _SHUFFLE = HYPOTHESES.index("own-past"), HYPOTHESES.index("shuffle")


class Shared(NamedTuple):
    """What the measurements of an analysis have in common: all that its program is compiled for.

    Attributes:
      routes, quantities, lag, components: see :func:`rlkit.analysis.study.headline.measure_emergence`; a
        measurement takes some of the routes and quantities.
      draws: the most surrogates that one measurement takes.
    """

    routes: tuple[str, ...]
    draws: int
    quantities: tuple[str, ...] = QUANTITIES
    lag: int = 1
    components: int | None = None


class _Asked(NamedTuple):
    """What one measurement asks of the program: arrays, the same for all recordings.

    Attributes:
      null: int32 [], the place of the hypothesis in ``HYPOTHESES``.
      routes: by route, bool [].
      rounds: int32 [] of surrogates.
    """

    null: jax.Array
    routes: dict[str, jax.Array]
    rounds: jax.Array


def measure_shared(
    shared: Shared, items: Any, null: str, draws: int, routes: Sequence[str], quantities: Sequence[str]
) -> Emergence:
    """Emergence of a stack of recordings ``(keys [S], z [S, T, n], first, valid)``, its draws kept.

    Raises:
      UnknownNameError: a hypothesis that is not of all units, or a route or quantity that is not shared.
      ValueError: fewer than two surrogates, or more than are shared; several routes under ``"shuffle"``,
        where each has surrogates of its own.
    """
    for kind, names, known in (
        ("null", (null,), HYPOTHESES), ("route", routes, shared.routes),
        ("quantity", quantities, shared.quantities),
    ):  # fmt: skip
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known, where="of the shared program")
    if not 2 <= draws <= shared.draws:
        raise ValueError(f"draws={draws}: expected 2 to {shared.draws}, the most of the shared program")
    if null == "shuffle" and len(routes) > 1:
        raise ValueError(f"routes={tuple(routes)}: one at a time under null='shuffle'")
    wanted = {route: jnp.asarray(route in routes) for route in shared.routes}
    asked = _Asked(jnp.int32(HYPOTHESES.index(null)), wanted, jnp.int32(-(-(draws + 1) // _size(shared))))
    found, side, active, count, undefined = _program(shared, tuple(jax.local_devices()))(items, asked)
    tests, drawn = {}, {}
    for route in routes:
        values, own = ({name: by[name] for name in quantities} for by in found[route])
        if not NULLS[null].baseline:
            own = jax.tree.map(jnp.zeros_like, own)
        tests[route], drawn[route] = _compared(values, own, draws)
    return Emergence(tests, side, active, count, drawn, undefined)


@functools.partial(jax.jit, static_argnums=2)
def _compared(values: Values, own: Values, draws: int) -> tuple[NullTest, tuple[Values, Values]]:
    """From values and baselines ``[S, 1 + B']``, the recording's own first."""

    def one(values: Values, own: Values):
        split = lambda tree: tuple(jax.tree.map(lambda v, s=s: v[s], tree) for s in (0, slice(1, draws + 1)))
        (value, drawn), (base, drawn_base) = split(values), split(own)
        beyond = jax.tree.map(jnp.subtract, drawn, drawn_base)
        return nulls.compare(value, drawn, base, drawn_base), (drawn, beyond)

    return jax.vmap(one)(values, own)


def _size(shared: Shared) -> int:
    """Surrogates of one round."""
    return nulls.round_size(shared.draws + 1)


@functools.lru_cache(maxsize=8)
def _program(shared: Shared, devices: tuple[jax.Device, ...]) -> Any:
    return jax.jit(shard_seeds(functools.partial(_recording, shared), list(devices)))


def _recording(shared: Shared, item: Any, asked: _Asked):
    """By route values and baselines ``[1 + B']`` of one recording and its surrogates; bipartition, active
    units, lagged pairs, and pairs of units without a number."""
    key, z, first, valid = item
    mask = None
    if first is not None or valid is not None:
        mask = pair_mask(jnp.zeros(z.shape[0], bool) if first is None else first, shared.lag, valid)
    if shared.components is not None:
        z = leading_components(z, shared.components, valid=valid)
    options = Options(shared.lag, shared.routes, "own-past", shared.draws, "mmi", shared.quantities, False)
    standard, moments, context, defined, undefined = headline.prepared(z, valid, mask, None, options)
    evaluate, nothing = _evaluation(standard, context, headline.starts(first, valid), valid, asked)
    keys = jax.random.fold_in(key, 0)
    size = _size(shared)

    def turn(i: jax.Array, out: Any):
        indices = i * size + jnp.arange(size) - 1
        found = jax.vmap(lambda index: evaluate(index, jax.random.fold_in(keys, jnp.abs(index))))(indices)
        return jax.tree.map(lambda o, f: jax.lax.dynamic_update_slice_in_dim(o, f, i * size, 0), out, found)

    room = size * -(-(shared.draws + 1) // size)
    blank = jax.tree.map(lambda leaf: jnp.zeros((room, *leaf.shape), leaf.dtype), nothing)
    found = jax.lax.fori_loop(0, asked.rounds, turn, blank)
    found = jax.tree.map(lambda v: jnp.where(defined, v, jnp.nan), found)
    return found, context.side, context.active, moments.count, undefined


def _evaluation(
    standard: jax.Array,
    context: Context,
    starts: jax.Array | None,
    valid: jax.Array | None,
    asked: _Asked,
) -> tuple[Any, Any]:
    """``(index, key) -> {route: (values, baselines)}`` of the recording (index -1) or of a surrogate; and
    what it gives where nothing is asked for, NaN.

    Means of halves are shuffled as means: that is the same as the means of shuffled units, and much less.
    """
    fit = resampling.fit_own_past(standard, starts, valid, headline.ORDER)
    draw = {
        "own-past": lambda key: resampling.own_past(key, standard, starts, fit=fit),
        "projections": lambda key: surrogates.random_projection(key, standard),
        "shuffle": lambda key: surrogates.joint_shuffle(key, standard, starts),
    }
    branches = [draw[name] for name in HYPOTHESES]
    statistics = {route: STATISTICS[route](standard, context)[1] for route in context.options.routes}
    again = (asked.null != _SHUFFLE) & asked.routes.get("means", False)
    reduced = context._replace(options=context.options._replace(null="shuffle"))
    pair, of_pair = STATISTICS["means"](standard, reduced)
    unknown = jnp.full((), jnp.nan, standard.dtype)
    nothing = {
        route: (dict.fromkeys(names, unknown), dict.fromkeys(names, unknown))
        for route in statistics
        for names in (MACRO_QUANTITIES if route == "macro" else context.options.quantities,)
    }

    def shuffled(index: jax.Array, key: jax.Array):
        z = jnp.where(index < 0, pair, surrogates.joint_shuffle(key, pair, starts))
        return nothing | {"means": of_pair(z, context.side, related(z, context))}

    def whole(index: jax.Array, key: jax.Array):
        z = jnp.where(index < 0, standard, jax.lax.switch(asked.null, branches, key))
        known = related(z, context)
        chosen = jax.lax.cond(again, lambda m: partition(m, context), lambda _: context.side, known.matrix)
        side = jnp.where(index < 0, context.side, chosen)

        def told(route: str):
            run = lambda: statistics[route](z, side, known)
            return jax.lax.cond(asked.routes[route], run, lambda: nothing[route])

        return {route: told(route) for route in statistics}

    if "means" not in statistics:
        return whole, nothing
    means_alone = (asked.null == _SHUFFLE) & asked.routes["means"]
    return lambda index, key: jax.lax.cond(means_alone, shuffled, whole, index, key), nothing
