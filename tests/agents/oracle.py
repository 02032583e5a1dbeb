"""PPO once more, written for reading: plain networks, plain losses, plain loops.

Formulas take ``xp``: NumPy in float64 where a number is checked, ``jax.numpy`` where it is derived.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

ACTIVATIONS = {
    "tanh": lambda xp, x: xp.tanh(x),
    "relu": lambda xp, x: xp.maximum(x, 0.0),
}


def forward(xp, config, params, obs):
    """Head output, value and latent of an MLP agent for ``obs [n, d]``."""

    def torso(name):
        x = obs
        for i in range(len(config.sizes)):
            layer = params[name][f"Dense_{i}"]
            x = ACTIVATIONS[config.activation](xp, x @ layer["kernel"] + layer["bias"])
        return x

    latent = torso("actor_torso")
    hidden = latent if config.shared_torso else torso("critic_torso")
    out = latent @ params["actor_head"]["kernel"] + params["actor_head"]["bias"]
    value = hidden @ params["critic_head"]["kernel"] + params["critic_head"]["bias"]
    return out, value[:, 0], latent


def log_prob_and_entropy(xp, params, out, action):
    """Of a categorical distribution, or of a Gaussian if the parameters have a deviation."""
    if "log_std" not in params:
        top = out.max(-1, keepdims=True)
        log_p = out - top - xp.log(xp.exp(out - top).sum(-1, keepdims=True))
        return xp.take_along_axis(log_p, action[:, None], -1)[:, 0], -(xp.exp(log_p) * log_p).sum(-1)
    std = xp.exp(params["log_std"])
    density = xp.exp(-0.5 * ((action - out) / std) ** 2) / (std * np.sqrt(2 * np.pi))
    entropy = xp.log(std * np.sqrt(2 * np.pi * np.e)).sum() * xp.ones(len(out))
    return xp.log(density).sum(-1), entropy


def losses(xp, config, params, rows, weight):
    """Total loss and (policy, value, entropy, kl, clip fraction) of one minibatch, rows ``[n, ...]``."""
    out, value, _ = forward(xp, config, params, rows.obs)
    log_prob, entropy = log_prob_and_entropy(xp, params, out, rows.raw)
    ratio = xp.exp(log_prob - rows.log_prob)
    clipped = xp.clip(ratio, 1 - config.clip, 1 + config.clip)
    policy = -xp.minimum(ratio * weight, clipped * weight).mean()
    target = rows.advantage + rows.value
    worst = (value - target) ** 2
    if config.clip_value:
        change = xp.clip(value - rows.value, -config.clip, config.clip)
        worst = xp.maximum(worst, (rows.value + change - target) ** 2)
    value_loss = 0.5 * worst.mean()
    kl = ((ratio - 1) - xp.log(ratio)).mean()  # estimator k3 of Schulman's note on approximating KL
    outside = ((ratio > 1 + config.clip) | (ratio < 1 - config.clip)).mean()
    total = policy + config.value_coef * value_loss - config.entropy_coef * entropy.mean()
    return total, (policy, value_loss, entropy.mean(), kl, outside)


def flat_rows(batch):
    """``[T, B, ...]`` to ``[T * B, ...]``, without what the oracle fills in itself."""
    some = batch._replace(weight=(), first=())
    return jax.tree.map(lambda a: a.reshape(a.shape[0] * a.shape[1], *a.shape[2:]), some)


def learn(config, params, optimiser_state, batches, orders):
    """All minibatch updates of one step on the batches of one or several replicas."""
    optimiser = optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm), optax.adam(config.learning_rate, eps=1e-5)
    )
    state = optimiser.init(params) if optimiser_state is None else optimiser_state
    loss = jax.jit(jax.grad(lambda params, rows, weight: losses(jnp, config, params, rows, weight)[0]))
    replicas = [flat_rows(batch) for batch in batches]
    for indices in zip(*orders, strict=True):
        some = [
            jax.tree.map(functools.partial(np.take, indices=i, axis=0), rows)
            for rows, i in zip(replicas, indices, strict=True)
        ]
        pooled = np.concatenate([rows.advantage for rows in some])
        grads = [
            loss(params, rows, (rows.advantage - pooled.mean()) / (pooled.std() + 1e-8)) for rows in some
        ]
        grad = jax.tree.map(lambda *g: sum(g) / len(g), *grads)
        updates, state = optimiser.update(grad, state)
        params = optax.apply_updates(params, updates)
    return params


def gae(reward, value, next_value, terminated, done, discount, lambda_):
    """Advantages ``[T, B]`` in float64, one after the other."""
    advantage, after = np.zeros(reward.shape), np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        delta = np.float64(reward[t]) + discount * np.where(terminated[t], 0.0, next_value[t]) - value[t]
        after = advantage[t] = delta + discount * lambda_ * np.where(done[t], 0.0, after)
    return advantage
