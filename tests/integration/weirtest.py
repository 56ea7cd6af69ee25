"""What the integration tests share that drive Weir from outside: a pipeline of their own, workers as processes, real Kafka clients, expected feature values.

Needs WEIR_BINARY, WEIR_BROKERS, WEIR_REGISTRY_URL, WEIR_PG_URL (./run test sets them)."""
import bisect
import collections
import datetime
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

SKIPPED = 77
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DAY_US = 86_400_000_000
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def need(*names):
    """The values of environment variables; the test is skipped where one is missing."""
    missing = [n for n in names if not os.environ.get(n)]
    if missing:
        print("skipped: %s not set; ./run test sets it" % ", ".join(missing))
        sys.exit(SKIPPED)
    return [os.environ[n] for n in names]


BINARY, BROKERS, REGISTRY, PG = need("WEIR_BINARY", "WEIR_BROKERS", "WEIR_REGISTRY_URL", "WEIR_PG_URL")

from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402
from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: E402
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer  # noqa: E402
from confluent_kafka.serialization import MessageField, SerializationContext  # noqa: E402


def wait_for(what, condition, timeout_s=60, every_s=0.1):
    """Polls until condition() is true; fails naming what was awaited and what it last gave."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited %g s for %s, last saw %r" % (timeout_s, what, value))
        time.sleep(every_s)


def wait_for_none(what, difference, timeout_s=60, every_s=0.1):
    """Polls until difference() is None; fails naming what was awaited and how it last differed."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = difference()
        if found is None:
            return
        if time.monotonic() > deadline:
            raise AssertionError("waited %g s for %s, last differed: %r" % (timeout_s, what, found))
        time.sleep(every_s)


PORTS = random.SystemRandom()  # a test may seed the common generator


def free_port():
    """A port that nobody listens on. Below those that the kernel gives to connections: one of these may be anybody's a moment later."""
    while True:
        port = PORTS.randrange(20000, 27000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Pipeline:
    """A copy of a pipeline under a name of its own, and the workers that run it."""

    def __init__(self, change=None, of="fraud"):
        self.name = "t%x" % random.getrandbits(40)
        self.dir = tempfile.mkdtemp(prefix="weir-test-")
        with open(os.path.join(ROOT, "pipelines", of + ".json")) as f:
            text = f.read()
        spec = json.loads(text)
        spec["pipeline"] = self.name
        for feed in ("source", "labels"):
            spec[feed]["topic"] = spec[feed]["topic"].replace(of, self.name, 1)
        if change:
            change(spec)
        self.spec = spec
        self.path = os.path.join(self.dir, self.name + ".json")
        with open(self.path, "w") as f:
            json.dump(spec, f)
        self.processes = {}
        self.registry = SchemaRegistryClient({"url": REGISTRY})
        self._serializers, self._deserializers = {}, {}

    def topic(self, what):
        return "%s.%s" % (self.name, what)

    # ---- workers ----
    def start(self, worker="run", instance="0", wait=True):
        port = free_port()
        log = open(os.path.join(self.dir, "%s-%s.log" % (worker, instance)), "ab")
        env = dict(os.environ, WEIR_HTTP_PORT=str(port), WEIR_STATE_DIR=os.path.join(self.dir, "state"), WEIR_OBJECTS_DIR=os.path.join(self.dir, "objects"),
                   WEIR_INSTANCE=instance, WEIR_LOG_FORMAT="json")
        process = subprocess.Popen([BINARY, worker, self.path], env=env, stdout=log, stderr=log, cwd=ROOT)
        process.port = port
        process.log_path = log.name
        log.close()
        self.processes[worker, instance] = process
        if wait:
            self.wait_ready(worker, instance)
        return process

    def wait_ready(self, worker="run", instance="0", timeout_s=90):
        process = self.processes[worker, instance]

        def ready():
            if process.poll() is not None:
                raise AssertionError("%s ended with %s:\n%s" % (worker, process.returncode, tail(process.log_path)))
            try:
                return get("http://127.0.0.1:%d/readyz" % process.port)[0] == 200
            except OSError:
                return False

        wait_for("%s to be ready" % worker, ready, timeout_s)

    def kill(self, worker="run", instance="0", sig=signal.SIGKILL, timeout_s=60):
        process = self.processes.pop((worker, instance))
        process.send_signal(sig)
        return process.wait(timeout_s)

    def metrics(self, worker="run", instance="0"):
        """{(name, frozenset of labels): value}"""
        samples = {}
        for line in get("http://127.0.0.1:%d/metrics" % self.processes[worker, instance].port)[1].splitlines():
            if line.startswith("#"):
                continue
            series, value = line.split(" # ", 1)[0].rsplit(" ", 1)
            name, _, labels = series.partition("{")
            pairs = [p.split("=", 1) for p in labels.rstrip("}").split(",") if "=" in p]
            samples[name, frozenset((k, v.strip('"')) for k, v in pairs)] = float(value)
        return samples

    def close(self):
        """Stops the workers and removes what they made; a failed test keeps its folder."""
        for worker, instance in list(self.processes):
            code = self.kill(worker, instance, signal.SIGTERM)
            assert code == 0, "SIGTERM gave exit code %d" % code
        env = dict(os.environ, WEIR_STATE_DIR=os.path.join(self.dir, "state"), WEIR_OBJECTS_DIR=os.path.join(self.dir, "objects"))
        subprocess.run([BINARY, "reset", self.path], env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(self.dir)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
            return
        for (worker, instance), process in self.processes.items():
            print("---- %s %s, exit %s ----\n%s" % (worker, instance, process.poll(), tail(process.log_path)))
            process.kill()
            process.wait()
        print("the test's folder stays: %s" % self.dir)

    # ---- records ----
    def encode(self, topic, value):
        if topic not in self._serializers:
            schema = self.registry.get_latest_version(topic + "-value").schema.schema_str
            self._serializers[topic] = AvroSerializer(self.registry, schema, conf={"auto.register.schemas": False})
        return self._serializers[topic](value, SerializationContext(topic, MessageField.VALUE))

    def decode(self, topic, data):
        if topic not in self._deserializers:
            self._deserializers[topic] = AvroDeserializer(self.registry)
        return self._deserializers[topic](data, SerializationContext(topic, MessageField.VALUE))


def tail(path, lines=40):
    with open(path, errors="replace") as f:
        return "".join(collections.deque(f, lines))


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def producer():
    return Producer({"bootstrap.servers": BROKERS, "partitioner": "murmur2_random", "enable.idempotence": True, "linger.ms": 5, "message.max.bytes": 2000000})


def read_all(topic):
    """Every record of a topic up to its present end, as confluent_kafka messages."""
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "none", "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    try:
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        ends, records = {}, []
        for p in partitions:
            first, end = consumer.get_watermark_offsets(TopicPartition(topic, p), 10)
            if end > first:
                ends[p] = end
        consumer.assign([TopicPartition(topic, p, 0) for p in ends])
        position = {p: 0 for p in ends}
        deadline = time.monotonic() + 60
        while any(position[p] < ends[p] for p in ends):
            if time.monotonic() > deadline:
                raise AssertionError("could not read %s to its end" % topic)
            for message in consumer.consume(10000, 0.5):
                if message.error():
                    raise AssertionError(message.error())
                records.append(message)
                position[message.partition()] = message.offset() + 1
            for at in consumer.position([TopicPartition(topic, p) for p in ends]):
                position[at.partition] = max(position[at.partition], at.offset)
        return records
    finally:
        consumer.close()


def own_events(p, topic, told_twice_differs=False):
    """The pipeline's events of a shared topic, decoded, in order, each once: what comes twice has the same id and, unless told otherwise, says the same. Records without the headers of an
    event are others' garbage."""
    seen = {}
    for message in read_all(topic):
        identity = dict(message.headers() or ()).get("ce_id")
        if identity is None:
            continue
        event = p.decode(topic, message.value())
        if event["pipeline"] == p.name:
            assert told_twice_differs or seen.get(identity, event) == event, (seen[identity], event)
            seen[identity] = event
    return list(seen.values())


def micros(when):
    return (when - EPOCH) // datetime.timedelta(microseconds=1)


def at(us):
    return EPOCH + datetime.timedelta(microseconds=us)


class Payments:
    """Made-up payments with labels, in order of event time, and what their features must be (computed here by brute force, exactly as the handbook defines them)."""

    def __init__(self, count, seed=1, customers=40, terminals=30, days=20, start="2024-03-01"):
        draw = random.Random(seed)
        first = micros(datetime.datetime.fromisoformat(start + "T00:00:00+00:00"))
        times = sorted(first + draw.randrange(days * 86400) * 1_000_000 for _ in range(count))
        self.rows = []
        for i, t in enumerate(times):
            amount = round(draw.lognormvariate(3.5, 0.8), 2)
            terminal = str(draw.randrange(terminals))
            fraud = amount > 120 or (terminal == "3" and draw.random() < 0.8) or draw.random() < 0.01
            self.rows.append({"tenant": "default", "transaction_id": "tx%06d" % i, "tx_time": at(t), "customer_id": str(draw.randrange(customers)), "terminal_id": terminal,
                              "amount": amount, "fraud": fraud, "us": t})

    def event(self, row):
        return {k: row[k] for k in ("tenant", "transaction_id", "tx_time", "customer_id", "terminal_id", "amount")}

    def label(self, row, delay_us=7 * DAY_US):
        out = {k: row[k] for k in ("tenant", "transaction_id", "tx_time", "customer_id", "terminal_id", "fraud")}
        out["labelled_at"] = at(row["us"] + delay_us)
        out["scenario"] = None
        return out

    def expected(self, rows=None):
        """{transaction_id: {feature: value}} of the customer view, over the rows given (default: all)."""
        rows = self.rows if rows is None else rows
        by_customer = collections.defaultdict(list)
        for row in rows:
            by_customer[row["customer_id"]].append(row)
        out = {}
        for history in by_customer.values():
            times = [r["us"] for r in history]
            for i, row in enumerate(history):
                values = {"tx_during_weekend": float(row["tx_time"].weekday() >= 5), "tx_during_night": float(row["tx_time"].hour <= 6)}
                for days in (1, 7, 30):
                    inside = history[bisect.bisect_right(times, row["us"] - days * DAY_US, 0, i):i + 1]
                    values["customer_tx_count_%dd" % days] = float(len(inside))
                    values["customer_amount_mean_%dd" % days] = sum(r["amount"] for r in reversed(inside)) / len(inside)
                out[row["transaction_id"]] = values
        return out


def same(a, b, tolerance=1e-12):
    return a == b or (a is not None and b is not None and abs(a - b) <= tolerance * max(abs(a), abs(b)))


def feature_records(pipeline, view="customer"):
    """Values and corrections of a view that hold: no snapshots, and nothing that a former owner of a partition wrote behind the fence of its successor."""
    topic = pipeline.topic("features." + view)
    epochs, records = collections.Counter(), []
    for message in sorted(read_all(topic), key=lambda m: (m.partition(), m.offset())):
        partition = message.partition()
        if message.value() is None:
            epochs[partition] = max(epochs[partition], int(dict(message.headers() or [])["weir.epoch"]))
            continue
        record = pipeline.decode(topic, message.value())
        if record["epoch"] < epochs[partition] or record["state"] is not None:
            continue
        epochs[partition] = record["epoch"]
        record["key"] = message.key().decode()
        records.append(record)
    return records


def newest_features(pipeline, view="customer"):
    """({source: features by its highest version}, {source: the record}, repeats); repeats (same source and version) must be equal. Arrival numbers of an entity have no gap and
    come in order."""
    seen, origin, numbers, repeats = {}, {}, collections.Counter(), 0
    for record in feature_records(pipeline, view):
        source = record["source_partition"], record["source_offset"]
        versions = seen.setdefault(source, {})
        if record["version"] in versions:
            repeats += 1
            assert versions[record["version"]] == record["features"], "a repeat of source %s, version %d differs" % (source, record["version"])
            continue
        versions[record["version"]] = record["features"]
        if record["record"] is None:
            assert source in origin and record["version"] > record["seq"], "a correction without a value: %r" % record
            continue
        assert source not in origin, "source %s has two values" % (source,)
        numbers[record["key"]] += 1
        assert record["seq"] == record["version"] == numbers[record["key"]], "value %d of %s has seq %d, version %d" % (
            numbers[record["key"]], record["key"], record["seq"], record["version"])
        origin[source] = record["record"]
    return {source: versions[max(versions)] for source, versions in seen.items()}, origin, repeats


def check_features(pipeline, payments, rows=None):
    """Every accepted payment has its features record, and in the end, corrections considered, the expected values. Returns how many repeats there were."""
    expected = payments.expected(rows)
    features, origin, repeats = newest_features(pipeline)
    for source, record in origin.items():
        identity = record["transaction_id"]
        want = expected.pop(identity, None)
        assert want is not None, "payment %s has features twice, or should have none" % identity
        for name, value in want.items():
            assert same(features[source][name], value), "%s of %s: %r, expected %r" % (name, identity, features[source][name], value)
    assert not expected, "%d payments have no features, for example %s" % (len(expected), sorted(expected)[:3])
    return repeats


def query(sql):
    import psycopg2
    connection = psycopg2.connect(PG)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()
    finally:
        connection.close()


def short_training(spec, training="4d", test="2d"):
    """Short periods and models named after the pipeline, so that few days of payments, whose labels come after two, are enough."""
    spec["labels"]["max_delay"] = "2d"
    spec["training"]["split"] = {"train": training, "delay": "2d", "test": test, "exclude_known": False}  # few customers, nearly all of them known by then
    spec["training"]["card_k"] = 5
    for candidate in spec["training"]["candidates"]:
        candidate["name"] = candidate["name"].replace("fraud", spec["pipeline"])
    spec["training"]["champion"] = spec["training"]["candidates"][0]["name"]
    spec["training"]["challenger"] = spec["training"]["candidates"][1]["name"]


def train(p, train_from):
    """What a training run gave that begins with this day; a train worker is to run."""
    env = dict(os.environ, WEIR_STATE_DIR=os.path.join(p.dir, "state"))
    done = subprocess.run([BINARY, "train", p.path, "--train-from", train_from, "--output", "json"], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, "weir train: %d\n%s\n%s" % (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def parity(p, code):
    """What `weir check --parity` says."""
    env = dict(os.environ, WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"))
    done = subprocess.run([BINARY, "check", p.path, "--parity", "--output", "json"], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, "weir check --parity: exit %d, expected %d\n%s\n%s" % (done.returncode, code, done.stdout, done.stderr)
    return json.loads(done.stdout)


def offline_features(p, view, columns):
    """Rows (transaction_id, columns…) of a view's table: of each source the highest version; the record stands in its value."""
    newest = ", ".join("(array_agg(%s ORDER BY version DESC))[1]" % c for c in columns)
    return query('SELECT max(record_transaction_id), %s FROM "%s".features_%s GROUP BY source_partition, source_offset' % (newest, p.name, view))


def get_online(p, worker, features, entities):
    """[(value, event time)] by feature, one for each entity."""
    body = {"features": features, "entities": entities}
    request = urllib.request.Request("http://127.0.0.1:%d/get-online-features" % p.processes[worker, "0"].port, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer = json.load(response)
    return {n: list(zip(r["values"], r["event_timestamps"])) for n, r in zip(answer["metadata"]["feature_names"], answer["results"])}


def check_online(p, payments, worker="run"):
    """The newest state of some customers, through the API."""
    newest = {r["customer_id"]: r["transaction_id"] for r in payments.rows}
    expected = payments.expected()
    ids = sorted(newest)
    values = get_online(p, worker, ["customer:customer_tx_count_30d", "customer:customer_amount_mean_30d"], {"customer_id": ids})
    for i, customer in enumerate(ids):
        want = expected[newest[customer]]
        for name in ("customer_tx_count_30d", "customer_amount_mean_30d"):
            assert same(values[name][i][0], want[name]), "%s of customer %s online: %r, expected %r" % (name, customer, values[name][i], want[name])
