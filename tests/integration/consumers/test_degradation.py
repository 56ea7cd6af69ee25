"""A version that serves gets worse: labels that contradict its scores arrive, and the experiment worker says so once, whatever is restarted; the trigger worker asks for training; it is over
when another version serves. Predictions are rows of the offline store; the oracle of the metric is scikit-learn."""
import datetime
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403
from test_trigger import weir  # noqa: E402

MIN_ROWS, REFERENCE = 500, 0.95


def watched(spec):
    spec["triggers"] = {"performance": {"metric": "auc_roc", "min_rows": MIN_ROWS, "drop": 0.05}, "policy": {"cool_down": "1h"}}


def sql(text, rows=None):
    import psycopg2
    import psycopg2.extras
    with psycopg2.connect(PG) as connection, connection.cursor() as cursor:
        if rows is None:
            cursor.execute(text)
        else:
            psycopg2.extras.execute_values(cursor, text, rows, page_size=1000)


def prepare(p):
    """The tables of the offline store, with room for any day."""
    weir(p, "migrate")
    weir(p, "topics", "create", p.path)
    p.start("store")  # makes the tables
    tables = "SELECT to_regclass('\"%s\".predictions')::text, to_regclass('\"%s\".labels')::text" % (p.name, p.name)
    wait_for("the tables", lambda: None not in query(tables)[0], 60)
    assert p.kill("store", sig=signal.SIGTERM) == 0
    for table in ("predictions", "labels"):
        sql('CREATE TABLE "%s".%s_rest PARTITION OF "%s".%s DEFAULT' % (p.name, table, p.name, table))


def register(p, model, version, digest):
    metrics = {"auc_roc": REFERENCE, "threshold": 0.5, "rows": 5000, "positives": 1000}
    sql("INSERT INTO weir.model_versions (pipeline, model, version, algorithm, digest, artifact_path, feature_hash, dataset_digest, semver, metrics) VALUES ('%s', '%s', %d, 'logistic', '%s', "
        "'none', 'none', 'none', '{%d,0,0}', '%s')" % (p.name, model, version, digest, version, json.dumps(metrics)))


def serve(p, model, version):
    sql("INSERT INTO weir.aliases (pipeline, alias, model, version) VALUES ('%s', 'champion', '%s', %d) ON CONFLICT (pipeline, alias) DO UPDATE SET model = excluded.model, "
        "version = excluded.version" % (p.name, model, version))


class Feed:
    """Predictions and labels as rows of the offline store, right with a given probability."""

    def __init__(self, p):
        self.p, self.count, self.random = p, 0, random.Random(3)
        self.start = datetime.datetime(2024, 3, 1, tzinfo=datetime.timezone.utc)
        self.rows = []

    def add(self, count, right, model="fraud-test", version=1, digest="d1", labelled=True):
        predictions, labels = [], []
        for i in range(self.count, self.count + count):
            fraud = self.random.random() < 0.3
            score = min(max(self.random.gauss(0.7 if fraud == (self.random.random() < right) else 0.3, 0.05), 0), 1)
            when = self.start + datetime.timedelta(seconds=i)
            name = "tx%06d" % i
            predictions.append((0, i, when, when, "default", "c%d" % (i % 400), name, when, model, version, digest, "champion", 1.0, score))
            if labelled:
                labels.append((0, i, when, "default", "c%d" % (i % 400), name, fraud, when + datetime.timedelta(days=1)))
                self.rows.append((score, fraud))
        self.count += count
        scores = [row[-1] for row in predictions]
        table = '"%s".' % self.p.name
        sql("INSERT INTO " + table + "predictions (source_partition, source_offset, event_time, available_time, tenant, entity, join_id, predicted_at, model, version, digest, arm, propensity, score) VALUES %s",
            predictions)
        if labelled:
            sql("INSERT INTO " + table + "labels (source_partition, source_offset, event_time, tenant, entity, transaction_id, fraud, available_time) VALUES %s", labels)
        sql("INSERT INTO weir.sink_offsets (pipeline, sink, topic, partition, next_offset) VALUES ('%s', 'test', '%s', 0, %d) ON CONFLICT (pipeline, sink, topic, partition) DO UPDATE SET "
            "next_offset = excluded.next_offset" % (self.p.name, self.p.topic("predictions"), self.count))
        return scores


def alerts(p):
    return [e for e in own_events(p, "weir.alerts") if e["name"] == "WeirDegradation"]


def estimated(rows, asked):
    """AUC of scores without labels, by what rows with labels teach of them."""
    import numpy as np
    from sklearn.isotonic import IsotonicRegression
    p = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(*zip(*rows)).predict(asked)
    asked = np.array(asked)
    pairs = np.outer(p, 1 - p)
    np.fill_diagonal(pairs, 0)
    return (pairs * ((asked[:, None] > asked) + 0.5 * (asked[:, None] == asked))).sum() / pairs.sum()


def gauge(p, name):
    return [v for (n, labels), v in p.metrics("experiment").items() if n == name]


def check_estimates(p, feed):
    """Before labels come; and how far off that was for the newer half of those that came, which the rows' order of labels gives."""
    from sklearn.metrics import roc_auc_score
    older, newer = feed.rows[:1500], feed.rows[1500:]
    scores, labels = zip(*newer)
    error = abs(estimated(older, scores) - roc_auc_score(labels, scores))
    found = wait_for("the error of an estimate", lambda: gauge(p, "weir_experiment_estimate_error_ratio"), 60, 0.5)
    assert abs(found[0] - error) < 1e-9 and error < 0.05, (found, error)
    assert not gauge(p, "weir_experiment_estimated_ratio")
    before = len(feed.rows)
    asked = feed.add(700, 0.97, labelled=False)
    assert len(feed.rows) == before
    expected = estimated(feed.rows, asked)
    found = wait_for("an estimate", lambda: gauge(p, "weir_experiment_estimated_ratio"), 60, 0.5)
    assert abs(found[0] - expected) < 1e-9, (found, expected)
    print("estimated %.4f on 700 predictions without labels, off by %.4f on the newest labelled" % (expected, error))


def main():
    from sklearn.metrics import roc_auc_score
    with Pipeline(watched) as p:
        prepare(p)
        register(p, "fraud-test", 1, "d1")
        register(p, "fraud-test", 2, "d2")
        serve(p, "fraud-test", 1)
        p.start("trigger")
        p.start("experiment")
        feed = Feed(p)
        feed.add(3000, 0.97)
        wait_for("the first look", lambda: gauge(p, "weir_experiment_degradation_ratio"), 60, 0.5)
        assert not alerts(p) and not gauge(p, "weir_experiment_degraded"), alerts(p)
        check_estimates(p, feed)
        feed.add(6000, 0.5)
        fired = wait_for("the alert", lambda: alerts(p), 60, 0.5)
        assert len(fired) == 1 and fired[0]["state"] == "firing" and fired[0]["severity"] == "warning" and fired[0]["runbook"] == "degradation.md", fired
        detail = json.loads(fired[0]["detail"])
        scores, labels = zip(*feed.rows)
        expected = roc_auc_score(labels, scores)
        assert detail["rows"] == 9000 and abs(detail["value"] - expected) < 1e-12, (detail, expected)
        assert detail["low"] < detail["value"] < detail["high"] < detail["limit"] == REFERENCE - 0.05 * REFERENCE, detail
        assert abs(detail["expected_drop"] - (REFERENCE - expected)) < 1e-12 and abs(detail["drop"] - (1 - expected / REFERENCE)) < 1e-12, detail
        wait_for("the decision", lambda: [e for e in own_events(p, "weir.training.requests") if e["reason"] == "performance"], 60, 0.5)
        assert detail["estimate_error"] >= 0 and "estimated" not in detail, detail  # newer labels than any prediction without
        assert gauge(p, "weir_experiment_degraded") == [1]
        p.kill("experiment")
        p.start("experiment")
        feed.add(MIN_ROWS, 0.5)
        wait_for("a look after the restart", lambda: gauge(p, "weir_experiment_degraded") == [1], 60, 0.5)
        assert len(alerts(p)) == 1, alerts(p)
        serve(p, "fraud-test", 2)
        feed.add(MIN_ROWS, 0.97, version=2, digest="d2")
        over = wait_for("the end", lambda: len(alerts(p)) == 2 and alerts(p), 60, 0.5)
        assert [e["state"] for e in over] == ["firing", "resolved"] and over[0]["alert_id"] == over[1]["alert_id"], over
        wait_for("the gauge", lambda: gauge(p, "weir_experiment_degraded") == [0], 30, 0.5)
    assert not query("SELECT FROM weir.degradations WHERE pipeline = '%s'" % p.name)
    print("degraded, told once, over")


if __name__ == "__main__":
    main()
