"""The fraud pipeline's features equal the Fraud Detection Handbook's (chapter 3, "Baseline feature transformation"), computed with pandas as the book does,
on the transactions of WEIR_TEST_DATA."""
import glob
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DATA = os.environ.get("WEIR_TEST_DATA") or os.path.join(ROOT, "..", "shared", "data")
FILES = sorted(glob.glob(os.path.join(DATA, "fraud", "*.parquet")))
TOOL = os.path.join(os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build")), "weir_tool_views")
SAMPLE = 40_000
WINDOWS = (1, 7, 30)
DELAY = 7

if not FILES:
    print("skipped: no transactions in %s/fraud" % DATA)
    sys.exit(77)

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402


def rolling(rows, key, column, days):
    """Count and sum of a column over (t - days, t] of the same key, the row itself included; rows in order of time."""
    order = np.argsort(rows[key].to_numpy(), kind="stable")
    windows = rows.iloc[order].groupby(key).rolling("%dD" % days, on="TX_DATETIME")[column]
    count, total = np.empty(len(rows)), np.empty(len(rows))
    count[order], total[order] = windows.count().to_numpy(), windows.sum().to_numpy()
    return count, total


def handbook(rows):
    """Expected features in the order of the pipeline file: of the customer, of the terminal."""
    customer = [(rows.TX_DATETIME.dt.day_of_week >= 5).to_numpy(float), (rows.TX_DATETIME.dt.hour <= 6).to_numpy(float)]
    terminal = []
    for days in WINDOWS:
        count, total = rolling(rows, "CUSTOMER_ID", "TX_AMOUNT", days)
        customer += [count, total / count]
    delay_count, delay_frauds = rolling(rows, "TERMINAL_ID", "TX_FRAUD", DELAY)
    for days in WINDOWS:
        count, frauds = rolling(rows, "TERMINAL_ID", "TX_FRAUD", DELAY + days)
        count, frauds = count - delay_count, frauds - delay_frauds
        terminal += [count, np.divide(frauds, count, out=np.zeros(len(rows)), where=count > 0)]
    return np.column_stack(customer), np.column_stack(terminal)


def weir(rows, sampled):
    """What the C operators say of the sampled rows. A label is applied once the delay has passed, as it comes live."""
    micros = rows.TX_DATETIME.astype("datetime64[us]").astype("int64").to_numpy()
    customers, terminals = rows.CUSTOMER_ID.to_numpy(), rows.TERMINAL_ID.to_numpy()
    amounts, frauds = rows.TX_AMOUNT.to_numpy(), rows.TX_FRAUD.to_numpy()
    lines, labelled = [], 0
    for i, t in enumerate(micros):
        lines.append("a customer %d %d %d %r" % (customers[i], t, i, float(amounts[i])))
        if not sampled[i]:
            continue
        while micros[labelled] <= t - DELAY * 86_400_000_000:
            lines.append("a terminal %d %d %d %d" % (terminals[labelled], micros[labelled], labelled, frauds[labelled]))
            labelled += 1
        lines.append("e customer %d %d %d" % (customers[i], t, i))
        lines.append("e terminal %d %d %d" % (terminals[i], t, i))
    out = subprocess.run([TOOL], input="\n".join(lines), stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout.split()
    parse = lambda part: np.array([[float(v) for v in line.split(",")] for line in part])  # noqa: E731
    return parse(out[0::2]), parse(out[1::2])


def compare(name, found, expected):
    assert found.shape == expected.shape, (name, found.shape, expected.shape)
    off = np.abs(found - expected) > 1e-12 * np.abs(expected)
    off |= np.isnan(found) != np.isnan(expected)
    assert not off.any(), "%s: %d of %d values differ, first in row %d: %r, expected %r" % (
        name, off.sum(), off.size, np.argwhere(off)[0][0], found[np.argwhere(off)[0][0]], expected[np.argwhere(off)[0][0]])
    print("%s: %d values equal" % (name, found.size))


def main():
    rows = pd.concat([pd.read_parquet(f) for f in FILES]).sort_values(["TX_DATETIME", "TRANSACTION_ID"], kind="stable").reset_index(drop=True)
    sampled = np.zeros(len(rows), bool)
    sampled[np.random.default_rng(1).choice(len(rows), min(SAMPLE, len(rows)), replace=False)] = True
    expected_customer, expected_terminal = handbook(rows)
    customer, terminal = weir(rows, sampled)
    compare("customer", customer, expected_customer[sampled])
    compare("terminal", terminal, expected_terminal[sampled])
    assert (terminal[:, 5] > 0).mean() > 0.01  # fraud rates do occur


main()
