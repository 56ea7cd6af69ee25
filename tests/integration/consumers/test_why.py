"""Everything can be answered: a prediction's model, inputs, contributions, training set and label; recorded predictions scored again; what was made from what; the audit log; a run made again."""
import math
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

LABEL_DELAY_US = 2 * DAY_US


def weir(p, *arguments, code=0):
    env = dict(os.environ, WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"), WEIR_STATE_DIR=os.path.join(p.dir, "state"))
    done = subprocess.run([BINARY, *arguments], env=env, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, "weir %s: exit %d, expected %d\n%s\n%s" % (" ".join(arguments), done.returncode, code, done.stdout, done.stderr)
    return done


def asked(p, *arguments, code=0):
    return json.loads(weir(p, *arguments, "--output", "json", code=code).stdout)


def publish(p, payments, rows):
    out = producer()
    for row in rows:
        key = ("default/" + row["customer_id"]).encode()
        out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), key)
        out.produce(p.topic("labels"), p.encode(p.topic("labels"), payments.label(row, LABEL_DELAY_US)), key)
    assert out.flush(60) == 0


def change(sql):
    import psycopg2
    connection = psycopg2.connect(PG)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql)
    connection.close()


def check_why(p, payments, prediction, version, schema_id):
    """What is told of a prediction is what its record, the registry and the payments say."""
    row = next(r for r in payments.rows if r["transaction_id"] == prediction["join_id"])
    why = asked(p, "why", prediction["prediction_id"], "--pipeline", p.path)
    said = why["prediction"]
    assert said["score"] == prediction["score"] and said["arm"] == prediction["arm"] and said["propensity"] == prediction["propensity"], said
    assert said["entity"] == row["customer_id"] and said["tenant"] == "default" and said["decision"] == prediction["decision"], said
    assert micros(datetime.datetime.fromisoformat(said["event_time"])) == row["us"], said
    assert why["source"]["topic"] == p.topic("events") and why["source"]["partition"] == prediction["source_partition"], why["source"]
    assert why["source"]["offset"] == prediction["source_offset"] and why["source"]["schema_id"] == schema_id, why["source"]
    views = {v["view"]: v for v in why["views"]}
    for name, read in prediction["views"].items():
        assert views[name]["found"] == (read["source_offset"] is not None), (name, views[name], read)
        assert views[name]["offset"] == read["source_offset"] and views[name]["version"] == read["version"] and views[name]["age_seconds"] == read["age_seconds"], name
    assert views["terminal"]["topic"] == p.topic("labels") and views["customer"]["topic"] == p.topic("events"), views
    inputs = {i["name"]: i for i in why["inputs"]}
    assert {n: i["value"] for n, i in inputs.items()} == prediction["features"], why["inputs"]
    assert inputs["amount"]["from"] == "event" and inputs["customer_tx_count_1d"]["from"] == "customer" and inputs["terminal_tx_count_7d"]["from"] == "terminal", inputs
    contributions = [i["contribution"] for i in why["inputs"]]
    assert [abs(c) for c in contributions] == sorted((abs(c) for c in contributions), reverse=True), contributions
    explained = why["explanation"]
    assert abs(explained["base"] + sum(contributions) - explained["sum"]) < 1e-9 * (1 + abs(explained["sum"])), explained
    expected = 1 / (1 + math.exp(-explained["sum"])) if explained["unit"] == "log odds" else explained["sum"]
    assert explained["unit"] in ("log odds", "score") and abs(expected - prediction["score"]) < 1e-5, (explained, prediction["score"])
    assert why["reproduced"] is True, why
    assert why["model"]["digest"] == version["digest"] and why["model"]["artifact"] == "loaded" and why["model"]["same_definitions"] is True, why["model"]
    training = why["training"]
    assert training["dataset_digest"] == version["dataset_digest"] and training["run_id"] == version["run_id"], training
    assert training["query"] and training["rows"] > 0 and training["code_version"] and training["window"]["train_from"], training
    assert why["label"]["value"] == str(row["fraud"]).lower(), why["label"]
    text = weir(p, "why", prediction["prediction_id"], "--pipeline", p.path).stdout
    assert "bit for bit" in text and version["digest"] in text and "customer_tx_count_1d" in text, text


def check_unknown(p, prediction):
    partition, offset = prediction["source_partition"], 10 ** 9
    done = weir(p, "why", "%s-%d-%d" % (p.name, partition, offset), "--pipeline", p.path, code=1)
    assert "no prediction" in done.stderr and "store worker" in done.stderr, done.stderr
    weir(p, "why", "nonsense", code=2)


def check_replay(p, payments, predictions, champion, challenger):
    """Recorded inputs give the recorded bits again; one changed bit is found; another version is compared with what was said."""
    same = asked(p, "replay-predictions", p.path)
    assert same["predictions"] == same["scored"] == same["equal"] == len(predictions) and same["mismatches"] == 0, same
    assert {v["digest"]: v["predictions"] for v in same["versions"]} == dict(collections.Counter(x["digest"] for x in predictions)), same
    some = sorted(x["source_offset"] for x in predictions if x["source_partition"] == 0)[5:25]
    part = asked(p, "replay-predictions", p.path, "--offsets", "0:%d-%d" % (some[0], some[-1]))
    assert part["predictions"] == part["equal"] == len(some), part
    assert asked(p, "replay-predictions", p.path, "--offsets", "0:%d-%d" % (10 ** 9, 10 ** 9), code=1)["predictions"] == 0
    one = predictions[17]["prediction_id"]
    table = '"%s".predictions' % p.name
    score = query("SELECT score FROM %s WHERE prediction_id = '%s'" % (table, one))[0][0]
    change("UPDATE %s SET score = %r WHERE prediction_id = '%s'" % (table, math.nextafter(score, 2), one))
    found = asked(p, "replay-predictions", p.path, code=1)
    assert found["mismatches"] == 1 and found["differences"][0] == {"prediction": one, "recorded": math.nextafter(score, 2), "again": score}, found
    assert asked(p, "why", one, "--pipeline", p.path)["reproduced"] is False
    change("UPDATE %s SET score = %r WHERE prediction_id = '%s'" % (table, score, one))
    for name in (champion, challenger):
        other = asked(p, "replay-predictions", p.path, "--model", name)
        mine = sum(x["model"] == name for x in predictions)
        assert other["scored"] == len(predictions) and other["labelled"] == other["measured"] == len(predictions), other
        assert mine <= other["equal"] and 0 <= other["decisions_changed"] <= len(predictions) - mine, (mine, other)
        fraud = {r["transaction_id"]: r["fraud"] for r in payments.rows}
        frauds = sum(fraud[x["join_id"]] for x in predictions if x["model"] == name)
        assert abs(other["outcome"]["snips"]["value"] - frauds / mine) < 1e-9 and abs(other["outcome"]["ips"]["value"] - frauds / 0.5 / len(predictions)) < 1e-9, other["outcome"]
        assert other["metrics"]["again"]["auc_roc"] > 0.6 and other["metrics"]["recorded"]["auc_roc"] > 0.6, other
    by_alias = asked(p, "replay-predictions", p.path, "--model", "champion")
    assert by_alias["model"] == champion and by_alias["max_absolute_difference"] > 0, by_alias


def check_deleted(p, prediction, version):
    """A prediction whose model is gone still tells the rest."""
    path = os.path.join(p.dir, "objects", version["artifact_path"])
    os.rename(path, path + ".away")
    why = asked(p, "why", prediction["prediction_id"], "--pipeline", p.path)
    assert why["model"]["artifact"] != "loaded" and why["explanation"]["none"] and why["reproduced"] is None, why
    assert {i["name"]: i["value"] for i in why["inputs"]} == {k.replace(".", "_"): v for k, v in prediction["features"].items()}, why["inputs"]
    assert why["training"]["dataset_digest"] == version["dataset_digest"], why["training"]
    again = asked(p, "replay-predictions", p.path, code=1)
    assert again["scored"] < again["predictions"] and any(v["missing"] for v in again["versions"]), again
    os.rename(path + ".away", path)


def reach(graph, start, forward):
    """Kinds of the nodes that can be reached along the edges."""
    found, new = set(), {start}
    while new:
        found |= new
        new = {e["to" if forward else "from"] for e in graph["edges"] if e["from" if forward else "to"] in found} - found
    return {n["kind"] for n in graph["nodes"] if n["id"] in found}


def check_lineage(p, run, versions, predictions):
    """The graph leads from topics to predictions and back, numbers in it are those of the run; a picture has every node."""
    import xml.etree.ElementTree
    kinds = {"data", "features", "dataset", "run", "version", "deployment", "predictions"}
    graph = asked(p, "lineage", "get", p.path)
    nodes = {n["id"]: n for n in graph["nodes"]}
    assert all(e["from"] in nodes and e["to"] in nodes for e in graph["edges"]), graph["edges"]
    assert reach(graph, "data:" + p.topic("events"), True) == kinds, graph["edges"]
    for node in graph["nodes"]:
        if node["kind"] == "predictions":
            assert reach(graph, node["id"], False) == kinds
            assert node["detail"]["predictions"] == sum(x["arm"] == node["detail"]["arm"] for x in predictions), node
            assert sum(d["predictions"] for d in node["detail"]["days"]) == node["detail"]["predictions"], node
    dataset = nodes["dataset:" + versions[0]["dataset_digest"]]["detail"]
    assert dataset["rows"] == run["detail"]["dataset"]["rows"] and dataset["query"] == run["detail"]["dataset"]["query"], dataset
    events = nodes["data:" + p.topic("events")]["detail"]["training_sets"][0]
    assert sum(x["events"] for x in events["partitions"]) == dataset["rows"], (events, dataset["rows"])
    assert sorted(n for n in nodes if n.startswith("deployment:")) and nodes["run:" + run["id"]]["detail"]["code_version"], nodes
    assert len([n for n in asked(p, "lineage", "get", p.path, "--run", run["id"])["nodes"] if n["kind"] == "version"]) == len(versions)
    one = predictions[0]
    of_one = [n["id"] for n in asked(p, "lineage", "get", p.path, "--prediction", one["prediction_id"])["nodes"] if n["kind"] == "version"]
    assert of_one == ["version:%s/%d" % (one["model"], one["version"])], of_one
    weir(p, "lineage", "get", p.path, "--version", "nobody/1", code=1)
    weir(p, "lineage", "get", p.path, "--version", "nobody", code=2)
    picture = os.path.join(p.dir, "lineage.svg")
    told = weir(p, "lineage", "visualize", p.path, "--out", picture).stdout
    texts = {t.text for t in xml.etree.ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}text")}
    assert kinds <= texts and "customer" in texts and "champion" in texts, texts
    assert "← run " + run["id"] in told, told


def check_events(p, run, versions):
    """Events of OpenLineage 2-0-2: what it requires is there, both ends of a run are told, and telling it again says the same."""
    import uuid
    ours = lambda: [r for r in (p.decode("weir.lineage", m.value()) for m in read_all("weir.lineage")) if r["pipeline"] == p.name]
    wait_for("what the train worker tells", lambda: {r["event_id"] for r in ours()} == {run["id"] + "-START", run["id"] + "-COMPLETE"}, 60, 1)
    for _ in range(2):
        weir(p, "lineage", "track", p.path)
    records = ours()
    by_id = {}
    for record in records:
        assert by_id.setdefault(record["event_id"], record) == record, "told differently: %r" % record
    assert len(records) == 2 + 2 * len(by_id) and len(by_id) == 2 + 2 * 2, by_id.keys()  # a run; two aliases that moved
    for record in by_id.values():
        event = json.loads(record["event"])
        assert event["eventType"] in ("START", "COMPLETE") and event["producer"].startswith("urn:weir:") and event["schemaURL"].endswith("OpenLineage.json#/$defs/RunEvent")
        assert micros(datetime.datetime.fromisoformat(event["eventTime"])) == micros(record["at"]) and event["job"]["namespace"] == "weir" and event["job"]["name"] == record["job"]
        assert str(uuid.UUID(event["run"]["runId"])) == event["run"]["runId"]
        facets = [f for part in (event["run"], event["job"], *event["inputs"], *event["outputs"]) for f in part["facets"].values()]
        assert facets and all(f["_producer"] and f["_schemaURL"] for f in facets), facets
        assert all(d["namespace"] and d["name"] for d in event["inputs"] + event["outputs"])
    done = json.loads(by_id[run["id"] + "-COMPLETE"]["event"])
    assert {d["name"] for d in done["inputs"]} == {p.topic("events"), p.topic("labels"), p.name + ".training_set"}, done["inputs"]
    assert {d["facets"]["version"]["datasetVersion"] for d in done["outputs"]} == {v["digest"] for v in versions}, done["outputs"]
    assert len({json.loads(r["event"])["run"]["runId"] for r in by_id.values()}) == 3


def check_reproduced(p, run, versions):
    """The run again from its record: the same digests; not when a row of its training days is another one, or the definitions are."""
    made = asked(p, "lineage", "reproduce", p.path, "--run", run["id"])
    assert made["equal"] and made["dataset"]["equal"] and {v["again"] for v in made["versions"]} == {v["digest"] for v in versions}, made
    table = '"%s".features_customer' % p.name
    where = "event_time >= '%s' AND event_time < '%s'" % (run["detail"]["window"]["train_from"], run["detail"]["window"]["train_to"])
    row = "ctid = (SELECT ctid FROM %s WHERE %s LIMIT 1) AND tableoid = (SELECT tableoid FROM %s WHERE %s LIMIT 1)" % (table, where, table, where)
    offset, amount = query("SELECT source_partition || '-' || source_offset, record_amount FROM %s WHERE %s" % (table, row))[0]
    one = "source_partition || '-' || source_offset = '%s'" % offset
    change("UPDATE %s SET record_amount = record_amount + 1 WHERE %s" % (table, one))
    made = asked(p, "lineage", "reproduce", p.path, "--run", run["id"], code=1)
    assert not made["dataset"]["equal"] and not any(v["equal"] for v in made["versions"]), made
    change("UPDATE %s SET record_amount = %r WHERE %s" % (table, amount, one))
    assert asked(p, "lineage", "reproduce", p.path, "--run", run["id"])["equal"]
    weir(p, "lineage", "reproduce", p.path, "--run", "run-that-never-was", code=1)


def check_audit(p, run, versions):
    """Every change has a row; a row that a superuser changes behind the triggers is found."""
    rows = asked(p, "audit", "list", p.name, "--limit", "1000")
    actions = collections.Counter(r["action"] for r in rows)
    assert actions["version.added"] == len(versions) and actions["run.added"] == 1 and actions["alias.added"] == 2, actions
    added = {r["subject"]: r["detail"] for r in rows if r["action"] == "version.added"}
    assert {d["digest"] for d in added.values()} == {v["digest"] for v in versions}, added
    assert next(r for r in rows if r["action"] == "alias.added")["actor"] == run["id"], rows
    whole = asked(p, "audit", "verify", p.name)
    assert whole["whole"] and whole["of_pipeline"] == len(rows), whole
    for sql in ("UPDATE weir.audit_log SET actor = 'nobody'", "DELETE FROM weir.audit_log", "TRUNCATE weir.audit_log"):
        try:
            change(sql)
            raise SystemError("%s was not refused" % sql)
        except SystemError:
            raise
        except Exception as refused:
            assert "only grows" in str(refused), refused
    row = rows[1]
    behind = "ALTER TABLE weir.audit_log DISABLE TRIGGER ALL; %s; ALTER TABLE weir.audit_log ENABLE ALWAYS TRIGGER refuse"
    change(behind % ("UPDATE weir.audit_log SET actor = 'nobody' WHERE seq = %d" % row["seq"]))
    broken = asked(p, "audit", "verify", code=1)
    assert broken["broken_seq"] == row["seq"], broken
    change(behind % ("UPDATE weir.audit_log SET actor = '%s' WHERE seq = %d" % (row["actor"], row["seq"])))
    assert asked(p, "audit", "verify")["whole"]


def main():
    payments = Payments(6000, seed=11, days=14)
    first = payments.rows[0]["us"] // DAY_US * DAY_US
    cut = next(i for i, r in enumerate(payments.rows) if r["us"] >= first + 10 * DAY_US)
    with Pipeline(short_training) as p:
        p.start("run")
        publish(p, payments, payments.rows[:cut])
        wait_for("features of the first payments", lambda: len(feature_records(p)) >= cut, 120, 0.5)
        wait_for("labels in the store", lambda: query('SELECT count(*) FROM "%s".labels' % p.name)[0][0] == cut, 60, 0.5)
        run = train(p, at(first + 2 * DAY_US).strftime("%Y-%m-%d"))
        served = lambda: {dict(labels)["arm"] for (name, labels), v in p.metrics("run").items() if name == "weir_score_model_info" and v == 1}
        wait_for("both arms to be served", lambda: served() == {"champion", "challenger"}, 60)
        publish(p, payments, payments.rows[cut:])
        count, topic = len(payments.rows) - cut, p.topic("predictions")
        wait_for("predictions in the offline store", lambda: query('SELECT count(*) FROM "%s".predictions' % p.name)[0][0] == count, 120, 0.5)
        wait_for("labels in the offline store", lambda: query('SELECT count(*) FROM "%s".labels' % p.name)[0][0] == len(payments.rows), 60, 0.5)
        predictions = [p.decode(topic, m.value()) for m in read_all(topic)]
        versions = asked(p, "models", "list", p.path)
        by_digest = {v["digest"]: v for v in versions}
        schema_id = p.registry.get_latest_version(p.topic("events") + "-value").schema_id
        for arm in ("champion", "challenger"):
            mine = [x for x in predictions if x["arm"] == arm]
            assert mine, "no predictions of the %s" % arm
            for prediction in (mine[0], mine[-1]):
                check_why(p, payments, prediction, by_digest[prediction["digest"]], schema_id)
        check_unknown(p, predictions[0])
        models = {x["arm"]: x["model"] for x in predictions}
        check_replay(p, payments, predictions, models["champion"], models["challenger"])
        check_deleted(p, predictions[0], by_digest[predictions[0]["digest"]])
        check_lineage(p, run, versions, predictions)
        check_events(p, run, versions)
        check_reproduced(p, run, versions)
        check_audit(p, run, versions)
    kept = json.loads(subprocess.run([BINARY, "audit", "list", p.name, "--limit", "1000", "--output", "json"], cwd=ROOT, capture_output=True, check=True).stdout)
    actions = collections.Counter(r["action"] for r in kept)
    assert actions["pipeline.reset"] == 1, actions
    assert actions["version.removed"] == actions["version.added"] == len(versions) and actions["run.removed"] == 1, actions
    print("ok: %d predictions told and scored again" % count)


if __name__ == "__main__":
    main()
