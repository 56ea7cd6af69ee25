"""The self-driving loop on real Kafka, by the demo's scenarios: a world that changes leads to drift, an alert, a decision, a run, a challenger at 10 %, 50 %, 100 % of the traffic and a new champion; versions that
do harm lose their traffic. What the control topics say is checked here, whatever the demo says of itself."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from weirtest import *  # noqa: E402,F403

TIMEOUT_S = 400  # of one scenario, which takes a minute or two where nothing else runs


def weir(p, *args, port=0):
    env = dict(os.environ, WEIR_STATE_DIR=os.path.join(p.dir, "state"), WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"), WEIR_HTTP_PORT=str(port))
    done = subprocess.run([BINARY, *args], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, "%s: exit %d\n%s" % (" ".join(args), done.returncode, done.stdout)
    return done.stdout


def play(p, domain, scenario):
    """The demo on the pipeline's own workers; its report."""
    weir(p, "demo", p.path, "--scenario", scenario, "--prepare", p.path)
    weir(p, "topics", "create", p.path)
    port = p.start("run").port
    began = time.monotonic()
    out = os.path.join(p.dir, "report")
    text = weir(p, "demo", p.path, "--domain", domain, "--scenario", scenario, "--out", out, port=port)
    with open(os.path.join(out, "report.json")) as f:
        report = json.load(f)
    with open(os.path.join(out, "report.html")) as f:
        page = f.read()
    assert report["complete"] and all(step["done"] for step in report["steps"]), text
    assert report["outcome"] in text and "<svg" in page and "http://" not in page.replace("http://www.w3.org", "")
    print("%s, %s: %.0f s; %s" % (domain, scenario, time.monotonic() - began, report["outcome"]))
    return report


def served(p):
    """{arm: (model, version, digest)} of the scorers."""
    found = {}
    for (name, labels), value in p.metrics("run").items():
        if name == "weir_score_model_info" and value == 1:
            of = dict(labels)
            found[of["arm"]] = (of["model"], int(of["version"]), of["digest"])
    return found


def aliases(p):
    return {alias: (model, version) for alias, model, version in query("SELECT alias, model, version FROM weir.aliases WHERE pipeline = '%s'" % p.name)}


def newest_answers(p, count=200):
    """By whom the newest predictions were made."""
    return {(arm, model, version) for arm, model, version in query(
        'SELECT arm, model, version FROM (SELECT arm, model, version FROM "%s".predictions ORDER BY predicted_at DESC LIMIT %d) newest' % (p.name, count))}


def drift(domain):
    with Pipeline(of=domain) as p:
        play(p, domain, "drift")
        judged = [e for e in own_events(p, "weir.drift") if e["kind"] == "features" and e["severity"] in ("high", "critical")]
        alerts = [e for e in own_events(p, "weir.alerts") if e["name"] == "WeirDrift"]
        decisions = own_events(p, "weir.training.decisions")
        requests = [e for e in own_events(p, "weir.training.requests") if e["reason"] == "drift"]
        assert judged and alerts and alerts[0]["state"] == "firing", (judged, alerts)
        yes = [d for d in decisions if d["train"]]
        assert len(yes) == 1 and yes[0]["cause"] == "drift" and yes[0]["cause_id"] in {e["drift_id"] for e in judged}, decisions
        waited = [d for d in decisions if not d["train"] and d["at"] < yes[0]["at"]]
        assert all("less than half of these days" in d["why"] for d in waited), waited
        assert [r["request_id"] for r in requests] == [yes[0]["request_id"]], requests
        training = json.loads(yes[0]["evidence"])["training"]
        assert requests[0]["train_from"].isoformat().replace("+00:00", "Z")[:19] == training["from"][:19], (requests, training)
        assert training["from"] < training["changed"] < training["to"] or training["changed"] <= training["from"], training

        runs = {e["status"]: e for e in own_events(p, "weir.training.runs") if e["request_id"] == yes[0]["request_id"]}
        assert {"queued", "running", "awaiting_labels"} <= set(runs), runs
        models = own_events(p, "weir.models")
        registered = [e for e in models if e["type"] == "version.registered"]
        assert [e["version"] for e in registered] == [1, 2], registered
        moves = [(e["alias"], e["model"] and e["version"]) for e in models if e["type"] == "alias.moved"]
        assert moves == [("champion", 1), ("challenger", 2), ("champion", 2), ("challenger", None)], moves
        moved = {(e["alias"], e["version"]): e for e in models if e["type"] == "alias.moved" and e["model"]}
        rollout = own_events(p, "weir.rollouts")
        assert [(e["type"], e["share"]) for e in rollout] == [("started", 0.1), ("stepped", 0.5), ("promoted", 1)], rollout
        evidence = json.loads(rollout[-1]["evidence"])
        assert evidence["e_values"]["better"] >= evidence["e_values"]["needed"] and evidence["arms"]["challenger"]["loss"] < evidence["arms"]["champion"]["loss"], evidence

        asked_by = next(e for e in judged if e["drift_id"] == yes[0]["cause_id"])
        way = [judged[0]["at"], asked_by["at"], yes[0]["at"], runs["running"]["at"], registered[1]["at"], moved["challenger", 2]["at"], rollout[0]["at"], rollout[1]["at"],
               rollout[2]["at"], moved["champion", 2]["at"]]
        assert way == sorted(way), way
        assert judged[0]["at"] <= alerts[0]["at"] <= yes[0]["at"], (judged[0], alerts[0], yes[0])
        model = registered[1]["model"]
        assert aliases(p) == {"champion": (model, 2)}, aliases(p)
        assert served(p) == {"champion": (model, 2, registered[1]["digest"])}, (served(p), registered)
        assert newest_answers(p) == {("champion", model, 2)}, newest_answers(p)


def harm(domain):
    with Pipeline(of=domain) as p:
        play(p, domain, "harm")
        models = own_events(p, "weir.models")
        first = next(e for e in models if e["type"] == "version.registered")
        bad = [p.name + "-units", p.name + "-labels"]
        moves = [(e["alias"], e["model"]) for e in models if e["type"] == "alias.moved"]
        assert moves == [("champion", first["model"]), ("challenger", bad[0]), ("challenger", None), ("challenger", bad[1]), ("challenger", None)], moves
        rollout = own_events(p, "weir.rollouts")
        told = [(e["type"], e["challenger"].rsplit("/", 1)[0]) for e in rollout if not e["type"].startswith("ask.")]
        assert told == [("started", bad[0]), ("rolled_back", bad[0]), ("started", bad[1]), ("rolled_back", bad[1])], told
        back = {e["challenger"].rsplit("/", 1)[0]: e for e in rollout if e["type"] == "rolled_back"}
        guards = [e for e in rollout if e["type"] == "ask.rollback" and e["actor"] == "guard"]
        assert guards and guards[0]["challenger"].startswith(bad[0]) and "guard nan" in back[bad[0]]["reason"], (guards, back)
        assert guards[0]["at"] <= back[bad[0]]["at"]
        evidence = json.loads(back[bad[1]]["evidence"])
        assert "worse" in back[bad[1]]["reason"] and evidence["e_values"]["worse"] >= evidence["e_values"]["needed"], back[bad[1]]
        assert evidence["arms"]["challenger"]["loss"] > evidence["arms"]["champion"]["loss"] and evidence["arms"]["challenger"]["share"] <= 0.5, evidence
        alerts = [e["state"] for e in own_events(p, "weir.alerts") if e["name"] == "WeirRolledBack"]
        assert alerts == ["firing", "resolved", "firing"], alerts
        champion = (first["model"], 1)
        assert aliases(p) == {"champion": champion}, aliases(p)
        assert served(p) == {"champion": champion + (first["digest"],)}, served(p)
        assert newest_answers(p) == {("champion",) + champion}, newest_answers(p)
        assert not query('SELECT FROM "%s".predictions WHERE model = \'%s\' LIMIT 1' % (p.name, bad[0])), "a prediction was no number"


def main():
    scenarios = {"drift": drift, "harm": harm}
    for domain, scenario in [a.split("-") for a in sys.argv[1:]] or [(d, s) for d in ("fraud", "maritime") for s in scenarios]:
        scenarios[scenario](domain)


if __name__ == "__main__":
    main()
