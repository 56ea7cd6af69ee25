"""`weir train PIPELINE --continue` over a real stack: a fraud model of an online learner learns the days that came since it was trained. What it learns is counted again in SQL, what was measured
is measured again by scikit-learn on the scores of the artifacts; in two steps it becomes, byte for byte, what it becomes in one; a second time there is nothing new; the train worker does the
same when it is asked."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pipelines"))
from weirtest import *  # noqa: E402,F403
from trainingtest import done, environment, scores, table_of, trained, wait_stored  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score  # noqa: E402

START, TRAINED_TO, MIDDLE, END = "2024-03-01", "2024-03-07", "2024-03-11", "2024-03-15"
ENTITIES, DAYS = 400, 15


def online(spec):
    """Six days to learn from, labels after two; learners of streams, with preprocessing, beside one that is none."""
    short_training(spec, "6d", "2d")
    name, spec["partitions"] = spec["pipeline"], 2
    spec["training"].update(champion=name + "-sgd", challenger=name + "-tree", experiment="/{pipeline}/{tenant}/{use_case}", preprocessing=[{"impute": "median"}, {"scale": "standard"}])
    spec["training"]["candidates"] = [{"name": name + "-sgd", "algorithm": "sgd"}, {"name": name + "-tree", "algorithm": "hoeffding_tree", "params": {"grace_period": 50}},
                                      {"name": name + "-ftrl", "algorithm": "ftrl"}, {"name": name + "-logistic", "algorithm": "logistic"},
                                      {"name": name + "-balanced", "algorithm": "sgd", "class_weight": "balanced"}]


def run(p, *args, code=0, path=None):
    ended = subprocess.run([BINARY, "train", path or p.path, *args], env=environment(p), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == code, "%s: exit %d, expected %d\n%s\n%s" % (" ".join(args), ended.returncode, code, ended.stdout, ended.stderr)
    return ended.stdout if code < 2 else ended.stderr


def go_on(p, version, *args, code=0):
    return json.loads(run(p, "--continue", version, "--output", "json", *args, code=code))


def fill(p):
    p.start("ingest")
    p.start("store")
    done(p, BINARY, "simulate", p.path, "--domain", "fraud", "--entities", str(ENTITIES), "--days", str(DAYS), "--start", START)
    events = sum(offset for _, offset in watermarks(p.topic("events")))
    wait_stored(p, events)


def watermarks(topic):
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "none"})
    parts = consumer.list_topics(topic).topics[topic].partitions
    found = [(part, consumer.get_watermark_offsets(TopicPartition(topic, part))[1]) for part in parts]
    consumer.close()
    return found


def versions(p):
    return query("SELECT model, version, digest, run_id FROM weir.model_versions WHERE pipeline = '%s' AND deleted_at IS NULL ORDER BY model, version" % p.name)


def runs(p):
    return query("SELECT id, status FROM weir.runs WHERE pipeline = '%s' ORDER BY id" % p.name)


def artifact(p, path):
    with open(os.path.join(p.dir, "objects", path), "rb") as f:
        return f.read()


def rows_between(p, table, start, end):
    values, label, _, time = table
    inside = (time >= pd.Timestamp(start, tz="UTC")) & (time < pd.Timestamp(end, tz="UTC")) & label.notna()
    return values[inside], label[inside].to_numpy(), time[inside]


def expect_metrics(found, truth, score):
    for name, value in (("auc_roc", roc_auc_score(truth, score)), ("average_precision", average_precision_score(truth, score)), ("log_loss", log_loss(truth, score))):
        assert abs(found[name] - value) < 1e-9, (name, found[name], value)
    assert found["rows"] == len(truth) and found["positives"] == truth.sum()


def check_step(p, table, detail, parent, start, end):
    """Rows, windows, lineage and tracking of one step, and its metrics: by the artifact that went in, and where the days before the last are known, by that of a step that ends there."""
    of, (made,) = detail["continues"], detail["versions"]
    assert (of["model"], of["version"], of["digest"]) == parent[:3], (of, parent)
    assert of["from"] == start + "T00:00:00.000000Z" and of["to"] == end + "T00:00:00.000000Z", of
    x, truth, time = rows_between(p, table, start, end)
    ((count,),) = query("SELECT count(*) FROM \"%s\".features_customer WHERE event_time >= '%s' AND event_time < '%s'" % (p.name, start, end))
    assert of["rows"] == len(truth) == count > 1000 and of["days"] == time.dt.date.nunique(), (of, len(truth), count)
    expect_metrics(detail["unchanged"], truth, scores(p, parent[3], x))
    assert made["metrics"] == detail["prequential"] and detail["prequential"]["rows"] == count
    ((lineage, metrics, signature),) = query("SELECT lineage, metrics, signature FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s' AND version = %d" % (p.name, made["name"], made["version"]))
    assert lineage["continues"] == of and lineage["window"]["train_to"] == of["to"] and lineage["window"]["train_from"] == START + "T00:00:00.000000Z", lineage
    assert lineage["gate"]["training_rows"] > 0 and lineage["gate"]["random_rows"] > 0, "the version has a compiled form, and it was compared"
    assert metrics == detail["prequential"] and lineage["spec"]["algorithm"] == of["algorithm"]
    ((before,),) = query("SELECT signature FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s' AND version = %d" % (p.name, parent[0], parent[1]))
    assert signature == before, "the threshold and the inputs stay"
    return made


def check_tracked(p, detail, experiment):
    ((status, found),) = query("SELECT r.status, e.experiment FROM weir.runs r JOIN weir.experiment_runs e ON e.run_id = r.id WHERE r.id = '%s'" % detail["run"])
    assert (status, found) == ("succeeded", experiment), (status, found)
    params = dict(query("SELECT name, value FROM weir.run_params WHERE run_id = '%s'" % detail["run"]))
    metrics = dict(query("SELECT name, value FROM weir.run_metrics WHERE run_id = '%s'" % detail["run"]))
    of = detail["continues"]
    assert (params["continues.version"], params["continues.rows"], params["continues.from"], params["continues.to"]) == (str(of["version"]), str(of["rows"]), of["from"], of["to"])
    for kind in ("prequential", "delayed", "unchanged"):
        assert metrics[kind + ".auc_roc"] == detail[kind]["auc_roc"]


def test_two_steps_are_one(p, table, first):
    for model in ("sgd", "tree", "ftrl"):
        name = "%s-%s" % (p.name, model)
        parent = (name, 1, first[name]["digest"], first[name]["artifact_path"])
        one = go_on(p, name + ":1", "--as-of", "2024-03-13")  # labels of the 10th are known then, those of the 11th are not
        middle = check_step(p, table, one, parent, TRAINED_TO, MIDDLE)
        check_tracked(p, one, "/%s/all/default" % p.name)
        # from the first version: it goes on from what became of it
        two = go_on(p, name + ":1")
        last = check_step(p, table, two, (name, 2, middle["digest"], middle["artifact_path"]), MIDDLE, END)
        assert (middle["version"], last["version"]) == (2, 3)
        for version in ("3", "2"):
            done(p, BINARY, "models", "delete", p.name, name, "--version", version)
        whole = go_on(p, name + ":1")
        at_once = check_step(p, table, whole, parent, TRAINED_TO, END)
        assert at_once["digest"] == last["digest"] and at_once["version"] == 4
        print("%s: AUC of the new days %.6g unchanged, %.6g delayed, %.6g prequential" % (model, *(whole[k]["auc_roc"] for k in ("unchanged", "delayed", "prequential"))))
        yield name, artifact(p, at_once["artifact_path"])


def test_prequential(p, table, first):
    """A day is scored by the model that has learnt all days before it: those are the steps of one day each, with another version of the same learner. Labels come two days later, so what scores a
    day live has learnt what lies two days and more before it."""
    name = p.name + "-ftrl"
    whole = go_on(p, name + ":1", code=1)
    assert "versions" not in whole
    ((kept,),) = query("SELECT version FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s' AND version > 1 AND deleted_at IS NULL" % (p.name, name))
    ((lineage, metrics),) = query("SELECT lineage, metrics FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s' AND version = %d" % (p.name, name, kept))
    ((delayed,),) = query("SELECT detail->'delayed' FROM weir.runs r JOIN weir.model_versions v ON v.run_id = r.id WHERE v.pipeline = '%s' AND v.model = '%s' AND v.version = %d" % (p.name, name, kept))
    done(p, BINARY, "models", "delete", p.name, name, "--version", str(kept))
    days = pd.date_range(TRAINED_TO, END, inclusive="left")
    paths, followed, live, truth = [first[name]["artifact_path"]], [], [], []
    for n, day in enumerate(days):
        x, labels, _ = rows_between(p, table, str(day.date()), str((day + pd.Timedelta(days=1)).date()))
        followed.extend(scores(p, paths[n], x))
        live.extend(scores(p, paths[max(0, n - 2)], x))
        truth.extend(labels)
        detail = go_on(p, name + ":1", "--as-of", str((day + pd.Timedelta(days=3)).date()))
        assert detail["continues"]["days"] == 1, detail["continues"]
        paths.append(detail["versions"][0]["artifact_path"])
    expect_metrics(metrics, np.array(truth), np.array(followed))
    expect_metrics(delayed, np.array(truth), np.array(live))
    assert lineage["continues"]["rows"] == len(truth)


def test_nothing_new(p):
    before = versions(p), runs(p)
    for version in ("champion", p.name + "-tree:latest"):
        text = run(p, "--continue", version, code=1)
        assert "nothing new for version" in text and "from 2024-03-15T00:00:00.000000Z on" in text, text
        assert "nothing_new" in go_on(p, version, code=1)
    assert (versions(p), runs(p)) == before, "something was registered"


def test_exported(p):
    for model in ("sgd", "tree", "ftrl"):
        out = os.path.join(p.dir, model + ".score")
        done(p, BINARY, "models", "export", p.name, "%s-%s" % (p.name, model), "--format", "score", "--out", out)
        with open(out, "rb") as f:
            assert f.read(12) == b"WEIRSCR1" + (3 if model == "tree" else 1).to_bytes(4, "little")


def test_refused(p):
    before = versions(p), runs(p)
    err = run(p, "--continue", p.name + "-logistic:1", code=2)
    assert "algorithm logistic cannot go on learning; those that can are sgd, ftrl, hoeffding_tree" in err, err
    assert "class_weight" in run(p, "--continue", p.name + "-balanced:1", code=2)
    assert "of which model is it the version? Say MODEL:1" in run(p, "--continue", "1", code=2)
    assert "77" in run(p, "--continue", p.name + "-sgd:77", code=2)
    assert "--use-case goes with" in run(p, "--now", "--continue", "champion", "--use-case", "default", code=2)
    assert "train anew" in run(p, "--continue", "champion", "--budget", "1m", code=2)
    changed = os.path.join(p.dir, "changed.json")
    with open(changed, "w") as f:
        spec = json.loads(json.dumps(p.spec))
        view = next(v for v in spec["views"] if v.get("from") != "labels")
        view["features"] = view["features"][:-1]
        spec["training"]["columns"] = [c for c in spec["training"]["columns"] if c != p.spec["views"][0]["features"][-1].get("name")]
        json.dump(spec, f)
    assert "other features" in (err := run(p, "--continue", "champion", path=changed, code=2)), err
    assert (versions(p), runs(p)) == before


def test_worker(p, expected):
    """By request: the same bytes, once. What is 'running' without a request is some command's, and left alone."""
    name = p.name + "-sgd"
    ((kept,),) = query("SELECT max(version) FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s' AND deleted_at IS NULL" % (p.name, name))
    done(p, BINARY, "models", "delete", p.name, name, "--version", str(kept))
    execute("INSERT INTO weir.runs (id, pipeline, status, request, code_version) VALUES ('run-of-%s', '%s', 'running', '{\"kind\": \"search\"}', 'x')" % (p.name, p.name))
    p.start("train")
    detail = json.loads(run(p, "--now", "--continue", "champion", "--output", "json"))
    (made,) = detail["detail"]["versions"]
    assert detail["status"] == "succeeded" and artifact(p, made["artifact_path"]) == expected and made["version"] == kept + 1, detail
    assert made["metrics"] == detail["detail"]["prequential"]
    ((found,),) = query("SELECT experiment FROM weir.experiment_runs WHERE run_id = '%s'" % detail["id"])
    assert found == "/%s/all/default" % p.name
    assert "nothing new for version %d" % made["version"] in run(p, "--now", "--continue", "champion", code=1)
    failed = json.loads(run(p, "--now", "--continue", p.name + "-logistic:1", "--output", "json", code=1))
    assert failed["status"] == "failed" and "cannot go on learning" in failed["detail"]["error"], failed
    assert query("SELECT status FROM weir.runs WHERE id = 'run-of-%s'" % p.name) == [("running",)]
    execute("DELETE FROM weir.runs WHERE id = 'run-of-%s'" % p.name)


def execute(sql):
    import psycopg2
    connection = psycopg2.connect(PG)
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
    connection.close()


def main():
    with Pipeline(online) as p:
        fill(p)
        first, window = trained(p, START)
        assert window["train_to"] == TRAINED_TO + "T00:00:00.000000Z", window
        table = table_of(p)
        artifacts = dict(test_two_steps_are_one(p, table, first))
        test_prequential(p, table, first)
        test_nothing_new(p)
        test_exported(p)
        test_refused(p)
        test_worker(p, artifacts[p.name + "-sgd"])


main()
