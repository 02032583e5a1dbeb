"""Rewards that were traced elsewhere: an artefact of StableHLO with what its inputs and outputs are.

The text is JSON: the module in base64, names of inputs, terms and memory, the source that it was made from
(for people; nothing reads it), and a SHA-256 of all that. :mod:`rlkit.rewards.free` makes it in a jail.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.fields import not_float32
from rlkit.rewards.language.ir import LIMITS, ProgramError
from rlkit.rewards.stablehlo import Module, read_module, run_module
from rlkit.types import EnvSpec, Key, PyTree, Reward, Transition

FORMAT = "rlkit traced reward 1"
LONGEST = 512_000
"""Characters of the text."""


class Lowered(NamedTuple):
    """A traced reward as data."""

    module: Module
    inputs: tuple[str, ...]  # "s.name", "a", "ns.name", "done", "m.name"
    terms: tuple[str, ...]
    memory: dict[str, float | bool]


def is_lowered(text: str) -> bool:
    """Whether a text is that of a traced reward."""
    return text.lstrip().startswith("{") and FORMAT in text[:200]


def lowered_text(
    module: str, inputs: list[str], terms: list[str], memory: Mapping[str, float | bool], source: str
) -> str:
    """The text of a traced reward; ``module`` in base64."""
    data = {"format": FORMAT, "module": module, "inputs": inputs, "terms": terms}
    data |= {"memory": dict(memory), "source": source}
    return json.dumps(data | {"digest": _digest(data)})


def _digest(data: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in data.items() if name != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_lowered(text: str, *, vet: bool = False) -> Lowered:
    """Read and check a traced reward.

    Args:
      text: of :func:`lowered_text`.
      vet: a jailed process reads it first: the reader of modules, which is not ours, crashes or never ends
        on some that were made for that.

    Raises:
      ProgramError: it has been changed, or is not allowed; the reason is safe to show to a model.
    """
    if len(text) > LONGEST:
        raise ProgramError("parse", f"longer than {LONGEST} characters")
    try:
        data = json.loads(text)
        inputs, terms, memory = tuple(data["inputs"]), tuple(data["terms"]), dict(data["memory"])
        found, module = data["digest"] == _digest(data), base64.b64decode(data["module"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ProgramError("parse", "not the text of a traced reward") from None
    if not found:
        raise ProgramError("parse", "it has been changed since it was traced (its digest differs)")
    _check_names(terms, memory)
    if vet:
        from rlkit.rewards import free  # which reads what it has made

        free.vet(text)
    read = read_module(module)
    wanted = [jax.ShapeDtypeStruct((), jnp.float32)] * (1 + len(terms)) + [_kind(x) for x in memory.values()]
    same = lambda x, y: (x.shape, x.dtype) == (y.shape, y.dtype)
    fits = len(read.outputs) == len(wanted) and all(map(same, read.outputs, wanted))
    if not fits or len(read.inputs) != len(inputs):
        raise ProgramError("abstract", "its inputs or outputs are not those of a reward")
    return Lowered(read, inputs, terms, memory)


def _check_names(terms: tuple[Any, ...], memory: Mapping[str, Any]) -> None:
    if len(terms) > LIMITS.terms or len(memory) > LIMITS.memory or len(set(terms)) != len(terms):
        raise ProgramError("limits", f"more than {LIMITS.terms} terms or {LIMITS.memory} entries of memory")
    for name in (*terms, *memory):
        good = isinstance(name, str) and name.isidentifier() and name.isascii() and len(name) <= 64
        if not good or name.startswith("_"):
            raise ProgramError("parse", "names of terms and memory are identifiers of at most 64 letters")
    for value in memory.values():
        if not isinstance(value, bool | int | float) or (not isinstance(value, bool) and not_float32(value)):
            raise ProgramError("numbers", "memory holds numbers of float32, True or False")


def _kind(value: float | bool) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((), jnp.bool_ if isinstance(value, bool) else jnp.float32)


def lowered_function(text: str) -> tuple[Callable[..., list[Any]], tuple[jax.ShapeDtypeStruct, ...]]:
    """The function of a text, and the shapes of its arguments."""
    module = read_lowered(text).module
    return lambda *arguments: run_module(module, arguments), module.inputs


def lowered_reward(text: str, spec: EnvSpec | None = None) -> Reward:
    """The reward of a text; features that it does not use are not read.

    Args:
      text: of :func:`lowered_text`.
      spec: of the environment that it is for: whether it fits is then checked at once.

    Raises:
      ProgramError: as :func:`read_lowered`, or it does not fit the environment.
      UsageError: this machine has no jail to read it in.
    """
    lowered = read_lowered(text, vet=True)
    if spec is not None:
        _check_fits(lowered, spec)
    fresh = {name: jnp.asarray(x, _kind(x).dtype) for name, x in lowered.memory.items()}

    def init(key: Key) -> PyTree:
        return fresh if fresh else ()

    def apply(memory: PyTree, t: Transition, params: PyTree) -> tuple[PyTree, jax.Array, dict]:
        before = {name: jnp.where(t.first, value, memory[name]) for name, value in fresh.items()}
        sides = {"s": t.features, "ns": t.next_features, "m": before}
        arguments = [
            _argument(name, kind, used, t, sides)
            for name, kind, used in zip(
                lowered.inputs, lowered.module.inputs, lowered.module.used, strict=True
            )
        ]
        total, *rest = (jnp.asarray(x) for x in run_module(lowered.module, arguments))
        terms = dict(zip(lowered.terms, (x.astype(t.reward.dtype) for x in rest), strict=False))
        after = dict(zip(fresh, rest[len(lowered.terms) :], strict=True))
        return (after if fresh else ()), total.astype(t.reward.dtype), terms

    return Reward(init, apply, ())


def _argument(
    name: str, kind: jax.ShapeDtypeStruct, used: bool, t: Transition, sides: Mapping[str, Any]
) -> jax.Array:
    side, _, field = name.partition(".")
    if not used:
        return jnp.zeros(kind.shape, kind.dtype)
    x = {"a": lambda: t.action, "done": lambda: t.terminated}.get(side, lambda: sides[side][field])()
    x = jnp.asarray(x)
    if x.shape != kind.shape:
        raise ProgramError("shape", f"{name[:64]} is {list(x.shape)}; traced with {list(kind.shape)}")
    return x.astype(kind.dtype)


def _check_fits(lowered: Lowered, spec: EnvSpec) -> None:
    fields = {f.name: f for f in spec.features}
    pairs = list(zip(lowered.inputs, lowered.module.inputs, lowered.module.used, strict=True))
    for name, _, used in pairs:
        side, _, field = name.partition(".")
        if side in ("s", "ns") and used and field not in fields:
            raise ProgramError("names", str(unknown_name("field", field, fields)))
    for name, kind, used in pairs:
        side, _, field = name.partition(".")
        shape = spec.action_space.shape if side == "a" else fields[field].shape if field in fields else ()
        if used and side != "m" and tuple(shape) != kind.shape:
            raise ProgramError("shape", f"{name[:64]} is {list(shape)}; traced with {list(kind.shape)}")
