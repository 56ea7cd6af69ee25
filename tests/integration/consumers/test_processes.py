"""The whole loop of test_loop.py with each worker as a process of its own, and the train worker told to stop in the middle of a run: it ends at once and cleanly, and the run is
done after its next start."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from test_loop import main  # noqa: E402
from weirtest import *  # noqa: E402,F403


def replicas(p, worker):
    return {dict(labels)["view"] for name, labels in p.metrics(worker) if name == "weir_online_entities" and dict(labels)["worker"] == "serving"}


def check_replicas(p):
    """A feature record brings the primary view to who scores it, so that a process that scores nothing else keeps no replica of that view."""
    views = [v["name"] for v in p.spec["views"]]
    wait_for("serve to tell of its replica", lambda: replicas(p, "serve") == set(views), 30)
    wait_for("score to tell of its replica", lambda: replicas(p, "score") == set(views[1:]), 30)


def check_libraries(p):
    """What only training and files need is not in the memory of those who serve."""
    for worker in ("ingest", "score", "serve"):
        with open("/proc/%d/maps" % p.processes[worker, "0"].pid) as f:
            maps = f.read()
        assert "librdkafka" in maps
        assert "libduckdb" not in maps and "libxgboost" not in maps, worker


def stop_training(p):
    check_replicas(p)
    check_libraries(p)
    status = lambda: query("SELECT status FROM weir.runs WHERE pipeline = '%s'" % p.name)
    wait_for("the run to be under way", lambda: status() in ([("running",)], [("awaiting_labels",)]), 60, 0.005)
    began = time.monotonic()
    code = p.kill("train", sig=signal.SIGTERM)
    took = time.monotonic() - began
    assert code == 0, "SIGTERM in the middle of a run gave exit code %d" % code
    assert took < 30, "a worker that is told to stop took %.1f s" % took
    print("train stopped in %.1f s, its run is %s" % (took, status()[0][0]))
    p.start("train")


main(("store", "train", "score", "serve", "experiment", "ingest"), stop_training)
