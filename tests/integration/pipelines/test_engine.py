"""The engine pipeline's features and labels on the real run-to-failure data, against pandas."""
import numpy as np
import pandas as pd

import pipelinetest as pt

SENSORS = "t2 t24 t30 t50 p2 p15 p30 nf nc epr ps30 phi nrf nrc bpr far_b ht_bleed nf_dmd pcnfr_dmd w31 w32".split()
HOUR_0 = pd.Timestamp("2000-01-01", tz="UTC")
SLOT = pd.Timedelta(days=23)  # one engine after the other


def slope(values):
    x = np.arange(len(values), dtype=np.longdouble)
    x -= x.mean()
    y = values.astype(np.longdouble)
    return float((x * (y - y.mean())).sum() / (x * x).sum()) if len(values) > 1 else np.nan


def expected_of(engine):
    """engine: flights of one, by cycle."""
    out = {"engine_cycles": engine.cycle.to_numpy(float)}
    for i, name in enumerate(SENSORS):
        values = engine["v%d" % (i + 1)].to_numpy(float)
        ends = range(1, len(values) + 1)
        out[name + "_mean_10"] = np.array([pt.mean(values[max(0, e - 10):e]) for e in ends])
        out[name + "_std_10"] = np.array([pt.std(values[max(0, e - 10):e]) for e in ends])
        out[name + "_trend_30"] = np.array([slope(values[max(0, e - 30):e]) for e in ends])
        out[name + "_shift"] = out[name + "_mean_10"] - np.array([pt.mean(values[:min(e, 10)]) for e in ends])
    return pd.DataFrame(out)


if __name__ == "__main__":
    path = pt.data_file("maritime", "cmapss_fd001_engines_1-60.csv.gz")
    found, rejected = pt.features("engine", path)
    rows = pd.read_csv(path)
    assert not rejected and len(found) == len(rows), rejected
    size = {name: np.abs(rows["v%d" % (i + 1)]).max() for i, name in enumerate(SENSORS)}
    # differences and spreads are of values up to `size`, which itself is known to 16 digits
    tolerance = {name + "_" + kind: 1e-12 * size[name] for name in SENSORS for kind in ("shift", "trend_30", "std_10")}
    for number in sorted(rows.engine.unique())[::7]:
        mine = rows[rows.engine == number].sort_values("cycle").reset_index(drop=True)
        own = found[found.key == "default/%d" % number].reset_index(drop=True)
        assert list(own.time) == [(HOUR_0 + (number - 1) * SLOT + pd.Timedelta(hours=int(c))).value // 1000 for c in mine.cycle]
        pt.check(own, expected_of(mine), tolerance)
