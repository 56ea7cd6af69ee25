"""Feast's own client against `weir serve`: an entity, feature views as the fraud pipeline declares them, and an online store of type "remote" whose path is the serve worker's.

    ./run peers feast-remote

Payments and labels go in through FeatureStore.push and write_to_online_store; get_online_features must give what the API gives and what a computation of its own gives; then
the same with tokens (WEIR_HTTP_AUTH=token), which Feast sends as its OIDC client does."""
import os
import subprocess
import sys
import tempfile
import urllib.request

os.environ["FEAST_USAGE"] = os.environ["FEAST_TELEMETRY"] = "False"
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from weirtest import *  # noqa: E402,F403

import pandas as pd  # noqa: E402
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType  # noqa: E402
from feast.repo_config import RepoConfig  # noqa: E402
from feast.types import Bool, Float64, String, UnixTimestamp  # noqa: E402

COUNTS = [f"customer_tx_count_{d}d" for d in (1, 7, 30)]
MEANS = [f"customer_amount_mean_{d}d" for d in (1, 7, 30)]
CUSTOMER = ["tx_during_weekend", "tx_during_night"] + COUNTS + MEANS
TERMINAL = [f"terminal_{what}_{d}d" for d in (1, 7, 30) for what in ("tx_count", "fraud_rate")]


def api(port, body, token=None):
    headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + token} if token else {})}
    request = urllib.request.Request("http://127.0.0.1:%d/get-online-features" % port, data=json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())


def open_store(folder, port, token=None):
    """A feature store whose registry is a file here and whose online store is Weir."""
    source = os.path.join(folder, "none.parquet")
    pd.DataFrame({"customer_id": ["0"], "terminal_id": ["0"], "event_timestamp": [pd.Timestamp(0, tz="UTC")]}).to_parquet(source)
    auth = {"auth": {"type": "oidc", "token": token}} if token else {}
    store = FeatureStore(config=RepoConfig(project="fraud", provider="local", registry=os.path.join(folder, "registry.db"), offline_store={"type": "file"},
                                           online_store={"type": "remote", "path": "http://127.0.0.1:%d" % port}, entity_key_serialization_version=3, **auth))
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    terminal = Entity(name="terminal", join_keys=["terminal_id"], value_type=ValueType.STRING)
    batch = FileSource(name="batch", path=source, timestamp_field="event_timestamp")
    events, labels = PushSource(name="payments", batch_source=batch), PushSource(name="frauds", batch_source=batch)
    payment = [Field(name=n, dtype=String) for n in ("tenant", "transaction_id", "terminal_id")]
    views = [
        FeatureView(name="customer", entities=[customer], schema=[Field(name=f, dtype=Float64) for f in CUSTOMER], source=batch),
        FeatureView(name="terminal", entities=[terminal], schema=[Field(name=f, dtype=Float64) for f in TERMINAL], source=batch),
        FeatureView(name="events", entities=[customer], schema=payment + [Field(name="amount", dtype=Float64)], source=events),
        FeatureView(name="labels", entities=[customer], schema=payment + [Field(name="fraud", dtype=Bool), Field(name="labelled_at", dtype=String)], source=labels),
    ]
    store.apply([customer, terminal, batch, events, labels, *views, FeatureService(name="fraud", features=views[:2])])
    return store


def frame(rows, columns):
    """Rows as Feast's users push them: the event time is event_timestamp."""
    out = pd.DataFrame([{c: r[c] for c in columns} for r in rows])
    out["event_timestamp"] = pd.to_datetime([r["us"] for r in rows], unit="us", utc=True)
    return out


def send(store, payments):
    """The first half by push, the second by write_to_online_store; labels by push."""
    columns, rows = ("tenant", "transaction_id", "customer_id", "terminal_id", "amount"), payments.rows
    store.push("payments", frame(rows[:len(rows) // 2], columns))
    store.write_to_online_store("events", frame(rows[len(rows) // 2:], columns))
    labels = [dict(r, labelled_at=at(r["us"] + 7 * DAY_US).isoformat()) for r in rows]
    store.push("frauds", frame(labels, ("tenant", "transaction_id", "customer_id", "terminal_id", "fraud", "labelled_at")))


def newest(payments):
    """What each customer's features are as of the newest payment."""
    expected = payments.expected()
    return {row["customer_id"]: expected[row["transaction_id"]] for row in payments.rows}


def newest_of_terminals(payments):
    """As of each terminal's newest payment: labels of the windows that ended seven days before."""
    by_terminal = collections.defaultdict(list)
    for row in payments.rows:
        by_terminal[row["terminal_id"]].append(row)
    out = {}
    for terminal, rows in by_terminal.items():
        end, values = rows[-1]["us"] - 7 * DAY_US, {}
        for days in (1, 7, 30):
            inside = [r["fraud"] for r in rows if end - days * DAY_US < r["us"] <= end]
            values["terminal_tx_count_%dd" % days] = float(len(inside))
            values["terminal_fraud_rate_%dd" % days] = sum(inside) / len(inside) if inside else 0.0
        out[terminal] = values
    return out


def check_values(store, port, view, key, names, expected):
    """One call with every entity and one that is unknown, by both forms of names; against the computation and against the API's own answer."""
    ids = sorted(expected) + ["nobody"]
    features = ["%s:%s" % (view, n) for n in names]
    for full in (False, True):
        got = store.get_online_features(features=features, entity_rows=[{key: i} for i in ids], full_feature_names=full)
        values, prefix = got.to_dict(), view + "__" if full else ""
        assert values[key] == ids and set(values) == {key, *(prefix + n for n in names)}, list(values)
        plain = api(port, {"features": features, "entities": {key: ids}, "full_feature_names": full})
        for name in names:
            column = values[prefix + name]
            assert column[-1] is None, "an unknown entity has %s = %r" % (name, column[-1])
            result = plain["results"][plain["metadata"]["feature_names"].index(prefix + name)]
            assert result["values"] == column and result["statuses"] == ["PRESENT"] * (len(ids) - 1) + ["NOT_FOUND"], name
            for i, value in zip(ids[:-1], column):
                assert isinstance(value, float) and same(value, expected[i][name]), "%s of %s: %r, expected %r" % (name, i, value, expected[i][name])
    table = got.to_df()
    assert len(table) == len(ids) and all(table[prefix + n].dtype == "float64" for n in names), table.dtypes
    return len(expected) * len(names)


def wait_for_all(port, payments):
    """Until the newest payment and label of each entity can be read."""
    for view, key in (("customer", "customer_id"), ("terminal", "terminal_id")):
        last = {row[key]: row["us"] for row in payments.rows}
        names = CUSTOMER if view == "customer" else TERMINAL
        body = {"features": ["%s:%s" % (view, names[2])], "entities": {key: sorted(last)}}

        def there():
            times = api(port, body)["results"][1]["event_timestamps"]
            return all(t == at(last[i]).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for i, t in zip(sorted(last), times))

        wait_for("all %ss to be read" % view, there, 60)


def fails(what, call, *words):
    try:
        call()
    except Exception as error:  # Feast wraps what the server says in whatever it likes
        missing = [w for w in words if w not in str(error)]
        assert not missing, "%s: %r does not say %r" % (what, str(error), missing)
        return
    raise AssertionError(what + ": it was not refused")


def refusals(store):
    fails("writing features that are computed", lambda: store.write_to_online_store("customer", frame([dict({n: 0.0 for n in CUSTOMER}, customer_id="1", us=0)], ["customer_id"] + CUSTOMER)),
          "customer", "computed from the events")
    bad = {"tenant": "default", "transaction_id": "bad", "customer_id": "1", "terminal_id": "1", "amount": -1.0, "us": 1_700_000_000_000_000}
    fails("a negative amount", lambda: store.write_to_online_store("events", frame([bad], ("tenant", "transaction_id", "customer_id", "terminal_id", "amount"))), "amount")


def check_service(store, payments, expected):
    """A feature service of the pipeline's name: here the features by list, for there is no model to be served."""
    row = payments.rows[-1]
    both = ["customer:" + n for n in CUSTOMER] + ["terminal:" + n for n in TERMINAL]
    got = store.get_online_features(features=both, entity_rows=[{"customer_id": row["customer_id"], "terminal_id": row["terminal_id"]}]).to_dict()
    assert all(same(got[n][0], expected[row["customer_id"]][n]) for n in CUSTOMER) and all(got[n][0] is not None for n in TERMINAL)


def weir(pipeline, *arguments):
    return subprocess.run([BINARY, *arguments], check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def with_tokens(pipeline, payments, expected):
    """A second serve worker that wants tokens: none is refused, a reader's reads and may not push, a writer's pushes."""
    os.environ["WEIR_HTTP_AUTH"] = "token"
    try:
        port = pipeline.start("serve", instance="tokens").port
    finally:
        del os.environ["WEIR_HTTP_AUTH"]
    reader, writer = weir(pipeline, "tenants", "token", "*"), weir(pipeline, "tenants", "token", "*", "--access", "write")
    row = [{"customer_id": payments.rows[-1]["customer_id"]}]
    time.sleep(6)  # tokens are read again every five seconds
    with tempfile.TemporaryDirectory() as folder:
        fails("no token", lambda: open_store(folder, port).get_online_features(features=["customer:" + COUNTS[0]], entity_rows=row), "401")
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder, port, reader)
        got = store.get_online_features(features=["customer:" + COUNTS[2]], entity_rows=row).to_dict()
        assert same(got[COUNTS[2]][0], expected[row[0]["customer_id"]][COUNTS[2]]), got
        one = frame([dict(payments.rows[-1], transaction_id="again")], ("tenant", "transaction_id", "customer_id", "terminal_id", "amount"))
        fails("pushing with a reader's token", lambda: store.push("payments", one), "403")
    with tempfile.TemporaryDirectory() as folder:
        open_store(folder, port, writer).push("payments", one)


def main():
    payments = Payments(1500, seed=8)
    with Pipeline() as pipeline, tempfile.TemporaryDirectory() as folder:
        pipeline.start("ingest")
        port = pipeline.start("serve").port
        store = open_store(folder, port)
        send(store, payments)
        wait_for_all(port, payments)
        expected = newest(payments)
        values = check_values(store, port, "customer", "customer_id", CUSTOMER, expected)
        values += check_values(store, port, "terminal", "terminal_id", TERMINAL, newest_of_terminals(payments))
        check_service(store, payments, expected)
        refusals(store)
        with_tokens(pipeline, payments, expected)
    print("feast-remote: %d payments and labels pushed, %d values read by Feast's client equal the API's and a computation of their own; tokens honoured" % (len(payments.rows), values))


if __name__ == "__main__":
    main()
