"""The recipes of the pipelines on real data, end to end: files are replayed, features computed and stored by the workers, models fitted as the pipeline file says, and judged on rows that lie
after those they were fitted on (the last tenth of the hours of the road, other engines, other customers). The same rows and features, as `weir features history` gives them, are then fitted
with scikit-learn and XGBoost: Weir may not be worse than these, nor than a floor that says the features are good."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pipelinetest as pt  # noqa: E402
from trainingtest import CHURN, ENGINE, TRAFFIC, measure_churn, measure_engine, measure_traffic  # noqa: E402

SLACK = 0.003  # what other bins and other rows drawn for each tree do to a metric, about twice what seeds do


def compare(domain, metric, found, references, floor, slack=SLACK):
    best = max(found.values())
    print("%s %s: %s; references %s" % (domain, metric, found, references))
    assert best >= floor, (domain, best, floor)
    for model, reference in references.items():
        assert found[model] >= reference - slack, (domain, model, found[model], reference)


def test_traffic():
    compare("traffic", "R2", *measure_traffic(pt.data_file(*TRAFFIC)), 0.985)


def test_engine():
    # a threshold from other folds moves F1 by more than the model does
    compare("engine", "F1", *measure_engine(pt.data_file(*ENGINE)), 0.85, slack=0.01)


def test_churn():
    compare("churn", "AUC", *measure_churn(pt.data_file(*CHURN)), 0.865, slack=0.004)


if __name__ == "__main__":
    for test in [globals()["test_" + name] for name in sys.argv[1:] or ("engine", "churn", "traffic")]:
        test()
