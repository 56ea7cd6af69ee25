"""Open Inference Protocol v2 as its clients speak it, to a running `weir run fraud` after a demo: Triton's Python client in JSON and in bytes, the forms of the protocol's own
examples over plain HTTP, and the OpenAPI document. Needs WEIR_API_URL; skipped without."""

import http.client
import json
import math
import os
import socket
import struct
import sys
import threading
import urllib.parse
import urllib.request

URL = os.environ.get("WEIR_API_URL")
if not URL:
    print("skipped: WEIR_API_URL is not set (the address of a running `weir run fraud`)")
    sys.exit(77)

import numpy as np  # noqa: E402
import openapi_spec_validator  # noqa: E402
import tritonclient.http as triton  # noqa: E402
from tritonclient.utils import InferenceServerException, np_to_triton_dtype  # noqa: E402

URL = URL.rstrip("/")
HOST = urllib.parse.urlparse(URL).netloc
client = triton.InferenceServerClient(url=HOST)


def raw(method, path, body=b"", headers=None):
    """Status, headers and bytes of an answer."""
    connection = http.client.HTTPConnection(HOST, timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def post(path, body):
    status, _, text = raw("POST", path, json.dumps(body))
    return status, json.loads(text)


def a_model():
    """Name and number of inputs of the champion."""
    about = client.get_model_metadata("fraud", "champion")
    return about["name"], len(about["inputs"])


def matrix(rows, width, dtype):
    return np.array([[(3 * r + c) % 7 for c in range(width)] for r in range(rows)], dtype=dtype)


def tensor(name, values, binary):
    given = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def check_server():
    assert client.is_server_live() and client.is_server_ready()
    about = client.get_server_metadata()
    assert about["name"] == "weir" and about["extensions"] == ["binary_tensor_data"], about


def check_metadata(name):
    about = client.get_model_metadata(name)
    version = about["versions"][0]
    assert client.is_model_ready(name) and client.is_model_ready(name, version) and client.is_model_ready("fraud", "champion")
    assert not client.is_model_ready("no-such-model")
    assert about["parameters"]["version"] == int(version) and "champion" in about["parameters"]["aliases"] and len(about["parameters"]["digest"]) == 64
    assert [t["name"] for t in about["outputs"]] == ["score", "decision"]
    assert client.get_model_metadata(name, "champion") == about
    assert {"name": name, "version": version, "state": "READY", "reason": ""} in client.get_model_repository_index()


def check_datatypes(name, width):
    """The same rows in every datatype, as JSON and as bytes, asked for as JSON and as bytes: the same scores."""
    wanted = None
    for dtype in (np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32, np.uint16, np.uint8):
        for binary in (False, True):
            if dtype == np.float16 and not binary:
                continue  # has no JSON form, and the client knows it
            given = [tensor("features", matrix(5, width, dtype), binary)]
            usual = client.infer(name, given, request_id="7")
            chosen = client.infer(name, given, outputs=[triton.InferRequestedOutput("score", binary_data=not binary), triton.InferRequestedOutput("model", binary_data=binary)])
            scores = usual.as_numpy("score")
            assert scores.dtype == np.float64 and scores.shape == (5,) and usual.get_response()["id"] == "7"
            assert usual.as_numpy("decision").dtype == bool
            assert (scores == chosen.as_numpy("score")).all() and [m.decode() if isinstance(m, bytes) else m for m in chosen.as_numpy("model")] == [name] * 5
            wanted = scores if wanted is None else wanted
            assert (scores == wanted).all(), (dtype, binary, scores, wanted)
    return wanted


def check_missing_values(name, width):
    """NaN as bytes is null as JSON: the missing value."""
    rows = matrix(1, width, np.float64)
    rows[0, 0] = math.nan
    status, answer = post("/v2/models/%s/infer" % name, {"inputs": [{"name": "features", "datatype": "FP64", "shape": [1, width],
                                                                     "data": [None if math.isnan(v) else v for v in rows[0]]}]})
    assert status == 200, answer
    score = next(o for o in answer["outputs"] if o["name"] == "score")["data"][0]
    assert client.infer(name, [tensor("features", rows, True)]).as_numpy("score")[0] == score


def check_events(binary):
    """By entity: columns of events, text among them."""
    columns = {"customer_id": np.array(["1", "2", "nobody"], dtype=object), "terminal_id": np.array(["1", "1", "1"], dtype=object),
               "amount": np.array([10.0, 20.0, 30.0]), "tx_time": np.array([1_530_000_000_000_000] * 3, dtype=np.int64)}
    answer = client.infer("fraud", [tensor(n, v, binary) for n, v in columns.items()],
                          outputs=[triton.InferRequestedOutput(n, binary_data=binary) for n in ("score", "arm", "version", "propensity", "decision")])
    assert answer.as_numpy("score").shape == (3,) and answer.as_numpy("version").dtype == np.int64
    assert answer.get_response()["parameters"]["customer.missing"] >= 1
    return answer.as_numpy("score").tolist(), [a.decode() if isinstance(a, bytes) else a for a in answer.as_numpy("arm")]


def refused(words, call):
    try:
        call()
    except InferenceServerException as error:
        assert words in error.message(), (words, error.message())
        return
    raise AssertionError("not refused: " + words)


def check_errors(name, width):
    good = matrix(2, width, np.float64)
    infinite = good.copy()
    infinite[1, 0] = math.inf
    refused("no model \"none\" is served", lambda: client.infer("none", [tensor("features", good, True)]))
    refused("no model \"%s\" version 999" % name, lambda: client.infer(name, [tensor("features", good, True)], model_version="999"))
    refused("it is infinite", lambda: client.infer(name, [tensor("features", infinite, True)]))
    refused("not JSON", lambda: client.infer(name, [tensor("features", infinite, False)]))  # the client writes Infinity, which is none
    refused("columns", lambda: client.infer(name, [tensor("features", matrix(2, width + 1, np.float64), True)]))
    refused("the model takes a number, FP64", lambda: client.infer(name, [tensor("features", np.array([["x"] * width], dtype=object), True)]))
    refused("no output \"nope\"", lambda: client.infer(name, [tensor("features", good, True)], outputs=[triton.InferRequestedOutput("nope")]))
    refused("not offered", lambda: client.infer(name, [tensor("features", good, True)], outputs=[triton.InferRequestedOutput("score", class_count=2)]))
    refused("content-encoding", lambda: client.infer(name, [tensor("features", good, True)], request_compression_algorithm="gzip"))
    assert client.infer(name, [tensor("features", good, True)]).as_numpy("score").shape == (2,), "after errors the connection goes on"


def check_examples(name, width):
    """The forms of the protocol's examples: data flat and nested, a request in JSON and one with bytes, byte by byte."""
    path, values = "/v2/models/%s/infer" % name, [float((3 * r + c) % 7) for r in range(2) for c in range(width)]
    flat = {"id": "42", "inputs": [{"name": "features", "shape": [2, width], "datatype": "UINT32", "data": [int(v) for v in values]}], "outputs": [{"name": "score"}]}
    nested = json.loads(json.dumps(flat))
    nested["inputs"][0]["data"] = [flat["inputs"][0]["data"][:width], flat["inputs"][0]["data"][width:]]
    answers = [post(path, body) for body in (flat, nested)]
    assert answers[0][0] == 200 and answers[0] == answers[1], answers
    score = answers[0][1]["outputs"][0]
    assert score["name"] == "score" and score["shape"] == [2] and score["datatype"] == "FP64" and answers[0][1]["id"] == "42" and answers[0][1]["model_version"]

    head = {"inputs": [{"name": "features", "shape": [2, width], "datatype": "FP32", "parameters": {"binary_data_size": 8 * width}}],
            "outputs": [{"name": "score", "parameters": {"binary_data": True}}, {"name": "decision"}]}
    text = json.dumps(head).encode()
    status, headers, body = raw("POST", path, text + struct.pack("<%df" % len(values), *values), {"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/octet-stream"})
    assert status == 200 and headers["Content-Type"] == "application/octet-stream", (status, body)
    length = int(headers["Inference-Header-Content-Length"])
    about = json.loads(body[:length])
    assert about["outputs"][0]["parameters"] == {"binary_data_size": 16} and "data" not in about["outputs"][0] and len(about["outputs"][1]["data"]) == 2
    assert list(struct.unpack("<2d", body[length:])) == score["data"]
    for wrong in ("x", "-1", "1.5", str(len(text) + 8 * width + 1), ""):
        status, _, body = raw("POST", path, text + bytes(8 * width), {"Inference-Header-Content-Length": wrong})
        assert status == 400 and "Inference-Header-Content-Length" in json.loads(body)["error"], (wrong, status, body)


def check_nobody_else_is_harmed(name, width):
    """Half requests that stay open, bodies beyond the limit, nonsense: each gets its error, and whoever asks rightly meanwhile gets the right answer."""
    host, port = HOST.split(":")
    path, rows = "/v2/models/%s/infer" % name, matrix(3, width, np.float64)
    right = client.infer(name, [tensor("features", rows, True)]).as_numpy("score").tolist()
    open_ones = []
    for text in (b"POST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"inputs\":", b"POST " + path.encode() + b" HTTP/1.1\r\nX-Half: ", b"PO", b""):
        for _ in range(20):
            open_ones.append(socket.create_connection((host, int(port))))
            open_ones[-1].sendall(text)
    nested = b"[" * 100_000
    wrong = [(b"x" * (9 << 20), 413, "at most"), (nested, 400, "not JSON"), (b"\0" * 1000, 400, "not JSON"), (b"{\"inputs\": [" + nested, 400, "not JSON"),
             (b"[" + b"1," * 1_000_000 + b"1]", 400, "not an object"), (b"{\"inputs\":[" + b"{}," * 5000 + b"{}]}", 400, "5001 columns")]
    for body, status, words in wrong:
        found, _, text = raw("POST", path, body)
        assert found == status and words in json.loads(text)["error"], (body[:20], found, text)
        assert client.infer(name, [tensor("features", rows, True)]).as_numpy("score").tolist() == right
    threads = [threading.Thread(target=lambda: [raw("POST", path, body) for body, _, _ in wrong]) for _ in range(4)]
    for thread in threads:
        thread.start()
    asked = 0
    while any(t.is_alive() for t in threads) or asked < 50:
        assert client.infer(name, [tensor("features", rows, True)]).as_numpy("score").tolist() == right
        asked += 1
    for one in open_ones:
        one.close()
    print("answered rightly %d times beside %d half requests and %d wrong ones" % (asked, len(open_ones), 5 * len(wrong)))


def check_openapi():
    with urllib.request.urlopen(URL + "/openapi.json", timeout=30) as response:
        document = json.load(response)
    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1.") and "/v2/models/{model_name}/infer" in document["paths"]


check_server()
model, columns = a_model()
check_metadata(model)
check_datatypes(model, columns)
check_missing_values(model, columns)
assert check_events(True) == check_events(False)
check_errors(model, columns)
check_examples(model, columns)
check_nobody_else_is_harmed(model, columns)
check_openapi()
client.close()
print("protocol: Triton's client in JSON and bytes, the protocol's examples, OpenAPI")
