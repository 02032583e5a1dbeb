"""Whether an object is an environment, said before anything compiles.

:func:`check_environment` traces every method once with abstract values. It costs a trace and no
compilation, and answers what would otherwise surface as an error deep inside a program, or as silently
converted numbers. :func:`rlkit.envs.trial.trial` runs an environment as well.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.encoding import observation_encoder
from rlkit.envs.autoreset import AutoReset
from rlkit.envs.suggest import not_an_environment
from rlkit.errors import InvalidEnvironmentError, RlkitError
from rlkit.reads import private_features
from rlkit.spaces import Box, Discrete
from rlkit.types import Environment, EnvSpec, FeatureSpec

METHODS = (
    *("default_params", "initial", "transition", "observe", "features", "task_reward"),
    *("terminated", "success", "fitness"),
)
_TRACING = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)
_TRACING = (*_TRACING, jax.errors.TracerIntegerConversionError, jax.errors.NonConcreteBooleanIndexError)


def check_environment(env: Any) -> None:
    """Raise unless an object is an environment whose methods agree with its specification and each other.

    The answer for an environment that passed is remembered.

    Args:
      env: an :class:`rlkit.types.Environment`. Of one that is not pure only the specification is looked at.

    Raises:
      InvalidEnvironmentError: with the environment, the method and leaf, what was expected, what was given
        and what to do.
    """
    if (sentence := not_an_environment(env)) is not None:
        raise InvalidEnvironmentError(sentence)
    name = _name(env)
    missing = [method for method in METHODS if not callable(getattr(env, method, None))]
    if missing:
        raise InvalidEnvironmentError(
            f"{name} lacks {', '.join(f'{method}()' for method in missing)}; an environment has the methods "
            "of rlkit.types.Environment (rlkit.envs.from_functions makes one of a reset and a step)"
        )
    check_spec(env.spec, type(env).__name__)
    _check_hashable(env, name)
    if env.spec.pure:
        _check(env)
    elif not callable(getattr(env, "source", None)):
        raise InvalidEnvironmentError(
            f"{name} says pure=False in its spec, but has no source() that runs it on the host; "
            "rlkit.envs.from_gymnasium(env) makes an environment that has one of a Gymnasium environment"
        )


@functools.lru_cache(maxsize=256)
def _check(env: Environment) -> None:
    key = jax.eval_shape(lambda: jax.random.key(0))
    jax.eval_shape(functools.partial(_trace, env, env.spec), key, _struct(env.spec.action_space))


def _name(env: Any) -> str:
    try:
        return env.spec.id
    except Exception as error:
        raise InvalidEnvironmentError(
            f"{type(env).__name__}.spec raises {type(error).__name__}: {error}"
        ) from error


def _check_hashable(env: Any, name: str) -> None:
    try:
        hash(env)
    except TypeError:
        wrong = []
        for f in dataclasses.fields(env) if dataclasses.is_dataclass(env) else ():
            try:
                hash(getattr(env, f.name))
            except TypeError:
                wrong.append(f"{f.name}={getattr(env, f.name)!r:.60}")
        if wrong:
            advice = f"its field {wrong[0]} is not: use a tuple or a number; arrays belong to the parameters"
        else:
            advice = f"write @dataclass(frozen=True) above class {type(env).__name__}"
        raise InvalidEnvironmentError(f"{name}: an environment must be hashable; {advice}") from None


def check_spec(spec: Any, who: str = "an environment") -> None:
    """Raise unless a specification makes sense by itself.

    Raises:
      InvalidEnvironmentError: a field is not what :class:`rlkit.types.EnvSpec` says.
    """
    if not isinstance(spec, EnvSpec):
        raise InvalidEnvironmentError(f"{who}.spec is a {type(spec).__name__}; expected rlkit.types.EnvSpec")

    def refuse(field: str, value: Any, expected: str) -> None:
        raise InvalidEnvironmentError(f"{spec.id}: spec.{field}={value!r}; expected {expected}")

    for field in ("observation_space", "action_space"):
        if not isinstance(getattr(spec, field), Box | Discrete):
            refuse(field, getattr(spec, field), "rlkit.spaces.Box or Discrete")
    if not isinstance(spec.max_steps, int | np.integer) or spec.max_steps < 1:
        refuse("max_steps", spec.max_steps, "a positive integer: the default time limit in steps")
    if spec.fitness_over not in ("mean", "final", "max"):
        refuse("fitness_over", spec.fitness_over, "'mean', 'final' or 'max'")
    if spec.auto_reset is not None and not isinstance(spec.auto_reset, AutoReset):
        refuse("auto_reset", spec.auto_reset, "Fresh(), Pool(k), Chunk(r), Same(), Off() or None")
    seen = set()
    for feature in spec.features:
        if not isinstance(feature, FeatureSpec):
            refuse("features", feature, "a tuple of rlkit.types.FeatureSpec")
        if feature.name in seen:
            refuse("features", feature.name, "each name once")
        seen.add(feature.name)
        try:
            Box(feature.shape, feature.low, feature.high, feature.dtype)
        except ValueError as error:
            raise InvalidEnvironmentError(f"{spec.id}: feature {feature.name!r}: {error}") from None
    with _sentence(f"{spec.id}: spec"):
        observation_encoder(spec.observation_space)


def _kind(tree: Any) -> str:
    fields = getattr(tree, "_fields", None)
    return f"{type(tree).__name__}({', '.join(fields)})" if fields else f"of type {type(tree).__name__}"


def _struct(space: Box | Discrete) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(space.shape, _canonical(space.dtype))


def _canonical(dtype: Any) -> np.dtype:
    return jax.dtypes.canonicalize_dtype(dtype)


def _trace(env: Environment, spec: EnvSpec, key: jax.Array, action: jax.Array) -> None:
    """Call every method with what the others return, and compare."""
    run = functools.partial(_call, env, spec)
    params = run("default_params")
    _check_params_themselves(spec, params)
    params = jax.tree.map(jnp.asarray, params)
    state = run("initial", key, params)
    _check_leaves(spec, "initial", state)
    after = run("transition", key, state, action, params)
    _check_same(spec, state, after)
    _check_array(
        spec, "observe()", run("observe", key, state, params), _struct(spec.observation_space), _OBSERVATION
    )
    before = run("features", state, params)
    _check_features(spec, private_features(env), before)
    paid = run("task_reward", before, action, run("features", after, params), params)
    _check_reward(spec, paid)
    for method in ("terminated", "success"):
        _check_flag(spec, method, run(method, state, action, after, params))
    _check_number(spec, "fitness()", run("fitness", state, params))


_OBSERVATION = "change spec.observation_space, or what observe() returns (jnp.concatenate joins parts)"


def _call(env: Environment, spec: EnvSpec, method: str, *args: Any) -> Any:
    with _sentence(f"{spec.id}: {method}()"):
        return getattr(env, method)(*args)


@contextlib.contextmanager
def _sentence(where: str) -> Iterator[None]:
    """Errors inside a method name the method."""
    try:
        yield
    except RlkitError as error:
        if isinstance(error, InvalidEnvironmentError):
            raise
        raise InvalidEnvironmentError(f"{where}: {error}") from error
    except _TRACING as error:
        first = str(error).strip().split("\n")[0]
        raise InvalidEnvironmentError(
            f"{where} cannot be traced by JAX: {first} Use jnp.where or jax.lax.cond instead of if, jnp "
            "instead of numpy and math; an environment that must run Python has pure=False in its spec"
        ) from error
    except Exception as error:
        raise InvalidEnvironmentError(f"{where} raises {type(error).__name__}: {error}") from error


def _check_params_themselves(spec: EnvSpec, params: Any) -> None:
    if not hasattr(params, "max_steps"):
        raise InvalidEnvironmentError(
            f"{spec.id}: default_params() returns {_kind(params)} without max_steps; return a NamedTuple "
            "with at least max_steps=jnp.int32(...), the time limit in steps"
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float):
            raise InvalidEnvironmentError(
                f"{spec.id}: default_params(){jax.tree_util.keystr(path)} is of type {type(leaf).__name__}; "
                "parameters are numbers and arrays; other choices are fields of the environment"
            )
    limit = params.max_steps
    if jnp.shape(limit) != () or not jnp.issubdtype(jnp.result_type(limit), np.integer):
        raise InvalidEnvironmentError(
            f"{spec.id}: default_params().max_steps is {_described(limit)}; expected an int32 scalar: "
            f"jnp.int32({spec.max_steps})"
        )


def _described(value: Any) -> str:
    """A value by what matters: its dtype and shape, or its type."""
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, bool | int | float):
        return f"the Python number {value!r}"
    return f"of type {type(value).__name__}"


def _check_leaves(spec: EnvSpec, method: str, state: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        at = f"{spec.id}: {method}() returns a state whose leaf {jax.tree_util.keystr(path) or 'itself'}"
        if isinstance(leaf, bool | int | float):
            dtype = {bool: "bool_", int: "int32", float: "float32"}[type(leaf)]
            raise InvalidEnvironmentError(
                f"{at} is {_described(leaf)}; expected an array: write jnp.{dtype}({leaf!r})"
            )
        if not isinstance(leaf, jax.Array | np.ndarray):
            raise InvalidEnvironmentError(
                f"{at} is {_described(leaf)}; states are pytrees of arrays, e.g. a NamedTuple: what does not "
                "change belongs into the fields of the environment"
            )
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise InvalidEnvironmentError(f"{at} is a PRNG key; keys are arguments: keep them out of states")
        if leaf.dtype != _canonical(leaf.dtype):
            raise InvalidEnvironmentError(
                f"{at} is {_described(leaf)} of NumPy; use jnp or a dtype of 32 bits"
            )


def _check_same(spec: EnvSpec, state: Any, after: Any) -> None:
    _check_leaves(spec, "transition", after)
    mine, theirs = (dict(_by_path(tree)) for tree in (state, after))
    if jax.tree.structure(state) != jax.tree.structure(after):
        lost, new = sorted({*mine} - {*theirs}), sorted({*theirs} - {*mine})
        parts = [f"lacks {', '.join(lost)}"] * bool(lost) + [f"adds {', '.join(new)}"] * bool(new)
        what = " and ".join(parts) or f"is {_kind(after)} instead of {_kind(state)}"
        raise InvalidEnvironmentError(
            f"{spec.id}: transition() returns another structure than initial(): it {what}; both must return "
            "the same type with the same leaves"
        )
    for path, leaf in mine.items():
        new = theirs[path]
        if new.shape != leaf.shape or new.dtype != leaf.dtype:
            raise InvalidEnvironmentError(
                f"{spec.id}: transition() returns the leaf {path or 'itself'} as {_described(new)}, "
                f"initial() as {_described(leaf)}; start with the dtype and shape that transition() returns, "
                f"or convert there (.astype(jnp.{leaf.dtype.name}))"
            )


def _by_path(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _check_array(spec: EnvSpec, what: str, value: Any, expected: jax.ShapeDtypeStruct, advice: str) -> None:
    wanted = f"{expected.dtype}{list(expected.shape)}"
    if not isinstance(value, jax.Array | np.ndarray | np.generic):
        got = "a dictionary" if isinstance(value, dict) else _described(value)
        raise InvalidEnvironmentError(
            f"{spec.id}: {what} is {got}; expected one array {wanted}, as the specification says: {advice}"
        )
    if value.shape != expected.shape or not _compatible(value.dtype, expected.dtype):
        raise InvalidEnvironmentError(
            f"{spec.id}: {what} is {_described(value)}; the specification says {wanted}: {advice}"
        )


def _compatible(dtype: Any, expected: Any) -> bool:
    """Whether a value may stand for one of the expected dtype: with 64-bit JAX the widths of defaults differ,
    and values are converted where they enter (:mod:`rlkit.envs.core`)."""
    if dtype == expected:
        return True
    wide = {"float64": "float32", "int64": "int32"}  # dtypes that exist with 64-bit JAX only
    return wide.get(np.dtype(dtype).name) == np.dtype(expected).name


def _check_features(spec: EnvSpec, private: tuple[FeatureSpec, ...], features: Any) -> None:
    if not isinstance(features, dict):
        raise InvalidEnvironmentError(
            f"{spec.id}: features() is {_described(features)}; expected a dictionary of arrays by name"
        )
    specs = (*spec.features, *private)
    names = {feature.name for feature in specs}
    missing, extra = sorted(names - {*features}), sorted({*features} - names)
    if missing:
        raise InvalidEnvironmentError(
            f"{spec.id}: features() lacks {', '.join(missing)}, which spec.features lists; it returns "
            f"{', '.join(sorted(features)) or 'none'}"
        )
    if extra:
        raise InvalidEnvironmentError(
            f"{spec.id}: features() returns {', '.join(extra)}, which spec.features does not list; "
            "add a FeatureSpec"
        )
    for feature in specs:
        expected = jax.ShapeDtypeStruct(tuple(feature.shape), _canonical(feature.dtype))
        advice = "change its FeatureSpec or what features() returns"
        _check_array(spec, f"the feature {feature.name!r}", features[feature.name], expected, advice)


def _check_reward(spec: EnvSpec, paid: Any) -> None:
    if not isinstance(paid, tuple) or len(paid) != 2 or not isinstance(paid[1], dict):
        raise InvalidEnvironmentError(
            f"{spec.id}: task_reward() is {_described(paid)}; expected (reward, terms): write "
            "return reward, {} if it has no named terms"
        )
    reward, terms = paid
    _check_number(spec, "the reward of task_reward()", reward)
    for name, term in terms.items():
        _check_number(spec, f"the term {name!r} of task_reward()", term)


def _check_number(spec: EnvSpec, what: str, value: Any) -> None:
    if isinstance(value, float):
        return
    advice = "convert it with .astype(jnp.float32)"
    if isinstance(value, jax.Array | np.ndarray) and value.shape != ():
        advice = "take one entry, or sum them"
    _check_array(spec, what, value, jax.ShapeDtypeStruct((), np.dtype("float32")), advice)


def _check_flag(spec: EnvSpec, method: str, value: Any) -> None:
    if isinstance(value, bool):
        return
    advice = "compare (x > limit), or convert it with .astype(bool)"
    if isinstance(value, jax.Array | np.ndarray) and value.shape != ():
        advice = "take one entry, or use .any()"
    _check_array(spec, f"{method}()", value, jax.ShapeDtypeStruct((), np.dtype(bool)), advice)
