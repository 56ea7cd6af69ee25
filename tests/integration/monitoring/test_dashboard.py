"""Runs every query of every dashboard against a live Prometheus and reports those that returned nothing.

usage: test_dashboard.py [PROMETHEUS_URL]   (default: WEIR_PROMETHEUS_URL; skipped, exit 77, when there is neither or it does not answer)
A query counts as answered when it gave at least one number within the last WEIR_DASHBOARD_MINUTES (60) minutes.
"""

import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "monitoring"))
from test_metric_names import dashboards, queries  # noqa: E402

SKIPPED = 77
VARIABLES = {"$__rate_interval": "30s", "$pipeline": ".*"}


def get(url, path, **parameters):
    with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
        return json.load(answer)


def numbers(url, query, minutes):
    """How many values other than NaN the query gave."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    now = time.time()
    answer = get(url, "/api/v1/query_range", query=query, start=now - 60 * minutes, end=now, step=5)
    return sum(value != "NaN" for series in answer["data"]["result"] for _, value in series["values"])


# What a pipeline has only if its file says so, as the fraud pipeline's does not (checks, regressions), where an MLflow server is named, where a search is shared, or where `triggers.performance` is set.
OPTIONAL = ("weir_ingest_check_value", "weir_ingest_check_failing", "weir_mlflow_", "weir_schedule_", "weir_batch_", "weir_trigger_", "weir_drift_", "weir_rollout_", "weir_train_error_value", "weir_experiment_error_value", "weir_train_trials_total",
            "weir_experiment_degrad", "weir_experiment_estimate", "weir_experiment_slice_", "weir_score_shadows_", "weir_train_queued_runs", "weir_train_running_runs", "weir_train_wait_", "weir_train_retries_total", "weir_train_lost_total", "weir_train_timeouts_total",
            "weir_train_cpu_", "weir_train_peak_", "weir_model_cache_evictions_")


def main():
    url = (sys.argv[1] if len(sys.argv) > 1 else os.environ.get("WEIR_PROMETHEUS_URL", "")).rstrip("/")
    minutes = int(os.environ.get("WEIR_DASHBOARD_MINUTES", "60"))
    try:
        get(url, "/api/v1/query", query="1")
    except (OSError, ValueError) as error:
        print(f"skipped: no Prometheus at '{url}' ({error})")
        return SKIPPED
    failed = total = 0
    for path in dashboards():
        for title, query in queries(json.loads(path.read_text())):
            total += 1
            try:
                found = numbers(url, query, minutes)
                problem = None if found or any(name in query for name in OPTIONAL) else "no data"
            except urllib.error.HTTPError as error:
                problem = json.load(error).get("error", str(error))
            if problem:
                failed += 1
                print(f"{path.name}: {title}: {problem}\n    {query}")
    print(f"{total - failed} of {total} queries returned data, or may have none")
    return 1 if failed or not total else 0


if __name__ == "__main__":
    sys.exit(main())
