"""Learning from preferences: an agent whose reward is learnt while it learns.

Collect, let the agent learn; now and then draw pairs of segments from what was collected, ask a teacher about
the most informative, fit an ensemble of reward models to all answers so far, and pay the whole replay buffer
anew. All of it is one ``step``, without a call to the host, so that a population of seeds and settings runs
in one compiled program (Christiano et al. 2017, arXiv 1706.03741; PEBBLE, Lee et al. 2021, arXiv
2106.05091).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.agents.collecting import stepping, with_reward_params
from rlkit.bulk import around
from rlkit.draws import Draw, raw, split
from rlkit.errors import UsageError
from rlkit.fields import check
from rlkit.keys import typed_key
from rlkit.normalize import RunningMoments
from rlkit.prefs.checks import share_of
from rlkit.prefs.feedback.config import check_fault, check_feedback, fit_config, model_config, teacher_of
from rlkit.prefs.feedback.exploring import SAMPLE, paid_for_novelty
from rlkit.prefs.feedback.fitting import fit_steps, margins, optimiser_of
from rlkit.prefs.feedback.inputs import Inputs, inputs, segments
from rlkit.prefs.feedback.models import build
from rlkit.prefs.feedback.queries import choose
from rlkit.prefs.feedback.scoring import scorer, steps_of
from rlkit.prefs.feedback.teachers import segment_return, simulate
from rlkit.prefs.types import PairBatch, RewardModel, Segment
from rlkit.reads import reward_reads
from rlkit.replay import Replay, add_steps, draw_windows, empty_replay
from rlkit.rewards import init_slots, relabel, relabel_replay, task
from rlkit.types import Agent, Environment, Key, Metrics, PyTree, Reward, Trajectory


class FeedbackState(NamedTuple):
    """Everything that learning needs; the weights of the reward are in the agent's own state, which is paid
    by them."""

    agent: PyTree
    optimiser: PyTree  # of the reward models, leaves [M, ...]
    answers: PairBatch  # rows [queries]; those not yet asked weigh 0
    asked: jax.Array  # int32 []: questions so far, those that the teacher skipped among them
    fitted: jax.Array  # int32 []: gradient steps of the reward models
    updates: jax.Array  # int32 []
    pool: Any  # Replay of steps, where the agent has no replay buffer, else ()
    novelty: Any  # RunningMoments [] of how new states are, if the agent explores first, else ()
    key: Key


class _Spec(NamedTuple):
    """The static side."""

    agent: Agent
    config: Any
    model: RewardModel  # one member, or those that share layers
    whole: RewardModel  # the ensemble
    inputs: Inputs
    states: Inputs  # what novelty is measured by
    criterion: Reward  # what the teacher judges by
    buffers: tuple[str, ...]  # fields of the agent's state that are replay buffers
    first: int  # update of the first questions
    every: int  # updates between questions


METRICS = ("asked", "loss", "accuracy", "informed", "correlation")


def from_preferences(
    maker: Callable[..., Agent], env: Environment, config: Any, criterion: Reward | None = None
) -> Agent:
    """An agent that is paid by a reward learnt from comparisons of segments, and never sees any other.

    Args:
      maker: of the agent that learns, ``maker(env, config, reward, record=...)``, like
        :func:`rlkit.agents.sac.sac`.
      env: the environment.
      config: hyper-parameters of that agent and :class:`rlkit.prefs.feedback.config.FeedbackConfig` in one.
      criterion: what the simulated teacher judges segments by; None: the environment's own reward.

    Returns:
      The agent. ``settings(state).reward_params`` are the weights of the ensemble. Its metrics are those of
      the agent, whose ``episode/paid`` is the learnt reward, and ``feedback/*``: the questions ``asked`` so
      far, and where some were, the ``loss`` and ``accuracy`` of the reward models on the answers, the share
      of ``informed`` answers, which agree with the criterion, and the ``correlation`` of the learnt reward
      with it over the steps of the segments that were drawn.

    Raises:
      UsageError: settings that do not fit together, or an agent that cannot be paid anew.
      UnknownNameError: a part of transitions to read, or a feature of the criterion, does not exist.
    """
    check(config)
    check_feedback(config)
    criterion = task() if criterion is None else criterion
    model, whole, seen, _ = build(env.spec, model_config(config))
    reward = scorer(whole, seen, whole.init(jax.random.key(0)), members=config.reward_join)
    agent = maker(env, config, reward, record=reward_reads(criterion, env.spec))
    if agent.collect is None or agent.learn is None:
        raise UsageError(f"the agent of {agent.title} has no `collect` and `learn` to ask questions between")
    per_update = agent.steps_per_update
    spec = _Spec(
        agent=agent,
        config=config,
        model=model,
        whole=whole,
        inputs=seen,
        states=inputs(env.spec, ("obs",)) if config.explore else seen,
        criterion=criterion,
        buffers=_buffers(agent),
        first=-(-config.query_starts // per_update),
        every=max(1, round(config.query_every / per_update)),
    )
    begin = functools.partial(_init, spec)
    room = _steps(spec, jax.eval_shape(begin, jax.random.key(0))).capacity
    if room < config.segment:
        name = "buffer_size" if spec.buffers else "pool_size"
        raise UsageError(
            f"{name}={getattr(config, name)}: {room} steps of each of {config.num_envs} environments, and a "
            f"segment has {config.segment}: no question could be asked; expected at least "
            f"{name}={config.segment * config.num_envs}"
        )
    collect, learn = functools.partial(_collect, spec), functools.partial(_learn, spec)
    pools = () if spec.buffers else ("pool.stored",)
    adopt = agent.adopt
    return agent._replace(
        init=begin,
        step=stepping(collect, learn),
        collect=collect,
        learn=learn,
        adopt=None if adopt is None else lambda state, trajectory: adopt(state.agent, trajectory),
        policy=lambda state: agent.policy(state.agent),
        settings=lambda state: agent.settings(state.agent),
        config=config,
        undefined=(*agent.undefined, "feedback/"),
        bulk=(*(f"agent.{name}" for name in agent.bulk), *pools),
    )


def _buffers(agent: Agent) -> tuple[str, ...]:
    """The fields of the agent's state that are replay buffers, which must be its direct fields."""
    state = jax.eval_shape(agent.init, jax.random.key(0))
    again = lambda state: with_reward_params(state, agent.settings(state).reward_params)
    jax.eval_shape(again, state)  # raises if it cannot be paid by other weights
    found = around(agent.bulk)
    for name in found:
        if not isinstance(getattr(state, name, None), Replay):
            raise UsageError(f"{type(state).__name__}.{name} is no replay buffer that could be paid anew")
    return found


def _init(
    spec: _Spec,
    key: Key,
    config: Any = None,
    env_params: PyTree = None,
    reward_params: PyTree = None,
) -> FeedbackState:
    """See :class:`rlkit.types.Agent`; ``reward_params`` are weights to begin with, None draws them."""
    if config is not None:
        check_fault(config)
    drawn = split(typed_key(key), agent=Draw(), model=Draw(), run=Draw())
    params = spec.whole.init(drawn["model"]) if reward_params is None else reward_params
    inner = spec.agent.init(drawn["agent"], config, env_params, params)
    fits = fit_config(spec.config if config is None else config)
    length, rows = spec.config.segment, spec.config.queries
    side = Segment(jnp.zeros((rows, length, spec.inputs.size)), jnp.zeros((rows, length), bool))
    nothing, zero = jnp.zeros((rows,), jnp.int32), jnp.int32(0)
    return FeedbackState(
        agent=inner,
        optimiser=jax.vmap(optimiser_of(fits).init)(spec.agent.settings(inner).reward_params),
        answers=PairBatch(
            side, jax.tree.map(jnp.copy, side), jnp.full((rows,), 0.5), jnp.zeros((rows,)), nothing,
            jnp.copy(nothing),
        ),
        asked=zero,
        fitted=jnp.copy(zero),
        updates=jnp.copy(zero),
        pool=() if spec.buffers else _pool(spec, inner),
        novelty=RunningMoments.zeros() if spec.config.explore else (),
        key=drawn["run"],
    )  # fmt: skip


def _pool(spec: _Spec, inner: PyTree) -> Replay:
    """An empty store of steps."""
    assert spec.agent.collect is not None
    trajectory = jax.eval_shape(spec.agent.collect, inner)[1]
    row = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[2:], x.dtype), _plain(trajectory))
    steps, envs = trajectory.reward.shape
    return empty_replay(row, max(spec.config.pool_size, steps * envs), envs, steps)


def _plain(trajectory: Trajectory) -> Trajectory:
    """What is stored of a trajectory: no terms, and nothing that the policy reported."""
    return trajectory._replace(terms={}, extras={})


def _collect(spec: _Spec, state: FeedbackState) -> tuple[FeedbackState, Trajectory, Metrics]:
    assert spec.agent.collect is not None
    inner, trajectory, metrics = spec.agent.collect(state.agent)
    return state._replace(agent=inner), trajectory, metrics


def _learn(spec: _Spec, state: FeedbackState, trajectory: Trajectory) -> tuple[FeedbackState, Metrics]:
    """Let the agent learn, then ask questions if it is time."""
    assert spec.agent.learn is not None
    state, trajectory = _explored(spec, state, trajectory)
    inner, metrics = spec.agent.learn(state.agent, trajectory)
    pool = add_steps(state.pool, _plain(trajectory)) if isinstance(state.pool, Replay) else ()
    state = state._replace(agent=inner, pool=pool, updates=state.updates + 1)
    since = state.updates - spec.first
    due = (since >= 0) & (since % spec.every == 0) & (state.asked < spec.config.queries)
    due &= _steps(spec, state).filled >= spec.config.segment  # a buffer that was lost begins anew

    def ask(state: FeedbackState) -> tuple[FeedbackState, Metrics]:
        return _session(spec, state)

    def wait(state: FeedbackState) -> tuple[FeedbackState, Metrics]:
        return state, dict.fromkeys(METRICS[1:], jnp.full((), jnp.nan, jnp.float32))

    state, found = jax.lax.cond(due, ask, wait, state)
    found["asked"] = state.asked.astype(jnp.float32)
    return state, metrics | {f"feedback/{name}": found[name] for name in METRICS}


def _explored(spec: _Spec, state: FeedbackState, trajectory: Trajectory) -> tuple[FeedbackState, Trajectory]:
    """The trajectory, paid for new states as long as no question has been due."""
    if not spec.config.explore:
        return state, trajectory
    bits = jax.random.bits(jax.random.fold_in(state.key, state.updates), (SAMPLE,), jnp.uint32)
    known = spec.states.of(draw_windows(_steps(spec, state), bits).transition)[0]
    moments, paid = paid_for_novelty(
        state.novelty, spec.states.of(trajectory.transition), known, spec.config.explore
    )
    early = state.updates < spec.first
    return state._replace(novelty=moments), trajectory._replace(
        reward=jnp.where(early, paid, trajectory.reward)
    )


def _steps(spec: _Spec, state: FeedbackState) -> Replay:
    """Where segments are taken from."""
    return getattr(state.agent, spec.buffers[0]) if spec.buffers else state.pool


def _session(spec: _Spec, state: FeedbackState) -> tuple[FeedbackState, Metrics]:
    """Ask a batch of questions, fit the reward models to all answers, and pay what is stored anew."""
    config, fits = spec.config, fit_config(state.agent.config)
    pairs, length = config.query_batch * config.candidates, config.segment
    drawn = split(
        state.key,
        rows=Draw((2 * pairs,), raw),
        teacher=Draw(),
        fit=Draw((config.reward_steps, config.reward_members, config.reward_batch_size), raw),
        next=Draw(),
    )
    stretch = draw_windows(_steps(spec, state), drawn["rows"], length)
    judged = _criterion(spec, stretch)  # [2 C, T]
    items = segments(spec.inputs, stretch.transition)
    first, second = jax.tree.map(lambda x: x[0::2], items), jax.tree.map(lambda x: x[1::2], items)
    params = spec.agent.settings(state.agent).reward_params
    none = jnp.zeros((pairs,), jnp.int32)
    candidates = PairBatch(first, second, jnp.full((pairs,), 0.5), jnp.ones((pairs,)), none, none)
    seen = margins(spec.whole, params, candidates)
    index = choose(seen, config.ask, config.query_batch, state.asked > 0)
    typical = jnp.mean(segment_return(judged, items.mask))
    one, two = ((judged[side::2][index], items.mask[side::2][index]) for side in (0, 1))
    answers = simulate(drawn["teacher"], one, two, teacher_of(state.agent.config), typical)
    asked = jax.tree.map(lambda x: x[index], candidates)
    asked = asked._replace(label=answers.label, weight=answers.given.astype(jnp.float32))
    put = lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, state.asked, 0)
    stored = jax.tree.map(put, state.answers, asked)
    count = state.asked + config.query_batch
    params, optimiser, found = fit_steps(
        spec.model, params, state.optimiser, stored, drawn["fit"], fits, count=count, update=state.fitted
    )
    inner = with_reward_params(state.agent, params)
    metrics = {
        "loss": found["loss"],
        "accuracy": found["accuracy"],
        "informed": _informed(one, two, answers.label, asked.weight),
        "correlation": _correlation(spec, params, items, judged),
    }
    return state._replace(
        agent=_repaid(spec, inner, params) if config.relabel else inner,
        optimiser=optimiser,
        answers=stored,
        asked=count,
        fitted=state.fitted + config.reward_steps,
        key=drawn["next"],
    ), metrics


def _criterion(spec: _Spec, stretch: Trajectory) -> jax.Array:
    """The teacher's own reward of each step, ``[N, T]``, from a stretch with leaves ``[T, N, ...]``."""
    memory = init_slots(spec.criterion, jax.random.key(0), stretch.reward.shape[1])
    return relabel(spec.criterion, memory, stretch)[1].reward.T


def _repaid(spec: _Spec, inner: PyTree, params: PyTree) -> PyTree:
    """The agent's state with its replay buffers paid anew."""
    for name in spec.buffers:
        buffer = relabel_replay(spec.agent.reward, (), getattr(inner, name), params=params)
        inner = inner._replace(**{name: buffer})
    return inner


def _informed(one: Any, two: Any, label: jax.Array, weight: jax.Array) -> jax.Array:
    """Share of the decided answers that agree with the criterion; NaN where none was."""
    gap = segment_return(*one) - segment_return(*two)
    decided = weight * (label != 0.5) * (gap != 0)
    return share_of(jnp.sum(decided * ((gap > 0) == (label > 0.5))), jnp.sum(decided))


def _correlation(spec: _Spec, params: PyTree, items: Segment, judged: jax.Array) -> jax.Array:
    """Pearson's correlation of the learnt reward with the criterion over the steps; 0 if one is flat."""
    step = jnp.mean(steps_of(spec.whole.apply(params, items)), 0)
    weight = items.mask / jnp.maximum(jnp.sum(items.mask), 1)
    centred = [x - jnp.sum(weight * x) for x in (step, judged)]
    covariance = jnp.sum(weight * centred[0] * centred[1])
    spread = jnp.sqrt(jnp.prod(jnp.stack([jnp.sum(weight * x**2) for x in centred])))
    return covariance / jnp.maximum(spread, 1e-8)
