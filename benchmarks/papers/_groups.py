"""Group-relative training of softmax policies without a network: hundreds of updates of many seeds at once.

A policy is a table of logits for each prompt and place; a task says what a completion is worth. All seeds of
a method are one compiled program; all methods of an experiment get the same keys, updates and samples.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlkit import group

# Programs of a fraction of a second: compiling them well would take ten times as long as running them. Read
# when JAX starts, which importing it does not.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"

Params = Any


class Task(NamedTuple):
    """What is learned."""

    init: Callable[[jax.Array], Params]
    """``init(key) -> params``"""

    logits: Callable[[Params, jax.Array], jax.Array]
    """``logits(params, index int32 [P]) -> [P, T, V]``: places are independent"""

    columns: Callable[..., dict[str, jax.Array]]
    """``columns(key, params, index, tokens [P, G, T], mask) -> columns``"""

    evaluate: Callable[[Params, jax.Array], dict[str, jax.Array]]
    """``evaluate(params, key) -> metrics []``"""

    prompts: int
    end: int | None = None  # the token that ends a completion; it counts, what follows does not
    refine: Callable[..., tuple[jax.Array, jax.Array]] | None = None
    """``refine(key, params, index, tokens, columns) -> (tokens, off_policy bool [P, G])``"""


class Setting(NamedTuple):
    """How it is trained; the same for all methods of an experiment."""

    steps: int = 200
    batch: int = 16  # prompts
    group: int = 8
    rate: float = 0.1
    epochs: int = 1
    seeds: int = 16
    optimiser: Callable[[float], optax.GradientTransformation] = optax.adam
    reference: bool = False


def table_of(prompts: int, places: int, symbols: int, scale: float = 0.0) -> tuple[Callable, Callable]:
    """``init`` and ``logits`` of a table; ``scale`` is the deviation of its first logits."""
    init = lambda key: scale * jax.random.normal(key, (prompts, places, symbols))
    return init, lambda params, index: params[index]


def log_probs(task: Task, params: Params, index: jax.Array, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Log-probabilities and entropies of tokens, ``[P, G, T]``."""
    every = jax.nn.log_softmax(task.logits(params, index))[:, None]
    entropy = -jnp.sum(jnp.exp(every) * every, -1)
    chosen = jnp.take_along_axis(
        jnp.broadcast_to(every, (*tokens.shape, every.shape[-1])), tokens[..., None], -1
    )
    return chosen[..., 0], jnp.broadcast_to(entropy, tokens.shape)


def written(tokens: jax.Array, end: int | None) -> jax.Array:
    """1 up to the first end token, which counts."""
    if end is None:
        return jnp.ones(tokens.shape, jnp.float32)
    stops = (tokens == end).astype(jnp.int32)
    return (jnp.cumsum(stops, -1) - stops == 0).astype(jnp.float32)


def rollout(task: Task, key: jax.Array, params: Params, setting: Setting, start: Params) -> group.Completions:
    """Groups of completions of prompts that are drawn, with what the task says about them."""
    which, sample, say, again = jax.random.split(key, 4)
    index = jax.random.permutation(which, jnp.arange(max(setting.batch, task.prompts)) % task.prompts)[
        : setting.batch
    ]
    logits = task.logits(params, index)[:, None]
    shape = (setting.batch, setting.group, logits.shape[2])
    tokens = jax.random.categorical(sample, jnp.broadcast_to(logits, (*shape, logits.shape[-1])))
    mask = written(tokens, task.end)
    columns, away = task.columns(say, params, index, tokens, mask), None
    if task.refine is not None:
        tokens, away = task.refine(again, params, index, tokens, columns)
        mask = written(tokens, task.end)
        columns = task.columns(say, params, index, tokens, mask)
    behaviour, _ = log_probs(task, params, index, tokens)
    return group.Completions(
        prompt=index[:, None], prompt_mask=jnp.ones((setting.batch, 1)), tokens=tokens, mask=mask,
        behaviour_log_prob=behaviour, rewards={}, off_policy=away, extras=columns,
        reference_log_prob=log_probs(task, start, index, tokens)[0] if setting.reference else None,
    )  # fmt: skip


class State(NamedTuple):
    params: Params
    start: Params
    optimiser: Any
    pipe: Any
    control: Any


def train(task: Task, method: group.Method, setting: Setting, seed: int = 0) -> dict[str, np.ndarray]:
    """Train all seeds; metrics ``[seeds, steps]`` after each update, and ``grad_norm``, ``loss``."""
    optimiser = setting.optimiser(setting.rate)

    def step(state: State, now: tuple[jax.Array, jax.Array]) -> tuple[State, dict[str, jax.Array]]:
        number, key = now
        draw, stages, look = jax.random.split(key, 3)
        batch = rollout(task, draw, state.params, setting, state.start)
        ctx = group.Context(number, jnp.int32(setting.steps), stages)
        pipe, credit, told = method.pipeline.apply(state.pipe, (), batch, ctx)
        plan = method.controller.plan(state.control, method.loss, batch, credit, ctx)
        params, inner, norm = state.params, state.optimiser, jnp.zeros(())
        for update in plan.updates:
            for _ in range(setting.epochs):
                params, inner, size = descend(task, optimiser, plan.loss, params, inner, update)
                norm = jnp.maximum(norm, size)
        state = State(params, state.start, inner, pipe, plan.state)
        seen = task.evaluate(params, look) | {"grad_norm": norm, "reward": told["reward/mean"]}
        return state, seen

    def life(key: jax.Array) -> dict[str, jax.Array]:
        first, example, rest = jax.random.split(key, 3)
        params = task.init(first)
        shapes = jax.eval_shape(lambda k: rollout(task, k, params, setting, params), example)
        control = method.controller.init(shapes)
        state = State(params, params, optimiser.init(params), method.pipeline.init(), control)
        keys = jax.random.split(rest, setting.steps)
        return jax.lax.scan(step, state, (jnp.arange(setting.steps), keys))[1]

    out = jax.jit(jax.vmap(life))(jax.random.split(jax.random.key(seed), setting.seeds))
    return jax.tree.map(np.asarray, out)


def descend(task, optimiser, config, params, inner, update):
    """One gradient step; none where nothing counts."""

    def loss(params):
        index = update.batch.prompt[:, 0]
        log_prob, entropy = log_probs(task, params, index, update.batch.tokens)
        return group.objective(config, log_prob, update, entropy)[0]

    gradient = jax.grad(loss)(params)
    changes, after = optimiser.update(gradient, inner, params)
    counts = jnp.any(update.mask > 0)
    choose = lambda new, old: jax.tree.map(lambda a, b: jnp.where(counts, a, b), new, old)
    return (
        choose(optax.apply_updates(params, changes), params),
        choose(after, inner),
        optax.global_norm(gradient),
    )


def at_end(curves: dict[str, np.ndarray], *names: str, last: int = 5) -> dict[str, np.ndarray]:
    """The mean of the last updates, ``[seeds]`` by name."""
    return {name: curves[name][:, -last:].mean(1) for name in names}


def first_above(curve: np.ndarray, bound: float) -> np.ndarray:
    """The update in which a curve ``[seeds, steps]`` first reaches a bound; one past the last if never."""
    reached = curve >= bound
    return np.where(reached.any(1), reached.argmax(1) + 1, curve.shape[1] + 1).astype(float)
