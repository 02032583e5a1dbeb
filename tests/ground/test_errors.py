"""Errors say what was wrong and what to do."""

import pytest

from rlkit.errors import (
    MissingExtraError,
    RlkitError,
    UnknownNameError,
    UsageError,
    missing_extra,
    unknown_name,
)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("cartpol", ["cartpole", "ant"], "unknown environment 'cartpol'; did you mean 'cartpole'?"),
        ("zzz", ["b", "a"], "unknown environment 'zzz'; known: a, b"),
        ("zzz", [], "unknown environment 'zzz'; there are none"),
        (3, ["3.5"], "unknown environment '3'; did you mean '3.5'?"),
    ],
)
def test_unknown_names_are_answered_with_a_suggestion(name, known, expected):
    error = unknown_name("environment", name, known)
    assert str(error) == expected
    assert isinstance(error, UsageError)


def test_the_place_is_named():
    assert str(unknown_name("option", "x", ["y"], where="of classic/pendulum")).startswith(
        "unknown option 'x' of classic/pendulum;"
    )


def test_errors_can_be_caught_as_what_they_are_in_python():
    assert issubclass(UsageError, RlkitError)
    for kind, base in [
        (UnknownNameError, KeyError),
        (UsageError, ValueError),
        (MissingExtraError, ImportError),
    ]:
        assert issubclass(kind, base)
    with pytest.raises(KeyError):
        raise unknown_name("name", "a", [])


def test_missing_extras_say_what_to_install():
    message = str(missing_extra("craft/classic", "craftax", "craft"))
    assert message == (
        "craft/classic needs the package 'craftax', which is not installed; "
        "install it with: pip install 'rlkit-jax[craft]'"
    )
