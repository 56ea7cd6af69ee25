"""The whole loop with outside clients: payments and labels in over Kafka, a model trained on request, predictions out, challenger and champion measured."""
import concurrent.futures
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

LABEL_DELAY_US = 2 * DAY_US


def with_preprocessing(spec):
    short_training(spec)
    spec["training"]["preprocessing"] = [{"impute": "median"}, {"outliers": "zscore", "columns": ["amount"], "threshold": 6, "action": "clip"}, {"scale": "robust"}]


def publish(p, payments, rows):
    out = producer()
    for row in rows:
        key = ("default/" + row["customer_id"]).encode()
        out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), key)
        out.produce(p.topic("labels"), p.encode(p.topic("labels"), payments.label(row, LABEL_DELAY_US)), key)
    assert out.flush(60) == 0


def check_prediction(p, payments, prediction, versions):
    """A prediction says who gave it, what it was made of, and how old that was."""
    row = payments.by_id[prediction["join_id"]]
    assert prediction["entity"] == row["customer_id"] and prediction["tenant"] == "default"
    assert prediction["event_time"] == row["tx_time"]
    assert prediction["digest"] == versions[prediction["model"]]["digest"] and prediction["version"] == versions[prediction["model"]]["version"]
    assert prediction["propensity"] == 0.5 and 0 <= prediction["score"] <= 1
    assert prediction["decision"] == (prediction["score"] >= 0.5)
    want = payments.all_expected[prediction["join_id"]]
    for name, value in want.items():
        assert same(prediction["features"][name], value), "%s of %s: %r, expected %r" % (name, prediction["join_id"], prediction["features"][name], value)
    assert prediction["features"]["amount"] == row["amount"]
    own = prediction["views"]["customer"]
    assert own["age_seconds"] == 0 and own["source_offset"] == prediction["source_offset"] and own["version"] > 0


def change(sql):
    import psycopg2
    connection = psycopg2.connect(PG)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql)
        assert cursor.rowcount == 1, sql
    connection.close()


def check_answers(p, payments):
    """What a model is given of a view that cannot answer for the payment's time: nulls, and what operators say of no records where there never were any. Returns how many payments."""
    last = payments.rows[-1]
    made = lambda i, days, terminal: dict(last, transaction_id="answer%d" % i, customer_id="answer%d" % i, terminal_id=terminal, us=last["us"] + days * DAY_US, tx_time=at(last["us"] + days * DAY_US))
    newest = made(0, 95, "0")
    out, name = producer(), "terminal:terminal_tx_count_30d"
    out.produce(p.topic("labels"), p.encode(p.topic("labels"), payments.label(newest, 0)), b"default/answer0")
    assert out.flush(60) == 0
    stamp = newest["tx_time"].strftime("%Y-%m-%dT%H:%M:%S")
    wait_for("the newest label of terminal 0", lambda: get_online(p, "run", [name], {"terminal_id": ["0"]})["terminal_tx_count_30d"][0][1].startswith(stamp), 30)
    asked = {"answer1": (made(1, 0, "0"), None), "answer2": (made(2, 95, "1"), None), "answer3": (made(3, 0, "never"), 0)}  # out of reach, expired, no record
    for row, _ in asked.values():
        out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), b"default/" + row["customer_id"].encode())
    assert out.flush(60) == 0
    topic = p.topic("predictions")
    found = lambda: {x["join_id"]: x for x in (p.decode(topic, m.value()) for m in read_all(topic)) if x["join_id"] in asked}
    for identity, prediction in wait_for("their predictions", lambda: (lambda f: len(f) == len(asked) and f)(found()), 60, 0.5).items():
        given = {k: v for k, v in prediction["features"].items() if k.startswith("terminal_")}
        assert given and set(given.values()) == {asked[identity][1]}, (identity, given)
        assert 0 <= prediction["score"] <= 1, prediction
    answers = {dict(labels)["outcome"]: v for (n, labels), v in p.metrics("run").items() if n == "weir_score_view_answers_total"}
    assert [answers[k] for k in ("out_of_reach", "expired")] == [1, 1] and answers["no_record"] >= 1 and answers["present"] > 100, answers
    return len(asked)


def check_champion_is_waited_for(p, payments):
    """While the champion that the aliases name cannot be loaded, payments wait; none goes unscored."""
    last, topic, out = payments.rows[-1], p.topic("predictions"), producer()
    models = os.path.join(p.dir, "objects", "models")
    p.kill("run", "0", signal.SIGTERM, 60)
    os.rename(models, models + "-away")
    p.start("run", wait=False)
    rows = [dict(last, transaction_id="waiting%d" % i, customer_id="waiting%d" % i, us=last["us"] + DAY_US, tx_time=at(last["us"] + DAY_US)) for i in range(40)]
    for row in rows:
        out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), ("default/" + row["customer_id"]).encode())
    assert out.flush(60) == 0
    wait_for("features of the payments that wait", lambda: sum(r["key"].startswith("default/waiting") for r in feature_records(p)) == len(rows), 60, 0.5)
    mine = lambda: collections.Counter(x["join_id"] for x in (p.decode(topic, m.value()) for m in read_all(topic)) if x["join_id"].startswith("waiting"))
    time.sleep(3)
    assert not mine(), mine()
    os.rename(models + "-away", models)
    wait_for("their predictions", lambda: len(mine()) == len(rows), 60, 0.5)
    assert set(mine().values()) == {1}, mine()


def check_parity(p, predictions, asked, parity_worker):
    """Every vector that was served is computed again from history; a record that is not what it was, or is missing, is noticed."""
    wait_for("predictions in the offline store", lambda: query('SELECT count(*) FROM "%s".predictions' % p.name)[0][0] == predictions, 60, 1)
    for view, records in (("customer", 12000 + asked), ("terminal", 12001)):
        wait_for("features in the offline store", lambda: query('SELECT count(*) FROM "%s".features_%s WHERE seq = version' % (p.name, view))[0][0] == records, 60, 1)
    result = parity(p, 0)
    assert result["vectors"] == 2 * predictions and result["mismatches"] == result["incomplete"] == result["other_definitions"] == 0, result
    where = "entity = (SELECT min(entity) FROM \"%s\".predictions) AND seq = 3" % p.name
    newest = query('SELECT max(event_time)::text FROM "%s".features_customer WHERE entity = (SELECT min(entity) FROM "%s".predictions)' % (p.name, p.name))[0][0]
    table = '"%s".features_customer' % p.name
    late = "event_time = '%s' AND entity = (SELECT min(entity) FROM \"%s\".predictions)" % (newest, p.name)
    amount = query("SELECT record_amount FROM %s WHERE %s" % (table, late))[0][0]
    change("UPDATE %s SET record_amount = record_amount + 0.01 WHERE %s" % (table, late))
    result = parity(p, 1)
    assert result["mismatches"] > 0 and result["differences"][0]["view"] == "customer", result
    change("UPDATE %s SET record_amount = %r WHERE %s" % (table, amount, late))
    parity(p, 0)
    change("DELETE FROM %s WHERE %s" % (table, where))
    result = parity(p, 1)
    assert result["incomplete"] > 0, result
    lost = result["incomplete"]
    subprocess.run([BINARY, "features", "compact", p.path], env=dict(os.environ, WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects")), cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    result = parity(p, 1)  # records are read from files; which terminal a payment was at stood in its record
    assert result["vectors"] == predictions - lost and result["mismatches"] == 0 and result["incomplete"] == predictions + lost, result
    totals = lambda name: sum(v for (n, _), v in p.metrics(parity_worker).items() if n == name)
    wait_for("samples of the parity worker", lambda: totals("weir_parity_vectors_total") > 0, 90, 1)
    print("parity: %d vectors equal, %d of them looked at by the worker" % (2 * predictions, totals("weir_parity_vectors_total")))


def main(workers=("run",), while_training=None):
    """workers: the processes that the pipeline runs as. while_training: called in a thread of its own when training is asked for."""
    running = lambda kind: kind if kind in workers else "run"
    payments = Payments(12000, seed=7, days=24)
    payments.by_id = {r["transaction_id"]: r for r in payments.rows}
    payments.all_expected = payments.expected()
    first = payments.rows[0]["us"] // DAY_US * DAY_US
    cut = next(i for i, r in enumerate(payments.rows) if r["us"] >= first + 14 * DAY_US)
    with Pipeline(with_preprocessing) as p:
        for worker in workers:
            p.start(worker)
        publish(p, payments, payments.rows[:cut])
        wait_for("features of the first payments", lambda: len(feature_records(p)) >= cut, 60, 0.5)
        time.sleep(2)
        disturbance = concurrent.futures.ThreadPoolExecutor().submit(while_training or (lambda _: None), p)
        run = train(p, at(first + 4 * DAY_US).strftime("%Y-%m-%d"))
        disturbance.result(60)
        versions = {v["name"]: v for v in run["detail"]["versions"]}
        assert len(versions) == 3, versions
        print("trained", ", ".join("%s v%d" % (n, v["version"]) for n, v in versions.items()))

        served = lambda: {dict(labels)["arm"] for (name, labels), v in p.metrics(running("score")).items() if name == "weir_score_model_info" and v == 1}
        wait_for("both arms to be served", lambda: served() == {"champion", "challenger"}, 30)
        publish(p, payments, payments.rows[cut:])
        topic = p.topic("predictions")
        records = wait_for("predictions of the rest", lambda: (lambda r: len(r) >= len(payments.rows) - cut and r)(read_all(topic)), 60, 0.5)
        predictions = [p.decode(topic, m.value()) for m in records]
        assert len({x["prediction_id"] for x in predictions}) == len(predictions) == len(payments.rows) - cut
        for prediction in predictions:
            check_prediction(p, payments, prediction, versions)
        arms = collections.Counter(x["arm"] for x in predictions)
        customers = {x["entity"]: x["arm"] for x in predictions}
        assert all(customers[x["entity"]] == x["arm"] for x in predictions), "a customer saw both arms"
        assert len(arms) == 2, arms
        print("predictions by arm", dict(arms))

        def evaluated():
            done = subprocess.run([BINARY, "models", "list", p.path, "--output", "json"], cwd=ROOT, capture_output=True, text=True)
            listed = json.loads(done.stdout) if done.returncode == 0 else []
            return listed if listed and all(v.get("metrics") for v in listed) else None

        for version in wait_for("metrics of the test days", evaluated, 60, 1):
            metrics = version["metrics"]
            print(version["model"], {k: round(v, 3) for k, v in metrics.items() if isinstance(v, float)})
            assert metrics["auc_roc"] > 0.8, "%s learnt nothing: %r" % (version["model"], metrics)
            for name in ("average_precision", "card_precision_5", "f1", "precision", "recall"):
                assert name in metrics, name

        joined = lambda: sum(v for (name, _), v in p.metrics(running("experiment")).items() if name == "weir_experiment_predictions_joined_total")
        wait_for("labels joined to all predictions", lambda: joined() == len(predictions), 60, 1)
        performance = [p.decode("weir.performance", m.value()) for m in read_all("weir.performance")]
        mine = [x for x in performance if x["pipeline"] == p.name]
        assert {x["arm"] for x in mine} == {"champion", "challenger"}, mine
        newest = {x["arm"]: x for x in mine}
        assert sum(x["rows"] for x in newest.values()) == len(predictions)
        check_online(p, payments, running("serve"))
        if "run" in workers:
            asked = check_answers(p, payments)
            check_parity(p, len(predictions) + asked, asked, "run")
            check_champion_is_waited_for(p, payments)
    print("ok: %d predictions, both arms measured" % len(predictions))


if __name__ == "__main__":
    main()
