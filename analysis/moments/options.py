"""Keywords of this package that other tools spell otherwise, and what to say about those it does not know."""

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from rlkit.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

SYNONYMS = {
    "tau": ("lag",),
    "delay": ("lag",),
    "lags": ("lag",),
    "kind": ("estimator", "redundancy"),
    "method": ("estimator", "binning", "null"),
    "binning": ("method",),
    "n_bins": ("bins",),
    "num_bins": ("bins",),
    "units": ("unit", "pairs"),
    "base": ("unit",),
    "dones": ("first",),
    "episode_starts": ("first",),
    "mask": ("valid", "pair_mask"),
    "valid": ("mask",),
    "first": ("mask",),
    "seed": ("key",),
    "rng": ("key",),
    "n_surrogates": ("draws",),
    "surrogates": ("draws", "null"),
    "num_draws": ("draws",),
    "standardize": ("standardise",),
    "gaussianize": ("gaussianise",),
    "copula": ("gaussianise",),
    "parts": ("pairs", "side"),
    "sides": ("pairs", "side"),
    "partition": ("side",),
    "policy": ("check",),
    "n_components": ("components",),
    "src": ("x", "pairs"),
    "trg": ("y", "pairs"),
}
"""What a keyword may have been meant to be: the first of these that the function has."""


class UnknownOptionError(UsageError, TypeError):
    """A keyword that a function does not have, with the one that was probably meant."""


def known_options(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse keywords that ``function`` does not have in a sentence that suggests the right one."""
    parameters = inspect.signature(function).parameters
    known = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_POSITIONAL]

    @functools.wraps(function)
    def checked(*args: P.args, **options: P.kwargs) -> R:
        for name in options:
            if name not in parameters:
                raise UnknownOptionError(_sentence(function.__name__, name, known))
        return function(*args, **options)

    return checked


def _sentence(function: str, name: str, known: list[str]) -> str:
    meant = [other for other in SYNONYMS.get(name.lower(), ()) if other in known]
    meant = meant or difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean {meant[0]!r}?" if meant else "it has: " + ", ".join(known)
    return f"{function} has no option {name!r}; {hint}"
