"""Market operators against TA-Lib (its C library), pandas and formulas written out with NumPy, row by row, on the daily bars of WEIR_TEST_DATA (raw prices: splits are jumps)
and on a random walk with nulls. Tolerance 1e-12 relative; where TA-Lib itself is less exact (its running sums of squares in BBANDS), NumPy is the oracle and TA-Lib is
compared to what it is good for."""

import sys
import unittest

import numpy as np
import pandas as pd
import talib

from operators import DATA, ask, follow, report

BARS = DATA / "market" / "daily_bars.parquet"
HIGH, LOW, CLOSE, VOLUME = "0", "1", "2", "3"
HLC = "0,1,2"
ROWS = 600


def bars_of(symbol):
    frame = pd.read_parquet(BARS)
    frame = frame[frame.symbol == symbol].sort_values("date").head(2000).tail(ROWS)
    return [frame[c].to_numpy(float) for c in ("high", "low", "close", "volume")]


def random_bars(rows=ROWS, seed=7):
    draw = np.random.default_rng(seed)
    close = np.round(50 * np.exp(np.cumsum(draw.normal(0, 0.02, rows))), 2)
    high, low = close * (1 + draw.uniform(0, 0.02, rows)), close * (1 - draw.uniform(0, 0.02, rows))
    return [high, low, close, np.round(draw.lognormal(10, 1, rows))]


def rolling(values, n, function):
    """function of the newest n values at each; NaN until there are n."""
    values = np.asarray(values)  # pandas' own functions would skip NaN
    return np.array([function(values[i + 1 - n:i + 1]) if i + 1 >= n else np.nan for i in range(len(values))])


class Bars(unittest.TestCase):
    """One series of bars; every operator over it. Subclasses say which."""

    def setUp(self):
        self.columns = self.bars()
        self.high, self.low, self.close, self.volume = self.columns

    def bars(self):
        return random_bars()

    def follow(self, op, of, window, expected, **more):
        follow(self, op, self.columns, of, window, expected, **more)

    def test_averages_and_bands(self):
        x = self.close
        for n in (1, 5, 30):
            self.follow("sma", CLOSE, f"last:{n}", talib.SMA(x, n) if n > 1 else x, params={"n": n})
        self.follow("sma", CLOSE, "last:80", talib.SMA(x, 20), params={"n": 20}, label="sma in a longer window")
        mean, deviation = rolling(x, 20, np.mean), rolling(x, 20, np.std)
        upper, lower = mean + 2 * deviation, mean - 2 * deviation
        expected = {"upper": upper, "middle": mean, "lower": lower, "width": (upper - lower) / mean, "percent": (x - lower) / (upper - lower)}
        for output, values in expected.items():
            self.follow("bollinger", CLOSE, "last:20", values, params={"output": output}, label=f"bollinger {output}", scale=1.0 if output == "percent" else 0.0)
        for output, values in zip(("upper", "middle", "lower"), talib.BBANDS(x, 20, 2.0, 2.0)):
            self.follow("bollinger", CLOSE, "last:20", values, params={"n": 20, "k": 2, "output": output}, tolerance=1e-8, label=f"bollinger {output} (TA-Lib)")

    def test_exponential_averages(self):
        x, series = self.close, pd.Series(self.close)
        for n in (2, 12, 50):
            self.follow("ema", CLOSE, "all", talib.EMA(x, n), params={"n": n})
            self.follow("ema", CLOSE, "all", series.ewm(span=n, adjust=False).mean(), params={"n": n, "seed": "first"}, label="ema first")
            self.follow("ema", CLOSE, "all", series.ewm(span=n, adjust=True).mean(), params={"n": n, "seed": "adjusted"}, label="ema adjusted")

    def test_indicators(self):
        for n in (2, 14, 40):
            self.follow("rsi", CLOSE, "all", talib.RSI(self.close, n), params={"n": n})
            self.follow("atr", HLC, "all", talib.ATR(self.high, self.low, self.close, n), params={"n": n})
        for fast, slow, signal in ((12, 26, 9), (3, 10, 16)):
            lines = talib.MACD(self.close, fast, slow, signal)
            for output, values in zip(("macd", "signal", "histogram"), lines):
                # A difference of averages of prices: exact to the price's rounding.
                self.follow("macd", CLOSE, "all", values, params={"fast": fast, "slow": slow, "signal": signal, "output": output}, scale=self.close, label=f"macd {output}")
        self.follow("true_range", HLC, "last:2", talib.TRANGE(self.high, self.low, self.close))

    def test_stochastic(self):
        for n, slowing, signal in ((14, 3, 3), (5, 1, 4)):
            lines = talib.STOCH(self.high, self.low, self.close, n, slowing, 0, signal, 0)
            for output, values in zip("kd", lines):
                # TA-Lib's running sum leaves rounding of up to 100 behind when values come near 0.
                self.follow("stochastic", HLC, f"last:{n + slowing + signal - 2}", values, scale=100.0, label=f"stochastic {output}",
                            params={"n": n, "slowing": slowing, "signal": signal, "output": output})

    def test_returns(self):
        x, series = self.close, pd.Series(self.close)
        for n in (1, 20):
            self.follow("momentum", CLOSE, f"last:{n + 1}", talib.MOM(x, n), params={"n": n})
            # A quotient near 1 less 1: exact to the rounding of 1.
            self.follow("simple_return", CLOSE, f"last:{n + 1}", talib.ROCP(x, n), params={"n": n}, scale=1.0)
            self.follow("log_return", CLOSE, f"last:{n + 1}", np.log(series / series.shift(n)), params={"n": n})
        self.follow("momentum", CLOSE, "last:8", np.concatenate([[np.nan], x[1:] - np.concatenate([np.full(7, x[0]), x])[1:len(x)]]), label="momentum of the window")

    def test_volatility(self):
        series = pd.Series(self.close)
        logs, simple = np.log(series / series.shift(1)), series / series.shift(1) - 1
        self.follow("realised_volatility", CLOSE, "last:21", rolling(logs, 20, lambda r: np.std(r, ddof=1) * np.sqrt(252)), params={"n": 20, "periods": 252})
        self.follow("sharpe", CLOSE, "last:21", rolling(simple, 20, lambda r: (np.mean(r) - 1e-4) / np.std(r, ddof=1) * np.sqrt(252)), scale=1.0,
                    params={"n": 20, "periods": 252, "risk_free": 1e-4})
        ranges = np.log(self.high / self.low) ** 2 / (4 * np.log(2))
        self.follow("parkinson_volatility", "0,1", "last:10", rolling(ranges, 10, lambda r: np.sqrt(np.mean(r) * 252)), params={"n": 10, "periods": 252})
        impact = simple.abs() / (series * self.volume)
        self.follow("amihud_illiquidity", "2,3", "last:11", rolling(impact, 10, np.mean), params={"n": 10})

    def test_volume(self):
        self.follow("obv", "2,3", "all", talib.OBV(self.close, self.volume))
        value = pd.Series(self.close * self.volume)
        self.follow("vwap", "2,3", "all", value.cumsum() / np.cumsum(self.volume), label="vwap all")
        seconds = 30
        frame = pd.DataFrame({"value": value.to_numpy(), "volume": self.volume}, index=pd.to_datetime(np.arange(ROWS), unit="s")).rolling(f"{seconds}s").sum()
        self.follow("vwap", "2,3", f"sliding:{seconds * 1_000_000}", frame.value.to_numpy() / frame.volume.to_numpy())

    def test_drawdowns(self):
        series = pd.Series(self.close)
        fall = series / series.cummax() - 1
        self.follow("drawdown", CLOSE, "all", fall)
        self.follow("max_drawdown", CLOSE, "all", fall.cummin())


class Null(Bars):
    """Bars with nulls: operators give what they give over the bars without them, at bars that are there."""

    def bars(self):
        return random_bars(seed=8)

    def follow(self, op, of, window, expected, **more):
        draw, rows, full = np.random.default_rng(9), [], ROWS + 150
        holes = set(draw.choice(full, 150, replace=False))
        columns = [np.full(full, np.nan) for _ in self.columns]
        for row in (r for r in range(full) if r not in holes):
            for column, values in zip(columns, self.columns):
                column[row] = values[len(rows)]
            rows.append(row)
        if window.startswith("sliding"):
            return
        window = f"last:{int(window[5:]) + 150}" if window.startswith("last") and "n" in more.get("params", {}) else "all" if window == "all" else None
        if window:
            follow(self, op, columns, of, window, expected, rows=rows, **{**more, "label": f"{more.get('label', op)} with nulls"})


@unittest.skipUnless(BARS.exists(), f"no {BARS}")
class Apple(Bars):
    def bars(self):
        return bars_of("AAPL")


@unittest.skipUnless(BARS.exists(), f"no {BARS}")
class Google(Bars):
    def bars(self):
        return bars_of("GOOG")


class Quotes(unittest.TestCase):
    def setUp(self):
        draw = np.random.default_rng(11)
        self.bid = np.round(100 + np.cumsum(draw.choice([-0.01, 0, 0, 0.01], ROWS)), 2)
        self.ask = np.round(self.bid + draw.choice([0.01, 0.02, 0.03], ROWS), 2)
        self.bid_size, self.ask_size = draw.integers(1, 1000, ROWS).astype(float), draw.integers(1, 1000, ROWS).astype(float)
        self.columns = [self.bid, self.bid_size, self.ask, self.ask_size]

    def test_order_flow_imbalance(self):
        flows = np.zeros(ROWS)
        for i in range(1, ROWS):
            bid, before = self.bid[i], self.bid[i - 1]
            flows[i] = (bid >= before) * self.bid_size[i] - (bid <= before) * self.bid_size[i - 1]
            ask_price, before = self.ask[i], self.ask[i - 1]
            flows[i] += (ask_price >= before) * self.ask_size[i - 1] - (ask_price <= before) * self.ask_size[i]
        whole = np.cumsum(flows)
        whole[0] = np.nan
        follow(self, "order_flow_imbalance", self.columns, "0,1,2,3", "all", whole)
        of_ten = np.array([flows[max(1, i - 8):i + 1].sum() if i else np.nan for i in range(ROWS)])
        follow(self, "order_flow_imbalance", self.columns, "0,1,2,3", "last:10", of_ten)

    def test_imbalance_of_volume(self):
        bid, offered = pd.Series(self.bid_size).rolling(7, min_periods=1).sum(), pd.Series(self.ask_size).rolling(7, min_periods=1).sum()
        follow(self, "volume_imbalance", self.columns, "1,3", "last:7", (bid - offered) / (bid + offered), scale=1.0)

    def test_spread(self):
        spread = (self.ask - self.bid) / ((self.ask + self.bid) / 2)
        follow(self, "relative_spread", self.columns, "0,2", "last:1", spread)
        follow(self, "relative_spread", self.columns, "0,2", "last:20", rolling(spread, 20, np.mean), params={"n": 20})


class Parameters(unittest.TestCase):
    def test_macd_refuses_a_fast_average_that_is_not_faster(self):
        with self.assertRaisesRegex(RuntimeError, "fast must be below slow"):
            ask([[1.0]], [("macd", "0", "all", 0, {"fast": 26, "slow": 26})])


if __name__ == "__main__":
    done = unittest.main(exit=False)
    report()
    sys.exit(not done.result.wasSuccessful())
