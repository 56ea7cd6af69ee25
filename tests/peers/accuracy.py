"""How good the pipelines' models are on real data, beside scikit-learn's and XGBoost's on the same features and rows.

    ./run peers accuracy [--only NAME]… [--days N]

The files of ../shared/data (or WEIR_TEST_DATA) are replayed into a stack of its own, features computed and stored by the workers, and every candidate of the pipeline's file is fitted
and judged by Weir on later rows, other engines or other customers. Then the same rows, as `weir features history` gives them, go through the references. Where the table has no
parameters, both sides use their own defaults. Of payments only --days days are replayed (58: 37 until the delayed 30-day windows are full, then a week to learn from, a week of delay
and a week of tests). Prices are judged by intervals that hold for all candidates together at 95 %, from a bootstrap of days: an AUC without one says nothing there.
Exits with 1 where the best model of a pipeline is below its goal."""
import argparse
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("WEIR_BUILD", os.path.join(ROOT, "build-release"))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration", "pipelines"))

import trainingtest as tt  # noqa: E402
from trainingtest import pt, wt  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.metrics import average_precision_score, roc_auc_score  # noqa: E402
from xgboost import XGBClassifier  # noqa: E402

FRAUD, MARKET = ("fraud", "transactions_2018-04-01_06-14.parquet"), ("market", "daily_bars.parquet")
DRAWS = 1000


def settled(p):
    """Waits until nothing more comes into the offline store."""
    seen = None
    while (now := wt.query("SELECT topic, sum(next_offset) FROM weir.sink_offsets WHERE pipeline = '%s' GROUP BY topic ORDER BY topic" % p.name)) != seen or not now:
        seen = now
        time.sleep(3)


def without_known(table, window):
    """The handbook's training and test rows: customers with a fraud that is known on the day are not tested on it."""
    values, label, key, when = table
    begin, end, test = (pd.Timestamp(window[n]) for n in ("train_from", "train_to", "test_from"))
    day, delay = pd.Timedelta(days=1), test - end
    train = (when >= begin) & (when < end)
    frauds = label == 1
    keep = pd.Series(False, index=label.index)
    for d in range((pd.Timestamp(window["test_to"]) - test) // day):
        now = test + d * day
        known = set(key[frauds & (when >= begin) & (when < now - delay)])
        keep |= (when >= now) & (when < now + day) & ~key.isin(known)
    return (values[train], label[train].to_numpy()), (values[keep], label[keep].to_numpy())


def measure_fraud(path, days):
    """({model: average precision}, {model: of the reference}, AUCs likewise)"""
    file = pd.read_parquet(path)
    stamp = pd.to_datetime(file["TX_DATETIME"])
    first = stamp.min().normalize()
    with wt.Pipeline(of="fraud") as p:
        part = os.path.join(p.dir, "payments.parquet")
        file = file[stamp < first + pd.Timedelta(days=days)]
        file.to_parquet(part, index=False)
        tt.fill(p, part, len(file))
        settled(p)
        versions, window = tt.trained(p, (first + pd.Timedelta(days=days - 21)).strftime("%Y-%m-%d"))
        (x, y), (z, truth) = without_known(tt.table_of(p), window)
        rows = next(iter(versions.values()))["metrics"]["rows"]
        assert rows == len(truth), (rows, len(truth))
        models = {"fraud-logistic": tt.logistic(tt.params(p, "fraud-logistic")), "fraud-boosted": XGBClassifier(n_jobs=2, random_state=0),
                  "fraud-forest": RandomForestClassifier(n_jobs=2, random_state=0)}
        said = {name: model.fit(x, y).predict_proba(z)[:, 1] for name, model in models.items()}
        return [("average precision", {n: v["metrics"]["average_precision"] for n, v in versions.items()}, {n: average_precision_score(truth, s) for n, s in said.items()}),
                ("AUC", {n: v["metrics"]["auc_roc"] for n, v in versions.items()}, {n: roc_auc_score(truth, s) for n, s in said.items()})]


def interval(truth, score, day, level):
    """Of the AUC, by a bootstrap of days."""
    draw = np.random.default_rng(1)
    by_day = [np.flatnonzero(day == d) for d in np.unique(day)]
    aucs = []
    for _ in range(DRAWS):
        rows = np.concatenate([by_day[i] for i in draw.integers(0, len(by_day), len(by_day))])
        aucs.append(roc_auc_score(truth[rows], score[rows]))
    return np.quantile(aucs, [(1 - level) / 2, (1 + level) / 2])


def measure_market(path):
    file = pd.read_parquet(path)
    last = pd.to_datetime(file["date"]).max().normalize()
    with wt.Pipeline(of="market") as p:
        tt.fill(p, path, int(0.99 * len(file)))  # the last bar of a symbol has no label
        settled(p)
        versions, window = tt.trained(p, (last - pd.Timedelta(days=1460 + 14 + 365)).strftime("%Y-%m-%d"))
        values, label, _, when = tt.table_of(p)
        train, test = [(when >= pd.Timestamp(window[a])) & (when < pd.Timestamp(window[b])) & label.notna() for a, b in (("train_from", "train_to"), ("test_from", "test_to"))]
        x, y, z, truth, day = values[train], label[train], values[test], label[test].to_numpy(), when[test].to_numpy()
        models = {"market-logistic": tt.logistic(tt.params(p, "market-logistic")), "market-boosted": XGBClassifier(n_jobs=2, random_state=0)}
        references = {name: roc_auc_score(truth, model.fit(x, y).predict_proba(z)[:, 1]) for name, model in models.items()}
        found = {}
        for name, version in versions.items():
            ((artifact,),) = wt.query("SELECT artifact_path FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s' ORDER BY version DESC LIMIT 1" % (p.name, name))
            score = tt.scores(p, artifact, z)
            found[name] = version["metrics"]["auc_roc"]
            assert abs(roc_auc_score(truth, score) - found[name]) < 1e-9, name
            low, high = interval(truth, score, day, 1 - 0.05 / len(versions))
            print("%-10s %-20s AUC %.4f, interval %.4f to %.4f of %d rows: %s" % (
                "market", name, found[name], low, high, len(truth), "an edge" if low > 0.5 else "worse than chance" if high < 0.5 else "no edge that could be told from chance"), flush=True)
        return [("AUC", found, references)]


def show(pipeline, measured, goal):
    """Prints a pipeline's table; whether its best model reaches the goal."""
    for metric, found, references in measured:
        for name in found:
            reference = references.get(name)
            beside = "%10.4f %+10.4f" % (reference, found[name] - reference) if reference is not None else "%10s %10s" % ("", "")
            print("%-10s %-18s %-20s %10.4f %s  %s" % (pipeline, metric, name, found[name], beside, "≥ %g" % goal if goal else "as found"), flush=True)
    return not goal or max(measured[0][1].values()) >= goal


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--days", type=int, default=58, help="of payments")
    options = parser.parse_args()
    if options.days < 22:
        parser.error("--days must be 22 or more: a week to learn from, a week of delay, a week of tests")
    plain = lambda metric, measure: lambda path: [(metric, *measure(path))]
    jobs = {"traffic": (tt.TRAFFIC, plain("R2", tt.measure_traffic), 0.985), "engine": (tt.ENGINE, plain("F1", tt.measure_engine), 0.85),
            "churn": (tt.CHURN, plain("AUC", tt.measure_churn), 0.865), "market": (MARKET, measure_market, None),
            "fraud": (FRAUD, lambda path: measure_fraud(path, options.days), None)}
    unknown = set(options.only) - set(jobs)
    if unknown:
        parser.error("there is no %s; there are %s" % (", ".join(sorted(unknown)), ", ".join(jobs)))
    missed = []
    print("%-10s %-18s %-20s %10s %10s %10s  %s" % ("PIPELINE", "METRIC", "MODEL", "WEIR", "REFERENCE", "DIFFERENCE", "GOAL"))
    for name, (file, measure, goal) in jobs.items():
        path = os.path.join(pt.DATA, *file)
        if options.only and name not in options.only:
            continue
        if not os.path.exists(path):
            print("%-10s skipped: no %s" % (name, path))
        elif not show(name, measure(path), goal):
            missed.append(name)
    if missed:
        sys.exit("below the goal: %s" % ", ".join(missed))


main()
