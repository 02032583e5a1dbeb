"""Seeds and replicas over devices give the numbers of one device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import environment

from rlkit.errors import UnknownNameError, UsageError
from rlkit.experiment.training.devices import cores
from rlkit.parallel import over_replicas, over_seeds, seed_keys, shard_seeds, stack_size

SCRIPT = Path(__file__).resolve().parent / "four_devices.py"


def four_devices(*parts):
    """What ``four_devices.py`` finds in a process of its own."""
    command = [sys.executable, str(SCRIPT), *parts]
    done = subprocess.run(command, env=environment(4), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == 4
    return found


@pytest.mark.bits
def test_toy_seeds_and_gradients_over_four_devices():
    found = four_devices("seeds", "regression")
    assert all(found["seeds"].values()), found["seeds"]
    assert len(found["seeds"]) == 11
    assert max(found["regression"].values()) < 1e-5, found["regression"]


@pytest.mark.slow
@pytest.mark.bits
def test_ppo_over_four_devices():
    found = four_devices("ppo_seeds", "data_parallel_ppo")
    assert all(found["ppo_seeds"].values()), found
    gaps = found["data_parallel_ppo"]
    assert gaps["shard_map"] < 1e-5, gaps
    assert gaps["pmap"] < 1e-5, gaps
    assert gaps["replicas"] == 0.0, gaps
    assert gaps["moved"] > 0.1, gaps
    assert gaps["environments"] > 1e-3, gaps


def test_a_seed_has_the_same_key_in_every_population():
    few, many = seed_keys(jax.random.key(3), 2), seed_keys(jax.random.key(3), 7)
    np.testing.assert_array_equal(jax.random.key_data(few), jax.random.key_data(many)[:2])
    assert len({tuple(k) for k in np.asarray(jax.random.key_data(many))}) == 7


@pytest.mark.parametrize("batching", ["map", "vmap"])
def test_over_seeds_is_a_loop(batching):
    x = jnp.arange(12.0).reshape(4, 3)
    out = jax.jit(over_seeds(lambda item, shift: {"sum": item.sum() + shift, "row": item}, batching))(x, 1.0)
    np.testing.assert_array_equal(out["sum"], x.sum(1) + 1.0)
    np.testing.assert_array_equal(out["row"], x)


def test_replicas_average_over_their_axis():
    x = jnp.arange(8.0).reshape(4, 2)
    out = over_replicas(lambda item: item - jax.lax.pmean(item, "batch"), "batch")(x)
    np.testing.assert_allclose(out, x - x.mean(0))


def test_bad_requests_name_what_was_expected():
    with pytest.raises(UnknownNameError, match="did you mean 'vmap'"):
        over_seeds(jnp.sin, "vmp")
    with pytest.raises(UnknownNameError, match="placement"):
        shard_seeds(jnp.sin, how="shard")
    with pytest.raises(UnknownNameError, match="placement"):
        over_replicas(jnp.sin, "batch", "threads")
    with pytest.raises(UsageError, match="one replica per device"):
        over_replicas(jnp.sin, "batch", "shard_map", jax.devices()[:1])(jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match="one length"):
        stack_size({"a": jnp.zeros((2, 1)), "b": jnp.zeros((3,))})


@pytest.mark.parametrize(
    ("call", "threads", "found"),
    [("2", None, "2 {share}"), ("1, 1", None, "1 1"), ("1, 1", "3", "1 3")],
)
def test_cores_are_shared_by_devices_before_the_backend_starts(call, threads, found):
    script = (
        "import os, jax\n"
        "from rlkit.experiment.training.devices import use_host_devices\n"
        f"use_host_devices({call})\n"
        "print(jax.device_count(), os.environ['NPROC'])"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("NPROC", "XLA_FLAGS")}
    environment |= {"JAX_PLATFORMS": "cpu"} | ({"NPROC": threads} if threads else {})
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == found.format(share=max(cores() // 2, 1)).split(), done.stderr[-2000:]
