"""Observations that are designed with the reward: what is shown, who chooses, one program for all choices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.design import DesignTask
from rlkit.design.config import DesignConfig
from rlkit.design.evolution import Evolution
from rlkit.design.genome import schema_of
from rlkit.design.joint import Joint, observable, showing, shown_names
from rlkit.design.training import Trainer
from rlkit.design.types import History, Record
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError

PENDULUM = make("classic/pendulum")
TASK = DesignTask(PENDULUM)
MEASURES = observable(TASK, jax.random.key(0))
NAMES = tuple(m.name for m in MEASURES)


def test_what_is_shown_is_scaled_and_masked() -> None:
    env = showing(PENDULUM, MEASURES, ("height",))
    params, key = env.default_params(), jax.random.key(0)
    state = env.initial(key, params)
    plain = PENDULUM.observe(key, state, params.inner)
    features = PENDULUM.features(state, params.inner)
    seen = env.observe(key, state, params)
    assert env.spec.observation_space.shape == seen.shape == (3 + len(NAMES),)
    np.testing.assert_array_equal(seen[:3], plain)
    at = 3 + NAMES.index("height")
    np.testing.assert_allclose(seen[at], features["height"], atol=1e-6)  # from -1 to 1 by itself
    assert np.count_nonzero(seen[3:]) == 1
    whole = env.observe(key, state, params._replace(mask=jnp.ones(len(NAMES))))
    assert np.abs(whole[3:]).max() <= 1.0
    assert np.count_nonzero(whole[3:]) >= len(NAMES) - 1
    with pytest.raises(UnknownNameError, match="height"):
        showing(PENDULUM, MEASURES, ("hight",))
    with pytest.raises(UsageError, match="no measure"):
        showing(PENDULUM, ())


def test_choices_are_inherited() -> None:
    designer = Joint(Evolution(schema_of(TASK), fresh=0.0, cross=0.5), NAMES)
    first = designer.propose(TASK, History(), jax.random.key(0), 40)
    masks = np.array([c.notes["env_params"]["mask"] for c in first])
    assert {int(n) for n in masks.sum(1)} >= {0, len(NAMES)}
    named = [dataclasses.replace(c, id=f"0.0.{i}") for i, c in enumerate(first)]
    history = History(tuple(Record(c, score=float(i)) for i, c in enumerate(named)))
    changes = []
    for candidate in designer.propose(TASK, history, jax.random.key(1), 40):
        mask = np.array(candidate.notes["env_params"]["mask"])
        parents = np.array([history.find(p).candidate.notes["env_params"]["mask"] for p in candidate.parents])
        changes.append((mask != parents).all(0).sum())
        assert candidate.notes["observes"] == [n for n, on in zip(NAMES, mask, strict=True) if on]
    assert 0.3 < np.mean(changes) < 2.0  # about one
    again = designer.propose(TASK, history, jax.random.key(1), 40)
    assert again == designer.propose(TASK, history, jax.random.key(1), 40)


def test_a_configuration_asks_for_it() -> None:
    config = DesignConfig(observe=True, designer="random")
    task = config.task()
    made = config.make_designer(schema_of(task), task)
    assert made.names == shown_names(task.env) == NAMES
    assert len(made.propose(task, History(), jax.random.key(0), 3)) == 3
    with pytest.raises(UsageError, match="showing"):
        shown_names(PENDULUM)


@pytest.mark.slow
def test_one_program_trains_all_choices(pendulum, trainer, compilations) -> None:
    task = dataclasses.replace(pendulum, env=showing(PENDULUM, MEASURES))
    joint = Trainer(task, trainer.settings, trainer.schema)
    found = Joint(Evolution(trainer.schema), NAMES).propose(task, History(), jax.random.key(0), 4)
    key, same = (
        jax.random.key(5),
        [dataclasses.replace(c, text=found[0].text, genome=found[0].genome) for c in found],
    )
    out = dict(joint.train(same, key))
    before = compilations()
    again = dict(joint.train(same[:2], key))
    assert compilations() == before
    assert again[0] == out[0]
    assert len({o.fitness for o in out.values()}) == len({tuple(c.notes["observes"]) for c in same})
