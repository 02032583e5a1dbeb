"""A person as the teacher: clips, the folder of answers, the page, and rewards fitted to what was said."""

import errno
import functools
import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from browser import browser, tab

from rlkit import cli
from rlkit.envs import make
from rlkit.envs.core import observe
from rlkit.errors import RlkitError, UnknownNameError, UsageError
from rlkit.experiment.asking import answers, clips, fitting, rounds
from rlkit.experiment.asking.page import Page
from rlkit.experiment.runs import store
from rlkit.experiment.training import loading, run
from rlkit.prefs.feedback import inputs
from rlkit.prefs.feedback.models import ModelConfig, build
from rlkit.prefs.feedback.saved import read_model, save_reward
from rlkit.rewards import read

ENV = make("classic/pendulum")
LENGTH, ASKED = 6, 6


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Six questions, of which a simulated teacher has answered none."""
    found = answers.create(tmp_path_factory.mktemp("asked") / "q", "classic/pendulum", {}, LENGTH)
    return rounds.add_round(found, ASKED, size=32)


@pytest.fixture
def questions(asked, tmp_path):
    """A copy of them."""
    return answers.load(shutil.copytree(asked.folder, tmp_path / "q"))


def test_clips_are_stretches_of_episodes_with_their_states():
    recorded = clips.record_clips(ENV, [clips.exploring(ENV)], jax.random.key(0), 5, LENGTH)
    assert recorded.mask.shape == (5, LENGTH)
    assert recorded.mask.all()
    seen, params = recorded.transition, ENV.default_params()
    look = jax.vmap(jax.vmap(lambda state: observe(ENV, jax.random.key(0), state, params)))
    obs = np.asarray(look(jax.tree.map(jnp.asarray, recorded.states)))
    np.testing.assert_allclose(obs[:, :-1], seen.obs, rtol=1e-6)
    np.testing.assert_allclose(obs[:, 1:], seen.next_obs, rtol=1e-6)
    again = clips.record_clips(ENV, [clips.exploring(ENV)], jax.random.key(0), 5, LENGTH)
    jax.tree.map(np.testing.assert_array_equal, recorded, again)


def test_clips_end_with_their_episode():
    cart = make("classic/cartpole")
    recorded = clips.record_clips(cart, [clips.exploring(cart)], jax.random.key(0), 8, 200)
    lengths = recorded.mask.sum(1)
    assert (lengths < 200).all()
    for i, n in enumerate(lengths):
        done = recorded.transition.done[i]
        assert done[n - 1]
        assert not done[: n - 1].any()
        assert recorded.mask[i, :n].all()
        assert len(clips.draw_clip(cart, recorded, i, 16)) > 100


def test_answers_are_kept_and_never_changed(questions):
    answers.answer(questions, 2, "first")
    answers.answer(questions, 0, "skip", by="someone")
    before = (questions.folder / answers.ANSWERS).read_bytes()
    for pair, said, error, words in (
        (2, "second", answers.AnsweredError, r"pair 2 has been answered \(first\)"),
        (ASKED, "first", answers.UnknownPairError, f"pair={ASKED}: expected one of 0 to {ASKED - 1}"),
        (-1, "first", answers.UnknownPairError, "pair=-1"),
        (True, "first", answers.UnknownPairError, "pair=True"),
        ("1", "first", answers.UnknownPairError, "pair='1'"),
        (1, "frist", UnknownNameError, "did you mean 'first'"),
    ):
        with pytest.raises(error, match=words):
            answers.answer(questions, pair, said)
    assert (questions.folder / answers.ANSWERS).read_bytes() == before
    again = answers.load(questions.folder)
    assert {pair: line["answer"] for pair, line in answers.answered(again).items()} == {2: "first", 0: "skip"}
    assert answers.unanswered(again) == [1, 3, 4, 5]
    seen = inputs(ENV.spec)
    data = answers.comparisons(again, seen)
    assert data.label.tolist() == [1.0, 0.5]
    assert data.weight.tolist() == [1.0, 0.0]
    transition, mask = answers.read_pair(again, 2)[0]
    np.testing.assert_allclose(data.first.feats[0], seen.of(jax.tree.map(jnp.asarray, transition)))
    np.testing.assert_array_equal(data.first.mask[0], mask)


def test_what_is_damaged_or_empty_is_refused(questions, tmp_path):
    with pytest.raises(UsageError, match="0 answers, none of which prefers a clip"):
        answers.comparisons(questions, inputs(ENV.spec))
    answers.answer(questions, 0, "equal")
    with pytest.raises(UsageError, match="1 answers, none of which prefers"):
        answers.comparisons(questions, inputs(ENV.spec))
    with pytest.raises(UsageError, match="holds no questions"):
        answers.load(tmp_path)
    with pytest.raises(UsageError, match="exists and holds no questions"):
        answers.create(tmp_path, "classic/pendulum")
    line = (questions.folder / answers.ANSWERS).read_text()
    (questions.folder / answers.ANSWERS).write_text(line * 2)  # someone has copied an answer
    with pytest.raises(UsageError, match=r"line 2 of .*restore the file"):
        answers.answered(questions)
    about = (questions.folder / answers.QUESTIONS).read_text()
    (questions.folder / answers.QUESTIONS).write_text(about.replace('"pairs": 6', '"pairs": 60'))
    with pytest.raises(UsageError, match="is not what was written"):
        answers.load(questions.folder)


def test_answers_that_were_changed_are_noticed(questions):
    for pair, said in enumerate(("first", "second", "equal")):
        answers.answer(questions, pair, said)
    path = questions.folder / answers.ANSWERS
    lines = path.read_text().splitlines(keepends=True)
    odd = {
        "turned": [lines[0].replace("first", "second"), *lines[1:]],
        "left out": [lines[0], lines[2]],
        "moved": [lines[1], lines[0], lines[2]],
        "unsealed": ['{"pair": 4, "answer": {}}\n', *lines],
    }
    for what, changed in odd.items():
        path.write_text("".join(changed))
        with pytest.raises(UsageError, match=r"line \d of .*answers\.jsonl .*; restore the file"):
            answers.answered(questions)
        assert what
    path.write_text("".join(lines))
    assert len(answers.answered(questions)) == 3


def test_an_answer_after_a_torn_one_is_kept(questions, capsys):
    for pair, said in enumerate(("first", "second", "equal")):
        answers.answer(questions, pair, said)
    path = questions.folder / answers.ANSWERS
    path.write_bytes(path.read_bytes()[:-60])  # a power cut
    answers.answer(questions, 2, "first")
    answers.answer(questions, 3, "first")
    assert [line["answer"] for line in answers.answered(questions).values()] == [
        "first", "second", "first", "first",
    ]  # fmt: skip
    assert "ended in half a line" in capsys.readouterr().err
    data = path.read_bytes()
    path.write_bytes(data[:-30] + b"#" + data[-29:])  # a whole line that was changed
    with pytest.raises(UsageError, match=r"line 4 of .*answers\.jsonl"):
        answers.answered(questions)
    path.write_bytes(data[:-1] + b"\x0b")  # its newline is no longer one: it was torn, as far as one can see
    assert len(answers.answered(questions)) == 3


def test_pictures_that_were_exchanged_are_not_shown(questions):
    sides = [answers.clip_path(questions, 0, side) for side in answers.SIDES]
    first, second = (path.read_bytes() for path in sides)
    assert answers.picture(questions, 0, "first") == first
    sides[0].write_bytes(second)
    with pytest.raises(UsageError, match=r"00000-first\.gif is not the picture that was drawn"):
        answers.picture(questions, 0, "first")
    bare = questions._replace(about={k: v for k, v in questions.about.items() if k != "pictures"})
    assert answers.picture(bare, 0, "first") == second  # of an earlier version


def test_a_reward_that_cannot_be_written_leaves_the_former_one(tmp_path, monkeypatch):
    config = ModelConfig(sizes=(4,), members=1)
    params = build(ENV.spec, config).whole.init(jax.random.key(0))
    path = save_reward(tmp_path / "x.reward.npz", ENV.spec, config, params)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RlkitError, match="free some space"):
        save_reward(path, ENV.spec, config, params)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_answers_and_clips_of_an_earlier_version_are_read(questions):
    bare = questions._replace(about={k: v for k, v in questions.about.items() if k != "clips"})
    rows = [{"pair": pair, "answer": "first", "by": "me", "at": 1.0} for pair in range(2)]
    (questions.folder / answers.ANSWERS).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    answers.answer(bare, 2, "second")
    assert list(answers.answered(bare)) == [0, 1, 2]
    assert len(answers.read_pair(bare, 0)) == 2


def test_clips_that_were_changed_are_noticed(questions):
    pairs = questions.folder / answers.PAIRS
    shutil.copy(pairs / "00001.npz", pairs / "00000.npz")
    with pytest.raises(UsageError, match=r"00000\.npz is not what was asked about"):
        answers.read_pair(questions, 0)
    bare = questions._replace(about={k: v for k, v in questions.about.items() if k != "clips"})
    arrays = store.read_arrays(pairs / "00002.npz")
    odd = {
        "first.obs": arrays["first.obs"].astype(complex), "first.mask": arrays["first.mask"][:2],
        "second.mask": np.full(LENGTH, np.nan), "second.action": arrays["second.action"][:-1],
    }  # fmt: skip
    for name, value in odd.items():
        store.write_arrays(pairs / "00002.npz", arrays | {name: value})
        with pytest.raises(UsageError, match=r"pair 2 of .*; ask it anew"):
            answers.read_pair(bare, 2)
        assert name
    about = json.loads((questions.folder / answers.QUESTIONS).read_text())
    del about[store.DIGEST]
    (questions.folder / answers.QUESTIONS).write_text(json.dumps(about | {"pairs": 3}))
    with pytest.raises(UsageError, match="has lost its sha256"):
        answers.load(questions.folder)


def test_the_page_says_what_is_wrong_with_the_folder(questions, capfd):
    with Page(questions) as page:
        (questions.folder / answers.PAIRS / "00000-first.gif").unlink()
        code, data = _request(page, "/clip/0/first.gif")
        assert (code, "cannot read" in json.loads(data)["error"]) == (500, True)
        (questions.folder / answers.ANSWERS).write_text('{"pair": 0, "answer": {}}\n' * 2)
        for path, body in (("/state", None), ("/answer", {"pair": 1, "answer": "first"})):
            code, data = _request(page, path, body)
            assert (code, "restore the file" in json.loads(data)["error"]) == (400, True)
    assert capfd.readouterr().err == ""


def test_a_damaged_run_that_acts_in_clips_is_said(questions, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loading, "damage", lambda folder: ["metrics.jsonl is not what the run wrote"])
    with pytest.raises(UsageError, match="nowhere"):
        rounds.add_round(questions, 1, runs=[tmp_path / "nowhere"])
    assert capsys.readouterr().err == "warning: metrics.jsonl is not what the run wrote\n"


def test_a_folder_that_could_not_be_made_can_be_made_again(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_json", full)
        with pytest.raises(RlkitError, match=r"cannot write .*q: No space left"):
            answers.create(tmp_path / "q", "classic/pendulum")
    assert answers.create(tmp_path / "q", "classic/pendulum").size == 0


def _request(page, path, body=None, token=None, host=None):
    """Status and JSON of a request as a browser would make it."""
    base, _, own = page.url.partition("/#")
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"X-Token": own if token is None else token} | ({} if host is None else {"Host": host})
    request = urllib.request.Request(base + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_page_takes_each_answer_once(questions):
    with Page(questions, by="me") as page:
        send = functools.partial(_request, page)
        code, data = send("/state")
        assert (code, json.loads(data)["next"]) == (200, 0)
        assert send("/clip/0/first.gif")[1][:6] == b"GIF89a"
        code, data = send("/answer", {"pair": 0, "answer": "second"})
        assert (code, json.loads(data)["answered"], json.loads(data)["next"]) == (200, 1, 1)
        for body, wanted in (
            ({"pair": 0, "answer": "first"}, 409),
            ({"pair": 99, "answer": "first"}, 404),
            ({"pair": None, "answer": "first"}, 404),
            ({"pair": 1, "answer": "neither"}, 400),
            ({"pair": 1}, 400),
            ({"pair": 1, "answer": ["first"]}, 400),
            ({"pair": 1, "answer": {}}, 400),
            ([1, 2], 400),
            (b"{", 400),
            (b"x" * 5000, 400),
        ):
            code, data = send("/answer", body)
            assert code == wanted, body
            assert json.loads(data)["error"]
        for path, token, host, wanted in (
            ("/state", "guess", None, 403),
            ("/state", "", None, 403),
            ("/clip/0/first.gif", "", None, 403),
            ("/", "", "elsewhere.example", 403),
            ("/state", None, "elsewhere.example", 403),
            ("/clip/6/first.gif", None, None, 404),
            ("/clip/../questions.json", None, None, 404),
            ("/../../etc/passwd", None, None, 404),
        ):
            assert send(path, token=token, host=host)[0] == wanted, path
        assert send("/answer", {"pair": 1, "answer": "first"}, token="guess")[0] == 403
        assert answers.unanswered(questions) == [1, 2, 3, 4, 5]
        assert not page.wait(0)
        for pair in range(1, ASKED):
            assert send("/answer", {"pair": pair, "answer": "equal"})[0] == 200
        assert page.wait(5)
    lines = store.read_jsonl(questions.folder / answers.ANSWERS)
    assert [(line["pair"], line["answer"], line["by"]) for line in lines][:2] == [
        (0, "second", "me"),
        (1, "equal", "me"),
    ]
    with Page(questions) as page:  # nothing is left to ask
        assert page.wait(0)
        with pytest.raises(UsageError, match="cannot be taken"):
            Page(questions, int(page.url.split(":")[2].partition("/")[0]))


@pytest.mark.slow
@pytest.mark.skipif(browser() is None, reason="no browser is installed")
def test_a_browser_shows_both_clips_and_takes_mouse_and_keys(questions):
    answers.answer(questions, 1, "equal")
    with Page(questions) as page, tab() as sheet:
        sheet.open(page.url)
        shown = [f"document.querySelector('#{side}')?.naturalWidth === 32" for side in answers.SIDES]
        sheet.until(" && ".join(shown))
        assert ENV.spec.task in sheet.value("document.body.innerText")
        assert "1 answered, 5 to go" in sheet.value("document.body.innerText")
        sheet.click("button[data-answer=second]")
        sheet.until("pair === 2")  # pair 1 had its answer
        sheet.press("ArrowLeft")
        sheet.until("pair === 3")
        sheet.press(" ")
        sheet.until("pair === 4")
        # The same question again, from another window or a second click that was on its way.
        sheet.value("pair = 0, say('first')")
        sheet.until("document.querySelector('#trouble')?.innerText.includes('has been answered')")
        sheet.until("pair === 4")  # and the page goes on with the next question
        sheet.value("pair = 77, say('first')")
        sheet.until("document.querySelector('#trouble')?.innerText.includes('pair=77')")
        sheet.until("pair === 4")
        sheet.press("=")
        sheet.until("pair === 5")
        sheet.click("button[data-answer=first]")
        sheet.until("document.body.innerText.includes('All 6 questions are answered')")
        assert not sheet.value("document.querySelector('#clips').offsetParent !== null")
        assert page.wait(5)
        sheet.open(page.url.partition("#")[0])  # without its token
        sheet.until("document.querySelector('#trouble')?.innerText.includes('without its token')")
    given = {pair: line["answer"] for pair, line in answers.answered(questions).items()}
    assert given == {0: "second", 1: "equal", 2: "first", 3: "skip", 4: "equal", 5: "first"}


def test_a_fit_is_a_run_that_continues_to_the_bit_and_its_reward_pays(questions, capsys):
    where = str(questions.folder)
    assert cli.main(["prefs", "ask", where, "--teacher", "oracle"]) == 0
    options = ["--members", "2", "--sizes", "8", "--batch-size", "4", "--holdout", "0.2", "--steps", "100"]
    assert cli.main(["prefs", "fit", where, *options, "--no-progress"]) == 0
    assert "held out" in capsys.readouterr().out
    (first,) = store.runs(questions.folder / "fits")
    names = {name for line in store.read_jsonl(first / store.METRICS) for name in line["mean"]}
    assert names == {"fit/loss", "fit/accuracy", "held_out/loss", "held_out/accuracy"}
    second = Path(shutil.copytree(first, first.parent / "again"))
    (second / store.DONE).unlink()
    newest = max((second / store.CHECKPOINTS).iterdir(), key=lambda path: int(path.name))
    shutil.rmtree(newest)
    assert run.resume(second, progress=False).finished
    assert (second / store.METRICS).read_bytes() == (first / store.METRICS).read_bytes()
    reward = questions.folder / fitting.REWARD
    whole, params = read_model(reward, ENV.spec)
    assert jax.tree.leaves(params)[0].shape[0] == 2
    kept = reward.read_bytes()
    fitting.write_reward(second)
    assert reward.read_bytes() == kept
    learned = read(str(reward), ENV.spec)
    jax.tree.map(np.testing.assert_array_equal, learned.params, params)
    transition = jax.tree.map(lambda x: jnp.asarray(x[0]), answers.read_pair(questions, 0)[0][0])
    paid = learned.apply((), transition, learned.params)[1]
    item = answers.Segment(whole.inputs.of(transition)[None, None], jnp.ones((1, 1), bool))
    np.testing.assert_allclose(paid, jnp.mean(whole.whole.apply(params, item).total), rtol=1e-5)
    answers_before = answers.digest(questions)
    more = rounds.add_round(questions, 2, how="entropy", candidates=2, size=16)
    assert more.size == ASKED + 2
    answers.answer(more, ASKED, "first")
    assert answers.digest(more) != answers_before
    (second / store.DONE).unlink()
    with pytest.raises(UsageError, match="have changed"):
        run.resume(second, progress=False)


def test_rewards_of_other_environments_and_damaged_files_are_refused(tmp_path):
    config = ModelConfig(sizes=(4,), members=1)
    params = build(ENV.spec, config).whole.init(jax.random.key(0))
    path = save_reward(tmp_path / "x.reward.npz", ENV.spec, config, params)
    assert read(str(path)).params is not None  # it knows its environment
    with pytest.raises(UsageError, match="learnt for another environment"):
        read(str(path), make("nav/pointmaze-umaze").spec)
    with pytest.raises(UsageError, match=r"ends with \.reward\.npz"):
        save_reward(tmp_path / "x.npz", ENV.spec, config, params)
    with pytest.raises(UsageError, match="have shape"):
        save_reward(tmp_path / "y.reward.npz", ENV.spec, config._replace(sizes=(5,)), params)
    shared = ModelConfig(sizes=(4,), members=4, heads=2)
    weights = build(ENV.spec, shared).whole.init(jax.random.key(0))
    again, found = read_model(save_reward(tmp_path / "z.reward.npz", ENV.spec, shared, weights))
    assert again.config == shared
    jax.tree.map(np.testing.assert_array_equal, found, weights)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UsageError, match=r"the learnt reward .* is damaged .*; fit it anew"):
        read(str(path))
    with pytest.raises(UsageError, match="there is no learnt reward"):
        read(str(tmp_path / "none.reward.npz"))


def test_requests_that_cannot_be_carried_out_are_sentences(questions, tmp_path, capsys):
    where = str(questions.folder)
    for args, words in (
        (["ask", str(tmp_path / "new")], "say of which environment"),
        (["ask", where, "--env", "classic/cartpole"], "has clips of classic/pendulum"),
        (["ask", where, "--teacher", "oracel"], "did you mean 'oracle'"),
        (["aks", where], "did you mean 'ask'"),
        (["fit", where], "0 answers, none of which prefers"),
        (["fit", str(tmp_path)], "holds no questions"),
        (["show"], "needs a folder"),
    ):
        assert cli.main(["prefs", *args]) == 2, args
        assert words in capsys.readouterr().err, args
    assert cli.main(["prefs"]) == 2
    assert "rlkit prefs fit FOLDER" in capsys.readouterr().out
