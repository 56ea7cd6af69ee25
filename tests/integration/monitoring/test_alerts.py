"""From a worker's finding to a person: the fraud pipeline's experiment worker finds that a version degraded, Prometheus' rule fires, Alertmanager's API shows it and tells a webhook; when the
version is replaced the webhook is told that it is over. Configurations and rules are those of monitoring/, intervals included; only where the others are is the test's own."""
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "consumers")]
from weirtest import *  # noqa: E402,F403
from test_degradation import Feed, alerts, prepare, register, serve  # noqa: E402

WITHIN_S = 60  # of the finding


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what it is told: (seconds, status, labels, annotations)."""

    told = []

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Receiver.told += [(time.time(), a["status"], a["labels"], a["annotations"]) for a in message["alerts"]]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Watchers:
    """Prometheus, Alertmanager and the webhook, in a folder of their own."""

    def __init__(self, target):
        self.dir, self.processes = tempfile.mkdtemp(prefix="weir-alerts-"), []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.prometheus, self.alertmanager = free_port(), free_port()
        for name in ("prometheus.yml", "alerts.yml", "alertmanager.yml"):
            shutil.copy(os.path.join(ROOT, "monitoring", name), self.dir)
        with open(self.path("alertmanager.yml"), "a") as f:
            f.write('    webhook_configs:\n      - url: "http://127.0.0.1:%d/"\n' % self.server.server_address[1])
        for folder, port in (("targets", target), ("alertmanagers", self.alertmanager)):
            os.mkdir(self.path(folder))
            with open(self.path(folder + "/weir.yml"), "w") as f:
                f.write('- targets: ["127.0.0.1:%d"]\n' % port)
        self.run("prometheus", "--config.file=" + self.path("prometheus.yml"), "--storage.tsdb.path=" + self.path("data"), "--web.listen-address=127.0.0.1:%d" % self.prometheus)
        self.run("prometheus-alertmanager", "--config.file=" + self.path("alertmanager.yml"), "--storage.path=" + self.path("silences"),
                 "--web.listen-address=127.0.0.1:%d" % self.alertmanager, "--cluster.listen-address=")
        for port in (self.prometheus, self.alertmanager):
            wait_for("port %d" % port, lambda: self.ready(port), 60, 0.2)

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, program, *arguments):
        with open(self.path(program + ".log"), "w") as log:
            self.processes.append(subprocess.Popen([program, *arguments, "--log.level=warn"], stdout=log, stderr=log))

    def ready(self, port):
        try:
            return get("http://127.0.0.1:%d/-/ready" % port)[0] == 200
        except OSError:
            return False

    def active(self, p):
        """Of the pipeline; the machine's disk may have alerts of its own."""
        alerts = json.loads(get("http://127.0.0.1:%d/api/v2/alerts?active=true" % self.alertmanager)[1])
        return [a for a in alerts if a["labels"]["alertname"] == "WeirDegradation" and a["labels"]["pipeline"] == p.name]

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
        self.server.shutdown()
        shutil.rmtree(self.dir)


def told(p, status):
    return [t for t in Receiver.told if t[1] == status and t[2]["alertname"] == "WeirDegradation" and t[2]["pipeline"] == p.name]


def check(p, watchers):
    feed = Feed(p)
    feed.add(3000, 0.97)
    wait_for("the first look", lambda: any(name == "weir_experiment_degradation_ratio" for name, _ in p.metrics("experiment")), 60, 0.5)
    disks = {dict(labels)["place"]: value for (name, labels), value in p.metrics("experiment").items() if name == "weir_disk_free_ratio"}
    full = os.statvfs(p.dir)
    assert set(disks) == {"state", "objects"} and abs(disks["state"] - full.f_bavail / (full.f_blocks - full.f_bfree + full.f_bavail)) < 0.02, disks
    assert not watchers.active(p) and not told(p, "firing"), (watchers.active(p), Receiver.told)
    feed.add(6000, 0.5)
    found = wait_for("the finding", lambda: alerts(p), 60, 0.2)[0]["at"].timestamp()
    shown = wait_for("Alertmanager to show it", lambda: watchers.active(p), WITHIN_S, 0.2)
    shown_s = time.time() - found
    assert len(shown) == 1 and shown[0]["annotations"]["runbook"] == "docs/runbooks/degradation.md", shown
    first = wait_for("the webhook to be told", lambda: told(p, "firing"), WITHIN_S, 0.2)[0]
    assert first[2] == dict(first[2], model="fraud-test", version="1", arm="champion", severity="warning"), first
    assert "fraud-test version 1 of %s has become worse" % p.name == first[3]["summary"], first
    print("found; %.1f s later in Alertmanager, %.1f s later at the webhook" % (shown_s, first[0] - found))
    serve(p, "fraud-test", 2)
    feed.add(500, 0.97, version=2, digest="d2")
    wait_for("the webhook to be told that it is over", lambda: told(p, "resolved"), 240, 0.5)
    assert not watchers.active(p)


def main():
    missing = [program for program in ("prometheus", "prometheus-alertmanager") if not shutil.which(program)]
    if missing:
        print("skipped: %s not installed; ./run deps stack installs it" % ", ".join(missing))
        sys.exit(SKIPPED)
    with Pipeline(lambda spec: spec.update(triggers={"performance": {"metric": "auc_roc", "min_rows": 500}})) as p:
        prepare(p)
        register(p, "fraud-test", 1, "d1")
        register(p, "fraud-test", 2, "d2")
        serve(p, "fraud-test", 1)
        worker = p.start("experiment")
        watchers = Watchers(worker.port)
        try:
            check(p, watchers)
        finally:
            watchers.close()


if __name__ == "__main__":
    main()
