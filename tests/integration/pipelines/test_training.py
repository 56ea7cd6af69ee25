"""The recipes of the pipelines on real data, end to end: files are replayed, features computed and stored by the workers, models fitted as the pipeline file says, and judged on rows that lie
after those they were fitted on (the last tenth of the hours of the road, other engines, other customers). The same rows and features, as `weir features history` gives them, are then fitted
with scikit-learn and XGBoost: Weir may not be worse than these, nor than a floor that says the features are good."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pipelinetest as pt  # noqa: E402
import weirtest as wt  # noqa: E402
from trainingtest import best_f1, boosted, fill, logistic, params, rows_of, trained  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402
from sklearn.metrics import f1_score, r2_score, roc_auc_score  # noqa: E402
from sklearn.model_selection import GroupKFold, cross_val_predict  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from xgboost import XGBClassifier, XGBRegressor  # noqa: E402

SLACK = 0.003  # what other bins and other rows drawn for each tree do to a metric, about twice what seeds do


def compare(domain, metric, found, references, floor, slack=SLACK):
    best = max(found.values())
    print("%s %s: %s; references %s" % (domain, metric, found, references))
    assert best >= floor, (domain, best, floor)
    for model, reference in references.items():
        assert found[model] >= reference - slack, (domain, model, found[model], reference)


def test_traffic():
    path = pt.data_file("traffic", "metro_i94_2012-2017.csv.gz")
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
        compare("traffic", "R2", {name: v["metrics"]["r2"] for name, v in versions.items()}, references, 0.985)
        error = versions["traffic-boosted"]["metrics"]
        assert abs(error["r2"] - (1 - error["rmse"] ** 2 / truth.var())) < 1e-9  # the table's metrics belong together


def test_engine():
    path = pt.data_file("maritime", "cmapss_fd001_engines_1-60.csv.gz")
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
        # a threshold from other folds moves F1 by more than the model does
        compare("engine", "F1", {name: v["metrics"]["f1"] for name, v in versions.items()}, references, 0.85, slack=0.01)


def test_churn():
    path = pt.data_file("churn", "telco_churn.csv")
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
        compare("churn", "AUC", {name: v["metrics"]["auc_roc"] for name, v in versions.items()}, references, 0.865, slack=0.004)


if __name__ == "__main__":
    for test in [globals()["test_" + name] for name in sys.argv[1:] or ("engine", "churn", "traffic")]:
        test()
