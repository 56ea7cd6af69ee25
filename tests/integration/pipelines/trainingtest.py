"""What tests have in common that train on a pipeline's stored rows and fit the same rows with scikit-learn and XGBoost."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pipelinetest as pt  # noqa: E402
import weirtest as wt  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import precision_recall_curve  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

TOOL = os.path.join(pt.BUILD, "weir_tool_training")


def environment(p):
    return dict(os.environ, WEIR_STATE_DIR=os.path.join(p.dir, "state"), WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"), OMP_WAIT_POLICY="passive")


def done(p, *command):
    ended = subprocess.run(command, env=environment(p), cwd=pt.ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, "%s\n%s" % (" ".join(command), ended.stderr)
    return ended.stdout


def wait_stored(p, rows, timeout_s=240):
    """Until the offline store has labels and features of so many rows."""
    tables = ["labels", *["features_" + view["name"] for view in p.spec["views"] if view.get("from") != "labels"]]

    def stored():
        try:
            return [wt.query('SELECT count(*) FROM "%s".%s' % (p.name, table))[0][0] for table in tables]
        except Exception:  # tables are made when the first rows come
            return None

    wt.wait_for_none("%d rows to be stored" % rows, lambda: None if (found := stored()) and min(found) >= rows else found or [0], timeout_s=timeout_s, every_s=0.5)


def fill(p, path, rows, *sets):
    """Replays a file and waits until the offline store has it all."""
    p.start("ingest")
    p.start("store")
    done(p, wt.BINARY, "replay", p.path, "--file", path, *[part for s in sets for part in ("--set", s)])
    wait_stored(p, rows)


def trained(p, train_from):
    """{model: version with its metrics}, and the window."""
    detail = json.loads(done(p, TOOL, p.path, train_from))
    return {version["name"]: version for version in detail["versions"]}, detail["window"]


def rows_of(p, window):
    """Training rows and test rows as (inputs, label, key), in the columns of the recipe."""
    path = os.path.join(p.dir, "rows.parquet")
    columns = p.spec["training"]["columns"]
    done(p, wt.BINARY, "features", "history", p.path, "--features", ",".join(columns), "--out", path)
    table = pd.read_parquet(path)
    time = pd.to_datetime(table["event_time" if "event_time" in table else p.spec["source"]["time"]], utc=True)
    key, label = table[p.spec["source"]["key"][0]], table[p.spec["training"]["target"]].astype(float)
    parts = []
    for begin, end in (("train_from", "train_to"), ("test_from", "test_to")):
        inside = (time >= pd.Timestamp(window[begin])) & (time < pd.Timestamp(window[end])) & label.notna()
        parts.append((table.loc[inside, columns].astype(float), label[inside].to_numpy(), key[inside].to_numpy()))
    return parts


def params(p, model):
    return next(c for c in p.spec["training"]["candidates"] if c["name"] == model)["params"]


def boosted(kind, given, seed=1):
    """XGBoost as Weir's table says it."""
    return kind(n_estimators=given["rounds"], max_depth=given["max_depth"], learning_rate=given["eta"], min_child_weight=given.get("min_child_weight", 2), subsample=0.8,
                colsample_bytree=0.8, n_jobs=1, random_state=seed)


def logistic(given):
    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), LogisticRegression(C=1 / given["l2"], max_iter=3000))


def best_f1(label, score):
    precision, recall, threshold = precision_recall_curve(label, score)
    return threshold[(2 * precision * recall / np.maximum(precision + recall, 1e-12))[:-1].argmax()]
