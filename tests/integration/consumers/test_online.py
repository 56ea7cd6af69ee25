"""Online reads through `weir serve`: values as of the newest record (stored) and as of a time (computed from the state) are those of a computation of its own; views read at their
events, ttl, hidden features, times out of reach, 10 000 keys in one call, `weir features get`; the same after the replica was made anew from the changelog."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from weirtest import *  # noqa: E402,F403

DAY = datetime.timedelta(days=1)


def views(spec):
    """The customer view as it is, with a ttl of 30 days and a hidden feature; and one that is read at its events. A lateness of a day."""
    customer = spec["views"][0]
    customer["ttl"] = "30d"
    customer["features"] += [{"name": "hidden_sum", "agg": "sum", "of": "amount", "window": "7d", "hidden": True},
                             {"name": "late_mean", "agg": "mean", "of": "amount", "window": "1d", "delay": "20d"}]
    at_events = {"name": "visits", "entity": ["customer_id"], "from": "events", "at": "event", "features": [{"name": "visits_1d", "agg": "count", "window": "1d"}]}
    spec["views"] = [customer, at_events]
    for section in ("training", "rollout", "serving"):
        spec.pop(section, None)


def ask(port, features, customers, status=200, **more):
    body = json.dumps({"features": features, "entities": {"customer_id": customers}, **more}).encode()
    request = urllib.request.Request("http://127.0.0.1:%d/get-online-features" % port, data=body)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            found, answer = response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        found, answer = error.code, json.loads(error.read())
    assert found == status, (found, answer)
    return answer if status != 200 else {n: list(zip(r["values"], r["statuses"], r["event_timestamps"])) for n, r in zip(answer["metadata"]["feature_names"], answer["results"])}


def text(us):
    return at(us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def send(pipeline, payments, rows):
    out, topic = producer(), pipeline.topic("events")
    for row in rows:
        out.produce(topic, key=("default/" + row["customer_id"]).encode(), value=pipeline.encode(topic, payments.event(row)))
    out.flush()


def check_newest(port, payments):
    """As of each customer's newest payment, whatever came last. The views have topics of their own and are not in step, and a payment that came late changes values of newer ones: what is
    awaited are the values."""
    expected, last = payments.expected(), {}
    for row in payments.rows:
        last[row["customer_id"]] = row
    ids = sorted(last)
    want = {i: dict(expected[last[i]["transaction_id"]], visits_1d=expected[last[i]["transaction_id"]]["customer_tx_count_1d"]) for i in ids}
    names = sorted(want[ids[0]])

    def difference(how):
        answer = ask(port, names, ids, **how)
        for name in names:
            for i, (value, status, time_text) in zip(ids, answer[name]):
                if not (same(value, want[i][name]) and status == "PRESENT" and time_text == text(last[i]["us"])):
                    return name, i, value, status, time_text, "expected", want[i][name], text(last[i]["us"])
        return None

    wait_for_none("the newest payments", lambda: difference({}), 60)
    found = difference({"event_timestamp": [text(last[i]["us"]) for i in ids]})
    assert not found, found
    return last


def check_times(port, payments, last):
    """A day later the window of a day is empty, but not where values are those of the event; then the ttl; then what lies before everything."""
    who, row = next(iter(last.items()))
    mine = [r for r in payments.rows if r["customer_id"] == who]
    names = ["customer_tx_count_1d", "customer_amount_mean_1d", "visits_1d"]
    count = payments.expected()[row["transaction_id"]]["customer_tx_count_1d"]
    cases = [
        ("a day later", row["us"] + DAY_US, [(0.0, "PRESENT"), (None, "NULL_VALUE"), (count, "PRESENT")]),
        ("the last moment of the ttl", row["us"] + 30 * DAY_US, [(0.0, "PRESENT"), (None, "NULL_VALUE"), (count, "PRESENT")]),
        ("beyond the ttl", row["us"] + 30 * DAY_US + 1, [(None, "OUTSIDE_MAX_AGE")] * 2 + [(count, "PRESENT")]),
        ("before the first payment", mine[0]["us"] - 1, [(None, "NOT_FOUND")] * 2 + [(None, "INVALID")]),  # the windows of visits are short, so its first records are gone
    ]
    for what, us, want in cases:
        answer = ask(port, names, [who], event_timestamp=text(us))
        assert [answer[n][0][:2] for n in names] == want, (what, answer)
    assert ask(port, names[:1], [who], event_timestamp="now")[names[0]][0][1] == "OUTSIDE_MAX_AGE"
    assert ask(port, ["customer:late_mean"], [who], event_timestamp=text(mine[0]["us"]))["late_mean"][0][1] == "NULL_VALUE"


def check_many(port, last):
    """10 000 keys, most of them unknown, in one call; one more is too many."""
    ids = [str(i) for i in range(10000)]
    answer = ask(port, ["customer_tx_count_30d"], ids)["customer_tx_count_30d"]
    assert [s == "PRESENT" for _, s, _ in answer] == [i in last for i in ids] and {s for _, s, _ in answer} == {"PRESENT", "NOT_FOUND"}
    assert "10000" in ask(port, ["customer_tx_count_30d"], ids + ["x"], status=400)["error"]


def check_command(pipeline, port, last):
    who, other = sorted(last)[:2]
    base = [BINARY, "features", "get", pipeline.path, "--entities", "customer_id=%s,%s,nobody" % (who, other), "--url", "http://127.0.0.1:%d" % port]
    rows = json.loads(subprocess.run(base + ["--output", "json", "--features", "visits_1d"], check=True, capture_output=True, text=True, cwd=ROOT).stdout)
    answer = ask(port, ["visits_1d"], [who, other, "nobody"])["visits_1d"]
    assert [(r["customer_id"], r["feature"], r["value"], r["status"]) for r in rows] == [(i, "visits_1d", *a[:2]) for i, a in zip((who, other, "nobody"), answer)], rows
    assert "event_time" not in rows[2] and rows[0]["event_time"] == answer[0][2]
    table = subprocess.run(base, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert "customer_amount_mean_30d" in table and "NOT_FOUND" in table and "hidden_sum" not in table
    wrong = subprocess.run(base[:-1] + ["http://127.0.0.1:%d" % free_port()], capture_output=True, text=True, cwd=ROOT)
    assert wrong.returncode == 3 and "/get-online-features" in wrong.stderr, wrong
    unnamed = subprocess.run(base[:5] + ["596", *base[6:]], capture_output=True, text=True, cwd=ROOT)
    assert unnamed.returncode == 2 and "expected column=value" in unnamed.stderr, unnamed


def check_out_of_reach(pipeline, port, payments, last):
    """A payment three months later moves the tail: what was asked before lies further back than the state reaches, and says so."""
    who = sorted(last)[0]
    later = dict(last[who], transaction_id="later", us=last[who]["us"] + 90 * DAY_US, tx_time=last[who]["tx_time"] + 90 * DAY)
    send(pipeline, payments, [later])
    for view, name in (("visits", "visits_1d"), ("customer", "customer_tx_count_30d")):
        wait_for("the later payment in view " + view, lambda: ask(port, [name], [who])[name][0][2] == text(later["us"]), 60)
    answer = ask(port, ["customer_tx_count_1d"], [who], event_timestamp=text(last[who]["us"]))
    assert answer["customer_tx_count_1d"][0][:2] == (None, "INVALID"), answer
    assert ask(port, ["customer_tx_count_30d"], [who])["customer_tx_count_30d"][0][:2] == (1.0, "PRESENT")


def main():
    payments = Payments(1200, seed=5, days=12)
    order = random.Random(2)
    with Pipeline(views) as pipeline:
        pipeline.start("ingest")
        # Within the allowed lateness of a day payments come in any order.
        send(pipeline, payments, sorted(payments.rows, key=lambda r: r["us"] + order.randrange(DAY_US // 2)))
        port = pipeline.start("serve").port
        last = check_newest(port, payments)
        check_times(port, payments, last)
        check_many(port, last)
        for name in ("customer:hidden_sum", "hidden_sum"):
            assert "hidden_sum" in ask(port, [name], ["1"], status=404)["error"]
        check_command(pipeline, port, last)
        # Snapshots are in the changelog once ingest has ended; a replica that begins with them has the same.
        pipeline.kill("ingest", sig=signal.SIGTERM)
        check_newest(pipeline.start("serve", instance="1").port, payments)
        pipeline.start("ingest")
        check_out_of_reach(pipeline, port, payments, last)


if __name__ == "__main__":
    main()
