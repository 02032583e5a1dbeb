"""Configurations survive JSON and refuse what they do not know."""

import json

import pytest
from toy_agent import ToyConfig

from rlkit.agents import PPOConfig
from rlkit.errors import UnknownNameError, UsageError
from rlkit.experiment.training.config import (
    TrainConfig,
    build,
    env_options,
    from_dict,
    load,
    save,
    to_dict,
)


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(agent=ToyConfig(rate=0.1 + 0.2, size=3), seeds=1, on_nan="skip"),
        TrainConfig(
            agent=PPOConfig(learning_rate=1e-30, sizes=(8,), torso="gru"), env_options=("a=1", "b=x")
        ),
    ],
)
def test_round_trip_is_exact(config, tmp_path):
    save(tmp_path / "config.json", config)
    again = load(tmp_path / "config.json")
    assert again == config
    assert type(again.agent) is type(config.agent)
    assert to_dict(again) == to_dict(config)


def test_keys_left_out_take_defaults_and_integers_become_floats():
    config = from_dict({"seeds": 2, "agent": {"name": "toy", "rate": 1}})
    assert config == TrainConfig(seeds=2, agent=ToyConfig(rate=1.0))
    assert isinstance(config.agent.rate, float)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"sedes": 3}, "did you mean 'seeds'"),
        ({"agent": {"name": "pppo"}}, "did you mean 'ppo'"),
        ({"agent": {"name": "toy", "ratte": 1.0}}, "did you mean 'rate'"),
        ({"seeds": "3"}, "expected int"),
        ({"seeds": 0}, "at least 1"),
        ({"version": 99}, "version 99"),
        ({"on_nan": "stopp"}, "did you mean 'stop'"),
        ({"sinks": ["tensorbord"]}, "did you mean 'tensorboard'"),
        ({"env_options": ["actions"]}, "key=value"),
        ([], "JSON object"),
    ],
)
def test_bad_data_is_refused_with_a_hint(data, words):
    with pytest.raises(UsageError, match=words):
        from_dict(data)


def test_damaged_and_missing_files_are_named(tmp_path):
    with pytest.raises(UsageError, match="no file"):
        load(tmp_path / "config.json")
    whole = json.dumps(to_dict(TrainConfig()))
    (tmp_path / "config.json").write_text(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="cannot be read as JSON"):
        load(tmp_path / "config.json")


def test_options_of_the_environment_are_literals_or_text():
    config = TrainConfig(env_options=("size=3", "actions=discrete", "on-top=True"))
    assert env_options(config) == {"size": 3, "actions": "discrete", "on_top": True}


def test_build_checks_names():
    assert build(TrainConfig(agent=ToyConfig())).env.spec.id == "classic/cartpole"
    assert TrainConfig(agent=ToyConfig()).agent_name == "toy"
    assert TrainConfig(algorithm="toy_agent:toy", agent=ToyConfig()).agent_name == "toy_agent:toy"
    with pytest.raises(UnknownNameError, match="classic/cartpole"):
        build(TrainConfig(env="classic/cartpol"))
    with pytest.raises(UsageError, match="option"):
        build(TrainConfig(env_options=("gravity=1",)))
