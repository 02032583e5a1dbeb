"""Files of designed rewards: where a reward came from, and a digest that tells whether a byte has changed.

The file is JSON. ``text`` and ``base`` are the reward, ``digest`` is the SHA-256 of all the rest in canonical
form; what else there is says how the reward was found. Nothing of it is executed.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from rlkit import outside
from rlkit.errors import UsageError
from rlkit.fields import shown
from rlkit.types import EnvSpec, Key, PyTree, Reward, Transition

SUFFIX = ".reward.json"
FORMAT = "rlkit designed reward 1"
_MOST = 10_000_000  # bytes
BASE, TOTAL = "base", "total"
"""Terms beside a candidate's: what the base pays, and all that is paid."""


def check_terms(names: Iterable[str]) -> None:
    """Refuse terms of a candidate that are called as those beside it.

    Raises:
      UsageError: one is.
    """
    taken = sorted({BASE, TOTAL} & set(names))
    if taken:
        raise UsageError(f"the name {taken[0]!r} is taken: give the term another one")


def with_base(base: Reward | None, own: Reward) -> Reward:
    """The sum of a candidate's reward and the base.

    Its parameters are the candidate's. Its terms are the candidate's, ``base`` if there is one, and
    ``total``, all that is paid.
    """

    def init(key: Key) -> PyTree:
        one, other = jax.random.split(key)
        return (() if base is None else base.init(one)), own.init(other)

    def apply(memory: PyTree, t: Transition, params: PyTree) -> tuple[PyTree, jax.Array, dict]:
        below, value = memory[0], jnp.zeros((), t.reward.dtype)
        if base is not None:
            below, value, _ = base.apply(memory[0], t, base.params)
        mine, paid, terms = own.apply(memory[1], t, params)
        terms = terms if base is None else {**terms, BASE: value}
        return (below, mine), value + paid, {**terms, TOTAL: value + paid}

    return Reward(init, apply, own.params)


def seal(data: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file with its digest."""
    plain = {"format": FORMAT, **json.loads(json.dumps(data, allow_nan=False))}
    return plain | {"digest": _digest(plain)}


def _digest(data: Mapping[str, Any]) -> str:
    text = json.dumps({k: v for k, v in data.items() if k != "digest"}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def open_sealed(path: str | Path) -> dict[str, Any]:
    """The content of a file of a designed reward.

    Raises:
      UsageError: it cannot be read, it is not such a file, or it is not as it was written.
    """
    path = Path(path)
    try:
        with outside.regular(path) as file:
            content = file.read(_MOST + 1)
    except UsageError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the reward file {shown(str(path))}: {reason}") from error
    try:
        data = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a file of a designed reward: it is not JSON") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise UsageError(f"{path} is not a file of a designed reward of this version ({FORMAT})")
    try:
        found = _digest(data)
    except ValueError:
        found = ""
    if found != data.get("digest"):
        raise UsageError(f"{path} has been changed since it was written (its digest differs); get it again")
    if not isinstance(data.get("text"), str) or not isinstance(data.get("base", ""), str):
        raise UsageError(f"{path} is not a file of a designed reward: it holds no text of one")
    return data


def read_designed(path: str | Path, spec: EnvSpec | None = None, *, tune: bool = False) -> Reward:
    """The reward of a file of a designed reward; arguments as of :func:`rlkit.rewards.read`.

    Raises:
      UsageError: as :func:`open_sealed`, or the reward does not fit the environment.
    """
    from rlkit.rewards.reading import read_text

    data = open_sealed(path)
    base = read_text(data["base"], spec) if data.get("base") else None
    return with_base(base, read_text(data["text"], spec, tune=tune))
