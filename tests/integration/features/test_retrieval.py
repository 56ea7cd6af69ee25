"""`weir features history` and `compact` against a search through everything: rows in disorder, known late, corrected, of several tenants, expired; in PostgreSQL, in files, and in
both; in little memory; under older schemas. The folder of files is read as it is by DuckDB-less pandas and by the program."""
import datetime, json, math, os, random, subprocess, sys, tempfile, unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from weirtest import BINARY, PG  # noqa: E402
import pandas as pd  # noqa: E402
import psycopg2  # noqa: E402
import psycopg2.extras  # noqa: E402

UTC = datetime.timezone.utc
START = datetime.datetime(2024, 3, 1, tzinfo=UTC)
DAY, HOUR = 86400, 3600
NAME = "retrieval%d" % os.getpid()
COLUMNS = ["tenant", "entity", "event_time", "available_time", "source_partition", "source_offset", "seq", "version"]


def moment(seconds):
    return START + datetime.timedelta(seconds=seconds)


def connect():
    return psycopg2.connect(PG)


def view(name, entity, features, **more):
    return dict({"name": name, "entity": [entity], "features": features}, **more)


READ = [{"name": "n_1h", "op": "count", "window": "1h"}, {"name": "sum_6h", "op": "sum", "of": "x", "window": "6h"}, {"name": "mean_1d", "op": "mean", "of": "x", "window": "1d"}]
STORED = [{"name": "level", "op": "mean", "of": "x", "window": "1h"}, {"name": "trend", "op": "sum", "of": "x", "window": "1h"}]


class World:
    """Tables as the store worker makes them, filled at random, and what they hold as Python values."""

    def __init__(self, seed=1, rows=3000, days=4):
        self.random = random.Random(seed)
        self.folder = tempfile.TemporaryDirectory()
        self.objects = os.path.join(self.folder.name, "objects")
        self.days = days
        self.write_schema([])
        self.write_pipeline()
        with connect() as pg, pg.cursor() as c:
            subprocess.run([BINARY, "migrate"], check=True)
            c.execute('DROP SCHEMA IF EXISTS "%s" CASCADE; CREATE SCHEMA "%s"' % (NAME, NAME))
            c.execute("DELETE FROM weir.offline_files WHERE pipeline = %s", (NAME,))
        self.rows = {"device": [], "site": []}
        self.create("device", "record_device text, record_site text, record_t timestamptz, record_x double precision", ["features_n_1h", "features_sum_6h", "features_mean_1d"])
        self.create("site", "record_device text, record_site text, record_t timestamptz, record_x double precision", ["features_level", "features_trend"])
        self.fill(rows)

    def close(self):
        with connect() as pg, pg.cursor() as c:
            c.execute('DROP SCHEMA "%s" CASCADE' % NAME)
            c.execute("DELETE FROM weir.offline_files WHERE pipeline = %s", (NAME,))
        self.folder.cleanup()

    def write_schema(self, more):
        fields = [{"name": "tenant", "type": "string"}, {"name": "device", "type": "string"}, {"name": "site", "type": "string"},
                  {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "x", "type": ["null", "double"]}] + more
        with open(os.path.join(self.folder.name, "event.avsc"), "w") as f:
            json.dump({"type": "record", "name": "event", "fields": fields}, f)

    def write_pipeline(self, device=READ, site=STORED, **site_more):
        self.path = os.path.join(self.folder.name, "p.json")
        with open(self.path, "w") as f:
            json.dump({"pipeline": NAME,
                       "source": {"topic": NAME + ".events", "schema": "event.avsc", "key": ["device"], "tenant": "tenant", "time": "t", "allowed_lateness": "10d", "aliases": {"SITE_NAME": "site"}},
                       "views": [view("device", "device", device), view("site", "site", site, at="event", ttl="12h", **site_more)]}, f)

    def create(self, name, record, features):
        with connect() as pg, pg.cursor() as c:
            c.execute('CREATE TABLE "%s"."features_%s" (tenant text NOT NULL, entity text NOT NULL, event_time timestamptz NOT NULL, available_time timestamptz NOT NULL, '
                      'source_partition integer NOT NULL, source_offset bigint NOT NULL, seq bigint, version bigint, %s, %s) PARTITION BY RANGE (event_time)'
                      % (NAME, name, record, ", ".join(f + " double precision" for f in features)))

    def partition(self, c, name, day):
        a, b = START + datetime.timedelta(days=day), START + datetime.timedelta(days=day + 1)
        c.execute('CREATE TABLE IF NOT EXISTS "%s"."features_%s_p%s" PARTITION OF "%s"."features_%s" FOR VALUES FROM (\'%s\') TO (\'%s\')'
                  % (NAME, name, a.strftime("%Y%m%d"), NAME, name, a.isoformat(), b.isoformat()))

    def insert(self, name, rows):
        with connect() as pg, pg.cursor() as c:
            for day in sorted({int(r["event"] // DAY) for r in rows}):
                self.partition(c, name, day)
            features = {"device": [], "site": ["features_level", "features_trend"]}[name]
            columns = COLUMNS + ["record_device", "record_site", "record_t", "record_x"] + features
            psycopg2.extras.execute_values(c, 'INSERT INTO "%s"."features_%s" (%s) VALUES %%s' % (NAME, name, ", ".join(columns)),
                                           [[r["tenant"], r["entity"], moment(r["event"]), moment(r["known"]), r["partition"], r["offset"], r["seq"], r["version"], r["device"], r["site"],
                                             moment(r["event"]) if r["device"] else None, r["x"]] + [r[f] for f in features] for r in rows], page_size=1000)
        self.rows[name] += rows

    def record(self, i, name, first=0.0):
        r = self.random
        device, site, event = "d%d" % r.randrange(12), "s%d" % r.randrange(5), int(r.uniform(first, self.days * DAY))
        return {"tenant": r.choice(["acme", "o'neill %"]), "entity": device if name == "device" else site, "device": device, "site": site, "event": event,
                "known": event + r.choice([0, 0, 0, r.randrange(9 * HOUR)]), "partition": r.randrange(3), "offset": i, "seq": i + 1, "version": i + 1,
                "x": r.choice([None, r.uniform(-5, 5)]), "features_level": r.uniform(0, 1), "features_trend": r.choice([None, r.uniform(0, 1)])}

    def fill(self, count):
        for name in self.rows:
            rows = [self.record(i, name) for i in range(count)]
            for i in range(count // 5 if name == "site" else 0):  # a record that came late changed what a later one had
                of = dict(self.random.choice(rows))
                of.update(version=count + 10 + i, known=of["known"] + self.random.randrange(5 * HOUR), device=None, site=None, x=None, features_level=self.random.uniform(1, 2))
                rows.append(of)
            self.random.shuffle(rows)
            self.insert(name, rows)

    def labels(self, count, seed=7):
        r = random.Random(seed)
        return pd.DataFrame([{"id": i, "tenant": r.choice(["acme", "o'neill %"]), "device": "d%d" % r.randrange(14), "SITE_NAME": "s%d" % r.randrange(6),
                              "t": moment(int(r.uniform(0, self.days * DAY + HOUR))), "note": "n%d" % i} for i in range(count)])

    # --- the search ---

    def expect(self, labels, as_of=None):
        return [dict(self.read(l, as_of), **self.stored(l, as_of)) for l in labels.to_dict("records")]

    def known(self, name, label, entity, as_of):
        t = (label["t"] - START).total_seconds()
        rows = [r for r in self.rows[name] if r["tenant"] == label["tenant"] and r["entity"] == entity and r["event"] <= t and r["known"] <= t and (as_of is None or r["known"] <= as_of)]
        return t, rows

    def read(self, label, as_of):
        t, rows = self.known("device", label, label["device"], as_of)
        rows.sort(key=lambda r: (r["event"], r["partition"], r["offset"]))

        def inside(hours):
            return [r["x"] for r in rows if r["event"] > t - hours * HOUR]
        numbers = [x for x in inside(24) if x is not None]
        six = [x for x in inside(6) if x is not None]
        return {"n_1h": float(len(inside(1))), "sum_6h": sum(six) if six else None, "mean_1d": sum(numbers) / len(numbers) if numbers else None}

    def stored(self, label, as_of):
        t, rows = self.known("site", label, label["SITE_NAME"], as_of)
        newest = max(rows, key=lambda r: (r["event"], r["partition"], r["offset"], r["version"]), default=None)
        if newest is None or t - newest["event"] > 12 * HOUR:
            return {"level": None, "trend": None}
        return {"level": newest["features_level"], "trend": newest["features_trend"]}

    # --- the program ---

    def run(self, *args, check=True):
        done = subprocess.run([BINARY, "features", args[0], self.path, "--objects-dir", self.objects] + list(args[1:]), capture_output=True, text=True)
        if check and done.returncode:
            raise AssertionError(done.stderr)
        return done

    def history(self, labels, *args, name="labels.parquet", out="out.parquet"):
        path, to = os.path.join(self.folder.name, name), os.path.join(self.folder.name, out)
        labels.to_parquet(path) if name.endswith("parquet") else labels.to_csv(path, index=False)
        self.run("history", "--labels", path, "--out", to, *args)
        return pd.read_parquet(to) if to.endswith("parquet") else pd.read_csv(to)


class Retrieval(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def check(self, got, labels, expected):
        self.assertEqual(list(got["id"]), list(labels["id"]))
        self.assertEqual(list(got["note"]), list(labels["note"]))
        for i, want in enumerate(expected):
            for name, value in want.items():
                seen = got[name].iloc[i]
                if value is None:
                    self.assertTrue(math.isnan(seen), (i, name, seen))
                elif name in ("level", "trend", "n_1h"):
                    self.assertEqual(seen, value, (i, name))
                else:
                    self.assertAlmostEqual(seen, value, delta=1e-9, msg=(i, name))

    def test_labels_get_what_was_known_then(self):
        labels = self.world.labels(600)
        self.check(self.world.history(labels), labels, self.world.expect(labels))
        as_of = 2 * DAY
        self.check(self.world.history(labels, "--as-of", moment(as_of).isoformat()), labels, self.world.expect(labels, as_of))

    def test_the_future_changes_nothing(self):
        labels = self.world.labels(300)
        labels = labels[labels["t"] <= moment(2 * DAY)]
        before = self.world.history(labels)
        extra = [self.world.record(100000 + i, "device", 2 * DAY + 1) for i in range(200)]
        self.world.insert("device", extra)
        self.world.insert("site", [dict(r, entity=r["site"]) for r in extra])
        pd.testing.assert_frame_equal(before, self.world.history(labels))

    def test_a_part_of_the_features_one_tenant_csv_and_a_table(self):
        labels = self.world.labels(300)
        got = self.world.history(labels, "--features", "trend,n_1h", "--tenant", "acme", name="labels.csv")
        mine = labels[labels["tenant"] == "acme"].reset_index(drop=True)
        expected = [{k: e[k] for k in ("trend", "n_1h")} for e in self.world.expect(mine)]
        self.assertEqual(list(got.columns), ["id", "tenant", "device", "SITE_NAME", "t", "note", "trend", "n_1h"])
        self.check(got, mine, expected)
        with connect() as pg, pg.cursor() as c:
            c.execute('CREATE TABLE "%s".asked (id bigint, tenant text, device text, site text, t timestamptz, note varchar)' % NAME)
            psycopg2.extras.execute_values(c, 'INSERT INTO "%s".asked VALUES %%s' % NAME, mine.values.tolist())
        out = os.path.join(self.world.folder.name, "out.csv")
        self.world.run("history", "--labels", NAME + ".asked", "--out", out, "--features", "trend,n_1h")
        self.check(pd.read_csv(out), mine, expected)

    def test_what_is_wrong_is_said(self):
        labels = self.world.labels(10)
        for frame, args, words in ((labels.drop(columns=["device"]), [], "no column 'device'"), (labels, ["--features", "levl"], 'did you mean "level"'),
                                   (labels.rename(columns={"note": "level"}), [], "rename the column"), (labels.assign(t="soon"), [], "10 rows have no time")):
            path = os.path.join(self.world.folder.name, "l.csv")
            frame.to_csv(path, index=False)
            done = self.world.run("history", "--labels", path, "--out", os.path.join(self.world.folder.name, "o.parquet"), *args, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)

    def folder_rows(self, view):
        return pd.read_parquet(os.path.join(self.world.objects, NAME, "features_" + view))

    def test_compacted_days_give_the_same_and_are_readable_as_they_are(self):
        labels = self.world.labels(400)
        before = self.world.history(labels)
        self.world.run("compact")
        pd.testing.assert_frame_equal(before, self.world.history(labels))
        rows = self.folder_rows("site")
        self.assertEqual(len(rows), len(self.world.rows["site"]))
        self.assertEqual(sorted(rows["tenant"].astype(str).unique()), ["acme", "o'neill %"])
        self.assertEqual(sorted(rows["features_level"]), sorted(r["features_level"] for r in self.world.rows["site"]))
        with connect() as pg, pg.cursor() as c:
            c.execute('SELECT count(*) FROM "%s".features_site' % NAME)
            self.assertEqual(c.fetchone()[0], 0)
        # What comes for a compacted day is a further part; what comes again is not.
        late = [self.world.record(50000 + i, "site") for i in range(100)]
        again = [dict(r) for r in self.world.rows["site"][:50]]
        self.world.insert("site", late)
        self.world.insert("site", again)
        self.world.rows["site"] = self.world.rows["site"][:-50]
        self.check(self.world.history(labels), labels, self.world.expect(labels))
        self.world.run("compact")
        self.check(self.world.history(labels), labels, self.world.expect(labels))
        self.assertEqual(len(self.folder_rows("site")), len(self.world.rows["site"]))

    def test_files_that_a_crash_left_are_written_over(self):
        self.world.run("compact")
        with connect() as pg, pg.cursor() as c:  # as after a crash before the commit: files are there, the manifest and the partitions are as they were
            c.execute("DELETE FROM weir.offline_files WHERE pipeline = %s", (NAME,))
        for name in ("device", "site"):
            rows, self.world.rows[name] = self.world.rows[name], []
            self.world.insert(name, rows)
        labels = self.world.labels(200)
        self.check(self.world.history(labels), labels, self.world.expect(labels))
        self.world.run("compact")
        self.assertEqual(len(self.folder_rows("device")), len(self.world.rows["device"]))
        self.check(self.world.history(labels), labels, self.world.expect(labels))

    def test_older_schemas_still_read(self):
        labels = self.world.labels(200)
        expected = self.world.expect(labels)
        self.world.run("compact")
        # A feature renamed, one added; an event column that is new and has a default.
        self.world.write_schema([{"name": "weight", "type": "double", "default": 2.0}])
        self.world.write_pipeline(device=READ + [{"name": "weighted", "op": "sum", "of": "x * weight", "window": "6h"}],
                                  site=[dict(STORED[0], name="height", was="level"), STORED[1], {"name": "fresh", "op": "count", "window": "1h"}])
        got = self.world.history(labels)
        self.assertTrue(got["fresh"].isna().all())
        for e in expected:
            e["height"] = e.pop("level")
            e["weighted"] = None if e["sum_6h"] is None else 2 * e["sum_6h"]
        self.check(got.rename(columns={}), labels, expected)

    def test_bytes_that_are_text_by_now(self):
        with connect() as pg, pg.cursor() as c:
            c.execute('ALTER TABLE "%s".features_device ADD COLUMN record_note bytea' % NAME)
            c.execute('UPDATE "%s".features_device SET record_note = %%s WHERE record_x IS NOT NULL' % NAME, ("Zoë".encode(),))
            c.execute('UPDATE "%s".features_device SET record_note = %%s WHERE record_x IS NULL' % NAME, ("x".encode(),))
        self.world.write_schema([{"name": "note", "type": "string"}])
        self.world.write_pipeline(device=READ + [{"name": "noted", "op": "count", "where": "note == 'Zoë'", "window": "1h"}, {"name": "valued", "op": "count", "where": "x == x", "window": "1h"}])
        labels = self.world.labels(300)
        for _ in range(2):
            got = self.world.history(labels, "--features", "noted,valued")
            self.assertGreater(got["noted"].max(), 0)
            pd.testing.assert_series_equal(got["noted"], got["valued"], check_names=False)
            self.world.run("compact")

    def test_little_memory_gives_the_same(self):
        labels = pd.concat([self.world.labels(400)] * 3, ignore_index=True)
        pd.testing.assert_frame_equal(self.world.history(labels), self.world.history(labels, "--memory", "128"))


if __name__ == "__main__":
    unittest.main()
