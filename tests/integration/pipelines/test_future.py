"""Never from the future: for every pipeline, what comes after t is changed (values, missing records, records more), and no feature of an event at or before t may move by a bit."""
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd

import pipelinetest as pt

# Enough history for the longest window and delay of each pipeline; others take their simulator's own size.
SIMULATED = {
    "fraud": ["--entities", "30", "--days", "45"],
    "maritime": ["--entities", "3", "--days", "9", "--missing", "0.02", "--start", "2022-01-01"],
    "traffic": ["--entities", "2", "--days", "40"],
    "churn": ["--entities", "20"],
    "market": ["--entities", "3", "--days", "30"],
}
REAL = {"engine": ("maritime", "cmapss_fd001_engines_1-60.csv.gz")}
HOURS_AN_ENGINE = 552  # as the pipeline derives times: engines fly one after another
CUTS = (0.35, 0.6, 0.85)  # shares of the run


def columns_kept(pipeline):
    """What says whose a record is and when it happened."""
    source, labels = pipeline["source"], pipeline.get("labels", {})
    return {source["time"], labels.get("time"), labels.get("available"), source.get("tenant"), *source["key"], *labels.get("key", []), *labels.get("join", [])}


def changed(rows, time, cut, kept, seed):
    """Rows after the cut with other values, some of them left out, some there twice."""
    random = np.random.default_rng(seed)
    past, future = rows[rows[time] <= cut], rows[rows[time] > cut].copy()
    for name in future.columns:
        if name in kept or name == time or future[name].isna().all():
            continue
        values = future[name]
        if pd.api.types.is_bool_dtype(values):
            future[name] = ~values
        elif pd.api.types.is_integer_dtype(values) or (pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all()):  # whole numbers stay so
            future[name] = random.permutation(values.to_numpy())
        elif pd.api.types.is_numeric_dtype(values):
            future[name] = (values * random.uniform(0.6, 1.3, len(values))).round(6)
        else:
            future[name] = random.permutation(values.to_numpy())
    gone = random.uniform(size=len(future)) < 0.2
    again = future[random.uniform(size=len(future)) < 0.1]
    return pd.concat([past, future[~gone], again])


def table(name, path):
    """The features as text: equal bits are equal texts."""
    done = subprocess.run([pt.TOOL, name, path], cwd=pt.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(path + ".features", "w") as out:
        out.write(done.stdout)
    return pd.read_csv(path + ".features", dtype=str, keep_default_na=False)


def load(name, folder):
    """The file, its rows, and the column by which they are cut; None without data."""
    if name in REAL:
        path = os.path.join(pt.DATA, *REAL[name])
        if not os.path.exists(path):
            return None
        rows = pd.read_csv(path)
        rows["hour"] = HOURS_AN_ENGINE * (rows.engine - 1) + rows.cycle  # a column that the pipeline does not read
        return rows, "hour"
    with open(os.path.join(pt.ROOT, "pipelines", name + ".json")) as text:
        time = json.load(text)["source"]["time"]
    path = os.path.join(folder, name + ".parquet")
    pt.simulate(name, path, "--seed", "5", *SIMULATED.get(name, []))
    return pd.read_parquet(path), time


def check_pipeline(name, folder):
    loaded = load(name, folder)
    if loaded is None:
        print("%s: no data, left out" % name)
        return
    rows, time = loaded
    with open(os.path.join(pt.ROOT, "pipelines", name + ".json")) as text:
        pipeline = json.load(text)
    kept = columns_kept(pipeline) | ({"engine", "cycle"} if name in REAL else set())
    whole_path = os.path.join(folder, name + "-whole.parquet")
    rows.to_parquet(whole_path)
    whole = table(name, whole_path)
    moved = set()
    for seed, share in enumerate(CUTS):
        ordered = rows[time].sort_values(ignore_index=True)
        cut = ordered.iloc[int(len(ordered) * share)]
        path = os.path.join(folder, "%s-%d.parquet" % (name, seed))
        changed(rows, time, cut, kept, seed).to_parquet(path)
        other = table(name, path)
        # the event time of the last row that was left alone, as the pipeline sees it
        last = whole.time.astype("int64").sort_values(ignore_index=True).iloc[int((rows[time] <= cut).sum()) - 1]
        before, after = whole[whole.time.astype("int64") <= last].reset_index(drop=True), other[other.time.astype("int64") <= last].reset_index(drop=True)
        assert len(before) == len(after) == int((rows[time] <= cut).sum()), (name, share, len(before), len(after))
        differing = [c for c in before.columns if (before[c] != after[c]).any()]
        assert not differing, "%s: %s know what came after %s" % (name, ", ".join(differing), cut)
        later, later_other = (f[f.time.astype("int64") > last].drop_duplicates(["key", "time"]).set_index(["key", "time"]) for f in (whole, other))
        both = later.index.intersection(later_other.index)
        moved |= {c for c in later.columns if (later.loc[both, c] != later_other.loc[both, c]).any()}
    features = [f["name"] for view in pipeline["views"] for f in view["features"]]
    still = [f for f in features if f not in moved]
    print("%s: %d features, none from the future; %d of them moved where they may%s" % (
        name, len(features), len(features) - len(still), "; not " + ", ".join(still) if still else ""))
    assert len(still) < 0.5 * len(features), "the change was too small to say anything"


if __name__ == "__main__":
    only = sys.argv[1:]
    with tempfile.TemporaryDirectory() as where:
        for found in sorted(glob.glob(os.path.join(pt.ROOT, "pipelines", "*.json"))):
            this = os.path.splitext(os.path.basename(found))[0]
            if not only or this in only:
                check_pipeline(this, where)
