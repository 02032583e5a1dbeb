"""How far physics is off where products keep 10 bits of their factors, as accelerators do by default.

Both sides run on this CPU: `tests/accelerator.py` rounds the factors of products that name no precision, and
rlkit's environments name one. Printed: the largest difference of an entry of the observation after 1 to 50
steps of the same random actions.

    python benchmarks/precision.py
"""

import sys
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import accelerator  # noqa: F401 - from here on products are rounded

from rlkit import envs
from rlkit.products import full_products

ROBOTS = (
    ("mujoco/ant", {"backend": "spring"}),
    ("mujoco/ant", {"backend": "generalized"}),
    ("mujoco/halfcheetah", {"backend": "mjx"}),
    ("mujoco/walker2d-v5", {"solver": "fast"}),
)
SHOWN = (1, 2, 5, 10, 20, 50)


def main():
    print(f"{'':44}" + "".join(f"{n:>9}" for n in SHOWN) + "   steps")
    for id, options in ROBOTS:
        env = envs.make(id, **options)
        params, space = env.default_params(), env.spec.action_space
        actions = jax.random.uniform(jax.random.key(1), (max(SHOWN), *space.shape), minval=-1, maxval=1)
        start = jax.jit(full_products(env.initial))(jax.random.key(0), params)

        def observed(transition, env=env, params=params, actions=actions, start=start):
            def step(state, action):
                state = transition(jax.random.key(0), state, action, params)
                return state, env.observe(jax.random.key(0), state, params)

            return np.asarray(jax.jit(lambda s: jax.lax.scan(step, s, actions)[1])(start))

        off = np.abs(observed(env.transition) - observed(full_products(env.transition))).max(1)
        title = f"{id}, {', '.join(options.values())}"
        print(f"{title:44}" + "".join(f"{off[n - 1]:9.2g}" for n in SHOWN), flush=True)


if __name__ == "__main__":
    main()
