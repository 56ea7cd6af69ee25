"""monitoring/ uses only metrics that the program declares, and what it refers to exists."""

import json
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
MONITORING = ROOT / "monitoring"


def declared():
    """{name: (type, labels)} of core/metric_table.c."""
    text = (ROOT / "core" / "metric_table.c").read_text()
    rows = re.findall(r'\{"(weir_\w+)",\s*WEIR_(\w+),\s*(?:"[^"]*"\s*)+,\s*\{([^}]*)\}\}', text)
    return {name: (kind, re.findall(r'"(\w+)"', labels)) for name, kind, labels in rows}


def series(metrics):
    """{name of a time series: its labels}."""
    found = {}
    for name, (kind, labels) in metrics.items():
        if kind == "HISTOGRAM":
            found[name + "_bucket"] = labels + ["le"]
            found[name + "_sum"] = found[name + "_count"] = labels
        else:
            found[name] = labels
    return found


def dashboards():
    return sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))


def queries(dashboard):
    """(panel title, query) of every target, panels inside rows included."""
    panels = list(dashboard["panels"])
    while panels:
        panel = panels.pop(0)
        panels.extend(panel.get("panels", []))
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


class Monitoring(unittest.TestCase):
    def setUp(self):
        self.series = series(declared())
        self.always = {"job", "instance"}

    def test_the_table_is_read_whole(self):
        text = (ROOT / "core" / "metric_table.c").read_text()
        self.assertEqual(len(declared()), len(re.findall(r'\{"weir_', text)))
        self.assertIn("weir_worker_batch_seconds_bucket", self.series)

    def test_every_metric_used_is_declared(self):
        files = [p for p in MONITORING.rglob("*") if p.suffix in (".yml", ".json")]
        self.assertGreater(len(files), 3)
        for path in files:
            used = re.findall(r"(?<![\w:$/{])weir_\w+", path.read_text())
            unknown = sorted({name for name in used if name not in self.series})
            self.assertEqual(unknown, [], f"{path.relative_to(ROOT)} uses metrics that core/metric_table.c does not declare")

    def test_every_label_selected_or_grouped_by_is_declared(self):
        texts = [(p.name, q) for p in dashboards() for _, q in queries(json.loads(p.read_text()))]
        texts += [("alerts.yml", (MONITORING / "alerts.yml").read_text())]
        for name, text in texts:
            for metric, selector in re.findall(r"(weir_\w+)\{([^}]*)\}", text):
                for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector):
                    self.assertIn(label, set(self.series[metric]) | self.always, f"{name}: {metric} has no label {label}")
        for name, text in texts[:-1]:
            for labels, metric in re.findall(r"by \(([\w, ]+)\) \((?:rate\()?(weir_\w+)", text):
                for label in re.split(r",\s*", labels):
                    self.assertIn(label, set(self.series[metric]) | self.always, f"{name}: {metric} has no label {label}")

    def test_every_metric_is_on_a_dashboard(self):
        shown = " ".join(q for p in dashboards() for _, q in queries(json.loads(p.read_text())))
        unseen = [name for name in declared() if name not in shown]
        self.assertEqual(unseen, [])

    def test_panels_are_whole_and_do_not_overlap(self):
        self.assertTrue(dashboards())
        for path in dashboards():
            dashboard = json.loads(path.read_text())
            ids = [panel["id"] for panel in dashboard["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            taken = set()
            for panel in dashboard["panels"]:
                at = panel["gridPos"]
                self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertFalse(cells & taken, f"{path.name}: {panel['title']} lies over another panel")
                taken |= cells
                if panel["type"] != "row":
                    self.assertTrue(panel["targets"] and panel["description"] and panel["datasource"]["uid"] == "prometheus", panel["title"])

    def test_every_alert_has_severity_runbook_and_a_test(self):
        alerts = (MONITORING / "alerts.yml").read_text()
        tests = (MONITORING / "alerts_test.yml").read_text()
        blocks = re.split(r"^      - alert: ", alerts, flags=re.MULTILINE)[1:]
        self.assertGreater(len(blocks), 8)
        for block in blocks:
            name = block.split()[0]
            for needed in ("severity:", "summary:", "description:"):
                self.assertIn(needed, block, name)
            runbook = re.search(r"runbook: (\S+)", block)
            self.assertIsNotNone(runbook, f"{name} has no runbook")
            self.assertTrue((ROOT / runbook[1]).is_file(), f"{name}: {runbook[1]} does not exist")
            self.assertRegex(tests, rf"alertname: {name}\n +exp_alerts:\n +- exp_labels", f"{name} has no test in which it fires")


if __name__ == "__main__":
    unittest.main()
