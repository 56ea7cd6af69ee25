"""Rollouts on a real stack: what a better, an equal, a harmful and a failing challenger come to, which outcomes count while the worker is killed, and what people may ask for. The versions have the form of
one trained model and numbers of their own: one knows what amounts are fraud, and there are its twin, its contrary, one that knows nothing, and one beyond the numbers."""
import hashlib
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

LABEL_DELAY_US = 2 * DAY_US
GOOD, TWIN, CONTRARY, HUGE, FLAT = 2, 3, 4, 5, 6
WORKERS = ("ingest", "store", "train", "score", "rollout")
SHARES = [0.3, 0.6, 1]


def spec_of(spec):
    short_training(spec)
    spec["training"]["candidates"] = spec["training"]["candidates"][:1]
    del spec["training"]["challenger"]
    spec["rollout"] = {"salt": spec["pipeline"], "steps": SHARES, "split": "request", "loss": "brier", "min_rows": 100, "guards": {"latency": "10s"}}


def weir(p, *args, code=0):
    env = dict(os.environ, WEIR_STATE_DIR=os.path.join(p.dir, "state"), WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"))
    done = subprocess.run([BINARY, *args], cwd=ROOT, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def rollout(p):
    return json.loads(weir(p, "rollout", p.path, "--status", "--output", "json"))


def outcomes(status):
    return sum(arm["outcomes"] for arm in status["arms"].values())


def aliases(p):
    return dict(query("SELECT alias, version FROM weir.aliases WHERE pipeline = '%s'" % p.name))


class Source:
    """Hands out the payments bit by bit."""

    def __init__(self, p, payments):
        self.p, self.payments, self.out, self.at = p, payments, producer(), 0

    def publish(self, count):
        for row in self.payments.rows[self.at:self.at + count]:
            key = ("default/" + row["customer_id"]).encode()
            self.out.produce(self.p.topic("events"), self.p.encode(self.p.topic("events"), self.payments.event(row)), key)
            self.out.produce(self.p.topic("labels"), self.p.encode(self.p.topic("labels"), self.payments.label(row, LABEL_DELAY_US)), key)
        assert self.out.flush(60) == 0
        self.at += count
        assert self.at <= len(self.payments.rows), "the test has no more payments"

    def until(self, what, condition, most, portion=500):
        """Publishes until the condition holds."""
        for _ in range(most // portion):
            self.publish(portion)
            before = self.predictions()
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and self.predictions() < before + portion // 2 and not condition():
                time.sleep(0.2)
            for _ in range(10):
                if condition():
                    return
                time.sleep(0.2)
        wait_for(what, condition, 20, 0.5)

    def predictions(self):
        return query('SELECT count(*) FROM "%s".predictions' % self.p.name)[0][0]


def make_version(p, number, form):
    """A version like the first one with another intercept and coefficients in its linear form, which holds intercept, means, scales, coefficients."""
    model, path, feature_hash = query("SELECT model, artifact_path, feature_hash FROM weir.model_versions WHERE pipeline = '%s' AND version = 1" % p.name)[0]
    objects = os.path.join(p.dir, "objects")
    with open(os.path.join(objects, path), "rb") as f:
        data = f.read()[:-32]  # without its checksum
    body = data.index(b"LOGREG01") + 8
    columns = (len(data) - body) // 8 // 3
    numbers = list(struct.unpack("<%dd" % (3 * columns + 1), data[body:body + 8 * (3 * columns + 1)]))
    mean, scale = numbers[1:1 + columns], numbers[1 + columns:1 + 2 * columns]
    intercept, coefficient = form(mean, scale)
    numbers = [intercept] + mean + scale + coefficient
    data = (data[:body] + struct.pack("<%dd" % len(numbers), *numbers)).replace(b'"seed":42', b'"seed":%d' % (50 + number))
    data += hashlib.sha256(data).digest()
    digest = hashlib.sha256(data).hexdigest()
    path = os.path.join(os.path.dirname(path), digest + ".weirmodel")
    with open(os.path.join(objects, path), "wb") as f:
        f.write(data)
    import psycopg2
    with psycopg2.connect(PG) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO weir.model_versions (pipeline, model, version, algorithm, digest, artifact_path, feature_hash, dataset_digest, semver) VALUES (%s, %s, %s, 'logistic', %s, %s, %s, 'none', %s)",
                       (p.name, model, number, digest, path, feature_hash, [number, 0, 0]))
    return model


def beyond(mean, scale):
    """Infinity minus infinity."""
    mean[:2], scale[:2] = [-1.0, -1.0], [1e-300, 1e-300]
    return 0.0, [1e308, -1e308] + [0.0] * (len(mean) - 2)


def alias(p, name, model, version):
    weir(p, "models", "promote", p.path, "--model", model, "--version", str(version), "--alias", name, "--force")


def counted_once(p, status):
    """Every labelled prediction of both versions since the start is counted, and none twice."""
    rows = query("SELECT count(DISTINCT (source_partition, source_offset)) FROM \"%s\".predictions p WHERE predicted_at >= '%s' AND arm || version IN ('champion%s', 'challenger%s') AND EXISTS "
                 "(SELECT FROM \"%s\".labels l WHERE l.transaction_id = p.join_id)"
                 % (p.name, status["started_at"], status["champion"].rsplit("/", 1)[1], status["challenger"].rsplit("/", 1)[1], p.name))[0][0]
    noted = query("SELECT count(*) FROM weir.rollout_outcomes WHERE rollout_id = '%s'" % status["rollout_id"])[0][0]
    return rows if rows == noted == outcomes(status) + status["left_out"] else None


def harmful(p, source, model):
    alias(p, "challenger", model, CONTRARY)
    wait_for("a rollout", lambda: has_rollout(p), 30, 0.5)
    source.until("the rollback", lambda: rollout(p)["state"] == "rolled_back", 4000)
    status = wait_for("the alias to go", lambda: "challenger" not in aliases(p) and rollout(p), 30, 0.5)
    assert aliases(p) == {"champion": GOOD}, aliases(p)
    assert "worse" in status["reason"] and status["e_values"]["worse"] >= status["e_values"]["needed"] == 40, status
    assert status["arms"]["challenger"]["loss"] > status["arms"]["champion"]["loss"], status
    told = wait_for("the alert", lambda: [a for a in own_events(p, "weir.alerts") if a["name"] == "WeirRolledBack"], 30, 0.5)
    assert told[0]["state"] == "firing" and json.loads(told[0]["detail"])["e_values"]["worse"] >= 40, told
    print("harm: rolled back after %d outcomes, %s" % (outcomes(status), status["reason"]))


def has_rollout(p):
    return query("SELECT FROM weir.rollouts WHERE pipeline = '%s'" % p.name)


def without_metric(p):
    """What it is judged by is not there: it pauses, and the worker stays."""
    rename = lambda old, new: execute('ALTER TABLE "%s".predictions RENAME COLUMN %s TO %s' % (p.name, old, new))
    for worker in ("store", "rollout"):
        assert p.kill(worker, "0", signal.SIGTERM) == 0
    before = outcomes(rollout(p))
    rename("propensity", "gone")
    p.start("rollout")
    status = wait_for("the pause", lambda: (lambda r: r["state"] == "paused" and r)(rollout(p)), 30, 0.5)
    assert "cannot be had" in status["reason"] and "propensity" in status["reason"] and outcomes(status) == before, status
    rename("gone", "propensity")
    p.start("store")
    weir(p, "rollout", p.path, "--resume")


def execute(sql):
    import psycopg2
    with psycopg2.connect(PG) as connection, connection.cursor() as cursor:
        cursor.execute(sql)


def equal(p, source, model):
    answer = weir(p, "rollout", p.path, "--start", "%s:%d" % (model, TWIN), "--reason", "the twin")
    assert "done" in answer, answer
    assert "refused" in weir(p, "rollout", p.path, "--start", "%s:%d" % (model, CONTRARY), code=1)
    assert aliases(p) == {"champion": GOOD, "challenger": TWIN}
    assert wait_for("the resolved alert", lambda: [a for a in own_events(p, "weir.alerts") if a["state"] == "resolved"], 30, 0.5)
    first = source.predictions()
    for kill in range(2):  # while it counts; the next one has the partition when Kafka misses the first
        source.publish(600)
        wait_for("outcomes to be counted", lambda: outcomes(rollout(p)) > 600 * kill, 30, 0.02)
        p.kill("rollout")
        p.start("rollout")
    wait_for("predictions", lambda: source.predictions() == first + 1200, 60, 0.5)
    assert "refused" in weir(p, "rollout", p.path, "--resume", code=1)
    weir(p, "rollout", p.path, "--pause", "--reason", "a look")
    assert rollout(p)["state"] == "paused" and rollout(p)["reason"] == "a look"
    source.publish(300)
    wait_for("each outcome once", lambda: source.predictions() == first + 1500 and counted_once(p, rollout(p)), 60, 0.5)
    status = rollout(p)
    assert status["state"] == "paused" and status["share"] in SHARES[:2], status
    weir(p, "rollout", p.path, "--resume")
    source.publish(500)
    wait_for("each outcome once", lambda: source.predictions() == first + 2000 and counted_once(p, rollout(p)), 60, 0.5)
    status = rollout(p)
    assert status["state"] == "running" and max(status["e_values"]["better"], status["e_values"]["worse"]) < 40, status
    assert status["gain"]["low"] < 0 < status["gain"]["high"], status
    assert abs(status["split"]["measured"] - status["split"]["planned"]) < 0.05 and status["split"]["e_value"] < status["split"]["alarm"], status
    without_metric(p)
    weir(p, "rollout", p.path, "--abort", "--reason", "enough")
    wait_for("the alias to go", lambda: aliases(p) == {"champion": GOOD}, 30, 0.5)
    assert "refused" in weir(p, "rollout", p.path, "--promote", code=1)
    told = [e["type"] for e in own_events(p, "weir.rollouts") if e["rollout_id"] == status["rollout_id"] and e["type"] != "stepped"]
    assert told == ["started", "paused", "resumed", "paused", "resumed", "aborted"], told
    print("equal: %d outcomes, each counted once over 2 kills, e-values %.3g and %.3g" % (outcomes(status), status["e_values"]["better"], status["e_values"]["worse"]))


def better(p, source, model):
    alias(p, "champion", model, FLAT)
    alias(p, "challenger", model, GOOD)
    wait_for("the rollout", lambda: rollout(p)["challenger"].endswith("/%d" % GOOD), 30, 0.5)
    source.until("the promotion", lambda: rollout(p)["state"] == "promoted", 8000)
    wait_for("the aliases", lambda: aliases(p) == {"champion": GOOD}, 30, 0.5)
    status = rollout(p)
    told = wait_for("its events", lambda: (lambda t: t if t and t[-1]["type"] == "promoted" else None)([e for e in own_events(p, "weir.rollouts") if e["rollout_id"] == status["rollout_id"]]), 30, 0.5)
    assert [(e["type"], e["share"]) for e in told] == [("started", 0.3), ("stepped", 0.6), ("promoted", 1)], told
    logged = dict(query("SELECT round(propensity::numeric, 3)::float8, count(*) FROM \"%s\".predictions WHERE arm = 'challenger' AND version = %d GROUP BY 1" % (p.name, GOOD)))
    assert set(logged) <= {0.3, 0.6, 1.0} and logged[0.3] >= 100 and logged[0.6] >= 100, logged
    print("better: promoted after %d outcomes, %s" % (outcomes(status), status["reason"]))
    weir(p, "rollout", p.path, "--rollback", "--reason", "a complaint")
    wait_for("the champion before it", lambda: aliases(p) == {"champion": FLAT}, 30, 0.5)
    assert rollout(p)["state"] == "rolled_back" and rollout(p)["reason"] == "a complaint"


def failing(p, source, model):
    alias(p, "challenger", model, HUGE)
    wait_for("the rollout", lambda: rollout(p)["challenger"].endswith("/%d" % HUGE), 30, 0.5)
    first = source.predictions()
    source.publish(1000)
    status = wait_for("the rollback", lambda: (lambda r: r["state"] == "rolled_back" and r)(rollout(p)), 30, 0.5)
    assert "guard nan" in status["reason"], status
    wait_for("the alias to go", lambda: aliases(p) == {"champion": FLAT}, 30, 0.5)
    wait_for("a prediction of each payment", lambda: source.predictions() == first + 1000, 60, 0.5)
    assert not query("SELECT FROM \"%s\".predictions WHERE version = %d" % (p.name, HUGE))  # the champion answered
    metrics = p.metrics("score")
    assert metrics["weir_rollout_guard_breaches_total", frozenset({("pipeline", p.name), ("guard", "nan")})] == 1, metrics
    asked = [e for e in own_events(p, "weir.rollouts") if e["type"] == "ask.rollback" and e["actor"] == "guard"]
    assert len(asked) == 1, asked
    print("failing: %s" % status["reason"])


def main():
    payments = Payments(24000, seed=7, days=48)
    first = payments.rows[0]["us"] // DAY_US * DAY_US
    with Pipeline(spec_of) as p:
        for worker in WORKERS:
            p.start(worker, wait=False)
        for worker in WORKERS:
            p.wait_ready(worker)
        source = Source(p, payments)
        source.publish(5000)
        wait_for("features of the first payments", lambda: len(feature_records(p)) >= 5000, 60, 0.5)
        time.sleep(2)
        train(p, at(first).strftime("%Y-%m-%d"))
        amount = lambda slope: lambda mean, scale: (-slope * (120 - mean[0]) / scale[0], [slope] + [0.0] * (len(mean) - 1))
        forms = {GOOD: amount(8), TWIN: amount(8), CONTRARY: amount(-0.5), HUGE: beyond, FLAT: lambda mean, _: (-2.3, [0.0] * len(mean))}
        for number, form in forms.items():
            model = make_version(p, number, form)
        alias(p, "champion", model, GOOD)
        wait_for("the champion", lambda: any(n == "weir_score_model_info" and v == 1 and ("version", str(GOOD)) in labels for (n, labels), v in p.metrics("score").items()), 30, 0.5)
        harmful(p, source, model)
        equal(p, source, model)
        better(p, source, model)
        failing(p, source, model)
        answer = weir(p, "rollout", p.path, "--pause", "--abort", code=2)
        assert "at a time" in answer, answer
    for table in ("rollouts", "rollout_events"):
        assert not query("SELECT FROM weir.%s WHERE pipeline = '%s'" % (table, p.name)), "weir reset left rows in weir.%s" % table


if __name__ == "__main__":
    main()
