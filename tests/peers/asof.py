"""Point-in-time join beside polars join_asof and DuckDB ASOF JOIN: LABELS labels × ROWS rows × 30 features in two views, all three from the same Parquet files to a Parquet file
(zstd), on this machine in this run. Rows lie as `weir features compact` leaves them, a file a day; polars and DuckDB also get one file a view in order of time, which suits them
better, and the better of both counts. Weir's time is that of the whole process, its check of availability, corrections and tenants included.

    . .weir/env.sh; .weir/python/bin/python tests/peers/asof.py [--labels N] [--rows N] [--runs N] [--weir build/weir]

Prints medians and ratios; exit 1 when the results differ."""
import argparse, json, os, resource, shutil, statistics, subprocess, sys, tempfile, time

try:
    import duckdb, polars as pl
except ImportError:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "duckdb==1.5.5", "polars"], check=True)
    import duckdb, polars as pl
import psycopg2

p = argparse.ArgumentParser()
p.add_argument("--labels", type=int, default=1_000_000)
p.add_argument("--rows", type=int, default=10_000_000, help="of both views together")
p.add_argument("--entities", type=int, default=100_000)
p.add_argument("--runs", type=int, default=5)
p.add_argument("--weir", default=os.path.join(os.environ.get("WEIR_BUILD", "build"), "weir"))
p.add_argument("--keep", action="store_true", help="leave the inputs where they are, and say where")
args = p.parse_args()

NAME, DAYS, VIEWS = "asofbench", 30, ("a", "b")
FEATURES = {"a": [f"f{i:02d}" for i in range(15)], "b": [f"f{i:02d}" for i in range(15, 30)]}
work = tempfile.mkdtemp(prefix="weir-asof-")
objects = os.path.join(work, "objects")
glob = {v: os.path.join(objects, NAME, f"features_{v}", "tenant=default", "*", "*.parquet") for v in VIEWS}
flat = {v: os.path.join(work, f"{v}.parquet") for v in VIEWS}
labels = os.path.join(work, "labels.parquet")


def generate():
    con = duckdb.connect()
    con.execute("SET TimeZone='UTC'; SELECT setseed(0.5)")
    start = "TIMESTAMPTZ '2024-01-01 00:00:00+00'"
    moment = f"{start} + to_microseconds((random() * {DAYS * 86400e6})::BIGINT)"
    for n, v in enumerate(VIEWS):
        con.execute(f"""CREATE TABLE t AS SELECT 'c' || (random() * {args.entities})::INT AS entity, {moment} AS event_time, row_number() OVER () AS source_offset,
            {', '.join(f'random() AS {f}' for f in FEATURES[v])} FROM range({args.rows // 2})""")
        # One row an entity and moment, so that which row is the newest is no matter of taste.
        con.execute("CREATE TABLE u AS SELECT DISTINCT ON (entity, event_time) * FROM t; DROP TABLE t")
        con.execute(f"COPY (SELECT entity, event_time, {', '.join(FEATURES[v])} FROM u ORDER BY event_time) TO '{flat[v]}' (FORMAT parquet, COMPRESSION zstd)")
        for day in range(DAYS):
            folder = os.path.join(objects, NAME, f"features_{v}", "tenant=default", f"day=2024-01-{day + 1:02d}")
            os.makedirs(folder)
            con.execute(f"""COPY (SELECT entity, event_time, event_time AS available_time, 0::INT AS source_partition, source_offset, source_offset AS seq, source_offset AS version,
                {', '.join(f'{f} AS features_{f}' for f in FEATURES[v])} FROM u WHERE event_time >= {start} + INTERVAL {day} DAY AND event_time < {start} + INTERVAL {day + 1} DAY
                ORDER BY entity, event_time) TO '{folder}/part-00001.parquet' (FORMAT parquet, COMPRESSION zstd)""")
        con.execute("DROP TABLE u")
    con.execute(f"""COPY (SELECT row_number() OVER () AS label_id, 'c' || (random() * {args.entities})::INT AS entity, {moment} AS event_time FROM range({args.labels}))
        TO '{labels}' (FORMAT parquet, COMPRESSION zstd)""")
    con.close()


def pipeline():
    fields = [{"name": "entity", "type": "string"}, {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "x", "type": "double"}]
    with open(os.path.join(work, "event.avsc"), "w") as f:
        json.dump({"type": "record", "name": "event", "fields": fields}, f)
    views = [{"name": v, "entity": ["entity"], "at": "event", "features": [{"name": f, "op": "mean", "of": "x", "window": "1d"} for f in FEATURES[v]]} for v in VIEWS]
    with open(os.path.join(work, "pipeline.json"), "w") as f:
        json.dump({"pipeline": NAME, "source": {"topic": NAME + ".events", "schema": "event.avsc", "key": ["entity"], "time": "event_time"}, "views": views}, f)


def manifest():
    subprocess.run([args.weir, "migrate"], check=True)
    with psycopg2.connect(os.environ["WEIR_PG_URL"]) as pg, pg.cursor() as c:
        c.execute("DELETE FROM weir.offline_files WHERE pipeline = %s", (NAME,))
        for v in VIEWS:
            columns = "entity text,event_time timestamptz,available_time timestamptz,source_partition integer,source_offset bigint,seq bigint,version bigint," + ",".join(
                f"features_{f} double precision" for f in FEATURES[v])
            for day in range(DAYS):
                d = f"2024-01-{day + 1:02d}"
                path = f"{NAME}/features_{v}/tenant=default/day={d}/part-00001.parquet"
                rows = duckdb.sql(f"SELECT count(*) FROM '{objects}/{path}'").fetchone()[0]
                c.execute("INSERT INTO weir.offline_files (pipeline, table_name, tenant, day, part, version, path, rows, bytes, columns) VALUES (%s, %s, 'default', %s, 1, 1, %s, %s, %s, %s)",
                          (NAME, f"features_{v}", d, path, rows, os.path.getsize(f"{objects}/{path}"), columns))


def run_weir(out):
    subprocess.run([args.weir, "features", "history", os.path.join(work, "pipeline.json"), "--labels", labels, "--objects-dir", objects, "--out", out], check=True, stderr=subprocess.DEVNULL)


def run_duckdb(files, prefix):
    def run(out):
        con = duckdb.connect()
        cols = ", ".join(f"v{n}.{prefix}{f} AS {f}" for n, v in enumerate(VIEWS) for f in FEATURES[v])
        joins = " ".join(f"ASOF LEFT JOIN read_parquet('{files[v]}') v{n} ON l.entity = v{n}.entity AND l.event_time >= v{n}.event_time" for n, v in enumerate(VIEWS))
        con.execute(f"COPY (SELECT l.*, {cols} FROM '{labels}' l {joins}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
        con.close()
    return run


def run_polars(files, prefix):
    def run(out):
        left = pl.scan_parquet(labels).sort("event_time")
        for v in VIEWS:
            right = pl.scan_parquet(files[v], hive_partitioning=False).select(["entity", "event_time"] + [pl.col(prefix + f).alias(f) for f in FEATURES[v]])
            left = left.join_asof(right.sort("event_time"), on="event_time", by="entity", strategy="backward")
        left.collect().write_parquet(out, compression="zstd")
    return run


def digest(path):
    cols = ", ".join(f"bit_xor(hash(label_id, {f})), sum({f})::DECIMAL(30, 6), count({f})" for v in VIEWS for f in FEATURES[v])
    return duckdb.sql(f"SELECT count(*), {cols} FROM '{path}'").fetchone()


def cpu():
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


def main():
    generate(), pipeline(), manifest()
    if args.keep:
        print("inputs are in", work)
    contenders = {"weir": run_weir, "duckdb, a file a day": run_duckdb(glob, "features_"), "duckdb, one file by time": run_duckdb(flat, ""),
                  "polars, a file a day": run_polars(glob, "features_"), "polars, one file by time": run_polars(flat, "")}
    times, cpus, digests = {n: [] for n in contenders}, {n: [] for n in contenders}, {}
    for run in range(args.runs):
        for name, go in contenders.items():
            out = os.path.join(work, "out.parquet")
            began, before = time.monotonic(), cpu()
            go(out)
            times[name].append(time.monotonic() - began)
            cpus[name].append(cpu() - before)
            if not run:
                digests[name] = digest(out)
            os.unlink(out)
    print(f"{args.labels} labels, {args.rows} rows, 30 features, duckdb {duckdb.__version__}, polars {pl.__version__}, {os.cpu_count()} CPUs, median of {args.runs}")
    ours = statistics.median(times["weir"])
    for name, t in times.items():
        m = statistics.median(t)
        print(f"  {name:26} {m:7.2f} s  ({min(t):.2f} to {max(t):.2f})  {args.labels / m / 1e3:8.0f} thousand labels/s  {m / ours:5.2f} × weir  {statistics.median(cpus[name]):6.2f} CPU s")
    print(f"  weir: at most {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB of memory")
    wrong = [n for n in digests if digests[n] != digests["weir"]]
    print("results are equal" if not wrong else f"results differ: {', '.join(wrong)}")
    return 1 if wrong else 0


try:
    code = main()
finally:
    if not args.keep:
        shutil.rmtree(work)
sys.exit(code)
