"""Checks of what a reward is, before it is trained: its contract, and what it pays on single steps.

Each returns a :class:`rlkit.design.types.Verdict` whose reason can be shown to a model: it quotes names of
features and terms and numbers, nothing else.
"""

from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jaxpr_core

from rlkit.design.evidence import Evidence, extremes, sample, steps_of
from rlkit.design.paying import on_steps, repeated
from rlkit.design.types import Verdict
from rlkit.errors import RlkitError
from rlkit.reads import example_transition, reward_reads
from rlkit.rewards.language import LIMITS
from rlkit.types import EnvSpec, PyTree, Reward, Transition

_FORBIDDEN = ("callback", "infeed", "outfeed", "while", "random", "threefry", "custom_call", "print")
_SAMPLES = 512


def abstract(reward: Reward, spec: EnvSpec) -> Verdict:
    """Whether a reward keeps its contract, by tracing it with shapes alone.

    One float per step and named terms, of features that it may read; a memory that keeps its shapes; no
    loops, callbacks or randomness, no large values.

    Args:
      reward: the reward.
      spec: of the environment, with the features that it may read.
    """
    try:
        reads = reward_reads(reward, spec)
        example = example_transition(spec)
        memory = jax.eval_shape(lambda: reward.init(jax.random.key(0)))
        traced = jax.make_jaxpr(reward.apply, return_shape=True)(memory, example, reward.params)
    except RlkitError as error:
        return Verdict("abstract", False, str(error))
    except Exception as error:
        # The text of other errors may quote anything.
        return Verdict("abstract", False, f"it cannot be traced: {type(error).__name__}")
    program, (after, total, terms) = traced
    for name, value in {"the total": total, **{f"the term {n!r}": x for n, x in terms.items()}}.items():
        if value.shape != () or value.dtype != jnp.float32:
            reason = f"{name} is {value.dtype}{list(value.shape)}; expected one float32 number"
            return Verdict("abstract", False, reason)
    if _shapes(memory) != _shapes(after):
        return Verdict("abstract", False, "its memory changes its structure, shape or dtype in a step")
    problem = _operations(program.jaxpr)
    return Verdict("abstract", not problem, problem, numbers={"fields": float(len(reads))})


def _shapes(tree: PyTree) -> tuple:
    return jax.tree.structure(tree), [(x.shape, x.dtype) for x in jax.tree.leaves(tree)]


def _operations(program: jaxpr_core.Jaxpr) -> str:
    """What a traced reward must not do; empty if it does none of it."""
    reductions = 0
    if program.effects:
        return "it has effects beside its values; a reward is a pure function"
    for equation in _equations(program):
        name = equation.primitive.name
        if any(word in name for word in _FORBIDDEN):
            return f"it uses {name}, which a reward must not"
        reductions += name.startswith(("reduce_", "dot_general", "cum"))
        for out in equation.outvars:
            size = int(np.prod(getattr(out.aval, "shape", ())))
            if size > LIMITS.elements:
                return f"it makes a value of {size} entries; the limit is {LIMITS.elements}"
    # A norm is one reduction of the language and up to two of what is traced.
    if reductions > 2 * LIMITS.reductions:
        return f"it has {reductions} reductions; the limit is {2 * LIMITS.reductions}"
    return ""


def _equations(program: jaxpr_core.Jaxpr) -> Iterator:
    for equation in program.eqns:
        yield equation
        for value in jax.tree.leaves(tuple(equation.params.values()), is_leaf=_is_program):
            if _is_program(value):
                yield from _equations(getattr(value, "jaxpr", value))


def _is_program(value: object) -> bool:
    return isinstance(value, jaxpr_core.Jaxpr | jaxpr_core.ClosedJaxpr)


def probe(
    reward: Reward,
    spec: EnvSpec,
    evidence: Evidence,
    *,
    largest: float = 1e3,
    terms_add_up: bool = True,
    gradient: bool = False,
    names: Mapping[str, str] | None = None,
) -> Verdict:
    """Whether a reward pays sensible numbers on steps that were seen and on states at the ends of ranges.

    Finite everywhere (also with its gradient where that is asked for); below a bound, not constant, with
    terms that are not all zero and add up on what was seen; the same for one step alone as in a batch, and
    when it is computed again.

    Args:
      reward: the reward.
      spec: of the environment, with the features that it may read.
      evidence: of the task.
      largest: bound of its magnitude.
      terms_add_up: the terms must sum to the total; constructors behind ``chain`` promise no such thing.
      gradient: the gradient by float features must be finite as well.
      names: a candidate's own names of terms, by those of the reward; others are not looked at. None: as the
        reward has them.
    """
    chance = np.random.default_rng(0)
    steps = sample(steps_of(evidence.episodes), chance, _SAMPLES)
    total, terms = on_steps(reward, steps)
    terms = terms if names is None else {own: terms[name] for name, own in names.items()}
    edges, places = extremes(steps, spec.features)
    at_edges, _ = on_steps(reward, edges) if places else (np.zeros(0), {})
    low, high = (float(f(total)) for f in (np.min, np.max))
    with np.errstate(invalid="ignore"):  # what is infinite has no deviation
        numbers = {"low": low, "high": high, "deviation": float(np.std(total))}
    fail = lambda reason: Verdict("probe", False, reason, numbers=numbers)
    if not np.isfinite(total).all():
        return fail(_where(~np.isfinite(total), steps))
    if not np.isfinite(at_edges).all():
        return fail(f"it is not finite at {places[int(np.argmax(~np.isfinite(at_edges)))]}")
    if max(-low, high) > largest:
        return fail(f"it pays between {low:.4g} and {high:.4g}; at most {largest:g} in magnitude is sensible")
    if high - low <= 1e-6 * max(abs(low), abs(high), 1e-30):
        return fail(f"it pays {low:.4g} for every step that was seen; it tells nothing apart")
    for name, value in terms.items():
        if not np.isfinite(value).all():
            return fail(f"the term {name!r} is not finite")
    if terms and not any(np.any(value) for value in terms.values()):
        return fail("all its terms are 0 on what was seen")
    gap = np.abs(total - sum(terms.values())) if terms and terms_add_up else np.zeros(1)
    if gap.max() > 1e-4 * max(1.0, abs(low), abs(high)):
        return fail(f"its terms do not add up to the total: they differ by up to {gap.max():.4g}")
    if problem := _unsteady(reward, steps, total):
        return fail(problem)
    if gradient and (name := _bad_gradient(reward, jax.tree.map(_both, steps, edges))):
        return fail(f"its gradient by {name} is not finite everywhere")
    silent = [name for name, value in terms.items() if not np.any(value)]
    said = f"never paid on what was seen: {', '.join(silent)}" if silent else ""
    return Verdict("probe", True, said, numbers=numbers)


def _both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.concatenate([a, b])


def _where(bad: np.ndarray, steps: Transition) -> str:
    i = int(np.argmax(bad))
    flags = [name for name in ("success", "terminated", "first") if getattr(steps, name)[i]]
    place = f" (a step with {' and '.join(flags)})" if flags else ""
    return f"it is not finite on {int(bad.sum())} of {bad.size} steps that were seen{place}"


def _unsteady(reward: Reward, steps: Transition, total: np.ndarray) -> str:
    few = jax.tree.map(lambda x: x[:8], steps)
    memory = reward.init(jax.random.key(0))
    near = lambda a, b: np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
    again, _ = on_steps(reward, jax.tree.map(lambda x: x[:8], steps))
    if not np.array_equal(again, total[:8]) and not near(again, total[:8]):
        return "it pays another amount when it is computed again"
    one = jax.vmap(lambda t: reward.apply(memory, t, reward.params)[1], axis_name="slots")
    alone = [float(one(jax.tree.map(lambda x, i=i: jnp.asarray(x[i : i + 1]), few))[0]) for i in range(8)]
    if not near(alone, total[:8]):
        return "it pays another amount for a step alone than for the same step in a batch"
    return ""


def _bad_gradient(reward: Reward, steps: Transition) -> str:
    """The name of a feature by which the reward has no finite gradient somewhere; empty if there is none."""
    memory = reward.init(jax.random.key(0))

    def paid(sides: tuple[dict, dict], t: Transition) -> jax.Array:
        t = t._replace(features=t.features | sides[0], next_features=t.next_features | sides[1])
        return reward.apply(memory, t, reward.params)[1]

    def slopes(t: Transition) -> tuple[dict, dict]:
        floating = lambda side: {n: x for n, x in side.items() if jnp.issubdtype(x.dtype, jnp.floating)}
        return jax.grad(paid)((floating(t.features), floating(t.next_features)), t)

    found = jax.device_get(jax.vmap(slopes, axis_name="slots")(jax.tree.map(jnp.asarray, steps)))
    for side in found:
        for name, value in side.items():
            if not np.isfinite(value).all():
                return name
    return ""


def clock(reward: Reward, spec: EnvSpec, evidence: Evidence) -> Verdict:
    """Whether a reward pays by the count of steps: a warning.

    A feature that grows by the same amount in every step is a clock; the reward depends on it if it
    pays otherwise with the clock set to another hour. A memory is a clock if a step that is repeated without
    end is still paid something new after a hundred times.
    """
    steps = steps_of(evidence.episodes)
    few = sample(steps, np.random.default_rng(0), 64)
    total, _ = on_steps(reward, few)
    for feature in spec.features:
        before, after = (side[feature.name].astype(float) for side in (steps.features, steps.next_features))
        grows = (after - before).reshape(len(before), -1)
        if not (feature.shape == () and grows.any() and np.ptp(grows) < 1e-6 * max(1.0, np.abs(grows).max())):
            continue
        later = {feature.name: few.features[feature.name] + (37 * grows[0, 0]).astype(feature.dtype)}
        after = {feature.name: few.next_features[feature.name] + (37 * grows[0, 0]).astype(feature.dtype)}
        moved = few._replace(features=few.features | later, next_features=few.next_features | after)
        if not np.allclose(on_steps(reward, moved)[0], total, rtol=1e-4, atol=1e-6):
            reason = (
                f"it pays by {feature.name!r}, which only counts steps: being there pays, whatever is done"
            )
            return Verdict("clock", False, reason, blocks=False)
    if jax.tree.leaves(reward.init(jax.random.key(0))) and (change := _drift(reward, few)) > 1e-4:
        reason = (
            "repeating one and the same step for ever keeps changing what it pays: its memory counts steps"
        )
        return Verdict("clock", False, reason, blocks=False, numbers={"change": change})
    return Verdict("clock", True, blocks=False)


def _drift(reward: Reward, few: Transition) -> float:
    """How much the pay for a repeated step still changes between repetitions 100 and 200."""
    paid = repeated(reward, few._replace(features=few.next_features), 200)
    return float(np.median(np.abs(paid[:, 199] - paid[:, 100])))
