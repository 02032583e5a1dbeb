"""Which units are meant: one reading of pairs, parts and sides for every function of this package.

A set of units is one unit (an int), indices (a list, a NumPy or a JAX array of integers) or a mask (bool, one
entry a unit). Negative indices count from the end, as everywhere in Python.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError

Mask = Any
"""[n] bool, NumPy where the members are known, JAX where they are traced."""


def is_concrete(*values) -> bool:
    """True if no value is being traced, so that its numbers can be looked at."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def unit_mask(members: Any, units: int, name: str = "units") -> Mask:
    """[units] bool mask of a set given by one unit, by indices or already by a mask.

    Args:
      members: an int, a sequence or array of ints without repetition, or a bool mask. Traced values are
        checked for shape and type only; traced indices out of range are dropped.
      units: number of units.
      name: what to call the set in messages.

    Raises:
      UsageError: no integers and no mask, out of range, repeated, empty, or a mask of another length.
    """
    if not is_concrete(members):
        return _traced_mask(jnp.asarray(members), units, name)
    array = _array(members, name)
    if array.dtype == bool:
        if array.shape != (units,):
            raise UsageError(
                f"{name}={_short(members)}: a mask of units has one entry for each of {units} units, "
                f"this has shape {array.shape}"
            )
        mask = array
    else:
        mask = np.zeros(units, bool)
        mask[_indices(array, members, units, name)] = True
    if not mask.any():
        raise UsageError(f"{name} is empty: it needs at least one of the {units} units")
    return mask


def _traced_mask(members: jax.Array, units: int, name: str) -> jax.Array:
    if members.dtype == jnp.bool_:
        if members.shape != (units,):
            raise UsageError(f"{name}: a mask of units must have shape ({units},), got {members.shape}")
        return members
    if not jnp.issubdtype(members.dtype, jnp.integer) or members.ndim > 1:
        raise UsageError(f"{name} has type {members.dtype}{members.shape}; expected units or a mask")
    return jnp.zeros(units, bool).at[members].set(True, mode="drop")


def _array(members: Any, name: str) -> np.ndarray:
    wanted = "expected a unit, a sequence of units, or a mask with one entry a unit"
    if isinstance(members, str | bytes | dict | set | type(None)):
        raise UsageError(f"{name}={members!r}: {wanted}")
    try:
        array = np.asarray(members)
    except ValueError:  # ragged
        raise UsageError(f"{name}={_short(members)}: {wanted}") from None
    if array.size == 0:
        return np.zeros(array.shape, int)
    if array.dtype.kind not in "iub" or array.ndim > 1 or (array.dtype.kind == "b" and array.ndim == 0):
        hint = ": units are whole numbers" if array.dtype.kind == "f" else ""
        raise UsageError(f"{name}={_short(members)} is {array.dtype}{list(array.shape)}{hint}; {wanted}")
    return array


def _indices(array: np.ndarray, members: Any, units: int, name: str) -> np.ndarray:
    flat = array.reshape(-1).astype(np.int64)
    outside = (flat < -units) | (flat >= units)
    if outside.any():
        raise UsageError(
            f"{name}={_short(members)}: there is no unit {flat[outside][0]}; "
            f"the {units} units are 0 to {units - 1}"
        )
    flat = flat % units
    if len(np.unique(flat)) < len(flat):
        twice = next(int(unit) for unit in flat if (flat == unit).sum() > 1)
        raise UsageError(f"{name}={_short(members)} names unit {twice} twice")
    return flat


def read_sides(pairs: Any, units: int, name: str = "pairs") -> tuple[Mask, Mask]:
    """The two disjoint sets of units that ``pairs`` means.

    Args:
      pairs: two units, or two sets of units (see :func:`unit_mask`): ``(0, 3)``, ``([0, 1], [2, 3])``,
        ``(side, ~side)``, an array of two integers.
      units: number of units.
      name: what to call the argument in messages.

    Returns:
      Two masks [units].

    Raises:
      UsageError: not two, or a set that :func:`unit_mask` refuses, or sets that share a unit.
    """
    if isinstance(pairs, str | bytes | dict | set | type(None)) or np.ndim(_shell(pairs)) == 0:
        raise UsageError(f"{name}={pairs!r}: expected two units (i, j) or two sets of units")
    if len(pairs) != 2:
        mask = np.asarray(_shell(pairs)).dtype == bool or all(isinstance(p, bool | np.bool_) for p in pairs)
        hint = ": for a mask and the rest give (side, ~side)" if mask else ""
        raise UsageError(f"{name} has {len(pairs)} entries; it must be two units or two sets of units{hint}")
    first, second = (unit_mask(part, units, f"{name}[{k}]") for k, part in enumerate(pairs))
    check_disjoint(first, second, name)
    return first, second


def _shell(pairs: Any) -> Any:
    """What NumPy may look at to learn the outer length: arrays as they are, sequences by their length."""
    return np.zeros(len(pairs)) if isinstance(pairs, list | tuple) else pairs


def check_disjoint(first: Mask, second: Mask, name: str = "pairs") -> None:
    """Raise a UsageError if two known masks share a unit."""
    if not is_concrete(first, second):
        return
    shared = np.flatnonzero(np.asarray(first) & np.asarray(second))
    if shared.size:
        equal = (np.asarray(first) == np.asarray(second)).all()
        which = "the two sides are equal" if equal else "they overlap"
        raise UsageError(
            f"{name}: unit {shared[0]} is on both sides ({which}); a decomposition needs two disjoint sets"
        )


def read_partition(side: Any, units: int, name: str = "side") -> Mask:
    """[units] bool mask of one side of a bipartition, neither side empty where that is known.

    Raises:
      UsageError: as :func:`unit_mask`, or if every unit is on this side.
    """
    mask = unit_mask(side, units, name)
    if is_concrete(mask) and np.asarray(mask).all():
        raise UsageError(f"{name} holds all {units} units: the other side is empty")
    return mask


def single(mask: Mask) -> int | None:
    """The unit, if a known mask has exactly one."""
    if not is_concrete(mask):
        return None
    members = np.flatnonzero(np.asarray(mask))
    return int(members[0]) if len(members) == 1 else None


def _short(members: Any) -> str:
    text = " ".join(repr(members).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
