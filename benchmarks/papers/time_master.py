"""TimeMaster (2506.13705): accuracy, format and an extension, against accuracy alone.

A series has one of three classes; a completion is a class, two reasons that should fit it, and an end token
that makes it well formed.
"""

import jax
import jax.numpy as jnp
from _common import claim, finish, interval, show
from _groups import Setting, Task, at_end, table_of, train

from rlkit.group import preset

SERIES, SYMBOLS = 24, 8
CLASSES, FITTING = 3, 2  # symbols 0-2 name a class, reasons 2 c and 2 c + 1 fit class c, 7 ends


def make_task(warm: float) -> Task:
    kind = jnp.arange(SERIES) % CLASSES
    _, logits = table_of(SERIES, 4, SYMBOLS)

    def init(key):
        start = 0.3 * jax.random.normal(key, (SERIES, 4, SYMBOLS))
        taught = jnp.stack([kind, 2 * kind, 2 * kind + 1, jnp.full(SERIES, SYMBOLS - 1)], 1)
        return start + warm * jax.nn.one_hot(taught, SYMBOLS)

    def columns(key, params, index, tokens, mask):
        own = kind[index][:, None]
        well = (tokens[..., 0] < CLASSES) & (tokens[..., 3] == SYMBOLS - 1)
        fits = tokens[..., 1:3] // FITTING == own[..., None]
        right = (tokens[..., 0] == own) & well
        cast = lambda x: x.astype(jnp.float32)
        return {"accuracy": cast(right), "format": cast(well), "extension": jnp.mean(cast(fits), -1)}

    def evaluate(params, key):
        chance = jax.nn.softmax(params)
        pick = lambda place, value: jnp.take_along_axis(chance[:, place], value[:, None], 1)[:, 0]
        fits = (pick(1, 2 * kind) + pick(1, 2 * kind + 1) + pick(2, 2 * kind) + pick(2, 2 * kind + 1)) / 2
        well = jnp.sum(chance[:, 0, :CLASSES], -1) * chance[:, 3, -1]
        return {"accuracy": jnp.mean(pick(0, kind) * chance[:, 3, -1]), "format": jnp.mean(well),
                "extension": jnp.mean(fits)}  # fmt: skip

    return Task(init, logits, columns, evaluate, SERIES)


def main() -> None:
    setting, names = (
        Setting(seeds=8, steps=200, batch=24, group=5, rate=0.05),
        ("accuracy", "format", "extension"),
    )
    rows = {}
    for start, warm in (("from nothing", 0.0), ("after SFT", 1.5)):
        for name, method in (
            ("accuracy only", preset("grpo", weights={"accuracy": 1.0})),
            ("TimeMaster", preset("time_master")),
        ):
            rows[f"{name}, {start}"] = at_end(train(make_task(warm), method, setting), *names)
    show("after 200 updates", rows, "accuracy only, from nothing")
    learnt = rows["TimeMaster, from nothing"]
    claim(
        "all three parts are learnt (each above 0.9)", all(interval(learnt[name]).low > 0.9 for name in names)
    )
    alone = rows["accuracy only, from nothing"]["extension"]
    claim("accuracy alone does not teach the extension (below 0.5)", interval(alone).high < 0.5)


if __name__ == "__main__":
    main()
    finish()
