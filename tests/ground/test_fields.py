"""Fields of configurations: one check of types and ranges, for every configuration that declares them."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UnknownNameError, UsageError
from rlkit.fields import check, leaf, not_float32, option, shown, static


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Config:
    rate: float = leaf(0.1, "a step size", low=0.0)
    share: float = leaf(0.5, "a share", low=0.0, high=1.0)
    norm: float = leaf(1.0, "a norm", above=0.0)
    free: float = leaf(0.0, "any number")
    count: int = static(3, "a count", low=1)
    sizes: tuple[int, ...] = static((4,), "sizes", low=1)
    tags: tuple[str, ...] = static((), "texts", choices=("a", "b"))
    kind: str = static("tanh", "a choice", choices={"tanh": 1, "relu": 2})
    flag: bool = static(False, "a switch")
    name: str = option("x", "any text", static=True)


def test_defaults_and_bounds_themselves_are_good():
    check(Config())
    check(Config(rate=0, share=1.0, norm=1e-30, free=-3.4e38, count=1, sizes=(1, 2), tags=("b", "a")))
    check(Config(rate=np.float32(0.1), share=jnp.float32(0.5), count=np.int64(7)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": -1e-9}, r"rate=-1e-09: expected a number of at least 0"),
        ({"rate": float("nan")}, r"rate=nan \(not a number\): expected a number of at least 0"),
        ({"share": 1.0001}, r"share=1.0001: expected a number of at least 0 and at most 1"),
        ({"norm": 0.0}, r"norm=0.0: expected a number above 0"),
        ({"norm": 1e-46}, r"norm=1e-46 \(zero in float32\)"),
        ({"free": float("inf")}, r"free=inf \(infinite in float32\): expected a finite number"),
        ({"free": 1e39}, r"infinite in float32"),
        ({"free": 10**400}, r"infinite in float32"),
        ({"free": True}, r"free=True: expected a number"),
        ({"free": "1"}, r"free='1': expected a number"),
        ({"free": None}, r"free=None: expected a number"),
        ({"share": jnp.array([0.5, 2.0])}, r"share=2.0: expected"),
        ({"count": 0}, r"count=0: expected an integer of at least 1"),
        ({"count": 2.0}, r"count=2.0: expected an integer"),
        ({"count": True}, r"count=True: expected an integer"),
        ({"count": 2**31}, r"count=2147483648: expected an integer"),
        ({"count": 10**5000}, r"too large to show"),
        ({"sizes": ()}, r"sizes=\(\): expected a tuple that is not empty"),
        ({"sizes": [4]}, r"sizes=\[4\]: expected a tuple"),
        ({"sizes": (4, -1)}, r"sizes\[1\]=-1: expected an integer of at least 1"),
        ({"flag": 1}, r"flag=1: expected True or False"),
        ({"name": 3}, r"name=3: expected text"),
    ],
)
def test_what_is_out_of_range_is_named_with_its_range(change, message):
    with pytest.raises(UsageError, match=message) as caught:
        check(Config(**change))
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("change", [{"kind": "tan"}, {"tags": ("a", "bb")}])
def test_misspelt_choices_are_suggested(change):
    with pytest.raises(UnknownNameError, match="did you mean"):
        check(Config(**change))


def test_traced_values_pass_and_leaves_can_be_mapped_over():
    def program(rate):
        config = dataclasses.replace(Config(), rate=rate)
        check(config)
        return config.rate * 2

    np.testing.assert_array_equal(jax.vmap(program)(jnp.array([-1.0, 1.0])), [-2.0, 2.0])
    assert len(jax.tree.leaves(Config())) == 4


def test_numbers_that_float32_cannot_hold():
    tiny = float(np.finfo(np.float32).tiny)
    for value in (0.0, -0.0, tiny, -3.4e38, 1, True):
        assert not_float32(value) == ""
    for value in (1e39, -1e300, 1e-46, tiny / 2, float("nan"), 10**400):
        assert not_float32(value) != ""


def test_values_are_shown_in_bounded_length():
    assert shown("a" * 1000) == "'" + "a" * 76 + "..."
    assert len(shown(10**10000)) < 80
