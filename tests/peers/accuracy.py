"""How good the pipelines' models are on real data, beside scikit-learn's and XGBoost's on the same features and rows.

    ./run peers accuracy [--only NAME]… [--days N] [--budget TIME] [--minutes N]

The files of ../shared/data (or WEIR_TEST_DATA) are replayed into a stack of its own, features computed and stored by the workers, and every candidate of the pipeline's file is fitted
and judged by Weir on later rows, other engines or other customers. Then the same rows, as `weir features history` gives them, go through the references. Where the table has no
parameters, both sides use their own defaults. Of payments only --days days are replayed (58: 37 until the delayed 30-day windows are full, then a week to learn from, a week of delay
and a week of tests), and `weir train --budget` (2m) then searches for average precision by folds of the same training week: its winner must do better on the tests than the best
candidate of the file. Prices are judged by intervals that hold for all candidates together at 95 %, from a bootstrap of days: an AUC without one says nothing there.

Goals are of the best of a pipeline's models (of payments: the tuned one); all models are printed. After --minutes (30) it ends with what it has.
Exits with 0 where every goal is met, 1 where one is missed, 3 where something could not be measured."""
import argparse
import collections
import json
import os
import signal
import sys
import time
import traceback

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
FAILED = 3
TUNED = "fraud-auto"

# metric; {model: value of Weir}; {model: of the reference}
Measured = collections.namedtuple("Measured", "metric found references")


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


def tuned(p, train_from, budget):
    """The version that a search gives, by its test metrics, and its artifact."""
    run = json.loads(tt.done(p, wt.BINARY, "train", p.path, "--budget", budget, "--train-from", train_from, "--output", "json"))
    ((metrics, artifact),) = wt.query("SELECT metrics, artifact_path FROM weir.model_versions WHERE run_id = '%s' AND model = '%s-auto'" % (run["id"], p.name))
    return metrics, artifact


def ranked(truth, score):
    """Average precision as a function of the rows' weights. A draw of a bootstrap then costs no sorting."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)

    def average_precision(weight):
        weight = weight[order]
        hits, seen = (np.cumsum(w)[ends] for w in (weight * truth[order], weight))
        return (np.diff(hits, prepend=0) * hits / np.maximum(seen, 1)).sum() / hits[-1]

    return average_precision


def better(truth, key, score, other):
    """95 % interval of how much more average precision `score` has than `other`, by a bootstrap of keys."""
    draw = np.random.default_rng(1)
    names, which = np.unique(key, return_inverse=True)
    mine, theirs = ranked(truth, score), ranked(truth, other)
    gains = []
    for _ in range(DRAWS):
        weight = np.bincount(draw.integers(0, len(names), len(names)), minlength=len(names))[which]
        gains.append(mine(weight) - theirs(weight))
    return np.quantile(gains, [0.025, 0.975])


def artifact_of(p, model):
    ((artifact,),) = wt.query("SELECT artifact_path FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s' ORDER BY version DESC LIMIT 1" % (p.name, model))
    return artifact


def measure_fraud(path, days, budget):
    """Measured of average precision and AUC; the tuned model comes last."""
    file = pd.read_parquet(path)
    stamp = pd.to_datetime(file["TX_DATETIME"])
    first = stamp.min().normalize()
    train_from = (first + pd.Timedelta(days=days - 21)).strftime("%Y-%m-%d")
    with wt.Pipeline(of="fraud", change=lambda spec: spec["training"].update(metric="average_precision")) as p:
        part = os.path.join(p.dir, "payments.parquet")
        file = file[stamp < first + pd.Timedelta(days=days)]
        file.to_parquet(part, index=False)
        tt.fill(p, part, len(file))
        settled(p)
        versions, window = tt.trained(p, train_from)
        metrics, artifact = tuned(p, train_from, budget)
        table = tt.table_of(p)
        (x, y), (z, truth) = without_known(table, window)
        rows = next(iter(versions.values()))["metrics"]["rows"]
        assert rows == len(truth), "Weir judged %d rows, these are %d" % (rows, len(truth))
        models = {"fraud-logistic": tt.logistic(tt.params(p, "fraud-logistic")), "fraud-boosted": XGBClassifier(n_jobs=2, random_state=0),
                  "fraud-forest": RandomForestClassifier(n_jobs=2, random_state=0)}
        said = {name: model.fit(x, y).predict_proba(z)[:, 1] for name, model in models.items()}
        earlier = max(versions, key=lambda n: versions[n]["metrics"]["average_precision"])
        score = tt.scores(p, artifact, z)
        assert abs(average_precision_score(truth, score) - metrics["average_precision"]) < 1e-9, "the tuned model's average precision is not that of its artifact on these rows"
        low, high = better(truth, table[2][z.index].to_numpy(), score, tt.scores(p, artifact_of(p, earlier), z))
        print("%-10s tuned in %s: %+.4f average precision over %s, 95 %% interval %+.4f to %+.4f; %d rows, %d frauds" % (
            "fraud", budget, metrics["average_precision"] - versions[earlier]["metrics"]["average_precision"], earlier, low, high, len(truth), truth.sum()), flush=True)
        found = {**{n: v["metrics"] for n, v in versions.items()}, TUNED: metrics}
        return [Measured(name, {n: m[key] for n, m in found.items()}, {n: metric(truth, s) for n, s in said.items()})
                for name, key, metric in (("average precision", "average_precision", average_precision_score), ("AUC", "auc_roc", roc_auc_score))]


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
            score = tt.scores(p, artifact_of(p, name), z)
            found[name] = version["metrics"]["auc_roc"]
            assert abs(roc_auc_score(truth, score) - found[name]) < 1e-9, name
            low, high = interval(truth, score, day, 1 - 0.05 / len(versions))
            print("%-10s %-20s AUC %.4f, interval %.4f to %.4f of %d rows: %s" % (
                "market", name, found[name], low, high, len(truth), "an edge" if low > 0.5 else "worse than chance" if high < 0.5 else "no edge that could be told from chance"), flush=True)
        return [Measured("AUC", found, references)]


def at_least(goal):
    return "≥ %g" % goal, lambda m: max(m.found.values()) >= goal


def beats_the_file(m):
    return m.found[TUNED] > max(value for name, value in m.found.items() if name != TUNED)


def show(pipeline, measured):
    for metric, found, references in measured:
        for name in found:
            reference = references.get(name)
            beside = "%10.4f %+10.4f" % (reference, found[name] - reference) if reference is not None else "%10s %10s" % ("-", "-")
            print("%-10s %-18s %-20s %10.4f %s" % (pipeline, metric, name, found[name], beside), flush=True)


class OutOfTime(BaseException):
    """No Exception: waiting catches those and tries again."""


def out_of_time(*_):
    raise OutOfTime("the time is over")


def measure_all(jobs, chosen):
    """{pipeline: Measured of its goal, None where it could not be measured}; prints a line a model."""
    out = {}
    print("%-10s %-18s %-20s %10s %10s %10s" % ("PIPELINE", "METRIC", "MODEL", "WEIR", "REFERENCE", "DIFFERENCE"), flush=True)
    for name in chosen:
        file, measure, _ = jobs[name]
        path = os.path.join(pt.DATA, *file)
        out[name] = None
        try:
            if not os.path.exists(path):
                raise FileNotFoundError("there is no %s; WEIR_TEST_DATA names the folder of the files" % path)
            measured = measure(path)
            show(name, measured)
            out[name] = measured[0]
        except OutOfTime as error:
            print("%-10s not measured: %s" % (name, error), flush=True)
            break
        except Exception as error:  # the others can be measured all the same
            traceback.print_exc()
            print("%-10s not measured: %s" % (name, error), flush=True)
    return {name: out.get(name) for name in chosen}


def judge(jobs, measured):
    """Prints the table of goals; the exit code."""
    code = 0
    print("\n%-10s %-18s %-20s %10s %10s  %-26s %s" % ("PIPELINE", "METRIC", "MODEL", "WEIR", "REFERENCE", "GOAL", "VERDICT"))
    for name, m in measured.items():
        text, met = jobs[name][2]
        if not m:
            code = FAILED
            print("%-10s %-18s %-20s %10s %10s  %-26s not measured" % (name, "", "", "", "", text))
            continue
        best = TUNED if TUNED in m.found else max(m.found, key=m.found.get)
        verdict = "" if not met else "met" if met(m) else "SHORT"
        code = code or (1 if verdict == "SHORT" else 0)
        print("%-10s %-18s %-20s %10.4f %10.4f  %-26s %s" % (name, m.metric, best, m.found[best], max(m.references.values()), text, verdict))
    return code


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--days", type=int, default=58, help="of payments")
    parser.add_argument("--budget", default="2m", help="of the search")
    parser.add_argument("--minutes", type=int, default=30, help="of all")
    options = parser.parse_args()
    if options.days < 22:
        parser.error("--days must be 22 or more: a week to learn from, a week of delay, a week of tests")
    if options.minutes < 1:
        parser.error("--minutes must be 1 or more")
    plain = lambda metric, measure: lambda path: [Measured(metric, *measure(path))]
    jobs = {"traffic": (tt.TRAFFIC, plain("R2", tt.measure_traffic), at_least(0.985)), "engine": (tt.ENGINE, plain("F1", tt.measure_engine), at_least(0.85)),
            "churn": (tt.CHURN, plain("AUC", tt.measure_churn), at_least(0.865)), "market": (MARKET, measure_market, ("none: see its interval", None)),
            "fraud": (FRAUD, lambda path: measure_fraud(path, options.days, options.budget), ("tuned > best of the file", beats_the_file))}
    unknown = set(options.only) - set(jobs)
    if unknown:
        parser.error("there is no %s; there are %s" % (", ".join(sorted(unknown)), ", ".join(jobs)))
    print("About ten minutes on two cores; ends after %d whatever happens." % options.minutes, flush=True)
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(60 * options.minutes)
    measured = measure_all(jobs, [name for name in jobs if not options.only or name in options.only])
    signal.alarm(0)
    sys.exit(judge(jobs, measured))


main()
