import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlkit.optimisers import packed


@pytest.mark.parametrize(
    "inner", [optax.adam(0.1), optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(0.1))]
)
def test_packed_updates_are_those_of_the_tree(inner):
    params = {"a": jnp.arange(6.0).reshape(2, 3), "b": {"c": jnp.float32(2.0), "empty": jnp.zeros((0, 2))}}

    def descend(optimiser):
        def body(carry, _):
            params, state = carry
            grads = jax.grad(lambda p: sum(jnp.sum(jnp.sin(x)) for x in jax.tree.leaves(p)))(params)
            updates, state = optimiser.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(body, (params, optimiser.init(params)), length=7)[0]

    (ours, state), (theirs, _) = descend(packed(inner)), descend(inner)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, theirs)
    assert max(x.ndim for x in jax.tree.leaves(state)) == 1
