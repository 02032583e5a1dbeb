"""Rewards of each denoising step, against the final reward at all of them (DenseGRPO, arXiv 2601.20218).

A flow policy in the plane is first fitted to a ring of eight Gaussians, then trained with GRPO (groups of
24, 10 steps) for the log-density of one of them. Compared: the final reward's advantage at every step
(Flow-GRPO), the gains of the steps with the flow run to its end from every state (DenseGRPO), the same with
a single step to the end, and with calibrated noise.
"""

import jax
import jax.numpy as jnp
import optax
from _common import above, claim, finish, minimise, over_seeds, table

from rlkit import flows
from rlkit.rewards import embodied

STEPS, GROUP, GROUPS, UPDATES, RATE, SEEDS = 10, 24, 4, 60, 3e-4, 8
TIMES = flows.noise_times(STEPS)
NET = flows.VelocityNet((64, 64))
ANGLES = 2 * jnp.pi * jnp.arange(8) / 8
CENTRES = 2.0 * jnp.stack([jnp.cos(ANGLES), jnp.sin(ANGLES)], 1)
WAYS = ("sparse", "dense", "dense, one step", "dense, calibrated")


def samples(key: jax.Array, count: int) -> jax.Array:
    which, noise = jax.random.split(key)
    return CENTRES[jax.random.randint(which, (count,), 0, 8)] + 0.2 * jax.random.normal(noise, (count, 2))


def reward(x: jax.Array) -> jax.Array:
    """A bounded preference for the first mode."""
    return jnp.exp(-jnp.sqrt(jnp.sum((x - CENTRES[0]) ** 2, -1)))


def velocity(params):
    return lambda x, sigma: NET.apply(params, x, sigma)


def values(params, states, how: str) -> jax.Array:
    """Rewards of the clean samples from each state, ``[N, STEPS + 1]``."""
    if how != "dense, one step":
        return flows.ode_values(velocity(params), reward, states, TIMES)
    jump = jax.vmap(lambda x, sigma: x - sigma * velocity(params)(x, sigma))(states, TIMES)
    return jnp.moveaxis(reward(jump), 0, -1)


def scored(params, states, noise) -> jax.Array:
    """Log densities of the steps that were taken, ``[STEPS, N]``."""
    step = lambda x, to, now, then, level: (
        flows.sde_step(velocity(params)(x, now), x, now, then, level, taken=to).log_prob
    )
    return jax.vmap(step)(states[:-1], states[1:], TIMES[:-1], TIMES[1:], noise)


def trained(key: jax.Array, start, how: str) -> dict[str, jax.Array]:
    optimiser = optax.adam(RATE)

    def update(carry, key):
        params, state, noise = carry
        states, old = flows.sde_rollout(velocity(params), key, (GROUPS * GROUP, 2), TIMES, noise)
        value = values(params, states, how).reshape(GROUPS, GROUP, -1)
        gain = embodied.stepwise_reward_gain(value)
        if how == "sparse":
            advantage = jax.vmap(lambda r: embodied.sparse_group_advantage(r, STEPS))(value[..., -1])
        else:
            advantage = jax.vmap(embodied.stepwise_group_advantage)(gain)
        advantage = advantage.reshape(GROUPS * GROUP, STEPS).T

        def loss(params):
            ratio = jnp.exp(scored(params, states, noise) - old)
            clipped = jnp.clip(ratio, 0.8, 1.2)
            return -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))

        changes, state = optimiser.update(jax.grad(loss)(params), state, params)
        if how == "dense, calibrated":
            noise = embodied.calibrate_noise(noise, gain.reshape(-1, STEPS))
        return (optax.apply_updates(params, changes), state, noise), value[..., -1].mean()

    carry = (start, optimiser.init(start), jnp.full(STEPS, 0.7))
    (params, _, _), curve = jax.lax.scan(update, carry, jax.random.split(key, UPDATES))
    begin = jax.random.normal(jax.random.key(9), (1024, 2))
    final = reward(flows.ode_rollout(velocity(params), begin, TIMES)).mean()
    return {"final": final, "curve": curve.mean()}


def run(key: jax.Array) -> dict[str, jax.Array]:
    begin, fit, tune = jax.random.split(key, 3)
    params = NET.init(begin, jnp.zeros(2), jnp.float32(0))
    matching = lambda params, key, _: flows.flow_matching_loss(velocity(params), key, samples(key, 128))
    params = minimise(matching, params, fit, 1500, 2e-3)
    found = {how: trained(tune, params, how) for how in WAYS}
    # How well advantages tell which steps helped: correlation with what each step gained, exactly.
    states, _ = flows.sde_rollout(velocity(params), tune, (256, 2), TIMES, jnp.full(STEPS, 0.7))
    gain = embodied.stepwise_reward_gain(flows.ode_values(velocity(params), reward, states, TIMES))
    final = embodied.sparse_group_advantage(reward(states[-1]), STEPS)
    out = {f"{how}|{what}": x for how in WAYS for what, x in found[how].items()}
    return out | {"correlation": jnp.corrcoef(final.ravel(), gain.ravel())[0, 1]}


def main() -> None:
    found = over_seeds(run, SEEDS)
    pick = lambda what: {how: found[f"{how}|{what}"] for how in WAYS}
    less = table(f"reward of samples after {UPDATES} updates", pick("final"), "sparse")
    table("mean over the updates, with noise", pick("curve"), "sparse")
    print(f"  correlation of the sparse advantage with the steps' gains: {found['correlation'].mean():.2f}")
    claim("gains of steps train better than the final reward at every step", above(less["dense"]))
    claim("running the flow to its end beats one step to the end", above(less["dense"]) and bool(
        (found["dense|final"] - found["dense, one step|final"]).mean() > 0))  # fmt: skip
    claim("calibrated noise helps beyond that", bool(
        (found["dense, calibrated|final"] - found["dense|final"]).mean() > 0))  # fmt: skip
    finish()


if __name__ == "__main__":
    main()
