"""Runs, versions and aliases in a real MLflow server: they appear, wait while it is away, and appear once however often they are told.

Needs an MLflow server besides what weirtest.py needs: WEIR_MLFLOW names the program `mlflow`; `./run deps mlflow` installs one in .weir/mlflow. Skipped without."""
import hashlib
import os
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

MLFLOW = os.environ.get("WEIR_MLFLOW") or os.path.join(ROOT, ".weir", "mlflow", "bin", "mlflow")
if not os.access(MLFLOW, os.X_OK):
    print("skipped: there is no MLflow server; `./run deps mlflow` installs one")
    sys.exit(SKIPPED)

from confluent_kafka.admin import AdminClient  # noqa: E402


class Server:
    """An MLflow server that can be killed and started again."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        self.url = "http://127.0.0.1:%d" % self.port

    def start(self):
        log = open(os.path.join(self.folder, "mlflow.log"), "ab")
        args = [MLFLOW, "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1", "--backend-store-uri",
                "sqlite:///" + os.path.join(self.folder, "mlflow.db"), "--artifacts-destination", os.path.join(self.folder, "artifacts")]
        self.process = subprocess.Popen(args, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        log.close()

        def ready():
            try:
                return get(self.url + "/health")[0] == 200
            except OSError:
                return False

        wait_for("the MLflow server", ready, 180, 0.5)

    def kill(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)  # it has workers
            self.process.wait()
            self.process = None

    def ask(self, path, body=None, **query):
        url = self.url + "/api/2.0/mlflow/" + path + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.loads(response.read() or b"{}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError("%s: %d %s" % (path, error.code, error.read()))

    def runs(self, experiment):
        found = self.ask("experiments/get-by-name", experiment_name=experiment)
        if not found:
            return {}
        runs = self.ask("runs/search", {"experiment_ids": [found["experiment"]["experiment_id"]], "max_results": 100}).get("runs", [])
        by_id = {}
        for run in runs:
            by_id.setdefault({t["key"]: t["value"] for t in run["data"]["tags"]}["weir.run_id"], []).append(run)
        return by_id

    def versions(self, name):
        found = self.ask("model-versions/search", filter="name='%s'" % name)
        out = {}
        for version in found.get("model_versions", []):
            tags = {t["key"]: t["value"] for t in version.get("tags", [])}
            out.setdefault(int(tags["weir.version"]), []).append((version, tags))
        return out

    def alias(self, name, alias):
        model = self.ask("registered-models/get", name=name)
        return {a["alias"]: a["version"] for a in model["registered_model"].get("aliases", [])}.get(alias) if model else None


def publish(p, payments):
    out = producer()
    for row in payments.rows:
        key = ("default/" + row["customer_id"]).encode()
        out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), key)
        out.produce(p.topic("labels"), p.encode(p.topic("labels"), payments.label(row, 2 * DAY_US)), key)
    assert out.flush(60) == 0


def weir(p, *args):
    env = dict(os.environ, WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"))
    done = subprocess.run([BINARY, *args], env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, "%r: %s%s" % (args, done.stdout, done.stderr)
    return done.stdout


def check_run(server, p, run_id):
    """Everything that was logged is there, as often as it was logged."""
    (run,) = server.runs("/%s/training" % p.name)[run_id]
    data, tags = run["data"], {t["key"]: t["value"] for t in run["data"]["tags"]}
    params, metrics = {x["key"]: x["value"] for x in data["params"]}, {x["key"]: x["value"] for x in data["metrics"]}
    logged = dict(query("SELECT name, value FROM weir.run_params WHERE run_id = '%s'" % run_id))
    assert params == logged and len(params) > 10, (params, logged)
    measured = dict(query("SELECT name, value FROM weir.run_metrics WHERE run_id = '%s' AND value IS NOT NULL" % run_id))
    assert metrics == measured and any(name.endswith(".auc_roc") for name in metrics), (metrics, measured)
    for name in metrics:
        steps = query("SELECT step FROM weir.run_metric_steps WHERE run_id = '%s' AND name = '%s' AND value IS NOT NULL" % (run_id, name))
        history = server.ask("metrics/get-history", run_id=run["info"]["run_id"], metric_key=name)["metrics"]
        assert len(history) == len(steps), (name, history)
    assert tags["weir.pipeline"] == p.name and tags["reason"] == "manual", tags
    assert run["info"]["status"] == "FINISHED" and int(run["info"]["end_time"]) > int(run["info"]["start_time"]), run["info"]
    contexts = sorted(t["value"] for d in run["inputs"]["dataset_inputs"] for t in d["tags"] if t["key"] == "mlflow.data.context")
    assert contexts == ["test", "train"], run["inputs"]
    return run


def check_artifact(server, p, run, digest, path):
    """The model in MLflow's store is the model."""
    url = "%s/api/2.0/mlflow-artifacts/artifacts/%s/%s" % (server.url, run["info"]["artifact_uri"].split(":/", 1)[1].lstrip("/"), path)
    with urllib.request.urlopen(url, timeout=30) as response:
        assert hashlib.sha256(response.read()).hexdigest() == digest, path


def forget_offsets(p):
    """So that the worker reads its topics from the beginning."""
    admin = AdminClient({"bootstrap.servers": BROKERS})
    (future,) = admin.delete_consumer_groups(["weir.mlflow." + p.name]).values()
    future.result(60)


def replay(p):
    """The mirror alone, from the beginning; returns events by what became of them."""
    forget_offsets(p)
    p.start("mlflow", wait=False)
    count = lambda: {dict(labels)["outcome"]: v for (n, labels), v in p.metrics("mlflow").items() if n == "weir_mlflow_events_total"}
    lag = lambda: [v for (n, labels), v in p.metrics("mlflow").items() if n == "weir_worker_lag_records"]
    p.wait_ready("mlflow")
    wait_for("the replay", lambda: count().get("mirrored", 0) > 5 and lag() and not sum(lag()), 120, 0.5)
    time.sleep(1)
    events = count()
    p.kill("mlflow", "0", signal.SIGTERM)
    return events


def snapshot(server, p, models):
    """All that there is of the pipeline, as comparable values."""
    runs = server.runs("/%s/training" % p.name)
    return ({run_id: [(r["info"]["run_id"], r["info"]["status"], len(r["data"]["metrics"]), len(r["data"]["params"]), len(r["inputs"]["dataset_inputs"])) for r in found]
             for run_id, found in runs.items()},
            {m: {n: [v["version"] for v, _ in found] for n, found in server.versions(m).items()} for m in models}, {m: server.alias(m, "champion") for m in models})


def check_outage(server, p, first_day, models):
    """What happens while the server is away is shown when it is back; the pipeline does not notice."""
    server.kill()
    challenger = p.spec["training"]["challenger"]
    weir(p, "models", "promote", p.path, challenger, "--alias", "champion", "--reason", "test")
    second = train(p, at(first_day + 5 * DAY_US).strftime("%Y-%m-%d"))["id"]
    waiting = lambda: sum(v for (n, labels), v in p.metrics().items() if n == "weir_mlflow_events_total" and dict(labels)["outcome"] == "waiting")
    wait_for("the mirror to notice", waiting, 60)
    assert get("http://127.0.0.1:%d/readyz" % p.processes["run", "0"].port)[0] == 200
    server.start()
    finished = lambda: server.runs("/%s/training" % p.name).get(second, [{"info": {"status": "absent"}}])[0]["info"]["status"] == "FINISHED"
    wait_for("the run of the outage", finished, 120, 1)
    wait_for("the alias of the outage", lambda: server.alias("%s.%s" % (p.name, challenger), "champion") and not server.alias("%s.%s" % (p.name, p.spec["training"]["champion"]), "champion"), 60, 1)
    check_run(server, p, second)
    return second


def check_refusal(server, p, run_id):
    """An event that the server refuses goes to the dead letters, and those behind it are shown."""
    import psycopg2
    with psycopg2.connect(PG) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE weir.run_params SET value = 'another' WHERE run_id = %s AND name = 'window.train_from'", (run_id,))  # MLflow lets no parameter change
    events = replay(p)
    assert events.get("rejected", 0) >= 1 and events["mirrored"] > events["rejected"], events
    letters = [dict(m.headers()) for m in read_all(p.topic("deadletter"))]
    refused = [h for h in letters if h["weir.error.class"] == b"mlflow"]
    assert len(refused) == events["rejected"] and all(b"window.train_from" in h["weir.error.message"] or b"Changing param" in h["weir.error.message"] for h in refused), letters


def main():
    payments = Payments(4000, seed=3, days=16)
    first_day = payments.rows[0]["us"] // DAY_US * DAY_US
    with tempfile.TemporaryDirectory(prefix="weir-mlflow-") as folder, Pipeline(short_training) as p:
        server = Server(folder)
        os.environ["WEIR_MLFLOW_TRACKING_URI"] = server.url + "/"
        try:
            server.start()
            p.start("run")
            publish(p, payments)
            wait_for("features of the payments", lambda: len(feature_records(p)) >= len(payments.rows), 90, 0.5)
            time.sleep(2)
            run = train(p, at(first_day + 2 * DAY_US).strftime("%Y-%m-%d"))
            models = ["%s.%s" % (p.name, v["name"]) for v in run["detail"]["versions"]]
            finished = lambda: server.runs("/%s/training" % p.name).get(run["id"], [{"info": {"status": "absent"}}])[0]["info"]["status"] == "FINISHED"
            wait_for("the run in MLflow", finished, 120, 1)
            shown = check_run(server, p, run["id"])
            wait_for("the champion in MLflow", lambda: server.alias("%s.%s" % (p.name, p.spec["training"]["champion"]), "champion"), 60, 1)
            for version in run["detail"]["versions"]:
                ((found, tags),) = wait_for("metrics of " + version["name"], lambda: (lambda v: "metric.auc_roc" in v[0][1] and v)(server.versions("%s.%s" % (p.name, version["name"]))[1]), 60, 1)
                assert tags["weir.digest"] == version["digest"] and tags["weir.semver"] == "1.0.0" and found["run_id"] == shown["info"]["run_id"], (found, tags)
                check_artifact(server, p, shown, version["digest"], version["artifact_path"])
            print("shown: run with %d metrics, %d versions" % (len(shown["data"]["metrics"]), len(models)))

            second = check_outage(server, p, first_day, models)
            print("shown after the outage: run %s and a moved alias" % second)

            assert p.kill("run", "0", signal.SIGTERM) == 0
            third = models[-1].split(".", 1)[1]
            weir(p, "models", "delete", p.path, third, "--version", "1", "--reason", "test")
            p.start("train")  # which carries what happened to the topic
            wait_for("the deletion on its topic", lambda: any(e["type"] == "version.deleted" and e["pipeline"] == p.name for e in (p.decode("weir.models", m.value()) for m in read_all("weir.models"))), 60, 1)
            p.kill("train", "0", signal.SIGTERM)
            replay(p)
            assert 1 not in server.versions(models[-1]) and 2 in server.versions(models[-1]), server.versions(models[-1])
            before = snapshot(server, p, models)
            events = replay(p)
            assert snapshot(server, p, models) == before and "rejected" not in events, events
            for run_id in (run["id"], second):
                check_run(server, p, run_id)
            print("replayed %d events: nothing twice" % events["mirrored"])
            check_refusal(server, p, run["id"])
        finally:
            server.kill()
            del os.environ["WEIR_MLFLOW_TRACKING_URI"]
    print("ok")


if __name__ == "__main__":
    main()
