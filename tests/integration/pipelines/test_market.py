"""The market pipeline's features on the real bars of WEIR_TEST_DATA equal pandas and TA-Lib's recursions, written out here. Prices are adjusted by the splits that history
records, not by what the pipeline derives, so that is compared as well."""
import os
import tempfile

import numpy as np
import pandas as pd

from pipelinetest import check, data_file, features, simulate

SPLITS = {("AAPL", "2000-06-21"): 2, ("AAPL", "2005-02-28"): 2, ("MSFT", "2003-02-18"): 2, ("AAPL", "2014-06-09"): 7, ("GOOG", "2014-04-03"): 2}
SYMBOLS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
ROUNDING = 1e-12


# ---- TA-Lib's recursions ----

def ema(x, n):
    """Started as the mean of the first n values."""
    out = np.full(len(x), np.nan)
    if len(x) >= n:
        out[n - 1] = np.mean(x[:n])
        for i in range(n, len(x)):
            out[i] = out[i - 1] + 2 / (n + 1) * (x[i] - out[i - 1])
    return out


def wilder(x, n):
    """x[0] is not there; started as the mean of x[1..n]."""
    out = np.full(len(x), np.nan)
    if len(x) > n:
        out[n] = np.mean(x[1:n + 1])
        for i in range(n + 1, len(x)):
            out[i] = (out[i - 1] * (n - 1) + x[i]) / n
    return out


def macd(p):
    """TA-Lib begins both averages at the bar where the slow one begins."""
    slow = ema(p, 26)
    fast = np.concatenate([np.full(26 - 12, np.nan), ema(p[26 - 12:], 12)])
    line = fast - slow
    signal = np.concatenate([np.full(25, np.nan), ema(line[25:], 9)])[:len(p)]
    line = np.where(np.isnan(signal), np.nan, line)
    return line, signal, line - signal


# ---- one symbol ----

def symbol_features(g):
    """{feature: expected} of the bars of a symbol in order, and {feature: scale of its rounding} where that is not 1."""
    f, scale = {}, {}
    split = np.array([SPLITS.get((s, str(d)[:10]), 1) for s, d in zip(g.symbol, g.date)], float)
    factor = np.cumprod(split)
    p, h, l, v = (pd.Series(x) for x in (g.close.to_numpy() * factor, g.high.to_numpy() * factor, g.low.to_numpy() * factor, g.volume.to_numpy() / factor))
    close, high, low, opened = (pd.Series(x.to_numpy()) for x in (g.close, g.high, g.low, g.open))
    before = close.shift() / split
    r = np.log(close / before)
    money = {"price": p}
    for n in (1, 2, 5, 10, 20, 60):
        f["return_%d" % n] = p / p.shift(n) - 1
    for k in (1, 2, 3, 5):
        f["return_1_lag_%d" % k] = r.shift(k)
    f["gap"], f["bar_range"] = opened / before - 1, (high - low) / close
    f["close_location"] = ((2 * close - high - low) / (high - low).where(high > low))
    for n in (5, 10, 20, 50, 200):
        money["sma_%d" % n] = p.rolling(n).apply(np.mean, raw=True)
    for n in (12, 26, 50):
        money["ema_%d" % n] = pd.Series(ema(p.to_numpy(), n))
    for n in (20, 50, 200):
        f["price_to_sma_%d" % n] = p / money["sma_%d" % n] - 1
    f["sma_50_to_200"] = money["sma_50"] / money["sma_200"] - 1
    change = p.diff().to_numpy()
    for n in (7, 14):
        gain, loss = wilder(np.maximum(change, 0), n), wilder(np.maximum(-change, 0), n)
        f["rsi_%d" % n], scale["rsi_%d" % n] = pd.Series(100 * gain / (gain + loss)), 100
    for name, line in zip(("macd", "macd_signal", "macd_histogram"), macd(p.to_numpy())):
        money[name] = pd.Series(line)
    mean, s = money["sma_20"], p.rolling(20).apply(np.std, raw=True)
    money["bollinger_upper"], money["bollinger_middle"], money["bollinger_lower"] = mean + 2 * s, mean, mean - 2 * s
    f["bollinger_width"], f["bollinger_percent"] = 4 * s / mean, (p - mean + 2 * s) / (4 * s)
    true_range = np.maximum(h - l, np.maximum(abs(h - p.shift()), abs(l - p.shift()))).to_numpy()
    money["atr_14"] = pd.Series(wilder(true_range, 14))
    f["atr_14_relative"] = money["atr_14"] / p
    fast = 100 * (p - l.rolling(14).min()) / (h.rolling(14).max() - l.rolling(14).min())
    k = fast.rolling(3).apply(np.mean, raw=True)
    d = k.rolling(3).apply(np.mean, raw=True)
    f["stochastic_k"], f["stochastic_d"] = k.where(d.notna()), d
    scale["stochastic_k"] = scale["stochastic_d"] = 100
    logs = np.log(p / p.shift())
    for n in (10, 20, 60):
        f["volatility_%d" % n] = logs.rolling(n).apply(lambda x: np.std(x, ddof=1), raw=True) * np.sqrt(252)
    f["parkinson_20"] = np.sqrt((np.log(h / l) ** 2).rolling(20).apply(np.mean, raw=True) * 252 / (4 * np.log(2)))
    simple = p / p.shift() - 1
    f["sharpe_60"] = np.sqrt(252) * simple.rolling(60).apply(lambda x: np.mean(x) / np.std(x, ddof=1), raw=True)
    f["drawdown_252"] = p / p.rolling(252, 1).max() - 1
    f["max_drawdown_252"] = p.rolling(252, 1).apply(lambda x: np.min(x / np.maximum.accumulate(x)) - 1, raw=True)
    f["above_low_252"] = p / p.rolling(252, 1).min() - 1
    f["return_std_ewm"] = ewm_std(r.to_numpy(), g.date.to_numpy())
    series_features(f, r)
    f["price_zscore_20"] = (p - p.rolling(20, 1).apply(np.mean, raw=True)) / p.rolling(20, 1).apply(lambda x: np.std(x, ddof=1) if len(x) > 1 else np.nan, raw=True)
    up = (close > before).to_numpy()
    f["up_streak"] = pd.Series(np.array([0 if not u else i - max([j for j in range(max(0, i - 60), i) if not up[j]], default=-1) for i, u in enumerate(up)], float))
    volume_features(f, scale, p, h, l, v)
    calendar_features(f, g.date + pd.Timedelta(hours=21))
    f["bar_inconsistent"], f["unexplained_jump"], f["was_split"] = 0 * p, (abs(r) > 0.4), split != 1
    for name, x in money.items():
        f[name], scale[name] = x, p
    return f, scale, pd.DataFrame({"p": p, "before": before, "r": r})


def ewm_std(r, days):
    """Unbiased for reliability weights that halve every 10 days: pandas ewm(halflife, times).std knows only fixed steps."""
    out, day = np.full(len(r), np.nan), (days - days[0]) / np.timedelta64(1, "D")
    for i in range(len(r)):
        at = slice(max(1, i - 600), i + 1)
        w, x = 0.5 ** ((day[i] - day[at]) / 10), r[at]
        if len(x) > 1:
            m = np.sum(w * x) / np.sum(w)
            out[i] = np.sqrt(np.sum(w * (x - m) ** 2) / (np.sum(w) - np.sum(w ** 2) / np.sum(w)))
    return pd.Series(out)


def series_features(f, r):
    """Of the newest 60 records; the first record of all has no return."""
    def autocorrelation(x):
        x = x[~np.isnan(x)]
        if len(x) < 2 or np.var(x) == 0:
            return np.nan
        return np.sum((x[:-1] - x.mean()) * (x[1:] - x.mean())) / ((len(x) - 1) * np.var(x))

    windows = [r.to_numpy()[max(0, i - 59):i + 1] for i in range(len(r))]
    values = [pd.Series(w[~np.isnan(w)]) for w in windows]
    f["return_skewness_60"], f["return_kurtosis_60"] = pd.Series([x.skew() for x in values]), pd.Series([x.kurt() for x in values])
    f["return_autocorrelation_60"] = pd.Series([autocorrelation(w) for w in windows])


def volume_features(f, scale, p, h, l, v):
    for k in (1, 5):
        f["volume_lag_%d" % k] = v.shift(k)
    mean = v.rolling(20, 1).apply(np.mean, raw=True)
    f["volume_mean_20"], f["volume_ratio_20"] = mean, v / mean
    f["volume_zscore_20"] = (v - mean) / v.rolling(20, 1).apply(lambda x: np.std(x, ddof=1) if len(x) > 1 else np.nan, raw=True)
    f["obv"], scale["obv"] = v.where(p.diff().isna(), np.sign(p.diff()) * v).cumsum(), v.cumsum()
    typical = (h + l + p) / 3
    vwap = (typical * v).rolling(20, 1).apply(np.sum, raw=True) / v.rolling(20, 1).apply(np.sum, raw=True)
    f["vwap_20"], f["price_to_vwap_20"] = vwap, p / vwap - 1
    f["illiquidity_20"] = (abs(p / p.shift() - 1) / (p * v)).rolling(20).apply(np.mean, raw=True)


def calendar_features(f, close_time):
    t = pd.Series(close_time.to_numpy())
    f["hour"], f["weekday"], f["month"] = t.dt.hour, t.dt.day_of_week, t.dt.month
    f["week"] = t.dt.isocalendar().week.astype(float)
    f["month_sin"], f["month_cos"] = np.sin(2 * np.pi * t.dt.month / 12), np.cos(2 * np.pi * t.dt.month / 12)
    f["hour_sin"], f["hour_cos"] = np.sin(2 * np.pi * 21 / 24 + 0 * t.dt.hour), np.cos(2 * np.pi * 21 / 24 + 0 * t.dt.hour)
    f["turn_of_month"] = (t.dt.day <= 3) | (t.dt.day >= 28)


# ---- the sector ----

def sector_features(bars):
    """bars of all symbols in the order in which they came. {feature: expected} for samples of them, and which these are."""
    time, symbol = bars.close_time.to_numpy(), bars.symbol.to_numpy()
    ret, r, traded = (bars.close / bars.before - 1).to_numpy(), bars.r.to_numpy(), (bars.close * bars.volume).to_numpy()
    rose = np.where(bars.before.isna(), np.nan, bars.close > bars.before)
    rows = {}
    sample = sorted(set(range(0, 40)) | set(range(40, len(bars), 23)))
    for i in sample:
        recent = np.arange(max(0, i - 63), i + 1)
        newest = {}
        for j in recent:
            if not np.isnan(ret[j]):
                newest[symbol[j]] = j
        row = {"sector_symbols": len(set(symbol[recent]))}
        if newest:
            row.update(among_members(symbol[i], {s: ret[j] for s, j in newest.items()}, {s: rose[j] for s, j in newest.items()}, not np.isnan(ret[i])))
        values = {symbol[j]: traded[j] for j in recent}
        row["traded_value_share"] = values[symbol[i]] / sum(values.values())
        for days in (30, 90):
            inside = r[np.searchsorted(time, time[i] - np.timedelta64(days, "D"), "right"):i + 1]
            inside = inside[~np.isnan(inside)]
            row["sector_momentum_%dd" % days] = np.mean(inside) if len(inside) else np.nan
            if days == 30:
                row["sector_volatility_30d"] = np.std(inside, ddof=1) if len(inside) > 1 else np.nan
        row.update(correlations(bars.iloc[max(0, i - 299):i + 1], symbol[i]))
        for name, value in row.items():
            rows.setdefault(name, {})[i] = value
    return sample, rows


def among_members(own, returns, rises, own_is_there):
    x = np.array(list(returns.values()))
    row = {"sector_return": x.mean(), "sector_dispersion": np.std(x, ddof=1) if len(x) > 1 else np.nan, "sector_breadth": np.mean(list(rises.values()))}
    if not own_is_there:
        return row
    others = np.array([v for s, v in returns.items() if s != own])
    row["return_rank"] = 1 + np.sum(others > returns[own])
    row["return_rank_percentile"] = pd.Series(returns).rank(pct=True)[own]
    row["relative_strength"] = returns[own] - others.mean() if len(others) else np.nan
    row["return_zscore"] = (returns[own] - others.mean()) / np.std(others, ddof=1) if len(others) > 1 else np.nan
    return row


def correlations(window, own):
    wide = window.pivot_table(index="close_time", columns="symbol", values="p")
    returns = pd.DataFrame({s: wide[s].dropna().pct_change() for s in wide}, index=wide.index)
    row = {}
    for i, a in enumerate(SYMBOLS):
        for b in SYMBOLS[i + 1:]:
            there = a in returns and b in returns and (returns[a].notna() & returns[b].notna()).sum() > 1
            row["correlation_%s_%s" % (a.lower(), b.lower())] = returns[a].corr(returns[b]) if there else np.nan
    pair = pd.DataFrame({"own": returns[own], "others": returns.drop(columns=own).mean(axis=1)}).dropna()
    enough = len(pair) > 1
    row["sector_correlation"] = pair.own.corr(pair.others) if enough else np.nan
    row["sector_beta"] = pair.own.cov(pair.others) / pair.others.var() if enough else np.nan
    return row


# ---- quotes, which only the simulator has ----

def quote_features(g):
    """Of the bars of a symbol in order."""
    mid = (g.ask + g.bid) / 2
    spread = (g.ask - g.bid) / mid
    f = {"relative_spread": spread, "relative_spread_mean_12": spread.rolling(12, 1).apply(np.mean, raw=True)}
    f["quote_imbalance"] = (g.bid_size - g.ask_size) / (g.bid_size + g.ask_size)
    f["trade_imbalance"] = (g.buy_volume - g.sell_volume) / (g.buy_volume + g.sell_volume)
    bought, sold = (g[c].rolling(12, 1).sum() for c in ("buy_volume", "sell_volume"))
    f["trade_imbalance_12"] = (bought - sold) / (bought + sold)
    bid, ask = g.bid.diff(), g.ask.diff()
    flow = (bid >= 0) * g.bid_size - (bid <= 0) * g.bid_size.shift() - (ask <= 0) * g.ask_size + (ask >= 0) * g.ask_size.shift()
    f["order_flow_imbalance_12"] = flow.rolling(11, 1).sum()
    f["microprice_gap"] = (g.bid * g.ask_size + g.ask * g.bid_size) / (g.bid_size + g.ask_size) / g.close - 1
    f["price"], f["was_split"] = g.close * g.split_factor, g.split != 1
    f["hour"], f["weekday"] = g.close_time.dt.hour, g.close_time.dt.day_of_week
    return f


def simulated_quotes():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "market.parquet")
        simulate("market", path, "--entities", "4", "--days", "5", "--seed", "9")
        got, rejected = features("market", path)
        bars = pd.read_parquet(path).sort_values(["close_time", "symbol"], ignore_index=True)
    assert len(got) == len(bars) and not rejected, rejected
    for _, g in bars.groupby("symbol"):
        expected = quote_features(g)
        check(got.loc[g.index], expected, dict.fromkeys(expected, ROUNDING))


def same_without_the_future(path, got):
    """What a file lacks is derived from its rows: from those before, never from those after."""
    bars = pd.read_parquet(path)
    day = bars.date.sort_values(ignore_index=True).iloc[len(bars) // 2]
    with tempfile.TemporaryDirectory() as folder:
        cut = os.path.join(folder, "cut.parquet")
        bars[bars.date <= day].to_parquet(cut)
        before, _ = features("market", cut)
    assert 0 < len(before) < len(got)
    pd.testing.assert_frame_equal(before, got.iloc[:len(before)], check_exact=True, check_dtype=False)  # a column may be all null in the first half


def real_bars():
    path = data_file("market", "daily_bars.parquet")
    got, rejected = features("market", path)
    bars = pd.read_parquet(path)
    bars["close_time"] = bars.date + pd.Timedelta(hours=21)
    bars = bars.sort_values(["close_time", "symbol"], ignore_index=True)
    assert len(got) == len(bars) and not rejected, "%d bars accepted of %d; rejected: %s" % (len(got), len(bars), rejected)
    assert (got.key == "default/" + bars.symbol).all()
    same_without_the_future(path, got)
    parts, compared = [], set()
    for _, g in bars.groupby("symbol"):
        expected, scale, more = symbol_features(g)
        check(got.loc[g.index], expected, {name: ROUNDING * np.asarray(scale.get(name, 1), float) for name in expected})
        compared |= set(expected)
        parts.append(more.set_index(g.index))
    sample, rows = sector_features(pd.concat([bars, pd.concat(parts)], axis=1))
    expected = {name: [by_row.get(i, np.nan) for i in sample] for name, by_row in rows.items()}
    check(got.loc[sample], expected, dict.fromkeys(expected, ROUNDING))
    quotes = [c for c in got if "spread" in c or "imbalance" in c or c == "microprice_gap"]
    assert len(quotes) == 7 and got[quotes].isna().all().all(), "bars have no quotes, so their features are null"
    hidden = {"number", "key", "time", "price_low_252", "price_mean_20", "price_std_20", "volume_std_20", "member_return", "sector_return_others"}
    unchecked = set(got.columns) - compared - set(expected) - set(quotes) - hidden
    assert not unchecked, "not compared: %s" % sorted(unchecked)


simulated_quotes()
real_bars()
