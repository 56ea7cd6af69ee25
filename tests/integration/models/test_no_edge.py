"""Where there is no edge, none is found. The market pipeline's own features, with returns shuffled over time: whatever a model then finds in them is chance, or a fault of folds, features or
backtest that lets the future in. Walking forward, the mean AUC out of fold is 0.5 and the Sharpe ratio 0, but for as many of the shuffles as a test at 5 % may get wrong. The same with an
edge put in, which must be found. On simulated bars, and on real ones where WEIR_TEST_DATA has them."""
import json
import math
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pipelines"))
import pipelinetest as pt  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from scipy import stats  # noqa: E402

TOOL = os.path.join(pt.BUILD, "weir_tool_backtest")
SHUFFLES, LEVEL = 20, 0.05
ALLOWED = int(stats.binom.ppf(0.999, SHUFFLES, LEVEL))  # more than these have a chance below 1 in 1000
SPECS = ({"algorithm": "logistic", "params": {"l2": 1.0}}, {"algorithm": "xgboost", "params": {"rounds": 20, "max_depth": 2, "eta": 0.2}})


def panel(path):
    """Times [t], features [t, symbol, column], returns to the next bar [t, symbol]: of the times when every symbol has a bar; symbols that come later are left out."""
    with open(os.path.join(pt.ROOT, "pipelines", "market.json")) as f:
        columns = json.load(f)["training"]["columns"]
    frame, _ = pt.features("market", path)
    counts = frame.key.value_counts()
    frame = frame[frame.key.isin(counts.index[counts > 0.8 * counts.max()])].sort_values(["time", "key"])
    frame["next_return"] = np.expm1(frame.groupby("key")["return_1"].shift(-1))
    frame = frame[frame.next_return.notna()]
    symbols = frame.key.nunique()
    frame = frame[frame.groupby("time").key.transform("count") == symbols]
    times = frame.time.unique()
    return times, frame[columns].to_numpy(float).reshape(len(times), symbols, -1), frame.next_return.to_numpy().reshape(len(times), symbols)


def judge(folder, times, values, returns, spec):
    """(two-sided p of a mean AUC other than 0.5 over the folds, that mean, one-sided p of the Sharpe ratio, the ratio)."""
    t, symbols, columns = values.shape
    arrays = {"times": np.repeat(times, symbols).astype("<i8"), "symbols": np.tile(np.arange(symbols), t).astype("<u4"), "values": values.astype("<f8"), "returns": returns.astype("<f8")}
    for name, array in arrays.items():
        array.tofile(os.path.join(folder, name))
    split = {"scheme": "walk_forward", "folds": 8, "gap_rows": symbols}  # a label is known a bar later
    done = subprocess.run([TOOL, json.dumps(spec), json.dumps(split), str(columns), str(symbols), *[os.path.join(folder, n) for n in arrays]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    auc = np.array(found["auc"])
    assert len(auc) == 8 and np.isfinite(auc).all() and found["periods"] > t / 2, found
    return stats.ttest_1samp(auc, 0.5).pvalue, auc.mean(), found["sharpe_p"], found["sharpe"]


def check(name, path):
    times, values, returns = panel(path)
    returns = returns - returns.mean(axis=0)  # who only holds what rises would earn that, and it is no edge
    with tempfile.TemporaryDirectory() as folder:
        for spec in SPECS:
            false_auc, false_sharpe, means = 0, 0, []
            for seed in range(SHUFFLES):
                # whole times change places: what symbols have in common at one time stays
                shuffled = returns[np.random.default_rng(seed).permutation(len(times))]
                p_auc, mean, p_sharpe, _ = judge(folder, times, values, shuffled, spec)
                false_auc += p_auc < LEVEL
                false_sharpe += p_sharpe < LEVEL
                means.append(mean)
            error = np.std(means, ddof=1) / math.sqrt(SHUFFLES)
            print("%s, %s: %d times × %d symbols, %d shuffles: %d intervals of the AUC without 0.5, %d Sharpe ratios, of at most %d; mean AUC %.4f ± %.4f" % (
                name, spec["algorithm"], *returns.shape, SHUFFLES, false_auc, false_sharpe, ALLOWED, np.mean(means), error), flush=True)
            assert max(false_auc, false_sharpe) <= ALLOWED
            assert abs(np.mean(means) - 0.5) < 4 * error + 1e-3, "the mean over all shuffles is off"

            # a column that knows a little of the next return, and one that gives it away
            noise = np.random.default_rng(99).normal(size=returns.shape) * returns.std()
            for part, floor in ((0.3, 0.53), (5, 0.85)):
                planted = np.concatenate([values, (part * returns + noise)[..., None]], axis=2)
                p_auc, mean, p_sharpe, sharpe = judge(folder, times, planted, returns, spec)
                assert mean > floor and p_auc < 0.01 and p_sharpe < 0.01, (spec, part, mean, p_auc, sharpe, p_sharpe)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bars.parquet")
        pt.simulate("market", path, "--entities", "5", "--days", "15", "--seed", "3")
        check("simulated bars", path)
    path = os.path.join(pt.DATA, "market", "daily_bars.parquet")
    if os.path.exists(path):
        check("daily bars", path)
    else:
        print("no %s: simulated bars only" % path)


main()
