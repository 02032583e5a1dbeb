"""Asking models: an endpoint with every fault on loopback, transcripts, replays and budgets."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rlkit.design.clients import (
    Answering,
    BudgetError,
    ClientError,
    EndpointError,
    MissingAnswerError,
    Request,
)
from rlkit.design.endpoint import Endpoint
from rlkit.design.transcripts import Budget, Transcript
from rlkit.errors import UsageError

CANARY = "sk-canary-0123456789"
HELLO = [{"role": "user", "content": "hello"}]


def body(text="hi", reason="stop", **usage):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    return {"id": "x", "object": "chat.completion", "model": "stub", "choices": [choice], "usage": usage}


class Stub(BaseHTTPRequestHandler):
    """Answers with what the test put into ``server.script``, one entry a request; the last one stays."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((asked, self.headers["authorization"]))
        script = self.server.script
        step = script.pop(0) if len(script) > 1 else script[0]
        step(self, asked)

    def log_message(self, *args):
        pass

    def send(self, status, data, length=None, **headers):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


def good(handler, asked):
    handler.send(200, body(prompt_tokens=5, completion_tokens=2))


def drip(handler, asked):
    data = json.dumps(body("x" * 4000)).encode()
    handler.send(200, b"", length=len(data))
    try:
        for i in range(len(data)):
            handler.wfile.write(data[i : i + 1])
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:  # the client has gone
        handler.close_connection = True


def drip_headers(handler, asked):
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(200):
            handler.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:
        pass
    handler.server.gone.set()
    handler.close_connection = True


def truncated(handler, asked):
    data = json.dumps(body()).encode()
    handler.send(200, data[:-20], length=len(data))
    handler.close_connection = True


def silent(handler, asked):
    time.sleep(0.6)
    handler.close_connection = True


def fault(status, data=b"{}", **headers):
    return lambda handler, asked: handler.send(status, data, **headers)


@pytest.fixture
def stub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.asked, server.script, server.waits, server.gone = [], [good], [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def endpoint(stub, **options):
    options = {"timeout": 20.0, "retries": 2, "key": CANARY} | options
    address = f"http://127.0.0.1:{stub.server_port}/v1"
    return Endpoint("m", base_url=address, sleep=stub.waits.append, **options)


def test_an_answer_with_its_cost(stub):
    pytest.importorskip("openai")
    answer = endpoint(stub).complete(HELLO, temperature=0.5, seed=7, max_tokens=9)
    assert (answer.text, answer.usage.total, answer.model) == ("hi", 7, "stub")
    asked, authorization = stub.asked[0]
    assert authorization == f"Bearer {CANARY}"
    assert "n" not in asked  # never rely on it
    wanted = {"model": "m", "messages": HELLO, "temperature": 0.5, "seed": 7, "max_tokens": 9}
    assert wanted.items() <= asked.items()


@pytest.mark.parametrize(
    ("step", "waits"),
    [
        (fault(429, retry_after="3"), [3.0]),
        (fault(500), None),
        (fault(503), None),
        (truncated, None),
        (fault(200, b"<html><body>sign in</body></html>"), None),
        (fault(200, {"choices": []}), None),
        (fault(200, {"choices": [{"message": {"content": 7}}]}), None),
        (fault(200, []), None),
        (fault(429, retry_after="nan"), None),
        (fault(429, retry_after="inf"), None),
        (fault(429, retry_after="Wed, 21 Oct 2015 07:28:00 +99999999999999999"), None),
        (fault(200, b"[" * 200_000), None),
        (fault(200, b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), None),
        (fault(200, body("hi \ud800 x")), None),
        (fault(200, body() | {"model": "\udfff"}), None),
        (fault(200, body(prompt_tokens=10**400)), None),
        (fault(200, body(prompt_tokens=-1)), None),
    ],
)
def test_what_may_pass_is_tried_again(stub, step, waits):
    pytest.importorskip("openai")
    stub.script = [step, good]
    answer = endpoint(stub).complete(HELLO)
    assert (answer.text, answer.attempts, len(stub.asked)) == ("hi", 2, 2)
    assert stub.waits == waits if waits else 0.5 <= stub.waits[0] <= 1.5


def test_what_cannot_be_read_again_is_not_recorded(stub, tmp_path):
    pytest.importorskip("openai")
    depth = 600  # it can be read, and not copied by recursion
    nested = json.loads("[" * depth + "]" * depth)
    stub.script = [fault(200, body("\ud800")), fault(200, body("\ud83d\ude00") | {"x": nested})]
    budget = Budget(money=1, prompt_price=1)
    first = Transcript(endpoint(stub, key="x"), tmp_path / "t.jsonl", budget=budget)
    assert first.complete(HELLO).text == "\U0001f600"
    again = Transcript(path=tmp_path / "t.jsonl", budget=budget)
    again.count_known()
    assert again.spent == first.spent
    stub.script = [fault(200, body("x" * 9, completion_tokens=10**400))]
    with pytest.raises(ClientError, match="not a chat completion"):
        first.complete(HELLO, seed=1)


def test_retries_end(stub):
    pytest.importorskip("openai")
    stub.script = [fault(500)]
    with pytest.raises(ClientError, match="status 500, in attempt 3"):
        endpoint(stub).complete(HELLO)
    assert len(stub.asked) == 3
    stub.script = [fault(429, retry_after="100000")]
    with pytest.raises(ClientError, match="attempt 1"):
        endpoint(stub).complete(HELLO)


@pytest.mark.parametrize("step", [silent, drip, drip_headers])
def test_a_request_has_a_time_limit(stub, step):
    pytest.importorskip("openai")
    stub.script = [step]
    start = time.monotonic()
    with pytest.raises(ClientError, match=r"within 0\.3 s"):
        endpoint(stub, timeout=0.3, retries=0).complete(HELLO)
    assert time.monotonic() - start < 5
    assert step is not drip_headers or stub.gone.wait(5)  # nothing goes on reading


def test_an_answer_has_a_largest_size(stub):
    pytest.importorskip("openai")
    stub.script = [fault(200, body("x" * 1_000_000))]
    with pytest.raises(ClientError, match="more than 512000 bytes"):
        endpoint(stub).complete(HELLO)
    assert len(stub.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_will_not_pass_stops(stub, status):
    pytest.importorskip("openai")
    stub.script = [fault(status, {"error": {"message": f"Incorrect API key provided: {CANARY}"}})]
    with pytest.raises(EndpointError, match=f"status {status}") as error:
        endpoint(stub).complete(HELLO)
    assert CANARY not in str(error.value)
    assert len(stub.asked) == 1


def test_a_refused_schema_is_left_out(stub):
    pytest.importorskip("openai")
    stub.script = [fault(400), good]
    answer = endpoint(stub).complete(HELLO, schema={"type": "object"})
    assert "response_format" in stub.asked[0][0]
    assert "response_format" not in stub.asked[1][0]
    assert not answer.schema
    stub.script = [good]
    assert endpoint(stub).complete(HELLO, schema={"type": "object"}).schema


def test_empty_and_cut_off_answers_are_answers(stub):
    pytest.importorskip("openai")
    stub.script = [fault(200, body(None, "length"))]
    answer = endpoint(stub).complete(HELLO)
    assert (answer.text, answer.finish_reason) == ("", "length")


def test_nobody_there():
    pytest.importorskip("openai")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    nobody = Endpoint("m", base_url=f"http://127.0.0.1:{port}/v1", retries=0)
    with pytest.raises(ClientError, match="connection failed"):
        nobody.complete(HELLO)


def test_keys_go_nowhere(stub, tmp_path, caplog):
    pytest.importorskip("openai")
    caplog.set_level(0)
    stub.script = [fault(500, CANARY.encode()), fault(200, body(f"your key is {CANARY}"))]
    client = endpoint(stub)
    transcript = Transcript(client, tmp_path / "t.jsonl")
    assert transcript.complete(HELLO).text == "your key is [key]"
    assert CANARY not in (tmp_path / "t.jsonl").read_text()
    assert CANARY not in repr(client) + repr(transcript) + caplog.text
    secret = Endpoint("m", base_url=f"http://user:{CANARY}@127.0.0.1:1/v1/{CANARY}")
    assert secret.family == "127.0.0.1:1"
    assert CANARY not in repr(secret)


def test_keys_in_escapes_go_nowhere(stub, tmp_path):
    pytest.importorskip("openai")
    escaped = "".join(f"\\u{ord(c):04x}" for c in CANARY)
    data = body("it is KEY", "KEY") | {"model": "KEY", "KEY": ["KEY"]}
    stub.script = [fault(200, json.dumps(data).replace("KEY", escaped).encode())]
    answer = Transcript(endpoint(stub), tmp_path / "t.jsonl").complete(HELLO)
    assert (answer.text, answer.model, answer.finish_reason) == ("it is [key]", "[key]", "[key]")
    (line,) = (tmp_path / "t.jsonl").read_text().splitlines()
    assert CANARY not in str(json.loads(line)) + str(answer.raw)


@pytest.mark.parametrize("key", ["x", "s", "content"])
def test_short_keys_change_no_answer(stub, key):
    pytest.importorskip("openai")
    text = "content = jnp.exp(-ns.distance)"
    stub.script = [fault(200, body(text))]
    assert endpoint(stub, key=key, retries=0).complete(HELLO).text == text


def test_white_space_around_a_key_is_none_of_it(stub, monkeypatch):
    pytest.importorskip("openai")
    stub.script = [fault(200, body(CANARY))]
    monkeypatch.setenv("OPENAI_API_KEY", f" {CANARY}\r\n")
    for client in (endpoint(stub, key=f"{CANARY}\n"), endpoint(stub, key=None)):
        assert client.complete(HELLO).text == "[key]"
    assert [authorization for _, authorization in stub.asked] == [f"Bearer {CANARY}"] * 2


@pytest.mark.parametrize("inside", ["\n", "\x00", "\x7f", "\xe9"])
def test_keys_that_no_header_holds_are_refused(stub, monkeypatch, inside):
    key = f"{CANARY}{inside}{CANARY}"
    with pytest.raises(UsageError, match=r"^key: expected a key") as error:
        endpoint(stub, key=key)
    assert CANARY not in str(error.value)
    client = endpoint(stub, key=None)
    if inside != "\x00":  # no environment holds it
        monkeypatch.setenv("OPENAI_API_KEY", key)
        for refused in (lambda: client.complete(HELLO), lambda: endpoint(stub, key=None)):
            with pytest.raises(UsageError, match=r"^OPENAI_API_KEY: expected a key"):
                refused()
    assert not stub.asked


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": ""}, "model"),
        ({"timeout": 0}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"base_url": "localhost:80"}, "http://"),
    ],
)
def test_bad_endpoints(arguments, words):
    with pytest.raises(UsageError, match=words):
        Endpoint(**{"model": "m"} | arguments)


def counted(delays=()):
    """A client that counts, and whose first answers come last."""
    asked = []

    def answer(messages, seed):
        asked.append(seed)
        time.sleep(delays[seed] if seed < len(delays) else 0)
        if seed == 3:
            raise ClientError("no answer to 3")
        return f"answer {seed}"

    return Answering(answer), asked


def requests(seeds):
    return [Request(HELLO, seed=seed, max_tokens=10) for seed in seeds]


def test_a_record_is_in_the_order_of_the_questions_and_replays(tmp_path, monkeypatch):
    path = tmp_path / "t.jsonl"
    client, asked = counted(delays=(0.1, 0.05))
    first = Transcript(client, path).complete_all(requests([0, 1, 2, 3, 1]))
    assert sorted(asked) == [0, 1, 2, 3]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["request"]["seed"] for line in lines] == [0, 1, 2, 3]
    monkeypatch.setattr(socket, "socket", None)  # any use of it would raise
    replay = Transcript(path=path)
    again = replay.complete_all(requests([0, 1, 2, 3, 1]))
    assert [str(getattr(a, "text", a)) for a in again] == [str(getattr(a, "text", a)) for a in first]
    assert str(again[3]) == "no answer to 3"
    with pytest.raises(MissingAnswerError, match="no answer to question"):
        replay.complete(HELLO, seed=99)
    assert replay.spent.calls == 4
    assert replay.spent.errors == 1


def test_a_record_that_was_cut_off_goes_on_where_it_was(tmp_path):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    Transcript(counted()[0], whole).complete_all(requests(range(5)))
    data = whole.read_bytes()
    for size in (0, 10, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:size])
        client, asked = counted()
        Transcript(client, cut).complete_all(requests(range(5)))
        assert len(asked) == 5 - data[:size].count(b"\n")
        assert cut.read_bytes() == data


@pytest.mark.parametrize("damage", [b"{}\n", b"no json\n", b"[1]\n"])
def test_files_that_are_no_transcripts(tmp_path, damage):
    (tmp_path / "t.jsonl").write_bytes(damage)
    with pytest.raises(UsageError, match=r"t\.jsonl:1"):
        Transcript(path=tmp_path / "t.jsonl")


def test_a_changed_question_is_seen(tmp_path):
    path = tmp_path / "t.jsonl"
    Transcript(counted()[0], path).complete_all(requests([0]))
    path.write_text(path.read_text().replace("hello", "hullo"))
    with pytest.raises(UsageError, match="changed"):
        Transcript(path=path)
    with pytest.raises(UsageError, match="cannot read"):
        Transcript(path=tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="needs a client"):
        Transcript()


@pytest.mark.parametrize(
    ("budget", "answers"),
    [
        (Budget(calls=2), 2),
        (Budget(tokens=79), 2),  # 21 bytes of question and at most 10 of answer, 8 of them used
        (Budget(money=79e-6, prompt_price=1.0, completion_price=1.0), 2),
        (Budget(), 5),
    ],
)
def test_budgets_are_hard(budget, answers):
    client, asked = counted()
    transcript = Transcript(client, budget=budget)
    out = transcript.complete_all(requests([0, 1, 2, 4, 5]))
    assert len(asked) == answers
    assert sum(isinstance(a, BudgetError) for a in out) == 5 - answers
    assert not transcript.spent.exceeds(budget)
    assert transcript.spent.prompt == 21 * answers
    with pytest.raises(UsageError, match="prices"):
        Budget(money=1)


def test_a_design_that_goes_on_has_paid_for_what_was_asked_before(tmp_path):
    path = tmp_path / "t.jsonl"
    first = Transcript(counted()[0], path)
    first.complete_all(requests(range(4)))  # the last one is an error
    client, asked = counted()
    again = Transcript(client, path, budget=Budget(calls=5))
    assert again.spent.calls == 0
    again.count_known()
    again.count_known()  # once is enough
    assert again.spent == first.spent
    assert (again.spent.calls, again.spent.errors) == (4, 1)
    out = again.complete_all(requests([7, 8]))  # of the earlier ones none is asked again
    assert [isinstance(answer, BudgetError) for answer in out] == [False, True]
    assert asked == [7]
    again.complete_all(requests(range(3)))
    assert again.spent.calls == 5


def test_what_is_on_record_counts_as_well(tmp_path):
    path = tmp_path / "t.jsonl"
    Transcript(counted()[0], path).complete_all(requests(range(3)))
    client, asked = counted()
    again = Transcript(client, path, budget=Budget(calls=4))
    out = again.complete_all(requests([0, 1, 2, 4, 5]))
    assert [isinstance(a, BudgetError) for a in out] == [False] * 4 + [True]
    assert asked == [4]
