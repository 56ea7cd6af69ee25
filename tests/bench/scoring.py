"""Scoring on Kafka on a real stack, an ingest and a score worker with a boosted champion of the fraud pipeline, broker and clients on the same cores. ./run bench scoring runs it.

  start       a serve worker, from its first instruction to ready; and what it, and the score worker, have in memory
  HTTP        one row by entity id, lookup included
  prediction  at a steady rate, from when a payment is due to when its prediction is read from the topic: medians of rounds of p50 and p99, and who takes how much of a core
  drain       features records that wait, to predictions that are acknowledged: predictions a second, with one arm and with three
  flood       payments as fast as they can be sent, to predictions: how many a second the whole takes
  soak        with --soak MINUTES instead of all that: at half the rate that a flood finds, or at --rate; minute by minute p50 and p99, against one hop through the broker, and memory and descriptors of the workers,
              none of which may grow
"""
import argparse
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration", "consumers"))
from test_rollout import *  # noqa: E402,F403

WARM_S = 5
LINGER_MS = "1"
SOAK_WINDOWS = {"1d": "5s", "7d": "15s", "30d": "60s"}  # what is in them leaves again while we watch, so states are as large as they get after a minute


def scoring_spec(partitions, short=False):
    def change(spec):
        for feature in spec["views"][0]["features"] if short else []:
            if "window" in feature:
                feature["window"] = SOAK_WINDOWS[feature["window"]]
        if short:
            spec["source"]["allowed_lateness"] = "5s"
        short_training(spec)
        spec["partitions"] = partitions
        spec["training"]["candidates"] = [c for c in spec["training"]["candidates"] if c["algorithm"] == "xgboost"]
        spec["training"]["champion"] = spec["training"]["candidates"][0]["name"]
        del spec["training"]["challenger"]
        spec["rollout"] = {"salt": spec["pipeline"], "split": "request", "routing": "thompson", "floor": 0.1, "loss": "brier", "min_rows": 200, "automatic": False, "guards": {"latency": "10s"}}
    return change


def total(p, name, worker="score"):
    return sum(value for (metric, _), value in p.metrics(worker).items() if metric == name)


def answers(p, worker):
    try:
        return p.metrics(worker)
    except OSError:
        return None


def seconds_of(pid):
    """CPU time of a process."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu(p):
    with open(os.path.join(os.environ["WEIR_STACK_DIR"], "run", "kafka.pid")) as f:
        pids = {"broker": int(f.read().split()[0])}
    pids.update((worker, p.processes[worker, "0"].pid) for worker in ("ingest", "score"))
    return {name: seconds_of(pid) for name, pid in pids.items()}


def load(p, rate, seconds, warm, topic, form):
    schema_id = p.registry.get_latest_version(p.topic("events") + "-value").schema_id
    done = subprocess.run([os.path.join(os.environ["WEIR_PEERS_DIR"], "paced"), BROKERS, p.topic("events"), p.topic(topic), str(schema_id), str(rate), str(seconds), str(warm), form, LINGER_MS],
                          capture_output=True, text=True, timeout=120 + 2 * seconds)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def paced(p, rate, seconds):
    return load(p, rate, seconds, WARM_S, "predictions", "prediction")


def latency(p, rate, seconds, rounds):
    before, began = cpu(p), time.monotonic()
    found = [paced(p, rate, seconds) for _ in range(rounds)]
    took = time.monotonic() - began
    used = ", ".join("%s %.2f" % (name, (after - before[name]) / took) for name, after in cpu(p).items())
    print("payment due to prediction read, at %d/s, sent in batches of %s ms: p50 %.2f ms, p99 %.2f ms (medians of %d rounds; p99 of each: %s); %d missing; of a core: %s"
          % (rate, LINGER_MS, statistics.median(f["p50_ms"] for f in found), statistics.median(f["p99_ms"] for f in found), rounds, ", ".join("%.1f" % f["p99_ms"] for f in found),
             sum(f["missing"] for f in found), used), flush=True)


def rate_of(p, base, count, until_s=120):
    """Predictions a second, from the first of them to nearly the last. base: what was counted before; count: how many are due."""
    began, first = time.monotonic(), None
    while True:
        now, scored = time.monotonic(), total(p, "weir_score_predictions_total") - base
        if scored > 0 and first is None:
            first = now, scored
        if scored >= count * 0.99:
            return (scored - first[1]) / max(now - first[0], 1e-9)
        assert now - began < until_s, "%d of %d records were scored" % (scored, count)
        time.sleep(0.02)


def drain(p, count, what):
    """While nobody scores, ingest makes features records; then they are scored."""
    p.kill("score", sig=signal.SIGTERM)
    made = load(p, 40000, count // 40000, 0, "features.customer", "weir")
    assert not made["missing"]
    p.start("score", wait=False)
    wait_for("score to be there", lambda: answers(p, "score"), 30, 0.01)
    pid, count = p.processes["score", "0"].pid, count // 40000 * 40000
    before = seconds_of(pid)
    rate = rate_of(p, 0, count)
    cost = (seconds_of(pid) - before) / count * 1e6
    print("%s: %.0f predictions/s, %.2f CPU s a million, %d MiB in memory" % (what, rate, cost, memory_mib(pid)), flush=True)
    return rate, cost


def flood(p, count):
    """Faster than anybody takes them: the load is behind all the time, and what is measured is the others."""
    base, began = total(p, "weir_score_predictions_total"), time.monotonic()
    assert not load(p, 1000000, count // 1000000, 0, "predictions", "prediction")["missing"]
    rate = count // 1000000 * 1000000 / (time.monotonic() - began)
    assert total(p, "weir_score_predictions_total") - base >= count // 1000000 * 1000000
    print("payments to predictions, as many as go: %.0f/s" % rate, flush=True)
    return rate


def three_arms(p, model):
    """Of three versions of the model; train tells of aliases."""
    for worker in ("train", "rollout"):
        p.start(worker)
    weir(p, "rollout", p.path, "--start", "%s:2,%s:3" % (model, model))
    arms = lambda: {dict(labels)["arm"] for (n, labels), v in p.metrics("score").items() if n == "weir_score_model_info" and v == 1}
    wait_for("the challengers", lambda: arms() == {"champion", "challenger", "challenger-2"}, 30, 0.1)
    wait_for("their shares", lambda: [e for e in own_events(p, "weir.rollouts") if e["type"] == "started"], 30, 0.2)
    for worker in ("train", "rollout"):
        p.kill(worker, sig=signal.SIGTERM)


def memory_mib(pid):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def stolen_s():
    """Seconds that the machine's host gave to others."""
    with open("/proc/stat") as f:
        return int(f.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


SOAKED = (("p50 ms", "%.2f"), ("p99 ms", "%.1f"), ("p50 of one hop ms", "%.2f"), ("p50 in hops", "%.2f"), ("MiB of ingest", "%.0f"), ("descriptors of ingest", "%.0f"), ("MiB of score", "%.0f"),
          ("descriptors of score", "%.0f"), ("of a core: broker", "%.2f"), ("ingest", "%.2f"), ("score", "%.2f"), ("stolen", "%.2f"))
MUST_NOT_GROW = ("p50 in hops", "MiB of ingest", "descriptors of ingest", "MiB of score", "descriptors of score")


def soak(p, rate, minutes):
    """Each minute 45 s of payments to predictions, then 8 s of payments that are read as they are, while all goes on: one hop through the broker, by which a machine that slows down shows. The first fifth fills
    caches and rings; after that nothing of Weir's may grow by a tenth, least squares over the minutes."""
    rows = []
    for minute in range(minutes):
        before, stolen, began = cpu(p), stolen_s(), time.monotonic()
        found = paced(p, rate, 42)
        took = time.monotonic() - began
        used = [(after - before[name]) / took for name, after in cpu(p).items()] + [(stolen_s() - stolen) / took]
        hop = load(p, rate, 6, 2, "events", "weir")["p50_ms"]
        held = [of(p.processes[w, "0"].pid) for w in ("ingest", "score") for of in (memory_mib, descriptors)]
        rows.append([found["p50_ms"], found["p99_ms"], hop, found["p50_ms"] / hop, *held, *used])
        print("minute %d: %s" % (minute + 1, ", ".join("%s %s" % (name, form % value) for (name, form), value in zip(SOAKED, rows[-1]))), flush=True)
        assert not found["missing"]
    kept, failed = rows[len(rows) // 5:], []
    middle = (len(kept) - 1) / 2
    for i, (name, _) in enumerate(SOAKED):
        mean = statistics.mean(r[i] for r in kept)
        slope = sum((m - middle) * (r[i] - mean) for m, r in enumerate(kept)) / max(sum((m - middle) ** 2 for m in range(len(kept))), 1)
        growth = slope * (len(kept) - 1) / max(mean, 1e-9)
        print("%s: %.2f on average, %+.1f %% over the time" % (name, mean, 100 * growth), flush=True)
        if growth > 0.1 and name in MUST_NOT_GROW:
            failed.append(name)
    assert not failed, "these grew: %s" % ", ".join(failed)


def asked(port, rate, reads, connections, body, path):
    done = subprocess.run([os.path.join(os.environ["WEIR_BUILD"], "weir_bench_online"), "http", str(port), str(rate), str(reads), str(connections), body, path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def print_asked(what, rounds):
    middle = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    print("HTTP, %s: %.0f/s, p50 %.0f us, p99 %.0f us, 99.9 %% %.0f us; the load sent %.0f us late at p99 (medians of %d rounds; p99 of each: %s)"
          % (what, middle["reads_per_s"], middle["p50_us"], middle["p99_us"], middle["p999_us"], middle["sent_late_p99_us"], len(rounds), ", ".join("%.0f" % found["p99_us"] for found in rounds)), flush=True)
    return middle


def over_http(p, payments, rate, seconds, rounds):
    """One row by entity id a request: as fast as 8 connections go; and at a steady rate, in turn with a server that does nothing, which has the latency that the machine and the load leave."""
    process, port = p.start("serve"), free_port()
    body, path = os.path.join(p.dir, "requests"), "/v2/models/%s/infer" % p.name
    with open(body, "w") as f:
        for row in payments.rows[:1000]:
            inputs = [("customer_id", "BYTES", row["customer_id"]), ("terminal_id", "BYTES", row["terminal_id"]), ("amount", "FP64", row["amount"]), ("tx_time", "BYTES", at(row["us"]).isoformat())]
            f.write(json.dumps({"inputs": [{"name": n, "datatype": t, "shape": [1], "data": [v]} for n, t, v in inputs]}) + "\n")
    print_asked("one row by entity id, 8 connections", [asked(process.port, 0, 200000, 8, body, path) for _ in range(rounds)])
    with subprocess.Popen([os.path.join(os.environ["WEIR_BUILD"], "weir_bench_online"), "echo", str(port)]) as echo:
        try:
            found = [[asked(of, rate, rate * seconds // 2, 16, body, path) for of in (process.port, port)] for _ in range(2 * rounds)]
        finally:
            echo.terminate()
    ours, nothing = (print_asked(what, [f[i] for f in found]) for i, what in enumerate(("the same, %d/s on 16 connections" % rate, "a server that does nothing, the same load")))
    print("HTTP, of what a server takes that does nothing: p50 %.2f, p99 %.2f" % (ours["p50_us"] / nothing["p50_us"], ours["p99_us"] / nothing["p99_us"]), flush=True)
    p.kill("serve", sig=signal.SIGTERM)


def start(p, times):
    took = []
    for _ in range(times):
        began = time.monotonic()
        process = p.start("serve", wait=False)
        ready = False
        while not ready and time.monotonic() - began < 60:
            try:
                ready = get("http://127.0.0.1:%d/v2/health/ready" % process.port)[0] == 200
            except OSError:
                pass
            time.sleep(0.002)
        took.append((time.monotonic() - began) * 1e3)
        held = memory_mib(process.pid)
        p.kill("serve", sig=signal.SIGTERM)
    print("serve: ready after %.0f ms (median of %d), %.0f MiB in memory" % (statistics.median(took), times, held), flush=True)


def prepare(p, payments, versions):
    """A champion, and so many versions of its model; what is not measured has stopped."""
    for worker in ("ingest", "store", "train", "score"):
        p.start(worker, wait=worker != "score")
    Source(p, payments).publish(5000)
    wait_for("features of the first payments", lambda: len(feature_records(p)) >= 5000, 60, 0.5)
    time.sleep(2)
    first_day = payments.rows[0]["us"] // DAY_US
    for version in range(versions):
        train(p, at((first_day + version) * DAY_US).strftime("%Y-%m-%d"))
    model = p.spec["training"]["candidates"][0]["name"]
    alias(p, "champion", model, 1)
    p.wait_ready("score")
    for worker in ("store", "train"):
        p.kill(worker, sig=signal.SIGTERM)
    return model


def main():
    parser = argparse.ArgumentParser()
    for name, value in (("rate", 0), ("seconds", 15), ("rounds", 3), ("records", 1000000), ("starts", 5), ("partitions", 1), ("soak", 0)):
        parser.add_argument("--" + name, type=int, default=value)
    o = parser.parse_args()
    payments = Payments(6000, seed=7, days=24)
    with Pipeline(scoring_spec(o.partitions, short=o.soak > 0)) as p:
        model = prepare(p, payments, 1 if o.soak else 3)
        if o.soak:
            soak(p, o.rate or int(flood(p, o.records) / 2), o.soak)
            return
        print("score: %d MiB in memory with one model" % memory_mib(p.processes["score", "0"].pid), flush=True)
        start(p, o.starts)
        over_http(p, payments, 10000, o.seconds, o.rounds)
        latency(p, o.rate or 20000, o.seconds, o.rounds)
        flood(p, o.records)
        one = drain(p, o.records, "one arm")
        three_arms(p, model)
        three = drain(p, o.records, "three arms")
        print("three arms cost %.0f %% over one by the watch, %.0f %% by CPU" % (100 * (one[0] / three[0] - 1), 100 * (three[1] / one[1] - 1)), flush=True)


if __name__ == "__main__":
    main()
