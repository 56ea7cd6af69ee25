"""The HTTP API of a running `weir run fraud` after a demo: Open Inference Protocol v2 and Feast's feature server. Needs WEIR_API_URL; skipped without."""

import datetime
import json
import math
import os
import sys
import urllib.error
import urllib.request

URL = os.environ.get("WEIR_API_URL")
if not URL:
    print("skipped: WEIR_API_URL is not set (the address of a running `weir run fraud`)")
    sys.exit(77)
URL = URL.rstrip("/")
CUSTOMERS = [str(c) for c in range(0, 200)]


def call(method, path, body=None):
    """Status and JSON of an answer, whatever its status."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(URL + path, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def good(method, path, body=None):
    status, answer = call(method, path, body)
    assert status == 200, (path, status, answer)
    return answer


def refused(method, path, body, status, words):
    found, answer = call(method, path, body)
    assert found == status, (path, found, answer)
    assert set(answer) == {"error"} and words in answer["error"], (words, answer)


def tensor(name, datatype, data):
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}


def outputs(answer):
    return {o["name"]: o["data"] for o in answer["outputs"]}


def online(features, entities, **more):
    return good("POST", "/get-online-features", {"features": features, "entities": entities, **more})


def columns(answer):
    return dict(zip(answer["metadata"]["feature_names"], answer["results"]))


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def check_health():
    assert good("GET", "/v2/health/live") == {"live": True}
    assert good("GET", "/v2/health/ready") == {"ready": True}
    server = good("GET", "/v2")
    assert server["name"] == "weir" and server["version"] and server["extensions"] == ["binary_tensor_data"]


def check_metadata():
    """Returns the metadata of the models that serve, by name."""
    pipeline = good("GET", "/v2/models/fraud")
    assert {t["name"]: t["datatype"] for t in pipeline["inputs"]}["amount"] == "FP64"
    assert {t["name"] for t in pipeline["inputs"]} >= {"customer_id", "terminal_id", "tx_time"}
    assert [t["name"] for t in pipeline["outputs"]] == ["score", "decision"]
    assert good("GET", "/v2/models/fraud/ready") == {"name": "fraud", "ready": True}
    models = {}
    for name in ("fraud-logistic", "fraud-boosted", "fraud-forest"):
        status, answer = call("GET", f"/v2/models/{name}")
        if status == 404:
            continue
        assert status == 200 and answer["name"] == name and answer["platform"].startswith("weir_"), answer
        version = answer["versions"][0]
        assert good("GET", f"/v2/models/{name}/versions/{version}")["inputs"] == answer["inputs"]
        assert good("GET", f"/v2/models/{name}/versions/{version}/ready")["ready"] is True
        for given in answer["inputs"]:
            told = given["parameters"]
            assert 0 <= told["missing"] <= 1 and (told["missing"] == 1 or told["min"] <= told["max"]), given
        models[name] = answer
    assert models, "no model of the pipeline is served: train first"
    return models


def known_customers():
    """Some customers whose state is in the store, with the newest event time of each."""
    answer = columns(online(["customer:customer_tx_count_30d"], {"customer_id": CUSTOMERS}))["customer_tx_count_30d"]
    rows = zip(CUSTOMERS, answer["statuses"], answer["event_timestamps"])
    known = [(customer, seconds(time)) for customer, status, time in rows if status == "PRESENT"]
    assert len(known) >= 10, "the online store has hardly any customer: run the demo first"
    return known


def check_infer_by_features(models):
    for name, model in models.items():
        names = [t["name"] for t in model["inputs"]]
        rows = [[float(i + j) for j in range(len(names))] for i in range(3)]
        matrix = {"id": "42", "inputs": [{"name": "features", "datatype": "FP64", "shape": [3, len(names)], "data": rows}]}
        whole = good("POST", f"/v2/models/{name}/infer", matrix)
        assert whole["model_name"] == name and whole["id"] == "42" and whole["model_version"] in model["versions"], whole
        scores = outputs(whole)["score"]
        assert len(scores) == 3 and all(0 <= s <= 1 for s in scores)
        assert outputs(whole)["decision"] == [s >= 0.5 for s in scores]
        assert len(whole["parameters"]["digest"]) == 64 and whole["parameters"]["propensity"] == 1
        one_each = {"inputs": [tensor(n, "FP64", [r[j] for r in rows]) for j, n in enumerate(names)]}
        assert outputs(good("POST", f"/v2/models/{name}/versions/{whole['model_version']}/infer", one_each))["score"] == scores


def event(customer, time_s, amount):
    return [
        tensor("customer_id", "BYTES", [customer]),
        tensor("terminal_id", "BYTES", ["1"]),
        tensor("amount", "FP64", [amount]),
        tensor("tx_time", "INT64", [int(time_s * 1_000_000)]),
    ]


def check_infer_by_entity(models, known):
    customer, newest = known[0]
    answer = good("POST", "/v2/models/fraud/infer", {"inputs": event(customer, newest + 60, 25.0)})
    parameters = answer["parameters"]
    assert parameters["model"] in models and parameters["arm"] in ("champion", "challenger") and 0 < parameters["propensity"] <= 1
    assert parameters["customer.missing"] == 0 and math.isclose(parameters["customer.age_seconds"], 60, abs_tol=1e-3), parameters
    again = good("POST", "/v2/models/fraud/infer", {"inputs": event(customer, newest + 60, 25.0)})
    assert again["outputs"] == answer["outputs"] and again["parameters"] == parameters, "asking must not change anything"
    as_text = event(customer, newest + 60, 25.0)
    as_text[3] = tensor("tx_time", "BYTES", [datetime.datetime.fromtimestamp(newest + 60, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")])
    assert good("POST", "/v2/models/fraud/infer", {"inputs": as_text})["outputs"] == answer["outputs"]
    named = good("POST", f"/v2/models/{parameters['model']}/infer", {"inputs": event(customer, newest + 60, 25.0)})
    assert outputs(named)["score"] == outputs(answer)["score"]
    stranger = good("POST", "/v2/models/fraud/infer", {"inputs": event("nobody-knows-me", newest, 25.0)})
    assert stranger["parameters"]["customer.missing"] == 1 and "customer.age_seconds" not in stranger["parameters"]


def check_this_payment_counts(models, known):
    """The features of an event hold the event itself: recomputed from the store's values at its time, the same model must give the same score."""
    customer, newest = known[1]
    time_s, amount = newest + 60, 40.0
    for name, model in models.items():
        names = [t["name"] for t in model["inputs"]]
        refs = [n for n in names if n != "amount"]
        at = datetime.datetime.fromtimestamp(time_s, datetime.timezone.utc).isoformat()
        stored = columns(online(refs, {"customer_id": [customer], "terminal_id": ["1"]}, event_timestamp=at))
        values = {n: stored[n]["values"][0] for n in refs}
        if any(v is None for n, v in values.items() if n.startswith("terminal_")):
            values.update({n: 0.0 for n in refs if n.startswith("terminal_")})  # a terminal without labels has empty windows
        for days in ("1d", "7d", "30d"):
            count, mean = values[f"customer_tx_count_{days}"], values[f"customer_amount_mean_{days}"] or 0.0
            values[f"customer_tx_count_{days}"] = count + 1
            values[f"customer_amount_mean_{days}"] = (mean * count + amount) / (count + 1)
        values["amount"] = amount
        by_hand = outputs(good("POST", f"/v2/models/{name}/infer", {"inputs": [tensor(n, "FP64", [values[n]]) for n in names]}))["score"][0]
        looked_up = outputs(good("POST", f"/v2/models/{name}/infer", {"inputs": event(customer, time_s, amount)}))["score"][0]
        assert math.isclose(by_hand, looked_up, rel_tol=1e-6, abs_tol=1e-9), (name, by_hand, looked_up)


def check_batch_is_split(known):
    names = [customer for customer, _ in known]
    time = max(t for _, t in known) + 60
    inputs = [
        tensor("customer_id", "BYTES", names),
        tensor("terminal_id", "BYTES", ["1"] * len(names)),
        tensor("amount", "FP64", [10.0 + i for i in range(len(names))]),
        tensor("tx_time", "INT64", [int(time * 1_000_000)] * len(names)),
    ]
    wanted = ["score", "decision", "arm", "model", "version", "propensity"]
    batch = outputs(good("POST", "/v2/models/fraud/infer", {"inputs": inputs, "outputs": [{"name": n} for n in wanted]}))
    assert list(batch) == wanted and all(len(v) == len(names) for v in batch.values())
    for i in (0, len(names) // 2, len(names) - 1):
        single = good("POST", "/v2/models/fraud/infer", {"inputs": event(names[i], time, 10.0 + i)})
        assert outputs(single)["score"] == [batch["score"][i]] and single["parameters"]["arm"] == batch["arm"][i]
    print("arms of", len(names), "customers:", {a: batch["arm"].count(a) for a in set(batch["arm"])})


def check_infer_errors(models, known):
    name, model = next(iter(models.items()))
    infer, width = f"/v2/models/{name}/infer", len(model["inputs"])
    refused("POST", infer, b"{", 400, "not JSON")
    refused("POST", infer, {"inputs": []}, 400, "\"inputs\"")
    refused("POST", infer, {"inputs": [{"name": "features", "datatype": "FP64", "shape": [1, width + 1], "data": [0.0] * (width + 1)}]}, 400, "columns")
    refused("POST", infer, {"inputs": [tensor("amount", "FP64", [1.0]), tensor("custmer_id", "BYTES", ["1"])]}, 400, "did you mean \"customer_id\"?")
    refused("POST", infer, {"inputs": [tensor("amount", "FP64", ["x"])]}, 400, "FP64")
    refused("POST", infer, {"inputs": [tensor("customer_id", "BYTES", ["1"] * 10001)]}, 400, "at most 10000")
    refused("POST", "/v2/models/fraud/infer", {"inputs": [tensor("amount", "FP64", [1.0])]}, 400, "customer_id")
    refused("POST", infer, {"inputs": event(known[0][0], known[0][1], 1.0), "outputs": [{"name": "nope"}]}, 400, "no output \"nope\"")
    refused("POST", "/v2/models/no-such/infer", {"inputs": event("1", 0, 1.0)}, 404, "no model \"no-such\" is served")
    refused("POST", f"/v2/models/{name}/versions/99999/infer", {"inputs": event("1", 0, 1.0)}, 404, "version 99999")
    refused("GET", "/v2/models/no-such", None, 404, "served now")
    refused("GET", f"/v2/models/{name}/nonsense", None, 404, "no such path")


def check_online_features(known):
    customer, newest = known[0]
    refs = ["customer:customer_tx_count_30d", "customer:customer_amount_mean_30d", "customer:tx_during_weekend"]
    answer = online(refs, {"customer_id": [customer, "nobody-knows-me"]})
    assert answer["metadata"]["feature_names"] == ["customer_id"] + [r.split(":")[1] for r in refs]
    found = columns(answer)
    assert found["customer_id"]["values"] == [customer, "nobody-knows-me"] and found["customer_id"]["statuses"] == ["PRESENT"] * 2
    count = found["customer_tx_count_30d"]
    assert count["statuses"] == ["PRESENT", "NOT_FOUND"] and count["values"][0] >= 1 and count["values"][1] is None
    assert seconds(count["event_timestamps"][0]) == newest
    day = datetime.datetime.fromtimestamp(newest, datetime.timezone.utc).weekday()
    assert found["tx_during_weekend"]["values"][0] == (1 if day >= 5 else 0)
    full = online(refs, {"customer_id": [customer]}, full_feature_names=True)
    assert full["metadata"]["feature_names"][1] == "customer__customer_tx_count_30d"

    def at(days):
        time = datetime.datetime.fromtimestamp(newest + days * 86400, datetime.timezone.utc).isoformat()
        return columns(online(refs[:1], {"customer_id": [customer]}, event_timestamp=time))["customer_tx_count_30d"]

    assert at(0)["values"][0] == count["values"][0]
    assert at(31)["values"] == [0] and at(31)["statuses"] == ["PRESENT"], "a window that everything has left is empty"
    assert at(91)["values"] == [None] and at(91)["statuses"] == ["OUTSIDE_MAX_AGE"], "the view's ttl is 90 days"
    service = good("POST", "/get-online-features", {"feature_service": "fraud", "entities": {"customer_id": [customer], "terminal_id": ["1"]}})
    assert "customer_tx_count_1d" in service["metadata"]["feature_names"] and "amount" not in service["metadata"]["feature_names"]


def check_online_feature_errors():
    path = "/get-online-features"
    refused("POST", path, {"entities": {"customer_id": ["1"]}}, 400, "either \"features\" or \"feature_service\"")
    refused("POST", path, {"features": ["customer:nope"], "entities": {"customer_id": ["1"]}}, 404, "no feature \"customer:nope\"")
    refused("POST", path, {"features": ["customer:customer_tx_count_1d"], "entities": {"terminal_id": ["1"]}}, 400, "customer_id")
    refused("POST", path, {"features": ["customer:customer_tx_count_1d"], "entities": {"custmer_id": ["1"]}}, 400, "did you mean")
    refused("POST", path, {"feature_service": "nope", "entities": {"customer_id": ["1"]}}, 404, "no model \"nope\"")


def check_push_errors():
    row = {"transaction_id": ["x"], "tx_time": ["2018-01-01T10:00:00Z"], "customer_id": ["1"], "terminal_id": ["1"], "amount": [1.0]}
    refused("POST", "/push", {"push_source_name": "nope", "df": row}, 404, "no push source")
    refused("POST", "/push", {"push_source_name": "events", "df": {**row, "amount": [-1.0]}}, 400, "amount")
    refused("POST", "/push", {"push_source_name": "events", "df": {k: v for k, v in row.items() if k != "amount"}}, 400, "\"amount\" is missing")
    refused("POST", "/push", {"push_source_name": "events", "df": {**row, "tx_time": ["soon"]}}, 400, "row 0")


def check_metrics():
    with urllib.request.urlopen(URL + "/metrics", timeout=30) as response:
        text = response.read().decode()
    for line in ('weir_serve_requests_total{pipeline="fraud",endpoint="infer",outcome="2xx"}', 'outcome="4xx"', "weir_serve_request_seconds_bucket"):
        assert line in text, line


check_health()
served = check_metadata()
customers = known_customers()
check_infer_by_features(served)
check_infer_by_entity(served, customers)
check_this_payment_counts(served, customers)
check_batch_is_split(customers)
check_infer_errors(served, customers)
check_online_features(customers)
check_online_feature_errors()
check_push_errors()
check_metrics()
print("ok")
