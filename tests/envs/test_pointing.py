"""Clicks on a screen: what is inside, and that screens are fair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs import make, reset, step
from rlkit.envs.pointing import Pointing
from rlkit.errors import UsageError

ENV = make("gui/pointing")
PARAMS = ENV.default_params()


def test_clicks_hit_what_they_are_inside_of():
    states = jax.jit(jax.vmap(lambda key: reset(ENV, key, PARAMS)[1]))(
        jax.random.split(jax.random.key(0), 500)
    )
    boxes, target = np.asarray(states.inner.boxes), np.asarray(states.inner.target)
    click = np.random.default_rng(0).uniform(size=(500, 2)).astype(np.float32)
    click[::2] = (boxes[::2, :, :2] + boxes[::2, :, 2:])[np.arange(250), target[::2]] / 2  # into the middle
    out = jax.jit(jax.vmap(lambda s, a: step(ENV, jax.random.key(1), s, a, PARAMS)))(
        states, jnp.asarray(click)
    )
    inside = ((click[:, None] >= boxes[..., :2]) & (click[:, None] <= boxes[..., 2:])).all(-1)
    hit = inside[np.arange(500), target]
    np.testing.assert_array_equal(out.success, hit)
    np.testing.assert_array_equal(out.terminated, hit)
    np.testing.assert_array_equal(out.reward, hit.astype(np.float32))
    np.testing.assert_array_equal(out.features["wrong"], inside.any(1) & ~hit)
    assert hit[::2].all()
    assert hit[1::2].mean() < 0.15


def test_widgets_never_overlap_and_vary_in_size():
    begin = jax.jit(jax.vmap(lambda key: ENV.initial(key, PARAMS)))
    state = begin(jax.random.split(jax.random.key(2), 300))
    boxes = np.asarray(state.boxes)
    side = boxes[..., 2:] - boxes[..., :2]
    assert side.min() >= float(PARAMS.smallest) - 1e-6
    assert side.max() <= float(PARAMS.largest) + 1e-6
    assert side.std() > 0.08
    for i in range(4):
        for j in range(i):
            apart = (boxes[:, i, :2] >= boxes[:, j, 2:]) | (boxes[:, j, :2] >= boxes[:, i, 2:])
            assert apart.any(-1).all()
    assert np.bincount(np.asarray(state.target), minlength=4).min() > 50


def test_nothing_is_hit_before_the_first_click():
    state = ENV.initial(jax.random.key(0), PARAMS)
    around = state._replace(boxes=jnp.tile(jnp.array([0.0, 0.0, 1.0, 1.0]), (4, 1)))
    assert not ENV.features(around, PARAMS)["hit"]
    with pytest.raises(UsageError, match="widgets"):
        Pointing(widgets=0)
