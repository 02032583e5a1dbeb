"""Learnt rewards as files: weights, and what is needed to read them anywhere."""

import json
import operator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit import outside
from rlkit.errors import UnknownNameError, UsageError
from rlkit.paths import named_leaves
from rlkit.prefs.feedback.models import Built, ModelConfig, build
from rlkit.prefs.feedback.scoring import scorer
from rlkit.prefs.types import RewardModel
from rlkit.types import EnvSpec, PyTree, Reward

SUFFIX = ".reward.npz"
"""Of the files."""

_ABOUT, _VERSION = "about", 1


def save_reward(path: str | Path, spec: EnvSpec, config: ModelConfig, params: PyTree) -> Path:
    """Write a learnt reward.

    Args:
      path: the file, whose name ends with :data:`SUFFIX`; it is replaced.
      spec: of the environment that it was learnt for.
      config: what the model is built from.
      params: the weights of the ensemble, of ``built.whole``.

    Raises:
      UsageError: another ending, or weights that are not those of the model.
      RlkitError: the file cannot be written.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX):
        raise UsageError(f"{path}: expected a name that ends with {SUFFIX}")
    _check(path, build(spec, config).whole, dict(named_leaves(params)))
    about = {"version": _VERSION, "env": spec.id} | config._asdict()
    arrays: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in named_leaves(params).items()}
    arrays[_ABOUT] = np.array(json.dumps(about))
    outside.replace(path, lambda file: np.savez(file, **arrays))
    return path


def read_reward(path: str | Path, spec: EnvSpec | None = None) -> Reward:
    """Read a learnt reward; its parameters are the weights. Arguments and errors as of :func:`read_model`."""
    built, params = read_model(path, spec)
    return scorer(built.whole, built.inputs, params, members=built.config.join)


def read_model(path: str | Path, spec: EnvSpec | None = None) -> tuple[Built, PyTree]:
    """Read the model of a learnt reward, and its weights.

    Args:
      path: the file.
      spec: of the environment that it shall pay in: the one that it was learnt for, or one with the same
        features and spaces; None makes the one that it was learnt for.

    Raises:
      UsageError: the file is no learnt reward, is damaged, or does not fit the environment.
    """
    path = Path(path)
    arrays = outside.read_arrays(path, "learnt reward", "fit it anew")
    try:
        about = json.loads(str(arrays.pop(_ABOUT)))
        words = [name for name in ModelConfig._fields if name != "heads" or name in about]  # it came later
        config = ModelConfig(**{name: about[name] for name in words})
        _check_types(config)
        config = config._replace(reads=tuple(config.reads), sizes=tuple(map(operator.index, config.sizes)))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is no learnt reward ({error}); fit one: rlkit prefs fit") from None
    if about.get("version") != _VERSION or isinstance(about["version"], bool):
        raise UsageError(f"{path} is of version {about.get('version')}; this rlkit reads version {_VERSION}")
    if spec is None:
        from rlkit.envs import make

        spec = make(about["env"]).spec
    try:
        built = build(spec, config)
        _check(path, built.whole, arrays)
    except UnknownNameError as error:
        raise UsageError(f"{path} describes a model that cannot be built: {error}; fit it anew") from None
    shapes = jax.eval_shape(built.whole.init, jax.random.key(0))
    leaves = [jnp.asarray(arrays[name]) for name in named_leaves(shapes)]
    return built, jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def _check_types(config: ModelConfig) -> None:
    """Raise a TypeError unless each entry has the type of its default."""
    for name, value, default in zip(config._fields, config, ModelConfig(), strict=True):
        wanted = list if isinstance(default, tuple) else type(default)
        if type(value) is not wanted:
            raise TypeError(f"{name}={value!r:.40}")


def _check(path: Path, model: RewardModel, arrays: dict[str, Any]) -> None:
    wanted = {n: x.shape for n, x in named_leaves(jax.eval_shape(model.init, jax.random.key(0))).items()}
    given = {name: np.shape(x) for name, x in arrays.items()}
    if wanted != given:
        name = next(n for n in [*wanted, *given] if wanted.get(n) != given.get(n))
        raise UsageError(
            f"{path}: the weights {name} have shape {given.get(name)}, and the model for this environment "
            f"has {wanted.get(name)}: the reward was learnt for another environment"
        )
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise UsageError(f"{path}: the weights {name} are not finite numbers; fit the reward anew")
