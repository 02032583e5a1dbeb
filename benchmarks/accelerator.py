"""PPO and integrated information decomposition on whatever device JAX finds: wall time, compile time apart.

    python benchmarks/accelerator.py [--seeds 1 16 256] [--envs 4 256 4096] [--no-robots] [--small]
        [--only launches purejaxrl compiling training analysis motion tests] [--purejaxrl FOLDER]

Prints, after a warm-up call of the compiled program: whole training runs of PPO by the number of seeds that
learn at once and by the number of environments of one seed; all pairs of 64 units; and how far float32
on this device lies from float64 on the host. Wall times are the least of three runs. Further: one update of
many seeds by the precision of products and by what a command buffer covers, with the kernels that it runs;
the PPO of PureJaxRL, from a clone of it, on the same task; the compile time of PPO on ``craft/classic`` with
1024 environments; motions measured by MJX on the device beside MuJoCo on the host; and the tests that depend
on the device. All of it is to take less than eight minutes: each part says what it took, and none begins
after ``--minutes``. ``--small`` runs every part in a size that a CPU manages, to see that it works.
"""

import argparse
import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _kernels import kernels
from phi_id import latents

from rlkit import envs
from rlkit.agents import PPOConfig, evaluate, ppo
from rlkit.analysis import all_pairs_atoms, lagged_moments, measure_emergence
from rlkit.analysis.atoms import all_pairs_local_atoms
from rlkit.compiling import compiler_options, known
from rlkit.experiment.training.population import resolve_batching
from rlkit.parallel import over_seeds, seed_keys
from rlkit.rewards import motion

ON_CPU = jax.default_backend() == "cpu"


def timed(function, *arguments):
    """Trace and compile seconds, least wall seconds of three warm calls, and the result."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile(compiler_options())
    compiled = time.perf_counter() - start
    out, walls = jax.block_until_ready(program(*arguments)), []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        walls.append(time.perf_counter() - start)
    return compiled, min(walls), out


def learn(title, name, config, total, seeds, **options):
    """Train ``seeds`` agents for ``total`` steps each and print one row."""
    agent = ppo(envs.make(name), config, **options)
    updates = max(total // (config.num_envs * config.num_steps), 1)

    def train(key):
        def update(state, _):
            state, metrics = agent.step(state)
            return state, metrics["episode/return"]

        state, _ = jax.lax.scan(update, agent.init(key), length=updates)
        return evaluate(agent, agent.policy(state), key, 16).returned.mean()

    batching = resolve_batching("auto")
    keys = seed_keys(jax.random.key(0), seeds)
    compiled, wall, returned = timed(over_seeds(train, batching), keys)
    steps = updates * config.num_envs * config.num_steps * seeds
    spread = returned.std() / np.sqrt(seeds)
    print(
        f"{title:44}{compiled:9.1f}{wall:9.2f}{steps / wall:14,.0f}   {returned.mean():.0f} ± {spread:.0f}",
        flush=True,
    )


def training(arguments):
    print(f"\n{'PPO, evaluation included':44}{'compile':>9}{'wall':>9}{'steps/s':>14}   return ± s.e.")
    for seeds in arguments.seeds:
        config = PPOConfig(decay_updates=195.0)
        total = arguments.steps // 10
        learn(f"cartpole, {seeds} seeds x {total:,} steps", "classic/cartpole", config, total, seeds)
    for num_envs in arguments.envs:
        config = PPOConfig(num_envs=num_envs, num_steps=32, minibatches=4, learning_rate=1e-3)
        title = f"cartpole, {num_envs} environments x 32, {arguments.steps:,} steps"
        learn(title, "classic/cartpole", config, arguments.steps, 1)
    if arguments.robots:
        config = PPOConfig(num_envs=2048, num_steps=16, minibatches=16, learning_rate=1e-3)
        config = dataclasses.replace(config, normalize_obs=True, normalize_reward=True)
        title = "ant (spring), 2048 environments x 16, 2M steps"
        learn(title, "mujoco/ant", config, 2_000_000, 1, auto_reset=envs.Same())


def launches(arguments):
    """One update of many seeds, and of one wide seed: kernels and steps per second, by how it is compiled."""
    print(f"\n{'one update of PPO on cartpole':60}{'compile':>9}{'kernels':>9}{'ms':>9}{'steps/s':>14}")
    covers = [None] if ON_CPU else [None, "", "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,WHILE,CONDITIONAL"]
    option = "xla_gpu_enable_command_buffer"
    for seeds, num_envs in ((arguments.seeds[-1], 16), (1, 16 * arguments.seeds[-1])):
        for precision in ("float32", "tf32"):
            for cover in covers if precision == "float32" else [None]:
                if cover is not None and not known(option, cover):
                    continue
                config = PPOConfig(num_envs=num_envs, precision=precision)
                agent = ppo(envs.make("classic/cartpole"), config)
                state = jax.jit(jax.vmap(agent.init))(seed_keys(jax.random.key(0), seeds))
                options = compiler_options() | ({} if cover is None else {option: cover})
                start = time.perf_counter()
                lowered = jax.jit(jax.vmap(agent.step), donate_argnums=0).lower(state)
                program = lowered.compile(options)
                compiled, walls = time.perf_counter() - start, []
                for _ in range(4):
                    start = time.perf_counter()
                    state, _ = jax.block_until_ready(program(state))
                    walls.append(time.perf_counter() - start)
                buffers = {None: "", "": ", no command buffers"}.get(cover, ", command buffers over loops")
                title = f"{seeds} seeds x {num_envs} environments, {precision}{buffers}"
                count, wall = kernels(program.as_text()), min(walls[1:])
                rate = seeds * num_envs * config.num_steps / wall
                print(f"{title:60}{compiled:9.1f}{count:9.0f}{wall * 1e3:9.2f}{rate:14,.0f}", flush=True)


def peer(arguments):
    """The PPO of PureJaxRL, with the same sizes, as many seeds at once."""
    if not arguments.purejaxrl:
        return
    sys.path.insert(0, str(Path(arguments.purejaxrl).expanduser()))
    from purejaxrl.ppo import make_train  # needs gymnax and distrax

    seeds, total = arguments.seeds[-1], 100_000
    config = {
        "LR": 2.5e-4, "NUM_ENVS": 16, "NUM_STEPS": 128, "TOTAL_TIMESTEPS": total, "UPDATE_EPOCHS": 4,
        "NUM_MINIBATCHES": 4, "GAMMA": 0.99, "GAE_LAMBDA": 0.95, "CLIP_EPS": 0.2, "ENT_COEF": 0.01,
        "VF_COEF": 0.5, "MAX_GRAD_NORM": 0.5, "ACTIVATION": "tanh", "ENV_NAME": "CartPole-v1",
        "ANNEAL_LR": True, "DEBUG": False,
    }  # fmt: skip
    steps = total // (16 * 128) * (16 * 128) * seeds
    train = jax.vmap(make_train(config))
    keys = jax.random.split(jax.random.PRNGKey(0), seeds)  # it takes raw keys
    compiled, wall, _ = timed(lambda keys: train(keys)["metrics"]["returned_episode_returns"][:, -1], keys)
    title = f"PureJaxRL, cartpole, {seeds} seeds x 100k steps"
    print(f"{title:44}{compiled:9.1f}{wall:9.2f}{steps / wall:14,.0f}", flush=True)


def compiling(arguments):
    """What PPO on a large environment takes to compile."""
    num_envs = 32 if arguments.small else 1024
    agent = ppo(envs.make("craft/classic"), PPOConfig(num_envs=num_envs, num_steps=64, minibatches=8))
    start = time.perf_counter()
    lowered = jax.jit(agent.step).lower(jax.eval_shape(agent.init, jax.random.key(0)))
    traced = time.perf_counter()
    lowered.compile(compiler_options())
    end = time.perf_counter()
    took = f"traced in {traced - start:.1f} s, compiled in {end - traced:.1f} s"
    print(f"\nPPO on craft/classic, {num_envs} environments: {took}", flush=True)


def motions(arguments):
    """Kinematics, contacts, inverse dynamics by MJX on the device, and by MuJoCo on the host in float64."""
    print(f"\n{'features of a motion':44}{'compile':>9}{'wall ms':>9}{'host ms':>9}{'error':>14}   (largest)")
    frames, rng = 16 if arguments.small else 256, np.random.default_rng(0)
    for name in motion.BODIES:
        body = motion.body(name)
        poses = np.repeat(body.model.qpos0[None], frames, 0)
        poses[:, 2] += 0.02 * np.sin(np.arange(frames) / 8)
        poses[:, 7:] += 0.1 * np.sin(np.arange(frames)[:, None] / 8 + rng.uniform(0, 6, poses.shape[1] - 7))
        start = time.perf_counter()
        host = motion.motion_features(body, poses, 1 / 30)
        took = time.perf_counter() - start
        seen = lambda q, body=body: motion.motion_features(body, q, 1 / 30, backend="mjx")
        compiled, wall, device = timed(seen, jnp.asarray(poses, jnp.float32))
        errors = {}
        for field, a, b in zip(host._fields, host, device, strict=True):
            known = np.isfinite(a)
            scale = max(1.0, np.abs(np.where(known, a, 0)).max())
            errors[field] = np.abs(np.where(known, np.asarray(b, np.float64) - a, 0)).max() / scale
        worst = max(errors, key=errors.get)
        title = f"{name}, {frames} frames"
        row = f"{title:44}{compiled:9.1f}{wall * 1e3:9.1f}{took * 1e3:9.1f}{errors[worst]:14.1e}   {worst}"
        print(row, flush=True)


TESTS = ("tests/ground", "tests/agents", "tests/rewards", "tests/experiment/test_bulk.py", "tests/analysis")


def tests(arguments):
    """The default tests of what runs on the device; what fails is named."""
    chosen = TESTS[:1] if arguments.small else TESTS
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2" if arguments.small else "4", *chosen]
    top = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(command, cwd=top, capture_output=True, text=True, timeout=arguments.seconds)
    except subprocess.TimeoutExpired:
        print(f"\ntests: not done after {arguments.seconds} s")
        return
    print("\ntests:", *[line for line in done.stdout.splitlines()[-30:] if line.strip()], sep="\n  ")


def analysis(arguments):
    print(f"\n{'all pairs of 64 units, float32':44}{'compile':>9}{'wall ms':>9}{'error':>14}   (of float64)")
    pairs = lambda z: all_pairs_atoms(lagged_moments(z)).stack()
    local = lambda z: all_pairs_local_atoms(z, redundancy="ccs").stack()
    host = jax.local_devices(backend="cpu")[0]
    for title, function, steps in (
        ("16 atoms (MMI), T = 10,000", pairs, 10_000),
        ("16 atoms (MMI), T = 100,000", pairs, 100_000),
        ("16 atoms (CCS), T = 10,000", local, 10_000),
    ):
        samples = latents(steps, np.float64)
        with jax.enable_x64(True), jax.default_device(host):
            exact = np.asarray(jax.jit(function)(jnp.asarray(samples)))
        compiled, wall, out = timed(function, jnp.asarray(samples, jnp.float32))
        error = np.nanmax(np.abs(np.asarray(out, np.float64) - exact))
        print(f"{title:44}{compiled:9.1f}{wall * 1e3:9.2f}{error:14.1e}", flush=True)
    z = jnp.asarray(latents(2000, np.float32))
    compiled, wall, _ = timed(lambda z: measure_emergence(z, jax.random.key(0), check="off"), z)
    print(f"{'report values, 100 surrogates, T = 2,000':44}{compiled:9.1f}{wall * 1e3:9.2f}", flush=True)
    shape = (4, 10, 2000, 64) if ON_CPU else (32, 50, 2000, 64)
    runs = jax.random.normal(jax.random.key(0), shape)
    batch = lambda runs: jax.lax.map(pairs, runs.reshape(-1, *shape[2:]), batch_size=8)
    compiled, wall, _ = timed(batch, runs)
    title = f"{shape[0]} seeds x {shape[1]} checkpoints, T = 2,000"
    print(f"{title:44}{compiled:9.1f}{wall * 1e3:9.2f}", flush=True)


PARTS = {
    "launches": launches,
    "purejaxrl": peer,
    "compiling": compiling,
    "training": training,
    "analysis": analysis,
    "motion": motions,
    "tests": tests,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 16] if ON_CPU else [1, 16, 256, 1024])
    parser.add_argument("--envs", type=int, nargs="*", default=[256] if ON_CPU else [256, 4096])
    parser.add_argument("--robots", action=argparse.BooleanOptionalAction, default=not ON_CPU)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=[p for p in PARTS if p != "tests"])
    parser.add_argument("--purejaxrl", default="", help="a clone of PureJaxRL, timed on the same task")
    parser.add_argument("--seconds", type=float, default=240.0, help="that the tests may take")
    parser.add_argument("--minutes", type=float, default=7.0, help="after which no part begins")
    parser.add_argument("--small", action="store_true", help="every part in a size that a CPU manages")
    arguments = parser.parse_args()
    arguments.steps = 1_000_000
    if arguments.small:
        arguments.seeds, arguments.envs, arguments.robots, arguments.steps = [1, 4], [64], False, 50_000
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}")
    begin = time.perf_counter()
    for name in arguments.only:
        if time.perf_counter() - begin > 60 * arguments.minutes:
            print(f"{name}: left out, {arguments.minutes:g} minutes are over")
            continue
        start = time.perf_counter()
        PARTS[name](arguments)
        print(f"  ({name}: {time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
