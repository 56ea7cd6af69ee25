"""`weir trigger --replay` over real hours of I-94 in the offline store: what it prints adds up, the metric of the policy that never retrains is that of scikit-learn's ridge on the same rows, days that are
replayed with less history behind them are the same, and nothing is written."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import trainingtest as tt  # noqa: E402
from trainingtest import TRAFFIC, pt, wt  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402
from sklearn.metrics import r2_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

TRAIN, TEST, DAY = 180, 28, pd.Timedelta(days=1)
FROM, MIDDLE, TO = "2016-07-01", "2016-07-13", "2016-07-22"


def change(spec):
    spec["training"]["split"] = {"train": "%dd" % TRAIN, "delay": "0d", "test": "%dd" % TEST}
    spec["training"].pop("validation")
    spec["triggers"] = {"performance": {"drop": 0.02, "min_rows": 48}, "volume": 120, "policy": {"cool_down": "1d", "training_cost": 3, "metric_value": 100}}
    spec["rollout"] = {"automatic": False}


def replay(p, days, code=0):
    ended = subprocess.run([wt.BINARY, "trigger", p.path, "--replay", days, "--output", "json"], env=tt.environment(p), cwd=pt.ROOT, capture_output=True, text=True)
    assert ended.returncode == code, (days, ended.returncode, ended.stderr)
    return json.loads(ended.stdout) if not code else ended.stderr


def check_sums(found):
    count = np.array(found["predictions"], float)
    daily = {p["policy"]: np.array([np.nan if v is None else v for v in p["daily"]], float) for p in found["policies"]}
    sums = {name: np.nansum(values * count) for name, values in daily.items()}
    for p in found["policies"]:
        assert len(p["daily"]) == found["days"] == len(count)
        assert sum(d["decision"] == "train" for d in p["decisions"]) == p["retrains"]
        assert abs(p["lost"] - found["metric_value"] * (max(sums.values()) - sums[p["policy"]]) / 1000) < 1e-9
        assert abs(p["total"] - p["lost"] - p["retrains"] * found["training_cost"]) < 1e-9
        assert abs(p["regret"] - p["total"] + min(q["total"] for q in found["policies"])) < 1e-9
    assert found["policies"][0]["policy"] == "never" and found["policies"][0]["retrains"] == 0 and found["policies"][1]["retrains"] == 3
    own = found["policies"][3]
    assert own["retrains"] >= 3 and all(d["cause"] in ("volume", "performance") for d in own["decisions"])
    return daily


def check_never(p, daily):
    values, label, _, time = tt.table_of(p)
    first = pd.Timestamp(FROM, tz="UTC")
    train = ((time >= first - (TRAIN + TEST) * DAY) & (time < first - TEST * DAY) & label.notna()).to_numpy()
    model = make_pipeline(SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler(), Ridge(alpha=1.0))
    model.fit(values[train], label[train])
    for d in range(3):
        of_day = ((time >= first + d * DAY) & (time < first + (d + 1) * DAY) & label.notna()).to_numpy()
        expected = r2_score(label[of_day], model.predict(values[of_day]))
        assert abs(daily["never"][d] - expected) < 0.02, (d, daily["never"][d], expected)  # how columns are scaled and indicators made differs


def test_replay():
    path = pt.data_file(*TRAFFIC)
    with wt.Pipeline(change, of="traffic") as p:
        tt.fill(p, path, len(pd.read_csv(path)))
        counts = lambda: wt.query("SELECT (SELECT count(*) FROM weir.runs), (SELECT count(*) FROM weir.model_versions), (SELECT count(*) FROM weir.training_decisions)")
        before = counts()
        whole = replay(p, "%s..%s" % (FROM, TO))
        assert whole["from"].startswith(FROM) and whole["days"] == 21
        daily = check_sums(whole)
        check_never(p, daily)
        part = replay(p, "%s..%s" % (FROM, MIDDLE))
        for a, b in zip(whole["policies"], part["policies"]):
            assert a["daily"][:part["days"]] == b["daily"], a["policy"]
            assert [d for d in a["decisions"] if d["at"] < MIDDLE] == b["decisions"], a["policy"]
        assert "expected FROM..TO" in replay(p, "july", 2) and counts() == before
        print("of %d models: %s" % (whole["fits"], {q["policy"]: (q["retrains"], round(q["metric"], 4), round(q["regret"], 1)) for q in whole["policies"]}))


if __name__ == "__main__":
    test_replay()
