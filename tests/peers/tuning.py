"""How good Weir's TPE is, and how much it costs, against Optuna's in its own process.

    ./run peers tuning [--trials N] [--seeds N] [--more-seeds N]

Median best value over 10 seeds, 50 trials each: Branin, Hartmann 6, and parameters of XGBoost on real rows (log loss of three folds, computed here for both; customers who leave, where
../shared/data has them, else a set that scikit-learn brings). Optuna's TPESampler(seed) as it comes. Ten medians of a function differ by more than the samplers do, so functions, which cost
nothing, are judged by 100 seeds, whose median is printed beside. Then the time of one ask with 6 and 20 parameters after 500 trials.
Exits with 1 where Weir's median is worse than the worse end of the 95 % interval of Optuna's median (bootstrap of its seeds), or an ask takes 1 ms or more."""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import optuna
import pandas as pd
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold

optuna.logging.set_verbosity(optuna.logging.WARNING)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.environ.get("WEIR_TOOL_TUNING", os.path.join(ROOT, "build-release", "weir_tool_tuning"))
ROWS = 2000


def branin(p):
    x, y = p["x1"], p["x2"]
    return (y - 5.1 / (4 * math.pi ** 2) * x * x + 5 / math.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


ALPHA = np.array([1, 1.2, 3, 3.2])
A = np.array([[10, 3, 17, 3.5, 1.7, 8], [.05, 10, 17, .1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, .05, 10, .1, 14]])
P = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991], [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])


def hartmann6(p):
    x = np.array([p["x%d" % i] for i in range(6)])
    return float(-ALPHA @ np.exp(-(A * (x - P) ** 2).sum(axis=1)))


def rows():
    """Features, labels and their name."""
    path = os.path.join(ROOT, "..", "shared", "data", "churn", "telco_churn.csv")
    if not os.path.exists(path):
        x, y = load_breast_cancer(return_X_y=True)
        return x, y, "breast_cancer"
    frame = pd.read_csv(path, nrows=ROWS)
    y = frame.pop("Churn").to_numpy()
    frame.pop("customerID")
    frame["TotalCharges"] = pd.to_numeric(frame["TotalCharges"], errors="coerce")
    return pd.get_dummies(frame).to_numpy(dtype=float), y, "churn"


class Boosted:
    space = {"rounds": {"int": [10, 100], "log": True}, "max_depth": {"int": [2, 8]}, "eta": {"float": [0.01, 0.5], "log": True}, "min_child_weight": {"float": [0.1, 50], "log": True},
             "subsample": {"float": [0.5, 1]}, "colsample_bytree": {"float": [0.4, 1]}, "lambda": {"float": [0.01, 100], "log": True}}

    def __init__(self):
        x, y, self.name = rows()
        folds = StratifiedKFold(3, shuffle=True, random_state=1).split(x, y)
        self.folds = [(xgboost.QuantileDMatrix(x[a], y[a], nthread=1), xgboost.DMatrix(x[b], nthread=1), y[b]) for a, b in folds]

    def __call__(self, p):
        params = {k: v for k, v in p.items() if k != "rounds"}
        losses = []
        for train, test, y in self.folds:
            model = xgboost.train(dict(params, objective="binary:logistic", tree_method="hist", nthread=1, seed=1), train, p["rounds"])
            q = np.clip(model.predict(test), 1e-7, 1 - 1e-7)
            losses.append(-np.mean(np.where(y == 1, np.log(q), np.log1p(-q))))
        return float(np.mean(losses))


def weir(space, objective, trials, seed):
    with subprocess.Popen([TOOL, "serve", json.dumps(space), "tpe", "{}", str(trials), str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        best = math.inf
        for line in process.stdout:
            value = objective(json.loads(line))
            best = min(best, value)
            process.stdin.write("%.17g\n" % value)
            process.stdin.flush()
    assert process.returncode == 0
    return best


def suggest(trial, space):
    out = {}
    for name, param in space.items():
        if "int" in param:
            out[name] = trial.suggest_int(name, *param["int"], log=param.get("log", False))
        else:
            out[name] = trial.suggest_float(name, *param["float"], log=param.get("log", False))
    return out


def peer(space, objective, trials, seed):
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(lambda trial: objective(suggest(trial, space)), n_trials=trials)
    return study.best_value


def ask_ms(dimensions, trials=500):
    """Median milliseconds of an ask after so many trials: Weir, Optuna."""
    mine = subprocess.run([TOOL, "overhead", str(dimensions), str(trials)], check=True, capture_output=True, text=True).stdout.split()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    space = {"x%d" % i: optuna.distributions.FloatDistribution(0, 1) for i in range(dimensions)}
    draw = np.random.default_rng(1)
    study.add_trials([optuna.trial.create_trial(params={k: draw.uniform() for k in space}, distributions=space, value=draw.uniform()) for _ in range(trials)])
    took = []
    for _ in range(10):
        begun = time.perf_counter()
        trial = study.ask(space)
        took.append(1e3 * (time.perf_counter() - begun))
        study.tell(trial, draw.uniform())
    return statistics.median(float(x) / 1e3 for x in mine), statistics.median(took)


def worse_end(values, draws=4000):
    """Of the 95 % interval of the median, by bootstrap."""
    picks = np.random.default_rng(0).choice(values, (draws, len(values)))
    return float(np.quantile(np.median(picks, axis=1), 0.975))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--more-seeds", type=int, default=100, help="of functions")
    options = parser.parse_args()
    boosted = Boosted()
    box = lambda names, low, high: {n: {"float": [a, b]} for n, a, b in zip(names, low, high)}
    tasks = [("branin", box(("x1", "x2"), (-5, 0), (10, 15)), branin), ("hartmann6", box(["x%d" % i for i in range(6)], [0] * 6, [1] * 6), hartmann6),
             ("xgboost on " + boosted.name, boosted.space, boosted)]
    bad = 0
    for name, space, objective in tasks:
        seeds = options.seeds if objective is boosted else max(options.seeds, options.more_seeds)
        mine = [weir(space, objective, options.trials, s) for s in range(seeds)]
        theirs = [peer(space, objective, options.trials, s) for s in range(seeds)]
        for n in sorted({options.seeds, seeds}):
            print("%-20s median best of %d trials over %3d seeds: Weir %.5f, Optuna %.5f" %
                  (name, options.trials, n, statistics.median(mine[:n]), statistics.median(theirs[:n])), flush=True)
        if statistics.median(mine) > worse_end(theirs):
            bad += 1
            print("%-20s WORSE than %.5f, the worse end of the interval of Optuna's median" % (name, worse_end(theirs)), flush=True)
    for dimensions in (6, 20):
        mine, theirs = ask_ms(dimensions)
        bad += mine >= 1
        print("ask with %2d parameters after 500 trials: Weir %.3f ms, Optuna %.1f ms%s" % (dimensions, mine, theirs, "  TOO SLOW" if mine >= 1 else ""), flush=True)
    sys.exit(1 if bad else 0)


main()
