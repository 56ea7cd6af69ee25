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
from sklearn.linear_model import LogisticRegression, Ridge  # noqa: E402
from sklearn.metrics import f1_score, precision_recall_curve, r2_score, roc_auc_score  # noqa: E402
from sklearn.model_selection import GroupKFold, cross_val_predict  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from xgboost import XGBClassifier, XGBRegressor  # noqa: E402

TRAFFIC, ENGINE, CHURN = ("traffic", "metro_i94_2012-2017.csv.gz"), ("maritime", "cmapss_fd001_engines_1-60.csv.gz"), ("churn", "telco_churn.csv")
TOOL = os.path.join(pt.BUILD, "weir_tool_training")


def environment(p):
    return dict(os.environ, WEIR_STATE_DIR=os.path.join(p.dir, "state"), WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"))


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


def table_of(p):
    """Inputs of the recipe, label, key and time of every stored row."""
    path = os.path.join(p.dir, "rows.parquet")
    columns = p.spec["training"]["columns"]
    done(p, wt.BINARY, "features", "history", p.path, "--features", ",".join(columns), "--out", path)
    table = pd.read_parquet(path)
    time = pd.to_datetime(table["event_time" if "event_time" in table else p.spec["source"]["time"]], utc=True)
    key, label = table[p.spec["source"]["key"][0]], table[p.spec["training"]["target"]].astype(float)
    return table[columns].astype(float), label, key, time


def rows_of(p, window):
    """Training rows and test rows as (inputs, label, key), in the columns of the recipe."""
    values, label, key, time = table_of(p)
    parts = []
    for begin, end in (("train_from", "train_to"), ("test_from", "test_to")):
        inside = (time >= pd.Timestamp(window[begin])) & (time < pd.Timestamp(window[end])) & label.notna()
        parts.append((values[inside], label[inside].to_numpy(), key[inside].to_numpy()))
    return parts


def scores(p, artifact, values):
    """What an artifact says of rows, by the tool: not by the program that wrote its metrics."""
    at_values, at_scores = (os.path.join(p.dir, name) for name in ("values", "scores"))
    np.ascontiguousarray(values, "<f8").tofile(at_values)
    subprocess.run([os.path.join(pt.BUILD, "weir_tool_models"), "predict", os.path.join(p.dir, "objects", artifact), at_values, at_scores], check=True)
    return np.fromfile(at_scores, "<f8")


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


def measure_traffic(path):
    """({model: R2}, {model: of the reference}) of the last tenth of the hours."""
    with wt.Pipeline(of="traffic") as p:
        file = pd.read_csv(path)
        fill(p, path, len(file))
        times = pd.to_datetime(file.date_time, utc=True).sort_values()
        test_from = times.iloc[int(0.9 * len(file))].normalize()
        versions, window = trained(p, (test_from - pd.Timedelta(days=1825)).strftime("%Y-%m-%d"))
        (x, y, _), (z, truth, _) = rows_of(p, window)
        # an hour's count is known when it is over, so the last hour before the test days is not learnt from
        assert len(truth) == (times >= test_from).sum() == versions["traffic-ridge"]["metrics"]["rows"] and abs(len(truth) / len(file) - 0.1) < 0.005
        ridge = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), Ridge(1.0)).fit(x, y)
        trees = boosted(XGBRegressor, params(p, "traffic-boosted")).fit(x, y)
        references = {"traffic-ridge": r2_score(truth, ridge.predict(z)), "traffic-boosted": r2_score(truth, trees.predict(z))}
        error = versions["traffic-boosted"]["metrics"]
        assert abs(error["r2"] - (1 - error["rmse"] ** 2 / truth.var())) < 1e-9  # the table's metrics belong together
        return {name: v["metrics"]["r2"] for name, v in versions.items()}, references


def measure_engine(path):
    """({model: F1}, {model: of the reference}) of engines that were not learnt from."""
    with wt.Pipeline(of="engine") as p:
        fill(p, path, len(pd.read_csv(path)))
        versions, window = trained(p, "2000-01-01")
        (x, y, engine), (z, truth, other) = rows_of(p, window)
        assert set(map(int, engine)) == set(range(1, 46)) and set(map(int, other)) == set(range(46, 61))
        references = {}
        for name, model in (("engine-logistic", logistic(params(p, "engine-logistic"))), ("engine-boosted", boosted(XGBClassifier, params(p, "engine-boosted")))):
            threshold = best_f1(y, cross_val_predict(model, x, y, groups=engine, cv=GroupKFold(5), method="predict_proba")[:, 1])
            references[name] = f1_score(truth, model.fit(x, y).predict_proba(z)[:, 1] >= threshold)
            assert 0.05 < versions[name]["threshold"] < 0.95 and versions[name]["threshold"] != 0.5
            assert versions[name]["metrics"]["threshold"] == versions[name]["threshold"]
        return {name: v["metrics"]["f1"] for name, v in versions.items()}, references


def measure_churn(path):
    """({model: AUC}, {model: of the reference}) of customers that were not learnt from."""
    with wt.Pipeline(of="churn") as p:
        # The table is of one moment. Its first 4000 rows become a survey of January, the others one of four months later, when the labels of the first are known.
        later = "event_time=TIMESTAMP '2018-01-01' + INTERVAL 1 DAY * CASE WHEN row_number() OVER () <= 4000 THEN 0 ELSE 120 END"
        file = pd.read_csv(path)
        fill(p, path, len(file), later)
        versions, window = trained(p, "2018-01-01")
        (x, y, first), (z, truth, rest) = rows_of(p, window)
        assert set(first) == set(file.customerID[:4000]) and set(rest) == set(file.customerID[4000:])
        assert y.sum() == file.Churn[:4000].sum() and truth.sum() == file.Churn[4000:].sum()
        flat = logistic(params(p, "churn-logistic")).fit(x, y).predict_proba(z)[:, 1]
        # with a thousand rows to test, the seed alone moves the AUC of trees by 0.004: their mean is the reference
        trees = [boosted(XGBClassifier, params(p, "churn-boosted"), seed).fit(x, y).predict_proba(z)[:, 1] for seed in range(5)]
        references = {"churn-logistic": roc_auc_score(truth, flat), "churn-boosted": np.mean([roc_auc_score(truth, t) for t in trees]),
                      "churn-blend": np.mean([roc_auc_score(truth, flat + t) for t in trees])}
        return {name: v["metrics"]["auc_roc"] for name, v in versions.items()}, references
