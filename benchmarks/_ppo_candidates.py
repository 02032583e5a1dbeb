"""One training run of one toolkit, measured: the process that ``benchmarks/ppo.py`` starts many times.

``python _ppo_candidates.py CANDIDATE JOB SEEDS OPTIONS_JSON`` prints one JSON object. Nothing is
imported before the clock starts. CPU seconds are those of the whole process, all threads.
"""

import functools
import json
import resource
import sys
import time
from typing import Any

JOBS: dict[str, dict[str, Any]] = {
    "cartpole": {
        "rlkit": "classic/cartpole", "gymnax": "CartPole-v1", "total": 500_000,
        "envs": 4, "steps": 128, "epochs": 4, "minibatches": 4, "lr": 2.5e-4, "anneal": True,
        "discount": 0.99, "entropy": 0.01, "normalize": False, "clip_value": True,
    },
    "pendulum": {
        "rlkit": "classic/pendulum", "gymnax": "Pendulum-v1", "total": 300_000,
        "envs": 64, "steps": 128, "epochs": 8, "minibatches": 16, "lr": 1e-3, "anneal": False,
        "discount": 0.95, "entropy": 0.0, "normalize": True, "clip_value": True,
    },
    "inverted_pendulum": {
        "rlkit": "mujoco/inverted_pendulum", "gymnax": "brax/inverted_pendulum", "total": 250_000,
        "env_params": {"backend": "spring"},  # rlkit's default
        "envs": 256, "steps": 16, "epochs": 4, "minibatches": 8, "lr": 3e-4, "anneal": False,
        "discount": 0.99, "entropy": 0.0, "normalize": True, "clip_value": True,
    },
}  # fmt: skip
JOBS["cartpole_short"] = JOBS["cartpole"] | {"total": 100_000}


def cpu() -> float:
    """CPU seconds of this process, all threads."""
    return time.process_time()


def peak_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rlkit(job: dict[str, Any], seeds: int, options: dict[str, Any]) -> dict[str, Any]:
    begin = cpu()
    from rlkit.experiment.training.devices import use_host_devices

    use_host_devices(options.get("devices", 1))
    import jax

    from rlkit import envs
    from rlkit.agents import PPOConfig, evaluate, ppo
    from rlkit.compiling import compiler_options
    from rlkit.parallel import over_seeds, seed_keys, shard_seeds

    if options.get("cache"):
        import os

        os.environ["RLKIT_CACHE"] = options["cache"]
        from rlkit.experiment.training import cache

        cache.enable()
    imported = cpu()
    env = envs.make(job["rlkit"])
    updates = job["total"] // (job["envs"] * job["steps"])
    config = PPOConfig(
        num_envs=job["envs"], num_steps=job["steps"], epochs=job["epochs"], minibatches=job["minibatches"],
        learning_rate=job["lr"], decay_updates=float(updates) if job["anneal"] else 0.0,
        discount=job["discount"], entropy_coef=job["entropy"], clip_value=job["clip_value"],
        normalize_obs=job["normalize"], normalize_reward=job["normalize"],
    )  # fmt: skip
    # As brax's own wrapper, which the peers use, robots start again where they started.
    auto_reset = envs.Same() if job["rlkit"].startswith("mujoco/") else None
    agent = ppo(env, config, latents=options.get("latents", False), auto_reset=auto_reset)

    def train(state):
        def update(state, _):
            state, metrics = agent.step(state)
            latent = metrics.pop("latent", None)
            episodes = {name: x for name, x in metrics.items() if name.startswith("episode/")}
            return state, (episodes, latent if latent is None else latent[-1])  # what the peers report

        return jax.lax.scan(update, state, length=updates)

    many = over_seeds if options.get("devices", 1) == 1 else lambda f, b: shard_seeds(f, batching=b)
    batching = options.get("batching", "map")
    keys = seed_keys(jax.random.key(options.get("seed", 0)), seeds)
    if seeds == 1:
        init, train, keys = jax.jit(agent.init), jax.jit(train), keys[0]
    else:
        init, train = jax.jit(many(agent.init, batching)), jax.jit(many(train, batching))
    traced = cpu()
    lowered_init = init.lower(keys)
    trace, traced = cpu() - traced, cpu()
    init = lowered_init.compile(compiler_options(once=True))
    compiled = cpu() - traced
    state = jax.block_until_ready(init(keys))
    traced = cpu()
    lowered = train.lower(state)
    trace, traced = trace + cpu() - traced, cpu()
    program = lowered.compile(compiler_options())
    compiled += cpu() - traced
    start, wall = cpu(), time.perf_counter()
    state, _ = jax.block_until_ready(program(state))
    end, wall = cpu(), time.perf_counter() - wall
    memory = peak_mb()
    judge = lambda s: evaluate(agent, agent.policy(s), jax.random.key(99), 64).returned.mean()
    returned = [float(judge(state))] if seeds == 1 else jax.lax.map(jax.jit(judge), state).tolist()
    return {
        "imported": imported - begin, "trace": trace, "compile": compiled, "run": end - start,
        "wall": wall, "cold": end - begin,
        "memory": memory, "steps": updates * job["envs"] * job["steps"] * seeds, "returned": returned,
    }  # fmt: skip


def rejax(job: dict[str, Any], seeds: int, options: dict[str, Any]) -> dict[str, Any]:
    begin = cpu()
    import jax
    from rejax import PPO

    imported = cpu()
    updates = job["total"] // (job["envs"] * job["steps"])
    total = updates * job["envs"] * job["steps"]
    algo = PPO.create(
        env=job["gymnax"],
        env_params=job.get("env_params", {}), num_envs=job["envs"], num_steps=job["steps"],
        num_epochs=job["epochs"],
        num_minibatches=job["minibatches"], learning_rate=job["lr"], gamma=job["discount"],
        ent_coef=job["entropy"], max_grad_norm=0.5, total_timesteps=total, eval_freq=total,
        skip_initial_evaluation=True, normalize_observations=job["normalize"],
        normalize_rewards=job["normalize"],
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": (64, 64)},
    )  # fmt: skip
    judge = algo.eval_callback
    algo = algo.replace(eval_callback=lambda algo, ts, rng: jax.numpy.zeros(()))
    train = lambda key: algo.train(key)
    keys = jax.random.PRNGKey(options.get("seed", 0))
    if seeds > 1:
        train, keys = jax.vmap(train), jax.random.split(keys, seeds)
    start = cpu()
    lowered = jax.jit(train).lower(keys)
    trace, start = cpu() - start, cpu()
    program = lowered.compile()
    compiled, start, wall = cpu() - start, cpu(), time.perf_counter()
    state, _ = jax.block_until_ready(program(keys))
    end, wall = cpu(), time.perf_counter() - wall
    memory = peak_mb()
    states = [state] if seeds == 1 else [jax.tree.map(lambda x, i=i: x[i], state) for i in range(seeds)]
    judged = jax.jit(lambda s, k: judge(algo, s, k)[1].mean())
    returned = [float(judged(s, jax.random.PRNGKey(99))) for s in states[:4]]
    return {
        "imported": imported - begin, "trace": trace, "compile": compiled, "run": end - start,
        "wall": wall, "cold": end - begin,
        "memory": memory, "steps": total * seeds, "returned": returned,
    }  # fmt: skip


def _unit_actions(name: str) -> Any:
    """A gymnax environment for PureJaxRL's continuous PPO, which clips actions to ±1: its bounds are mapped
    to the environment's."""
    import gymnax
    from gymnax.environments import spaces
    from gymnax.wrappers.purerl import GymnaxWrapper

    class UnitActions(GymnaxWrapper):
        def step(self, key, state, action, params=None):
            return self._env.step(key, state, action * self._env.action_space(params).high, params)

        def action_space(self, params=None):
            return spaces.Box(-1.0, 1.0, self._env.action_space(params).shape)

        def observation_space(self, params=None):
            return self._env.observation_space(self._env.default_params)

    return UnitActions(gymnax.make(name)[0])


def purejaxrl(job: dict[str, Any], seeds: int, options: dict[str, Any]) -> dict[str, Any]:
    begin = cpu()
    import pathlib
    import types

    # Its wrappers import these for other environments; loading them would only slow it down.
    discrete, robot = job["gymnax"].startswith("CartPole"), job["gymnax"].startswith("brax/")
    brax = ("brax", "brax.envs", "brax.envs.wrappers", "brax.envs.wrappers.training")
    for name in ("navix", *(() if robot else brax)):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["navix"].Environment = sys.modules["navix"].environments = types.SimpleNamespace(
        Environment=object
    )
    if not robot:
        sys.modules["brax"].envs = sys.modules["brax.envs"]
        for name in ("EpisodeWrapper", "AutoResetWrapper"):
            setattr(sys.modules["brax.envs.wrappers.training"], name, object)
    import jax

    folder = options["purejaxrl"]
    sys.path.insert(0, folder)
    name = "ppo" if discrete else "ppo_continuous_action"
    module = types.ModuleType(name)
    # Its continuous policies have 256 units written into the file; here all candidates have 64.
    source = pathlib.Path(f"{folder}/{name}.py").read_text(encoding="utf-8").replace("256", "64")
    exec(compile(source, f"{folder}/{name}.py", "exec"), module.__dict__)
    if robot:
        module.BraxGymnaxWrapper = functools.partial(module.BraxGymnaxWrapper, **job["env_params"])
    elif not discrete:
        module.BraxGymnaxWrapper = _unit_actions
    imported = cpu()
    config = {
        "LR": job["lr"], "NUM_ENVS": job["envs"], "NUM_STEPS": job["steps"], "TOTAL_TIMESTEPS": job["total"],
        "UPDATE_EPOCHS": job["epochs"], "NUM_MINIBATCHES": job["minibatches"], "GAMMA": job["discount"],
        "GAE_LAMBDA": 0.95, "CLIP_EPS": 0.2, "ENT_COEF": job["entropy"], "VF_COEF": 0.5, "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": "tanh", "ENV_NAME": job["gymnax"].removeprefix("brax/"),
        "ANNEAL_LR": job["anneal"], "NORMALIZE_ENV": True, "DEBUG": False,
    }  # fmt: skip
    train, keys = module.make_train(config), jax.random.PRNGKey(options.get("seed", 0))
    if seeds > 1:
        train, keys = jax.vmap(train), jax.random.split(keys, seeds)
    start = cpu()
    lowered = jax.jit(train).lower(keys)
    trace, start = cpu() - start, cpu()
    program = lowered.compile()
    compiled, start, wall = cpu() - start, cpu(), time.perf_counter()
    out = jax.block_until_ready(program(keys))
    end, wall = cpu(), time.perf_counter() - wall
    memory = peak_mb()
    returns = out["metrics"]["returned_episode_returns"]
    returns = returns.reshape(seeds, returns.shape[-3], -1)
    tail = returns[:, -max(returns.shape[1] // 10, 1) :].mean((1, 2))
    steps = job["total"] // (job["envs"] * job["steps"]) * job["envs"] * job["steps"] * seeds
    return {
        "imported": imported - begin, "trace": trace, "compile": compiled, "run": end - start,
        "wall": wall, "cold": end - begin,
        "memory": memory, "steps": steps, "returned": tail.tolist(),
    }  # fmt: skip


def sb3(job: dict[str, Any], seeds: int, options: dict[str, Any]) -> dict[str, Any]:
    begin = cpu()
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)  # more threads only spin on networks this small
    imported = cpu()
    env = make_vec_env(job["gymnax"], n_envs=job["envs"], seed=options.get("seed", 0))
    if job["normalize"]:
        env = VecNormalize(env, gamma=job["discount"])
    lr = (lambda left: left * job["lr"]) if job["anneal"] else job["lr"]
    model = PPO(
        "MlpPolicy", env, n_steps=job["steps"], n_epochs=job["epochs"], learning_rate=lr, device="cpu",
        batch_size=job["envs"] * job["steps"] // job["minibatches"], gamma=job["discount"],
        ent_coef=job["entropy"], seed=options.get("seed", 0),
    )  # fmt: skip
    total = min(job["total"], options.get("sb3_steps", 50_000))
    start, wall = cpu(), time.perf_counter()
    model.learn(total)
    end, wall = cpu(), time.perf_counter() - wall
    if job["normalize"]:
        env.training = env.norm_reward = False
    mean, _ = evaluate_policy(model, env, 16, warn=False)
    return {
        "imported": imported - begin, "trace": 0.0, "compile": 0.0, "run": end - start, "wall": wall,
        "cold": end - begin,
        "memory": peak_mb(), "steps": model.num_timesteps, "returned": [float(mean)],
    }  # fmt: skip


if __name__ == "__main__":
    candidate, job, seeds, options = sys.argv[1:5]
    out = globals()[candidate](JOBS[job], int(seeds), json.loads(options))
    print("RESULT " + json.dumps(out))
