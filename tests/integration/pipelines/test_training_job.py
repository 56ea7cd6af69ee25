"""`weir train churn --budget` on the real table of customers, by one command: as it is replayed, all rows at one moment, so that the test rows are drawn; and as two surveys, the first 4000 rows
and the others 120 days later, which the days of the recipe tell apart. Then a copy with more rows than one a customer, whose customers stay together. Version, report and figures must be there
and agree; what the model says of the later survey is measured with scikit-learn."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import trainingtest as tt  # noqa: E402
from trainingtest import CHURN, pt, wt  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.metrics import f1_score, roc_auc_score  # noqa: E402

SURVEYS = "event_time=TIMESTAMP '2018-01-01' + INTERVAL 1 DAY * CASE WHEN row_number() OVER () <= 4000 THEN 0 ELSE 120 END"
SEARCH = ("--budget", "4m", "--trials", "1")  # ends by trials, so that what is found does not hang on how fast the machine is


def search(p, *more):
    """(what it printed, what it logged, the record of the job)"""
    ended = subprocess.run([wt.BINARY, "train", p.path, *SEARCH, *more], env=tt.environment(p), cwd=pt.ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    runs = os.path.join(p.dir, "objects", "runs")
    newest = max((os.path.join(runs, name) for name in os.listdir(runs)), key=os.path.getmtime)
    return ended.stdout, " ".join(ended.stderr.split()), newest


def load(folder, name):
    with open(os.path.join(folder, name)) as f:
        return json.load(f) if name.endswith(".json") else f.read()


def check(p, printed, logged, folder, words):
    """What every search leaves; returns its report and the version's row."""
    record, report, page = (load(folder, name) for name in ("job.json", "report.json", "report.html"))
    assert record["status"] == "succeeded" and "report.html" in printed
    split = next(step["result"]["split"] for step in record["steps"] if step["name"] == "data")
    assert split == report["split"]["test"]
    for place in (logged, split["words"], page):
        assert words in place, (words, place[:2000])
    ((version, digest, path, metrics, signature, lineage),) = wt.query(
        "SELECT version, digest, artifact_path, metrics, signature, lineage FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s-auto' ORDER BY version DESC LIMIT 1" % (p.name, p.name))
    chosen = report["models"][0]
    assert digest == chosen["digest"] and os.path.exists(os.path.join(p.dir, "objects", path)) and "version %d" % version in printed
    assert lineage["dataset"]["split"] == split
    assert metrics["auc_roc"] == chosen["metrics"]["roc_auc"]["value"] and "%.5g" % metrics["auc_roc"] in printed
    # its own threshold everywhere: what it is served with, what it was measured at, what the report draws
    assert signature["threshold"] == metrics["threshold"] == chosen["threshold"] == report["binary"]["threshold"]["value"] != p.spec["serving"]["threshold"]
    others = report["models"][1:]
    assert others and all(m["threshold"] != chosen["threshold"] for m in others), [m["threshold"] for m in report["models"]]
    assert wt.query("SELECT alias FROM weir.aliases WHERE pipeline = '%s' AND model = '%s-auto'" % (p.name, p.name))
    return report, (metrics, signature, path)


def one_moment(path):
    with wt.Pipeline(of="churn") as p:
        file = pd.read_csv(path)
        tt.fill(p, path, len(file))
        report, (metrics, _, _) = check(p, *search(p), "all %d rows have one time, 2018-01-01" % len(file))
        split, test = report["split"]["test"], report["dataset"]["test"]
        assert split["drawn"] and split["scheme"] == "stratified_k_fold"
        assert test["rows"] == len(file) // 5 and report["dataset"]["train"]["rows"] == len(file) - len(file) // 5
        positives = {c["name"]: (c["train"], c["test"]) for c in report["dataset"]["classes"]}["1"]
        assert sum(positives) == file.Churn.sum() and abs(positives[1] - file.Churn.sum() / 5) <= 1
        print("churn of one moment: AUC %.4f on %d rows that were drawn" % (metrics["auc_roc"], test["rows"]))
        assert metrics["auc_roc"] >= 0.83
        again = search(p, "--output", "json")[0]  # the same rows are drawn, and a program is told the same
        result = next(step["result"] for step in json.loads(again)["steps"] if step["name"] == "data")
        assert result["split"] == split and result["test"]["digest"] == test["digest"]


def two_surveys(path):
    with wt.Pipeline(of="churn") as p:
        file = pd.read_csv(path)
        tt.fill(p, path, len(file), SURVEYS)
        report, (metrics, signature, artifact) = check(p, *search(p), "test days 2018-03-03 to 2018-05-01")
        assert not report["split"]["test"]["drawn"] and report["dataset"]["test"]["rows"] == len(file) - 4000
        values, label, key, when = tt.table_of(p)
        later = (when >= pd.Timestamp("2018-05-01", tz="UTC")).to_numpy()
        assert set(key[later]) == set(file.customerID[4000:])
        score, truth = tt.scores(p, artifact, values[later]), label[later].to_numpy()
        auc, f1 = roc_auc_score(truth, score), f1_score(truth, score >= signature["threshold"])
        print("churn of two surveys: AUC %.4f on %d later rows" % (auc, len(truth)))
        assert abs(auc - metrics["auc_roc"]) < 1e-9 and abs(f1 - metrics["f1"]) < 1e-9, (auc, f1, metrics)
        assert auc >= 0.865


def repeated_customers(path):
    with wt.Pipeline(of="churn") as p:
        file = pd.read_csv(path)[:1500]
        file["customerID"] = ["C%04d" % (i // 3) for i in range(len(file))]
        copy = os.path.join(p.dir, "repeated.csv")
        file.to_csv(copy, index=False)
        tt.fill(p, copy, len(file), "event_id=customer_id || '@' || row_number() OVER ()")
        report, _ = check(p, *search(p), "tested is a fifth of the entities, each with all its rows")
        assert report["split"]["test"]["scheme"] == "grouped_k_fold" and report["dataset"]["test"]["rows"] == len(file) // 5


if __name__ == "__main__":
    table = pt.data_file(*CHURN)
    cases = {"one_moment": one_moment, "two_surveys": two_surveys, "repeated_customers": repeated_customers}
    for name in sys.argv[1:] or cases:
        cases[name](table)
