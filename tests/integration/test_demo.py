"""What a newcomer sees: a demo on the tests' stack, its report, the HTTP API afterwards, and a dashboard in which every query has data."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
from weirtest import *  # noqa: E402,F403

METRICS = ["auc_roc", "average_precision", "card_precision_100", "f1", "precision", "recall"]


def run(*command):
    done = subprocess.run([os.path.join(ROOT, "run"), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, "./run %s: %d\n%s" % (" ".join(command), done.returncode, done.stdout)


def check_report(report):
    assert report["events_in"] == report["labels_in"] > 10000, report["events_in"]
    assert report["features_out"] == {"customer": report["events_in"], "terminal": report["labels_in"]}, report["features_out"]
    letters = [dict(m.headers())["weir.source.topic"].decode() for m in read_all("fraud.deadletter")]
    assert len(letters) == report["dead_letters"]["total"], (letters, report["dead_letters"])
    assert not [topic for topic in letters if not topic.startswith("weir.")], letters  # the topics that all pipelines share hold other tests' bad records
    assert len(report["models"]) == 3
    for model in report["models"]:
        assert model["version"] == 1 and len(model["digest"]) == 64
        for name in METRICS:
            assert 0 <= model["metrics"][name] <= 1, (model["name"], name)
        assert model["metrics"]["auc_roc"] > 0.7, model
    assert report["predictions"]["champion"] > 0 and report["predictions"]["challenger"] > 0
    assert sum(a["labelled"] for a in report["experiment"]["arms"]) == report["predictions"]["total"]
    assert report["rates"] and report["durations_s"]["total"] > 0


def child(script, **env):
    done = subprocess.run([sys.executable, os.path.join(os.path.dirname(__file__), script)], env=dict(os.environ, **env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, "%s: exit %d\n%s" % (script, done.returncode, done.stdout)
    print(done.stdout.strip().splitlines()[-1])


def main():
    need("WEIR_STACK_DIR", "WEIR_HTTP_PORT", "WEIR_PROMETHEUS_URL")
    subprocess.run([BINARY, "topics", "create", "fraud"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([BINARY, "reset", "fraud"], check=True, stdout=subprocess.DEVNULL)
    run("up", "prometheus", "weir")
    try:
        with tempfile.TemporaryDirectory() as out:
            done = subprocess.run([BINARY, "demo", "fraud", "--entities", "500", "--days", "60", "--out", out], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=600)
            assert done.returncode == 0, "weir demo: exit %d\n%s" % (done.returncode, done.stdout)
            with open(os.path.join(out, "report.json")) as f:
                check_report(json.load(f))
            with open(os.path.join(out, "report.html")) as f:
                page = f.read()
            assert "http://" not in page.replace("http://www.w3.org", "") and "<script src" not in page, "the page loads something from elsewhere"
        print("demo: reported")
        child("consumers/test_serve.py", WEIR_API_URL="http://127.0.0.1:" + os.environ["WEIR_HTTP_PORT"])
        child("consumers/test_serve_protocol.py", WEIR_API_URL="http://127.0.0.1:" + os.environ["WEIR_HTTP_PORT"])
        time.sleep(6)  # one more scrape of the final figures
        child("monitoring/test_dashboard.py", WEIR_DASHBOARD_MINUTES="20")
    finally:
        run("down", "weir", "prometheus")


main()
