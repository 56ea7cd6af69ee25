"""Assessments against scikit-learn: the same rows, a logistic model that both fit, and every figure of the report computed again. The page is parsed as HTML."""
import html.parser
import json
import os
import subprocess
import tempfile
import unittest

import numpy
from sklearn import linear_model, metrics

TOOL = os.path.join(os.environ.get("WEIR_BUILD", "build"), "weir_tool_assess")
EMPTY = {"meta", "br"}


class Page(html.parser.HTMLParser):
    """Fails where elements do not nest, and collects what the page would load."""

    def __init__(self):
        super().__init__()
        self.stack, self.loaded, self.elements = [], [], 0

    def handle_starttag(self, tag, attributes):
        self.elements += 1
        if tag in ("script", "img", "link", "iframe", "object", "use", "image"):
            self.loaded.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href", "xlink:href") or name.startswith("on")]
        if tag not in EMPTY:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in EMPTY:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack and self.stack[-1] == tag, f"{tag} closes {self.stack[-3:]}"
        self.stack.pop()


def assess(description, rows):
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("description.json", "values", "report.json", "report.html")]
        with open(paths[0], "w", encoding="utf-8") as file:
            json.dump(description, file)
        numpy.ascontiguousarray(rows, dtype="<f8").tofile(paths[1])
        done = subprocess.run([TOOL, *paths], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with open(paths[2], encoding="utf-8") as file:
            report = json.load(file)
        with open(paths[3], encoding="utf-8") as file:
            text = file.read()
    page = Page()
    page.feed(text)
    page.close()
    assert not page.stack and not page.loaded, (page.stack, page.loaded)
    return report, text


def logistic_rows():
    """Four inputs; labels by a logistic model of two of them."""
    random = numpy.random.default_rng(5)
    x = random.normal(size=(3000, 4))
    y = (random.random(3000) < 1 / (1 + numpy.exp(-(1.2 * x[:, 0] - 0.8 * x[:, 1] - 0.5)))).astype(float)
    return x, y


class Assessments(unittest.TestCase):
    def near(self, value, expected, tolerance=1e-6):
        self.assertTrue(abs(value - expected) <= tolerance * max(1, abs(expected)), f"{value} is not {expected}")

    def test_binary_figures_are_those_of_scikit_learn(self):
        x, y = logistic_rows()
        report, text = assess({"title": "two classes", "task": "binary", "metric": "roc_auc", "columns": [{"name": f"x{i}"} for i in range(4)], "target": "y", "test_share": 0.3,
                               "threshold": 0.4, "permutation": True, "models": [{"name": "logistic", "spec": {"algorithm": "logistic", "params": {"l2": 1}}}]}, numpy.column_stack([x, y]))
        train, test = slice(0, 2100), slice(2100, 3000)
        mean, deviation = x[train].mean(0), x[train].std(0)
        model = linear_model.LogisticRegression(C=1, tol=1e-10, max_iter=1000).fit((x[train] - mean) / deviation, y[train])
        score = model.predict_proba((x[test] - mean) / deviation)[:, 1]
        figures, called = report["models"][0]["metrics"], score >= 0.4
        expected = {"roc_auc": metrics.roc_auc_score(y[test], score), "average_precision": metrics.average_precision_score(y[test], score), "log_loss": metrics.log_loss(y[test], score),
                    "brier": metrics.brier_score_loss(y[test], score), "f1": metrics.f1_score(y[test], called), "recall": metrics.recall_score(y[test], called),
                    "precision": metrics.precision_score(y[test], called), "mcc": metrics.matthews_corrcoef(y[test], called)}
        for name, value in expected.items():
            self.near(figures[name]["value"], value, 1e-4)
        self.assertEqual([int(n) for n in report["binary"]["confusion"]], metrics.confusion_matrix(y[test], called).ravel().tolist())
        # The percentile interval of an ordinary bootstrap with other random numbers: ends agree to a tenth of the width.
        random = numpy.random.default_rng(1)
        draws = []
        for _ in range(1000):
            rows = random.integers(0, 900, 900)
            draws.append(metrics.roc_auc_score(y[test][rows], score[rows]))
        low, high = numpy.quantile(draws, [0.025, 0.975])
        self.assertLess(abs(figures["roc_auc"]["low"] - low), 0.1 * (high - low) + 0.001)
        self.assertLess(abs(figures["roc_auc"]["high"] - high), 0.1 * (high - low) + 0.001)
        curve = numpy.array(report["binary"]["roc"][0]["points"])
        self.assertLess(abs(numpy.trapezoid(curve[:, 1], curve[:, 0]) - expected["roc_auc"]), 1e-3)
        importance = [c["permutation"] for c in report["importance"]["columns"]]
        self.assertEqual(sorted(range(4), key=lambda i: -importance[i])[:2], [0, 1])
        self.assertIn("two classes", text)

    def test_clusters_widen_intervals(self):
        """Rows of an entity that share their error: intervals of rows alone would be too narrow by the design effect."""
        random = numpy.random.default_rng(2)
        entity = numpy.repeat(numpy.arange(150), 20)
        x = random.normal(size=(3000, 2))
        y = x[:, 0] + random.normal(size=150)[entity] + 0.1 * random.normal(size=3000)
        order = random.permutation(3000)
        described = {"title": "entities", "task": "regression", "metric": "mae", "columns": [{"name": "a"}, {"name": "b"}], "target": "y", "test_share": 0.5,
                     "models": [{"name": "ridge", "spec": {"algorithm": "ridge"}}]}
        alone, _ = assess(described, numpy.column_stack([x, y])[order])
        grouped, _ = assess({**described, "entity": True}, numpy.column_stack([x, y, entity])[order])
        widths = [r["models"][0]["metrics"]["mae"]["high"] - r["models"][0]["metrics"]["mae"]["low"] for r in (alone, grouped)]
        self.assertEqual(grouped["intervals"]["unit"], "entities")
        self.assertGreater(widths[1], 2 * widths[0])

    def test_regression_figures_and_intervals(self):
        random = numpy.random.default_rng(3)
        x = random.normal(size=(4000, 3))
        noise = numpy.zeros(4000)
        for i in range(1, 4000):
            noise[i] = 0.6 * noise[i - 1] + random.normal()
        y = 10 + 3 * x[:, 0] - x[:, 1] + noise
        report, _ = assess({"title": "a line", "task": "regression", "metric": "rmse", "columns": [{"name": f"x{i}"} for i in range(3)], "target": "y", "time": True, "folds": 5, "test_share": 0.25,
                            "models": [{"name": "linear", "spec": {"algorithm": "linear"}}]}, numpy.column_stack([x, y, numpy.arange(4000) * 3600.0]))
        model = linear_model.LinearRegression().fit(x[:3000], y[:3000])
        error = y[3000:] - model.predict(x[3000:])
        figures, residuals, intervals = report["models"][0]["metrics"], report["regression"]["residuals"], report["regression"]["intervals"]
        self.near(figures["rmse"]["value"], numpy.sqrt((error**2).mean()))
        self.near(figures["mae"]["value"], abs(error).mean())
        self.near(figures["r2"]["value"], metrics.r2_score(y[3000:], y[3000:] - error))
        self.near(residuals["durbin_watson"]["statistic"], (numpy.diff(error) ** 2).sum() / (error**2).sum(), 0.01)
        self.near(residuals["autocorrelation"][0], numpy.corrcoef(error[1:], error[:-1])[0, 1], 0.01)
        self.assertIn("earlier errors", residuals["ljung_box"]["words"])
        self.near(intervals["coverage"], (abs(error) <= intervals["radius"]).mean(), 1e-9)
        self.assertTrue(0.85 < intervals["coverage"] < 0.95)
        self.assertEqual(report["intervals"]["unit"], "times")

    def test_shuffled_returns_show_no_edge(self):
        random = numpy.random.default_rng(4)
        days, symbols = 400, 4
        x, returns = random.normal(size=(days * symbols, 3)), 0.01 * random.normal(size=days * symbols)
        time, symbol = numpy.repeat(numpy.arange(days) * 86400.0, symbols), numpy.tile(numpy.arange(symbols), days)
        report, text = assess({"title": "market", "task": "binary", "metric": "roc_auc", "columns": [{"name": f"x{i}"} for i in range(3)], "target": "up", "time": True, "entity": True, "returns": True,
                               "folds": 4, "test_share": 0.4, "models": [{"name": "logistic", "spec": {"algorithm": "logistic"}}]},
                              numpy.column_stack([x, returns > 0, time, symbol, returns]))
        backtest, auc = report["backtest"], report["models"][0]["metrics"]["roc_auc"]
        self.assertTrue(auc["low"] < 0.5 < auc["high"])
        self.assertGreater(backtest["strategy"]["sharpe_p"], 0.05)
        self.assertLess(backtest["excess_low"], 0)
        self.assertEqual(backtest["symbols"], symbols)
        self.near(backtest["hold"]["total"], numpy.mean([numpy.prod(1 + returns[(symbol == s) & (time >= time[-1] - 159 * 86400)]) for s in range(symbols)]) * (1 - 0.001) - 1, 1e-9)
        self.assertIn("nothing shows that it knows anything", text)


if __name__ == "__main__":
    unittest.main()
