"""Rosas' Ψ, Δ and Γ for symbol sequences and for exact distributions (see ``rlkit.analysis.macro``)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.atoms.gaussian import only_where
from rlkit.analysis.macro.continuous import MacroEmergence, criteria
from rlkit.analysis.moments.lagged import used_pairs
from rlkit.analysis.moments.options import known_options
from rlkit.analysis.moments.sides import is_concrete
from rlkit.analysis.moments.validate import check_policy, check_symbols, report
from rlkit.errors import UsageError
from rlkit.products import matmul


@known_options
def macro_emergence_discrete(
    x: jax.Array,
    v: jax.Array,
    num_symbols: int,
    num_macro: int,
    lag: int = 1,
    mask: jax.Array | None = None,
    *,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    unit: str = "nats",
    check: str = "warn",
) -> MacroEmergence:
    """Ψ, Δ and Γ of symbol sequences with the plug-in estimator.

    Each information is biased up by about (K-1)(L-1)/2N nats for alphabets of K and L symbols and N pairs.

    Args:
      x: integer ``[T, n]`` micro symbols in ``0..num_symbols-1``.
      v: integer ``[T]`` macro symbols in ``0..num_macro-1`` (encode a vector by ``joint_symbols``).
      num_symbols, num_macro: alphabet sizes, static.
      lag: steps from past to future.
      mask: bool ``[T - lag]``, pairs to keep.
      first: ``[T]``, true at the first step of every episode; pairs across episodes are left out.
      valid: ``[T]``, false at steps to leave out.
      unit: ``"nats"`` (the default) or ``"bits"``.
      check: ``"warn"``, ``"error"`` or ``"off"``: sequences with one symbol only make Ψ, Δ and Γ NaN, and are
        named.

    Raises:
      UsageError: if shapes disagree, or concrete symbols lie outside of their alphabet.
    """
    x, v = jnp.asarray(x), jnp.asarray(v)
    if x.ndim != 2 or v.shape != x.shape[:1]:
        raise UsageError(f"x is {x.shape}, v is {v.shape}; expected [T, n] and [T]")
    mask = used_pairs(x.shape[0], lag, first, valid, mask)
    check_symbols(x, num_symbols, "x")
    check_symbols(v, num_macro, "v")
    features = _one_hot(x, v, num_symbols, num_macro)
    weight = jnp.ones(x.shape[0] - lag) if mask is None else jnp.asarray(mask).astype(features.dtype)
    table = matmul((features[:-lag] * weight[:, None]).T, features[lag:]) / weight.sum()
    result = _discrete_criteria(table, x.shape[1], num_symbols, unit)
    series = jnp.concatenate([x, v[:, None]], axis=1)
    keep = (weight > 0)[:, None]
    seen = jnp.stack([_varied(series[:-lag], keep), _varied(series[lag:], keep)]).all(0)
    _report_constant(seen, check)
    return only_where(seen.all(), result)


def _varied(rows: jax.Array, keep: jax.Array) -> jax.Array:
    """[n] bool: columns of symbols that hold more than one."""
    big = jnp.iinfo(rows.dtype).max
    return jnp.where(keep, rows, 0).max(0) > jnp.where(keep, rows, big).min(0)


def _report_constant(seen: jax.Array, policy: str) -> None:
    check_policy(policy)
    if not is_concrete(seen) or policy == "off" or np.asarray(seen).all():
        return
    units = np.flatnonzero(~np.asarray(seen))
    names = ["V" if unit == len(seen) - 1 else f"micro unit {unit}" for unit in units[:5]]
    outcome = "" if policy == "error" else ": what depends on it is undefined and set to NaN"
    report(f"{', '.join(names)} is constant{outcome}", policy, "drop it")


def macro_emergence_exact(
    joint: jax.Array, x: jax.Array, v: jax.Array, num_symbols: int, num_macro: int, *, unit: str = "nats"
) -> MacroEmergence:
    """Ψ, Δ and Γ of an exact joint distribution of the micro states at two times.

    Args:
      joint: ``[S, S]``, p(state, next state), summing to one (for a chain: ``p[:, None] * tpm``).
      x: integer ``[S, n]``, the symbol of every unit in every state.
      v: integer ``[S]``, the macro symbol of every state.
      num_symbols, num_macro: alphabet sizes, static.
      unit: ``"nats"`` or ``"bits"``.

    Raises:
      ValueError: if shapes disagree, symbols lie outside, or a concrete ``joint`` is not a distribution.
    """
    joint, x, v = jnp.asarray(joint), jnp.asarray(x), jnp.asarray(v)
    if x.ndim != 2 or joint.shape != (x.shape[0],) * 2 or v.shape != x.shape[:1]:
        raise UsageError(
            f"joint is {joint.shape}, x is {x.shape}, v is {v.shape}; expected [S, S], [S, n], [S]"
        )
    if not isinstance(joint, jax.core.Tracer):
        known = np.asarray(joint)  # a constant of a traced function would be traced by jax's reductions
        if not (abs(known.sum() - 1.0) < 1e-4 and known.min() >= 0.0):
            raise UsageError(
                f"joint sums to {known.sum():g}, least entry {known.min():g}; expected a distribution"
            )
    check_symbols(x, num_symbols, "x")
    check_symbols(v, num_macro, "v")
    features = _one_hot(x, v, num_symbols, num_macro).astype(joint.dtype)
    return _discrete_criteria(matmul(matmul(features.T, joint), features), x.shape[1], num_symbols, unit)


def joint_symbols(x: jax.Array, num_symbols: int) -> jax.Array:
    """Encode rows of symbols ``[..., n]`` as one of num_symbols**n symbols ``[...]``; unit 0 is lowest."""
    x = jnp.asarray(x)
    return jnp.sum(x * num_symbols ** jnp.arange(x.shape[-1], dtype=x.dtype), axis=-1)


def _one_hot(x: jax.Array, v: jax.Array, num_symbols: int, num_macro: int) -> jax.Array:
    micro = jax.nn.one_hot(x, num_symbols, dtype=jnp.result_type(float)).reshape(x.shape[0], -1)
    return jnp.concatenate([micro, jax.nn.one_hot(v, num_macro, dtype=micro.dtype)], axis=1)


def _table_information(table: jax.Array) -> jax.Array:
    """Plug-in information of joint tables ``[..., K, L]``, nats."""
    independent = table.sum(axis=-1, keepdims=True) * table.sum(axis=-2, keepdims=True)
    seen = table > 0
    ratio = jnp.where(seen, table, 1.0) / jnp.where(seen, independent, 1.0)
    return jnp.sum(jnp.where(seen, table * jnp.log(ratio), 0.0), axis=(-2, -1))


@partial(jax.jit, static_argnums=(1, 2, 3))
def _discrete_criteria(table: jax.Array, n: int, num_symbols: int, unit: str) -> MacroEmergence:
    split, macro = n * num_symbols, table.shape[0] - n * num_symbols
    micro = table[:split, :split].reshape(n, num_symbols, n, num_symbols).swapaxes(1, 2)
    return criteria(
        macro_to_macro=_table_information(table[split:, split:]),
        micro_to_macro=_table_information(table[:split, split:].reshape(n, num_symbols, macro)),
        macro_to_micro=_table_information(
            table[split:, :split].reshape(macro, n, num_symbols).swapaxes(0, 1)
        ),
        micro_to_micro=_table_information(micro),
        unit=unit,
    )
