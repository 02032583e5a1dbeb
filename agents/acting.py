"""Acting: from what a network makes of an observation to an action, for judges and for collecting."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.agents.collecting import Collector, Experience
from rlkit.distributions import ActionDistribution
from rlkit.draws import draw_bits
from rlkit.keys import typed_key
from rlkit.networks import Outputs
from rlkit.normalize import RunningMoments
from rlkit.policies import Network
from rlkit.q_learning import linear_epsilon
from rlkit.types import ActInfo, Key, Metrics, PyTree, Trajectory


class Policy(NamedTuple):
    """What acting needs."""

    params: PyTree  # of the network
    moments: RunningMoments | None  # of observations, None: they are not normalised
    epsilon: PyTree = ()  # float32 []: of an epsilon-greedy policy


Look = Callable[[Policy, PyTree, jax.Array], Outputs]
"""``look(policy, carry, obs [..., *space.shape]) -> outputs``: what a policy makes of observations."""


def looking(network: Network, encode: Callable[[RunningMoments | None, jax.Array], jax.Array]) -> Look:
    """The usual ``look``: the network's outputs for an encoded observation.

    A policy with an ε has it as the last parameter of the distribution
    (:func:`rlkit.distributions.epsilon_greedy`).

    Args:
      network: the network.
      encode: from a :class:`rlkit.agents.collecting.Collector`.
    """

    def look(policy: Policy, carry: PyTree, obs: jax.Array) -> Outputs:
        out = network.apply(policy.params, carry, encode(policy.moments, obs))
        if isinstance(policy.epsilon, tuple):
            return out
        epsilon = jnp.broadcast_to(policy.epsilon, (*out.distribution.shape[:-1], 1))
        return out._replace(distribution=jnp.concatenate([out.distribution, epsilon], -1))

    return look


def acting(dist: ActionDistribution, look: Look) -> Callable[..., tuple[jax.Array, PyTree, ActInfo]]:
    """``Agent.act``: one observation, sampled with a key, else the distribution's mode."""

    def act(policy: Any, carry: PyTree, obs: jax.Array, key: Key | None = None):
        out = look(policy, carry, obs)
        noise = None if key is None else dist.noise(draw_bits(typed_key(key), (dist.width,))[0])
        action = dist.mode(out.distribution) if noise is None else dist.sample(out.distribution, noise)
        info = ActInfo(out.latent, dist.log_prob(out.distribution, action), out.value)
        return dist.to_env(action), out.carry, info

    return act


def exploring(config: Any, params: PyTree, moments: RunningMoments | None, update: jax.Array) -> Policy:
    """An epsilon-greedy policy whose ε falls linearly.

    Args:
      config: has the fields ``epsilon_start``, ``epsilon_end``, ``epsilon_steps``, ``num_envs`` and
        ``num_steps``.
      params: of its network.
      moments: of observations.
      update: int32 []: updates made.
    """
    steps = update * (config.num_envs * config.num_steps)
    epsilon = linear_epsilon(config.epsilon_start, config.epsilon_end, config.epsilon_steps, steps)
    return Policy(params, moments, epsilon)


MEMORIES = ("carry", "memory")
"""Extras of policies with memory: the carry after each observation, and before it."""

RAW = "raw"
"""The report of a policy's own action, before ``ActionDistribution.to_env``."""


def behaving(
    dist: ActionDistribution, look: Look, policy: Policy, reports: Iterable[str] = ()
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """``behave`` and ``foresee`` of a policy, see :mod:`rlkit.agents.collecting`.

    Args:
      dist: the family of its actions; noise for it is the input of ``behave``.
      look: what the policy makes of observations.
      policy: the policy.
      reports: what to report: of the outputs, e.g. ``"latent"``, or ``"raw"``, which cannot be foreseen.
    """
    reports = sorted(set(reports))

    def behave(carry: PyTree, obs: jax.Array, noise: jax.Array):
        out = look(policy, carry, obs)
        action = dist.sample(out.distribution, noise)
        report = {name: action if name == RAW else getattr(out, name) for name in reports}
        return dist.to_env(action), out.carry, report

    def foresee(carry: PyTree, obs: jax.Array) -> dict[str, jax.Array]:
        out = look(policy, carry, obs)
        return {name: getattr(out, name) for name in reports if name != RAW}

    return behave, foresee


def collect_with(
    collector: Collector,
    dist: ActionDistribution,
    look: Look,
    policy: Policy,
    experience: Experience,
    drawn: dict[str, jax.Array],
    *,
    needs: tuple[str, ...] = (),
    latents: bool = False,
    discount: jax.Array | float | None = None,
) -> tuple[Experience, Trajectory, Metrics]:
    """Experience of a policy.

    Args:
      collector: how experience is collected.
      dist: the family of actions.
      look: what the policy makes of observations.
      policy: the policy.
      experience: where it goes on.
      drawn: has the keys ``steps`` and the noise ``acting``, ``[T, B, dist.width]``.
      needs: reports that learning reads, see :func:`behaving`.
      latents: report latents, also as the metric ``latent``.
      discount: needed where rewards are normalised.

    Returns:
      As ``Collector.collect``, with the metric ``policy/epsilon`` of an epsilon-greedy policy.
    """
    outputs = [name for name in needs if name not in MEMORIES]  # those the collector notes
    reports = (*outputs, *collector.offered, *(["latent"] if latents else []))
    behave, foresee = behaving(dist, look, policy, reports)
    experience, trajectory, metrics = collector.collect(
        experience, behave, drawn["steps"], drawn["acting"], foresee=foresee, discount=discount
    )
    if not isinstance(policy.epsilon, tuple):
        metrics["policy/epsilon"] = policy.epsilon
    if latents:
        metrics["latent"] = trajectory.extras["latent"]
    return experience, trajectory, metrics


def collecting(
    collector: Collector,
    dist: ActionDistribution,
    look: Look,
    policy: Callable[[Any], Policy],
    drawn: Callable[[Any], dict[str, jax.Array]],
    *,
    needs: tuple[str, ...] = (),
    latents: bool = False,
) -> Callable[[Any], tuple[Any, Trajectory, Metrics]]:
    """The ``collect`` of an agent: run the policy of a state and pay it, as :func:`collect_with`.

    Args:
      collector, dist, look, needs, latents: see there.
      policy: of a state, which has the fields ``experience`` and ``config``, and that the field ``discount``.
      drawn: the random numbers of a state's update.
    """

    def collect(state: Any) -> tuple[Any, Trajectory, Metrics]:
        experience, trajectory, metrics = collect_with(
            collector, dist, look, policy(state), state.experience, drawn(state),
            needs=needs, latents=latents, discount=state.config.discount,
        )  # fmt: skip
        return state._replace(experience=experience), trajectory, metrics

    return collect
