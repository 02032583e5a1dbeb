"""What an update of a small decoder costs, and what of it is the method: `python benchmarks/group.py`.

A decoder of 2 layers and width 64, 32 prompts x 8 completions x 16 tokens, GRPO: a task of several turns with
a tool, and one of a single turn. Compiled as `rlkit group train` does; compile time stands apart.
"Method" is everything between rewards and the weights of tokens, timed alone on the same batch; memory is
what XLA plans for the update beside its arguments, and what `trainer.memory()` says before it is compiled.
"""

import argparse
import json
import time
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.compiling import compiler_options
from rlkit.envs.tokens import make_task
from rlkit.group import Context, GroupConfig, trainer
from rlkit.group.policies import DecoderConfig, decoder


def seconds(fn, *arguments, least: float = 2.0) -> float:
    """Wall seconds of a call, the best of several rounds that alternate with nothing else."""
    jax.block_until_ready(fn(*arguments))
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < least:
        start = time.perf_counter()
        jax.block_until_ready(fn(*arguments))
        best = min(best, time.perf_counter() - start)
    return best


TASKS = {"tokens/calculator": {"most_calls": 3}, "tokens/modular": {}}
"""Several turns with a tool that replies, and one turn; each with its arguments."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS), help="one row for each")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--packed", type=int, default=1, help="completions that share a row")
    options = parser.parse_args()
    for name in options.task:
        print(json.dumps({"task": name} | measured(name, options), indent=2))


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What an update of a task costs."""
    task = make_task(name, **TASKS[name])
    spec = task.spec
    policy = decoder(DecoderConfig(len(spec.vocabulary), spec.prompt_length + 16, width=64, layers=2))
    config = GroupConfig(
        prompts=options.prompts, group_size=options.group_size, completion_length=16, packed=options.packed
    )
    task = task._replace(spec=spec._replace(completion_length=16))
    built = trainer(task, policy, "grpo", config)
    state = jax.jit(built.init)(jax.random.key(0))
    begin, cpu = time.perf_counter(), time.process_time()
    step = jax.jit(built.step).lower(state).compile(compiler_options())
    compiled, cpu = time.perf_counter() - begin, time.process_time() - cpu
    _, batch, _ = jax.jit(built.collect)(state)
    ctx = Context(jnp.int32(0), jnp.int32(1000), jax.random.key(1))

    @jax.jit
    def method(batch):
        _, credit, metrics = built.method.pipeline.apply(state.pipeline, (), batch, ctx)
        plan = built.method.controller.plan(state.control, built.method.loss, batch, credit, ctx)
        return plan.updates[0].weight, plan.updates[0].advantage, metrics

    update, credit = seconds(step, state), seconds(method, batch)
    memory: Any = step.memory_analysis()
    predicted = built.memory()
    return {
        "compile_s": round(compiled, 2),
        "compile_cpu_s": round(cpu, 2),
        "updates_per_s": round(1 / update, 2),
        "method_share": round(credit / update, 4),
        "planned_MiB": round((memory.temp_size_in_bytes + memory.output_size_in_bytes) / 2**20, 1),
        "predicted_MiB": round(predicted.temporaries / 2**20, 1),
        "parameters": sum(x.size for x in jax.tree.leaves(state.learnt)),
        "device": jax.devices()[0].device_kind,
    }


if __name__ == "__main__":
    main()
