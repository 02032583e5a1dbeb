"""The product lattice of integrated information decomposition: 16 atoms, what is known, what is derived.

Two units ``x, y`` at time ``t`` are the sources; ``a, b`` are the same two units one lag later, the
targets. An atom is named ``<source>t<target>``, each side one of ``r`` (redundant), ``x``, ``y`` (unique)
and ``s`` (synergistic): ``stx`` is what only the joint past has and only the future of ``x`` receives.
Mediano et al. 2021 (arXiv 2109.13186).
"""

import math
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import unknown_name

ATOM_NAMES: tuple[str, ...] = tuple(f"{source}t{target}" for source in "rxys" for target in "rxys")

_BITS_PER_NAT = 1.0 / math.log(2.0)
UNITS = {"nats": 1.0, "bits": _BITS_PER_NAT}


class Information(NamedTuple):
    """The nine mutual informations between past ``x, y`` and future ``a, b``; arrays of one shape, nats."""

    x_a: jax.Array
    x_b: jax.Array
    y_a: jax.Array
    y_b: jax.Array
    xy_a: jax.Array
    xy_b: jax.Array
    x_ab: jax.Array
    y_ab: jax.Array
    xy_ab: jax.Array


class Redundancy(NamedTuple):
    """The seven redundancies that close the system; arrays of one shape, nats.

    ``xy_a`` is what ``x`` and ``y`` share about ``a``; ``ab_x`` what ``a`` and ``b`` share about ``x``
    (backwards); ``rtr`` what both sources share about both targets.
    """

    rtr: jax.Array
    xy_a: jax.Array
    xy_b: jax.Array
    xy_ab: jax.Array
    ab_x: jax.Array
    ab_y: jax.Array
    ab_xy: jax.Array


KNOWN_NAMES: tuple[str, ...] = (
    *("rtr" if name == "rtr" else f"R_{name}" for name in Redundancy._fields),
    *(f"I_{name}" for name in Information._fields),
)

# Which atoms a known quantity contains: the down-set of its node. R_xy_a reaches {r}t{r, x}, and so on.
_DOWN = {"r": "r", "x": "rx", "y": "ry", "s": "rxys"}
_NODE = {"xy": "r", "ab": "r", "x": "x", "y": "y", "a": "x", "b": "y"}


def _contained(known: str) -> set[str]:
    if known == "rtr":
        return {"rtr"}
    kind, left, right = known.split("_")
    joint = {"xy": "s", "ab": "s"}
    if kind == "I":
        source, target = joint.get(left, _NODE[left]), joint.get(right, _NODE[right])
    elif left == "xy":
        source, target = "r", joint.get(right, _NODE[right])
    else:
        source, target = joint.get(right, _NODE[right]), "r"
    return {f"{s}t{t}" for s in _DOWN[source] for t in _DOWN[target]}


def _parse(expression: str, names: tuple[str, ...]) -> np.ndarray:
    """Turn ``"-rtr + xty"`` into an integer row vector over ``names``."""
    row = np.zeros(len(names), dtype=np.int8)
    for sign, name in re.findall(r"([+-]?)\s*(\w+)", expression):
        row[names.index(name)] += -1 if sign == "-" else 1
    return row


MATRIX: np.ndarray = np.array(
    [[name in _contained(known) for name in ATOM_NAMES] for known in KNOWN_NAMES], dtype=np.int8
)
"""Integer matrix M of ``knowns = M @ atoms``, rows :data:`KNOWN_NAMES`, columns :data:`ATOM_NAMES`."""

_MOBIUS = {
    "rtr": "rtr",
    "rtx": "R_xy_a - rtr",
    "rty": "R_xy_b - rtr",
    "rts": "rtr - R_xy_a - R_xy_b + R_xy_ab",
    "xtr": "R_ab_x - rtr",
    "xtx": "rtr - R_xy_a - R_ab_x + I_x_a",
    "xty": "rtr - R_xy_b - R_ab_x + I_x_b",
    "xts": "-rtr + R_xy_a + R_xy_b - R_xy_ab + R_ab_x - I_x_a - I_x_b + I_x_ab",
    "ytr": "R_ab_y - rtr",
    "ytx": "rtr - R_xy_a - R_ab_y + I_y_a",
    "yty": "rtr - R_xy_b - R_ab_y + I_y_b",
    "yts": "-rtr + R_xy_a + R_xy_b - R_xy_ab + R_ab_y - I_y_a - I_y_b + I_y_ab",
    "str": "rtr - R_ab_x - R_ab_y + R_ab_xy",
    "stx": "-rtr + R_xy_a + R_ab_x + R_ab_y - R_ab_xy - I_x_a - I_y_a + I_xy_a",
    "sty": "-rtr + R_xy_b + R_ab_x + R_ab_y - R_ab_xy - I_x_b - I_y_b + I_xy_b",
    "sts": "rtr - R_xy_a - R_xy_b + R_xy_ab - R_ab_x - R_ab_y + R_ab_xy"
    " + I_x_a + I_x_b + I_y_a + I_y_b - I_xy_a - I_xy_b - I_x_ab - I_y_ab + I_xy_ab",
}
INVERSE: np.ndarray = np.array([_parse(_MOBIUS[name], KNOWN_NAMES) for name in ATOM_NAMES])
"""Integer inverse of :data:`MATRIX`: ``atoms = INVERSE @ knowns``; entries are -1, 0 and 1."""

_SYNERGIES = "rts + xty + xts + ytx + yts + str + stx + sty + sts"
DERIVED: dict[str, str] = {
    "tdmi": " + ".join(ATOM_NAMES),
    "phi_wms": f"{_SYNERGIES} - rtr",
    "phi_r": _SYNERGIES,
    "ce3": "stx + sty + sts",
    "ce4": "str + stx + sty + sts",
    "downward": "str + stx + sty",
    "upward": "rts + xts + yts",
    "decoupling": "sts",
    "storage": "rtr + xtx + yty + sts",
    "copy": "xtr + ytr",
    "transfer": "xty + ytx",
    "erasure": "rtx + rty",
    "te_xy": "xtr + xty + str + sty",
    "te_yx": "ytr + ytx + str + stx",
    "active_storage_x": "rtr + rtx + xtr + xtx",
    "active_storage_y": "rtr + rty + ytr + yty",
}
"""Named sums of atoms: ``phi_r`` is the revised integrated information (arXiv 2109.13186), ``ce4`` the
emergence capacity of Rosas et al. (arXiv 2004.08220), ``ce3`` the same without ``str`` (the sum used with
pointwise redundancy in arXiv 2605.06746), ``te_xy`` the transfer entropy from x to y."""

_DERIVED_ROWS = {name: _parse(expression, ATOM_NAMES) for name, expression in DERIVED.items()}


class Atoms(NamedTuple):
    """The 16 atoms, one array each and all of one shape, in nats unless converted by :meth:`to`.

    A pytree: ``vmap``, ``scan`` and ``tree.map`` apply to it. ``atoms.sts``, ``atoms["sts"]`` and, for the
    sums of :data:`DERIVED`, ``atoms["phi_r"]`` all work.
    """

    rtr: jax.Array
    rtx: jax.Array
    rty: jax.Array
    rts: jax.Array
    xtr: jax.Array
    xtx: jax.Array
    xty: jax.Array
    xts: jax.Array
    ytr: jax.Array
    ytx: jax.Array
    yty: jax.Array
    yts: jax.Array
    str: jax.Array
    stx: jax.Array
    sty: jax.Array
    sts: jax.Array

    def __getitem__(self, name):  # pyrefly: ignore[bad-override]
        """The atom or derived sum called ``name``; integers and slices index as in any tuple.

        Raises:
          KeyError: for an unknown name, with a suggestion.
        """
        if not isinstance(name, str):
            return tuple.__getitem__(self, name)
        if name in ATOM_NAMES:
            return getattr(self, name)
        if name in _DERIVED_ROWS:
            return _signed_sum(_DERIVED_ROWS[name], tuple(self))
        raise unknown_name("atom or derived sum", name, (*ATOM_NAMES, *DERIVED))

    def stack(self, axis: int = 0) -> jax.Array:
        """All atoms as one array with a new axis of 16, in the order of :data:`ATOM_NAMES`."""
        return jnp.stack(tuple(self), axis=axis)

    def to(self, unit) -> "Atoms":
        """These atoms (nats) in ``unit``, ``"nats"`` or ``"bits"``."""
        scale = unit_scale(unit)
        return self if scale == 1.0 else Atoms(*(value * scale for value in self))


def mirrored(atoms: Atoms) -> Atoms:
    """The atoms of the same two sides with their names exchanged: what was of x is of y.

    Args:
      atoms: arrays of any one shape.

    Returns:
      The same arrays under other names.
    """
    return Atoms(*(getattr(atoms, name.translate(str.maketrans("xy", "yx"))) for name in ATOM_NAMES))


def unit_scale(unit: str) -> float:
    """How many ``unit`` (``"nats"`` or ``"bits"``) one nat is.

    Raises:
      KeyError: if ``unit`` is neither.
    """
    if unit not in UNITS:
        raise unknown_name("unit", unit, UNITS)
    return UNITS[unit]


def _signed_sum(row: np.ndarray, values) -> jax.Array:
    terms = [(int(sign), value) for sign, value in zip(row, values, strict=True) if sign]
    # Starting from a positive term keeps a negation out of the program.
    terms.sort(key=lambda term: -term[0])
    total = terms[0][1]
    for sign, value in terms[1:]:
        total = total + value if sign > 0 else total - value
    return total


def decompose(redundancy: Redundancy, information: Information) -> Atoms:
    """Solve for the 16 atoms by the integer Möbius inverse; elementwise, so any common shape will do.

    Args:
      redundancy: the seven redundancies, averages or local values.
      information: the nine mutual informations of the same shape and unit.

    Returns:
      The atoms, whose sum is ``information.xy_ab``.
    """
    knowns = jnp.broadcast_arrays(*redundancy, *information)
    return Atoms(*(_signed_sum(row, knowns) for row in INVERSE))


def recompose(atoms: Atoms) -> tuple[Redundancy, Information]:
    """Rebuild the knowns from the atoms: the inverse of :func:`decompose`."""
    knowns = [_signed_sum(row, tuple(atoms)) for row in MATRIX]
    return Redundancy(*knowns[:7]), Information(*knowns[7:])


def derived(atoms: Atoms) -> dict[str, jax.Array]:
    """Every named sum of :data:`DERIVED`, in the unit of ``atoms``."""
    return {name: _signed_sum(row, tuple(atoms)) for name, row in _DERIVED_ROWS.items()}
