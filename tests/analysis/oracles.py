"""Slow, literal NumPy float64 versions of what `rlkit.analysis` computes, written without looking at it.

One pair at a time, local values first, a linear solve for the atoms: the way of the usual reference tools.
"""

import itertools

import numpy as np
from scipy import linalg, stats

NAMES = [s + "t" + t for s in "rxys" for t in "rxys"]

# The 0/1 system: one row per known quantity, columns in the order of NAMES.
SYSTEM = np.array(
    [
        [int(c) for c in row.replace(" ", "")]
        for row in (
            "1000 0000 0000 0000",  # rtr
            "1100 0000 0000 0000",  # R xy -> a
            "1010 0000 0000 0000",  # R xy -> b
            "1111 0000 0000 0000",  # R xy -> ab
            "1000 1000 0000 0000",  # R ab -> x
            "1000 0000 1000 0000",  # R ab -> y
            "1000 1000 1000 1000",  # R ab -> xy
            "1100 1100 0000 0000",  # I x a
            "1010 1010 0000 0000",  # I x b
            "1100 0000 1100 0000",  # I y a
            "1010 0000 1010 0000",  # I y b
            "1100 1100 1100 1100",  # I xy a
            "1010 1010 1010 1010",  # I xy b
            "1111 1111 0000 0000",  # I x ab
            "1111 0000 1111 0000",  # I y ab
            "1111 1111 1111 1111",  # I xy ab
        )
    ],
    dtype=float,
)
MI = ["xa", "xb", "ya", "yb", "xya", "xyb", "xab", "yab", "xyab"]
SIDES = {"xa": ("x", "a"), "xb": ("x", "b"), "ya": ("y", "a"), "yb": ("y", "b"), "xya": ("xy", "a")}
SIDES |= {"xyb": ("xy", "b"), "xab": ("x", "ab"), "yab": ("y", "ab"), "xyab": ("xy", "ab")}
TRIPLES = {
    "R1": ("xa", "ya", "xya"),
    "R2": ("xb", "yb", "xyb"),
    "R3": ("xab", "yab", "xyab"),
    "R4": ("xa", "xb", "xab"),
    "R5": ("ya", "yb", "yab"),
    "R6": ("xya", "xyb", "xyab"),
}


def lagged(x, y, lag):
    return np.stack([x[:-lag], y[:-lag], x[lag:], y[lag:]]).astype(float)


def gaussian_surprisal(rows, ddof=1, ridge=0.0):
    """{subset: local surprisal} with scipy's density; rows [4, N] in the order x, y, a, b."""
    out = {}
    for size in range(1, 5):
        for members in itertools.combinations(range(4), size):
            block = rows[list(members)]
            cov = np.atleast_2d(np.cov(block, ddof=ddof))
            if size > 1 and ridge:
                cov = cov + ridge * np.trace(cov) / size * np.eye(size)
            density = stats.multivariate_normal(block.mean(1), cov, allow_singular=True)
            out["".join("xyab"[m] for m in members)] = -np.atleast_1d(density.logpdf(block.T))
    return out


def discrete_surprisal(rows, bins=2):
    """{subset: local surprisal in nats}; rows [4, N], two bins split at the mean, more at quantiles."""
    codes = []
    for row in rows:
        if bins == 2:
            codes.append((row > row.mean()).astype(int))
        else:
            edges = np.quantile(row, np.arange(1, bins) / bins)
            codes.append(np.searchsorted(edges, row, side="left"))
    codes, out = np.stack(codes), {}
    for size in range(1, 5):
        for members in itertools.combinations(range(4), size):
            _, index, count = np.unique(codes[list(members)], axis=1, return_inverse=True, return_counts=True)
            out["".join("xyab"[m] for m in members)] = -np.log(count[index.ravel()] / codes.shape[1])
    return out


def information(h):
    return {name: h[left] + h[right] - h[name] for name, (left, right) in SIDES.items()}


def solve(redundancy, info):
    knowns = np.stack(
        [redundancy[k] for k in ("rtr", "R1", "R2", "R3", "R4", "R5", "R6")] + [info[k] for k in MI]
    )
    return dict(zip(NAMES, np.linalg.solve(SYSTEM, knowns), strict=True))


def mmi(info, weight=None):
    average = {k: np.average(v, weights=weight) for k, v in info.items()}
    red = {}
    for name, (left, right, _) in TRIPLES.items():
        red[name] = info[left] if average[left] < average[right] else info[right]
    red["rtr"] = info[min(("xa", "xb", "ya", "yb"), key=lambda k: average[k])]
    return red


def ccs(info):
    clean = {k: np.where(np.abs(v) < 1e-12, 0, v) for k, v in info.items()}
    sign = {k: np.sign(v) for k, v in clean.items()}
    red = {}
    for name, (left, right, joint) in TRIPLES.items():
        c = clean[left] + clean[right] - clean[joint]
        c = np.where(np.abs(c) < 1e-12, 0, c)
        agree = (sign[left] == sign[right]) & (sign[right] == sign[joint]) & (sign[joint] == np.sign(c))
        red[name] = np.where(agree, c, 0)
    double = (
        -clean["xa"] - clean["xb"] - clean["ya"] - clean["yb"] + clean["xab"] + clean["yab"] + clean["xya"]
        + clean["xyb"] - clean["xyab"] + red["R1"] + red["R2"] - red["R3"] + red["R4"] + red["R5"] - red["R6"]
    )  # fmt: skip
    double = np.where(np.abs(double) < 1e-12, 0, double)
    agree = np.sign(double) == sign["xa"]
    for key in ("xb", "ya", "yb"):
        agree &= sign[key] == sign["xa"]
    red["rtr"] = np.where(agree, double, 0)
    return red


def pointwise(h):
    """Moebius inversion over the lattice itself of min-surprisal minus min-conditional-surprisal."""
    sources = {"r": ("x", "y"), "x": ("x",), "y": ("y",), "s": ("xy",)}
    targets = {"r": ("a", "b"), "x": ("a",), "y": ("b",), "s": ("ab",)}
    below = {"r": "r", "x": "rx", "y": "ry", "s": "rxys"}
    atoms = {}
    for name in sorted(
        NAMES, key=lambda n: "rxys".index(n[0]) // 3 + "rxys".index(n[2]) // 3 + (n[0] != "r") + (n[2] != "r")
    ):
        alpha, beta = name[0], name[2]
        specific = np.min([h[s] for s in sources[alpha]], axis=0)
        ambiguous = np.min([h[s + u] - h[u] for s in sources[alpha] for u in targets[beta]], axis=0)
        value = specific - ambiguous
        for s, t in itertools.product(below[alpha], below[beta]):
            if (s, t) != (alpha, beta):
                value = value - atoms[f"{s}t{t}"]
        atoms[name] = value
    return atoms


def phi_id(x, y, lag=1, redundancy="mmi", kind="gaussian", bins=2, ddof=1, ridge=0.0):
    """Local atoms {name: [N]} in nats of one pair."""
    rows = lagged(x, y, lag)
    if kind == "gaussian":
        if redundancy != "pointwise":
            rows = rows / rows.std(axis=1, ddof=1, keepdims=True)
        h = gaussian_surprisal(rows, ddof, ridge)
    else:
        h = discrete_surprisal(rows, bins)
    if redundancy == "pointwise":
        return pointwise(h)
    info = information(h)
    return solve(mmi(info) if redundancy == "mmi" else ccs(info), info)


def exact_discrete(p, redundancy="mmi"):
    """Average atoms in nats of a distribution p[x, y, a, b]."""
    p = np.asarray(p, float)
    states = np.argwhere(p > 0)
    weight = p[p > 0]
    h = {}
    for size in range(1, 5):
        for members in itertools.combinations(range(4), size):
            rest = tuple(sorted(set(range(4)) - set(members)))
            marginal = p.sum(axis=rest)
            h["".join("xyab"[m] for m in members)] = -np.log(marginal[tuple(states[:, list(members)].T)])
    if redundancy == "pointwise":
        atoms = pointwise(h)
    else:
        info = information(h)
        atoms = solve(mmi(info, weight) if redundancy == "mmi" else ccs(info), info)
    return {k: float(np.sum(weight * v)) for k, v in atoms.items()}


def var_covariance(transition, noise):
    """[2n, 2n] stationary covariance of (z_t, z_{t+1}) for z' = A z + e."""
    a, q = np.asarray(transition, float), np.asarray(noise, float)
    gamma = linalg.solve_discrete_lyapunov(a, q)
    return np.block([[gamma, gamma @ a.T], [a @ gamma, gamma]]), gamma


def var_series(transition, steps, seed, noise=None):
    rng = np.random.default_rng(seed)
    a = np.asarray(transition, float)
    factor = np.eye(len(a)) if noise is None else np.linalg.cholesky(noise)
    z = np.zeros((steps + 200, len(a)))
    e = rng.standard_normal(z.shape) @ factor.T
    for t in range(1, len(z)):
        z[t] = a @ z[t - 1] + e[t]
    return z[200:]


def block_mi(cov, left, right):
    det = lambda idx: np.linalg.slogdet(cov[np.ix_(idx, idx)])[1]
    return 0.5 * (det(left) + det(right) - det(left + right))


def pigozzi_levin(z, lag=1, ridge=1e-6):
    """arXiv 2605.06746 step by step: {quantity: [T - lag] nats} and the two halves as lists of units."""
    units = [i for i in range(z.shape[1]) if z[:, i].std() > 1e-8]
    s = (z[:, units] - z[:, units].mean(0)) / z[:, units].std(0)
    n = len(units)
    r = np.array([[np.corrcoef(s[:-lag, i], s[lag:, j])[0, 1] for j in range(n)] for i in range(n)])
    r = np.clip((r + r.T) / 2, -0.999999, 0.999999)
    weight = -0.5 * np.log(1 - r**2) + 1e-6
    np.fill_diagonal(weight, 0)
    vector = np.linalg.eigh(np.diag(weight.sum(1)) - weight)[1][:, 1]
    halves = [i for i in range(n) if vector[i] > 0], [i for i in range(n) if vector[i] < 0]
    x, y = (s[:, half].mean(1) for half in halves)
    atoms = phi_id(x, y, lag, redundancy="pointwise", ddof=0, ridge=ridge)
    phi_r = ("rts", "xty", "xts", "ytx", "yts", "str", "stx", "sty", "sts")
    causation = atoms["stx"] + atoms["sty"]
    found = {
        "emergence": causation + atoms["sts"],
        "causation": causation,
        "synergy": atoms["sts"],
        "redundancy": atoms["rtr"],
        "integrated": sum(atoms[name] for name in phi_r),
    }
    return found, tuple([units[i] for i in half] for half in halves)
