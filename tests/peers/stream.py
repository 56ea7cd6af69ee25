"""Six windows of a customer, Kafka in and Kafka out, on one machine and one broker: Weir (exactly once in effect), a stateless pass-through in C, Kafka Streams, Quix Streams.

    ./run peers stream [--events N] [--rounds N] [--only NAME]…

All read the same topic of card payments (Confluent-framed Avro, 4 partitions, in order of time). Throughput: from the first to the last record of the output topic, after a
warm-up of a fifth of the records that does not count. CPU: of the process, user and system, in that time. Latency: events sent at a fixed rate, from when an event was due to
when a consumer has its features record. Rounds of all peers alternate; medians are printed, with the ratio to the pass-through of the same rounds."""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from weirtest import *  # noqa: E402,F403

from confluent_kafka import KafkaException  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

WORK = os.environ["WEIR_PEERS_DIR"]
ADMIN = AdminClient({"bootstrap.servers": BROKERS})
PARTITIONS = 4
PEERS = ("passthrough", "weir", "kafka-streams", "kafka-streams-eos", "quix")


def only_customer(spec):
    """The customer view with its six windows; no labels, nothing else."""
    customer = next(v for v in spec["views"] if v["name"] == "customer")
    customer["features"] = [f for f in customer["features"] if f.get("agg")]
    spec["views"] = [customer]
    for section in ("labels", "training", "rollout", "serving"):
        spec.pop(section, None)
    spec["source"]["aliases"] = {k: v for k, v in spec["source"]["aliases"].items() if v not in ("fraud", "scenario")}
    spec["partitions"] = PARTITIONS


def on_events(topic):
    """A pipeline of its own that reads somebody's events."""
    def change(spec):
        only_customer(spec)
        spec["source"]["topic"] = topic
    return change


class Peer:
    """A process that fills an output topic from the events."""

    def __init__(self, name, pipeline, source, output, linger_ms):
        self.name, self.dir = name, tempfile.mkdtemp(prefix="weir-peer-")
        self.log = open(os.path.join(self.dir, "log"), "wb")
        group = "peer-%x" % random.getrandbits(40)
        if name == "weir":
            self.process = pipeline.start("ingest", wait=False)
            return
        if name == "passthrough":
            command = [os.path.join(WORK, "passthrough"), BROKERS, source, output, group, str(linger_ms)]
        elif name.startswith("kafka-streams"):
            classes = os.path.join(WORK, "streams", "kafka-streams-peer-1.jar") + ":" + os.path.join(WORK, "streams", "libs", "*")
            guarantee = "exactly_once_v2" if name.endswith("eos") else "at_least_once"
            command = [os.environ.get("WEIR_JAVA", "java"), "-XX:+UseParallelGC", "-Xms512m", "-Xmx512m", "-cp", classes, "weir.Windows", BROKERS, source, output, group,
                       "1" if name.endswith("eos") else "2", guarantee, str(linger_ms), os.path.join(self.dir, "state")]
        else:
            command = [os.path.join(WORK, "quix", "bin", "python"), os.path.join(HERE, "stream", "quix_windows.py"), BROKERS, source, output, group, "at-least-once", str(linger_ms),
                       os.path.join(self.dir, "state")]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def cpu_s(self):
        with open("/proc/%d/stat" % self.process.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def alive(self):
        assert self.process.poll() is None, "%s ended with %s:\n%s" % (self.name, self.process.returncode, tail(getattr(self.process, "log_path", self.log.name)))

    def stop(self, pipeline):
        if self.name == "weir":
            pipeline.kill("ingest", "0", signal.SIGTERM)
        else:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def make_topic(name):
    ADMIN.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)


def drop_topic(name):
    ADMIN.delete_topics([name])[name].result(30)


def ends_of(consumer, topic):
    """Sum of the end offsets; waits while a new topic has no leaders yet."""
    for _ in range(100):
        try:
            return sum_of_ends(consumer, topic)
        except KafkaException:
            time.sleep(0.1)
    return sum_of_ends(consumer, topic)


def sum_of_ends(consumer, topic):
    return sum(consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in range(PARTITIONS))


def features_total(pipeline):
    """What ingest says it has produced; 0 while it starts."""
    try:
        return sum(v for (name, _), v in pipeline.metrics("ingest").items() if name == "weir_ingest_features_total")
    except OSError:
        return 0


class Round:
    """One peer with topics of its own over the common events."""

    def __init__(self, name, events, linger_ms):
        self.name, self.pipeline = name, Pipeline(on_events(events))
        self.output = self.pipeline.topic("features.customer" if name == "weir" else "out")
        self.before = set(self.topics())
        if name != "weir":
            make_topic(self.output)
        self.peer = Peer(name, self.pipeline, events, self.output, linger_ms)
        self.consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "watch", "enable.auto.commit": False, "isolation.level": "read_committed"})
        wait_for("the output topic", lambda: self.output in self.topics(), 60)

    def topics(self):
        return ADMIN.list_topics(timeout=10).topics

    def produced(self):
        """Records of the output topic; of Weir's the values only, not the snapshots of states."""
        return features_total(self.pipeline) if self.name == "weir" else ends_of(self.consumer, self.output)

    def close(self):
        self.peer.stop(self.pipeline)
        self.consumer.close()
        for topic in set(self.topics()) - self.before:
            if not topic.startswith("__"):
                drop_topic(topic)
        shutil.rmtree(self.pipeline.dir)


def throughput(name, events, count):
    """(records/s, CPU s a million) of the last four fifths."""
    run, samples = Round(name, events, 5), []
    deadline = time.monotonic() + 900
    while not samples or samples[-1][1] < count:
        run.peer.alive()
        samples.append((time.monotonic(), run.produced(), run.peer.cpu_s()))
        assert time.monotonic() < deadline, "%s made %d of %d records in 15 minutes" % (name, samples[-1][1], count)
        time.sleep(0.02)
    while ends_of(run.consumer, run.output) < count:  # Weir counts what it has handed to the client library
        time.sleep(0.01)
    end = time.monotonic(), count, run.peer.cpu_s()
    first = next(s for s in samples if s[1] >= count / 5)
    run.close()
    return (count - first[1]) / (end[0] - first[0]), (end[2] - first[2]) / ((count - first[1]) / 1e6)


def latency(name, events, schema_id, rate, seconds):
    run = Round(name, events, 0)
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "watch"})
    before = ends_of(consumer, events)
    consumer.close()
    wait_for("%s to have caught up" % name, lambda: run.produced() >= before, 120)
    done = subprocess.run([os.path.join(WORK, "paced"), BROKERS, events, run.output, str(schema_id), str(rate), str(seconds), "5", "weir" if name == "weir" else "plain"],
                          capture_output=True, text=True)
    run.peer.alive()
    run.close()
    assert done.returncode == 0, "%s: %s" % (name, done.stderr)
    return json.loads(done.stdout)


def fill(pipeline, count):
    """Simulated payments in order of time; returns how many there are."""
    customers = 5000
    env = dict(os.environ, WEIR_STATE_DIR=os.path.join(pipeline.dir, "state"))
    subprocess.run([BINARY, "simulate", pipeline.path, "--entities", str(customers), "--days", str(max(1, round(count / (customers * 1.85)))), "--seed", "1", "--domain", "fraud"], env=env, cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "watch"})
    total = ends_of(consumer, pipeline.topic("events"))
    consumer.close()
    return total


def show(rows, heads):
    widths = [max(len(str(r[i])) for r in [heads] + rows) for i in range(len(heads))]
    for row in [heads] + rows:
        print("  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
    print(flush=True)


def measure_throughput(names, events, count, rounds):
    results = {name: [] for name in names}
    for i in range(rounds):
        for name in names:
            results[name].append(throughput(name, events, count))
            print("round %d: %s %.0f records/s, %.2f CPU s a million" % (i + 1, name, *results[name][-1]), file=sys.stderr, flush=True)
    base = [r[0] for r in results[names[0]]]
    rows = []
    for name in names:
        rates, cpu = [r[0] for r in results[name]], statistics.median(r[1] for r in results[name])
        rows.append((name, "%.0f" % statistics.median(rates), "%.0f-%.0f" % (min(rates), max(rates)), "%.2f" % statistics.median(a / b for a, b in zip(rates, base)), "%.2f" % cpu))
    show(rows, ("peer", "records/s", "range", "of " + names[0], "CPU s/million"))


def measure_latency(names, events, schema_id, rounds, rate):
    rows = []
    for name in names:
        runs = [latency(name, events, schema_id, rate, 15) for _ in range(rounds)]
        rows.append((name, *("%.1f" % statistics.median(r[key] for r in runs) for key in ("p50_ms", "p99_ms")), sum(r["missing"] for r in runs)))
    show(rows, ("peer, %d events/s" % rate, "p50 ms", "p99 ms", "missing"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=PEERS)
    parser.add_argument("--skip-latency", action="store_true")
    arguments = parser.parse_args()
    names = arguments.only or list(PEERS)
    with Pipeline(only_customer) as filled:
        count = fill(filled, arguments.events)
        print("%d payments, %d partitions, medians of %d rounds\n" % (count, PARTITIONS, arguments.rounds))
        slow = [n for n in names if n == "quix"]
        measure_throughput([n for n in names if n not in slow], filled.topic("events"), count, arguments.rounds)
        if slow:  # a twentieth is enough for what is twenty times slower
            with Pipeline(only_customer) as few:
                measure_throughput(slow, few.topic("events"), fill(few, count // 20), min(3, arguments.rounds))
        if not arguments.skip_latency:
            with Pipeline(only_customer) as live:
                fill(live, 1)
                schema_id = live.registry.get_latest_version(live.topic("events") + "-value").schema_id
                measure_latency([n for n in names if n not in slow], live.topic("events"), schema_id, min(3, arguments.rounds), 20000)


main()
