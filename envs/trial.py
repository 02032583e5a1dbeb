"""Running an environment for a while with random actions, and saying what looks wrong.

What abstract values cannot show: numbers that are not finite, values outside the ranges that the
specification promises, and steps that differ when they are repeated.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.envs.check import check_environment
from rlkit.envs.source import host_failures, rollout, start
from rlkit.errors import check_count
from rlkit.keys import typed_key
from rlkit.spaces import Box, Space
from rlkit.types import Environment, PyTree, Trajectory


class Trial(NamedTuple):
    """What random actions showed."""

    findings: tuple[str, ...]  # sentences; none if nothing looks wrong
    steps: int  # environment steps
    episodes: int  # that ended
    terminated: int  # of them by themselves
    successes: int  # steps with success


def trial(
    env: Environment, key: Any = 0, num_steps: int = 300, num_envs: int = 4, params: Any = None
) -> Trial:
    """Check an environment, run it with random actions, twice, and look at what came out.

    Args:
      env: the environment; one on the host resets by itself, see :mod:`rlkit.envs.host`.
      key: PRNG key or seed.
      num_steps: steps of each environment.
      num_envs: environments side by side; each draws its own states and actions.
      params: its parameters; None takes the default ones.

    Returns:
      What looks wrong, and what was seen.

    Raises:
      InvalidEnvironmentError: the environment contradicts itself, see :func:`rlkit.envs.check_environment`.
      HostError: one on the host failed.
    """
    check_environment(env)
    key, num_steps = typed_key(key), check_count("num_steps", num_steps)
    params = env.default_params() if params is None else params

    @jax.jit
    def run(key: jax.Array) -> Trajectory:
        key_start, key_act, key_run = jax.random.split(key, 3)
        act = lambda carry, obs, first, keys: (jax.vmap(env.spec.action_space.sample)(keys), carry, {})
        inputs = jax.random.split(key_act, (num_steps, num_envs))
        slots = start(env, key_start, params, num_envs, auto_reset=Fresh())
        return rollout(env, act, (), slots, key_run, params, num_steps, inputs=inputs, auto_reset=Fresh())[2]

    with host_failures(env):
        seen, again = (jax.device_get(run(key)) for _ in range(2))
    step = seen.transition
    findings = [*_ranges(env, seen), *_repeats(env, seen, again)]
    return Trial(
        findings=tuple(findings),
        steps=step.terminated.size,
        episodes=int(step.done.sum()),
        terminated=int(step.terminated.sum()),
        successes=int(step.success.sum()),
    )


def _ranges(env: Environment, seen: Trajectory) -> list[str]:
    step, spec = seen.transition, env.spec
    found = []
    for name, values in (("obs", step.obs), ("next_obs", step.next_obs)):
        found += _look(
            f"the observation ({name})", values, *_bounds(spec.observation_space), "observation_space"
        )
    for feature in spec.features:
        for values in (step.features[feature.name], step.next_features[feature.name]):
            said = f"the FeatureSpec of {feature.name!r}"
            found += _look(f"the feature {feature.name!r}", values, feature.low, feature.high, said)
    found += _look("the reward", seen.reward, -np.inf, np.inf, "")
    for name, values in seen.terms.items():
        found += _look(f"the reward's term {name!r}", values, -np.inf, np.inf, "")
    if seen.terms:
        total, parts = np.asarray(seen.reward, float), sum(np.asarray(v, float) for v in seen.terms.values())
        if not np.allclose(total, parts, rtol=1e-4, atol=1e-5, equal_nan=True):
            found.append(
                f"the reward's terms do not sum to it: they differ by up to {np.abs(total - parts).max():.3g}"
            )
    return list(dict.fromkeys(found))


def _bounds(space: Space) -> tuple[Any, Any]:
    return space.bounds() if isinstance(space, Box) else (space.start, space.last)


def _look(what: str, values: Any, low: Any, high: Any, said: str) -> list[str]:
    """Sentences about values ``[T, B, ...]``."""
    x = np.asarray(values, np.float64)
    for kind, bad in (("NaN", np.isnan(x)), ("infinite", np.isinf(x))):
        if bad.any():
            t, *_ = np.argwhere(bad)[0]
            return [f"{what} is {kind} first at step {t}"]
    slack = 1e-5 * np.maximum(1.0, np.abs(x))  # float32 arithmetic
    below, above = x < np.asarray(low, np.float64) - slack, x > np.asarray(high, np.float64) + slack
    found = []
    for beyond, bound, extreme in ((below, "low", x.min()), (above, "high", x.max())):
        if beyond.any():
            place = list(np.argwhere(beyond)[0][2:])
            at = f" at entry {[int(i) for i in place]}" if place else ""
            found.append(f"{what} goes to {extreme:.6g}{at}, beyond the {bound} of {said}")
    return found


def _repeats(env: Environment, seen: PyTree, again: PyTree) -> list[str]:
    """Whether the same keys and actions gave the same numbers."""
    advice = "use the key only"
    if not env.spec.pure:
        advice = (
            "draw from the generator that reset(seed=...) sets (self.np_random of Gymnasium), not from the "
            "global np.random, and keep nothing between episodes"
        )
    for (path, one), two in zip(
        jax.tree_util.tree_leaves_with_path(seen), jax.tree.leaves(again), strict=True
    ):
        if not np.array_equal(one, two, equal_nan=jnp.issubdtype(one.dtype, np.floating)):
            return [f"{jax.tree_util.keystr(path)} differs when the same steps are repeated: {advice}"]
    return []
