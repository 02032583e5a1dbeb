"""How one piece of JSON data differs from another, in words."""

from collections.abc import Iterator
from typing import Any

from rlkit.fields import shown


def differences(old: Any, new: Any, most: int = 5) -> str:
    """Where two pieces of JSON data differ, e.g. ``"seeds: 8 -> 30; agent.name: 'ppo' -> 'sac'"``.

    Args:
      old, new: what to compare.
      most: places to name.

    Returns:
      The places; empty if the data are equal.
    """
    found = list(_walk(old, new, ""))
    more = f"; and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(found[:most]) + more


def _walk(old: Any, new: Any, place: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            where = f"{place}.{name}" if place else str(name)
            if name not in new:
                yield f"{where}: {shown(old[name], 40)} -> nothing"
            elif name not in old:
                yield f"{where}: nothing -> {shown(new[name], 40)}"
            else:
                yield from _walk(old[name], new[name], where)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _walk(one, other, f"{place}[{i}]")
    elif old != new:
        yield f"{place or 'all'}: {shown(old, 40)} -> {shown(new, 40)}"
