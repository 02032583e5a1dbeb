"""Hyper-parameters that several agents have: help text and range of each are said here once."""

from typing import Any

from rlkit.fields import leaf, static
from rlkit.networks import ACTIVATIONS
from rlkit.products import PRECISIONS

_SHARE, _COUNT = {"low": 0.0, "high": 1.0}, {"low": 1}

_LEAVES: dict[str, tuple[str, dict[str, Any]]] = {
    "decay_updates": (
        "updates until the learning rate has fallen linearly to 0; 0: constant", {"low": 0.0}
    ),
    "discount": ("discount factor γ", _SHARE),
    "epsilon_end": ("share of random actions in the end", _SHARE),
    "epsilon_start": ("share of random actions at first", _SHARE),
    "epsilon_steps": ("environment steps over which that share falls linearly", {"low": 0.0}),
    "lambda_": ("λ of the returns", _SHARE),
    "max_grad_norm": ("largest global norm of a gradient", {"above": 0.0}),
}  # fmt: skip

_STATIC: dict[str, tuple[str, dict[str, Any]]] = {
    "activation": ("tanh, relu, silu, gelu or elu", {"choices": ACTIVATIONS}),
    "batch_size": ("transitions in a gradient step", _COUNT),
    "buffer_size": ("transitions that are kept", _COUNT),
    "epochs": ("passes over the collected steps", _COUNT),
    "layer_norm": ("normalise the layers", {}),
    "minibatches": ("gradient steps per pass", _COUNT),
    "normalize_obs": ("normalise observations by their running mean and deviation", {}),
    "normalize_reward": ("divide rewards by the running deviation of their discounted sum", {}),
    "num_envs": ("environments that run side by side (per device)", _COUNT),
    "num_steps": ("steps of each environment per update", _COUNT),
    "precision": ("of matrix products: float32, tf32 or bfloat16", {"choices": PRECISIONS}),
    "sizes": ("layer sizes; the last is the latent's", _COUNT),
    "updates_to_data": ("gradient steps for each environment step", {"above": 0.0}),
}


def shared(name: str, default: Any) -> Any:
    """A field of a configuration that other agents have too, see :mod:`rlkit.fields`.

    Args:
      name: of the field; those above are known.
      default: the agent's.
    """
    if name in _LEAVES:
        help, bounds = _LEAVES[name]
        return leaf(default, help, **bounds)
    help, bounds = _STATIC[name]
    return static(default, help, **bounds)
