"""The registry's outbox becomes events of weir.models over real Kafka and PostgreSQL: train workers of several pipelines carry the same outbox at once, and each event comes once, in order."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

WRITERS, MOVES = 3, 400
MOVE = """INSERT INTO weir.outbox (key, type, pipeline, model, version, digest, alias) SELECT '%s', 'alias.moved', '%s', 'm', %d, 'none', 'champion' FROM pg_advisory_xact_lock(8603398603344405619)"""


def write(name):
    """One transaction a move, as the registry does it."""
    return subprocess.Popen(["psql", "-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", PG], stdin=subprocess.PIPE, text=True), "\n".join(MOVE % (name, name, i) + ";" for i in range(MOVES))


def main():
    with Pipeline() as a, Pipeline() as b:
        for p in (a, b):
            p.start("train")
        names = [a.name, b.name, a.name + ".of_nobody"]  # the last as models of register_model, whose events any pipeline's worker carries
        workers = [p.processes["train", "0"] for p in (a, b)]
        for worker in workers:  # so that both have the same before them, and look at the same time
            worker.send_signal(signal.SIGSTOP)
        writers = [write(name) for name in names]
        for process, text in writers:
            process.stdin.write(text)
            process.stdin.close()
        assert all(process.wait(120) == 0 for process, _ in writers)
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
        mine = "key = ANY ('{%s}')" % ",".join(names)
        wait_for("the outbox to be carried", lambda: query("SELECT count(*) FROM weir.outbox WHERE sent_at IS NULL AND %s" % mine)[0][0] == 0, 60)
        seen = collections.defaultdict(list)
        for message in sorted(read_all("weir.models"), key=lambda m: (m.partition(), m.offset())):
            event = a.decode("weir.models", message.value())
            if event["pipeline"] in names:
                seen[event["pipeline"]].append((event["event_id"], event["version"]))
        for name in names:
            ids = [i for i, _ in seen[name]]
            assert [v for _, v in seen[name]] == list(range(MOVES)), "%s: %d events for %d moves, first repeat or gap at %s" % (
                name, len(ids), MOVES, next((n for n, (_, v) in enumerate(seen[name]) if n != v), len(ids)))
            assert ids == sorted(set(ids))
        print("%d moves of %d pipelines by two workers: once each, in order" % (len(names) * MOVES, len(names)))


main()
