"""prepare_data, train_model, register_model and validate_model through the links that the build makes: the scripts of the training guide's examples 1, 3 and 4, every error that is
named there, and the logged metrics against scikit-learn on the written test table and XGBoost's own reading of the artifact. Needs PostgreSQL only."""
import datetime
import hashlib
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

missing = [name for name in ("WEIR_BINARY", "WEIR_PG_URL") if not os.environ.get(name)]
if missing:
    print("skipped: %s not set; ./run test sets it" % ", ".join(missing))
    sys.exit(77)
try:
    import numpy as np
    import psycopg2
    import xgboost
    from sklearn import metrics as oracle
except ImportError as error:
    print("skipped: %s" % error)
    sys.exit(77)

BIN = os.path.dirname(os.path.abspath(os.environ["WEIR_BINARY"]))
PG = os.environ["WEIR_PG_URL"]
TAG = "t%x" % random.getrandbits(32)  # everything that a run of this test makes has it in its name
SHA = "0123456789abcdef0123456789abcdef01234567"
DEV = "%s_dev" % TAG
FEATURES = ["amount", "avg_amount", "tx_count", "night", "channel", "last_seen"]


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return "exit %d\n%s\n%s" % (self.code, self.out, self.err)


class Lifecycle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="weir-test-")
        git = os.path.join(cls.dir, "git")  # the scripts ask it for the commit
        with open(git, "w") as f:
            f.write("#!/bin/sh\necho %s\n" % SHA)
        os.chmod(git, 0o755)
        cls.pg = psycopg2.connect(PG)
        cls.pg.autocommit = True
        cls.run_weir("migrate")

    @classmethod
    def tearDownClass(cls):
        like = (TAG + "%",)
        for table in ("model_alias_history", "model_aliases", "version_tags", "version_descriptions", "outbox", "model_versions"):
            cls.sql("DELETE FROM weir.%s WHERE pipeline LIKE %%s" % table, like)
        for table in ("run_params", "run_metrics", "run_tags", "run_datasets", "experiment_runs"):
            cls.sql("DELETE FROM weir.%s WHERE run_id IN (SELECT id FROM weir.runs WHERE pipeline LIKE %%s)" % table, like)
        cls.sql("DELETE FROM weir.runs WHERE pipeline LIKE %s", like)
        cls.sql("DELETE FROM weir.experiments WHERE name LIKE %s", ("/Shared/" + TAG + "%",))
        for table in ("registered_models", "dataset_versions"):
            cls.sql("DELETE FROM weir.%s WHERE space LIKE %%s" % table, like)
        for (schema,) in cls.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE %s", like):
            cls.sql('DROP SCHEMA "%s" CASCADE' % schema)
        for (role,) in cls.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", like):
            cls.sql('DROP OWNED BY "%s"; DROP ROLE "%s"' % (role, role))
        cls.pg.close()
        shutil.rmtree(cls.dir)

    # ---- tools ----
    @classmethod
    def env(cls, **more):
        return dict(os.environ, PATH=cls.dir + ":" + BIN + ":" + os.environ["PATH"], WEIR_OBJECTS_DIR=os.path.join(cls.dir, "objects"), **more)

    @classmethod
    def run_weir(cls, command, *args, **env):
        words = [command] if shutil.which(command, path=BIN) else ["weir", command]
        return Result(subprocess.run(words + [str(a) for a in args], env=cls.env(**env), capture_output=True, text=True, timeout=600))

    @classmethod
    def script(cls, text):
        return Result(subprocess.run(["bash", "-c", text], env=cls.env(), capture_output=True, text=True, timeout=600))

    @classmethod
    def sql(cls, statement, params=None):
        with cls.pg.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    def works(self, command, *args, **env):
        done = self.run_weir(command, *args, **env)
        self.assertEqual(done.code, 0, done)
        return done

    def fails(self, code, message, command, *args, **env):
        done = self.run_weir(command, *args, **env)
        self.assertEqual(done.code, code, done)
        self.assertIn(message, done.err)
        return done

    def make_schema(self, space):
        self.sql('CREATE SCHEMA IF NOT EXISTS "%s"' % space)

    def make_transactions(self, space, table, rows=1500, seed=1, target="target", key=None, shuffle=0):
        """Payments of which few are fraud; every kind of column; some values and targets are missing."""
        draw = np.random.default_rng(seed)
        self.make_schema(space)
        self.sql('CREATE TABLE "%s"."%s" (%samount numeric(12,2), avg_amount float8, tx_count integer, night boolean, channel text, last_seen timestamptz, %s boolean)'
                 % (space, table, key + " text, " if key else "", target))
        lines = []
        for i in range(rows):
            amount, mean, count, night = draw.lognormal(3.5, 1), draw.lognormal(3.4, .3), int(draw.poisson(4)), bool(draw.random() < .3)
            channel = ["app", "shop", "web", "телефон"][draw.integers(4)]
            fraud = (amount > 60) + night + (channel == "web") + (count > 6) >= 2
            seen = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=int(draw.integers(10**7)))
            lines.append(([("user%05d" % i)] if key else []) + [round(amount, 2), None if i % 50 == 7 else mean, count, night, None if i % 70 == 3 else channel, seen, bool(fraud)])
        if shuffle:
            random.Random(shuffle).shuffle(lines)
        with self.pg.cursor() as cursor:
            cursor.executemany('INSERT INTO "%s"."%s" VALUES (%s)' % (space, table, ", ".join(["%s"] * len(lines[0]))), lines)

    def at(self, schema, environment="dev"):
        return ["--catalog", DEV, "--schema", schema, "--environment", environment]

    def run_of(self, done):
        return re.search(r"^run +(run-[0-9a-f]+) in (\S+)$", done.out, re.M).groups()

    def digest_of(self, done):
        return re.search(r"digest ([0-9a-f]{64})$", done.out, re.M).group(1)

    # ---- the examples ----
    def test_example_1_from_a_table_to_a_validated_model(self):
        space = DEV + ".fraud_detection"
        self.make_transactions(space, "transactions")
        text = EXAMPLE_1.replace("mlops_dev", DEV)
        done = self.script(text)
        self.assertEqual(done.code, 0, done)
        self.assertIn("source table: 1500 rows, 7 columns\n", done.out)
        self.assertIn("train table %s.train_set version 1: 1200 rows, 7 columns\n" % space, done.out)
        self.assertIn("test table %s.test_set version 1: 300 rows, 7 columns\n" % space, done.out)
        self.assertIn("\nREGISTERED_VERSION=1\nStep 4", done.out)
        for number in range(1, 5):
            self.assertIn("✓ %d/4 " % number, done.out)
        self.assertTrue(done.out.endswith("valid: 4 of 4 checks passed\n✓ Training pipeline completed successfully!\n"), done)
        self.check_registered(space, "fraud_detector_v2", self.run_of(done))
        self.check_logged(space, "fraud_detector_v2", self.run_of(done), done)

        worse = self.script(text.replace('BASELINE_F1="0.82"', 'BASELINE_F1="1"'))
        self.assertEqual(worse.code, 1, worse)
        self.assertTrue(worse.out.endswith("✗ Model did not improve baseline - skipping registration\n"), worse)
        self.assertIn("train_set version 2", worse.out)
        self.assertEqual(self.digest_of(worse), self.digest_of(done), "same rows, same seed, same model")
        self.assertEqual(self.sql("SELECT status, beats_baseline FROM weir.runs r JOIN weir.experiment_runs e ON e.run_id = r.id WHERE r.id = %s", (self.run_of(worse)[0],)),
                         [("succeeded", False)])
        self.assertEqual(self.sql("SELECT count(*) FROM weir.model_versions WHERE pipeline = %s", (space,)), [(1,)])

    def check_registered(self, space, model, run):
        tags = dict(self.sql("SELECT name, value FROM weir.version_tags WHERE pipeline = %s AND model = %s", (space, model)))
        self.assertEqual((tags["environment"], tags["git_sha"]), ("dev", SHA))
        registered = datetime.datetime.fromisoformat(tags["registered_at"].replace("Z", "+00:00"))
        self.assertLess(abs(datetime.datetime.now(datetime.timezone.utc) - registered), datetime.timedelta(minutes=10))
        self.assertEqual(self.sql("SELECT alias, version FROM weir.model_aliases WHERE pipeline = %s AND model = %s", (space, model)), [("latest-model", 1)])
        ((description, run_id),) = self.sql("SELECT description, run_id FROM weir.version_descriptions JOIN weir.model_versions USING (pipeline, model, version) WHERE pipeline = %s", (space,))
        self.assertEqual(run_id, run[0])
        f1 = self.metrics_of(run[0])["test_f1"]
        self.assertIn("F1 %.4f" % f1, description)
        self.assertEqual(tags["f1_score"], "%.6f" % f1)
        shown = self.run_weir("models", "show", space, model, "--output", "json")
        self.assertAlmostEqual(json.loads(shown.out)["metrics"]["test_f1"], f1)

    def metrics_of(self, run_id):
        return dict(self.sql("SELECT name, value FROM weir.run_metrics WHERE run_id = %s", (run_id,)))

    def check_logged(self, space, model, run, done):
        run_id, experiment = run
        self.assertEqual(experiment, "/Shared/%s/training" % space.replace(".", "/"))
        params = dict(self.sql("SELECT name, value FROM weir.run_params WHERE run_id = %s", (run_id,)))
        self.assertEqual((params["max_depth"], params["n_estimators"], params["learning_rate"], params["random_seed"]), ("7", "200", "0.05", "42"))
        datasets = self.sql("SELECT d.context, d.space, d.table_name, d.version, d.row_count, v.digest = d.digest, v.source->>'table' FROM weir.run_datasets d"
                            " JOIN weir.dataset_versions v USING (space, table_name, version) WHERE run_id = %s ORDER BY context", (run_id,))
        source = space + ".transactions"
        self.assertEqual(datasets, [("test", space, "test_set", 1, 300, True, source), ("train", space, "train_set", 1, 1200, True, source)])
        self.check_metrics(run_id, space, "test_set__v1", done)

    def check_metrics(self, run_id, space, table, done):
        """The artifact's body is read by XGBoost itself; inputs are coded from the written table as the documentation says, metrics are scikit-learn's. Counts exactly; the area to
        1e-6: float32 scores of another version of the library may differ in the last bit."""
        ((path, signature),) = self.sql("SELECT artifact_path, signature FROM weir.experiment_runs WHERE run_id = %s", (run_id,))
        with open(os.path.join(self.dir, "objects", path), "rb") as f:
            image = f.read()
        (header_len,) = struct.unpack_from("<I", image, 12)
        header = json.loads(image[16:16 + header_len])
        booster = xgboost.Booster()
        booster.load_model(bytearray(image[24 + header_len:-32]))
        target = signature["target"]["name"]
        rows = self.sql('SELECT * FROM "%s"."%s" WHERE %s IS NOT NULL' % (space, table, target))
        names = [name for (name,) in self.sql("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum", ('"%s"."%s"' % (space, table),))]
        self.assertEqual(header["columns"], [name for name in names if name != target])

        def code(name, value):
            kind = next(i for i in signature["inputs"] if i["name"] == name)
            if value is None or (kind["type"] == "category" and value not in kind["categories"]):
                return np.nan
            if kind["type"] == "category":
                return kind["categories"].index(value)
            return value.timestamp() if kind["type"] == "time" else float(value)

        x = np.array([[code(n, row[names.index(n)]) for n in header["columns"]] for row in rows])
        classes = signature["target"]["classes"]
        several = len(classes) > 2
        y = np.array([classes.index(row[names.index(target)]) if several else int(row[names.index(target)]) for row in rows])
        score = booster.predict(xgboost.DMatrix(x, feature_names=header["columns"]))
        called = score.argmax(axis=1) if several else score >= 0.5
        average = {"average": "macro"} if several else {}
        ranked = oracle.roc_auc_score(y, score.astype(float) / score.sum(axis=1, dtype=float, keepdims=True), multi_class="ovr") if several else oracle.roc_auc_score(y, score)
        logged = self.metrics_of(run_id)
        expected = {"test_f1": oracle.f1_score(y, called, **average), "test_accuracy": oracle.accuracy_score(y, called),
                    "test_precision": oracle.precision_score(y, called, **average), "test_recall": oracle.recall_score(y, called, **average), "test_roc_auc": ranked}
        self.assertEqual(set(logged), set(expected))
        for name, value in expected.items():
            self.assertAlmostEqual(logged[name], value, delta=1e-6 if name == "test_roc_auc" else 1e-12, msg=name)
            self.assertIn("%-16s%.6f\n" % (name, logged[name]), done.out)

    def test_example_3_from_features_and_labels(self):
        features, labels, space = DEV + ".features3", DEV + ".labels3", DEV + ".fraud3"
        self.make_transactions(features, "user_transaction_features", target="is_fraud", key="user_id")
        self.make_schema(labels)
        self.sql('CREATE TABLE "%s".fraud_labels AS SELECT user_id, is_fraud, 1 AS reviewer FROM "%s".user_transaction_features WHERE user_id >= \'user00100\'' % (labels, features))
        self.sql('INSERT INTO "%s".fraud_labels VALUES (\'nobody\', true, 2)' % labels)
        self.sql('ALTER TABLE "%s".user_transaction_features DROP COLUMN is_fraud' % features)
        text = EXAMPLE_3.replace("mlops_dev.features.", features + ".").replace("mlops_dev.labels.", labels + ".").replace("mlops_dev", DEV).replace('"fraud_detection"', '"fraud3"')
        done = self.script(text)
        self.assertEqual(done.code, 0, done)
        self.assertIn("Lost 100 rows in join. Ensure label table has matching lookup_key values\n", done.err)
        self.assertIn("1 rows of %s.fraud_labels have a user_id without features and are left out" % labels, done.err)
        self.assertIn("source feature_store: 1400 rows, 7 columns\n", done.out)
        self.assertTrue(done.out.endswith("✓ Feature Store training pipeline completed!\n"), done)
        self.check_metrics(self.run_of(done)[0], space, "test_set__v1", done)
        ((source,),) = self.sql("SELECT source FROM weir.dataset_versions WHERE space = %s AND table_name = 'train_set'", (space,))
        self.assertEqual((source["feature_table"], source["label_table"], source["lookup_key"], source["lost_rows"], source["feature_columns"]),
                         (features + ".user_transaction_features", labels + ".fraud_labels", "user_id", 100, FEATURES))

        store = ["--feature-store-table", features + ".user_transaction_features", "--lookup-key", "user_id", "--label-table", labels + ".fraud_labels", "--label-column", "is_fraud"]
        self.works("prepare_data", *self.at("fraud3"), *store, "--feature-columns", "amount", "avg_amount", "tx_count", "--test-table", "few_test", "--train-table", "few")
        columns = self.sql("SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", ('"%s".few' % space,))
        self.assertEqual(columns, [("amount avg_amount tx_count is_fraud",)])

        base = ["prepare_data", *self.at("fraud3")]
        self.fails(2, "--feature-store-table cannot be used with --source-table", *base, *store, "--source-table", "x")
        self.fails(2, "--feature-store-table needs --lookup-key", *base, "--feature-store-table", "a.b.c")
        self.fails(2, "which is not given", *base, "--lookup-key", "user_id")
        self.fails(2, "Table '%s.nothing' not found" % features, *base, "--feature-store-table", features + ".nothing", "--lookup-key", "user_id")
        self.fails(2, "Table 'no.such.table' not found: there is no schema \"no.such\"", *base, "--feature-store-table", "no.such.table", "--lookup-key", "user_id")
        self.fails(2, "Column 'amuont' not found in table '%s.user_transaction_features', which has 7 columns; did you mean 'amount'?" % features, *base, *store, "--feature-columns", "amuont")
        self.fails(2, "Column 'user' not found", *base, *[w if w != "user_id" else "user" for w in store])
        self.fails(2, "Column 'target' not found in table '%s.fraud_labels'" % labels, *base, *store[:-2])
        self.fails(2, "'user_id' is the lookup key", *base, *store, "--feature-columns", "user_id")
        self.fails(2, "has 'amount' twice", *base, *store, "--feature-columns", "amount,amount")
        self.sql("""UPDATE "%s".fraud_labels SET user_id = 'x' || user_id""" % labels)
        self.fails(3, "Lost 1500 rows in join. Ensure label table has matching lookup_key values", *base, *store)
        self.sql('INSERT INTO "%s".user_transaction_features SELECT * FROM "%s".user_transaction_features LIMIT 3' % (features, features))
        self.fails(3, "lookup key 'user_id' is not unique in %s.user_transaction_features: 3 rows repeat one" % features, *base, *store)
        self.sql('ALTER TABLE "%s".fraud_labels ALTER COLUMN user_id TYPE integer USING 1' % labels)
        self.fails(3, "lookup key 'user_id' is a text in", *base, *store)
        self.assertEqual(self.sql("SELECT max(version) FROM weir.dataset_versions WHERE space = %s AND table_name = 'train_set'", (space,)), [(1,)], "what fails writes nothing")

    def test_example_4_champion_and_challenger(self):
        prod, model = TAG + "_prod", "product_recommender_" + TAG
        at = ["--catalog", prod, "--schema", "recommender", "--environment", "prod"]
        self.works("prepare_data", *at)
        runs = [self.run_of(self.works("train_model", *at, "--model-name", name, "--n-estimators", n))[0] for name, n in ((model, 20), (model + "_v2", 40))]
        text = EXAMPLE_4.replace("mlops_prod", prod).replace("product_recommender", model)
        done = self.script("set -e\n" + text)
        self.assertEqual(done.code, 0, done)
        self.assertEqual(done.out.count("REGISTERED_VERSION=1\n"), 2)
        self.assertEqual(done.out.count("valid: 4 of 4 checks passed\n"), 2)
        self.assertEqual(self.sql("SELECT a.model, alias, run_id FROM weir.model_aliases a JOIN weir.model_versions v USING (pipeline, model, version) WHERE pipeline = %s ORDER BY 1",
                                  (prod + ".recommender",)), [(model, "champion", runs[0]), (model + "_v2", "challenger", runs[1])])
        tags = self.sql("SELECT DISTINCT value FROM weir.version_tags WHERE pipeline = %s AND name = 'environment'", (prod + ".recommender",))
        self.assertEqual(tags, [("prod",)])
        self.check_documented_queries(prod, model)

        other = ["--catalog", prod, "--schema", "elsewhere"]
        self.works("prepare_data", *other, "--environment", "prod")
        self.works("train_model", *other, "--environment", "prod", "--model-name", model, "--n-estimators", 5)
        self.works("register_model", *other, "--model-name", model)
        self.fails(2, "several models are named '%s': %s.elsewhere.%s, %s.recommender.%s" % (model, prod, model, prod, model), "validate_model", "--model-name", model, "--alias", "champion")
        self.works("validate_model", "--model-name", model, "--schema", "recommender", "--alias", "champion")

    def check_documented_queries(self, prod, model):
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "..", "docs", "lifecycle.md")) as f:
            text = f.read().replace("mlops_dev", prod).replace("my_model", "recommender").replace("my_classifier", model)
        runs, champion = [self.sql(q) for q in re.findall(r"^    (SELECT [^;]*;)$", text[:text.index("## Privileges")], re.M)]
        self.assertEqual({row[1] for row in runs}, {model, model + "_v2"})
        self.assertEqual(champion[0][:3], (prod + ".recommender", "train_set", 1))
        self.assertEqual(champion[0][3]["kind"], "synthetic")

    # ---- datasets ----
    def test_split_depends_on_rows_and_seed_only(self):
        space = DEV + ".split"
        self.make_transactions(space, "one", rows=400)
        self.make_transactions(space, "two", rows=400, shuffle=5)
        base = ["prepare_data", *self.at("split"), "--test-size", "0.25"]
        for table, seed in (("one", 42), ("two", 42), ("one", 43)):
            self.works(*base, "--source-table", table, "--random-seed", seed)
        versions = dict(self.sql("SELECT version, digest FROM weir.dataset_versions WHERE space = %s AND table_name = 'train_set'", (space,)))
        self.assertEqual(versions[1], versions[2])
        self.assertNotEqual(versions[1], versions[3])
        for version in (1, 2, 3):  # no row is lost, none is in both
            self.assertEqual(self.sql('SELECT count(*) FROM (SELECT * FROM "{0}".train_set__v{1} UNION ALL SELECT * FROM "{0}".test_set__v{1} EXCEPT ALL SELECT * FROM "{0}".one) x'.format(
                space, version)), [(0,)])
            self.assertEqual(self.sql('SELECT (SELECT count(*) FROM "{0}".train_set__v{1}), (SELECT count(*) FROM "{0}".test_set__v{1})'.format(space, version)), [(300, 100)])
        self.assertEqual(self.sql('SELECT count(*) FROM (TABLE "{0}".train_set EXCEPT TABLE "{0}".train_set__v3) x'.format(space)), [(0,)])

        train = ["train_model", *self.at("split"), "--model-name", "m", "--n-estimators", "30"]
        first, second, third = [self.digest_of(self.works(*train, "--train-table", "train_set__v%d" % v, "--test-table", "test_set__v%d" % v)) for v in (1, 2, 3)]
        self.assertEqual(first, second)
        self.assertNotEqual(first, third)
        self.assertNotEqual(first, self.digest_of(self.works(*train, "--train-table", "train_set__v1", "--random-seed", 1)))
        self.assertEqual(third, self.digest_of(self.works(*train)), "a table by its name is its newest version")

        self.sql('GRANT SELECT ON "%s".train_set TO PUBLIC' % space)
        self.works(*base, "--source-table", "one")
        self.assertTrue(self.sql("SELECT has_table_privilege('public', %s, 'SELECT')", ('"%s".train_set' % space,))[0][0], "grants on the view stay")
        self.works(*base)  # other columns: the view is made anew
        self.assertEqual(self.sql('SELECT count(*), count(feature_9) FROM "%s".train_set' % space), [(750, 750)])
        ((source,),) = self.sql("SELECT source FROM weir.dataset_versions WHERE space = %s AND table_name = 'test_set' AND version = 5", (space,))
        self.assertEqual(source, {"kind": "synthetic", "rows": 1000, "part": "test", "test_size": 0.25, "random_seed": 42, "environment": "dev"})

    def test_who_prepares_at_once_gets_a_version_each(self):
        words = ["prepare_data", *self.at("crowd")]
        processes = [subprocess.Popen(words, env=self.env(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(6)]
        for process in processes:
            complaints = process.communicate(timeout=120)[1]
            self.assertEqual(process.returncode, 0, complaints)
        self.assertEqual(self.sql("SELECT array_agg(version ORDER BY version), count(DISTINCT digest) FROM weir.dataset_versions WHERE space = %s GROUP BY table_name", (DEV + ".crowd",)),
                         [([1, 2, 3, 4, 5, 6], 1)] * 2)

    def test_prepare_errors(self):
        space = DEV + ".prepare"
        base = ["prepare_data", *self.at("prepare")]
        self.make_schema(space)
        self.sql('CREATE TABLE "{0}".mine AS SELECT 1 AS a; CREATE VIEW "{0}".view_of_mine AS TABLE "{0}".mine'.format(space))
        self.fails(2, "Table '%s.nothing' not found" % space, *base, "--source-table", "nothing")
        self.fails(3, "the source has 1 rows, of which --test-size 0.2 takes 0", *base, "--source-table", "mine")
        self.fails(3, "'%s.mine' is there already and was not written by prepare_data" % space, *base, "--train-table", "mine")
        self.fails(3, "'%s.view_of_mine' is there already" % space, *base, "--test-table", "view_of_mine")
        self.fails(2, "--test-size: found 1, expected", *base, "--test-size", "1")
        self.fails(2, "--test-size: found \"2\"", *base, "--test-size", "2")
        self.fails(2, "--environment: 'test' is none of dev, aut, prod", *base[:-1], "test")
        self.fails(2, "environment is missing", *base[:-2])
        self.fails(2, "is no name of a catalog", "prepare_data", "--catalog", 'a"b', "--schema", "s", "--environment", "dev")
        self.fails(2, "are both 'x'", *base, "--train-table", "x", "--test-table", "x")
        self.fails(3, "PostgreSQL is not reachable", *base, WEIR_PG_URL="postgresql://weir@127.0.0.1:1/weir")
        self.assertEqual(self.sql("SELECT count(*) FROM weir.dataset_versions WHERE space = %s", (space,)), [(0,)])

    # ---- training ----
    def test_columns_and_targets(self):
        space = DEV + ".columns"
        self.make_schema(space)
        self.sql("""CREATE TABLE "{0}".wide AS SELECT 'id' || i AS id, CASE WHEN i % 2 = 0 THEN 'yes' ELSE 'no' END AS target, i % 2 + random() AS x, i % 3 AS three, 1 AS one,
                    CASE WHEN i % 10 > 0 THEN i % 2 END AS sparse, CASE WHEN i % 3 = 0 THEN 'Infinity'::float8 ELSE i END AS endless FROM generate_series(1, 1000) i""".format(space))
        self.sql('CREATE TABLE "{0}".docs AS SELECT x, target, \'{{}}\'::jsonb AS doc FROM "{0}".wide'.format(space))
        base = ["train_model", *self.at("columns"), "--model-name", "m", "--n-estimators", "10", "--train-table", "wide", "--test-table", "wide"]
        self.fails(3, "column 'id' of %s.wide is text with more than 256 different values: leave it out with --exclude-columns id" % space, *base)
        self.fails(3, "infinite value in column 'endless'", *base, "--exclude-columns", "id")
        done = self.works(*base, "--exclude-columns", "id", "endless", "three")
        self.assertEqual(self.sql("SELECT signature->'target', signature->'output' FROM weir.experiment_runs WHERE run_id = %s", (self.run_of(done)[0],)),
                         [({"name": "target", "classes": ["no", "yes"]}, {"name": "probability", "type": "double", "of": "yes"})])
        self.assertIn("F1 1.000000 beats the baseline 0", done.out)
        rest = ["--exclude-columns", "id", "endless", "target"]
        self.fails(3, "target 'x' of %s.wide has more than 100 classes" % space, *base, *rest, "--target-col", "x")
        self.fails(3, "target 'one' of %s.wide has 1 classes" % space, *base, *rest, "--target-col", "one")
        done = self.works(*base, *rest, "--target-col", "sparse")
        self.assertIn("%s.wide: 100 rows without sparse are left out\n" % space, done.err)
        self.assertIn("%s.wide: 900 rows\n" % space, done.out)
        self.fails(2, "Column 'targt' not found in table '%s.wide', which has 7 columns; did you mean 'target'?" % space, *base, "--target-col", "targt")
        self.fails(2, "Table '%s.nothing' not found" % space, *base, "--train-table", "nothing")
        self.fails(2, "Column 'nothing' not found", *base, "--exclude-columns", "nothing")
        self.fails(3, "column 'doc' of %s.docs is a jsonb, which no model takes" % space, *base, "--train-table", "docs")
        self.fails(2, "Column 'one' not found in table '%s.docs'" % space, *base, "--exclude-columns", "id", "endless", "three", "--test-table", "docs")
        self.sql('CREATE TABLE "{0}".maybe AS SELECT x, one, sparse, CASE WHEN x > 1 THEN \'maybe\' ELSE \'no\' END AS target FROM "{0}".wide'.format(space))
        self.fails(3, "the target is 'maybe' in a row, which is no class of the training table", *base, "--exclude-columns", "id", "endless", "three", "--test-table", "maybe")
        self.sql('CREATE TABLE "{0}".texts AS SELECT x::text, one, sparse, target FROM "{0}".wide'.format(space))
        self.fails(3, "column 'x' of %s.texts is a text, the model was trained with a double" % space, *base, "--exclude-columns", "id", "endless", "three", "--test-table", "texts")
        self.fails(2, "--baseline-f1: found \"2\"", *base, "--baseline-f1", "2")
        self.fails(2, "is no name of a model", *base, "--model-name", "../m")
        failed = self.sql("SELECT r.detail->>'message' FROM weir.runs r WHERE pipeline = %s AND status = 'failed'", (space,))
        self.assertEqual(len(failed), 1)
        self.assertIn("infinite", failed[0][0])
        self.fails(2, "experiment '/Shared/%s/columns/training' has no run of model %s.other" % (DEV, space), "register_model", "--catalog", DEV, "--schema", "columns", "--model-name", "other")

    # ---- registering and validating ----
    def test_several_classes(self):
        space = DEV + ".several"
        self.make_schema(space)
        self.sql("""CREATE TABLE "{0}".ships AS SELECT x, y, (ARRAY['cargo', 'fishing', 'tanker', 'tug'])[1 + (x * 2)::int % 2 + 2 * ((x + y + random() / 4)::int % 2)] AS target
                    FROM (SELECT random() AS x, random() * 2 AS y FROM generate_series(1, 3000)) rows""".format(space))
        at = self.at("several")
        self.works("prepare_data", *at, "--source-table", "ships")
        done = self.works("train_model", *at, "--model-name", "ship", "--max-depth", "6", "--n-estimators", "150", "--learning-rate", "0.08", "--baseline-f1", "0.5")
        run_id = self.run_of(done)[0]
        self.check_metrics(run_id, space, "test_set", done)
        ((signature,),) = self.sql("SELECT signature FROM weir.experiment_runs WHERE run_id = %s", (run_id,))
        kinds = ["cargo", "fishing", "tanker", "tug"]
        self.assertEqual([signature["target"], signature["output"]], [{"name": "target", "classes": kinds}, {"name": "probabilities", "type": "double", "of": kinds}])
        place = at[:4]  # without the environment
        self.assertIn("REGISTERED_VERSION=1", self.works("register_model", *place, "--model-name", "ship").out)
        validated = self.works("validate_model", *place, "--model-name", "ship", "--sample-size", "50")
        self.assertIn("4 of 4 checks passed", validated.out)
        self.assertIn("✓ 3/4 inference works: 50 rows", validated.out)

    def test_a_killed_run_does_not_run_for_ever(self):
        at, space = self.at("killed"), DEV + ".killed"
        self.make_schema(space)
        self.sql('CREATE TABLE "%s".tx AS SELECT random() AS a, random() AS b, (random() < 0.4)::int AS target FROM generate_series(1, 100000)' % space)
        self.works("prepare_data", *at, "--source-table", "tx")
        statuses = lambda: self.sql("SELECT status, detail->>'message' FROM weir.runs WHERE pipeline = %s ORDER BY started_at", (space,))
        base = [os.environ["WEIR_BINARY"], "train_model", *at, "--model-name", "m"]
        victim, other = (subprocess.Popen([*base, "--n-estimators", "9000"], env=self.env(), stdout=subprocess.DEVNULL) for _ in range(2))
        deadline = time.monotonic() + 60
        while len(statuses()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(statuses(), [("running", None)] * 2)
        victim.kill()
        victim.wait()
        subprocess.run([*base, "--n-estimators", "3"], env=self.env(), stdout=subprocess.DEVNULL)
        self.assertEqual(sorted(statuses()), [("failed", "its process went away"), ("running", None), ("succeeded", None)])
        other.kill()
        other.wait()

    def test_which_run_is_registered(self):
        space = DEV + ".register"
        self.works("prepare_data", *self.at("register"))
        train = ["train_model", *self.at("register"), "--model-name", "m"]
        register = ["register_model", "--catalog", DEV, "--schema", "register", "--model-name", "m"]
        self.fails(2, "Experiment '/Shared/%s/register/training' not found" % DEV, *register)
        bad = self.run_weir(*train, "--baseline-f1", "1")
        self.assertEqual(bad.code, 1, bad)
        self.assertIn("does not beat the baseline 1", bad.out)
        self.fails(2, "--run-id %s registers it all the same" % self.run_of(bad)[0], *register)
        good = self.run_of(self.works(*train, "--n-estimators", 20))[0]
        self.run_weir(*train, "--baseline-f1", "1", "--n-estimators", 21)
        done = self.works(*register, "--description", "by hand", "--alias", "champion")
        self.assertTrue(done.out.endswith("\nREGISTERED_VERSION=1\n"), done)
        done = self.works(*register, "--run-id", self.run_of(bad)[0], "--alias", "champion", "--environment", "aut")
        self.assertTrue(done.out.endswith("\nREGISTERED_VERSION=2\n"), done)
        self.assertTrue(self.works(*register, "--run-id", good).out.endswith("\nREGISTERED_VERSION=1\n"), "the same model is the same version")
        self.assertEqual(self.sql("SELECT v.version, run_id, description = 'by hand', (SELECT value FROM weir.version_tags t WHERE t.pipeline = v.pipeline AND t.version = v.version AND name ="
                                  " 'environment') FROM weir.model_versions v JOIN weir.version_descriptions USING (pipeline, model, version) WHERE pipeline = %s ORDER BY 1", (space,)),
                         [(1, good, True, "dev"), (2, self.run_of(bad)[0], False, "aut")])
        self.assertEqual(self.sql("SELECT alias, from_version, to_version FROM weir.model_alias_history WHERE pipeline = %s ORDER BY id", (space,)),
                         [("champion", None, 1), ("champion", 1, 2), ("latest-model", None, 1)])
        self.fails(2, "Experiment '/nowhere' not found", *register, "--experiment-name", "/nowhere")
        self.fails(2, "there is no run 'abc123def456'", *register, "--run-id", "abc123def456")
        self.fails(2, "is of model %s.m, not of %s.n" % (space, space), *register[:-1], "n", "--run-id", good)
        named = self.run_of(self.works(*train, "--experiment-name", "/Shared/%s/mine" % DEV, "--n-estimators", 22))
        self.assertEqual(named[1], "/Shared/%s/mine" % DEV)
        self.assertIn(named[0], self.works(*register, "--experiment-name", "/Shared/%s/mine" % DEV).out)

    def test_validation_counts_checks(self):
        space = DEV + ".validate"
        self.works("prepare_data", *self.at("validate"))
        validate = ["validate_model", "--catalog", DEV, "--schema", "validate", "--model-name", "m"]
        done = self.run_weir(*validate)
        self.assertEqual((done.code, done.out.count("✗")), (1, 4), done)
        self.assertIn("✗ 1/4 model does not load: no model %s.m is registered\n" % space, done.out)
        self.works("train_model", *self.at("validate"), "--model-name", "m", "--n-estimators", 10)
        self.works("register_model", "--catalog", DEV, "--schema", "validate", "--model-name", "m")
        done = self.works(*validate, "--sample-size", "10", "--version", "1", "--alias", "latest-model")
        self.assertIn("✓ 3/4 inference works: 10 rows, probabilities from 0.", done.out)
        self.assertIn("model %s.m has no alias 'champion'; it has latest-model" % space, self.run_weir(*validate, "--alias", "champion").out)
        done = self.run_weir(*validate, "--version", "7")
        self.assertEqual(done.code, 1, done)
        self.assertIn("model %s.m has no version 7; it has 1" % space, done.out)
        done = self.works(*validate, "--test-table", "nothing")
        self.assertIn("✗ 3/4 inference fails: Table '%s.nothing' not found" % space, done.out)
        self.assertIn("valid: 3 of 4 checks passed, with a warning\n", done.out)
        ((signature, path),) = self.sql("SELECT signature, artifact_path FROM weir.model_versions WHERE pipeline = %s", (space,))
        self.sql("UPDATE weir.model_versions SET signature = %s WHERE pipeline = %s", (json.dumps(dict(signature, inputs=signature["inputs"][::-1])), space))
        self.assertIn("✗ 2/4 signature is not valid: input 1 of the signature is 'feature_9', of the model 'feature_0'", self.works(*validate).out)
        self.sql("UPDATE weir.model_versions SET signature = '{}', metrics = NULL WHERE pipeline = %s", (space,))
        done = self.run_weir(*validate)
        self.assertEqual((done.code, done.out.count("✗")), (1, 3), done)
        self.sql("UPDATE weir.model_versions SET signature = %s WHERE pipeline = %s", (json.dumps(signature), space))
        self.assertIn("✗ 4/4 metadata is incomplete: there is no metric test_f1", self.works(*validate).out)
        file = os.path.join(self.dir, "objects", path)
        with open(file, "r+b") as f:
            f.seek(-100, 2)
            f.write(b"damaged")
        done = self.run_weir(*validate)
        self.assertEqual(done.code, 1, done)
        self.assertIn("the artifact's checksum does not match its contents", done.out)
        os.remove(file)
        self.assertIn("No such file", self.run_weir(*validate).out)
        self.fails(2, "model_name is missing", "validate_model")
        done = self.run_weir("validate_model", "--model-name", "unheard_of")
        self.assertEqual(done.code, 1, done)
        self.assertIn("✗ 1/4 model does not load: no model 'unheard_of' is registered\n", done.out)

    # ---- stores ----
    def test_artifacts_may_be_kept_by_the_store_of_a_plugin(self):
        space = DEV + ".stored"
        self.make_transactions(space, "transactions", rows=400)
        place = os.path.join(self.dir, "stored")
        store = ["--plugins", os.path.join(os.environ.get("WEIR_BUILD", BIN), "plugins", "content_addressed.so"), "--objects-dir", "content://" + place]
        self.works("prepare_data", *self.at("stored"), "--source-table", space + ".transactions", "--train-table", "train_set", "--test-table", "test_set")
        done = self.works("train_model", *self.at("stored"), "--model-name", "kept", "--target-col", "target", *store)
        ((path,),) = self.sql("SELECT artifact_path FROM weir.experiment_runs WHERE run_id = %s", (self.run_of(done)[0],))
        with open(os.path.join(place, "names", path)) as f:
            digest = f.read()
        self.assertEqual(digest, self.digest_of(done))  # a model's digest is that of its bytes, and so is its name in this store
        with open(os.path.join(place, "bytes", digest), "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).hexdigest(), digest)
        self.works("register_model", *self.at("stored"), "--model-name", "kept", "--run-id", self.run_of(done)[0], *store)
        validate = ["validate_model", *self.at("stored")[:4], "--model-name", "kept", "--test-table", "test_set"]
        self.assertIn("✓ 1/4 model loads", self.works(*validate, *store).out)
        self.assertIn("No such file", self.run_weir(*validate).out)  # it is in no folder
        self.assertIn("there is no store 'content'", self.run_weir(*validate, *store[2:]).out)

    # ---- privileges ----
    def test_privileges_are_named_with_what_helps(self):
        user, space = TAG + "_user", DEV + ".guarded"
        url = re.sub(r"//[^@/]*@", "//%s@" % user, PG)
        self.sql('CREATE ROLE "%s" LOGIN' % user)
        self.make_transactions(space, "raw", rows=100)
        base = ["prepare_data", *self.at("guarded"), "--source-table", "raw"]

        def denied(message, command, *args):
            done = self.fails(3, "PermissionDenied: ", command, *args, WEIR_PG_URL=url)
            self.assertIn(message, done.err)
            return re.search(r"(GRANT .*) helps|(SELECT weir\.grant_lifecycle\([^)]*\))", done.err)

        while True:  # does what each message says until nothing is denied any more
            done = self.run_weir(*base, WEIR_PG_URL=url)
            if done.code == 0:
                break
            help_text = denied("", *base)
            self.sql(help_text.group(1) or help_text.group(2))
            self.asked = getattr(self, "asked", []) + [re.sub(r'"?%s\w*(\.\w+)*"?(\.\w+)?' % TAG, "X", help_text.group(0)).replace(" helps", "")]
            self.assertLess(len(self.asked), 9, self.asked)
        self.assertEqual(self.asked, ["SELECT weir.grant_lifecycle('X')", "GRANT USAGE ON SCHEMA X TO X", "GRANT SELECT ON X TO X", "GRANT USAGE, CREATE ON SCHEMA X TO X"])
        at = ["--catalog", DEV, "--schema", "guarded", "--model-name", "m"]
        self.works("train_model", *at, "--environment", "dev", "--n-estimators", 5, WEIR_PG_URL=url)
        self.works("register_model", *at, WEIR_PG_URL=url)
        self.works("validate_model", *at, WEIR_PG_URL=url)
        self.sql('CREATE SCHEMA "%s.other"; CREATE TABLE "%s.other".t AS SELECT 1 AS a' % (DEV, DEV))
        denied('user %s does not have USAGE on schema "%s.other"; GRANT USAGE ON SCHEMA "%s.other" TO %s helps' % (user, DEV, DEV, user), *base[:-1], DEV + ".other.t")
        denied("may not make it; GRANT CREATE ON DATABASE", "prepare_data", *self.at("new_one"))


EXAMPLE_1 = r"""#!/bin/bash
# Complete training pipeline for fraud detection model

CATALOG="mlops_dev"
SCHEMA="fraud_detection"
ENV="dev"
MODEL_NAME="fraud_detector_v2"
BASELINE_F1="0.82"

echo "Step 1: Prepare data..."
prepare_data \
  --catalog $CATALOG \
  --schema $SCHEMA \
  --environment $ENV \
  --source-table transactions \
  --test-size 0.2

echo "Step 2: Train model..."
train_model \
  --catalog $CATALOG \
  --schema $SCHEMA \
  --environment $ENV \
  --model-name $MODEL_NAME \
  --baseline-f1 $BASELINE_F1 \
  --max-depth 7 \
  --n-estimators 200 \
  --learning-rate 0.05

# Check if training succeeded (exit code 0)
if [ $? -eq 0 ]; then
    echo "Step 3: Register model..."
    register_model \
      --catalog $CATALOG \
      --schema $SCHEMA \
      --model-name $MODEL_NAME \
      --alias latest-model \
      --git-sha $(git rev-parse HEAD) \
      --environment $ENV

    echo "Step 4: Validate model..."
    validate_model \
      --catalog $CATALOG \
      --schema $SCHEMA \
      --model-name $MODEL_NAME \
      --alias latest-model

    if [ $? -eq 0 ]; then
        echo "✓ Training pipeline completed successfully!"
    else
        echo "✗ Model validation failed"
        exit 1
    fi
else
    echo "✗ Model did not improve baseline - skipping registration"
    exit 1
fi
"""

EXAMPLE_3 = r"""#!/bin/bash
# Complete training pipeline using Databricks Feature Store

CATALOG="mlops_dev"
SCHEMA="fraud_detection"
ENV="dev"
MODEL_NAME="fraud_detector_fs"

# Feature Store tables
FEATURE_TABLE="mlops_dev.features.user_transaction_features"
LABEL_TABLE="mlops_dev.labels.fraud_labels"

echo "Step 1: Prepare data from Feature Store..."
prepare_data \
  --catalog $CATALOG \
  --schema $SCHEMA \
  --environment $ENV \
  --feature-store-table $FEATURE_TABLE \
  --lookup-key user_id \
  --label-table $LABEL_TABLE \
  --label-column is_fraud \
  --test-size 0.2

echo "Step 2: Train model..."
train_model \
  --catalog $CATALOG \
  --schema $SCHEMA \
  --environment $ENV \
  --model-name $MODEL_NAME \
  --target-col is_fraud \
  --baseline-f1 0.75 \
  --max-depth 7 \
  --n-estimators 200 \
  --learning-rate 0.05

if [ $? -eq 0 ]; then
    echo "Step 3: Register model..."
    register_model \
      --catalog $CATALOG \
      --schema $SCHEMA \
      --model-name $MODEL_NAME \
      --alias latest-model \
      --git-sha $(git rev-parse HEAD) \
      --environment $ENV

    echo "Step 4: Validate model..."
    validate_model \
      --catalog $CATALOG \
      --schema $SCHEMA \
      --model-name $MODEL_NAME \
      --alias latest-model

    echo "✓ Feature Store training pipeline completed!"
else
    echo "✗ Model did not improve baseline"
    exit 1
fi
"""

EXAMPLE_4 = r"""# Register champion model
register_model \
  --catalog mlops_prod \
  --schema recommender \
  --model-name product_recommender \
  --alias champion \
  --environment prod

# Register challenger model
register_model \
  --catalog mlops_prod \
  --schema recommender \
  --model-name product_recommender_v2 \
  --alias challenger \
  --environment prod

# Validate both
validate_model --model-name product_recommender --alias champion
validate_model --model-name product_recommender_v2 --alias challenger
"""

if __name__ == "__main__":
    unittest.main()
