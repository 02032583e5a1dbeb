"""Candidates, verdicts, outcomes, records and exploits as JSON, and back."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlkit.design.types import CURVES, Candidate, Exploit, Outcome, Record, Verdict
from rlkit.errors import UsageError


def to_data(thing: Candidate | Verdict | Outcome | Record | Exploit) -> dict[str, Any]:
    """As JSON; numbers that are not finite are ``None``."""
    return _plain(dataclasses.asdict(thing))


def _plain(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {str(k): _plain(v) for k, v in x.items()}
    if isinstance(x, np.ndarray):
        return _plain(x.tolist())
    if isinstance(x, list | tuple):
        return [_plain(v) for v in x]
    if isinstance(x, np.generic):
        return _plain(x.item())
    if isinstance(x, float) and not math.isfinite(x):
        return None
    return x


def record_from(data: Mapping[str, Any]) -> Record:
    """The record that :func:`to_data` wrote.

    Raises:
      UsageError: it is not one.
    """
    try:
        candidate = candidate_from(data["candidate"])
        outcome = None if data["outcome"] is None else outcome_from(data["outcome"])
        verdicts = tuple(Verdict(**verdict) for verdict in data["verdicts"])
        score = -math.inf if data["score"] is None else float(data["score"])
        return Record(candidate, verdicts, outcome, score)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"not a record of a design: {type(error).__name__}: {error}") from error


def outcome_from(data: Mapping[str, Any]) -> Outcome:
    """The outcome that :func:`to_data` wrote."""
    row = lambda numbers: [math.nan if x is None else x for x in numbers]
    rows = lambda found: [row(numbers) for numbers in found]
    whole: dict[str, Any] = {**data, **{name: rows(data[name]) for name in CURVES}}
    whole["terms"] = {name: rows(found) for name, found in data["terms"].items()}
    whole["latents"] = {name: row(found) for name, found in data.get("latents", {}).items()}
    return Outcome(**whole)


def exploit_from(data: Mapping[str, Any]) -> Exploit:
    """The exploit that :func:`to_data` wrote."""
    nested = lambda x: tuple(map(nested, x)) if isinstance(x, list) else x
    made: dict[str, Any] = {**data, "actions": nested(data["actions"])}
    return Exploit(**made)


def candidate_from(data: Mapping[str, Any]) -> Candidate:
    """The candidate that :func:`to_data` wrote."""
    made: dict[str, Any] = {**data, "parents": tuple(data["parents"])}
    return Candidate(**made)
