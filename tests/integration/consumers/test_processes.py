"""The whole loop of test_loop.py with each worker as a process of its own, and the train worker told to stop in the middle of a run: it ends at once and cleanly, and the run is
done after its next start."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from test_loop import main  # noqa: E402
from weirtest import *  # noqa: E402,F403


def stop_training(p):
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
