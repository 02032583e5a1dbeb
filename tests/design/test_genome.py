"""Genomes: arrays, JSON and text are one reward; what is not one is refused in words."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.design import DesignTask
from rlkit.design.evolution import RandomSearch, chance_of, crossover, mutate, random_genome
from rlkit.design.genome import Gate, Term, encode, from_json, json_schema, schema_of, term_names, to_json
from rlkit.design.interpreter import genome_reward
from rlkit.design.printing import genome_text
from rlkit.design.terms import KINDS
from rlkit.design.types import History
from rlkit.envs import make
from rlkit.errors import UsageError
from rlkit.rewards import init_slots, read, relabel
from rlkit.rewards.language import check_program, fields_of, parse_program
from rlkit.types import Transition

IDS = ("classic/pendulum", "nav/pointmaze-umaze", "classic/cartpole")


@pytest.fixture(scope="module", params=IDS)
def task(request):
    return DesignTask(make(request.param))


@pytest.fixture(scope="module")
def schema(task):
    return schema_of(task)


def experience(task, steps=40, envs=3):
    """A trajectory of random actions, several episodes of each environment."""
    from rlkit.agents import probe
    from rlkit.agents.ppo import PPOConfig, ppo

    agent = ppo(task.env, PPOConfig(num_envs=1, num_steps=2, minibatches=1, sizes=(4,)))
    policy = agent.policy(agent.init(jax.random.key(0)))
    params = task.params._replace(max_steps=jnp.int32(11))
    run = jax.jit(lambda key: probe(agent, policy, key, steps, envs, env_params=params))
    return run(jax.random.key(1))


@pytest.fixture(scope="module")
def trajectory(task):
    return experience(task)


def test_text_pays_what_the_interpreter_pays(task, schema, trajectory) -> None:
    chance = np.random.default_rng(0)
    reward, memory = genome_reward(schema), None
    pay = jax.jit(lambda params: relabel(reward, memory, trajectory, params=params)[1])
    memory = init_slots(reward, jax.random.key(0), 3)
    for genome in [random_genome(chance, schema) for _ in range(5)] + [
        every_kind(schema, i) for i in range(3)
    ]:
        written = read(genome_text(genome, schema), task.spec)
        own = relabel(written, init_slots(written, jax.random.key(0), 3), trajectory)[1]
        found = pay(encode(genome, schema))
        np.testing.assert_allclose(found.reward, own.reward, rtol=2e-4, atol=2e-4)
        for i, name in enumerate(term_names(genome)):
            np.testing.assert_allclose(found.terms[f"slot{i}"], own.terms[name], rtol=2e-4, atol=2e-4)


def every_kind(schema, part):
    """Genomes that together have every kind and gate of a schema."""
    kinds = [k for k in schema.kinds if k != "none"][part * 5 : part * 5 + 5]
    field = next(m for m in schema.measures if not m.flag)
    gates = [Gate(w, field.name, field.low, field.range) if w != "always" else Gate() for w in schema.gates]
    of = lambda kind: field.name if KINDS[kind].field else ""
    return tuple(
        Term(kind, of(kind), field.low, field.range / 3, 0.7, gates[i % 4]) if of(kind) else Term(kind)
        for i, kind in enumerate(kinds)
    )


def test_json_is_the_genome(schema) -> None:
    chance = np.random.default_rng(1)
    for _ in range(50):
        genome = random_genome(chance, schema)
        assert from_json(json.loads(json.dumps({"terms": to_json(genome)})), schema) == genome


def test_operators_stay_in_the_schema(task, schema) -> None:
    chance = chance_of(jax.random.key(2))
    genome, other = (random_genome(chance, schema) for _ in range(2))
    for _ in range(200):
        genome = mutate(chance, crossover(chance, genome, other, schema), schema)
        assert from_json(to_json(genome), schema) == genome
        check_program(
            parse_program(genome_text(genome, schema)), fields_of(task.spec), task.spec.action_space.shape
        )


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ("success", "a list of 1 to 5 terms"),
        ([], "a list of 1 to 5 terms"),
        ([3], "term 1: expected an object"),
        ([{"kind": "gausian", "field": "angle"}], "did you mean 'gaussian'"),
        ([{"kind": "gaussian", "field": "angel"}], "did you mean 'angle'"),
        ([{"kind": "closeness", "field": "angle", "weight": -1}], "at least 0 for closeness"),
        ([{"kind": "closeness", "field": "angle", "weight": 1e15}], "between -100 and 100"),
        ([{"kind": "closeness", "field": "angle", "scale": 0}], "at least 1e-06"),
        ([{"kind": "closeness", "field": "angle", "wieght": 1}], "did you mean 'weight'"),
        ([{"kind": "time", "gate": {"when": "while"}}], "gate: field"),
        ([{"kind": "time", "weight": float("nan")}], "between -100 and 100"),
        ([{"kind": ["time"]}], "kind"),
        ([{"kind": "time"}] * 6, "a list of 1 to 5 terms"),
    ],
)
def test_bad_genomes_are_refused(terms, words) -> None:
    with pytest.raises(UsageError, match=words):
        from_json(terms, schema_of(DesignTask(make("classic/pendulum"))))


def test_the_json_schema_names_what_from_json_takes(schema) -> None:
    item = json_schema(schema)["properties"]["terms"]["items"]["properties"]
    assert set(item["kind"]["enum"]) == set(schema.kinds) - {"none"}
    assert item["field"]["enum"] == [m.name for m in schema.measures]
    assert set(item["gate"]["required"]) == set(Gate._fields)  # a reader refuses a gate of no field


def test_forbidden_features_are_in_no_schema() -> None:
    task = DesignTask(make("nav/pointmaze-umaze"), forbidden=("goal_distance", "at_goal"))
    assert not [m for m in schema_of(task).measures if {"goal_distance", "at_goal"} & set(m.features)]


def test_potential_mode_pays_potential_differences_alone() -> None:
    """Sum over an episode of γ^t F is γ^n Φ(end) - Φ(start), with Φ = 0 where it ends by itself."""
    task = DesignTask(make("classic/pendulum"), discount=0.9)
    schema = schema_of(task, potential_only=True)
    assert not schema.remembers
    assert schema.gates == ("always",)
    reward, chance = genome_reward(schema), np.random.default_rng(3)
    x = np.random.default_rng(4).uniform(-1, 1, (2, 6)).astype(np.float32)
    for terminal in (False, True):
        for genome in [random_genome(chance, schema) for _ in range(10)]:
            arrays = encode(genome, schema)
            paid = _loop(reward, arrays, x[0], terminal), _loop(reward, arrays, x[1], terminal)
            ends = [_potential(reward, arrays, row[-1], 0.9) if not terminal else 0.0 for row in x]
            starts = [_potential(reward, arrays, row[0], 0.9) for row in x]
            for value, end, start in zip(paid, ends, starts, strict=True):
                np.testing.assert_allclose(value, 0.9**5 * end - start, rtol=1e-3, atol=1e-3)


def _step(x, y, terminated):
    features = lambda v: {
        n: jnp.float32(v) for n in ("angle", "velocity", "height", "sideways", "upright_steps")
    }
    flag, zero = jnp.array(False), jnp.float32(0)
    return Transition(
        zero, jnp.zeros(1), zero, features(x), features(y), zero, jnp.array(terminated), flag, flag, flag
    )


def _loop(reward, arrays, row, terminal):
    pay = lambda i: reward.apply((), _step(row[i], row[i + 1], terminal and i == 4), arrays)[1]
    return float(sum(0.9**i * pay(i) for i in range(5)))


def _potential(reward, arrays, x, discount):
    """Φ(x) from staying in x: γΦ - Φ."""
    return float(reward.apply((), _step(x, x, False), arrays)[1]) / (discount - 1)


def test_random_search_depends_on_its_key_alone(task, schema) -> None:
    search = RandomSearch(schema)
    one, same, other = (search.propose(task, History(), jax.random.key(k), 4) for k in (0, 0, 1))
    assert one == same
    assert one != other
