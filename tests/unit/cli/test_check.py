"""`weir check`: what it says of good and bad pipeline files, and that schemas/pipeline.schema.json judges them alike."""

import concurrent.futures
import copy
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import jsonschema
import referencing

ROOT = pathlib.Path(__file__).resolve().parents[3]
FRAUD = json.loads((ROOT / "pipelines" / "fraud.json").read_text())
SCHEMA = json.loads((ROOT / "schemas" / "pipeline.schema.json").read_text())
REGISTRY = referencing.Registry().with_resources(
    (name, referencing.Resource.from_contents(json.loads((ROOT / "schemas" / name).read_text()))) for name in ("pipeline.schema.json", "operators.schema.json")
)
ABSENT = object()
QUANTILE = {"name": "x", "op": "quantile", "of": "amount", "window": "1d", "q": 0.9}
LAG = {"name": "x", "op": "lag", "of": "amount"}
EWM = {"name": "x", "op": "ewm_mean", "of": "amount", "half_life": "1d"}

# (path, value or ABSENT): what a schema can see, so both must refuse.
BATCH = {"name": "a", "schedule": "0 3 * * *", "file": "in/%Y-%m-%d.csv", "out": "g.parquet"}
WRONG = [
    ("pipelin", 1), ("pipeline", ABSENT), ("pipeline", "Fraud"), ("pipeline", "1st"), ("pipeline", "x" * 49), ("pipeline", ""), ("pipeline", 7),
    ("partitions", 0), ("partitions", 1025), ("partitions", 1.5), ("partitions", "4"), ("retention", "7"), ("retention", "7 d"), ("retention", 7), ("compact_after", 2), ("compact_after", "soon"),
    ("retention", "always"), ("source", ABSENT), ("source", []), ("source.laxness", 1), ("source.schema", ABSENT), ("source.schema", ""), ("source.time", ABSENT),
    ("source.time", None), ("source.key", ABSENT), ("source.key", []), ("source.key", "customer_id"), ("source.key", ["customer_id", "customer_id"]),
    ("source.key", ["customer_id", 1]), ("source.key", ["a", "b", "c", "d", "e"]), ("source.tenant", 1), ("source.topic", "a b"), ("source.topic", ".."),
    ("source.topic", "t" * 201), ("source.available", ""), ("source.allowed_lateness", 5), ("source.allowed_lateness", "-1d"), ("source.max_future", "1y"),
    ("source.max_bytes", 0), ("source.max_bytes", 2**26 + 1), ("source.aliases", []), ("source.aliases.X", 1), ("source.derive", []), ("source.derive", {"amount": 1}), ("source.derive", {"amount": ""}), ("source.column", "fraud"),
    ("labels", None), ("labels.column", ABSENT), ("labels.join", ABSENT), ("labels.join", ["transaction_id"]), ("labels.join", ["transaction_id"] * 3),
    ("labels.max_delay", "soon"), ("labels.aliases", {}), ("checks", {}), ("checks.0", {"column": "amount"}), ("checks.0", {"min": 1}),
    ("checks.0", {"column": "amount", "not_null": False}), ("checks.0.min", "0"), ("checks.0.on", "nowhere"), ("checks.0.not_null", 1), ("checks.0.name", ""),
    ("checks.0", {"column": "customer_id", "in": []}), ("checks.0", {"column": "customer_id", "in": [True]}), ("checks.0", {"rule": "amount > 0"}), ("checks.0.severity", "drop"),
    ("checks.0", {"freshness": "1h", "severity": "reject"}), ("checks.0", {"name": "u", "unique": []}), ("checks.0", {"column": "amount", "rule": "amount > 0", "name": "r"}),
    ("checks.0", {"completeness": {"column": "amount", "min_share": 0, "window": "1h"}}), ("checks.0", {"column": "customer_id", "max_length": 0}), ("checks.0.minimum", 0), ("views", ABSENT),
    ("views", []), ("views.0.name", ABSENT), ("views.0.name", "a-b"), ("views.0.name", "v" * 33), ("views.0.entity", []), ("views.0.from", "event"),
    ("views.0.ttl", 90), ("views.0.features", []), ("views.0.feature", []), ("views.0.features.2.name", "a-b"), ("views.0.features.2.name", ABSENT),
    ("views.0.at", "now"), ("views.0.features.2.agg", "cont"), ("views.0.features.2.agg", ABSENT), ("views.0.features.2.op", "mean"),
    ("views.0.features.2.expr", "amount"), ("views.0.features.2.window", ABSENT), ("views.0.features.2.window", "0d"), ("views.0.features.2.window", "1x"),
    ("views.0.features.2.window", 7), ("views.0.features.2.window", {}), ("views.0.features.2.window", {"last": 0}), ("views.0.features.2.window", {"last": 1.5}),
    ("views.0.features.2.window", {"last": 3, "session": "1h"}), ("views.0.features.2.window", {"hopping": "1h"}), ("views.0.features.2.window", {"every": "1h"}),
    ("views.0.features.2.window", {"tumbling": "1h", "every": "10m"}), ("views.0.features.2.window", {"last": 3, "tile": "10m"}),
    ("views.0.features.2.delay", 7), ("views.0.features.2.default", "0"), ("views.0.features.2.from", 1), ("views.0.features.2.unit", 1),
    ("views.0.features.2.doc", ""), ("views.0.features.2.hidden", 1), ("views.0.features.2.where", ""), ("views.0.features.2.n", 3), ("views.0.features.3.of", ABSENT),
    ("views.0.features.3.of", []), ("views.0.features.3.of", ["amount", "amount"]), ("views.0.features.3.form", 1), ("views.0.features.0.expr", ""),
    ("views.0.features.0.expr", ["amount"]), ("views.0.features.0.window", "1d"), ("views.0.features.0.of", "amount"), ("views.0.features.0.from", 1),
    ("views.0.features.2", {**QUANTILE, "q": 2}), ("views.0.features.2", {**QUANTILE, "q": "0.5"}), ("views.0.features.2", {"name": "x", "op": "quantile", "of": "amount", "window": "1d"}),
    ("views.0.features.2", {**LAG, "n": 1.5}), ("views.0.features.2", {**LAG, "window": "7d"}), ("views.0.features.2", {**LAG, "half_life": "1d"}),
    ("views.0.features.2", {**EWM, "half_life": 5}), ("lists", []), ("lists", {"a-b": [1]}), ("lists", {"a": []}), ("lists", {"a": [None]}), ("lists", {"a": [1, "b"]}),
    ("plugins", "x.so"), ("plugins", [1]),
    ("training", []),
    ("training.target", ABSENT), ("training.task", "regresion"), ("training.columns", ABSENT), ("training.columns", []), ("training.columns", ["amount", "amount"]),
    ("training.columns.0", 3), ("training.split", 7), ("training.split.train", 7), ("training.split.train", "0d"), ("training.split.test", "soon"),
    ("training.split.tests", "7d"), ("training.split.exclude_known", 1), ("training.card_k", 1.5), ("training.card_k", -1), ("training.seed", -1),
    ("training.threads", 0), ("training.threads", "two"), ("training.candidates", ABSENT), ("training.candidates", []), ("training.candidates.0", 7),
    ("training.candidates.0.name", ""), ("training.candidates.0.algorithm", "logistics"), ("training.candidates.0.algorithm", ABSENT),
    ("training.candidates.0.params", []), ("training.candidates.0.params", {"l3": 1}), ("training.candidates.0.params", {"l2": -1}),
    ("training.candidates.0.params", {"l2": "1"}), ("training.candidates.1.params", {"rounds": 0}), ("training.candidates.1.params", {"rounds": 1.5}),
    ("training.candidates.2.params", {"eta": 0.1}), ("training.champion", ""), ("training.colums", []), ("triggers", []), ("rollout", 0.5), ("rollout.salt", 7),
    ("rollout.salt", "s" * 64), ("rollout.challenger_share", 1.01), ("rollout.challenger_share", "0.5"), ("rollout.steps", []), ("serving.threshold", -0.1),
    ("serving.treshold", 0.5), ("serving.requests", 1), ("serving.tenants", "yes"), ("serving.model_memory_mib", 0), ("serving.features", {"missing": "guess"}),
    ("serving.features", {"max_age": 5}), ("serving.features", {"views": {"customer": {"late": 1}}}), ("serving.batches", {}), ("serving.batches", [{"name": "a", "schedule": "@daily", "file": "f"}]),
    ("serving.batches", [{**BATCH, "catch_up": "all"}]), ("serving.batches", [{**BATCH, "format": "xml"}]), ("serving.batches", [{**BATCH, "colums": ["id"]}]), ("training.use_case", "Fraud"), ("training.use_case", 3), ("training.experiment", ""), ("training.use_cases", []),
    ("training.use_cases", {"a b": {}}), ("training.use_cases", {"x": 3}), ("training.use_cases", {"x": {"seeds": 1}}), ("training.use_cases", {"x": {"seed": -1}}),
    ("training.use_cases", {"x": {"candidates": []}}), ("training.use_cases", {"x": {"use_cases": {}}}),
    ("training.use_cases", {"x": {"candidates": [{"name": "a", "algorithm": "logistics"}]}}),
]  # fmt: skip

# What depends on other places of the file, on the Avro schemas or on the environment: only the program sees it.
DANGLING = [
    ("training.use_cases", {"default": {}}), ("training.use_cases", {"x": {"target": "none"}}), ("training.use_cases", {"x": {"task": "regression"}}),
    ("training.experiment", "/{tenants}"),
    ("source.schema", "schemas/none.avsc"), ("source.time", "amount"), ("source.time", "tx_tim"), ("source.key", ["amount"]), ("source.aliases.X", "amout"), ("source.derive", {"amout": "1"}),
    ("source.allowed_lateness", "9000w"), ("labels.column", "customer_id"), ("labels.join", ["transaction_id", "scenario"]), ("labels", ABSENT),
    ("checks.0", {"column": "customer_id", "in": [1]}), ("checks.0", {"column": "customer_id", "in": "no_list"}), ("checks.0", {"column": "customer_id", "matches": "["}),
    ("checks.0", {"rule": "amnt > 0", "name": "r"}), ("checks.0", {"monotone": "customer_id"}), ("checks.0", {"on": "labels", "name": "u", "unique": ["fraud"]}),
    ("checks.0", {"distribution": {"column": "amount", "profile": "none.json"}}), ("checks.0.column", "amnt"), ("checks.0.max", -1), ("views.1.name", "customer"), ("views.1.entity", ["terminal"]), ("views.1.ttl", "36d"),
    ("views.0.entity", ["terminal_id"]), ("views.0.features.3.of", "customer_id"), ("views.0.features.3.name", "amount"), ("views.0.features.2.agg", "${WEIR_TEST_TOPIC}"),
    ("views.0.features.3.name", "seq"), ("views.0.features.2.where", "amount >"), ("views.0.features.2.where", "customer_id"), ("views.0.features.3.of", "amont"),
    ("views.0.features.2.window", {"hopping": "1h", "every": "2h"}), ("views.0.features.2.window", {"sliding": "1h", "tile": "7m"}),
    ("views.0.features.0.expr", "weekday(amount"), ("views.0.features.0.expr", "tx_during_weekend"), ("views.0.features.0.expr", "amount in big"),
    ("lists", {"a": ["2012-01-02", "b"]}), ("plugins", ["none.so"]), ("views.0.features.3.hidden", True),
    ("training.target", "scenario"), ("training.columns.0", "amounts"), ("training.split.train", "36h"), ("training.candidates.1.name", "fraud-logistic"),
    ("training.champion", "nobody"), ("rollout.salt", "${WEIR_TEST_UNSET_NAME}"),
]  # fmt: skip

# Right, in ways that fraud.json does not show.
RIGHT = [
    ("doc", ABSENT), ("partitions", ABSENT), ("partitions", 1.0), ("retention", "26w"), ("retention", ABSENT), ("compact_after", "never"), ("compact_after", "36h"), ("source.topic", ABSENT), ("source.tenant", ABSENT),
    ("source.topic", "${WEIR_TEST_TOPIC}.events"), ("pipeline", "${WEIR_TEST_TOPIC}"), ("source.aliases", ABSENT), ("source.derive", {"amount": "1", "fraud": "amount > 1"}), ("checks", ABSENT), ("checks", []),
    ("checks.0", {"column": "customer_id", "in": ["a"], "doc": "only one"}), ("checks.0", {"column": "amount", "not_in": [0], "severity": "mark"}),
    ("checks.0", {"rule": "amount < 2 * previous.amount", "name": "r", "not_null": True}), ("checks.0", {"monotone": "amount", "strict": True, "severity": "warn"}),
    ("checks.0", {"name": "u", "unique": ["terminal_id", "amount"], "within": "1h"}), ("checks.0", {"freshness": "1h"}), ("checks.0", {"column": "customer_id", "matches": "[0-9]+", "max_length": 9}),
    ("checks.0", {"completeness": {"column": "amount", "min_share": 0.5, "window": "1h"}, "severity": "warn"}), ("checks.0", {"on": "labels", "column": "fraud", "not_null": True}),
    ("views.0.ttl", ABSENT), ("views.0.from", ABSENT), ("views.0.features.2.of", "amount"), ("views.0.features.2.delay", "90s"),
    ("views.0.at", "event"), ("views.0.features.2.window", "all"), ("views.0.features.2.window", {"last": 20}), ("views.0.features.2.window", {"tumbling": "1h"}),
    ("views.0.features.2.window", {"hopping": "1h", "every": "10m"}), ("views.0.features.2.window", {"session": "30m"}), ("views.0.features.2.window", {"to_date": "1d"}),
    ("views.0.features.2.window", {"sliding": "30d", "tile": "1h"}), ("views.0.features.3.of", ["amount"]), ("views.0.features.3.of", "amount * 2"),
    ("views.0.features.3.where", "terminal_id = 'a' and amount > 0"), ("views.0.features.8", QUANTILE), ("views.0.features.8", LAG), ("views.0.features.8", {**LAG, "n": 3}),
    ("views.0.features.8", EWM), ("views.0.features.8", {**QUANTILE, "hidden": True}), ("views.0.features.0.expr", "day(tx_time) in (1, 2) or customer_tx_count_1d > 3"),
    ("lists", {"days": ["2012-01-02"], "sizes": [1, 2.5], "words": ["a", "b"]}), ("plugins", []),
    ("views.0.features.3.agg", "${WEIR_TEST_AGG}"), ("views.0.features.3.default", -1.5), ("training", ABSENT), ("training.split", ABSENT),
    ("training.split.delay", "0d"), ("training.split.test", "48h"), ("training.candidates.0.params", ABSENT), ("training.candidates.1.params", {"rounds": 20, "eta": 0.3}),
    ("training.challenger", ABSENT), ("training.card_k", 0), ("rollout", ABSENT), ("rollout.challenger_share", 0), ("serving", ABSENT), ("serving.batches", []),
    ("serving.batches", [BATCH, {**BATCH, "name": "b", "out": "h-%Y.csv", "errors": "e.csv", "time_zone": "UTC", "model": "m", "version": "1.2.0", "columns": ["id"]}]), ("serving", {"requests": True, "tenants": False, "model_memory_mib": 64}),
    ("serving.features", {"missing": "abstain", "late": "fallback", "max_age": "1h", "fallback": "m/1", "views": {"customer": {"missing": "score"}}}), ("triggers", {"schedule": "0 3 * * *"}),
]  # fmt: skip
ENVIRONMENT = {"WEIR_TEST_TOPIC": "payments", "WEIR_TEST_AGG": "max"}


def changed(path, value):
    spec = copy.deepcopy(FRAUD)
    at = spec
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        at = at[part]
    if value is ABSENT:
        del at[last]
    elif isinstance(at, list) and last == len(at):
        at.append(value)
    else:
        at[last] = value
    return spec


def check(*arguments, **keywords):
    return subprocess.run([os.environ["WEIR_BINARY"], "check", *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, **ENVIRONMENT}, **keywords)


def check_spec(spec):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(spec, file)
        file.flush()
        return check(file.name, cwd=ROOT)


class Judgement(unittest.TestCase):
    def judge(self, cases, wanted_exit, schema_accepts):
        validator = jsonschema.Draft202012Validator(SCHEMA, registry=REGISTRY)
        specs = [changed(*case) for case in cases]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for case, spec, answer in zip(cases, specs, pool.map(check_spec, specs)):
                with self.subTest(case=case):
                    self.assertEqual(answer.returncode, wanted_exit, answer.stderr)
                    errors = [e.message for e in validator.iter_errors(spec)]
                    self.assertEqual(not errors, schema_accepts, errors)
                    if wanted_exit:
                        self.assertEqual(answer.stdout, "")
                        self.assertIn("$", answer.stderr)
                        self.assertNotIn("Sanitizer", answer.stderr)

    def test_the_schema_is_a_schema_and_fraud_is_right(self):
        for name in REGISTRY:
            jsonschema.Draft202012Validator.check_schema(REGISTRY.contents(name))
        for path in (ROOT / "pipelines").glob("*.json"):
            jsonschema.Draft202012Validator(SCHEMA, registry=REGISTRY).validate(json.loads(path.read_text()))
            answer = check(str(path), cwd=ROOT)
            self.assertEqual(answer.returncode, 0, answer.stderr)

    def test_what_is_wrong_both_refuse(self):
        self.judge(WRONG, 2, False)

    def test_what_dangles_the_program_refuses(self):
        self.judge(DANGLING, 2, True)

    def test_what_is_right_both_accept(self):
        self.judge(RIGHT, 0, True)

    def test_every_key_that_the_parsers_know_is_in_the_schema(self):
        """and the other way round, so that neither gets a key alone."""
        known = set()
        for source in ("features/pipeline.c", "features/pipeline_views.c", "features/pipeline_features.c", "features/pipeline_checks.c", "features/pipeline_decisions.c",
                       "features/pipeline_batches.c", "features/pipeline_serving.c", "models/recipe.c"):
            for words in re.findall(r"\bkeys\[\] = \{([^}]*)\}|_keys\[\] = \{([^}]*)\}", (ROOT / source).read_text()):
                known |= set(re.findall(r'"([^"]+)"', "".join(words)))
        listed = set()

        def walk(schema, name):
            if isinstance(schema, dict):
                if not name.startswith("params_"):
                    listed.update(schema.get("properties", {}))
                for key, child in schema.items():
                    walk(child, key)
            elif isinstance(schema, list):
                for child in schema:
                    walk(child, "")

        walk(SCHEMA, "")
        self.assertGreater(len(known), 40)
        self.assertEqual(known, listed)


class Answer(unittest.TestCase):
    def test_it_needs_no_folder_and_no_services(self):
        answer = check("fraud", "--brokers", "127.0.0.1:1", "--pg-url", "postgresql://127.0.0.1:1/none", cwd="/")
        self.assertEqual((answer.returncode, answer.stderr), (0, ""))

    def test_the_table_names_views_features_topics_and_models(self):
        out = check("fraud", cwd=ROOT).stdout
        self.assertTrue(out.startswith("pipelines/fraud.json: good\n"), out)
        self.assertRegex(out, r"terminal +terminal_fraud_rate_7d +mean of fraud over 7d, ended 7d ago, else 0 +ratio +share of frauds among them; 0 where there was none\n")
        self.assertRegex(out, r"customer +tx_during_weekend +weekend\(tx_time\) ")
        self.assertRegex(out, r"customer +tx_during_night +hour\(tx_time\) <= 6 ")
        self.assertRegex(out, r"fraud\.features\.terminal +features and state of each terminal, compacted\n")
        self.assertRegex(out, r"fraud-boosted +xgboost +challenger\n")

    def test_windows_and_parameters_are_said(self):
        for more, said in (
            ({"window": {"last": 20}}, "mean of amount over the last 20"),
            ({"window": {"tumbling": "1h"}, "where": "amount > 1"}, "mean of amount where amount > 1 over each 1h"),
            ({"window": {"hopping": "1h", "every": "10m"}}, "mean of amount over 1h every 10m"),
            ({"window": {"session": "30m"}}, "mean of amount since a gap of 30m"),
            ({"window": {"to_date": "1d"}}, "mean of amount since the last full 1d"),
            ({"window": "all", "hidden": True}, "mean of amount over all (hidden)"),
            ({"window": {"sliding": "30d", "tile": "1h"}, "delay": "7d"}, "mean of amount over 30d in tiles of 1h, ended 7d ago"),
            (QUANTILE, "quantile of amount (q 0.9) over 1d"),
            (EWM, "ewm_mean of amount (half_life 1d) over all"),
        ):
            answer = check_spec(changed("views.0.features.8", {"name": "x", "op": "mean", "of": "amount", **more}))
            self.assertIn(f" {said} ", answer.stdout, answer.stderr)

    def test_json_says_the_same(self):
        said = json.loads(check("fraud", "--output", "json", cwd=ROOT).stdout)
        self.assertEqual([f["name"] for f in said["features"]], [f["name"] for view in FRAUD["views"] for f in view["features"]])
        self.assertEqual([v["name"] for v in said["views"] if v["primary"]], ["customer"])
        self.assertEqual([v["rekeyed"] for v in said["views"]], [False, True])
        self.assertEqual(
            {t["name"] for t in said["topics"]},
            {"fraud." + t for t in ("events", "labels", "predictions", "shadows", "deadletter", "features.customer", "features.terminal", "repartition.customer", "repartition.terminal")},
        )
        self.assertEqual(said["training"]["columns"], FRAUD["training"]["columns"])
        self.assertEqual([c.get("alias") for c in said["training"]["candidates"]], ["champion", "challenger", None])
        self.assertEqual(len(said["feature_hash"]), 64)

    def test_a_pipeline_without_labels_and_training(self):
        spec = copy.deepcopy(FRAUD)
        del spec["labels"], spec["training"], spec["views"][1], spec["source"]["aliases"]
        spec["retention"] = "36h"
        answer = check_spec(spec)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("events kept for 36h\n", answer.stdout)
        self.assertNotIn("MODEL", answer.stdout)
        self.assertNotIn("fraud.labels", answer.stdout)

    def test_what_cannot_be_read_is_said(self):
        for argument, words in (("nothing", 'no pipeline "nothing"'), ("./missing.json", "missing.json"), ("README.md", "line 1, column 1")):
            answer = check(argument, cwd=ROOT)
            self.assertEqual(answer.returncode, 2, answer.stderr)
            self.assertIn(words, answer.stderr)

    def test_the_error_has_file_path_and_expectation(self):
        answer = check_spec(changed("views.0.features.2.agg", "cont"))
        self.assertRegex(answer.stderr, r'^weir check: /\S+\.json: \$\.views\[0\]\.features\[2\]\.agg: "cont" is no operator; did you mean "count"\?\n')


if __name__ == "__main__":
    unittest.main()
