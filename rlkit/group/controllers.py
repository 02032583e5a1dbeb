"""What stands around updates: coefficients that follow measurements, and additional gradient steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, unknown_name
from rlkit.group.config import LossConfig
from rlkit.group.credit import level
from rlkit.group.statistics import AxisName, mean
from rlkit.group.tracking import Window, window, window_push, window_z
from rlkit.group.types import Completions, Context, Controller, Credit, Plan
from rlkit.group.updates import make_update
from rlkit.types import Metrics, PyTree


def none(axis_name: AxisName = None) -> Controller:
    """One update with the batch; ``axis_name``: mapped axis whose members hold other prompts."""

    def plan(state: PyTree, loss: LossConfig, batch: Completions, credit: Credit, ctx: Context) -> Plan:
        return Plan(state, (make_update(loss, batch, credit, axis_name),), loss, {})

    return Controller(lambda batch: (), plan, lambda state, metrics: state)


def kl_controller(
    target: float = 6.0, horizon: int = 10_000, initial: float = 0.2, axis_name: AxisName = None
) -> Controller:
    """A coefficient that holds the divergence from the reference at a target (1909.08593, §2.2).

    ``coef <- coef (1 + clip(kl / target - 1, ±0.2) n / horizon)`` with ``n`` completions an update.

    Args:
      target: in nats per token, as ``kl`` is reported.
      horizon: completions over which a coefficient may change by a fifth.
      initial: the first coefficient; above 0.
      axis_name: see :func:`none`.

    Raises:
      UsageError: a number is not above 0.
    """
    for name, value in (("target", target), ("horizon", horizon), ("initial", initial)):
        if value <= 0:
            raise UsageError(f"{name}={value!r}: expected a number greater than 0")

    def init(batch: Completions) -> PyTree:
        return {"coef": jnp.float32(initial), "size": jnp.float32(batch.mask.shape[0] * batch.mask.shape[1])}

    def plan(state: PyTree, loss: LossConfig, batch: Completions, credit: Credit, ctx: Context) -> Plan:
        loss = loss.replace(kl_coef=state["coef"])
        update = make_update(loss, batch, credit, axis_name)
        return Plan(state, (update,), loss, {"kl_coef": state["coef"]})

    def observe(state: PyTree, metrics: Metrics) -> PyTree:
        error = jnp.clip(metrics["kl"] / target - 1.0, -0.2, 0.2)
        return state | {"coef": state["coef"] * (1.0 + error * state["size"] / horizon)}

    return Controller(init, plan, observe)


def frozen_until(switch: int | None = None, axis_name: AxisName = None) -> Controller:
    """No completion counts before update number ``switch``: the first stage belongs to another agent.

    None: half of all updates.
    """

    def plan(state: PyTree, loss: LossConfig, batch: Completions, credit: Credit, ctx: Context) -> Plan:
        first = ctx.total_steps // 2 if switch is None else switch
        credit = credit._replace(mask=credit.mask * (ctx.step >= first))
        return Plan(state, (make_update(loss, batch, credit, axis_name),), loss, {})

    return Controller(lambda batch: (), plan, lambda state, metrics: state)


class Feedback(NamedTuple):
    """What improvement feedback remembers."""

    rewards: Window  # mean rewards of the last batches
    batch: Completions  # the last one
    credit: Credit


RECTIFIERS = ("leaky", "relu")


def rectify(xi: jax.Array, how: str = "leaky", lam: float = 0.1, largest: float = 3.0) -> jax.Array:
    """How strongly an improvement ``xi`` is rewarded: ``xi``, or ``lam xi`` below 0 (PIPO 2604.00860).

    Args:
      xi: ``[]``.
      how: ``"leaky"`` as in the paper, or ``"relu"``, nothing below 0, as in its README.
      lam: slope below 0.
      largest: bound of the absolute value; 0.5 in the README, none (``inf``) in the paper.
    """
    if how not in RECTIFIERS:
        raise unknown_name("rectify", how, RECTIFIERS)
    slope = lam if how == "leaky" else 0.0
    return jnp.clip(jnp.where(xi >= 0, xi, slope * xi), -largest, largest)


def attribution(credit: Credit) -> jax.Array:
    """``G A / sum_G |A|`` of tokens, ``[P, G, T]``: who in the group answers for an improvement (eq. 10)."""
    size = credit.advantage.shape[1]
    total = jnp.sum(jnp.abs(level(credit)), 1)[:, None, None]
    return size * credit.advantage / jnp.where(total > 0, total, 1.0)


def improvement_feedback(
    size: int = 8,
    lam: float = 0.1,
    how: str = "leaky",
    largest: float = 3.0,
    min_std: float = 0.02,
    axis_name: AxisName = None,
) -> Controller:
    """PIPO (2604.00860): the last update is repeated, or taken back, by what it brought.

    ``xi``, the mean reward of the fresh batch in deviations of the last ``size`` means (eq. 7-9), becomes the
    reward of the *previous* batch (eq. 10), on which one more step is made (eq. 11) before that on the fresh
    one. Nothing happens before ``size`` batches; two gradient steps an update are made from then on.

    Args:
      size: batches that are compared with, at least 2.
      lam: see :func:`rectify`.
      how: the same.
      largest: the same.
      min_std: floor of the deviation, in units of the reward; 0 in the paper, where its estimate from 8
        numbers can be anything.
      axis_name: see :func:`none`.

    Raises:
      UsageError: the window is too short.
      UnknownNameError: there is no such rectifier.
    """
    if size < 2:
        raise UsageError(f"size={size}: a deviation needs at least 2 batches")
    rectify(jnp.zeros(()), how)

    def init(batch: Completions) -> Feedback:
        blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), batch)
        tokens = jnp.zeros(batch.mask.shape, jnp.float32)
        credit = Credit(tokens, tokens, jnp.zeros(batch.mask.shape[:2], jnp.float32))
        return Feedback(window(size), blank, credit)

    def plan(state: Feedback, loss: LossConfig, batch: Completions, credit: Credit, ctx: Context) -> Plan:
        reached = mean(credit.reward, axis_name)
        xi = window_z(state.rewards, reached, min_std)
        phi = rectify(xi, how, lam, largest)
        back = Credit(phi * attribution(state.credit), state.credit.mask * (phi != 0), state.credit.reward)
        again = make_update(loss, state.batch, back, axis_name)
        now = make_update(loss, batch, credit, axis_name)
        after = Feedback(window_push(state.rewards, reached), batch, credit)
        return Plan(after, (again, now), loss, {"pipo/improvement": xi, "pipo/scale": phi})

    return Controller(init, plan, lambda state, metrics: state)
