"""The rasteriser and the pictures that environments draw."""

import time

import jax
import numpy as np
import pytest

from rlkit.envs import draw, make, reset

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def _ink(image):
    return (255 - image[..., 0]).sum() / 255


def test_areas_are_exact_with_anti_aliasing():
    image = draw.canvas(64, WHITE)
    draw.rectangle(image, (10.25, 8.5), (20.75, 30.0), BLACK)
    assert _ink(image) == pytest.approx(10.5 * 21.5, rel=1e-5)
    image = draw.canvas(64, WHITE)
    draw.disc(image, (31.3, 30.7), 12.4, BLACK)
    assert _ink(image) == pytest.approx(np.pi * 12.4**2, rel=5e-3)
    image = draw.canvas(64, WHITE)
    draw.disc(image, (31.3, 30.7), 12.4, BLACK, width=3.0)
    assert _ink(image) == pytest.approx(np.pi * (12.4**2 - 9.4**2), rel=5e-3)
    image = draw.canvas(64, WHITE)
    draw.line(image, (10, 12), (50, 42), 4.0, BLACK)
    assert _ink(image) == pytest.approx(50 * 4 + np.pi * 4, rel=1e-2)


def test_shapes_are_in_place_and_blend():
    image = draw.canvas(10, WHITE)
    draw.rectangle(image, (2, 3), (4, 6), BLACK, alpha=0.5)
    inside = np.zeros((10, 10), bool)
    inside[3:6, 2:4] = True
    np.testing.assert_allclose(image[inside], 127.5)
    np.testing.assert_array_equal(image[~inside], 255)


def test_shapes_outside_the_image_are_cut_off():
    image = draw.canvas(16, WHITE)
    draw.disc(image, (-30, 5), 3, BLACK)
    draw.line(image, (20, 20), (40, 60), 2, BLACK)
    np.testing.assert_array_equal(image, 255)
    draw.rectangle(image, (-50, -50), (50, 50), BLACK)
    np.testing.assert_array_equal(image, 0)
    assert draw.finish(image).dtype == np.uint8


def test_view_centres_the_world_and_points_up():
    view = draw.fit(100, (0, 0), (4, 2), margin=10)
    np.testing.assert_allclose(view((0, 0)), (10, 70))
    np.testing.assert_allclose(view((4, 2)), (90, 30))
    np.testing.assert_allclose(view([(2, 1), (0, 2)]), [(50, 50), (10, 30)])


def test_tiles_fill_their_cells():
    colours = np.arange(2 * 3 * 3, dtype=np.float32).reshape(2, 3, 3)
    image = draw.canvas(30, WHITE)
    draw.tiles(image, colours, draw.fit(30, (0, 0), (3, 2)))
    np.testing.assert_array_equal(image[24, 5], colours[0, 0])  # the lower left cell
    np.testing.assert_array_equal(image[6, 25], colours[1, 2])
    np.testing.assert_array_equal(image[:5], 255)


@pytest.mark.parametrize("id", ["classic/cartpole", "classic/pendulum", "nav/pointmaze-large"])
def test_pictures_show_the_state_and_are_quick(id):
    env = make(id)
    params = jax.device_get(env.default_params())
    begin = jax.jit(lambda k: reset(env, k, env.default_params())[1].inner)
    one, two = (jax.device_get(begin(jax.random.key(i))) for i in (0, 1))
    image = env.render(one, params)
    assert (image.shape, image.dtype) == ((256, 256, 3), np.uint8)
    assert env.render(one, params, size=96).shape == (96, 96, 3)
    np.testing.assert_array_equal(image, env.render(one, params))
    assert (image != env.render(two, params)).any()
    begun = time.process_time()
    for _ in range(10):
        env.render(one, params)
    assert (time.process_time() - begun) / 10 < 0.02


def test_maze_picture_agrees_with_the_map():
    env = make("nav/pointmaze-large")
    params = jax.device_get(env.default_params())
    state = jax.device_get(env.initial(jax.random.key(0), params))
    image = env.render(state, params, size=240, rays=False).astype(int)
    scale = 240 / 12
    for y in range(9):
        for x in range(12):
            column, row = int((x + 0.08) * scale), int(240 / 2 + scale * (4.5 - y - 0.08)) - 1
            dark = image[row, column].sum() < 250
            assert dark == bool(params.walls[y, x]), (x, y)
    assert (env.render(state, params, size=240, rays=True) != image).any()
