"""SAC, DQN and PQN once more, written for reading: plain networks, plain losses, plain loops.

Formulas take ``xp``: NumPy in float64 where a number is checked, ``jax.numpy`` where it is derived.
"""

import jax
import jax.numpy as jnp
import numpy as np


def layers(xp, params, x):
    """Dense layers with ReLU, normalised first if they have a scale."""
    for i in range(sum(name.startswith("Dense") for name in params)):
        layer = params[f"Dense_{i}"]
        x = x @ layer["kernel"] + layer["bias"]
        if f"LayerNorm_{i}" in params:
            norm = params[f"LayerNorm_{i}"]
            x = (x - x.mean(-1, keepdims=True)) / xp.sqrt(x.var(-1, keepdims=True) + 1e-6)
            x = x * norm["scale"] + norm["bias"]
        x = xp.maximum(x, 0.0)
    return x


def headed(xp, params, obs):
    """Output of a torso with a head."""
    return layers(xp, params["body"], obs) @ params["head"]["kernel"] + params["head"]["bias"]


def critic_values(xp, params, obs, action):
    """``[critics, N]``, one critic after the other."""
    x, out = xp.concatenate([obs, action], -1), []
    for i in range(params["Dense_0"]["bias"].shape[0]):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], params)
        out.append((layers(xp, one["MLP_0"], x) @ one["Dense_0"]["kernel"] + one["Dense_0"]["bias"])[:, 0])
    return xp.stack(out)


def squashed(xp, params, obs, noise):
    """An action in (-1, 1) and its log-probability there."""
    out = headed(xp, params, obs)
    mean, log_std = xp.split(out, 2, -1)
    std = xp.exp(xp.clip(log_std, -20.0, 2.0))
    u = mean + std * noise
    density = xp.exp(-0.5 * noise**2) / (std * np.sqrt(2 * np.pi)) / (1.0 - xp.tanh(u) ** 2)
    return xp.tanh(u), xp.log(density).sum(-1)


def descend(loss, params, rate):
    """One step of plain gradient descent."""
    gradient = jax.jit(jax.grad(loss))(params)
    return jax.tree.map(lambda p, g: p - rate * g, params, gradient)


def sac(config, learner, rows, noise):
    """Parameters and target after one update; ``rows``: obs, action, reward, next_obs,
    terminated, with actions in (-1, 1)."""
    obs, action, reward, next_obs, terminated = rows
    policy, critics, log_alpha = learner.params
    alpha, rate = np.exp(np.float64(log_alpha)), config.learning_rate
    next_action, log_prob = squashed(np, policy, next_obs, noise[0])
    worth = critic_values(np, learner.target, next_obs, next_action).min(0) - alpha * log_prob
    target = reward + config.discount * np.where(terminated, 0.0, worth)

    def critic_loss(critics):
        return sum(((q - target) ** 2).mean() / 2 for q in critic_values(jnp, critics, obs, action))

    critics = descend(critic_loss, critics, rate)

    def policy_loss(policy):
        action, log_prob = squashed(jnp, policy, obs, noise[1])
        return (alpha * log_prob - critic_values(jnp, critics, obs, action).min(0)).mean()

    _, log_prob = squashed(np, policy, obs, noise[1])
    entropy = -log_prob.mean()
    policy = descend(policy_loss, policy, rate)
    log_alpha = log_alpha - rate * alpha * (entropy - config.target_entropy * action.shape[1])
    target = jax.tree.map(lambda old, new: old + config.tau * (new - old), learner.target, critics)
    return (policy, critics, log_alpha), target, entropy


def n_step_target(config, rows, value):
    """Targets of stretches ``[n, N]``; ``value(next_obs [d]) -> V``."""
    reward, next_obs, terminated, done = rows
    out = np.zeros(reward.shape[1])
    for i in range(len(out)):
        for k in range(len(reward)):
            out[i] += config.discount**k * reward[k, i]
            if done[k, i] or k == len(reward) - 1:
                if not terminated[k, i]:
                    out[i] += config.discount ** (k + 1) * value(next_obs[k, i])
                break
    return out


def dqn(config, learner, rows):
    """Parameters after one update; rows ``[n, N, ...]``: obs, action, reward, next_obs, terminated, done."""
    obs, action, *rest = rows

    def value(next_obs):
        judged = headed(np, learner.target, next_obs[None])[0]
        return judged[headed(np, learner.params, next_obs[None])[0].argmax()]

    target = n_step_target(config, rest, value)

    def loss(params):
        q = jnp.take_along_axis(headed(jnp, params, obs[0]), action[0][:, None], -1)[:, 0]
        error = jnp.abs(q - target)
        return jnp.where(error < 1, error**2 / 2, error - 0.5).mean()

    return descend(loss, learner.params, config.learning_rate)


def pqn(config, params, rows, order):
    """Parameters after all minibatches; rows ``[T, B, ...]``, as those of :func:`dqn`."""
    obs, action, reward, next_obs, terminated, done = rows
    target, following = np.zeros(reward.shape), np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        value = np.where(terminated[t], 0.0, headed(np, params, next_obs[t]).max(-1))
        cut = done[t] | (t == len(reward) - 1)
        after = np.where(cut, value, (1 - config.lambda_) * value + config.lambda_ * following)
        following = target[t] = reward[t] + config.discount * after
    flat = [x.reshape(-1, *x.shape[2:]) for x in (obs, action, target)]
    for index in order:
        obs, action, target = (x[index] for x in flat)

        def loss(params, obs=obs, action=action, target=target):
            q = jnp.take_along_axis(headed(jnp, params, obs), action[:, None], -1)[:, 0]
            return ((q - target) ** 2).mean() / 2

        params = descend(loss, params, config.learning_rate)
    return params
