import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.prefs import pad, pairs, points, segment, steps
from rlkit.prefs.sequences import flip_valid, pool
from rlkit.prefs.types import swapped, take

FEATS = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
ONES = np.ones(4, np.float32)


def test_padding_makes_one_shape_of_unequal_items():
    item = pad([np.ones((2, 5)), np.ones((4, 5))], 6)
    assert item.feats.shape == (2, 6, 5)
    assert item.length.tolist() == [2, 4]
    tokens = pad([[3, 1], [2]])
    assert tokens.feats.dtype == jnp.int32
    assert tokens.mask.tolist() == [[True, True], [True, False]]


def test_pairs_of_unequal_padding_are_padded_to_one():
    short, long = pad([np.ones((2, 2)), np.ones((1, 2))]), pad([np.ones((5, 2)), np.ones((3, 2))])
    both = pairs(short, long, [1.0, 0.0])
    assert both.first.feats.shape == both.second.feats.shape == (2, 5, 2)
    assert both.first.length.tolist() == [2, 1]
    other = swapped(take(both, jnp.array([1])))
    assert other.first.length.tolist() == [3]
    assert other.label.tolist() == [1.0]


def test_steps_without_a_place_have_no_label():
    item = pad([np.ones((2, 2)), np.ones((3, 2))])
    judged = steps(item, np.full((2, 3), 1.0), np.ones((2, 3), bool))
    assert judged.label_mask.tolist() == item.mask.tolist()
    assert judged.outcome.tolist() == [1.0, 1.0]


def test_what_was_not_observed_may_be_anything():
    batch = points(FEATS, [1.0, np.nan, 0.0, np.inf], [1, 0, 1, 0], 0.5 * ONES)
    assert np.isfinite(batch.label).all()


def test_flipping_turns_round_what_is_there_and_is_its_own_inverse():
    x = np.arange(12.0).reshape(2, 6)
    mask = np.array([[1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 1, 0]], bool)
    flipped = flip_valid(jnp.asarray(x), jnp.asarray(mask))
    np.testing.assert_array_equal(flipped, [[2, 1, 0, 3, 4, 5], [6, 10, 8, 9, 7, 11]])
    np.testing.assert_array_equal(flip_valid(flipped, jnp.asarray(mask)), x)


def test_pooling_reads_what_is_there():
    mask = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 0, 0]], bool)
    h = jnp.where(mask[..., None], FEATS, jnp.nan)
    np.testing.assert_allclose(pool(h, mask, "mean"), [[1, 2], [8, 9], [14, 15], [0, 0]])
    np.testing.assert_allclose(pool(h, mask, "last"), [[2, 3], [8, 9], [16, 17], [0, 0]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pairs(FEATS, FEATS[:, :2], ONES), "3 steps and second 2, without masks"),
        (lambda: pairs([FEATS[0], FEATS[1, :2]], FEATS[:2], ONES[:2]), r"as pad\(\[...\]\)"),
        (lambda: pairs(FEATS, FEATS, ONES, weight=[1, 1, np.inf, 1]), r"weight\[2\]=inf"),
        (lambda: pairs(FEATS, FEATS, ONES, user=[0, -1, 0, 0]), r"user\[1\]=-1"),
        (lambda: segment([["a"]]), "no array of numbers"),
        (lambda: pairs(FEATS, FEATS, [1, 0, 1.2, 0]), r"label\[2\]=1.2"),
        (lambda: pairs(FEATS, FEATS, [1, 0, np.nan, 0]), r"label\[2\]=nan"),
        (lambda: pairs(FEATS, FEATS, 0.5 * ONES), "every label is 1/2"),
        (lambda: pairs(FEATS, FEATS, ONES[:3]), "3 labels"),
        (lambda: pairs(FEATS, FEATS, ONES, weight=-ONES), "weight"),
        (lambda: pairs(FEATS, FEATS[..., :1], ONES), "items of one kind"),
        (lambda: pairs(FEATS, FEATS, ONES, user=[1, 2]), "user has shape"),
        (lambda: pairs(FEATS, FEATS, ONES, user=0.5 * ONES), "user is float"),
        (lambda: pairs(FEATS, FEATS, ONES, weight=0 * ONES), "every weight is 0"),
        (lambda: pairs(FEATS[:0], FEATS[:0], ONES[:0]), "no comparisons"),
        (lambda: points(FEATS, ONES, propensity=0 * ONES), "never observed"),
        (lambda: points(FEATS, np.nan * ONES), "not finite where observed"),
        (lambda: points(FEATS, ONES, 0.3 * ONES), "other than 0 and 1"),
        (lambda: steps(FEATS, np.full((4, 3), 2.0)), r"label\[0, 0\]=2"),
        (lambda: steps(FEATS, np.ones((4, 3)), np.zeros((4, 3), bool)), "leaves no label"),
        (lambda: segment(FEATS[0]), r"feats has shape \(3, 2\)"),
        (lambda: segment(FEATS, np.ones((4, 3))), "expected bool"),
        (lambda: segment(FEATS, np.ones((3, 4), bool)), "as feats has"),
        (lambda: segment(FEATS, np.arange(3) < np.array([[1], [0], [1], [1]])), "item 1 has no step"),
        (lambda: segment(np.full((1, 2, 3), np.nan)), "not finite"),
        (lambda: pad([]), "items is empty"),
        (lambda: pad([np.ones((4, 1))], 3), "an item has 4 steps"),
        (lambda: pad([np.ones((4, 1)), np.ones((4, 2))]), "features differ"),
        (lambda: pool(FEATS, np.ones((4, 3), bool), "men"), "did you mean 'mean'"),
    ],
)
def test_bad_data_is_told(call, words):
    with pytest.raises(UsageError, match=words):
        call()
