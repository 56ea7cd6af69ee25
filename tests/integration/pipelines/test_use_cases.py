"""The four use cases of a simulated fleet, from the replayed file to models: each is searched to a report, and one model for all tenants is compared with one for each. Rows are counted again
in SQL, by tenant, from the labels that the store holds."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pipelinetest as pt  # noqa: E402
import weirtest as wt  # noqa: E402

USE_CASES = {"maintenance": "maintenance_needed", "fuel": "optimal_fuel_rate", "eta": "actual_hours_remaining", "anomaly": "anomaly_class"}
VESSELS, DAYS, REPORTS_A_DAY = 15, 18, 144


def short(spec):
    """Ten days to learn from, so that every class is among them, one to judge on, a few trees: what is tested is what goes where."""
    spec["training"]["split"].update(train="10d", test="1d")
    for section in (spec["training"], *spec["training"]["use_cases"].values()):
        for candidate in section["candidates"]:
            if candidate["algorithm"] == "xgboost":
                candidate["params"] = {"rounds": 20, "max_depth": 3}


def run(p, *command, code=0):
    env = dict(os.environ, WEIR_STATE_DIR=os.path.join(p.dir, "state"), WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"))
    ended = subprocess.run([wt.BINARY, *command], env=env, cwd=pt.ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == code, "%s: exit %d\n%s\n%s" % (" ".join(command), ended.returncode, ended.stdout, ended.stderr)
    return ended.stdout if code == 0 else ended.stderr


def fill(p):
    p.start("ingest")
    p.start("store")
    run(p, "simulate", p.path, "--domain", "maritime", "--entities", str(VESSELS), "--days", str(DAYS))
    rows = VESSELS * DAYS * REPORTS_A_DAY

    def stored():
        try:
            return [wt.query('SELECT count(*) FROM "%s".%s' % (p.name, table))[0][0] for table in ("labels", "features_vessel")]
        except Exception:  # tables are made when the first rows come
            return None

    wt.wait_for_none("%d rows to be stored" % rows, lambda: None if (found := stored()) and min(found) >= rows else found or [0], timeout_s=240, every_s=0.5)


def labelled(p, target, window):
    """{tenant: rows of the training days with a label that was known when the model is used first}."""
    return dict(wt.query('SELECT tenant, count(DISTINCT report_id) FROM "%s".labels WHERE "%s" IS NOT NULL AND event_time >= \'%s\' AND event_time < \'%s\' '
                         'AND available_time <= \'%s\' GROUP BY tenant' % (p.name, target, window["train_from"], window["train_to"], window["test_from"])))


def aliases(p):
    return {(alias, model) for alias, model in wt.query("SELECT alias, model FROM weir.aliases WHERE pipeline = '%s'" % p.name)}


def check_search(p, use_case, first):
    record = json.loads(run(p, "train", p.path, "--use-case", use_case, "--train-from", first, "--budget", "60s", "--trials", "2", "--output", "json"))
    model = p.name + ("-auto" if use_case == "maintenance" else "-%s-auto" % use_case)
    text = json.dumps(record)
    assert '"%s"' % model in text and '"use_case": "%s"' % use_case in text, text
    runs = wt.query("SELECT run_id, metrics FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s'" % (p.name, model))
    assert len(runs) == 1, runs
    assert os.path.getsize(os.path.join(p.dir, "objects", "runs", runs[0][0], "report.html")) > 10000
    return model, runs[0][1]


def test_searches(p, first):
    expected = {"maintenance": "auc_roc", "fuel": "r2", "eta": "r2", "anomaly": "f1_macro"}
    for use_case in USE_CASES:
        model, metrics = check_search(p, use_case, first)
        assert expected[use_case] in metrics, (use_case, metrics)
        if use_case == "fuel":
            assert metrics["r2"] > 0.8, metrics  # the fuel of a clean engine follows from speed and displacement
        own = wt.query("SELECT alias FROM weir.model_aliases WHERE pipeline = '%s' AND model = '%s'" % (p.name, model))
        assert own == ([] if use_case == "maintenance" else [("champion",)]), (model, own)
    assert aliases(p) == {("champion", p.name + "-auto")}, aliases(p)  # serving follows these: no other use case may have moved them
    assert "did you mean 'fuel'" in run(p, "train", p.path, "--use-case", "feul", "--budget", "1s", code=2)


def test_comparison(p, first):
    for use_case in ("fuel", "eta"):
        found = json.loads(run(p, "train", p.path, "--compare-tenants", "--use-case", use_case, "--train-from", first, "--output", "json"))
        rows = labelled(p, USE_CASES[use_case], found["window"])
        assert len(rows) == 3 and {t["tenant"]: t["rows"] for t in found["tenants"]} == rows, (rows, found["tenants"])
        for t in found["tenants"]:
            assert t["why"] or t["low"] <= t["gap"] <= t["high"] and t["judged"] == t["rows"], t
            assert t["why"] or t["migrate"] == (t["gap"] > found["gap"] and t["p_adjusted"] <= found["alpha"]), t
        models = {m["tenant"]: m for m in found["models"]}
        assert set(models) == set(rows) | {"all"}
        for tenant, model in models.items():
            base = "%s-%s" % (p.name, use_case)
            assert model["model"] == (base if tenant == "all" else base + "-" + tenant)
            assert model["experiment"] == "/maritime_fleet_guardian/%s/%s" % (tenant, use_case)
            # a tenant's own model has its rows and no other's
            assert model["rows"] == (sum(rows.values()) if tenant == "all" else rows[tenant]), (model, rows)
            check_registered(p, model, tenant, use_case)
    assert aliases(p) == {("champion", p.name + "-auto")}
    text = run(p, "train", p.path, "--compare-tenants", "--use-case", "eta", "--model", "eta-ridge", "--train-from", first)
    assert all(t in text for t in rows) and "eta-ridge by rmse" in text and "of 3 tenants gain more than 5 % of rmse" in text, text
    assert "there are eta-boosted, eta-ridge" in run(p, "train", p.path, "--compare-tenants", "--use-case", "eta", "--model", "none", code=2)


def check_registered(p, model, tenant, use_case):
    expected = {"tenant_id": tenant, "use_case": use_case, "training_mode": "shared" if tenant == "all" else "tenant",
                "feature_count": str(len(p.spec["training"]["use_cases"][use_case]["columns"]))}
    of_version = dict(wt.query("SELECT name, value FROM weir.version_tags WHERE pipeline = '%s' AND model = '%s' AND version = %d" % (p.name, model["model"], model["version"])))
    of_run = dict(wt.query("SELECT name, value FROM weir.run_tags WHERE run_id = '%s'" % model["run"]))
    for tags in (of_version, of_run):
        assert {name: tags.get(name) for name in expected} == expected and tags["trained_until"], tags
    [(status, experiment)] = wt.query("SELECT r.status, e.experiment FROM weir.runs r JOIN weir.experiment_runs e ON e.run_id = r.id WHERE r.id = '%s'" % model["run"])
    assert (status, experiment) == ("succeeded", model["experiment"])
    assert model["test_metrics"] and wt.query("SELECT count(*) FROM weir.run_metrics WHERE run_id = '%s'" % model["run"])[0][0] > 2


if __name__ == "__main__":
    with wt.Pipeline(short, of="maritime") as pipeline:
        fill(pipeline)
        start = wt.query('SELECT min(event_time)::date::text FROM "%s".labels' % pipeline.name)[0][0]
        test_searches(pipeline, start)
        test_comparison(pipeline, start)
