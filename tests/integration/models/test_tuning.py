"""The tuning engine against independent figures: densities against scipy, random draws against their distributions, and how good the points are that TPE finds against Optuna's TPE.

Optuna is not installed here. Its figures were measured with Optuna 5.0.0 (numpy 2.4.6, Python 3.11.7): TPESampler(seed=s, multivariate=m) and default settings otherwise ("auto" below is
multivariate for one objective, as Optuna's default), the same functions and numbers of trials, seeds 0 … 99 (0 … 49 for zdt1). With each stands the 95 % interval of the median of so many
seeds, by bootstrap of Optuna's own values (20000 draws). Weir's random numbers are others, so single seeds cannot agree; Weir's median over as many seeds must be no worse than the worse end
of that interval, both for 10 seeds and for all of them."""

import json
import os
import subprocess
import sys

try:
    import numpy as np
    from scipy import stats
except ImportError:
    print("skipped: numpy and scipy are not installed")
    sys.exit(77)

TOOL = os.path.join(os.environ.get("WEIR_BUILD", "build"), "weir_tool_tuning")
MIXED = {"c": ["a", "b", "c"], "f": {"float": [0.5, 1.0], "step": 0.1}, "i": {"int": [2, 12]}, "l": {"int": [1, 1024], "log": True}, "u": {"float": [-3, 5]}, "v": {"float": [1e-4, 10], "log": True}}

# {seeds: (Optuna's median over all its seeds, the worse end of the 95 % interval of the median of so many)}; 50 trials
QUALITY = [
    ("branin", "no", {10: (0.6677, 1.0295), 100: (0.6677, 0.7723)}),
    ("branin", "auto", {10: (0.5710, 0.7298), 100: (0.5710, 0.6126)}),
    ("hartmann6", "no", {10: (-2.4773, -2.2177), 100: (-2.4773, -2.4178)}),
    ("hartmann6", "auto", {10: (-2.9266, -2.6997), 100: (-2.9266, -2.8562)}),
    ("mixed", "auto", {10: (0.1168, 0.5411), 100: (0.1168, 0.1502)}),
    ("mixed_conditional", "auto", {10: (0.00274, 0.00844), 100: (0.00274, 0.00402)}),
]
ZDT1 = {10: (-0.1459, -0.0414), 50: (-0.1459, -0.0757)}


def run(*args):
    texts = [a if isinstance(a, str) else json.dumps(a) for a in args]
    return [json.loads(line) for line in subprocess.run([TOOL, *texts], check=True, capture_output=True, text=True).stdout.splitlines()]


def bandwidths(at, low, high):
    """The larger gap to a neighbour; the first and the last have one neighbour; within range / min(100, n + 2) and the range."""
    order = np.argsort(at, kind="stable")
    s = at[order]
    gaps = np.empty(len(at))
    for i in range(len(at)):
        before = s[i] - (s[i - 1] if i else low)
        after = (s[i + 1] if i + 1 < len(at) else high) - s[i]
        if len(at) > 1 and i == 0:
            before = after
        if len(at) > 1 and i + 1 == len(at):
            after = before
        gaps[i] = max(before, after)
    sigma = np.empty(len(at))
    sigma[order] = gaps
    return np.clip(sigma, (high - low) / min(100, len(at) + 2), high - low)


def kernels(param, name, observed, query, prior_weight):
    """log density of every kernel (rows: queries, columns: observations, then the prior), by scipy's truncated normal."""
    n = len(observed)
    if isinstance(param, list):
        weights = np.full((n + 1, len(param)), prior_weight / (n + 1))
        for k, o in enumerate(observed):
            weights[k, param.index(o[name])] += 1
        weights /= weights.sum(axis=1, keepdims=True)
        return np.log(np.array([[w[param.index(q[name])] for w in weights] for q in query]))
    low, high = param.get("int") or param["float"]
    step = param.get("step", 1 if "int" in param else 0)
    scale = np.log if param.get("log") else np.asarray
    bottom, top = float(scale(low - step / 2)), float(scale(high + step / 2))
    at = scale(np.array([o[name] for o in observed], float))
    sigma = np.append(bandwidths(at, bottom, top), top - bottom)
    mu = np.append(at, (bottom + top) / 2)
    law = stats.truncnorm((bottom - mu) / sigma, (top - mu) / sigma, loc=mu, scale=sigma)
    x = np.array([q[name] for q in query], float)[:, None]
    if step:
        return np.log(law.cdf(scale(x + step / 2)) - law.cdf(scale(x - step / 2)))
    return law.logpdf(scale(x)) + 0.5 * np.log(2 * np.pi)  # Weir leaves out the constant


def check_density():
    """Observations and queries at random. scipy takes differences of distribution functions for steps, so terms below 1e-9 of the largest are noise there: 1e-6 on the logarithm."""
    rng = np.random.default_rng(1)
    rows = run("points", MIXED, "random", {}, 260, 5)
    names = sorted(MIXED)
    for n, prior_weight in ((0, 1.0), (1, 1.0), (2, 0.5), (7, 1.0), (30, 3.0), (150, 1.0)):
        observed, query, weight = rows[:n], rows[200:260], list(rng.uniform(0.1, 1, n))
        for chosen in ([names] + [[name] for name in names]):
            space = {k: MIXED[k] for k in chosen}
            mine = run("density", space, prior_weight, [{k: o[k] for k in chosen} for o in observed], weight, [{k: q[k] for k in chosen} for q in query])
            share = np.append(weight, prior_weight)
            with np.errstate(divide="ignore"):
                terms = sum(kernels(MIXED[k], k, observed, query, prior_weight) for k in chosen) + np.log(share / share.sum())
            most = terms.max(axis=1)
            expected = most + np.log(np.exp(terms - most[:, None]).sum(axis=1))
            error = np.abs(np.array(mine) - expected).max()
            assert error < 1e-6, (n, chosen, error)
    print("densities: as scipy's")


def check_draws():
    """4000 random points: Kolmogorov–Smirnov and chi-squared at 1e-4."""
    rows = run("points", MIXED, "random", {}, 4000, 11)
    column = {k: np.array([r[k] for r in rows]) for k in MIXED}
    p = {
        "u": stats.kstest(column["u"], stats.uniform(-3, 8).cdf).pvalue,
        "v": stats.kstest(column["v"], stats.loguniform(1e-4, 10).cdf).pvalue,
        "i": stats.chisquare([np.sum(column["i"] == v) for v in range(2, 13)]).pvalue,
        "f": stats.chisquare([np.sum(column["f"] == v) for v in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]).pvalue,
        "c": stats.chisquare([np.sum(column["c"] == v) for v in "abc"]).pvalue,
    }
    edges = np.array([0.5, 1.5, 3.5, 8.5, 30.5, 100.5, 400.5, 1024.5])
    p["l"] = stats.chisquare(np.histogram(column["l"], edges)[0], np.diff(np.log(edges)) / np.log(2049) * len(rows)).pvalue
    assert min(p.values()) > 1e-4, p
    print("random draws: p-values", {k: round(v, 3) for k, v in p.items()})


def volume(front, reference=1.1):
    """Area that a front of two objectives dominates below the reference point."""
    area, height = 0.0, reference
    for a, b in sorted(front):
        if a < reference and b < height:
            area += (reference - a) * (height - b)
            height = b
    return area


def compare(what, values, optuna):
    """Smaller is better. optuna: {number of seeds: (median, worse end of its 95 % interval)}."""
    for seeds, (median, worst) in optuna.items():
        mine = float(np.median(values[:seeds]))
        print("%-32s %3d seeds: %8.4f, Optuna %8.4f, at most %8.4f" % (what, seeds, mine, median, worst))
        assert mine <= worst, (what, seeds, mine, worst)


def check_quality():
    for name, multivariate, optuna in QUALITY:
        settings = {"multivariate": multivariate}
        compare("%s, multivariate %s" % (name, multivariate), run("optimise", name, "tpe", settings, 50, 100), optuna)
    compare("−volume of zdt1, 100 trials", [-volume(front) for front in run("front", "tpe", {}, 100, 50)], ZDT1)
    floor = [-volume(front) for front in run("front", "random", {}, 100, 50)]
    assert np.median(floor) > ZDT1[50][1], "random search would pass, too"


def check_overhead():
    """One ask after 500 trials of 6 parameters; under 1 ms on an idle machine, so 10 ms are only exceeded when something is badly wrong."""
    median = float(np.median(run("overhead", "6", "500")))
    print("an ask after 500 trials: %.0f µs" % median)
    assert median < 10000, median


check_density()
check_draws()
check_quality()
check_overhead()
print("ok")
