"""Which checks refuse rewards that are known to be good.

Good are, of six environments: the environment's own reward; the sparse one; potential differences, which
change no optimal policy (Ng, Harada & Russell 1999); getting nearer without discount, and nearer than ever;
bonuses for stages, each paid once; and hand-made rewards by which PPO learns the task
(``benchmarks/design_sparse.py``). All are paid beside ``success()``, as a design does by default.

Shown is every check that does not pass: capitals stop a candidate, others warn.

``python benchmarks/design_refusals.py [ENVIRONMENT ...]``
"""

import argparse
import time
from collections import Counter

from design_sparse import KEY, LAVA, MAZE

from rlkit.design import Candidate, DesignTask, screen
from rlkit.envs import make
from rlkit.types import Environment


def program(total: str, memory: str = "", kept: str = "") -> str:
    """A program of one term."""
    if memory:
        head = f"memory = {memory}\n\ndef reward(s, a, ns, done, m):\n"
        return f"{head}    r = {total}\n    return r, {{'r': r}}, {kept}\n"
    return f"def reward(s, a, ns, done):\n    r = {total}\n    return r, {{'r': r}}\n"


def shaped(potential: str, scale: str = "1.0") -> str:
    """The potential difference of a potential, in which ``?`` is the state."""
    before, after = potential.replace("?", "s"), potential.replace("?", "ns")
    return program(f"{scale} * (0.99 * jnp.where(done, 0.0, {after}) - ({before}))")


def nearer(distance: str, scale: str = "1.0") -> str:
    """The same distance, smaller than before."""
    return program(f"{scale} * (s.{distance} - ns.{distance})")


def nearest(distance: str, scale: str = "1.0") -> str:
    """A distance, smaller than ever in the episode."""
    best = f"jnp.minimum(jnp.minimum(m.best, s.{distance}), ns.{distance})"
    gain = f"{scale} * jnp.maximum(jnp.minimum(m.best, s.{distance}) - ns.{distance}, 0.0)"
    return program(gain, "{'best': 1e9}", f"{{'best': {best}}}")


def _key() -> Environment:
    from rlkit.envs.keydoor import KeyDoor

    return KeyDoor(5)


def _lava() -> Environment:
    from _lava import lava_grid

    return lava_grid()


OWN = {"own": "task()", "sparse": "success()"}
GOOD = {
    "classic/pendulum": OWN
    | {
        "height": program("ns.height"),
        "costs": program("-0.1 * (jnp.square(ns.angle) + 0.1 * jnp.square(ns.velocity))"),
        "potential of the height": shaped("?.height"),
        "narrow": program("jnp.exp(-jnp.square(ns.angle / 0.3) - jnp.square(ns.velocity / 2.0))"),
    },
    "classic/cartpole": OWN
    | {
        "alive": program("jnp.where(done, 0.0, 1.0)"),
        "upright": program("jnp.where(done, 0.0, 1.0 - 2.0 * jnp.abs(ns.pole_angle))"),
        "fall": program("jnp.where(done, -1.0, 0.0)"),
    },
    "nav/pointmaze-umaze": OWN
    | {
        "hand-made": MAZE,
        "nearer, slowly": nearer("path_distance", "0.1"),
        "nearer than ever": nearest("path_distance"),
        "potential": shaped("-?.path_distance"),
        "potential, exponential": shaped("jnp.exp(-?.path_distance)"),
        "nearer, less time": program("0.3 * (s.path_distance - ns.path_distance) - 0.003"),
    },
    "keydoor": OWN
    | {
        "hand-made": KEY,
        "stages": program("0.3 * (ns.stage - s.stage)"),
        "potential of the stages": shaped("1.0 * ?.stage"),
        "potential of the way": shaped("-0.1 * ?.steps_left"),
        "nearer by the way": nearer("steps_left", "0.1"),
    },
    "lava": OWN
    | {
        "hand-made": LAVA,
        "potential to the goal": shaped("-?.goal_distance", "0.1"),
        "potential to the bridge": shaped("-?.bridge_distance", "0.1"),
        "nearer to the goal": nearer("goal_distance", "0.1"),
        "nearer than ever to the goal": nearest("goal_distance", "0.1"),
        "over, once": program(
            "jnp.where(ns.behind_lava & ~m.over, 1.0, 0.0)",
            "{'over': False}",
            "{'over': m.over | ns.behind_lava}",
        ),
        "burnt": program("jnp.where(ns.in_lava, -1.0, 0.0)"),
    },
    "craft/mini": OWN
    | {
        "achievements": program("1.0 * (ns.achievements_unlocked - s.achievements_unlocked)"),
        "with lava": program(
            "1.0 * (ns.achievements_unlocked - s.achievements_unlocked)"
            " - jnp.where(ns.died_in_lava, 1.0, 0.0)"
        ),
        "potential to the diamond": shaped("-?.world_diamond_distance", "0.05"),
        "hundred steps cost one": program("jnp.where(done, -0.01, -0.01)"),
    },
}
MAKERS = {"keydoor": _key, "lava": _lava}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("environments", nargs="*", default=list(GOOD))
    counts, total = Counter(), 0
    for name in parser.parse_args().environments:
        begin = time.process_time()
        task = DesignTask(MAKERS.get(name, lambda name=name: make(name))(), base="success()")
        check = screen(task, 0)
        solved = check.evidence.episodes.solved
        print(f"{name}: {int(solved.sum())} of {solved.size} episodes succeed")
        for words, text in GOOD[name].items():
            failed = [v for v in check(Candidate(text, id="0.0.0")) if v.passed is False]
            counts.update(v.check for v in failed if v.stops)
            total += 1
            said = [f"{v.check.upper() if v.stops else v.check}: {v.reason}" for v in failed]
            print(f"  {words:<30} {'; '.join(said) or '-'}")
        print(f"  {time.process_time() - begin:.0f} CPU seconds", flush=True)
    print(f"{total} good rewards; stopped by: {dict(counts) or 'nothing'}")


if __name__ == "__main__":
    main()
