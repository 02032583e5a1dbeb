"""Clicks that start far from a target, with binary and Gaussian rewards (GUI-G², arXiv 2507.15846).

A Gaussian click policy (deviation 15 px) starts 40 to 160 px to the side of a target of 60 x 24 px and
learns its mean with GRPO (groups of 8, 300 updates). Judged: whether its mean lies in the target. A second
table starts in random directions: 160 px above a target that is 24 px high are 13 deviations, where rewards
of 1e-38 are less than what GRPO adds to a group's deviation (1e-4).
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, over_seeds, table

from rlkit.rewards import embodied

GROUP, UPDATES, SPREAD, RATE, SEEDS = 8, 300, 15.0, 1.0, 40
TARGET = jnp.array([-30.0, -12.0, 30.0, 12.0])
REWARDS = {
    "binary": embodied.inside,
    "published (3 decimals)": lambda p, t: embodied.gaussian_point_reward(p, t, decimals=3),
    "point": embodied.gaussian_point_reward,
    "point + coverage": lambda p, t: (
        embodied.gaussian_point_reward(p, t) + embodied.gaussian_coverage_reward(p, t)
    ),
}


def trained(key: jax.Array, far: float, reward, anywhere: bool = False) -> jax.Array:
    """1 if the policy's mean ends in the target, else 0."""
    direction, key = jax.random.split(key)
    angle = jax.random.uniform(direction, maxval=2 * jnp.pi)
    angle = angle if anywhere else jnp.where(angle > jnp.pi, jnp.pi, 0.0)
    mean = far * jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    def update(mean: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        noise = jax.random.normal(key, (GROUP, 2))
        click = mean + SPREAD * noise
        paid = reward(jnp.concatenate([click - 5, click + 5], -1), TARGET)
        advantage = (paid - paid.mean()) / (paid.std() + 1e-4)
        return mean + RATE * jnp.mean(advantage[:, None] * noise, 0) * SPREAD / 5, None

    mean, _ = jax.lax.scan(update, mean, jax.random.split(key, UPDATES))
    return embodied.inside(jnp.concatenate([mean, mean]), TARGET)


def main() -> None:
    holds = True
    for far in (40.0, 80.0, 120.0, 160.0):
        run = lambda key, far=far: {name: trained(key, far, reward) for name, reward in REWARDS.items()}
        rows = over_seeds(run, SEEDS)
        less = table(f"success from {far:.0f} px", rows, "binary")
        holds &= far < 80 or (above(less["point"]) and rows["point"].mean() >= 0.99)
    run = lambda key: {name: trained(key, 160.0, reward, True) for name, reward in REWARDS.items()}
    table("success from 160 px in any direction", over_seeds(run, SEEDS), "binary")
    claim("Gaussian rewards teach far clicks (at least 99 %), binary ones do not", holds)
    finish()


if __name__ == "__main__":
    main()
