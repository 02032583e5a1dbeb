"""What a user probably meant who asked for an environment that is not here, or gave something else."""

import importlib.util
import re
from collections.abc import Iterable
from typing import Any

from rlkit.errors import UnknownNameError, unknown_name

_OURS = {
    "cartpole": "classic/cartpole",
    "pendulum": "classic/pendulum",
    **{
        name: f"mujoco/{name}" for name in ("ant", "halfcheetah", "hopper", "humanoid", "reacher", "walker2d")
    },
    "invertedpendulum": "mujoco/inverted_pendulum",
    "pointmaze_umaze": "nav/pointmaze-umaze",
    "pointmaze_open": "nav/pointmaze-open",
    "pointmaze_medium": "nav/pointmaze-medium",
    "pointmaze_large": "nav/pointmaze-large",
    "craftax-classic-symbolic": "craft/classic",
    "craftax": "craft/classic",
    "crafterreward": "craft/classic",
}
"""Counterparts by the names of Gymnasium, brax, gymnasium-robotics, Craftax: lower case, no version."""


def counterpart(id: str) -> str | None:
    """Our environment of a name that other packages use, e.g. ``"CartPole-v1"``; None if there is none."""
    name = id.rsplit("/", 1)[-1].rsplit(":", 1)[-1].lower()
    return _OURS.get(re.sub(r"(-env)?-v\d+$", "", name))


def unknown_environment(id: str, known: Iterable[str]) -> UnknownNameError:
    """The error for an unknown id; names of Gymnasium suggest what there is of them here."""
    near = [repr(ours)] if (ours := counterpart(id)) else []
    if re.fullmatch(r"([\w.-]+/)?[\w.-]+-v\d+", id) and _has_host():
        near.append(f"{f'host:{id}'!r} (Gymnasium's own)")
    if not near:
        return unknown_name("environment", id, known)
    return UnknownNameError(f"unknown environment {id!r}; did you mean {' or '.join(near)}?")


def not_an_environment(env: Any) -> str | None:
    """A sentence if an object is something else than an environment of ours, None if it may be one."""
    kind, package = type(env), type(env).__module__.split(".")[0]
    if isinstance(env, str):
        return f"env={env!r} is a name; did you mean rlkit.envs.make({(counterpart(env) or env)!r})?"
    if isinstance(env, type):
        return f"env={env.__name__} is a class; did you mean {env.__name__}()?"
    if package == "gymnax":
        return f"env={kind.__name__} is gymnax's; did you mean rlkit.envs.from_gymnax(env)?"
    if package == "brax":
        return f"env={kind.__name__} is brax's; did you mean rlkit.envs.from_brax(env)?"
    if hasattr(env, "reset") and hasattr(env, "step") and hasattr(env, "observation_space"):
        id = getattr(getattr(env, "spec", None), "id", None) or ""
        ours = [f"rlkit.envs.make({name!r})" for name in (counterpart(id),) if name]
        call = f"make('host:{id}')" if id else "from_gymnasium(make_env)"
        hosted = [f"rlkit.envs.{call}"] if _has_host() else []
        meant = " or ".join(ours + hosted) or "an environment of rlkit.envs"
        return f"env={id or kind.__name__} is an environment of Gymnasium; did you mean {meant}?"
    if not hasattr(kind, "spec") and not hasattr(env, "spec"):
        return (
            f"env={env!r:.80} is of type {kind.__name__}, without a spec; expected an environment: "
            "did you mean rlkit.envs.make(ID), or rlkit.envs.from_functions(reset, step, ...) for your own?"
        )
    return None


def _has_host() -> bool:
    """Whether environments that run outside JAX can be made."""
    return importlib.util.find_spec("rlkit.envs.host") is not None
