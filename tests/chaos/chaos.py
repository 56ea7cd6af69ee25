"""Payments flow while workers are killed, stopped, added and removed, and the broker and the database go away; at the end every value equals a recomputation from the log.

    ./run chaos --minutes N --seed S [--rate R]

One real second is one hour of event time; some days of it come before, at once, and a champion and a challenger are trained on them, which score everything from then on. Part of the records comes out of order (within allowed_lateness), far too late, under a wrong key or none, or is no payment at all.
What is checked at the end, over all records that were sent:
  - each is either accepted (one value in the features topic and one row in the offline store, for each view) or in the dead letters, never both, never neither;
  - one that is not far too late and not damaged is accepted;
  - of each source the newest version equals, bit for bit, what a single thread computes from the accepted records, in the topic and in the offline store;
  - arrival numbers of an entity run 1, 2, 3, ... in the order of the topic;
  - the online store gives the newest values of every entity;
  - each accepted payment has exactly one prediction, and every vector that was served equals, bit for bit, what `weir check --parity` computes from history."""
import argparse
import bisect
import collections
import io
import os
import random
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from weirtest import *  # noqa: E402,F403

import fastavro  # noqa: E402

HOUR_US = 3_600_000_000
START_US = 1_700_000_000 * 1_000_000
DISORDER_US = 12 * HOUR_US
ALLOWED_LATENESS = "10d"  # four real minutes: a record under a wrong key may wait that long at a frozen worker while those of its customer go on
INGEST_MAX = 3
TRAIN_FROM = "2023-11-15"  # the first whole day
TRAIN_DAYS, LABEL_DAYS, TEST_DAYS = 2, 2, 1
HEAD_START_S = 24 * (TRAIN_DAYS + LABEL_DAYS + TEST_DAYS) + 5  # real seconds' worth of payments that come at once


# ---- what is sent ----

class Traffic:
    """Sends payments and their labels at a rate, remembers everything; ends when told."""

    def __init__(self, pipeline, seed, rate, customers=400, terminals=150):
        self.pipeline, self.rate, self.customers, self.terminals = pipeline, rate, customers, terminals
        self.draw = random.Random(seed)
        self.sent, self.damaged, self.too_late = [], 0, set()
        self.newest = {}  # customer -> [(real time, event time)] of what was sent a while ago
        self.stop, self.failure = threading.Event(), None
        self.thread = threading.Thread(target=self.run)

    def payment(self, i, now_us):
        draw = self.draw
        customer = str(draw.randrange(self.customers))
        row = {"tenant": "default", "transaction_id": "tx%08d" % i, "customer_id": customer, "terminal_id": str(draw.randrange(self.terminals)),
               "amount": round(draw.lognormvariate(3.5, 0.8), 2), "us": now_us - draw.choice((0, 0, 0, draw.randrange(DISORDER_US)))}
        if draw.random() < 0.002 and now_us - START_US > 40 * DAY_US:
            row["us"] -= draw.randrange(15, 30) * DAY_US
            self.too_late.add(row["transaction_id"])
        row["us"] -= row["us"] % 1000
        row["tx_time"] = at(row["us"])
        row["fraud"] = row["amount"] > 120 or draw.random() < 0.01
        return row

    def key(self, row):
        chance = self.draw.random()
        return None if chance < 0.03 else b"rubbish" if chance < 0.06 else ("default/" + row["customer_id"]).encode()

    def send(self, out, what, data, key):
        while True:
            try:
                out.produce(self.pipeline.topic(what), data, key, on_delivery=self.delivered)
                return
            except BufferError:
                out.poll(0.5)

    def delivered(self, error, _):
        if error:
            self.failure = self.failure or "a record of the test was not delivered: %s" % error

    def run(self):
        # Delivered only once, however long the broker is away.
        out = Producer({"bootstrap.servers": BROKERS, "partitioner": "murmur2_random", "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 0,
                        "topic.metadata.refresh.interval.ms": 2000, "reconnect.backoff.max.ms": 1000})
        began, i, p = time.monotonic() - HEAD_START_S, 0, self.pipeline
        while not self.stop.is_set():
            due = int((time.monotonic() - began) * self.rate)
            for _ in range(min(due - i, 2000)):
                row = self.payment(i, START_US + int((i / self.rate) * HOUR_US))
                i += 1
                label = {k: row[k] for k in ("tenant", "transaction_id", "tx_time", "customer_id", "terminal_id", "fraud")}
                label.update(labelled_at=at(row["us"] + LABEL_DAYS * DAY_US), scenario=None)
                self.sent.append(row)
                key = self.key(row)
                self.send(out, "events", p.encode(p.topic("events"), {k: row[k] for k in ("tenant", "transaction_id", "tx_time", "customer_id", "terminal_id", "amount")}), key)
                self.send(out, "labels", p.encode(p.topic("labels"), label), key)
                if self.draw.random() < 0.002:
                    self.damaged += 1
                    self.send(out, "events", b"no payment at all %d" % i, b"default/1")
            out.poll(0.02)
        if out.flush(300):
            self.failure = self.failure or "the test's own records were not all delivered"


# ---- what happens to the workers ----

class Monkey:
    def __init__(self, pipeline, seed):
        self.p, self.draw = pipeline, random.Random(seed ^ 0x5EED)
        self.did = collections.Counter()
        self.next_instance = 1
        self.started = {}  # when workers were started again

    def start(self, worker, instance):
        self.p.start(worker, instance, wait=False)
        self.started[worker, instance] = time.monotonic()

    def workers(self, kind=None):
        return [w for w in self.p.processes if kind in (None, w[0])]

    def any_worker(self):
        return self.draw.choice([w for w in self.workers() if w[0] != "serve"])

    def stop(self, worker, instance):
        """SIGTERM: what is young may not have come to its handler yet, everybody else ends in good order."""
        process = self.p.processes[worker, instance]
        young = time.monotonic() - self.started.get((worker, instance), 0) < 5
        code = self.p.kill(worker, instance, signal.SIGTERM, 120)
        assert code == 0 or (young and code == -signal.SIGTERM), "SIGTERM gave %s exit code %d:\n%s" % (worker, code, tail(process.log_path))

    def kill(self):
        worker, instance = self.any_worker()
        self.p.kill(worker, instance)
        time.sleep(self.draw.uniform(0, 4))
        self.start(worker, instance)

    def lose_state(self):
        """kill -9, and the machine's disk with it."""
        worker, instance = self.any_worker()
        self.p.kill(worker, instance)
        shutil.rmtree(os.path.join(self.p.dir, "state", self.p.name, "%s-%s" % (worker, instance)), ignore_errors=True)
        self.start(worker, instance)

    def terminate(self):
        worker, instance = self.any_worker()
        self.stop(worker, instance)
        self.start(worker, instance)

    def freeze(self):
        """Long enough that the group takes its partitions away: it wakes up as a zombie."""
        process = self.p.processes[self.any_worker()]
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.draw.choice((2, 5, 14)))
        process.send_signal(signal.SIGCONT)

    def add(self):
        if len(self.workers("ingest")) >= INGEST_MAX:
            return self.remove()
        self.start("ingest", str(self.next_instance))
        self.next_instance += 1

    def remove(self):
        instances = self.workers("ingest")
        if len(instances) < 2:
            return self.add()
        self.stop(*self.draw.choice(instances))

    def bounce(self, service):
        run = os.path.join(ROOT, "run")
        subprocess.run([run, "down", service], check=True, stdout=subprocess.DEVNULL)
        time.sleep(self.draw.uniform(1, 8))
        subprocess.run([run, "up", service], check=True, stdout=subprocess.DEVNULL)

    def bounce_broker(self):
        self.bounce("kafka")

    def bounce_database(self):
        self.bounce("postgres")

    def run(self, until):
        while time.monotonic() < until:
            time.sleep(min(self.draw.expovariate(1 / 6), max(0, until - time.monotonic())))
            dead = [w for w, process in self.p.processes.items() if process.poll() is not None]
            assert not dead, "%s ended by itself with %s:\n%s" % (dead[0], self.p.processes[dead[0]].returncode, tail(self.p.processes[dead[0]].log_path))
            action = self.draw.choices((self.kill, self.lose_state, self.terminate, self.freeze, self.add, self.remove, self.bounce_broker, self.bounce_database),
                                       (6, 2, 2, 3, 2, 2, 1, 1))[0]
            self.did[action.__name__] += 1
            print("%6.0f s before the end: %s" % (until - time.monotonic(), action.__name__), flush=True)
            action()


# ---- what must be true at the end ----

def read_records(p, what):
    """(message, decoded value) of a topic of the pipeline, tombstones left out."""
    schemas = {}
    for message in read_all(p.topic(what)):
        data = message.value()
        if data is None:
            continue
        identity = int.from_bytes(data[1:5], "big")
        if identity not in schemas:
            schemas[identity] = fastavro.parse_schema(json.loads(p.registry.get_schema(identity).schema_str))
        yield message, fastavro.schemaless_reader(io.BytesIO(data[5:]), schemas[identity])


def check_topic(p, view):
    """{source: (transaction, entity, event time, features of the newest version)}; arrival numbers run in order."""
    accepted, newest, arrival, repeats = {}, {}, collections.Counter(), 0
    for message, value in read_records(p, "features." + view):
        source = value["source_partition"], value["source_offset"]
        entity = value["entity"]
        if value["state"] is not None:
            continue  # a snapshot repeats a value
        if value["record"] is not None:
            if source in accepted:
                repeats += 1
            else:
                arrival[entity] += 1
                assert value["seq"] == arrival[entity], "view %s: arrival %d of entity %s is numbered %d (source %s)" % (view, arrival[entity], entity, value["seq"], source)
                accepted[source] = value["record"]["transaction_id"], entity, micros(value["event_time"])
        if source not in newest or value["version"] > newest[source][0]:
            newest[source] = value["version"], value["features"]
    return accepted, newest, repeats


def windows(times, t, days, delay_days=0):
    end = bisect.bisect_right(times, t - delay_days * DAY_US)
    return bisect.bisect_right(times, t - (delay_days + days) * DAY_US, 0, end), end


def mean(values):
    """From the newest to the oldest, as the store adds them, so that the bits are equal."""
    total = 0.0
    for v in reversed(values):
        total += v
    return total / len(values)


def recompute(view, accepted, rows):
    """{source: {feature: value}} by a single thread, from the accepted records in the order (event time, source)."""
    by_entity = collections.defaultdict(list)
    for source, (transaction, entity, us) in accepted.items():
        by_entity[entity].append((us, source, rows[transaction]))
    expected = {}
    for history in by_entity.values():
        history.sort(key=lambda r: r[:2])
        times = [r[0] for r in history]
        values = [r[2]["amount"] if view == "customer" else float(r[2]["fraud"]) for r in history]
        for i, (us, source, row) in enumerate(history):
            out = expected[source] = {}
            if view == "customer":
                out["tx_during_weekend"] = float(at(us).weekday() >= 5)
                out["tx_during_night"] = float(at(us).hour <= 6)
            for days in (1, 7, 30):
                if view == "customer":
                    first = windows(times, us, days)[0]
                    out["customer_tx_count_%dd" % days] = float(i + 1 - first)
                    out["customer_amount_mean_%dd" % days] = mean(values[first:i + 1])
                else:
                    first, end = windows(times, us, days, 7)
                    out["terminal_tx_count_%dd" % days] = float(end - first)
                    out["terminal_fraud_rate_%dd" % days] = mean(values[first:end]) if end > first else 0.0
    return expected


def check_values(view, where, got, expected):
    assert got.keys() == expected.keys(), "view %s, %s: %d sources, expected %d" % (view, where, len(got), len(expected))
    for source, features in got.items():
        assert features == expected[source], "view %s, %s, source %s: %r, expected %r" % (view, where, source, features, expected[source])


def check_offline(p, view, expected):
    names = sorted(next(iter(expected.values())))
    rows = query('SELECT source_partition, source_offset, version, seq, %s FROM "%s".features_%s' % (", ".join("features_" + n for n in names), p.name, view))
    newest, values = {}, collections.Counter()
    for partition, offset, version, seq, *features in rows:
        source = partition, offset
        values[source] += version == seq
        if source not in newest or version > newest[source][0]:
            newest[source] = version, dict(zip(names, features))
    doubled = [s for s, n in values.items() if n != 1]
    assert not doubled, "view %s: source %s has %d values offline" % (view, doubled[0], values[doubled[0]])
    check_values(view, "offline", {s: f for s, (_, f) in newest.items()}, expected)
    return len(rows)


def check_dead_letters(p, traffic, accepted):
    """What is in the dead letters is not accepted, and the other way round."""
    letters = {}
    for message in read_all(p.topic("deadletter")):
        headers = dict(message.headers())
        letters[headers["weir.source.topic"], int(headers["weir.source.partition"]), int(headers["weir.source.offset"])] = headers["weir.error.class"].decode()
    classes = collections.Counter(letters.values())
    assert classes["decode"] == traffic.damaged, "%d damaged records in the dead letters, %d were sent" % (classes["decode"], traffic.damaged)
    assert set(classes) <= {"decode", "late"}, "unexpected dead letters: %r" % classes
    late = {(int(p_), o) for (topic, p_, o), kind in letters.items() if kind == "late" and topic.decode() == p.topic("events")}
    both = late & accepted["customer"].keys()
    assert not both, "source %s is accepted and in the dead letters" % (sorted(both)[0],)
    return classes, len(late)


def check_online_values(p, accepted, expected):
    """Every customer's newest values through the API of a server that has read everything."""
    newest = {}
    for source, (_, entity, us) in accepted.items():
        newest[entity] = max(newest.get(entity, (0, None)), (us, source))
    ids = sorted(newest)
    names = ["customer_tx_count_7d", "customer_tx_count_30d", "customer_amount_mean_1d", "customer_amount_mean_30d"]
    body = {"features": ["customer:" + n for n in names], "entities": {"customer_id": ids}}

    def difference():
        request = urllib.request.Request("http://127.0.0.1:%d/get-online-features" % p.processes["serve", "0"].port, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        columns = {n: answer["results"][i]["values"] for i, n in enumerate(answer["metadata"]["feature_names"])}
        different = [(c, n, columns[n][i], expected[newest[c][1]][n]) for i, c in enumerate(ids) for n in names if columns[n][i] != expected[newest[c][1]][n]]
        return ("%d values, the first (customer, feature, found, expected)" % len(different), different[0]) if different else None

    wait_for_none("the values online", difference, 30, 1)
    return len(ids)


def settled(p, traffic):
    """Everything that was sent has been accepted or rejected, and stored."""
    rows = query('SELECT count(*) FROM "%s".features_customer WHERE seq = version' % p.name)[0][0]
    labels = query('SELECT count(*) FROM "%s".features_terminal WHERE seq = version' % p.name)[0][0]
    print("offline: %d payments, %d labels of %d" % (rows, labels, len(traffic.sent)), flush=True)
    late = sum(dict(m.headers())["weir.error.class"] == b"late" for m in read_all(p.topic("deadletter")))
    return rows + labels + late >= 2 * len(traffic.sent)


def check_served(p, accepted):
    """Every accepted payment was scored once, and from the values that history has."""
    stored = lambda: query('SELECT source_partition, source_offset FROM "%s".predictions' % p.name)
    wait_for("predictions in the offline store", lambda: len(stored()) >= len(accepted), 60, 2)
    scored = collections.Counter(stored())
    assert scored.keys() == accepted.keys(), "%d payments have no prediction, %d predictions no payment" % (len(accepted.keys() - scored.keys()), len(scored.keys() - accepted.keys()))
    assert max(scored.values()) == 1, "source %s has %d predictions offline" % scored.most_common(1)[0]
    result = parity(p, 0)
    assert result["vectors"] == len(p.spec["views"]) * len(scored) and result["mismatches"] == result["incomplete"] == result["other_definitions"] == 0, result
    return result


def verify(p, traffic):
    rows = {r["transaction_id"]: r for r in traffic.sent}
    accepted, expected = {}, {}
    for view in ("customer", "terminal"):
        accepted[view], newest, repeats = check_topic(p, view)
        twice = collections.Counter(t for t, _, _ in accepted[view].values()).most_common(1)[0]
        assert twice[1] == 1, "view %s: payment %s was accepted %d times" % (view, twice[0], twice[1])
        missing = rows.keys() - {t for t, _, _ in accepted[view].values()} - traffic.too_late
        assert not missing, "view %s: %d records are lost, for example %s" % (view, len(missing), sorted(missing)[0])
        expected[view] = recompute(view, accepted[view], rows)
        check_values(view, "topic", {s: f for s, (_, f) in newest.items()}, expected[view])
        stored = check_offline(p, view, expected[view])
        print("view %s: %d accepted, %d repeats in the topic, %d rows offline (%d corrections)" % (view, len(accepted[view]), repeats, stored, stored - len(accepted[view])))
    classes, late = check_dead_letters(p, traffic, accepted)
    assert len(accepted["customer"]) + late == len(rows), "%d accepted + %d late of %d payments" % (len(accepted["customer"]), late, len(rows))
    online = check_online_values(p, accepted["customer"], expected["customer"])
    print("dead letters by class: %s; online: %d customers" % (dict(classes), online))
    served = check_served(p, accepted["customer"])
    print("parity: %d served vectors, %d values computed again from history: %d mismatches" % (served["vectors"], served["values"], served["mismatches"]))


def change(spec):
    spec["source"].update(allowed_lateness=ALLOWED_LATENESS)
    spec["training"]["candidates"] = spec["training"]["candidates"][:2]
    short_training(spec, "%dd" % TRAIN_DAYS, "%dd" % TEST_DAYS)


def wait_for_models(p, count):
    """The score worker serves them: else nothing would be scored, and nothing shown."""
    def loaded():
        return sum(v for (name, _), v in p.metrics("score").items() if name == "weir_score_model_info") >= count
    wait_for("score to serve %d models" % count, loaded, 60)


def learn(p, traffic, payments):
    """Models from the head start, as soon as it is stored; from here on everything is scored."""
    p.start("train")
    table = '"%s".features_customer' % p.name
    wait_for("the head start to be stored", lambda: traffic.failure or query("SELECT count(*) FROM %s WHERE seq = version" % table)[0][0] >= payments, 180, 1)
    versions = train(p, TRAIN_FROM)["detail"]["versions"]
    p.kill("train", sig=signal.SIGTERM)
    p.start("score")
    wait_for_models(p, len(versions))
    print("trained " + ", ".join("%s v%d" % (v["name"], v["version"]) for v in versions), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=300, help="payments a second")
    arguments = parser.parse_args()
    with Pipeline(change) as p:
        for worker in ("ingest", "store", "serve"):
            p.start(worker)
        traffic, monkey = Traffic(p, arguments.seed, arguments.rate), Monkey(p, arguments.seed)
        traffic.thread.start()
        try:
            learn(p, traffic, int(HEAD_START_S * arguments.rate))
            monkey.run(time.monotonic() + arguments.minutes * 60)
        finally:
            traffic.stop.set()
            traffic.thread.join()
        assert not traffic.failure, traffic.failure
        for worker, instance in p.processes:
            p.wait_ready(worker, instance, 120)
        wait_for("everything to be stored", lambda: settled(p, traffic), 300, 5)
        verify(p, traffic)
    print("ok: seed %d, %g minutes, %d payments and as many labels, %s" % (arguments.seed, arguments.minutes, len(traffic.sent), dict(monkey.did)))


main()
