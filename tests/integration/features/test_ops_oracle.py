"""Order, decay and group operators equal pandas, NumPy and SciPy to 1e-12 relative, on random records with nulls, ties and irregular times; eval, fold and merge of one operator
agree; sketches keep their stated error on several distributions."""
import math
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TOOL = os.path.join(os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build")), "weir_tool_ops")
TOLERANCE = 1e-12
SECOND, DAY = 1_000_000, 86_400_000_000
T0 = 1_522_540_800 * SECOND
NAN = math.nan

try:
    import numpy as np
    import pandas as pd
    from scipy import stats
except ImportError as missing:
    print("skipped: %s; ./run test installs what is needed" % missing)
    sys.exit(77)

checked = {}


def records(seed, count=400):
    """x: positive, with nulls and ties; y: depends on x, with nulls; code: few different; flag: a condition; member: of six, with nulls."""
    rng = np.random.default_rng(seed)
    gaps = rng.choice([0, 1, 60, 3600, 7200, 86400], size=count, p=[0.15, 0.2, 0.2, 0.25, 0.15, 0.05]) * SECOND + rng.integers(0, 2, count) * rng.integers(0, SECOND, count)
    x = np.round(rng.lognormal(2, 0.7, count), 1) + 0.1
    y = 0.5 * x + rng.normal(0, 3, count) + 20
    frame = pd.DataFrame({
        "time": T0 + np.cumsum(gaps), "x": x, "y": y, "code": rng.integers(0, 7, count).astype(float), "flag": (rng.random(count) < 0.8).astype(float),
        "member": rng.integers(1, 7, count).astype(float)})
    for column, share in (("x", 0.1), ("y", 0.05), ("code", 0.1), ("flag", 0.05), ("member", 0.03)):
        frame.loc[rng.random(count) < share, column] = NAN
    return frame[["time", "x", "y", "code", "flag", "member"]]


INPUTS = [["x", "y", "code", "flag"], ["x", "member"]]  # at most four at a time


def window_of(frame, spec, t):
    kind, _, rest = spec.partition(":")
    size = [int(part) for part in rest.split(":") if part]
    seen = frame[frame.time <= t]
    if kind == "sliding":
        return seen[seen.time > t - size[0]]
    if kind == "last":
        return seen.tail(size[0])
    if kind == "tumbling":
        end = t // size[0] * size[0]
        return seen[(seen.time >= end - size[0]) & (seen.time < end)]
    if kind == "hopping":
        end = t // size[1] * size[1]
        return seen[(seen.time >= end - size[0]) & (seen.time < end)]
    if kind == "to_date":
        return seen[seen.time >= t // size[0] * size[0]]
    if kind == "session":
        breaks = np.flatnonzero(np.diff(seen.time.to_numpy()) > size[0])
        return seen.iloc[breaks[-1] + 1:] if len(breaks) else seen
    return seen


def ops(frame, columns, lines):
    """Lines of (eval, fold, merge); None where the operator has none."""
    table = "\n".join(" ".join([str(int(row[0]))] + ["%.17g" % v for v in row[1:]]) for row in frame[["time"] + columns].itertuples(index=False, name=None))
    text = "records %d %d\n%s\n%s\n" % (len(frame), len(columns), table, "\n".join(lines))
    done = subprocess.run([TOOL], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) == len(lines), (len(answers), len(lines))
    return [[None if word == "-" else float(word) for word in answer.split()] for answer in answers]


def close(got, want, scale=0.0):
    if want is None or math.isnan(want):
        return math.isnan(got)
    return abs(got - want) <= TOLERANCE * max(abs(want), scale, 1e-300)


def first_of(values):
    return values[0] if len(values) else NAN


def shifted(column, n, of):
    """of(series) at the newest record."""
    return lambda w, t: of(w[column], n).iloc[-1] if len(w) else NAN


def change_over_time(w, t):
    times = pd.Series(w.time.to_numpy(), dtype=float)
    x = pd.Series(w.x.to_numpy())
    apart = times.diff(2)
    return (x.diff(2) / (apart / (60 * SECOND))).where(apart > 0).iloc[-1] if len(w) else NAN


def relative(w, t):
    x = w.x.dropna()
    return x.pct_change(3).iloc[-1] if len(x) else NAN


def age(times, t):
    return (t - max(times)) / SECOND if len(times) else NAN


def streak(w):
    truth = ((w.flag.fillna(0) != 0).to_numpy())
    broken = np.flatnonzero(~truth)
    return w.iloc[broken[-1] + 1 if len(broken) else 0:]


def gaps(w):
    return np.diff(w.time.to_numpy()) / SECOND


def mode(w):
    counts = w.code.dropna().value_counts()
    if counts.empty:
        return NAN, 0, NAN
    newest = {value: k for k, value in enumerate(w.code.tolist()) if not math.isnan(value)}
    value = max(counts[counts == counts.max()].index, key=lambda v: newest[v])
    return value, counts[value], counts[value] / counts.sum()


def changes(w):
    codes = w.dropna(subset=["code"])
    return codes[codes.code.diff() != 0]


HALF_LIFE = 6 * 3600 * SECOND


def weighted(w, t, column="x"):
    values = w.dropna(subset=[column])
    return values[column].to_numpy(), np.exp2(-(t - values.time.to_numpy()) / HALF_LIFE)


def ewm_mean(w, t):
    if w.x.notna().sum() == 0:
        return NAN
    return w.x.ewm(halflife=pd.Timedelta(microseconds=HALF_LIFE), times=pd.to_datetime(w.time, unit="us"), adjust=True).mean().iloc[-1]


def ewm_variance(w, t, correction=True):
    x, weights = weighted(w, w.time.iloc[-1] if len(w) else t)
    if not len(x):
        return NAN
    biased = np.average((x - np.average(x, weights=weights)) ** 2, weights=weights)
    if not correction:
        return biased
    return biased * weights.sum() ** 2 / (weights.sum() ** 2 - (weights ** 2).sum()) if len(x) > 1 else NAN


def pair(w, on):
    """Records in which both are there; their relative changes."""
    both = w[["x", "y"]].dropna()
    return both if on == "values" else both.pct_change().dropna()


def corr(w, on):
    both = pair(w, on)
    return both.x.corr(both.y) if len(both) > 1 and both.x.std() > 0 and both.y.std() > 0 else NAN


def cov(w, on):
    both = pair(w, on)
    return both.x.cov(both.y) if len(both) > 1 else NAN


def beta(w, on):
    both = pair(w, on)
    return both.x.cov(both.y) / both.y.var() if len(both) > 1 and both.y.var() > 0 else NAN


def slope(w):
    both = pair(w, "values")
    return stats.linregress(both.y, both.x).slope if len(both) > 1 and both.y.nunique() > 1 else NAN


# name, its inputs, its parameters, the expectation (window, t), scale of the comparison
X = "0"
CASES = [
    ("first", X, "", lambda w, t: first_of(w.x.dropna().tolist()), 0),
    ("first", X, "nulls=keep", lambda w, t: first_of(w.x.tolist()), 0),
    ("last", X, "", lambda w, t: first_of(w.x.dropna().tolist()[::-1]), 0),
    ("last", X, "nulls=keep", lambda w, t: first_of(w.x.tolist()[::-1]), 0),
    ("nth", X, "n=3", lambda w, t: first_of(w.x.dropna().tolist()[::-1][2:]), 0),
    ("nth", X, "n=2 from=oldest", lambda w, t: first_of(w.x.dropna().tolist()[1:]), 0),
    ("nth", X, "n=2 from=newest nulls=keep", lambda w, t: first_of(w.x.tolist()[::-1][1:]), 0),
    ("lag", X, "", shifted("x", 1, lambda s, n: s.shift(n)), 0),
    ("lag", X, "n=7", shifted("x", 7, lambda s, n: s.shift(n)), 0),
    ("lag", X, "n=2 nulls=skip", lambda w, t: first_of(w.x.dropna().tolist()[::-1][2:]), 0),
    ("difference", X, "", shifted("x", 1, lambda s, n: s.diff(n)), 0),
    ("difference", X, "n=5", shifted("x", 5, lambda s, n: s.diff(n)), 0),
    ("relative_change", X, "n=4", shifted("x", 4, lambda s, n: s.pct_change(n, fill_method=None)), 1),
    ("relative_change", X, "n=3 nulls=skip", relative, 1),
    ("rate_of_change", X, "n=2 per=60000000", change_over_time, 0),
    ("time_since", "-", "", lambda w, t: age(w.time, t), 0),
    ("time_since", "3", "", lambda w, t: age(w.time[w.flag == 1], t), 0),
    ("time_since_max", X, "", lambda w, t: age(w.time[w.x == w.x.max()], t), 0),
    ("time_since_min", X, "", lambda w, t: age(w.time[w.x == w.x.min()], t), 0),
    ("time_since_change", "2", "", lambda w, t: age(changes(w).time, t), 0),
    ("time_between", "-", "", lambda w, t: gaps(w).mean() if len(w) > 1 else NAN, 0),
    ("time_between", "-", "output=min", lambda w, t: gaps(w).min() if len(w) > 1 else NAN, 0),
    ("time_between", "-", "output=max", lambda w, t: gaps(w).max() if len(w) > 1 else NAN, 0),
    ("time_between", "-", "output=std", lambda w, t: gaps(w).std(ddof=1) if len(w) > 2 else NAN, 1),
    ("time_between", "3", "", lambda w, t: gaps(w[w.flag == 1]).mean() if (w.flag == 1).sum() > 1 else NAN, 0),
    ("streak", "3", "", lambda w, t: len(streak(w)), 0),
    ("streak", "3", "output=seconds", lambda w, t: np.ptp(streak(w).time) / SECOND if len(streak(w)) else 0, 0),
    ("change_count", "2", "", lambda w, t: max(len(changes(w)) - 1, 0), 0),
    ("count_above", X, "threshold=8.1", lambda w, t: (w.x > 8.1).sum(), 0),
    ("count_above", X, "threshold=8.1 output=share", lambda w, t: (w.x.dropna() > 8.1).mean(), 0),
    ("count_below", X, "threshold=8.1", lambda w, t: (w.x < 8.1).sum(), 0),
    ("count_below", X, "threshold=8.1 output=share", lambda w, t: (w.x.dropna() < 8.1).mean(), 0),
    ("quantile", X, "bins=1024 q=0.95", lambda w, t: np.quantile(w.x.dropna(), 0.95) if w.x.count() else NAN, 0),
    ("quantile", X, "bins=1024 q=0.123", lambda w, t: np.quantile(w.x.dropna(), 0.123) if w.x.count() else NAN, 0),
    ("quantile", X, "bins=1024 q=0", lambda w, t: w.x.min(), 0),
    ("quantile", X, "bins=1024 q=1", lambda w, t: w.x.max(), 0),
    ("median", X, "bins=1024", lambda w, t: w.x.median(), 0),
    ("iqr", X, "bins=1024", lambda w, t: stats.iqr(w.x.dropna()) if w.x.count() else NAN, 10),
    ("percent_rank", X, "", lambda w, t: w.x.dropna().rank(pct=True).iloc[-1] if w.x.count() else NAN, 0),
    ("distinct_count", X, "", lambda w, t: w.x.nunique(), 0),
    ("most_frequent", "2", "", lambda w, t: mode(w)[0], 0),
    ("most_frequent", "2", "output=count", lambda w, t: mode(w)[1] if w.code.count() else NAN, 0),
    ("most_frequent", "2", "output=share", lambda w, t: mode(w)[2], 0),
    ("ewm_mean", X, "half_life=%d" % HALF_LIFE, ewm_mean, 0),
    ("ewm_variance", X, "half_life=%d" % HALF_LIFE, ewm_variance, 100),
    ("ewm_variance", X, "half_life=%d correction=none" % HALF_LIFE, lambda w, t: ewm_variance(w, t, False), 100),
    ("ewm_std", X, "half_life=%d" % HALF_LIFE, lambda w, t: math.sqrt(ewm_variance(w, t)), 100),
    ("ewm_sum", X, "half_life=%d" % HALF_LIFE, lambda w, t: np.dot(*weighted(w, t)), 0),
    ("ewm_count", X, "half_life=%d" % HALF_LIFE, lambda w, t: weighted(w, t)[1].sum(), 0),
    ("ewm_count", "-", "half_life=%d" % HALF_LIFE, lambda w, t: np.exp2(-(t - w.time.to_numpy()) / HALF_LIFE).sum(), 0),
    ("ewm_rate", X, "half_life=%d per=%d" % (HALF_LIFE, DAY), lambda w, t: np.dot(*weighted(w, t)) * math.log(2) * 4, 0),
    ("correlation", "0,1", "", lambda w, t: corr(w, "values"), 1),
    ("correlation", "0,1", "on=returns", lambda w, t: corr(w, "returns"), 1),
    ("covariance", "0,1", "", lambda w, t: cov(w, "values"), 100),
    ("covariance", "0,1", "on=returns", lambda w, t: cov(w, "returns"), 1),
    ("beta", "0,1", "", lambda w, t: beta(w, "returns"), 10),
    ("beta", "0,1", "on=values", lambda w, t: beta(w, "values"), 10),
    ("slope", "0,1", "", lambda w, t: slope(w), 10),
]


def newest(w):
    """Newest value by member, and the member of the newest record."""
    there = w.dropna(subset=["x", "member"])
    return there.groupby("member").x.last(), there.member.iloc[-1] if len(there) else NAN


def of_group(of, empty=NAN):
    def expect(w, t):
        values, own = newest(w)
        return of(values, own) if len(values) else empty
    return expect


def zscore(values, own):
    others = values.drop(own)
    return (values[own] - others.mean()) / others.std() if len(others) > 1 and others.std() > 0 else NAN


def share_of_sums(w, t):
    there = w.dropna(subset=["x", "member"])
    sums = there.groupby("member").x.sum()
    return sums[there.member.iloc[-1]] / sums.sum() if len(there) else NAN


def member_pairs(w, on, own, other):
    there = w.dropna(subset=["x", "member"]).drop_duplicates(["member", "time"], keep="last")
    if not len(there):
        return None
    own = there.iloc[there.index.argmax()].member if own is None else own
    if on == "returns":
        there = there.assign(x=there.groupby("member").x.pct_change()).dropna(subset=["x"])
    table = there.pivot(index="time", columns="member", values="x")
    if own not in table:
        return None
    second = table.drop(columns=own).mean(axis=1) if other is None else table[other] if other in table else table[own] * NAN
    both = pd.DataFrame({"a": table[own], "b": second}).dropna()
    return both if len(both) > 1 and both.b.nunique() > 1 and both.a.nunique() > 1 else None


def group_corr(on, own=None, other=None):
    def expect(w, t):
        both = member_pairs(w, on, own, other)
        return both.a.corr(both.b) if both is not None else NAN
    return expect


def group_beta(on, own=None, other=None):
    def expect(w, t):
        both = member_pairs(w, on, own, other)
        return both.a.cov(both.b) / both.b.var() if both is not None else NAN
    return expect


GROUP_CASES = [
    ("group_rank", "0,1", "", of_group(lambda v, own: v.rank(ascending=False, method="min")[own]), 0),
    ("group_rank", "0,1", "output=ascending", of_group(lambda v, own: v.rank(method="min")[own]), 0),
    ("group_rank", "0,1", "output=percentile", of_group(lambda v, own: v.rank(pct=True)[own]), 0),
    ("group_rank", "0,1", "member=3", of_group(lambda v, own: v.rank(ascending=False, method="min").get(3.0, NAN)), 0),
    ("group_share", "0,1", "", of_group(lambda v, own: v[own] / v.sum()), 0),
    ("group_share", "0,1", "by=sum", share_of_sums, 0),
    ("group_mean", "0,1", "", of_group(lambda v, own: v.mean()), 0),
    ("group_mean", "0,1", "over=others", of_group(lambda v, own: v.drop(own).mean()), 0),
    ("group_zscore", "0,1", "", of_group(zscore), 100),
    ("group_spread", "0,1", "", of_group(lambda v, own: v.max() - v.min()), 0),
    ("group_dispersion", "0,1", "", of_group(lambda v, own: v.std()), 10),
    ("group_members", "0,1", "", of_group(lambda v, own: len(v), 0), 0),
    ("group_correlation", "0,1", "", group_corr("returns"), 1),
    ("group_correlation", "0,1", "on=values", group_corr("values"), 1),
    ("group_correlation", "0,1", "on=values member=2 with=5", group_corr("values", 2.0, 5.0), 1),
    ("group_correlation", "0,1", "with=2", group_corr("returns", None, 2.0), 1),
    ("group_beta", "0,1", "", group_beta("returns"), 10),
    ("group_beta", "0,1", "on=values", group_beta("values"), 10),
    ("group_beta", "0,1", "member=4 with=1", group_beta("returns", 4.0, 1.0), 10),
]
WINDOWS = ["all", "last:1", "last:20", "sliding:%d" % (3600 * SECOND), "sliding:%d" % (2 * DAY), "tumbling:%d" % DAY, "hopping:%d:%d" % (DAY, DAY // 24), "to_date:%d" % DAY,
           "session:%d" % (2 * 3600 * SECOND)]
ALL_ONLY = {"lag", "difference", "relative_change", "rate_of_change"}


def compare(frame, columns, cases, windows, times):
    asked = [(case, spec, t) for case in cases for spec in windows for t in times
             if spec == "all" or not (case[0] in ALL_ONLY or case[0].startswith("ewm_"))]
    answers = ops(frame, columns, ["%s %s %s %d %s" % (case[0], case[1], spec, t, case[2]) for case, spec, t in asked])
    for ((name, _, params, expect, scale), spec, t), answer in zip(asked, answers):
        w = window_of(frame, spec, t)
        want = float(expect(w, t))
        for form, got in zip(("eval", "fold", "merge"), answer):
            assert got is None or close(got, want, scale), "%s %s over %s of %d records: %s gives %r, the oracle %r" % (name, params, spec, len(w), form, got, want)
            checked[name] = checked.get(name, 0) + (got is not None)


def test_random_records():
    for seed in range(2):
        frame = records(seed)
        rng = np.random.default_rng(100 + seed)
        times = [int(t) for t in rng.choice(frame.time, 12)] + [int(frame.time.iloc[0]) - 1, int(frame.time.iloc[0]), int(frame.time.iloc[-1]) + 3 * 3600 * SECOND + 7]
        compare(frame, INPUTS[0], CASES, WINDOWS, times)
        compare(frame, INPUTS[1], GROUP_CASES, WINDOWS, times)


def test_aligned_members():
    """Six members with a value at each of 60 days, as bars are."""
    rng = np.random.default_rng(7)
    returns = rng.normal(0, 0.01, (60, 1)) + rng.normal(0, 0.01, (60, 6))
    prices = 100 * np.exp(np.cumsum(returns, axis=0))
    frame = pd.DataFrame({"time": np.repeat(T0 + np.arange(60) * DAY, 6), "x": prices.ravel(), "member": np.tile(np.arange(1.0, 7), 60)})
    frame.loc[rng.random(360) < 0.05, "x"] = NAN
    compare(frame, INPUTS[1], GROUP_CASES, ["last:360", "sliding:%d" % (20 * DAY)], [int(t) for t in frame.time.iloc[[30, 100, 200, 359]]])


def test_empty_single_and_null():
    empty = records(0, 1).iloc[:0]
    single = pd.DataFrame({"time": [T0], "x": [2.5], "y": [4.0], "code": [3.0], "flag": [1.0], "member": [2.0]})
    null = pd.DataFrame({"time": [T0, T0 + 1, T0 + 2], "x": [NAN] * 3, "y": [NAN] * 3, "code": [NAN] * 3, "flag": [NAN] * 3, "member": [NAN] * 3})
    for frame in (empty, single, null):
        for columns, cases in ((INPUTS[0], CASES), (INPUTS[1], GROUP_CASES)):
            compare(frame, columns, cases, ["all", "last:5"], [T0 + 10])


DISTRIBUTIONS = {
    "lognormal": lambda rng, n: rng.lognormal(3, 1, n),
    "pareto": lambda rng, n: rng.pareto(1.2, n) + 1,
    "uniform": lambda rng, n: rng.uniform(-50, 150, n),
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "whole numbers": lambda rng, n: rng.poisson(4, n).astype(float),
    "wide": lambda rng, n: 10.0 ** rng.uniform(-150, 150, n),
}


def error_after_collapses(values, error, bins):
    """What the header states: doubled until positive and negative magnitudes fit the bins."""
    while True:
        log_gamma, span = math.log((1 + error) / (1 - error)), 0
        for side in (values[values > 0], -values[values < 0]):
            if len(side):
                span += math.ceil(math.log(side.max()) / log_gamma) - math.ceil(math.log(side.min()) / log_gamma) + 1
        if span <= bins:
            return error
        error = 2 * error / (1 + error * error)


def test_quantile_sketch_error():
    for name, draw in DISTRIBUTIONS.items():
        for error, bins in ((0.01, 512), (0.05, 128), (0.002, 2000)):
            values = draw(np.random.default_rng(5), 20_000)
            frame = pd.DataFrame({"time": T0 + np.arange(len(values)), "x": values})
            qs = (0.01, 0.25, 0.5, 0.9, 0.99, 0.999)
            answers = ops(frame, ["x"], ["quantile 0 all %d q=%g error=%g bins=%d" % (T0 + len(values), q, error, bins) for q in qs])
            bound = error_after_collapses(values, error, bins) * (1 + 1e-9)
            ordered = np.sort(values)
            for q, (exact, fold, merged) in zip(qs, answers):
                assert close(exact, np.quantile(values, q)), (name, q)
                below = int((len(values) - 1) * q)
                limit = bound * max(abs(ordered[below]), abs(ordered[below + 1]))
                assert abs(fold - exact) <= limit, "%s q=%g error=%g bins=%d: %r for %r" % (name, q, error, bins, fold, exact)
                assert fold == merged, "%s q=%g: merged %r, together %r" % (name, q, merged, fold)


def test_distinct_sketch_error():
    """Relative errors of 60 counts: their root mean square is near the stated standard error, none is beyond five of it."""
    for precision in (8, 11, 13):
        stated, errors = 1.04 / math.sqrt(2 ** precision), []
        for count in (2 ** precision, 5 * 2 ** precision, 20_000):
            for seed in range(20):
                rng = np.random.default_rng([precision, count, seed])
                values = rng.random(count) if seed % 2 else rng.permutation(np.arange(count)) + 1000.0 * seed
                frame = pd.DataFrame({"time": T0 + np.arange(count), "x": values})
                ((exact, fold, merged),) = ops(frame, ["x"], ["distinct_count 0 all %d precision=%d" % (T0 + count, precision)])
                assert exact == len(np.unique(values))
                assert fold == merged, (precision, count, fold, merged)
                errors.append(fold / exact - 1)
        assert np.sqrt(np.mean(np.square(errors))) < 1.25 * stated, (precision, errors)
        assert np.max(np.abs(errors)) < 5 * stated, (precision, errors)


def test_frequent_sketch_error():
    values = np.random.default_rng(3).zipf(1.3, 20_000).astype(float) % 100_003
    counts = pd.Series(values).value_counts()
    frame = pd.DataFrame({"time": T0 + np.arange(len(values)), "x": values})
    for slots in (10, 64, 600):
        value, count = ops(frame, ["x"], ["most_frequent 0 all %d slots=%d output=%s" % (T0 + len(values), slots, output) for output in ("value", "count")])
        assert value == [counts.index[0]] * 3, value
        for got in count[1:]:
            assert counts.iloc[0] - len(values) / (slots + 1) <= got <= counts.iloc[0], (slots, got, counts.iloc[0])


def main():
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            test()
            print("ok", name)
    missing = {case[0] for case in CASES + GROUP_CASES} - set(name for name, count in checked.items() if count)
    assert not missing, missing
    print("%d operators, %d values" % (len(checked), sum(checked.values())))


main()
