"""Scores on request on a real stack: by key, by event, with features of one's own, by a named model and by a tenant's own; features that are missing or late by policy; what is asked wrongly; answers while
scorers are killed, stand still and share the partitions, each once and in the order of its entity; and a model of several classes on the stream."""
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from test_rollout import *  # noqa: E402,F403

WORKERS = ("ingest", "store", "train", "score")
ASKED = 6000
RULES = 2  # a version that knows nothing: always the same score


def asking_spec(spec):
    spec_of(spec)
    spec["rollout"] = {"salt": spec["pipeline"], "challenger_share": 0}
    spec["serving"] = {"threshold": 0.5, "requests": True, "tenants": True,
                       "features": {"missing": "abstain", "fallback": "fallback", "views": {"terminal": {"missing": "score", "late": "fallback", "max_age": "40d"}}}}


class Asker:
    def __init__(self, p, time_us):
        self.p, self.out, self.time, self.topic = p, producer(), at(time_us), p.topic("requests")

    def send(self, request_id, customer, key=None, **more):
        request = dict({"request_id": request_id, "time": self.time}, **more)
        self.out.produce(self.topic, self.p.encode(self.topic, request), key if key is not None else ("default/%s" % customer).encode())
        self.out.poll(0)

    def ask(self, request_id, customer, key=None, **more):
        self.send(request_id, customer, key, **more)
        assert self.out.flush(60) == 0
        return wait_for("the answer to %s" % request_id, lambda: self.answers().get(request_id), 60, 0.3)

    def answers(self):
        return {a["request_id"]: a for _, a in answers(self.p)}


def answers(p):
    """(record, prediction) of every answer to a request, as it stands in the topic."""
    records = [r for r in read_all(p.topic("predictions")) if dict(r.headers() or ()).get("weir.request.offset") is not None]
    return [(r, p.decode(p.topic("predictions"), r.value())) for r in records]


def deadletters(p):
    return [dict(r.headers()) for r in read_all(p.topic("deadletter")) if dict(r.headers())["weir.source.topic"].decode() == p.topic("requests")]


def newest(p, customer):
    """What the newest prediction for a payment of the customer was made of."""
    row = query("SELECT prediction_id, score, arm, outcome, age_seconds FROM \"%s\".predictions WHERE entity = '%s' AND source_partition >= 0 ORDER BY event_time DESC LIMIT 1" % (p.name, customer))
    return row[0]


def plain(p, asker, model):
    answer = asker.ask("plain", "7")
    assert answer["outcome"] == "scored" and answer["arm"] == "champion" and answer["model"] == model and 0 < answer["score"] < 1, answer
    assert answer["source_partition"] < 0 and answer["prediction_id"].startswith(p.name + "-request-") and answer["entity"] == "7", answer
    assert answer["views"]["customer"]["source_offset"] is not None and answer["features"]["customer_tx_count_7d"] is not None, answer
    assert answer["views"]["terminal"]["source_offset"] is None and answer["reason"] == "terminal no_record", answer
    assert answer["age_seconds"] == answer["views"]["customer"]["age_seconds"] > 0, answer
    again = asker.ask("again", "7")
    assert again["score"] == answer["score"] and again["prediction_id"] != answer["prediction_id"]
    event = {"tenant": "default", "transaction_id": "new", "tx_time": asker.time, "customer_id": "7", "terminal_id": "3", "amount": 500.0}
    whole = asker.ask("event", "7", time=None, event=event)
    assert whole["features"]["amount"] == 500 and whole["join_id"] == "new" and whole["reason"] is None, whole
    assert whole["features"]["customer_tx_count_1d"] >= (answer["features"]["customer_tx_count_1d"] or 0) + 1, "a payment that is asked about counts"
    given = asker.ask("given", "7", features={"customer_tx_count_7d": 1000.0})
    assert given["features"]["customer_tx_count_7d"] == 1000 and given["score"] != answer["score"], given


def by_policy(p, asker, model):
    nobody = asker.ask("nobody", "nobody")
    assert nobody["outcome"] == "abstained" and nobody["score"] is None and nobody["decision"] is None and nobody["arm"] == "none", nobody
    assert nobody["reason"].startswith("customer no_record") and nobody["age_seconds"] is None, nobody
    columns = {name: 1.0 for name in nobody["features"] if not name.startswith("terminal_") and name != "amount"}
    told = asker.ask("told", "nobody", features=columns)
    assert told["outcome"] == "scored" and told["features"]["customer_tx_count_7d"] == 1, told
    event = {"terminal_id": "3", "customer_id": "7", "tenant": "default"}
    late = asker.ask("late", "7", time=at(micros(asker.time) + 60 * DAY_US), event=event)
    assert late["outcome"] == "fallback" and late["arm"] == "fallback" and late["version"] == RULES and "terminal" in late["reason"] and " s old" in late["reason"], late
    assert late["age_seconds"] >= 60 * 86400, late


def by_name(p, asker, model):
    first = asker.ask("first", "7", model="%s/1" % model)
    assert first["arm"] == "request" and first["version"] == 1 and first["outcome"] == "scored", first
    rules = asker.ask("rules", "7", model="fallback")
    assert rules["version"] == RULES and rules["arm"] == "request", rules
    unknown = asker.ask("unknown", "7", model="oracle/9")
    assert unknown["outcome"] == "abstained" and "no model or alias oracle/9" in unknown["reason"], unknown
    alias(p, "tenant:default", model, RULES)
    own = wait_for("the tenant's own", lambda: (lambda a: a if a["arm"] == "tenant" else None)(asker.ask("own-%d" % time.monotonic_ns(), "7")), 60, 0.5)
    assert own["version"] == RULES and own["score"] == rules["score"], own
    alias(p, "tenant:default", model, 1)
    wait_for("the other one", lambda: asker.ask("other-%d" % time.monotonic_ns(), "7")["version"] == 1, 60, 0.5)


def asked_wrongly(p, asker):
    before = len(deadletters(p))
    future = at(micros(datetime.datetime.now(datetime.timezone.utc)) + 400 * DAY_US)
    asker.send("no key", "7", key=b"")
    asker.send("other key", "7", key=b"default/8", event={"tenant": "default", "customer_id": "7"})
    asker.send("no tenant", "7", key=b"7")
    asker.send("future", "7", time=future)
    asker.send("", "7")
    asker.out.produce(asker.topic, b"what?", b"default/7")
    infinite = asker.ask("infinite", "7", features={"customer_tx_count_7d": float("inf")})
    assert infinite["outcome"] == "abstained" and "customer_tx_count_7d is infinite" in infinite["reason"], infinite
    huge = asker.ask("huge", "7", features={"customer_tx_count_7d": 1e308, "customer_amount_mean_7d": -1e308, "customer_tx_count_30d": 1e308, "customer_amount_mean_30d": -1e308})
    assert huge["outcome"] in ("scored", "abstained") and asker.ask("after", "7")["outcome"] == "scored", huge  # it stops nobody
    letters = wait_for("the dead letters", lambda: (lambda d: d if len(d) - before == 6 else None)(deadletters(p)), 30, 0.5)
    classes = sorted(d["weir.error.class"].decode() for d in letters[-6:])
    assert classes == ["decode", "decode", "future", "key", "key", "key"], classes
    assert any(b"'default/7' and came under the key 'default/8'" in d["weir.error.message"] for d in letters), letters


def ask_many(asker, name, count, at_number):
    """at_number(i) is called when request i was sent."""
    for i in range(count):
        asker.send("%s-%d" % (name, i), str(i * 7 % 40))
        at_number(i)
        if i % 50 == 0:
            asker.out.flush(10)
            time.sleep(0.02)
    assert asker.out.flush(60) == 0


def check_answered_once(p, name, count, seen):
    """Each of the requests NAME-0 to NAME-(count - 1), in the order of its entity. seen: answers before them."""
    of_name = lambda answer: answer["request_id"].startswith(name + "-")
    wait_for("an answer to each", lambda: len({a["request_id"] for _, a in answers(p) if of_name(a)}) == count, 240, 2)
    time.sleep(2)
    all_answers = answers(p)
    sources = collections.Counter((a["source_partition"], a["source_offset"]) for _, a in all_answers)
    assert len(sources) == len(all_answers), "answered twice: %s" % [s for s, n in sources.items() if n > 1][:5]
    load = [a for _, a in all_answers if of_name(a)]
    assert len(load) == count and len(all_answers) == seen + count, (len(load), len(all_answers), seen)
    last = {}
    for record, answer in all_answers:
        assert answer["source_partition"] == -1 - record.partition() and int(dict(record.headers())["weir.request.offset"]) == answer["source_offset"]
        if of_name(answer):
            order = int(answer["request_id"].split("-")[1])
            assert last.get(answer["entity"], -1) < order, "%s of %s came after %d" % (answer["request_id"], answer["entity"], last[answer["entity"]])
            last[answer["entity"]] = order


def while_scorers_die(p, asker):
    """One is killed in the middle, and comes back; another one joins, and is killed, too."""
    seen = len(answers(p))

    def at_number(i):
        if i in (1000, 3000):
            p.kill("score", "0")
            p.start("score", "0", wait=False)
        if i == 2000:
            p.start("score", "1", wait=False)
        if i == 4500:
            p.kill("score", "1")

    ask_many(asker, "load", ASKED, at_number)
    check_answered_once(p, "load", ASKED, seen)
    repeated = sum(v for (n, labels), v in p.metrics("score").items() if n == "weir_score_outcomes_total" and ("outcome", "repeated") in labels)
    print("%d requests: each answered once, in the order of its entity; %d came again to the last scorer and had their answer" % (ASKED, repeated))


def while_a_scorer_stands_still(p, asker):
    """In the middle of its work, for longer than its session: another one has its partitions and answers, and it goes on, with what it had in hand. How long it stood still decides what is late then: its
    heartbeats only, or what its producer keeps, too."""
    p.start("score", "1")
    for round, stood_s in enumerate((8.5, 10.2, 14)):
        name, seen, process = "still%d" % round, len(answers(p)), p.processes["score", "0"]

        def at_number(i):
            if i == 1000:
                process.send_signal(signal.SIGSTOP)

        ask_many(asker, name, 2000, at_number)
        time.sleep(stood_s)
        process.send_signal(signal.SIGCONT)
        check_answered_once(p, name, 2000, seen)
    p.kill("score", "1", sig=signal.SIGTERM)
    print("a scorer that stood still: no request answered twice, none lost")


def readers_pass_over(p):
    """What reads predictions takes answers for what they are."""
    count = lambda: query('SELECT count(*) FROM "%s".predictions WHERE request_id IS NOT NULL' % p.name)[0][0]
    wait_for("the offline store", lambda: count() == len(answers(p)), 60, 1)
    env = dict(os.environ, WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"))
    done = subprocess.run([BINARY, "replay-predictions", p.path, "--output", "json"], env=env, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stdout, done.stderr)
    told = parity(p, 0)
    assert told, told
    for outcome in ("scored", "abstained"):
        name = query("SELECT prediction_id FROM \"%s\".predictions WHERE request_id IS NOT NULL AND outcome = '%s' LIMIT 1" % (p.name, outcome))[0][0]
        why = json.loads(weir(p, "why", name, "--pipeline", p.path, "--output", "json"))
        assert why["prediction"]["id"] == name and why["prediction"]["outcome"] == outcome and why["source"]["topic"] == p.topic("requests") and why["source"]["partition"] >= 0, why


def begin(p, payments, workers):
    """Starts them, publishes, trains; the champion is there when it returns."""
    for worker in workers:
        p.start(worker, wait=False)
    for worker in workers:
        p.wait_ready(worker)
    source = Source(p, payments)
    source.publish(5000)
    wait_for("features of the first payments", lambda: len(feature_records(p)) >= 5000, 60, 0.5)
    time.sleep(2)
    train(p, at(payments.rows[0]["us"] // DAY_US * DAY_US).strftime("%Y-%m-%d"))
    wait_for("the champion", lambda: any(n == "weir_score_model_info" and v == 1 for (n, _), v in p.metrics("score").items()), 60, 0.5)
    return source


def several_classes():
    def spec_of_classes(spec):
        spec_of(spec)
        spec["rollout"] = {"salt": spec["pipeline"]}
        spec["training"].update(task="multiclass", classes=["genuine", "it is \"fraud\""], metric="f1_macro")
        for key in ("card_k", "threshold", "baseline"):
            spec["training"].pop(key, None)
        spec["training"]["split"].pop("exclude_known", None)
        spec["triggers"] = {}

    payments = Payments(6000, seed=3, days=12)
    workers = ("ingest", "store", "train", "score", "experiment", "rollout")
    with Pipeline(spec_of_classes) as p:
        source = begin(p, payments, workers)
        assert list(aliases(p)) == ["champion"], aliases(p)
        source.publish(500)
        told = wait_for("predictions", lambda: (lambda d: d if len(d) >= 500 else None)([p.decode(p.topic("predictions"), r.value()) for r in read_all(p.topic("predictions"))]), 60, 1)
        seen = set()
        for prediction in told:
            scores = json.loads(prediction["scores"])
            assert list(scores) == ["genuine", "it is \"fraud\""] and abs(sum(scores.values()) - 1) < 1e-9, scores
            assert prediction["class"] == max(scores, key=scores.get) and prediction["score"] == scores[prediction["class"]] and prediction["decision"] is None, prediction
            seen.add(prediction["class"])
        assert len(seen) == 2, seen
        joined = lambda: [v for (n, _), v in p.metrics("experiment").items() if n == "weir_experiment_predictions_joined_total" and v > 0]
        wait_for("labels to be joined", joined, 60, 1)
        for worker in workers:
            assert p.processes[worker, "0"].poll() is None
        print("several classes: %d predictions of %s" % (len(told), sorted(seen)))


def main():
    payments = Payments(7000, seed=7, days=14)
    with Pipeline(asking_spec) as p:
        source = begin(p, payments, WORKERS)
        model = make_version(p, RULES, lambda mean, _: (-2.3, [0.0] * len(mean)))
        alias(p, "fallback", model, RULES)
        source.publish(500)
        asker = Asker(p, payments.rows[source.at - 1]["us"] + 1_000_000)
        wait_for("their scores", lambda: query('SELECT count(*) FROM "%s".predictions' % p.name)[0][0] >= 500, 60, 0.5)
        plain(p, asker, model)
        by_policy(p, asker, model)
        by_name(p, asker, model)
        asked_wrongly(p, asker)
        while_scorers_die(p, asker)
        while_a_scorer_stands_still(p, asker)
        readers_pass_over(p)
    several_classes()


if __name__ == "__main__":
    main()
