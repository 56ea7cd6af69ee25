"""Any number of arms on a real stack: challengers in shadow (one that is harmful, one that is beyond the numbers, one that is better), three challengers at once, routing by Thompson sampling, by a context as well, and
versions that are swapped while requests come: no answer is a mixture of two. The versions are those of test_rollout.py."""
import collections
import os
import sys
import threading
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from test_rollout import *  # noqa: E402,F403

WORKERS = ("ingest", "store", "train", "score", "rollout")
CHALLENGERS = ["challenger", "challenger-2", "challenger-3"]


def routed_spec(spec):
    spec_of(spec)
    spec["rollout"] = {"salt": spec["pipeline"], "split": "request", "routing": "thompson", "floor": 0.1, "loss": "brier", "min_rows": 200, "automatic": False, "guards": {"latency": "10s"}}


def scored(p, version=None):
    return query('SELECT count(*) FROM "%s".predictions WHERE version = coalesce(%s, version)' % (p.name, version or "NULL"))[0][0]


def shadows(p, version):
    return query("SELECT count(*), count(*) FILTER (WHERE arm = 'shadow'), count(DISTINCT (scored_partition, scored_offset)) FROM \"%s\".shadows WHERE version = %d" % (p.name, version))[0]


def events_of(p, rollout_id):
    return [e for e in own_events(p, "weir.rollouts") if e["rollout_id"] == rollout_id]


def ended(p, state):
    return lambda: (lambda r: r["state"] == state and not [a for a in aliases(p) if a.startswith("challenger")] and r)(rollout(p))


def harmful_shadow(p, source, model):
    """It answers nobody, is written, joined and compared by pairs, and stopped."""
    before = scored(p)
    weir(p, "rollout", p.path, "--start", "%s:%d" % (model, CONTRARY), "--shadow", "--reason", "a look at it")
    status = rollout(p)
    assert status["in_shadow"] and status["share"] == 0 and status["arms"]["champion"]["share"] == 1, status
    start = source.at
    source.until("the end of the shadow", lambda: rollout(p)["state"] == "rolled_back", 3000)
    status = wait_for("the alias to go", ended(p, "rolled_back"), 30, 0.5)
    assert "in shadow" in status["reason"] and "worse" in status["reason"], status
    arm = status["arms"]["challenger"]
    assert arm["outcomes"] == 0 and arm["shadow"]["pairs"] >= 10 and arm["shadow"]["worse"] >= arm["e_values"]["worse_needed"] == 80, arm
    wait_for("an answer to every payment", lambda: scored(p) - before == source.at - start, 60, 0.5)
    assert scored(p, CONTRARY) == 0
    rows, in_shadow, requests = shadows(p, CONTRARY)
    assert rows == in_shadow > 0 and requests == rows <= source.at - start, (rows, in_shadow, requests)
    told = [(e["type"], e["share"], e["shadow"], [a["shadow"] for a in json.loads(e["arms"])]) for e in events_of(p, status["rollout_id"])]
    assert told == [("started", 0, True, [1]), ("rolled_back", 0, True, [0])], told
    print("shadow: stopped after %d pairs, %s" % (arm["shadow"]["pairs"], status["reason"]))


def failing_shadow(p, source, model):
    """Beyond the numbers: a guard stops it, and every payment has the champion's answer."""
    before, start = scored(p), source.at
    weir(p, "rollout", p.path, "--start", "%s:%d" % (model, HUGE), "--shadow")
    source.until("the guard", lambda: rollout(p)["state"] == "rolled_back", 3000)
    status = wait_for("the alias to go", ended(p, "rolled_back"), 30, 0.5)
    assert "guard nan" in status["reason"], status
    wait_for("an answer to every payment", lambda: scored(p) - before == source.at - start, 60, 0.5)
    assert scored(p, HUGE) == 0 and shadows(p, HUGE)[0] == 0
    failed = [v for (n, labels), v in p.metrics("score").items() if n == "weir_score_shadows_total" and ("outcome", "failed") in labels]
    assert failed and failed[0] >= 1, failed
    print("shadow that fails: %s" % status["reason"])


def better_shadow(p, source, model):
    """Out of the shadow, through the steps, to champion."""
    alias(p, "champion", model, FLAT)
    weir(p, "rollout", p.path, "--start", "%s:%d" % (model, GOOD), "--shadow")
    source.until("the promotion", lambda: rollout(p)["state"] == "promoted", 8000)
    wait_for("the aliases", lambda: aliases(p) == {"champion": GOOD}, 30, 0.5)
    status = rollout(p)
    told = wait_for("its events", lambda: (lambda t: t if t and t[-1]["type"] == "promoted" else None)(events_of(p, status["rollout_id"])), 30, 0.5)
    assert [(e["type"], e["share"]) for e in told] == [("started", 0), ("stepped", 0.3), ("stepped", 0.6), ("promoted", 1)], told
    arm = status["arms"]["challenger"]
    assert arm["shadow"]["pairs"] >= 100 and arm["shadow"]["gain"]["value"] > 0 and arm["e_values"]["better"] >= 40, arm
    print("shadow to champion: %d pairs, %d outcomes" % (arm["shadow"]["pairs"], arm["outcomes"]))


def three(p, source, model):
    """The contrary is stopped, the good one promoted; policies are logged, and shares are the plan's."""
    alias(p, "champion", model, FLAT)
    weir(p, "rollout", p.path, "--start", "%s:%d,%s:%d,%s:%d" % (model, FLAT_TWIN, model, GOOD, model, CONTRARY))
    assert aliases(p) == {"champion": FLAT, "challenger": FLAT_TWIN, "challenger-2": GOOD, "challenger-3": CONTRARY}
    first = rollout(p)
    assert [round(first["arms"][name]["share"], 9) for name in CHALLENGERS] == [0.1, 0.1, 0.1] and abs(first["arms"]["champion"]["share"] - 0.7) < 1e-9, first
    assert "which" in weir(p, "rollout", p.path, "--promote", code=1)
    source.until("the promotion", lambda: rollout(p)["state"] == "promoted", 12000)
    status = wait_for("the aliases", lambda: aliases(p) == {"champion": GOOD} and rollout(p), 30, 0.5)
    assert status["winner"].endswith("/%d" % GOOD) and status["arms"]["challenger-2"]["e_values"]["better"] >= 120, status
    told = events_of(p, status["rollout_id"])
    kinds = collections.Counter(e["type"] for e in told)
    assert kinds["started"] == kinds["stepped"] == kinds["promoted"] == 1, kinds
    if kinds["stopped"]:
        assert status["arms"]["challenger-3"]["stopped"] and [e for e in told if e["type"] == "stopped"][0]["reason"].startswith("challenger-3 is worse"), told
    rows = query("SELECT arm, policy, propensity, count(*) FROM \"%s\".predictions WHERE predicted_at >= '%s' AND policy IS NOT NULL GROUP BY 1, 2, 3" % (p.name, status["started_at"]))
    assert rows
    for arm, policy, propensity, _ in rows:
        shares = {name: float(share) for name, share in (part.split(" ") for part in policy.split(","))}
        assert abs(sum(shares.values()) - 1) < 1e-8 and abs(shares[arm] - propensity) < 1e-8, (arm, policy, propensity)
    for name in CHALLENGERS:
        split = status["arms"][name]["split"]
        assert split["e_value"] < split["alarm"], (name, split)
        if not status["arms"][name]["stopped"]:  # after a hundred requests or so: its share may be anything that the e-value lets pass
            assert abs(split["measured"] - split["planned"]) < 0.06, (name, split)
    alone = {name: status["arms"][name]["all_traffic"]["snips"] for name in ["champion"] + CHALLENGERS}
    assert alone["challenger-2"]["value"] < alone["champion"]["value"] < alone["challenger-3"]["value"], alone
    for name in ["champion"] + CHALLENGERS:  # what the estimates say of an arm is what the arm did
        assert abs(alone[name]["value"] - status["arms"][name]["loss"]) < 0.05, (name, alone[name], status["arms"][name])
    text = weir(p, "rollout", p.path, "--status")
    assert "challenger-3" in text and "doubly robust" in text, text
    print("three challengers: %s; %s" % (status["reason"], dict(kinds)))


def start(p, model, *versions):
    """Begins a rollout, and returns when scorers have all its arms and its shares: between the first alias and the event that tells the shares, requests are drawn by others."""
    weir(p, "rollout", p.path, "--start", ",".join("%s:%d" % (model, version) for version in versions))
    info = lambda: {dict(labels)["arm"] for (n, labels), v in p.metrics("score").items() if n == "weir_score_model_info" and v == 1}
    wait_for("the challengers", lambda: info() >= set(CHALLENGERS[:len(versions)]), 30, 0.1)
    wait_for("the event", lambda: events_of(p, rollout(p)["rollout_id"]), 30, 0.2)
    time.sleep(0.5)


def routed(p, source, model):
    """Shares follow what was earned; what is logged is what was told; evidence still decides."""
    alias(p, "champion", model, FLAT)
    start(p, model, GOOD, CONTRARY)
    source.until("the promotion", lambda: rollout(p)["state"] == "promoted", 8000)
    status = wait_for("the aliases", lambda: aliases(p) == {"champion": GOOD} and rollout(p), 30, 0.5)
    told = events_of(p, status["rollout_id"])
    moves = [json.loads(e["arms"]) for e in told if e["type"] in ("started", "routed", "stopped")]
    assert [round(a["share"], 9) for a in moves[0]] == [round(1 / 3, 9)] * 2 and len(moves) > 2, moves
    assert moves[-1][0]["share"] > 0.5 and all(a["share"] >= 0.1 - 1e-9 or a["share"] == 0 for m in moves for a in m), moves
    shares = [{a["arm"]: a["share"] for a in m} for m in moves]
    for row in shares:
        row["champion"] = 1 - sum(row.values())
    rows = query("SELECT arm, propensity, count(*) FROM \"%s\".predictions WHERE predicted_at >= '%s' AND propensity < 1 GROUP BY 1, 2" % (p.name, status["started_at"]))
    for arm, propensity, _ in rows:  # each was drawn by shares that an event had frozen
        assert any(abs(row.get(arm, 0) - propensity) < 1e-9 for row in shares), (arm, propensity, shares)
    assert len({propensity for arm, propensity, _ in rows if arm == "challenger"}) >= 2, rows
    assert status["routing"] == "thompson" and status["arms"]["challenger"]["all_traffic"]["robust"]["value"] < status["arms"]["champion"]["all_traffic"]["robust"]["value"], status
    print("thompson: %d times routed, last share %.3f, %s" % (len(moves) - 1, moves[-1][0]["share"], status["reason"]))


# ---- by a context ----

def bucket_of(salt, value, buckets):
    """As docs/experiments.md says it of texts: FNV-1a of the salt, NUL and the value, MurmurHash3's finaliser, 53 bits."""
    h, mask = 0xcbf29ce484222325, (1 << 64) - 1
    for byte in salt.encode() + b"/context\0" + value.encode():
        h = ((h ^ byte) * 0x100000001b3) & mask
    for factor in (0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53):
        h = ((h ^ h >> 33) * factor) & mask
    return 1 + int(((h ^ h >> 33) >> 11) / 2 ** 53 * buckets)


CONTEXT_SALT = "context"  # 16 of the 30 terminals are of bucket 2, among them "3", where much is fraud whatever the amount


def with_context(p, source):
    """The same pipeline, now by terminals in two buckets; of the second one small amounts are fraud from now on. The offline store is one from before there were buckets."""
    changed = ("store", "score", "rollout")
    for worker in changed:
        assert p.kill(worker, "0", signal.SIGTERM) == 0
    execute('ALTER TABLE "%s".predictions DROP COLUMN bucket' % p.name)
    p.spec["rollout"].update(context="terminal_id", buckets=2, salt=CONTEXT_SALT, min_rows=1000000)  # so nothing is promoted meanwhile
    with open(p.path, "w") as f:
        json.dump(p.spec, f)
    for row in source.payments.rows[source.at:]:
        if bucket_of(CONTEXT_SALT, row["terminal_id"], 2) == 2:
            row["fraud"] = row["amount"] <= 120
    for worker in changed:
        p.start(worker, wait=False)
    for worker in changed:
        p.wait_ready(worker)


def in_buckets(status):
    return {(bucket, arm): one["outcomes"] for arm, of in status["arms"].items() for bucket, one in enumerate(of["buckets"]) if one["outcomes"]}


def by_context(p, source, model):
    """In one bucket the champion is best, in the other a challenger: shares go apart, each prediction logs its bucket and the shares there, and no kill loses what a bucket knows."""
    with_context(p, source)
    before = source.predictions()
    first = source.at
    start(p, model, CONTRARY, FLAT)
    share = lambda status, arm, bucket: status["arms"][arm]["buckets"][bucket]["share"]
    source.until("shares apart", lambda: (lambda s: share(s, "champion", 1) > 0.7 and share(s, "challenger", 2) > 0.7)(rollout(p)), 5000)
    p.kill("rollout")  # as it counts
    source.publish(500)
    p.start("rollout")
    wait_for("predictions", lambda: source.predictions() == before + source.at - first, 60, 0.2)
    status = rollout(p)
    assert status["state"] == "running" and status["context"] == "terminal_id" and status["routing"] == "thompson", status
    counted = "SELECT bucket, arm, count(*) FROM \"%s\".predictions p WHERE predicted_at >= '%s' AND propensity < 1 AND EXISTS (SELECT FROM \"%s\".labels l WHERE l.transaction_id = p.join_id) GROUP BY 1, 2"
    counted %= p.name, status["started_at"], p.name
    wait_for("each outcome once, in its bucket", lambda: {row[:2]: row[2] for row in query(counted)} == in_buckets(rollout(p)), 60, 0.5)
    terminals = dict(query("SELECT DISTINCT c.record_terminal_id, p.bucket FROM \"%s\".predictions p JOIN \"%s\".features_customer c USING (source_partition, source_offset) WHERE p.bucket IS NOT NULL" % (p.name, p.name)))
    assert len(terminals) > 20 and terminals == {t: bucket_of(CONTEXT_SALT, t, 2) for t in terminals} and set(terminals.values()) == {1, 2}, terminals
    status = rollout(p)
    told = [{a["arm"]: a["shares"] for a in json.loads(e["arms"])} for e in events_of(p, status["rollout_id"]) if e["type"] in ("started", "routed")]
    rows = query("SELECT bucket, arm, policy, propensity, count(*) FROM \"%s\".predictions WHERE predicted_at >= '%s' AND propensity < 1 GROUP BY 1, 2, 3, 4" % (p.name, status["started_at"]))
    for bucket, arm, policy, propensity, _ in rows:  # each was drawn by shares of its bucket that an event had frozen, and says them
        shares = {name: float(share) for name, share in (part.split(" ") for part in policy.split(","))}
        assert abs(sum(shares.values()) - 1) < 1e-8 and abs(shares[arm] - propensity) < 1e-8, (arm, policy, propensity)
        assert any(all(abs(shares[name] - of[bucket]) < 1e-8 for name, of in event.items()) for event in told), (bucket, policy, told)
    assert {bucket for bucket, *_ in rows} == {1, 2}
    last = max(share for bucket, arm, _, share, _ in rows if (bucket, arm) == (2, "challenger"))
    assert last > 0.7 and last - min(share for bucket, arm, _, share, _ in rows if (bucket, arm) == (1, "challenger")) > 0.5, rows
    loss = lambda arm, bucket: status["arms"][arm]["buckets"][bucket]["loss"]
    assert loss("champion", 1) < loss("challenger", 1) and loss("challenger", 2) < loss("champion", 2), status["arms"]
    for name in ("challenger", "challenger-2"):
        split = status["arms"][name]["split"]
        assert split["e_value"] < split["alarm"], (name, split)
    text = weir(p, "rollout", p.path, "--status")
    assert "in buckets of terminal_id" in text and "bucket 1" in text and "bucket 2" in text and "bucket 0" not in text, text
    print("by context: %d outcomes; %s" % (sum(in_buckets(status).values()), {b: round(share(status, "challenger", b), 3) for b in (1, 2)}))


# ---- swaps under load ----

def ask(p, amounts, when):
    data = [("customer_id", "BYTES", ["nobody-%d" % i for i in range(len(amounts))]), ("terminal_id", "BYTES", ["1"] * len(amounts)), ("amount", "FP64", amounts), ("tx_time", "INT64", [when] * len(amounts))]
    body = {"inputs": [{"name": n, "datatype": t, "shape": [len(d)], "data": d} for n, t, d in data], "outputs": [{"name": n} for n in ("score", "model", "version")]}
    request = urllib.request.Request("http://127.0.0.1:%d/v2/models/%s/infer" % (p.processes["serve", "0"].port, p.name), json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.loads(response.read())
    outputs = {o["name"]: o["data"] for o in answer["outputs"]}
    return answer["parameters"], outputs


def ranges(p, model):
    """The metadata of a trained version says what its training rows held in each input, as the registry does; of one without a signature it says nothing."""
    def inputs_of(version):
        status, body = get("http://127.0.0.1:%d/v2/models/%s/versions/%d" % (p.processes["serve", "0"].port, model, version))
        return {i["name"]: i.get("parameters") for i in json.loads(body)["inputs"]} if status == 200 else None

    alias(p, "champion", model, GOOD)
    told = wait_for("the made version", lambda: inputs_of(GOOD), 30, 0.1)
    assert set(told.values()) == {None}, told
    alias(p, "champion", model, 1)
    told = wait_for("the trained version", lambda: inputs_of(1), 30, 0.1)
    signature = query("SELECT signature FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s' AND version = 1" % (p.name, model))[0][0]
    assert told == {i["name"]: {k: i[k] for k in ("min", "max", "missing") if k in i} for i in signature["inputs"]}, (told, signature)
    assert 0 <= told["amount"]["min"] < told["amount"]["max"] and told["amount"]["missing"] == 0, told["amount"]


def swaps(p, model, when):
    """Champions are swapped 20 times while requests of 20 rows come: version, digest and all scores of an answer are one version's."""
    amounts = [10.0 + 15 * i for i in range(20)]
    digests = dict(query("SELECT version, digest FROM weir.model_versions WHERE pipeline = '%s'" % p.name))
    truth = {}
    for version in (GOOD, FLAT, CONTRARY):
        alias(p, "champion", model, version)
        truth[version] = wait_for("version %d" % version, lambda: (lambda a: a[1]["score"] if a[0]["version"] == version else None)(ask(p, amounts, when)), 30, 0.1)
    assert len({tuple(t) for t in truth.values()}) == 3, truth
    stop, wrong, seen = threading.Event(), [], collections.Counter()

    def hammer():
        while not stop.is_set():
            parameters, outputs = ask(p, amounts, when)
            version = parameters["version"]
            seen[version] += 1
            if set(outputs["version"]) != {version} or parameters["digest"] != digests[version] or outputs["score"] != truth[version]:
                wrong.append((parameters, outputs))

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(20):
        alias(p, "champion", model, (GOOD, FLAT, CONTRARY)[i % 3])
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
    assert len(seen) == 3 and sum(seen.values()) > 100, seen
    print("swaps: %d answers of 20 rows during 20 swaps, none mixed: %s" % (sum(seen.values()), dict(seen)))


FLAT_TWIN = 7


def prepare(p, payments):
    """Workers, a first model by training, versions of its form, the good one champion."""
    for worker in WORKERS:
        p.start(worker, wait=False)
    for worker in WORKERS:
        p.wait_ready(worker)
    source = Source(p, payments)
    source.publish(5000)
    wait_for("features of the first payments", lambda: len(feature_records(p)) >= 5000, 60, 0.5)
    wait_for("labels in the store", lambda: query("SELECT FROM pg_tables WHERE schemaname = '%s' AND tablename = 'labels'" % p.name), 30, 0.5)
    time.sleep(2)
    train(p, at(payments.rows[0]["us"] // DAY_US * DAY_US).strftime("%Y-%m-%d"))
    amount = lambda slope: lambda mean, scale: (-slope * (120 - mean[0]) / scale[0], [slope] + [0.0] * (len(mean) - 1))
    flat = lambda rate: lambda mean, _: (rate, [0.0] * len(mean))
    forms = {GOOD: amount(8), TWIN: amount(8), CONTRARY: amount(-0.5), HUGE: beyond, FLAT: flat(-2.3), FLAT_TWIN: flat(-2.3000001)}
    for number, form in forms.items():
        model = make_version(p, number, form)
    alias(p, "champion", model, GOOD)
    wait_for("the champion", lambda: any(n == "weir_score_model_info" and v == 1 and ("version", str(GOOD)) in labels for (n, labels), v in p.metrics("score").items()), 30, 0.5)
    return source, model


def main():
    payments = Payments(30000, seed=9, days=60)
    with Pipeline(spec_of) as p:
        source, model = prepare(p, payments)
        harmful_shadow(p, source, model)
        failing_shadow(p, source, model)
        better_shadow(p, source, model)
        three(p, source, model)
        p.start("serve")
        ranges(p, model)
        swaps(p, model, payments.rows[source.at]["us"])
    with Pipeline(routed_spec) as p:
        source, model = prepare(p, payments)
        routed(p, source, model)
        by_context(p, source, model)


if __name__ == "__main__":
    main()
