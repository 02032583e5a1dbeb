"""What networks see of each kind of observation, and what environments get of each kind of action."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.encoding import action_decoder, action_encoder, observation_encoder
from rlkit.errors import UsageError
from rlkit.spaces import Box, Discrete

INF = math.inf
SEEN = {
    "floats": (Box((2, 3), -1.0), np.arange(6.0).reshape(2, 3), np.arange(6.0)),
    "float16": (Box((2,), dtype="float16"), np.float16([0.5, -2]), [0.5, -2]),
    "bfloat16": (Box((2,), dtype="bfloat16"), jnp.bfloat16([0.5, -2]), [0.5, -2]),
    "scalar": (Box(()), np.float32(3), [3]),
    "image": (Box((1, 2, 1), 0, 255, "uint8"), np.uint8([[[0], [51]]]), [0, 0.2]),
    "bytes": (Box((2,), dtype="uint8"), np.uint8([255, 51]), [1, 0.2]),
    "int8": (Box((2,), dtype="int8"), np.int8([-128, 127]), [0, 1]),
    "counts": (Box((2,), -2, 8, "int32"), np.int32([3, -2]), [0.5, 0]),
    "mixed": (Box((3,), (0, -INF, 5), (4, 4, 5), "int32"), np.int32([1, -7, 5]), [0.25, -7, 0]),
    "unbounded": (Box((2,), dtype="int32"), np.int32([1000, -3]), [1000, -3]),
    "bools": (Box((2,), dtype="bool"), np.array([True, False]), [1, 0]),
    "discrete": (Discrete(3), np.int32(1), [0, 1, 0]),
    "from 1": (Discrete(3, start=1), np.int32(1), [1, 0, 0]),
    "negative": (Discrete(3, start=-2), np.int32(0), [0, 0, 1]),
}


@pytest.mark.parametrize("kind", SEEN)
def test_observations_become_vectors(kind):
    space, obs, expected = SEEN[kind]
    encoder = observation_encoder(space)
    assert encoder.shape == (encoder.size,) == np.shape(expected)
    assert encoder.normalised is isinstance(space, Box)
    for lead in ((), (4,), (5, 4)):  # one, a batch, a trajectory
        x = encoder.encode(jnp.broadcast_to(jnp.asarray(obs), (*lead, *space.shape)))
        assert x.dtype == jnp.float32
        np.testing.assert_allclose(x, np.broadcast_to(np.float32(expected), (*lead, encoder.size)), rtol=1e-6)


def test_images_may_keep_their_shape():
    space = Box((4, 5, 3), 0, 255, "uint8")
    encoder = observation_encoder(space, flat=False)
    obs = jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 2))
    assert encoder.shape == (4, 5, 3)
    assert encoder.size == 60
    np.testing.assert_allclose(encoder.encode(obs), np.asarray(obs, np.float32) / 255, rtol=1e-6)
    np.testing.assert_array_equal(observation_encoder(space).encode(obs), encoder.encode(obs).reshape(2, 60))


@pytest.mark.parametrize("space", [Discrete(4), Box((3,)), Box((2, 2), 0, 9, "int32")], ids=str)
@pytest.mark.parametrize("obs", [jnp.zeros(5), jnp.zeros((5, 2)), {"a": jnp.zeros(3)}, 1.0], ids=str)
def test_what_is_no_observation_is_refused(space, obs):
    if space == Discrete(4) and hasattr(obs, "shape"):  # any array is a batch of scalars
        return
    with pytest.raises(UsageError, match=r"an observation has .* expected an array"):
        observation_encoder(space).encode(obs)


@pytest.mark.parametrize("make", [observation_encoder, action_decoder])
@pytest.mark.parametrize("space", [None, {"a": Box((2,))}, (3,)], ids=str)
def test_other_spaces_are_refused_by_name(make, space):
    with pytest.raises(
        UsageError, match=f"of type {type(space).__name__}; expected rlkit.spaces.Box or Discrete"
    ):
        make(space)


@pytest.mark.parametrize("make", [observation_encoder, action_decoder])
def test_boxes_without_entries_are_refused(make):
    with pytest.raises(UsageError, match="has no entries"):
        make(Box((2, 0)))


BOUNDS = {
    "two": (-1.0, 3.0),
    "none": (-INF, INF),
    "largest float": (-3.4028235e38, 3.4028235e38),
    "below": (100.0, INF),
    "above": (-INF, -100.0),
    "below, largest float above": (0.0, 3.4028235e38),
    "one point": (2.0, 2.0),
}


@pytest.mark.parametrize("shape", [(), (1,), (2, 1, 2)], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("kind", BOUNDS)
def test_actions_are_within_their_bounds_and_reach_what_is_there(kind, dtype, shape):
    low, high = BOUNDS[kind]
    space = Box(shape, low, high, dtype)
    decoder = action_decoder(space)
    x = jnp.linspace(-50.0, 50.0, 1001)
    action = decoder.decode(jnp.broadcast_to(x[:, None], (1001, decoder.size)))
    assert (action.shape, action.dtype) == ((1001, *shape), jnp.dtype(dtype))
    assert bool(jax.vmap(space.contains)(action).all())
    column = np.asarray(action.reshape(1001, -1)[:, 0], np.float64)
    assert np.all(np.diff(column) >= 0)
    assert np.abs(column).max() < 200
    if kind != "one point":
        assert column[-1] - column[0] >= 4.0 - 1e-3
        middle = column[(np.abs(x) <= 0.5)]
        assert len(np.unique(middle)) > 3, "small changes of x must show"


def test_every_entry_follows_its_own_bounds():
    space = Box((4,), (-INF, 0.0, -INF, -1.0), (INF, INF, 5.0, 3.0))
    out = action_decoder(space).decode(jnp.array([[7.5, 7.5, 7.5, 0.5], [0.0, 0.0, 0.0, -9.0]]))
    soft = lambda x: math.log1p(math.exp(x))
    np.testing.assert_allclose(
        out, [[7.5, soft(7.5), 5 - soft(-7.5), 2.0], [0.0, math.log(2), 5 - math.log(2), -1.0]], rtol=1e-6
    )


def test_two_sided_entries_are_scaled_and_clipped():
    decode = action_decoder(Box((2,), (-1.0, 2.0), (3.0, 6.0))).decode
    np.testing.assert_allclose(
        decode(jnp.array([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0], [9.0, -9.0]])),
        [[-1, 2], [1, 4], [3, 6], [3, 2]],
    )


@pytest.mark.parametrize("start", [-3, 0, 1])
def test_indices_are_counted_from_the_start(start):
    action = action_decoder(Discrete(3, start=start)).decode(jnp.arange(3, dtype=jnp.int32))
    assert action.dtype == jnp.int32
    assert action.tolist() == [start, start + 1, start + 2]


@pytest.mark.parametrize(
    ("space", "advice"),
    [
        (Box((1,), 0, 9, "int32"), "say Discrete\\(10\\)"),
        (Box((), -1, 1, "int8"), "say Discrete\\(3, start=-1\\)"),
        (Box((2,), 0, 9, "int32"), "discretise\\(env\\)"),
        (Box((2,), dtype="bool"), "discretise\\(env\\)"),
        (Box((1,), dtype="int32"), "give it finite bounds"),
    ],
    ids=str,
)
def test_integer_boxes_are_no_actions(space, advice):
    with pytest.raises(UsageError, match=advice):
        action_decoder(space)


def test_actions_are_seen_by_networks_between_minus_one_and_one_where_bounds_are_two():
    space = Box((2, 2), (-2.0, 0.0, -jnp.inf, 1.0), (2.0, 4.0, jnp.inf, jnp.inf))
    encode = action_encoder(space)
    action = jnp.array([[[2.0, 1.0], [7.0, 3.0]], [[-1.0, 4.0], [-5.0, 1.0]]])
    np.testing.assert_allclose(encode(action), [[1.0, -0.5, 7.0, 3.0], [-0.5, 1.0, -5.0, 1.0]])
    np.testing.assert_allclose(jax.grad(lambda a: encode(a).sum())(action[0]), [[0.5, 0.5], [1.0, 1.0]])
    np.testing.assert_array_equal(
        action_encoder(Discrete(3, start=-1))(jnp.array([-1, 1])), np.eye(3)[[0, 2]]
    )
    assert action_encoder(Box((), 0.0, 2.0))(jnp.ones(5)).shape == (5, 1)
    with pytest.raises(UsageError, match="no entries"):
        action_encoder(Box((0,), 0.0, 1.0))
