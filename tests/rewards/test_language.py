"""Reward programs: what is read, what is refused and why, and that they compute what their text says."""

import ast
import functools
import random
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import tolerance
from programs import random_program
from refused import DISTANCE, REFUSED, body

import rlkit.rewards.language as language
from rlkit.rewards.language import (
    LIMITS,
    ProgramError,
    Type,
    check_program,
    parse_program,
    print_program,
    program_reward,
    run_program,
)

FIELDS = {"ee": Type((3,)), "goal": Type((3,)), "speed": Type(()), "held": Type((), True)}
ACTION = (2,)


@pytest.mark.parametrize(
    ("text", "layer", "reason"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_is_no_reward_is_refused_with_the_reason(text, layer, reason):
    with pytest.raises(ProgramError) as caught:
        check_program(parse_program(text), FIELDS, ACTION)
    assert caught.value.layer == layer
    assert reason in caught.value.reason
    assert len(str(caught.value)) < 400


MEMORY = """
memory = {"best": 10.0, "seen": False}

def reward(s, a, ns, done, m):
    d = jnp.linalg.norm(ns.ee - ns.goal)
    best = jnp.minimum(m.best, d)
    seen = m.seen | (d < 0.1)
    near = 0.5 * (m.best - best)
    bonus = jnp.where(seen & ~m.seen, 1.0, 0.0)
    return near + bonus, {"near": near, "bonus": bonus}, {"best": best, "seen": seen}
"""

ACCEPTED = {
    "distance": body(DISTANCE),
    "potential": body(
        "before = -jnp.linalg.norm(s.ee - s.goal)",
        "after = jnp.where(done, 0.0, -jnp.linalg.norm(ns.ee - ns.goal))",
        "r = 0.99 * after - before",
    ),
    "gaussian": body(
        "temperature = 0.1", "d = ns.ee - ns.goal", "r = jnp.exp(-jnp.sum(d ** 2) / temperature ** 2)"
    ),
    "where": body("r = jnp.where(done, 0.0, jnp.clip(ns.speed, -1.0, 1.0))"),
    "scales": body(
        "d = jnp.linalg.norm(ns.ee - ns.goal)",
        "fine = jnp.exp(-d / 0.05)",
        "coarse = jnp.exp(-d / 1.0)",
        "r = 0.7 * fine",
        "r += 0.3 * coarse",
    ),
    "memory": MEMORY,
    "comments": '"""About."""\n'
    + body('"""Near is good: d \u2264 0.1 m."""', "# the distance \u00e5", DISTANCE),
    "indices": body(
        "x = ns.ee[:2] - ns.goal[0:2]",
        "y = ns.ee[-1] + a[1] * ns.ee[None, :][0, 2]",
        "z = jnp.sum(jnp.stack([x, x]), axis=0)",
        "r = jnp.sum(jnp.abs(x)) + y - jnp.mean(z) + jnp.max(ns.ee, axis=0, keepdims=True)[0]",
    ),
    "conditions": body(
        "inside = (ns.speed > 0.1) & ~s.held | (ns.speed != s.speed)",
        "r = jnp.where(inside, 1.0, 0.0) + 2.0 * (ns.speed <= 1) - jax.nn.sigmoid(-ns.speed)",
    ),
    "shadows": body(
        "x = ns.speed", *["x = 0.5 * x + s.speed", "x_2 = x * x", "x = x + x_2 - x"] * 3, "r = x"
    ),
    "plus": body("r = -+2.0 * ns.speed + +-+1.0"),
    "numbers alone": body(
        "sharp = 2.0",
        "r = jnp.where(sharp > 1.0, ns.speed, 0.0) * (1.0 < 2.0) + jnp.sum(jnp.stack([1.0, ns.speed, 2.0]))",
    ),
    "signs": body("r = (-2.0) ** 2 * ns.speed ** -1 - -ns.speed + abs(-3.0 * ns.speed) % 1.5"),
}


def values(seed):
    key = jax.random.key(seed)
    ee, goal, next_ee, a = jax.random.normal(key, (4, 3))
    s = {"ee": ee, "goal": goal, "speed": jnp.abs(ee[0]), "held": ee[1] > 0}
    ns = {"ee": next_ee, "goal": goal, "speed": jnp.abs(next_ee[0]) + 0.1, "held": next_ee[1] > 0}
    return s, a[:2], ns, goal[2] > 0


class Attributes:
    """What native code reads fields of."""

    def __init__(self, fields):
        self.__dict__.update(fields)


def native(text):
    """The text as Python: the oracle, which only tests run."""
    names = {"jnp": jnp, "jax": jax}
    exec(compile(text, "program", "exec"), names)

    def run(s, a, ns, done, m):
        out = names["reward"](*(Attributes(s), a, Attributes(ns), done, *((Attributes(m),) if m else ())))
        return out if m else (*out, {})

    return run


def ours(program):
    return lambda s, a, ns, done, m: run_program(program, program.constants, s, a, ns, done, m)


def same_program(text):
    program = parse_program(text)
    check_program(program, FIELDS, ACTION)
    m = {name: jnp.asarray(value) for name, value in program.memory}
    arguments = (*values(0), m)
    assert str(jax.make_jaxpr(ours(program))(*arguments)) == str(jax.make_jaxpr(native(text))(*arguments))
    return program


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_program_is_what_its_text_computes(name):
    text = ACCEPTED[name]
    program = same_program(text)
    m = {name: jnp.asarray(value) for name, value in program.memory}
    for seed in range(3):
        found, wanted = (jax.jit(f)(*values(seed), m) for f in (ours(program), native(text)))
        near = {"rtol": tolerance(0.0, 1e-6), "atol": tolerance(0.0, 1e-7)}
        close = functools.partial(np.testing.assert_allclose, **near)
        jax.tree.map(close, found, wanted)


def test_conditions_on_numbers_alone_are_conditions() -> None:
    """Python's own ``~True`` is the number -2, and its numbers have no entries."""
    for expression, wanted in [
        ("jnp.where(~(1.0 < 2.0), 1.0, 3.0)", 3.0),
        ("jnp.where(~~(1.0 < 2.0) & ~(3.0 < 2.0), 1.0, 3.0)", 1.0),
        ("jnp.sum((2.0)[None]) + (1.0)[...]", 3.0),
        ("jnp.where((1.0 < 2.0)[...], 1.0, 3.0)", 1.0),
    ]:
        program = parse_program(body(f"r = 0.0 * ns.speed + {expression}"))
        check_program(program, FIELDS, ACTION)
        assert parse_program(print_program(program)).digest == program.digest
        for constants in (program.constants, [jnp.float32(x) for x in program.constants]):
            assert run_program(program, constants, *values(0))[0] == wanted, expression


def test_transformations_of_a_program_are_those_of_its_text():
    """jit, nested vmap, scan and grad; memory goes through the scan."""
    text = MEMORY
    program = parse_program(text)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *[values(seed) for seed in range(6)])
    wide = jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), stacked)
    memory = {name: jnp.asarray(value) for name, value in program.memory}
    step = lambda f: lambda m, x: (lambda out: (out[2], out[:2]))(f(*x, m))

    def transformed(f):
        whole = jax.jit(lambda x: jax.vmap(jax.vmap(lambda *y: f(*y, memory)))(*x))(wide)
        loop = jax.lax.scan(step(f), memory, stacked)
        s, a, ns, done = values(0)
        slope = jax.grad(lambda ns: f(s, a, ns, done, memory)[0], allow_int=True)
        return whole, loop, {name: x for name, x in slope(ns).items() if name != "held"}

    found, wanted = transformed(ours(program)), transformed(native(text))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7), found, wanted)


@pytest.mark.parametrize("name", ACCEPTED)
def test_printing_and_reading_changes_nothing(name):
    program = parse_program(ACCEPTED[name])
    text = print_program(program)
    again = parse_program(text)
    assert again.digest == program.digest
    assert print_program(again) == text
    same_program(text)


@pytest.mark.parametrize("block", range(4))
def test_random_programs_are_accepted_compute_their_text_and_survive_printing(block):
    for seed in range(50 * block, 50 * block + 50):
        text = random_program(random.Random(seed), FIELDS, ACTION)
        program = same_program(text)
        assert parse_program(print_program(program)).digest == program.digest


def test_a_changed_token_is_read_or_refused_and_never_an_accident():
    chance = random.Random(0)
    tokens = [
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "-",
        "**",
        "s",
        "ns",
        "a",
        "jnp",
        "0",
        "1e9",
        "x",
        "=",
        "\n",
        "if",
        "m",
        ":",
    ]
    refused = 0
    for text in ACCEPTED.values():
        parts = re.findall(r"\w+|\s+|[^\w\s]", text)
        for _ in range(60):
            changed = list(parts)
            changed[chance.randrange(len(parts))] = chance.choice(tokens)
            try:
                program = parse_program("".join(changed))
                check_program(program, FIELDS, ACTION)
            except ProgramError:
                refused += 1
            else:
                assert parse_program(print_program(program)).digest == program.digest
    assert refused > 300


def test_structure_leaves_constants_out_and_names_do_not_count():
    one, two = (parse_program(body(f"r = {x} * ns.speed")) for x in ("0.1", "0.2"))
    assert one.structure == two.structure
    assert one.digest != two.digest
    other = parse_program(body("q = 0.1 * ns.speed # the same", total="q").replace('{"q"', '{"r"'))
    renamed = parse_program(body("q = 0.1 * ns.speed", total="q"))
    assert renamed.digest == other.digest == one.digest
    assert parse_program(body("r = ns.speed * 0.1")).structure != one.structure


def test_nothing_of_a_text_can_be_executed():
    for file in Path(language.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("exec", "eval", "compile", "__import__")
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {"importlib", "pickle", "runpy", "code", "subprocess", "os"}


def test_the_limits_are_small_enough_for_a_parser():
    assert LIMITS.source <= 8192
    assert LIMITS.depth <= 40


def test_an_unknown_dtype_of_memory_is_refused():
    with pytest.raises(ProgramError, match="expected a number, True or False"):
        parse_program('memory = {"best": "x"}\n' + body(DISTANCE))
    with pytest.raises(ProgramError, match="all entries of memory: best, seen"):
        parse_program(MEMORY.replace(', "seen": seen}', "}"))
    with pytest.raises(ProgramError, match=r"the memory 'seen' is float\[\]; expected bool\[\]"):
        check_program(parse_program(MEMORY.replace('"seen": seen}', '"seen": best}')), FIELDS, ACTION)
    assert program_reward(MEMORY).init(jax.random.key(0))["best"] == 10.0
