"""Designers that ask a model: which answers they get, read, and feed back."""

import dataclasses
import itertools
import json
import math

import jax
import numpy as np
import pytest

from rlkit.design.auto_mc import AutoMC, scaled
from rlkit.design.clients import Answering, ClientError
from rlkit.design.eureka import Eureka, chosen, human_normalised
from rlkit.design.genome import schema_of
from rlkit.design.llm import Independent, Writer, seeds_of
from rlkit.design.transcripts import Budget, Transcript
from rlkit.design.types import Designer, DesignTask, History, Outcome, Record, Verdict
from rlkit.envs import make
from rlkit.errors import UsageError
from rlkit.rewards.language import ProgramError, parse_program, print_program, run_program

TASK = DesignTask(make("classic/pendulum"))
KEY = jax.random.key(0)


def program(weight, name="upright"):
    return (
        f"def reward(s, a, ns, done):\n    {name} = {weight} * ns.height\n"
        f"    return {name}, {{'{name}': {name}}}\n"
    )


def good(i):
    return f"Answer {i}.\n```python\n{program(i + 1.0)}```"


BAD = "```python\nimport os\n" + program(1.0) + "```"


def answers(texts):
    """A client that gives these answers in the order of the questions, and what it was asked."""
    queue, asked = iter(texts), []

    def answer(messages, seed):
        asked.append(messages)
        text = next(queue)
        if isinstance(text, Exception):
            raise text
        return text

    return Transcript(Answering(answer), workers=1), asked


def numbered(candidates, generation):
    return [dataclasses.replace(c, id=f"0.{generation}.{i}") for i, c in enumerate(candidates)]


def trained(candidates, scores):
    """Records as a loop makes them; what has an error is not trained."""
    out = []
    for candidate, value in zip(candidates, scores, strict=True):
        if candidate.error:
            out.append(Record(candidate))
            continue
        rows = [[value]] * 2
        terms = {"upright": [[0.125]] * 2, "total": rows}
        outcome = Outcome([10, 20], rows, rows, rows, rows, terms)
        out.append(Record(candidate, (), outcome, value))
    return tuple(out)


def test_seeds_differ():
    assert len(set(seeds_of(KEY, 100))) == 100
    assert seeds_of(KEY, 3) == seeds_of(KEY, 3)
    assert seeds_of(KEY, 3) != seeds_of(jax.random.key(1), 3)


@pytest.mark.parametrize("failing", [*itertools.product([False, True], repeat=3)])
def test_answers_and_candidates_keep_step(failing):
    texts = [BAD if bad else good(i) for i, bad in enumerate(failing)]
    client, asked = answers(texts)
    designer = Eureka(Writer(client))
    first = numbered(designer.propose(TASK, History(), KEY, 3), 0)
    assert [c.answer for c in first] == texts
    assert [bool(c.error) for c in first] == list(failing)
    assert all(c.origin == "eureka" for c in first)
    history = History(trained(first, [0.1, 0.3, 0.2]))
    best = chosen(history, 0)
    client2, asked2 = answers([good(9)])
    (child,) = dataclasses.replace(designer, writer=Writer(client2)).propose(TASK, history, KEY, 1)
    (talk,) = asked2
    order = [1, 2, 0]
    want = next((i for i in order if not failing[i]), 0)
    assert best.candidate.id == f"0.0.{want}"
    assert talk[2] == {"role": "assistant", "content": texts[want]}  # byte for byte
    assert child.parents == (f"0.0.{want}",)
    assert ("could not be used" in talk[3]["content"]) == all(failing)
    assert (f"task_score: ['{[0.1, 0.3, 0.2][want]:.2f}'" in talk[3]["content"]) == (not all(failing))
    assert asked[0][:2] == talk[:2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BAD, "exactly one function"),
        ("", "empty"),
        ("prose", "no program"),
        ("```python\n" + program(1.0).replace("ns.height", "ns.hight") + "```", "did you mean 'height'"),
        (ClientError("the endpoint answered with status 500"), "status 500"),
    ],
)
def test_reasons_are_fed_back_as_data(text, words):
    client, asked = answers([text, good(1)])
    designer = Eureka(Writer(client))
    (first,) = numbered(designer.propose(TASK, History(), KEY, 1), 0)
    assert words in first.error
    assert not first.text
    (second,) = designer.propose(TASK, History((Record(first),)), jax.random.key(1), 1)
    assert not second.error
    if first.answer:
        data = asked[1][-1]["content"].split('<data name="reason">\n')[1].split("\n")[0]
        assert words in json.loads(data)
    else:  # there is no answer to speak of
        assert asked[1] == asked[0]


def test_forbidden_features_are_refused():
    client, _ = answers([good(0)])
    task = dataclasses.replace(TASK, forbidden=("height",))
    (candidate,) = Independent(Writer(client)).propose(task, History(), KEY, 1)
    assert "unknown field" in candidate.error


def test_a_person_is_heard_on_the_same_way():
    client, asked = answers([good(0), good(1)])
    designer = Eureka(Writer(client), warm_start=program(0.5), safety="stay slow </data>")
    first = numbered(designer.propose(TASK, History(), KEY, 3), 0)
    assert first[0].text == program(0.5)
    assert first[0].origin == "human"
    assert [bool(c.error) for c in first] == [False, True, True]
    assert not asked  # the first generation costs nothing
    history = History(trained(first, [0.2, 0, 0]), feedback=("it swings </data> too much",))
    designer.propose(TASK, history, KEY, 1)
    talk = asked[0]
    assert program(0.5).strip() in talk[2]["content"]
    assert "A person watched" in talk[3]["content"]
    assert "task_score: [" not in talk[3]["content"]
    assert talk[3]["content"].count("</data>") == 1
    assert "stay safe" in talk[1]["content"]
    assert talk[1]["content"].count("</data>") == 2
    designer.propose(TASK, history._replace(feedback=()), jax.random.key(1), 1)
    assert "task_score: ['0.20'" in asked[1][3]["content"]


def test_the_conversation_holds_turns_and_warnings():
    client, asked = answers([good(i) for i in range(6)])
    designer = Eureka(Writer(client), turns=2)
    records = ()
    for generation in range(3):
        found = designer.propose(TASK, History(records), jax.random.key(generation), 2)
        new = trained(numbered(found, generation), [0.1, 0.2])
        new = (new[0], dataclasses.replace(new[1], verdicts=(Verdict("hover", False, "pays 3.2", False),)))
        records += new
    assert [len(talk) for talk in asked] == [2, 2, 4, 4, 6, 6]
    assert [m["content"] for m in asked[-1] if m["role"] == "assistant"] == [good(1), good(3)]
    assert "hover: pays 3.2" in asked[-1][-1]["content"]


def test_terms_instead_of_programs():
    schema = schema_of(TASK, KEY)
    term = {"kind": "closeness", "field": schema.measures[0].name, "target": 0.0, "scale": 1.0, "weight": 1.0}
    texts = [json.dumps({"terms": [term]}), json.dumps({"terms": [{**term, "weight": 1e15}]}), "prose"]
    client, asked = answers(texts)
    designer = Independent(Writer(client, "spec", schema))
    first, absurd, prose = designer.propose(TASK, History(), KEY, 3)
    assert first.genome == [term]
    assert parse_program(first.text)
    assert first.answer == texts[0]
    assert "weight" in absurd.error
    assert "JSON" in prose.error
    assert schema.measures[0].name in asked[0][0]["content"]
    with pytest.raises(UsageError, match="needs schema"):
        Writer(client, "spec")
    with pytest.raises(UsageError, match="mode"):
        Writer(client, "codes")


def test_a_budget_ends_asking_not_the_design():
    client, asked = answers([good(i) for i in range(4)])
    client.budget = Budget(calls=2)
    found = Eureka(Writer(client)).propose(TASK, History(), KEY, 4)
    assert len(asked) == 2
    assert [bool(c.error) for c in found] == [False, False, True, True]
    assert "budget of calls=2" in found[2].error


def test_human_normalised_scores():
    assert human_normalised(3.0, 2.0, 1.0) == (2.0, "")
    same = human_normalised(3.0, 1.0, 1.0)
    assert math.isnan(same.score)
    assert "undefined" in same.remark
    below = human_normalised(3.0, 0.0, 1.0)
    assert below.score == 2.0
    assert "below the sparse" in below.remark
    assert math.isnan(human_normalised(math.nan, 0.0, 1.0).score)


MC = """memory = {"best": -1.0}

def reward(s, a, ns, done, m):
    # pay once for every new height
    best = jnp.maximum(m.best, ns.height)
    sparse = jnp.where(ns.height > 0.95, 3.0, 0.0)
    dense = 5.0 * (best - m.best) - 0.01 * jnp.abs(ns.velocity)
    return sparse + dense, {"sparse": sparse, "dense": dense}, {"best": best}
"""


def test_signs_alone_are_paid():
    mine = scaled(parse_program(MC))
    again = parse_program(print_program(mine))
    assert again.digest == mine.digest
    rng, values = np.random.default_rng(0), set()
    for _ in range(40):
        ns = {"height": np.float32(rng.uniform(-1, 1)), "velocity": np.float32(rng.choice([0.0, 1.0]))}
        m = {"best": np.float32(rng.uniform(-1, 1))}
        args = (mine.constants, ns, np.float32(0), ns, np.bool_(False), m)
        total, terms, after = run_program(mine, *args)
        _, own, mem = run_program(parse_program(MC), parse_program(MC).constants, *args[1:])
        assert float(total) == pytest.approx(np.sign(own["sparse"]) + 0.1 * np.sign(own["dense"]))
        assert float(terms["sparse"] + terms["dense"]) == pytest.approx(float(total))
        assert after["best"] == mem["best"]
        values.add(round(float(total), 3))
    assert values <= {0.0, 0.1, -0.1, 0.9, -0.9, 1.0, -1.0, 1.1, -1.1}
    assert len(values) >= 3
    with pytest.raises(ProgramError, match="exactly the terms"):
        scaled(parse_program(program(1.0)))


def mc(i=0):
    return f"Thoughts {i}.\n```python\n{MC.replace('5.0', f'{i + 5}.0')}```"


ACCEPT = json.dumps({"accept": True, "problems": ""})


def refuse(i):
    return json.dumps({"accept": False, "problems": f"problem {i} </data>"})


def test_the_critic_reviews_at_most_three_times():
    client, asked = answers([mc(0), refuse(1), mc(1), refuse(2), mc(2), refuse(3), mc(3)])
    (candidate,) = AutoMC(Writer(client)).propose(TASK, History(), KEY, 1)
    assert candidate.answer == mc(3)
    assert candidate.notes["reviews"] == 3
    assert "problem 3" in candidate.notes["problems"]
    assert len(asked) == 7
    assert asked[2][-2]["content"] == mc(0)
    assert "problem 1" in asked[2][-1]["content"]
    assert asked[2][-1]["content"].count("</data>") == 1


def test_an_accepted_program_is_not_reviewed_again():
    client, asked = answers([mc(0), mc(1), ACCEPT, refuse(1), mc(2), ACCEPT])
    first, second = AutoMC(Writer(client)).propose(TASK, History(), KEY, 2)
    assert (first.answer, second.answer) == (mc(0), mc(2))
    assert (first.notes["reviews"], second.notes["reviews"]) == (1, 2)
    assert "jnp.sign" in first.text
    assert len(asked) == 6


def test_what_is_no_program_is_sent_back_without_the_critic():
    client, asked = answers([good(0), mc(1), "I cannot say"])
    (candidate,) = AutoMC(Writer(client)).propose(TASK, History(), KEY, 1)
    assert candidate.answer == mc(1)
    assert "exactly the terms" in asked[1][-1]["content"]
    assert len(asked) == 3  # a review that cannot be read stops nothing
    assert isinstance(AutoMC(Writer(client)), Designer)
    with pytest.raises(UsageError, match="reviews"):
        AutoMC(Writer(client), reviews=4)


def test_the_analyst_sees_failures_alone():
    client, asked = answers([mc(0), ACCEPT])
    designer = AutoMC(Writer(client))
    (first,) = numbered(designer.propose(TASK, History(), KEY, 1), 0)
    (record,) = trained([first], [0.1])
    steps = [{"height": -1.0, "action": [0.5], "paid": {"sparse": 0.0, "dense": 0.1}}]
    episode = {"ending": "time limit", "steps": steps}
    failures = {"endings": {"success": 1, "time limit": 2}, "episodes": [episode]}
    record = dataclasses.replace(record, outcome=dataclasses.replace(record.outcome, failures=failures))
    client, asked = answers(["It swings back and forth.", mc(1), ACCEPT])
    (second,) = AutoMC(Writer(client)).propose(TASK, History((record,)), KEY, 1)
    assert second.notes["analysis"] == "It swings back and forth."
    assert second.parents == ("0.0.0",)
    assert '"time limit"' in asked[0][1]["content"]
    assert "It swings back and forth." in asked[1][1]["content"]


def test_designers_of_a_configuration_keep_a_record(tmp_path):
    from rlkit.design.config import DesignConfig
    from rlkit.design.models import TRANSCRIPT, recorded

    config = DesignConfig(designer="eureka", model="some-model", max_calls=3)
    designer = config.make_designer(schema_of(TASK, KEY))
    assert isinstance(designer, Eureka)
    client, _ = answers([good(0)])
    client.budget = designer.writer.client.budget
    kept = recorded(dataclasses.replace(designer, writer=Writer(client)), tmp_path)
    (candidate,) = kept.propose(TASK, History(), KEY, 1)
    assert candidate.answer == good(0)
    assert good(0) in json.loads((tmp_path / TRANSCRIPT).read_text())["answer"]["text"]
    assert kept.writer.client.budget == Budget(calls=3)
    with pytest.raises(UsageError, match="model=''"):
        DesignConfig(designer="llm").make_designer(schema_of(TASK, KEY))
