"""Run by test_group_runs in a process with four CPU devices: prints what it found as JSON."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlkit import group
from rlkit.envs.tokens import make_task
from rlkit.group.policies import table
from rlkit.parallel import over_replicas

TASK = make_task("tokens/modular", base=3)
WEIGHTS = {"correct": 1.0, "format": 0.5}
SETTINGS = {"group_size": 4, "learning_rate": 0.1}


def policy():
    """Far from uniform, and often ends in time."""
    plain = table(TASK)
    rows = jax.tree.map(
        lambda x: jax.random.normal(jax.random.key(7), x.shape).at[:, 1, :, 0].add(2.0),
        plain.init(jax.random.key(0)),
    )
    return plain._replace(init=lambda key: rows)


def compared(method: str, **changes) -> float:
    """Largest difference between the parameters of three updates on four devices and on one."""
    config = group.GroupConfig(**SETTINGS, **changes)

    def build(prompts, axis_name):
        own = config.replace(prompts=prompts)
        # Adam would divide rounding by its own size where a gradient is 0.
        sgd = lambda config, step: optax.sgd(3.0)
        return group.trainer(TASK, policy(), method, own, weights=WEIGHTS, axis_name=axis_name, optimiser=sgd)

    def after(learner):
        state = learner.init(jax.random.key(0))
        step = jax.jit(learner.step)
        for _ in range(3):
            state, metrics = step(state)
        return jax.tree.leaves(learner.params(state))[0], metrics

    one, told = after(build(16, None))
    four, told_too = after(group.spread(build, 16))
    start = jax.tree.leaves(policy().init(None))[0]
    assert float(jnp.abs(one - start).max()) > 0.05
    for name, value in told.items():
        np.testing.assert_allclose(told_too[name], value, rtol=1e-3, atol=1e-4, err_msg=f"{method} {name}")
    return float(np.abs(np.asarray(one) - np.asarray(four)).max())


def collected() -> bool:
    """Whether four devices write and judge exactly what one does: nothing of a group crosses devices."""
    config = group.GroupConfig(**SETTINGS)

    def build(prompts, axis_name):
        own = config.replace(prompts=prompts)
        return group.trainer(TASK, policy(), "grpo", own, weights=WEIGHTS, axis_name=axis_name)

    alone, four = build(16, None), group.spread(build, 16)
    batch = jax.jit(alone.collect)(alone.init(jax.random.key(0)))[1]
    over = over_replicas(lambda state: four.inner.collect(state)[1], "prompts", "shard_map", jax.devices())
    dealt = jax.tree.map(lambda x: x.reshape(16, *x.shape[2:]), over(four.init(jax.random.key(0))))
    return all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(batch), jax.tree.leaves(dealt), strict=True)
    )


def trained() -> dict[str, float]:
    """The same through the driver, judged on the way."""
    config = group.GroupConfig(prompts=16, **SETTINGS)
    options = {"config": config, "weights": WEIGHTS, "probes": 1, "eval_prompts": 16, "progress": False}
    found = [
        group.train(TASK, policy(), "grpo", 4, spread_prompts=s, seeds=1, **options) for s in (False, True)
    ]
    rows = [
        jax.tree.leaves(f.population.agent.params(jax.tree.map(lambda x: x[0], f.state)))[0] for f in found
    ]
    success = [f.curve("eval/success")[-1, 0] for f in found]
    return {
        "params": float(np.abs(np.asarray(rows[0]) - np.asarray(rows[1])).max()),
        "success": float(abs(success[0] - success[1])),
    }


def fitted(method: str) -> float:
    """The largest difference after three updates on recorded rows, by plain gradients."""
    rows = [
        {"prompt": f"{a} + {b} =", "chosen": str((a + b) % 3), "rejected": str((a + b + 1 + i) % 3),
         "completion": str((a + i) % 3), "label": a != b}
        for a in range(3) for b in range(3) for i in range(2)
    ]  # fmt: skip
    config = group.RecordedConfig(batch=8, eval_prompts=0)

    def build(batch, axis_name):
        sgd = lambda config, step: optax.sgd(10.0)
        own = config.replace(batch=batch)
        return group.fitter(
            rows, policy(), method, own, task=TASK, held_out=0.2, optimiser=sgd, axis_name=axis_name
        )

    def after(learner):
        state, step = learner.init(jax.random.key(0)), jax.jit(learner.step)
        for _ in range(3):
            state, metrics = step(state)
        judged = jax.jit(lambda state: learner.judge(state, jax.random.key(1), 1))(state)
        return jax.tree.leaves(learner.params(state))[0], metrics | judged

    one, told = after(build(8, None))
    four, told_too = after(group.spread(build, 8))
    assert float(jnp.abs(one - jax.tree.leaves(policy().init(None))[0]).max()) > 0.02
    for name, value in told.items():
        np.testing.assert_allclose(told_too[name], value, rtol=1e-3, atol=1e-4, err_msg=f"{method} {name}")
    return float(np.abs(np.asarray(one) - np.asarray(four)).max())


methods = {name: compared(name) for name in sys.argv[1:] or ("grpo", "reinforce_pp", "dapo", "pipo", "gdpo")}
methods["dapo, filled"] = compared("dapo", micro_batches=2, mask_truncated=True)
print(json.dumps({
    "devices": len(jax.devices()), "collected": collected(), "methods": methods, "trained": trained(),
    "fitted": {method: fitted(method) for method in ("kto",)},
}))  # fmt: skip
