"""The churn pipeline's features equal their definitions: on the real table of customers of WEIR_TEST_DATA, and on simulated events, which have a history."""
import os
import tempfile

import numpy as np
import pandas as pd

from pipelinetest import DAY, check, data_file, features, mean, micros, simulate, std

SURVEY = 1514764800000000  # 2018-01-01, what the pipeline derives
ROUNDING = 1e-12
SERVICES = ["phone_service", "multiple_lines", "online_security", "online_backup", "device_protection", "tech_support", "streaming_tv", "streaming_movies"]
FLAGS = {"contract_one_year": ("contract", "One year"), "contract_two_year": ("contract", "Two year"), "internet_dsl": ("internet_service", "DSL"),
         "internet_fiber": ("internet_service", "Fiber optic"), "pays_by_electronic_check": ("payment_method", "Electronic check"),
         "pays_by_mailed_check": ("payment_method", "Mailed check"), "pays_by_card": ("payment_method", "Credit card (automatic)"), "female": ("gender", "Female")}
SAME = {"paperless": "paperless_billing", "senior": "senior_citizen", "has_partner": "partner", "has_dependents": "dependents", "has_phone": "phone_service",
        "tenure_months": "tenure", "monthly_price": "monthly_charges"}
TILED = ["contract_customers", "contract_charges_mean", "contract_charges_std", "contract_tenure_mean", "contract_tickets_per_customer", "contract_usage_mean", "contract_late_share",
         "charges_to_contract_mean", "charges_zscore", "tenure_to_contract_mean"]
HIDDEN = {"number", "key", "time", "since_ticket", "contract_tickets"}


def account(s):
    """Of snapshots, a row each."""
    out = {name: (s[column] == value).astype(float) for name, (column, value) in FLAGS.items()}
    out.update({name: s[column].astype(float) for name, column in SAME.items()})
    one = {c: (s[c].astype(float) == 1).astype(float) for c in SERVICES}
    out["service_count"] = sum(one.values()) + (s.internet_service != "No")
    out["protection_count"] = one["online_security"] + one["online_backup"] + one["device_protection"] + one["tech_support"]
    out["streaming_count"] = one["streaming_tv"] + one["streaming_movies"]
    tenure = out["tenure_months"]
    out["tenure_band"] = np.searchsorted([6, 12, 24, 48], tenure, "right").astype(float)
    out["charge_per_service"] = out["monthly_price"] / out["service_count"].where(out["service_count"] > 0)
    return pd.DataFrame(out)


def real_table():
    path = data_file("churn", "telco_churn.csv")
    got, rejected = features("churn", path)
    raw = pd.read_csv(path, dtype={"TotalCharges": str}, keep_default_na=False)
    raw = raw.rename(columns={"customerID": "customer_id", "SeniorCitizen": "senior_citizen", "MonthlyCharges": "monthly_charges", "PaperlessBilling": "paperless_billing",
                              "PaymentMethod": "payment_method", "Contract": "contract", "Partner": "partner", "Dependents": "dependents", "InternetService": "internet_service",
                              "PhoneService": "phone_service", "MultipleLines": "multiple_lines", "OnlineSecurity": "online_security", "OnlineBackup": "online_backup",
                              "DeviceProtection": "device_protection", "TechSupport": "tech_support", "StreamingTV": "streaming_tv", "StreamingMovies": "streaming_movies"})
    raw = raw.sort_values("customer_id", ignore_index=True)
    assert len(got) == len(raw) and not rejected, "%d customers accepted of %d; rejected: %s" % (len(got), len(raw), rejected)
    assert (got.key == "default/" + raw.customer_id).all() and (got.time == SURVEY).all()
    expected = account(raw)
    total = pd.to_numeric(raw.TotalCharges.str.strip().replace("", None)).astype(float)
    blank = total.isna()
    assert blank.any() and (raw.tenure[blank] == 0).all(), "blanks are those who just came"
    expected["charged_total"] = total
    expected["charges_per_month"] = total / raw.tenure.where(raw.tenure > 0)
    expected["charge_change"] = raw.monthly_charges / expected["charges_per_month"] - 1
    for name in ("usage_30d", "usage_90d", "tickets_30d", "tickets_90d", "severity_90d", "severity_max_90d", "trouble", "payments_180d", "late_payments_90d", "late_payments_180d",
                 "paid_365d", "price_rises_180d", "late_streak"):
        expected[name] = 0.0
    for name in ("usage_trend", "usage_std_90d", "days_since_ticket", "days_late_mean_180d", "price_change_1", "price_change_6", "contract_usage_mean", "contract_late_share"):
        expected[name] = np.nan
    expected["events_30d"] = 1.0
    by_contract = raw.groupby("contract")
    expected["contract_customers"] = by_contract.cumcount() + 1.0  # all come at one time, each sees those before it
    expected["contract_tickets_per_customer"] = 0.0
    for name, column in (("contract_charges_mean", "monthly_charges"), ("contract_tenure_mean", "tenure")):
        expected[name] = by_contract[column].transform(lambda x: x.astype(float).expanding().mean())
    expected["contract_charges_std"] = by_contract.monthly_charges.transform(lambda x: x.expanding().std())
    relative_to_contract(expected, raw)
    check(got, expected, {c: ROUNDING * 100 for c in expected})
    complete(got, expected)


def relative_to_contract(expected, rows):
    charges, tenure = rows.monthly_charges.astype(float), rows.tenure.astype(float)
    expected["charges_to_contract_mean"] = charges / expected["contract_charges_mean"] - 1
    expected["charges_zscore"] = (charges - expected["contract_charges_mean"]) / expected["contract_charges_std"].where(lambda s: s != 0)
    expected["tenure_to_contract_mean"] = tenure / expected["contract_tenure_mean"].where(lambda s: s != 0) - 1


def complete(got, expected):
    unchecked = set(got.columns) - set(expected) - HIDDEN
    assert not unchecked, "not compared: %s" % sorted(unchecked)


# ---- simulated events ----

def history(g, i, time):
    """What the customer whose events (in order) are g did up to event i."""
    t = time[i]

    def within(days, mask=None):
        inside = g.iloc[np.searchsorted(time, t - days * DAY, "right"):i + 1]
        return inside if mask is None else inside[inside.kind == mask]

    so_far = g.iloc[:i + 1]
    row = {"events_30d": len(within(30))}
    usage30, usage90 = within(30).usage_gb.sum(), within(90).usage_gb.sum()
    row["usage_30d"], row["usage_90d"] = usage30, usage90
    row["usage_trend"] = 3 * usage30 / usage90 - 1 if usage90 else np.nan
    row["usage_std_90d"] = std(within(90).usage_gb)
    row["tickets_30d"], row["tickets_90d"] = len(within(30, "ticket")), len(within(90, "ticket"))
    row["severity_90d"] = within(90).severity.sum()
    row["severity_max_90d"] = max(within(90).severity.dropna(), default=0)
    tickets = so_far.kind.to_numpy() == "ticket"
    age = t - time[:i + 1][tickets]
    row["trouble"] = float(np.sum(0.5 ** (age / (30 * DAY)) * so_far.severity.to_numpy()[tickets]))
    row["days_since_ticket"] = age[-1] / DAY if len(age) else np.nan
    row["payments_180d"] = len(within(180, "payment"))
    for days in (90, 180):
        row["late_payments_%dd" % days] = int((within(days).days_late > 0).sum())
    row["days_late_mean_180d"] = mean(within(180).days_late)
    row["paid_365d"] = within(365).amount.sum()
    late = (so_far.days_late[so_far.kind == "payment"] > 0).tolist()
    row["late_streak"] = (late[::-1] + [False]).index(False)
    prices = within(180, "snapshot").monthly_charges.tolist()
    row["price_rises_180d"] = sum(a != b for a, b in zip(prices, prices[1:]))
    prices = so_far.monthly_charges[so_far.kind == "snapshot"].tolist()
    for n in (1, 6):
        row["price_change_%d" % n] = (prices[-1] - prices[-1 - n]) / prices[-1 - n] if len(prices) > n else np.nan
    return row


def newest_account(g):
    """For each event of a customer what its newest snapshot says."""
    snapshots = g.kind == "snapshot"
    here = account(g[snapshots])
    here["charged_total"] = g.total_charges[snapshots].astype(float)
    here["charges_per_month"] = here.charged_total / here.tenure_months.where(here.tenure_months > 0)
    here = here.reindex(g.index).ffill()
    here["contract_one_year"], here["contract_two_year"] = (g.contract == "One year").astype(float), (g.contract == "Two year").astype(float)
    here["charge_change"] = here.monthly_price / here.charges_per_month - 1
    return here


def contract_window(events, time, i, begin):
    """The records of the contract of event i in its 45 days, from the start of the day in which they begin."""
    same = events.iloc[np.searchsorted(time, begin, "left"):i + 1]
    same = same[same.contract == events.contract.iloc[i]]
    count = int((same.kind == "snapshot").sum())
    return {"contract_customers": count, "contract_charges_mean": mean(same.monthly_charges), "contract_charges_std": std(same.monthly_charges),
            "contract_tenure_mean": mean(same.tenure), "contract_tickets_per_customer": (same.kind == "ticket").sum() / count if count else np.nan,
            "contract_usage_mean": mean(same.usage_gb), "contract_late_share": mean((same.days_late[same.days_late.notna()] > 0).astype(float))}


def simulated_events():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "churn.parquet")
        simulate("churn", path, "--entities", "40", "--days", "240", "--seed", "5")
        got, rejected = features("churn", path)
        events = pd.read_parquet(path)
    events = events.sort_values(["event_time", "customer_id", "event_id"], ignore_index=True)
    assert len(got) == len(events) and not rejected, rejected
    time = micros(events.event_time)
    assert (got.time == time).all() and (got.key == "default/" + events.customer_id).all()
    parts = []
    for _, g in events.groupby("customer_id"):
        mine = time[g.index]
        parts.append(pd.concat([newest_account(g), pd.DataFrame([history(g, i, mine) for i in range(len(g))], index=g.index)], axis=1))
    expected = pd.concat(parts).sort_index()
    check(got, expected, {c: ROUNDING * 100 for c in expected})
    sample = list(range(0, len(events), 5))
    tiles = pd.DataFrame([contract_window(events, time, i, (time[i] - 45 * DAY) // DAY * DAY) for i in sample], index=sample)
    relative_to_contract(tiles, events.loc[sample])
    check(got.loc[sample], tiles, {c: ROUNDING * 100 for c in tiles})
    complete(got, set(expected) | set(tiles))


real_table()
simulated_events()
