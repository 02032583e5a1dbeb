import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlkit.rewards as rw
from rlkit.errors import UnknownNameError, UsageError
from rlkit.rewards import parse, relabel

BUILT = {
    "success()": lambda: rw.success(),
    "success(scale=2)": lambda: rw.success(2.0),
    "success() + 0.5*progress('distance') - control_cost()*0.01": lambda: rw.total(
        (1.0, rw.success()), (0.5, rw.progress("distance")), (-0.01, rw.control_cost())
    ),
    "-(success() - 2 * (survival() - -3 * time_penalty()))": lambda: rw.total(
        (-1.0, rw.success()), (2.0, rw.survival()), (6.0, rw.time_penalty())
    ),
    "chain(success(), potential_shaping('-distance', discount=0.99), clip(-1, 1))": lambda: rw.chain(
        rw.success(), rw.potential_shaping("-distance", 0.99), rw.clip(-1.0, 1.0)
    ),
    "2 * chain(task(), symlog()) + distance('distance', \"exp\", temperature=.5, name='near')": lambda: (
        rw.total((2.0, rw.chain(rw.task(), rw.symlog())), (1.0, rw.distance("distance", "exp", 0.5, "near")))
    ),
    "\n  feature('place', -1) +\n  progress('distance', limit=None)\n": lambda: rw.total(
        (1.0, rw.feature("place", -1)), (1.0, rw.progress("distance"))
    ),
    "chain(success() + best_progress('distance'), normalise(0.9, limit=5), scale(1e-1))": lambda: rw.chain(
        rw.total((1.0, rw.success()), (1.0, rw.best_progress("distance"))),
        rw.normalise(0.9, limit=5.0),
        rw.scale(0.1),
    ),
}


def paid(reward, line):
    state = rw.init_slots(reward, jax.random.key(0), line.reward.shape[1])
    _, out = rw.relabel(reward, state, line)
    return out.reward, out.terms


@pytest.mark.parametrize("text", BUILT)
def test_text_is_the_same_as_python(text, line):
    got, expected = paid(parse(text), line), paid(BUILT[text](), line)
    assert got[1].keys() == expected[1].keys()
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("suces()", "did you mean 'success'"),
        ("chain(success(), shaping('distance', 0.9))", "did you mean 'potential_shaping'"),
        ("progress('distance', limt=1)", "unknown argument 'limt' of progress; did you mean 'limit'"),
        ("distance('distance', 'expo')", "unknown transform 'expo'; did you mean 'exp'"),
        ("exec('1')", "unknown reward 'exec'"),
        ("weighted()", "unknown reward 'weighted'"),
    ],
)
def test_unknown_names(text, suggestion):
    with pytest.raises(UnknownNameError, match=suggestion):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("success() +", "cannot be read"),
        ("success()\0", "cannot be read"),
        ("success() if 1 else task()", "is not a reward"),
        ("success", r"write success\(...\)"),
        ("2", "'2' is not a reward"),
        ("success() / 2", "is not a reward"),
        ("success() * task()", "is not a reward"),
        ("True * success()", "is not a reward"),
        ("[success()]", "is not a reward"),
        ("(lambda: 1)()", "is not a reward"),
        ("success.__class__()", "is not a reward"),
        ("__import__('os').system('true')", "is not a reward"),
        ("clip(-1, 1)", r"chain\(task\(\), ...\)"),
        ("chain()", "at least one"),
        ("chain(success(), x=2)", "by position"),
        ("chain(success(), survival())", r"add it to the first reward with \+"),
        ("chain(success(), 2 * clip(-1, 1))", "would discard"),
        ("progress()", r"missing.*expected progress\(feature, scale, limit, name\)"),
        ("success(1, 'a', 3)", "too many"),
        ("progress(distance)", "'distance' is not an argument; expected a number, quoted text or None"),
        ("success(1 + 1)", "is not an argument"),
        ("success(True)", "is not an argument"),
        ("success(*x)", "is not an argument"),
        ("success(**x)", "write the arguments out"),
        ("success(f'{1}')", "is not an argument"),
        ("success('1')", r"in \"success\('1'\)\": scale='1': expected a number"),
        ("distance('d', temperature=-1)", "temperature=-1.0: expected a number greater than 0"),
        ("1e999 * success()", r"inf \(infinite in float32\): expected a finite number"),
        ("1e39 * survival()", r"1e\+39 \(infinite in float32\)"),
        ("1e30 * (1e30 * survival())", r"1e\+60 \(infinite in float32\)"),
        ("success(scale=1e300)", r"scale=1e\+300 \(infinite in float32\)"),
        ("distance('d', temperature=1e-46)", r"temperature=1e-46 \(zero in float32\)"),
        ("success(scale=1, scale=2)", "'scale' is given twice"),
        ("success(1, scale=2)", "multiple values"),
        ("normalise(0.9)", r"chain\(task\(\), ...\)"),
        ("success(name='a  b')", "name='a  b': expected the name of a term"),
        ("success(name='a b')", "expected the name of a term"),
        ("success(name=3)", "name=3: expected the name of a term"),
        (r"success(name='\ud800')", "expected the name of a term"),
        (r"success(name='$\frac$')", "expected the name of a term"),
        ("success(name='_hidden')", "expected the name of a term"),
        ("best_progress('d', name='_x')", "expected the name of a term"),
        ("success(name='" + "a" * 101 + "')", "expected the name of a term"),
        ("success()) + (success()", "cannot be read"),
        ("success(), ", "is not a reward"),
        ("# success()", "cannot be read"),
        ("9" * 4000 + " * success()", "too large a number"),
        ("-" * 3000 + "success()", "nested too deeply|cannot be read"),
        ("(" * 1000 + "success()" + ")" * 1000, "cannot be read"),
        ("success()" + " + success()" * 1000, "at most 4096 characters"),
        (3, "expected a reward as text"),
    ],
)
def test_text_outside_the_grammar(text, message):
    with pytest.raises(UsageError, match=message):
        parse(text)


def test_a_comment_ends_with_its_line(line):
    text = "success() # sparse ( \n + 0.5 * time_penalty() # dense\n"
    assert paid(parse(text), line)[1].keys() == {"success", "time_penalty"}


def test_axes_belong_to_programs_and_not_to_texts():
    with pytest.raises(UnknownNameError, match="unknown argument 'axis_name' of normalise"):
        parse("chain(task(), normalise(0.9, axis_name='nope'))")


def test_names_of_terms_are_checked_in_python_too():
    for name in ("", "a b", "_x", "$", 3):
        with pytest.raises(UsageError, match="expected the name of a term"):
            rw.weighted({name: (1.0, rw.success())})
        with pytest.raises(UsageError, match="expected the name of a term"):
            rw.from_function(lambda t: t.reward, name)
    rw.weighted({"γ-2.x/y[0]": (1.0, rw.success())})


def test_two_terms_of_one_name(line):
    with pytest.raises(UsageError, match="'success'; rename one of them with name="):
        paid(parse("success() + success()"), line)
    assert paid(parse("success() + success(name='again')"), line)[1].keys() == {"success", "again"}


def test_every_registered_constructor_is_public():
    for name in rw.names():
        assert getattr(rw, name) is {**rw.SOURCES, **rw.TRANSFORMS}[name]


def test_named_parameters_are_those_numbers(line):
    text = (
        "success() - param('near', 0.5) * distance({!r}) "
        "+ distance({!r}, 'exp', param('wide', 2.0), name='w')"
    )
    plain = "success() - 0.5 * distance({!r}) + distance({!r}, 'exp', 2.0, name='w')"
    feature = "distance"
    named, wanted = parse(text.format(feature, feature)), parse(plain.format(feature, feature))
    assert {name: float(x) for name, x in named.params.items()} == {"near": 0.5, "wide": 2.0}
    pay = lambda reward, params=None: relabel(reward, reward.init(jax.random.key(0)), line, params=params)[1]
    np.testing.assert_allclose(pay(named).reward, pay(wanted).reward, rtol=1e-6)
    assert set(pay(named).terms) == set(pay(wanted).terms)
    other = pay(named, {"near": jnp.float32(0.0), "wide": jnp.float32(2.0)})
    np.testing.assert_allclose(other.terms[f"distance_{feature}"], 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("param('a', 1)", "is not a reward"),
        ("param('a') * success()", r"expected param\('name', number\)"),
        ("param('a b', 1) * success()", "expected param"),
        ("param('a', 1) * success() + param('a', 2) * survival()", "another value elsewhere"),
        ("param('a', 1e300) * success()", r"a=1e\+300"),
        ("success(name=param('a', 1))", "name|constant"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse(text)
