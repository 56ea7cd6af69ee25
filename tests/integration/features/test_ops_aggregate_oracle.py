"""Aggregates against pandas, row by row, on random records with nulls: eval, fold and merge, 1e-12 relative."""

import sys
import unittest

import numpy as np
import pandas as pd

from operators import follow, report

ROWS, SECOND = 300, 1_000_000


class Aggregates(unittest.TestCase):
    def setUp(self):
        draw = np.random.default_rng(3)
        self.time_us = np.cumsum(draw.integers(1, 20, ROWS)) * SECOND
        x, w = draw.normal(100, 30, ROWS), draw.uniform(0.1, 5, ROWS)
        x[draw.random(ROWS) < 0.1], w[draw.random(ROWS) < 0.05] = np.nan, np.nan
        x[draw.random(ROWS) < 0.1] = 0
        self.frame = pd.DataFrame({"x": x, "w": w})

    def windows(self):
        yield "all", [self.frame.iloc[:i + 1] for i in range(ROWS)]
        yield "last:17", [self.frame.iloc[max(0, i - 16):i + 1] for i in range(ROWS)]
        span = 90 * SECOND
        yield f"sliding:{span}", [self.frame[(self.time_us > t - span) & (self.time_us <= t)] for t in self.time_us]

    def check(self, op, of, oracle, params=None, label=None):
        columns = [self.frame.x.to_numpy(), self.frame.w.to_numpy()]
        for window, frames in self.windows():
            if op == "rate" and not window.startswith("sliding"):
                continue
            follow(self, op, columns, of, window, [oracle(frame) for frame in frames], params=params, time_us=self.time_us, label=label, scale=1.0)

    def test_one_column(self):
        for op in ("count", "mean", "min", "max", "std"):
            self.check(op, "0", lambda frame, op=op: getattr(frame.x, op)())
        self.check("sum", "0", lambda frame: frame.x.sum(min_count=1))
        self.check("variance", "0", lambda frame: frame.x.var())
        self.check("variance", "0", lambda frame: frame.x.var(ddof=0), params={"ddof": 0}, label="variance of all there is")
        self.check("range", "0", lambda frame: frame.x.max() - frame.x.min())
        self.check("share_true", "0", lambda frame: (frame.x.dropna() != 0).mean())
        self.check("null_share", "0", lambda frame: frame.x.isna().mean())
        self.check("rate", "0", lambda frame: frame.x.count() / 90 * 60, params={"per": 60 * SECOND})

    def test_two_columns(self):
        def both(frame):
            return frame.dropna()

        self.check("ratio", "0,1", lambda frame: both(frame).x.sum() / both(frame).w.sum() if len(both(frame)) else np.nan)
        self.check("weighted_mean", "0,1", lambda frame: np.average(both(frame).x, weights=both(frame).w) if len(both(frame)) else np.nan)


if __name__ == "__main__":
    done = unittest.main(exit=False)
    report()
    sys.exit(not done.result.wasSuccessful())
