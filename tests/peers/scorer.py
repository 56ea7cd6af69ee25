"""One row and 10 000 rows by Weir's compiled models and by those who do nothing else: medians, ratios, one core each, one run.

    ./run peers scorer [--runs N]

30 columns, trees of depth 6, 100 and 500 of them. Weir fits the XGBoost model; XGBoost, TL2cgen and onnxruntime score the same one, and every score of Weir's is compared with XGBoost's as
float32. LightGBM fits one of the same size (63 leaves) on the same rows, for itself, TL2cgen and lleaves. Libraries with a C interface are called from C (tests/peers/scorer/bench.c), onnxruntime
and lleaves from Python, whose call is part of their single rows.
Goals: one row in 1 us (100 trees, median) and 5 us (500 trees, 99 %), both below every peer; 10 000 rows twice as fast as the fastest peer. Exits with 0 where every goal is met, else 1."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1")

import lightgbm
import lleaves
import numpy as np
import onnxmltools
import onnxruntime
import tl2cgen
import treelite
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import make_classification

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build-release"))
COLUMNS, FIT_ROWS, ROWS = 30, 50_000, 10_000
BATCH_S, CALLS = 0.3, 2000


def fit_weir(folder, trees, x, y):
    """The model as a compiled file, and as XGBoost's own (the body of the artifact)."""
    spec = {"algorithm": "xgboost", "params": {"rounds": trees, "max_depth": 6, "eta": 0.1}, "preprocessing": None, "task": "binary", "classes": 0,
            "columns": [{"name": f"f{i}", "kind": "number"} for i in range(COLUMNS)]}
    (folder / "spec").write_text(json.dumps(spec))
    x.astype("<f8").tofile(folder / "x")
    y.astype("<f8").tofile(folder / "y")
    tool = BUILD / "weir_tool_export"
    subprocess.run([tool, "fit", folder / "spec", folder / "x", folder / "y", folder / "artifact"], check=True)
    subprocess.run([tool, "export", folder / "artifact", "score", folder / f"{trees}.score"], check=True)
    artifact = (folder / "artifact").read_bytes()
    body = artifact[24 + int.from_bytes(artifact[12:16], "little"):-32]
    (folder / f"xgb-{trees}.ubj").write_bytes(body)
    return xgboost.Booster(model_file=bytearray(body))


def prepare(folder, trees, x, y):
    booster = fit_weir(folder, trees, x, y)
    booster.save_model(folder / f"xgb-{trees}.json")
    light = lightgbm.train({"objective": "binary", "max_depth": 6, "num_leaves": 63, "learning_rate": 0.1, "seed": 1, "verbose": -1, "num_threads": 2}, lightgbm.Dataset(x, y), trees)
    light.save_model(folder / f"lgb-{trees}.txt")
    models = {"xgb": treelite.frontend.load_xgboost_model(folder / f"xgb-{trees}.json"), "lgb": treelite.frontend.load_lightgbm_model(folder / f"lgb-{trees}.txt")}
    for name, model in models.items():
        tl2cgen.export_lib(model, toolchain="gcc", libpath=folder / f"{name}-{trees}.so", params={"parallel_comp": 8})
    onnx = onnxmltools.convert_xgboost(booster, initial_types=[("input", FloatTensorType([None, COLUMNS]))])
    (folder / f"{trees}.onnx").write_bytes(onnx.SerializeToString())


def measure(one, batch):
    """Median and 99th of a hundred of single calls in us, rows a second."""
    took = []
    for i in range(CALLS):
        began = time.perf_counter_ns()
        one(i)
        took.append(time.perf_counter_ns() - began)
    took.sort()
    began, times = time.perf_counter(), 0
    while time.perf_counter() - began < BATCH_S:
        batch()
        times += 1
    return {"row_p50_us": took[CALLS // 2] / 1e3, "row_p99_us": took[CALLS * 99 // 100] / 1e3, "rows_per_s": times * ROWS / (time.perf_counter() - began)}


def python_peers(folder, trees, rows):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / f"{trees}.onnx", options, providers=["CPUExecutionProvider"])
    name, outputs = session.get_inputs()[0].name, [session.get_outputs()[1].name]
    narrow, alone = rows.astype(np.float32), [rows[i:i + 1].astype(np.float32) for i in range(CALLS)]
    leaves = lleaves.Model(str(folder / f"lgb-{trees}.txt"))
    leaves.compile()
    wide = [rows[i:i + 1] for i in range(CALLS)]
    return {"onnxruntime": (lambda i: session.run(outputs, {name: alone[i]}), lambda: session.run(outputs, {name: narrow})),
            "lleaves": (lambda i: leaves.predict(wide[i], n_jobs=1), lambda: leaves.predict(rows, n_jobs=1))}


def library(module, name):
    return next(Path(module.__file__).parent.rglob(name))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x, y = make_classification(FIT_ROWS + ROWS, COLUMNS, n_informative=18, n_redundant=4, flip_y=0.05, random_state=11)
        rows = np.ascontiguousarray(x[FIT_ROWS:].astype(np.float32).astype(float))
        rows.tofile(folder / "rows.f64")
        rows.astype("<f4").tofile(folder / "rows.f32")
        for trees in (100, 500):
            prepare(folder, trees, x[:FIT_ROWS], y[:FIT_ROWS])
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", folder / "bench", ROOT / "tests/peers/scorer/bench.c", "-ldl"], check=True)
        done = subprocess.run([folder / "bench", folder, str(runs), library(xgboost, "libxgboost.so"), library(lightgbm, "lib_lightgbm.so"), BUILD / "libweirscore.so"],
                              stdout=subprocess.PIPE, text=True, check=True)
        for line in done.stdout.splitlines():
            peer, trees, what, *values = line.split()
            found.setdefault((int(trees), what), {})[peer] = statistics.median(map(float, values))
        for trees in (100, 500):
            for peer, (one, batch) in python_peers(folder, trees, rows).items():
                turns = [measure(one, batch) for _ in range(runs)]
                for what in turns[0]:
                    found[trees, what][peer] = statistics.median(t[what] for t in turns)
    return report(found)


def report(found):
    met = []
    for (trees, what), values in sorted(found.items()):
        own, others = values.pop("weir"), values
        best = (max if what == "rows_per_s" else min)(others, key=others.get)
        ratio = own / others[best] if what == "rows_per_s" else others[best] / own
        print(f"{trees} trees {what}: weir {own:,.3f}; fastest peer {best} {others[best]:,.3f}: {ratio:.2f} times as fast; "
              + ", ".join(f"{peer} {value:,.3f}" for peer, value in sorted(others.items())))
        met.append(ratio >= (2 if what == "rows_per_s" else 1))
        if (trees, what) == (100, "row_p50_us"):
            met.append(own <= 1)
        if (trees, what) == (500, "row_p99_us"):
            met.append(own <= 5)
    print("every goal is met" if all(met) else f"{met.count(False)} of {len(met)} goals are missed")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
