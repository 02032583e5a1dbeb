"""Which progress rewards change optimal policies: value iteration on 300 random MDPs (2512.23703, §3.3).

20 states, 4 actions, γ 0.95, success is a terminal state that pays 1; half of the MDPs have a second, failing
terminal state. Progress is random. ``python benchmarks/papers/robo_dopamine_invariance.py``
"""

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.rewards import embodied

STATES, ACTIONS, GAMMA, MDPS = 20, 4, 0.95, 300


def solve(P: np.ndarray, R: np.ndarray, terminal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and optimal actions ``[S, A]``; rewards ``[S, A, S]``."""
    value = np.zeros(STATES)
    expected = np.einsum("sat,sat->sa", P, R)
    while True:
        q = expected + GAMMA * P @ value
        new = np.where(terminal, 0.0, q.max(1))
        if np.abs(new - value).max() < 1e-13:
            return new, q >= q.max(1, keepdims=True) - 1e-9
        value = new


def worth(P: np.ndarray, R: np.ndarray, terminal: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Values of a policy ``[S]`` by a linear system."""
    rows = np.arange(STATES)
    chain = np.where(terminal[:, None], 0.0, P[rows, action])
    pay = np.where(terminal, 0.0, np.einsum("st,st->s", P[rows, action], R[rows, action]))
    return np.linalg.solve(np.eye(STATES) - GAMMA * chain, pay)


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    names = ("ours: Φ = 0 at ends", "published: Φ kept", "Φ' - Φ + gold", "Φ' - Φ alone", "Φ' + gold")
    changed = {name: [] for name in names}
    regret = {name: [] for name in names}
    for i in range(MDPS):
        P = rng.dirichlet(np.full(STATES, 0.1), (STATES, ACTIONS))
        terminal = np.arange(STATES) >= STATES - 1 - i % 2
        phi = rng.random(STATES)
        shape = (STATES, ACTIONS, STATES)
        success = np.broadcast_to((np.arange(STATES) == STATES - 1).astype(float), shape)
        before, after = np.broadcast_to(phi[:, None, None], shape), np.broadcast_to(phi, shape)
        if i % 2 == 0:  # success is complete
            phi[-1] = 1.0
        nothing, ends = np.zeros(shape), np.broadcast_to(terminal, shape)
        rewards = (
            embodied.shaped_by_progress(jnp.asarray(success), before, after, ends, GAMMA),
            embodied.published_shaping(jnp.asarray(success), before, after, GAMMA),
            embodied.progress_difference(jnp.asarray(success), before, after),
            embodied.progress_difference(jnp.asarray(nothing), before, after),
            embodied.absolute_progress(jnp.asarray(success), after),
        )
        value, best = solve(P, success, terminal)
        for name, reward in zip(names, rewards, strict=True):
            other = solve(P, np.asarray(reward), terminal)[1]
            changed[name].append(bool((other != best)[~terminal].any()))
            own = worth(P, success, terminal, other.argmax(1))
            regret[name].append(float((1 - own[~terminal] / value[~terminal]).mean()))
    print(f"{'reward':22s}  MDPs of {MDPS} whose optimal policy changed   mean loss of value")
    for name in names:
        share, loss = np.mean(changed[name]), np.mean(regret[name])
        print(f"{name:22s}  {sum(changed[name]):4d}  ({share:6.1%})  {loss:24.1%}")
    right = sum(changed[names[0]]) == 0 and all(sum(changed[n]) > 0 for n in names[1:])
    print(
        f"{'appears' if right else 'does not appear'}: only shaping by potentials keeps all optimal policies"
    )


if __name__ == "__main__":
    main()
