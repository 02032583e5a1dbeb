"""Random programs of the reward language, well typed by construction."""

UNARY = ("jnp.exp", "jnp.tanh", "jnp.abs", "jnp.square", "jnp.sign", "jnp.sin", "jax.nn.sigmoid", "abs", "-")
BINARY = ("+", "-", "*", "/", "jnp.minimum({}, {})", "jnp.maximum({}, {})", "jnp.arctan2({}, {})")
COMPARE = ("<", "<=", ">", ">=")


def random_program(chance, fields, action):
    """The text of a random program that reads some of ``fields`` and an action of one axis."""
    lines, scalars = [], []

    def scalar(depth):
        kind = chance.random()
        if depth <= 0 or kind < 0.15:
            choices = [
                f"{side}.{name}" for name, t in fields.items() if t == ((), False) for side in ("s", "ns")
            ]
            choices += [f"a[{chance.randrange(action[0])}]", str(round(chance.uniform(-2, 2), 3)), *scalars]
            return chance.choice(choices)
        if kind < 0.35:
            op = chance.choice(UNARY)
            return f"(-{scalar(depth - 1)})" if op == "-" else f"{op}({scalar(depth - 1)})"
        if kind < 0.6:
            op, left, right = chance.choice(BINARY), scalar(depth - 1), scalar(depth - 1)
            right = f"({right} + 3.5)" if op == "/" else right
            return op.format(left, right) if "{" in op else f"({left} {op} {right})"
        if kind < 0.7:
            return f"({scalar(depth - 1)} ** {chance.choice((2, 3))})"
        if kind < 0.85:
            return f"jnp.where({condition(depth - 1)}, {scalar(depth - 1)}, {scalar(depth - 1)})"
        return chance.choice(("jnp.sum({})", "jnp.mean({})", "jnp.linalg.norm({})", "({})[1]")).format(
            vector(depth - 1)
        )

    def vector(depth):
        names = [f"{side}.{name}" for name, t in fields.items() if t == ((3,), False) for side in ("s", "ns")]
        if depth <= 0:
            return chance.choice(names)
        return f"({vector(depth - 1)} {chance.choice('+-*')} {chance.choice((vector, scalar))(depth - 1)})"

    def condition(depth):
        if depth <= 0:
            return chance.choice(("done", *(f"s.{name}" for name, t in fields.items() if t.boolean)))
        if chance.random() < 0.3:
            return f"({condition(depth - 1)} {chance.choice('&|')} ~{condition(depth - 1)})"
        return f"(s.speed {chance.choice(COMPARE)} {scalar(depth - 1)})"

    for i in range(chance.randint(1, 5)):
        lines.append(f"    v{i} = {scalar(3)}\n")
        scalars.append(f"v{i}")
    lines.append(f"    total = {' + '.join(scalars)} + ns.speed\n")
    terms = ", ".join(f'"{name}": {name}' for name in scalars)
    return f"def reward(s, a, ns, done):\n{''.join(lines)}    return total, {{{terms}}}\n"
