"""Emergence of recorded units as a few named numbers, each beside its null distribution.

Slow units have synergy by the definition of the atoms, without any interaction: two independent units that
carry ``q`` nats of their own future each have ``ce4 = q`` and ``decoupling = 2q`` under minimum
redundancy. A surrogate of the same spectrum has nearly the same, and nearly is the trouble: the spectrum
fixes the circular persistence, but a recording has ends that do not meet, and the difference, though small,
has one sign and is large beside the spread of surrogates. So recording and surrogates are compared in what
they have *beyond* independent units of their own persistence, where the persistence cancels
(:func:`rlkit.analysis.routes.independent_information`); the reported null mean adds it back. The correction
is ours. Scores allow for the skewness of surrogates (:func:`rlkit.analysis.nulls.normal_score`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.analysis import nulls, validate
from rlkit.analysis.copula import rank_normal
from rlkit.analysis.lattice import DERIVED, unit_scale
from rlkit.analysis.moments import Moments, alive, correlation, covariance, lagged_moments, mean, pair_mask
from rlkit.analysis.nulls import NullTest
from rlkit.analysis.partitions import fiedler_bipartition, information_graph
from rlkit.analysis.redundancy import check_redundancy
from rlkit.analysis.routes import STATISTICS, Context, Options, Values
from rlkit.analysis.sides import read_partition
from rlkit.errors import unknown_name
from rlkit.types import Key

ROUTES = ("means", "vectors", "pairs", "macro")
NULLS = ("phases", "common-phases", "shift", "shuffle", "projections")
QUANTITIES = ("phi_r", "phi_wms", "ce3", "ce4", "downward", "upward", "decoupling")


class Emergence(NamedTuple):
    """What was measured, and on what.

    Attributes:
      tests: by route, a :class:`NullTest` whose fields are dictionaries by quantity:
        ``result["means"].z["phi_r"]``. The null fields are NaN without surrogates.
      side: [n] bool, the bipartition.
      active: [n] bool, units that take part: not constant, and no copy of an earlier one.
      count: [] lagged pairs used.
    """

    tests: dict[str, NullTest]
    side: jax.Array
    active: jax.Array
    count: jax.Array

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
    null: str = "phases",
    draws: int = 100,
    redundancy: str = "mmi",
    side: jax.Array | None = None,
    gaussianise: bool = False,
    quantities: Sequence[str] = QUANTITIES,
    unit: str = "nats",
    check: str = "warn",
) -> Emergence:
    """Causal emergence of one recording from many units, against surrogates.

    Units are standardised; constant units and copies of earlier ones are left out. Read ``phi_r`` first.
    A Gaussian estimate sees linear coupling only: parity has none.

    Args:
      z: [T, n] samples of n units, n >= 2.
      key: typed PRNG key of the surrogates.
      first: [T] true at the first step of every episode: lagged pairs stay inside episodes, and so
        do surrogates. Needs two [T, T] matrices for phases.
      valid: [T] false at padding, between or after episodes.
      lag: steps from past to future.
      routes: how many units become two. ``"means"``: the means of the two halves (arXiv 2605.06746);
        ``"vectors"``: the halves whole (NaN with fewer than 2n + 1 pairs); ``"pairs"``: the mean over all
        pairs of units; ``"macro"``: Ψ, Δ and Γ of arXiv 2004.08220 with the two means as macro variable.
      null: ``"phases"`` randomises phases, independently for the two halves (``means``, ``vectors``) or for
        all units (``pairs``, ``macro``): linear coupling between them is destroyed, spectra stay.
        ``"common-phases"`` keeps linear coupling too. ``"shift"`` shifts the same groups in time.
        ``"shuffle"`` permutes time steps: it kills memory, so that slow units always exceed it.
        ``"projections"`` replaces units by random directions of the latent space.
      draws: surrogates, static; 0 gives values alone.
      redundancy: ``"mmi"``; for ``means`` also ``"pointwise"`` (as in arXiv 2605.06746, means of halves
        not standardised again) or ``"ccs"``.
      side: [n] bool, the bipartition; by default Fiedler's of the lagged information graph. Surrogates keep
        the bipartition of the recording.
      gaussianise: rank-normal transform of every unit first.
      quantities: names of ``DERIVED`` sums to report (``macro`` has its own).
      unit: ``"nats"`` or ``"bits"``.
      check: ``"warn"``, ``"error"`` or ``"off"``, see :func:`rlkit.analysis.validate.check_samples`.

    Returns:
      The tests by route. Can be compiled and mapped (see :func:`measure_recordings`). All values are NaN
      where a half has no active unit.

    Raises:
      KeyError: an unknown name. ValueError: options that exclude each other, or input that nothing can be
        estimated from.
    """
    _check_options(routes, null, redundancy, quantities, draws)
    scale = unit_scale(unit)
    z = jnp.asarray(z)
    mask = None
    if first is not None or valid is not None:
        mask = pair_mask(jnp.zeros(z.shape[0], bool) if first is None else first, lag, valid)
    side = None if side is None else jnp.asarray(read_partition(side, z.shape[1]))
    left_out = "constant units and later copies are left out"
    singular = bool({"pairs", "macro"} & set(routes))
    outcome = f"{left_out}, and what other pairs enter is NaN" if singular else left_out
    validate.check_samples(z, lag, mask, policy=check, outcome=outcome, singular=singular)
    options = Options(lag, tuple(routes), null, draws, redundancy, tuple(quantities), gaussianise)
    result = _measure(z, key, first, valid, mask, side, options)
    if scale == 1.0:
        return result
    tests = {
        route: NullTest(
            *(
                jax.tree.map(lambda v: v * scale, field) if name in ("value", "mean", "sd") else field
                for name, field in test._asdict().items()
            )
        )
        for route, test in result.tests.items()
    }
    return result._replace(tests=tests)


def measure_recordings(
    z: jax.Array, key: Key, *, first: jax.Array | None = None, valid: jax.Array | None = None, **options: Any
) -> Emergence:
    """:func:`measure_emergence` of many recordings in one compiled call, one after the other.

    Memory is that of one recording. Constant units and copies are left out without a warning.

    Args:
      z: [..., T, n], e.g. seeds and checkpoints in front.
      key: typed PRNG key; every recording gets its own.
      first, valid: [..., T] each, optional.
      **options: as for :func:`measure_emergence`.

    Returns:
      The same with leading axes.
    """
    z = jnp.asarray(z)
    if z.ndim < 3:
        raise ValueError(f"z must have shape [..., steps, units] with leading axes, got {z.shape}")
    lead = z.shape[:-2]
    flat = lambda a: None if a is None else jnp.asarray(a).reshape(-1, *a.shape[len(lead) :])
    items = (jax.random.split(key, lead).reshape(-1), flat(z), flat(first), flat(valid))

    def one(item):
        key, z, first, valid = item
        return measure_emergence(z, key, first=first, valid=valid, **options)

    result = jax.jit(lambda items: jax.lax.map(one, items))(items)
    return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), result)


def _check_options(routes, null, redundancy, quantities, draws) -> None:
    check_redundancy(redundancy)
    if isinstance(routes, str) or not routes:
        raise ValueError(f"routes={routes!r}: expected a sequence of names, e.g. ('means',)")
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


def null_values(
    z: jax.Array,
    key: Key,
    *,
    first: jax.Array | None = None,
    route: str = "means",
    null: str = "shuffle",
    draws: int = 100,
    lag: int = 1,
    quantities: Sequence[str] = QUANTITIES,
) -> Values:
    """The surrogates' values themselves, arrays [draws] by quantity; arguments as for measure_emergence."""
    _check_options((route,), null, "mmi", quantities, draws)
    mask = None if first is None else pair_mask(first, lag)
    options = Options(lag, (route,), null, draws, "mmi", tuple(quantities), False)
    z, _, context, defined = _prepared(jnp.asarray(z), None, mask, None, options)
    series, statistic = STATISTICS[route](z, context)
    surrogate = _surrogate(series, first, None, route, context)
    _, drawn = nulls.null_draws(lambda s: statistic(s)[0], surrogate, key, series, draws)
    return jax.tree.map(lambda v: jnp.where(defined, v, jnp.nan), drawn)


@partial(jax.jit, static_argnames="options")
def _measure(z, key, first, valid, mask, side, options: Options) -> Emergence:
    standard, moments, context, defined = _prepared(z, valid, mask, side, options)
    tests = {}
    for i, route in enumerate(options.routes):
        series, statistic = STATISTICS[route](standard, context)
        surrogate = _surrogate(series, first, valid, route, context)
        test = _test(statistic, surrogate, jax.random.fold_in(key, i), series, options.draws)
        tests[route] = jax.tree.map(lambda v: jnp.where(defined, v, jnp.nan), test)
    return Emergence(tests, context.side, context.active, moments.count)


def _prepared(z, valid, mask, side, options: Options):
    """Standardised units, moments, context, and whether both halves have an active unit."""
    z = z if jnp.issubdtype(z.dtype, jnp.floating) else z.astype(jnp.result_type(float))
    if options.gaussianise:
        z = rank_normal(z, valid)
    moments = lagged_moments(z, options.lag, mask)
    n = z.shape[1]
    matrix = correlation(moments)
    active = _active(moments, matrix)
    if side is None:
        side = fiedler_bipartition(information_graph(matrix[:n, n:]), active)
    side = jnp.asarray(side).astype(bool)
    defined = jnp.any(side & active) & jnp.any(~side & active)
    context = Context(side, active, mask, options)
    return _standardised(z, moments, active, valid), moments, context, defined


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


def _test(statistic, surrogate, key, series, draws: int) -> NullTest:
    """Value, and what it has beyond independent units against the same of surrogates."""
    if not draws:
        value, _ = statistic(series)
        return NullTest(value, *[jax.tree.map(lambda v: jnp.full_like(v, jnp.nan), value)] * 5)
    (value, alone), (drawn, drawn_alone) = nulls.null_draws(statistic, surrogate, key, series, draws)
    beyond = lambda v, a: jax.tree.map(jnp.subtract, v, a)
    test = nulls.compare(beyond(value, alone), beyond(drawn, drawn_alone))
    return test._replace(value=value, mean=jax.tree.map(jnp.add, test.mean, alone))


def _surrogate(series, first, valid, route: str, context: Context) -> nulls.Surrogate:
    """The null of a route: what is a group in ``series``, and where episodes begin."""
    null, units = context.options.null, series.shape[1]
    if null == "projections":
        return nulls.random_projection
    starts = _starts(first, valid)
    if null == "shuffle":
        return lambda key, z: nulls.joint_shuffle(key, z, starts)
    grouped = route == "vectors"
    if null == "shift":
        group = context.side if grouped else jnp.arange(units) == 0 if units == 2 else None
        return lambda key, z: nulls.circular_shift(key, z, starts, side=group)
    options = {"common": null == "common-phases", "side": context.side if grouped else None}
    if starts is not None:
        basis = nulls.episode_basis(starts, series.dtype, valid)
        return lambda key, z: nulls.phase_randomised(key, z, basis=basis, **options)
    return lambda key, z: nulls.phase_randomised(key, z, **options)


def _starts(first, valid) -> jax.Array | None:
    """Episode starts, padding counted as episodes of its own."""
    if valid is None:
        return first
    valid = jnp.asarray(valid).astype(bool)
    change = valid != jnp.roll(valid, 1)
    return change if first is None else change | jnp.asarray(first).astype(bool)
