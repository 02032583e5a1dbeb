"""Token tasks: solutions are worth the optimum, verifiers agree with plain Python."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs.tokens import TABLE, make_task, sample_prompts, spelt, task_reward, verify_groups
from rlkit.errors import UnknownNameError, UsageError

NAMES = tuple(TABLE)


def drawn(name, batch=64, **options):
    task = make_task(name, **options)
    return task, jax.jit(lambda key: sample_prompts(task, key, batch))(jax.random.key(0))


def verified(task, prompts, tokens):
    terms = jax.jit(lambda p, t: verify_groups(task, p, t))(prompts, tokens)
    return jax.tree.map(np.asarray, terms)


def noise(task, shape, key=1):
    """Completions of random tokens, ended as a sampler ends them."""
    spec = task.spec
    tokens = np.asarray(
        jax.random.randint(jax.random.key(key), (*shape, spec.completion_length), 0, len(spec.vocabulary))
    )
    if spec.eos is not None:
        over = np.cumsum(tokens == spec.eos, -1) > 0
        tokens = np.where(over, spec.eos, tokens)
    return jnp.array(tokens)


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    task, prompts = drawn(name)
    spec = task.spec
    assert spec.id == name
    assert prompts.tokens.shape == prompts.mask.shape == (64, spec.prompt_length)
    assert prompts.tokens.dtype == jnp.int32
    assert prompts.mask.dtype == jnp.float32
    assert int(prompts.tokens.min()) >= 0
    assert int(prompts.tokens.max()) < len(spec.vocabulary)
    # Padding is at the end, and there is at least one token.
    assert (np.diff(prompts.mask, axis=1) <= 0).all()
    assert (np.asarray(prompts.mask)[:, 0] == 1).all()
    solve = jax.jit(jax.vmap(task.solve))(prompts)
    assert solve.shape == (64, spec.completion_length)
    assert solve.dtype == jnp.int32
    # Solutions begun over and over say more than is needed, which chance hardly does.
    begun = jnp.tile(solve[:, : -(-spec.completion_length // 4)], 4)[:, : spec.completion_length]
    groups = jnp.concatenate([solve[:, None], begun[:, None], noise(task, (64, 14))], 1)
    terms = verified(task, prompts, groups)
    assert set(terms) == {term.name for term in spec.terms}
    for term in spec.terms:
        value = np.asarray(terms[term.name])
        assert value.dtype == np.float32
        assert value.min() >= term.low
        assert value.max() <= term.high
        assert np.ptp(value) > 0 or term.name in ("exact", "correct", "sorted"), f"{term.name} says nothing"
    reward = np.asarray(task_reward(spec, terms))
    np.testing.assert_allclose(reward[:, 0].mean(), spec.optimum, rtol=1e-6)
    assert (reward[:, :1] >= reward - 1e-6).all()
    assert (np.asarray(terms[spec.success])[:, 0] == 1).all()
    assert spelt(spec, np.asarray(solve[0]))


@pytest.mark.parametrize("name", NAMES)
def test_batches_can_be_drawn_in_pieces(name):
    task, prompts = drawn(name)
    piece = jax.jit(lambda first: sample_prompts(task, jax.random.key(0), 16, first))
    parts = [piece(first) for first in (0, 16, 32, 48)]
    for whole, *pieces in zip(jax.tree.leaves(prompts), *map(jax.tree.leaves, parts), strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(pieces))


@pytest.mark.parametrize("name", [name for name in NAMES if make_task(name).every])
def test_every_prompt_is_listed_once(name):
    task, prompts = drawn(name, 512)
    every = task.every()
    rows = {tuple(row) for row in np.asarray(every.tokens).tolist()}
    assert len(rows) == every.tokens.shape[0]
    assert {tuple(row) for row in np.asarray(prompts.tokens).tolist()} <= rows


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tokens/modular", {"base": 3}),
        ("tokens/views", {"base": 3}),
        ("tokens/brackets", {"kinds": 1, "length": 3}),
        ("tokens/sorting", {"count": 3, "values": 3}),
        ("tokens/lookup", {"entities": 4, "relations": 2}),
        ("tokens/preferences", {"length": 4, "letters": 3, "contexts": 2}),
    ],
)
def test_no_completion_is_worth_more_than_the_optimum(name, options):
    task, prompts = drawn(name, 16, **options)
    every = itertools.product(range(len(task.spec.vocabulary)), repeat=task.spec.completion_length)
    every = jnp.array(list(every), jnp.int32)[None].repeat(16, 0)
    terms = verified(task, prompts, every)
    best = np.asarray(task_reward(task.spec, terms)).max(1)
    np.testing.assert_allclose(best.mean(), task.spec.optimum, rtol=1e-6)


def test_views_show_the_same_sum():
    task, prompts = drawn("tokens/views")
    answers = np.asarray(prompts.columns["truth"]).reshape(-1, 2)
    np.testing.assert_array_equal(answers[:, 0], answers[:, 1])
    np.testing.assert_array_equal(np.asarray(prompts.columns["view"]).reshape(-1, 2), [[0, 1]] * 32)
    with pytest.raises(UsageError, match="groups of 2"):
        sample_prompts(task, jax.random.key(0), 3)


def plain_brackets(prompt, completion, kinds):
    """Rubrics in plain Python."""
    stack = []
    for token in prompt:
        stack.append(token) if token <= kinds else stack.pop()
    needed = [kinds + token for token in reversed(stack)]
    said = completion[: completion.index(0)] if 0 in completion else completion
    return {
        "closed": float(said == needed),
        "right_length": float(len(said) == len(needed) and 0 in completion),
        "types": sum(a == b for a, b in zip(needed, completion, strict=False)) / len(needed),
        "no_reopening": float(not any(1 <= token <= kinds for token in completion)),
        "ends": float(0 in completion),
    }


def test_rubrics_of_brackets():
    task, prompts = drawn("tokens/brackets")
    tokens = jnp.concatenate([noise(task, (64, 14)), jax.vmap(task.solve)(prompts)[:, None]], 1)
    terms = verified(task, prompts, tokens)
    prompts, tokens = jax.tree.map(np.asarray, (prompts, tokens))
    for p in range(64):
        prompt = prompts.tokens[p][prompts.mask[p] > 0].tolist()
        for g in range(15):
            for name, value in plain_brackets(prompt, tokens[p, g].tolist(), 3).items():
                assert float(terms[name][p, g]) == pytest.approx(value), (prompt, tokens[p, g], name)


def plain_calculator(prompt, completion, base):
    """The work of a completion in plain Python: calls, useful calls, what it broke and what it answered."""
    plus, times, ans = base + 1, base + 2, base + 3
    compute = lambda op, x, y: (x + y if op == plus else x * y) % base
    _, a, first, b, _, second, c = prompt
    inner = compute(first, a - 1, b - 1)
    goals = {0: (first, {a - 1, b - 1}), 1: (second, {inner, c - 1})}
    calls = useful = 0
    solved, broken, answer, rest = set(), False, None, list(completion)
    number = lambda token: 1 <= token <= base
    while rest:
        token = rest.pop(0)
        if token == 0:
            break
        if token == ans:
            if not rest:
                break
            said = rest.pop(0)
            answer, broken = (said - 1, broken) if number(said) else (None, True)
            break
        if token not in (plus, times):
            broken = True
            continue
        operands = []
        while len(operands) < 2 and rest:
            token2 = rest.pop(0)
            if not number(token2):
                broken = True
                break
            operands.append(token2 - 1)
        if len(operands) == 2:
            calls += 1
            if rest:
                rest.pop(0)  # the reply
            now = {g for g, goal in goals.items() if goal == (token, set(operands))}
            useful += bool(now - solved)
            solved |= now
    outer = compute(second, inner, c - 1)
    right = answer == outer and not broken and 0 in completion
    return {"correct": float(right), "calls": float(calls), "goals": len(solved) / 2} | (
        {"f1": 2 * useful / (calls + 1), "precision": useful / calls} if calls else {"precision": 0.0}
    )


def test_calculator():
    task, prompts = drawn("tokens/calculator", 128, base=3)
    solution = jax.vmap(task.solve)(prompts)
    # Tokens at random, and solutions with one token changed.
    changed = np.asarray(solution)[:, None].repeat(8, 1)
    rng = np.random.default_rng(0)
    for p, g in itertools.product(range(128), range(1, 8)):
        changed[p, g, rng.integers(10)] = rng.integers(9)
    tokens = jnp.concatenate([noise(task, (128, 8)), jnp.array(changed)], 1)
    terms = verified(task, prompts, tokens)
    for p, g in itertools.product(range(128), range(16)):
        wanted = plain_calculator(np.asarray(prompts.tokens[p]).tolist(), tokens[p, g].tolist(), 3)
        for name, value in wanted.items():
            assert float(terms[name][p, g]) == pytest.approx(value), (p, g, name)


def test_calculator_replies_as_its_solution_says():
    task, prompts = drawn("tokens/calculator", 32)

    def run(prompt):
        def step(state, token):
            state, reply = task.tool.apply(state, prompt, token)
            return state, reply

        return jax.lax.scan(step, task.tool.init(prompt), task.solve(prompt))[1]

    replies, solution = jax.vmap(run)(prompts), jax.vmap(task.solve)(prompts)
    spoke = np.asarray(replies) >= 0
    assert (spoke.nonzero()[1].reshape(32, 2) == [2, 6]).all()
    np.testing.assert_array_equal(np.asarray(replies)[:, [2, 6]], np.asarray(solution)[:, [3, 7]])


def test_tool_reward_by_hand():
    task = make_task("tokens/calls", tools=2, arguments=2, values=3)
    prompt = sample_prompts(task, jax.random.key(0), 1)
    tool, x, y = np.asarray(prompt.tokens[0]).tolist()
    other_tool, other = 7 - tool, 5 + (y - 4) % 3
    rows = [
        [1, tool, x, y, 2, 0],
        [1, tool, x, other, 2, 0],
        [1, other_tool, x, y, 2, 0],
        [1, tool, x, y, y, 0],
    ]
    terms = verified(task, prompt, jnp.array([rows]))
    # One of one name, parameter names equal (1), 2, 1 of 2 values: 6 S / 4 - 3; another tool shares nothing.
    np.testing.assert_allclose(terms["fine"][0], [3.0, 1.5, -3.0, -3.0])
    np.testing.assert_allclose(terms["exact"][0], [1, 0, 0, 0])
    np.testing.assert_allclose(terms["format"][0], [1, 1, 1, 0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tokens/modular", {"base": 1}, "base=1"),
        ("tokens/brackets", {"kinds": 9}, "kinds=9"),
        ("tokens/calculator", {"most_calls": 1}, "most_calls=1"),
        ("tokens/preferences", {"decisive": 9}, "decisive=9"),
        ("tokens/modular", {"bass": 3}, "did you mean 'base'"),
        ("tokens/modula", {}, "did you mean 'tokens/modular'"),
    ],
)
def test_bad_input(name, options, message):
    with pytest.raises((UsageError, UnknownNameError), match=message):
        make_task(name, **options)
