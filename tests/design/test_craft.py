"""Auto MC-Reward on the tasks of the craft world: each can be designed for, from prompt to training."""

import dataclasses
import importlib.util
import itertools

import jax
import pytest
from test_whole_runs import CONFIG

from rlkit.design import History
from rlkit.design.auto_mc import AutoMC
from rlkit.design.checks import abstract
from rlkit.design.clients import Answering
from rlkit.design.llm import Writer
from rlkit.design.reading import read_candidate
from rlkit.design.training import Trainer

PROGRAM = """Thoughts: nearer than ever before is good, lava is not.

```python
memory = {{"nearest": 100.0}}

def reward(s, a, ns, done, m):
    # sparse: {task}, or the agent dies in lava
    sparse = jnp.where({achieved}, 1.0, jnp.where(ns.died_in_lava, -1.0, 0.0))
    # dense: nearer than ever before, and no lava beside
    nearest = jnp.minimum(m.nearest, {distance})
    nearer = jnp.where(m.nearest < 100.0, m.nearest - nearest, 0.0)
    dense = nearer - jnp.where(jnp.any(ns.lava_adjacent), 1.0, 0.0)
    return sparse + dense, {{"sparse": sparse, "dense": dense}}, {{"nearest": nearest}}
```
"""
done = lambda name: f"ns.achievement_{name} & ~s.achievement_{name}"
TASKS = {
    "craft/tree": ((), done("collect_wood"), "ns.nearest_tree_distance"),
    "craft/cow": ((), done("eat_cow"), "ns.nearest_cow_distance"),
    "craft/diamond": (("start=iron_pickaxe",), done("collect_diamond"), "ns.nearest_diamond_distance"),
    "craft/lava-explore": ((), "ns.tiles_visited >= 40", "-1.0 * ns.tiles_visited"),
}


@pytest.mark.slow
@pytest.mark.parametrize("id", TASKS)
def test_every_task_can_be_designed_for(id) -> None:
    if importlib.util.find_spec("craftax") is None:
        pytest.skip("craftax is not installed: the extra craft")
    options, achieved, distance = TASKS[id]
    asked = []
    text = PROGRAM.format(task=id, achieved=achieved, distance=distance)
    texts = itertools.cycle([text, '{"accept": true, "problems": ""}'])

    def answer(messages, seed):
        asked.append(messages)
        return next(texts)

    config = dataclasses.replace(
        CONFIG, env=id, env_options=(*options, "observation=compact"), designer="auto-mc", total_steps=64
    )
    task, designer = config.task(), AutoMC(Writer(Answering(answer)))
    (candidate,) = designer.propose(task, History(), jax.random.key(0), 1)
    assert not candidate.error
    assert candidate.text.count("jnp.sign") == 2
    assert abstract(read_candidate(candidate.text, task.spec), task.spec).passed
    told = asked[0][1]["content"]
    assert all(name in told for name in ("lava_adjacent", "nearest_cow_distance", "died_in_lava"))
    ((_, outcome),) = Trainer(task, config).train([candidate], jax.random.key(0), watch=designer.watches)
    assert not outcome.error
    assert {"sparse", "dense", "total"} <= set(outcome.terms)
    seen = outcome.failures
    assert sum(seen["endings"].values()) >= 8  # a beginner dies, and begins again before the time limit
    assert len(seen["episodes"]) == 8
    for episode in seen["episodes"]:
        assert len(episode["steps"]) == min(16, episode["length"])
        assert set(episode["steps"][0]["paid"]) >= {"sparse", "dense", "total"}
