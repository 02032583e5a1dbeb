"""Emergence of recorded units as a few named numbers, each beside what a hypothesis explains of it.

Slow units have synergy by the definition of the atoms, without any interaction: two independent units that
carry ``q`` nats of their own future each have ``ce4 = q`` and ``decoupling = 2q`` under minimum
redundancy; units that share noise have Φ_R besides. A surrogate has nearly the same, and nearly is the
trouble: the difference in persistence between a recording and its surrogates, though small, has one sign and
is large beside the spread of surrogates. So recording and surrogates are compared in what they have *beyond*
units of their own persistence (and, under ``"own-past"``, of their own simultaneous correlation) that do not
interact, where both cancel (:func:`rlkit.analysis.study.routes.independent_information`,
:func:`rlkit.analysis.study.routes.own_past_information`). The correction is ours.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.analysis.atoms.lattice import DERIVED, unit_scale
from rlkit.analysis.atoms.redundancy import check_redundancy
from rlkit.analysis.moments import validate
from rlkit.analysis.moments.copula import check_ties, rank_normal
from rlkit.analysis.moments.dimension import leading_components
from rlkit.analysis.moments.lagged import (
    Moments,
    alive,
    correlation,
    covariance,
    lagged_moments,
    mean,
    pair_mask,
)
from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.moments.sides import read_partition
from rlkit.analysis.parts.partitions import fiedler_bipartition, information_graph
from rlkit.analysis.study import nulls, resampling, surrogates
from rlkit.analysis.study.nulls import NULLS, NullTest
from rlkit.analysis.study.routes import (
    STATISTICS,
    Context,
    Options,
    Related,
    Values,
    pairs_with_numbers,
    partition,
    related,
)
from rlkit.errors import unknown_name
from rlkit.keys import typed_key
from rlkit.types import Key

ROUTES = ("means", "vectors", "pairs", "macro")
ORDER = 2  # steps of own past
QUANTITIES = ("phi_r", "phi_wms", "ce3", "ce4", "downward", "upward", "decoupling")


class Emergence(NamedTuple):
    """What was measured, and on what.

    Attributes:
      tests: by route, a :class:`NullTest` whose fields are dictionaries by quantity:
        ``result["means"].excess["phi_r"]``. The null fields are NaN without surrogates.
      side: [n] bool, the bipartition.
      active: [n] bool, units that take part: not constant, and no copy of an earlier one.
      count: [] lagged pairs used.
      drawn: by route ``(values, beyond)``, dictionaries by quantity of arrays [draws]: the surrogates'
        values, and what they have beyond the baseline of the hypothesis; empty unless asked for.
      undefined: [] int32, pairs of active units that have no number, as one variable is a function of the
        other three: ``"pairs"`` is the mean over the others.
    """

    tests: dict[str, NullTest]
    side: jax.Array
    active: jax.Array
    count: jax.Array
    drawn: dict[str, tuple[Values, Values]]
    undefined: jax.Array

    def __getitem__(self, name):  # pyrefly: ignore[bad-override]
        """The test of the route called ``name``; integers index the fields."""
        return tuple.__getitem__(self, name) if not isinstance(name, str) else self.tests[name]


def measure_emergence(
    z: jax.Array,
    key: Key,
    *,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    lag: int = 1,
    routes: Sequence[str] = ("means", "pairs"),
    null: str = "own-past",
    draws: int = 100,
    components: int | None = None,
    redundancy: str = "mmi",
    side: jax.Array | None = None,
    gaussianise: bool = False,
    quantities: Sequence[str] = QUANTITIES,
    unit: str = "nats",
    check: str = "warn",
    keep_draws: bool = False,
) -> Emergence:
    """Causal emergence of one recording from many units, against surrogates.

    Units are standardised; constant units and copies of earlier ones are left out. Read ``phi_r`` first.
    A Gaussian estimate sees linear coupling only: parity has none. Values and excesses are nats per step:
    a longer recording estimates the same more sharply.

    Args:
      z: [T, n] samples of n units, n >= 2.
      key: typed PRNG key of the surrogates.
      first: [T] true at the first step of every episode: lagged pairs stay inside episodes, and so
        do surrogates. Needs two [T, T] matrices for phases.
      valid: [T] false at padding, between or after episodes.
      lag: steps from past to future.
      routes: how many units become two. ``"means"``: the means of the two halves (arXiv 2605.06746);
        ``"vectors"``: the halves whole (NaN with fewer than 2n + 1 pairs); ``"pairs"``: the mean over all
        pairs of units that have a number (NaN with fewer than half of them); ``"macro"``: Ψ, Δ and Γ of arXiv
        2004.08220 with the two means as macro variable.
      null: the hypothesis, one of :data:`rlkit.analysis.study.nulls.NULLS`. ``"own-past"``: every unit an
        autoregression of order 2, residual vectors resampled: what units of a layer share by common noise
        is explained, what one unit's past says about another is not. ``"phases"`` randomises phases and
        ``"shift"`` shifts in time, independently for the two halves (``means``, ``vectors``) or for all
        units (``pairs``, ``macro``). ``"episodes"`` deals each unit's episodes out anew and compares
        episodes cut to one length, also in ``value``; it needs ``first``. ``"shuffle"`` permutes time
        steps: values are compared as they are, and slow units always exceed it. ``"projections"`` replaces
        units by random directions of the space that they span.
      draws: surrogates, static; 0 gives values alone.
      components: measure that many leading principal components instead of the units, see
        :func:`rlkit.analysis.moments.dimension.leading_components`; ``side`` is then of components.
      redundancy: ``"mmi"``; for ``means`` also ``"pointwise"`` (as in arXiv 2605.06746, means of halves
        not standardised again) or ``"ccs"``.
      side: [n] bool, the bipartition; by default Fiedler's of the lagged information graph, of the recording
        and, for ``means`` under ``"own-past"`` and ``"projections"``, of every surrogate anew: that halves
        were chosen to say little about each other is then part of the null. Other surrogates are of the two
        halves that the recording chose.
      gaussianise: rank-normal transform of every unit first; ties cannot become normal: units of which more
        than 5 % of samples are tied are reported as ``check`` says.
      quantities: names of ``DERIVED`` sums to report (``macro`` has its own).
      unit: ``"nats"`` or ``"bits"``.
      check: ``"warn"``, ``"error"`` or ``"off"``, see :func:`rlkit.analysis.moments.validate.check_samples`.
      keep_draws: give the surrogates' own values too.

    Returns:
      The tests by route. Can be compiled and mapped (see :func:`measure_recordings`). All values are NaN
      where a half has no active unit.

    Raises:
      KeyError: an unknown name. ValueError: options that exclude each other, or input that nothing can be
        estimated from.
    """
    _check_options(routes, null, redundancy, quantities, draws)
    scale = unit_scale(unit)
    key, z = typed_key(key), as_samples(z)
    if null == "episodes":
        if first is None:
            raise ValueError("null='episodes' deals episodes out anew: give first, the starts of episodes")
        valid = resampling.equal_episodes(first, valid)
        if draws and not isinstance(valid, jax.core.Tracer) and not valid.any():
            raise ValueError("null='episodes': first marks fewer than two episodes; nothing can be dealt")
    mask = None
    if first is not None or valid is not None:
        mask = pair_mask(jnp.zeros(z.shape[0], bool) if first is None else first, lag, valid)
    side = None if side is None else jnp.asarray(read_partition(side, z.shape[1]))
    outcome = "constant units and later copies are left out"
    # The halves of two units are these units.
    singular = bool({"pairs", "macro"} & set(routes)) or z.shape[-1] == 2
    if "pairs" in routes and z.shape[-1] > 2:
        outcome += "; of means over pairs so are other such pairs (NaN if they are most)"
    if "macro" in routes or z.shape[-1] == 2:
        outcome += "; macro criteria and halves that such pairs enter are NaN"
    validate.check_samples(z, lag, mask, policy=check, outcome=outcome, singular=singular)
    if gaussianise:
        check_ties(z, valid, policy=check)
    if components is not None:
        z = leading_components(z, components, valid=valid)
    options = Options(lag, tuple(routes), null, draws, redundancy, tuple(quantities), gaussianise)
    result = _measure(z, key, first, valid, mask, side, options)
    if not keep_draws:
        result = result._replace(drawn={})
    return result if scale == 1.0 else _rescaled(result, scale)


def _rescaled(result: Emergence, scale: float) -> Emergence:
    """The same in another unit of information."""
    times = lambda tree: jax.tree.map(lambda v: v * scale, tree)
    amounts = ("value", "mean", "sd", "excess")
    tests = {
        route: test._replace(**{name: times(getattr(test, name)) for name in amounts})
        for route, test in result.tests.items()
    }
    return result._replace(tests=tests, drawn=times(result.drawn))


def _check_options(routes, null, redundancy, quantities, draws) -> None:
    check_redundancy(redundancy)
    if isinstance(routes, str) or not routes:
        raise ValueError(f"routes={routes!r}: expected a sequence of names, e.g. ('means',)")
    if null == "common-phases":
        raise ValueError(
            "null='common-phases' keeps every linear coupling, and a Gaussian estimate sees nothing else: "
            "what is left is the ends of the recording; use phase_randomised(common=True) with a discrete one"
        )
    for kind, names, known in (
        ("route", routes, ROUTES),
        ("quantity", quantities, DERIVED),
        ("null", (null,), NULLS),
    ):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    if redundancy != "mmi" and set(routes) - {"means"}:
        raise ValueError(f"redundancy={redundancy!r} is for routes=('means',) only; the others need 'mmi'")
    if draws < 0 or draws == 1:
        raise ValueError(f"draws={draws}: give at least 2 surrogates, better 100, or 0 for values alone")


@partial(jax.jit, static_argnames="options")
def _measure(z, key, first, valid, mask, side, options: Options) -> Emergence:
    standard, moments, context, defined, undefined = prepared(z, valid, mask, side, options)
    known = lambda tree: jax.tree.map(lambda v: jnp.where(defined, v, jnp.nan), tree)
    tests, drawn = {}, {}
    for i, routes in enumerate(_together(options.routes, context)):
        given = {route: STATISTICS[route](standard, context) for route in routes}
        units = given[routes[0]][0]
        series = units, context.side, related(units, context)
        statistic = lambda s, given=given: {r: f(*s) for r, (_, f) in given.items()}
        surrogate = _related(_surrogate(units, first, valid, routes[0], context), routes, context)
        found = _test(statistic, surrogate, jax.random.fold_in(key, i), series, options)
        for route, (test, values) in found.items():
            tests[route], drawn[route] = known(test), known(values)
    tests = {route: tests[route] for route in options.routes}
    return Emergence(tests, context.side, context.active, moments.count, drawn, undefined)


def _related(surrogate: nulls.Surrogate, routes: tuple[str, ...], context: Context) -> Any:
    """The surrogate of a series, its bipartition, chosen anew where the recording's was, and its moments."""
    again = context.chosen and context.series == "units" and "means" in routes

    def drawn(key: Key, series: tuple[jax.Array, jax.Array, Related]):
        z = surrogate(key, series[0])
        known = related(z, context)
        return z, partition(known.matrix, context) if again else series[1], known

    return drawn


def _together(routes: tuple[str, ...], context: Context) -> list[tuple[str, ...]]:
    """Routes whose surrogates are the same: of all units, drawn once."""
    return [routes] if context.series == "units" else [(route,) for route in routes]


def prepared(z, valid, mask, side, options: Options):
    """Standardised units, moments, context, whether both halves have an active unit, and the pairs of active
    units without a number."""
    if options.gaussianise:
        z = rank_normal(z, valid)
    moments = lagged_moments(z, options.lag, mask)
    n = z.shape[1]
    matrix = correlation(moments)
    active = _active(moments, matrix)
    chosen = side is None
    if chosen:
        side = fiedler_bipartition(information_graph(matrix[:n, n:]), active)
    side = jnp.asarray(side).astype(bool)
    defined = jnp.any(side & active) & jnp.any(~side & active)
    pairs, undefined = pairs_with_numbers(matrix, active)
    context = Context(side, active, mask, options, chosen, pairs)
    return _standardised(z, moments, active, valid), moments, context, defined, undefined


def _active(moments: Moments, matrix: jax.Array) -> jax.Array:
    """[n] bool: units that vary and are no affine copy of an earlier unit."""
    n = matrix.shape[0] // 2
    living = alive(moments)
    living = living[:n] & living[n:]
    bound = 1 - (1e-12 if matrix.dtype == jnp.float64 else 2e-6)
    copies = jnp.tril(jnp.abs(matrix[:n, :n]) >= bound, -1) & living[None, :]
    return living & ~jnp.any(copies, axis=1)


def _standardised(z, moments, active, valid) -> jax.Array:
    n = z.shape[1]
    deviation = jnp.sqrt(jnp.where(active, jnp.diagonal(covariance(moments))[:n], 1))
    standard = (z - mean(moments)[:n]) / deviation
    keep = active if valid is None else active & jnp.asarray(valid).astype(bool)[:, None]
    return jnp.where(keep, standard, 0)


def _test(
    statistic, surrogate, key, series, options: Options
) -> dict[str, tuple[NullTest, tuple[Values, Values]]]:
    """By route: what a value has beyond the baseline of the hypothesis, against the same of surrogates."""
    found = {}
    if not options.draws:
        for route, (value, _) in statistic(series).items():
            nothing = jax.tree.map(lambda v: jnp.full_like(v, jnp.nan), value)
            empty = jax.tree.map(lambda v: jnp.zeros((0, *v.shape), v.dtype), value)
            found[route] = NullTest(value, *[nothing] * 5), (empty, empty)
        return found
    values, drawn = nulls.null_draws(statistic, surrogate, key, series, options.draws)
    for route, (value, own) in values.items():
        draws, drawn_own = drawn[route]
        if not NULLS[options.null].baseline:
            own, drawn_own = jax.tree.map(jnp.zeros_like, (own, drawn_own))
        beyond = jax.tree.map(jnp.subtract, draws, drawn_own)
        found[route] = nulls.compare(value, draws, own, drawn_own), (draws, beyond)
    return found


def _surrogate(series, first, valid, route: str, context: Context) -> nulls.Surrogate:
    """The null of a route: what is a group in ``series``, and where episodes begin."""
    null, units = context.options.null, series.shape[1]
    if null == "projections":
        return surrogates.random_projection
    begins = starts(first, valid)
    if null == "shuffle":
        return lambda key, z: surrogates.joint_shuffle(key, z, begins)
    if null == "episodes":
        return lambda key, z: resampling.episode_shuffle(key, z, first, valid=valid)
    if null == "own-past":
        fit = resampling.fit_own_past(series, begins, valid, ORDER)
        return lambda key, z: resampling.own_past(key, z, begins, fit=fit)
    grouped = route == "vectors"
    if null == "shift":
        group = context.side if grouped else jnp.arange(units) == 0 if units == 2 else None
        return lambda key, z: surrogates.circular_shift(key, z, begins, side=group)
    side = context.side if grouped else None
    basis = None if begins is None else surrogates.episode_basis(begins, series.dtype, valid)
    return lambda key, z: surrogates.phase_randomised(key, z, basis=basis, side=side)


def starts(first, valid) -> jax.Array | None:
    """Episode starts, padding counted as episodes of its own."""
    if valid is None:
        return first
    valid = jnp.asarray(valid).astype(bool)
    change = valid != jnp.roll(valid, 1)
    return change if first is None else change | jnp.asarray(first).astype(bool)
