"""Auto MC-Reward on the tasks of the craft world: each can be designed for, from prompt to winner."""

import dataclasses
import importlib.util
import itertools

import pytest
from test_whole_runs import CONFIG

from rlkit.design import folder, models
from rlkit.design.clients import Answering
from rlkit.design.config import DesignConfig

PROGRAM = """Thoughts: nearer than ever before is good, lava is not.

```python
memory = {{"nearest": 100.0}}

def reward(s, a, ns, done, m):
    # sparse: {task}, or the agent dies in lava
    sparse = jnp.where({achieved}, 1.0, jnp.where(ns.died_in_lava, -1.0, 0.0))
    # dense: {near} nearer than ever before, and no lava beside
    nearest = jnp.minimum(m.nearest, {distance})
    nearer = jnp.where(m.nearest < 100.0, m.nearest - nearest, 0.0)
    dense = {sign} * nearer - jnp.where(jnp.any(ns.lava_adjacent), 1.0, 0.0)
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
def test_every_task_can_be_designed_for(id, tmp_path, monkeypatch) -> None:
    if importlib.util.find_spec("craftax") is None:
        pytest.skip("craftax is not installed: the extra craft")
    options, achieved, distance = TASKS[id]
    asked = []
    text = PROGRAM.format(task=id, achieved=achieved, near="something", distance=distance, sign="1.0")
    texts = itertools.cycle([text, '{"accept": true, "problems": ""}'])

    def answer(messages, seed):
        asked.append(messages)
        return next(texts)

    monkeypatch.setattr(models, "client_of", lambda model: Answering(answer, model="scripted"))
    config: DesignConfig = dataclasses.replace(
        CONFIG, env=id, env_options=(*options, "observation=compact"), designer="auto-mc", candidates=1,
        generations=1, finalists=1, fresh_seeds=1, total_steps=64, checks=False, audit=False,
    )  # fmt: skip
    found = folder.run(config, tmp_path / "design")
    assert found.exit_code == 0
    (record,) = found.result.histories[0].records
    assert record.candidate.text.count("jnp.sign") == 2
    assert {"sparse", "dense", "total"} <= set(record.outcome.terms)
    assert record.outcome.failures["endings"]
    told = asked[0][1]["content"]
    assert all(name in told for name in ("lava_adjacent", "nearest_cow_distance", "died_in_lava"))
    assert (tmp_path / "design" / "winner.reward.json").exists()
