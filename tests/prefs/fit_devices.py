"""Run by test_fit in a process with four CPU devices: prints what it found as JSON."""

import json

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlkit.experiment.train import train
from rlkit.prefs import FitConfig, fit, heads, pairs, reward_model
from rlkit.prefs.feedback.fitting import fit_steps, optimiser_of

CONFIG = FitConfig(members=2, batch_size=8, num_steps=4, holdout=0.2)
rng = np.random.default_rng(0)
one, two = rng.normal(size=(2, 40, 5, 3)).astype(np.float32)
data = pairs(one, two, (one[..., 0].sum(1) > two[..., 0].sum(1)).astype(np.float32))
model = reward_model(heads.OutcomeHead(heads.Backbone(sizes=(8,))), data.first)
arrays = lambda tree: np.concatenate([np.asarray(x).ravel() for x in jax.tree.leaves(tree)])


def seeds(devices):
    """Parameters of four seeds, dealt out over devices."""
    found = train(fit(model, data, CONFIG), 3, seeds=4, devices=devices, probes=0, progress=False)
    return arrays(found.state.params)


def steps(whole):
    """Parameters and loss of gradient steps on comparisons that lie on one device or on all."""
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    state = jax.vmap(optimiser_of(CONFIG).init)(params)
    bits = jax.random.bits(jax.random.key(1), (6, 2, 8))
    params, _, told = jax.jit(lambda d: fit_steps(model, params, state, d, bits, CONFIG))(whole)
    return arrays(params), float(told["loss"])


mesh = Mesh(np.array(jax.devices()), ("pairs",))
spread = jax.device_put(data, NamedSharding(mesh, PartitionSpec("pairs")))
(alone, loss), (dealt, loss_too) = steps(data), steps(spread)
print(json.dumps({
    "devices": len(jax.devices()),
    "placed": len(spread.label.sharding.device_set),
    "seeds": float(np.abs(seeds(jax.devices()) - seeds(jax.devices()[:1])).max()),
    "rows": float(np.abs(alone - dealt).max()),
    "loss": abs(loss - loss_too),
}))  # fmt: skip
