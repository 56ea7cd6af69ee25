"""Point-in-time join beside polars join_asof and DuckDB ASOF JOIN: LABELS labels × ROWS rows × 30 features in two views, all three from the same Parquet files to a Parquet file
(zstd), on this machine in this run. Rows lie as `weir features compact` leaves them, a file a day; polars and DuckDB also get one file a view in order of time, which suits them
better, and the better of both counts. Weir's figures are those of the whole process, its start and its check of availability, corrections and tenants included; the others', which
are Python, begin after their imports. CPU seconds are what to compare on a machine that does other work too.

    ./run peers asof [--feast] [--labels N] [--rows N] [--entities N] [--runs N] [--only weir|duckdb|polars]… [--inputs FOLDER]

--feast: beside Feast's get_historical_features instead, with both of its stores that read files, without a TTL and with one of a day. Those join all rows of an entity before they
drop them, so their inputs are smaller. Prints medians and ratios; exit 1 when the results differ."""
import argparse, json, os, resource, shutil, statistics, subprocess, sys, tempfile, time

import duckdb
import psycopg2

p = argparse.ArgumentParser()
p.add_argument("--feast", action="store_true", help="Feast's historical retrieval instead of the joins")
p.add_argument("--labels", type=int, help="200000; with --feast 20000")
p.add_argument("--rows", type=int, help="of both views together; 2000000; with --feast 500000")
p.add_argument("--entities", type=int, help="100000; with --feast 1000")
p.add_argument("--runs", type=int, default=5)
p.add_argument("--memory", type=int, default=1024, help="MiB for weir features history")
p.add_argument("--only", action="append", help="what begins so: weir, duckdb, polars, feast, \"feast, duckdb\"")
p.add_argument("--inputs", help="folder of the inputs: made and kept when it is not there, else used again")
p.add_argument("--child", nargs=2, metavar=("WHAT", "OUT"), help=argparse.SUPPRESS)
args = p.parse_args()
args.labels = args.labels or (20_000 if args.feast else 200_000)
args.rows = args.rows or (500_000 if args.feast else 2_000_000)
args.entities = args.entities or (1_000 if args.feast else 100_000)

weir = os.environ.get("WEIR_BINARY") or "build/weir"
NAME, DAYS, VIEWS = "asofbench", 30, ("a", "b")
FEATURES = {"a": [f"f{i:02d}" for i in range(15)], "b": [f"f{i:02d}" for i in range(15, 30)]}
work = args.inputs or tempfile.mkdtemp(prefix="weir-asof-")
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


def pipeline(name, ttl=None):
    fields = [{"name": "entity", "type": "string"}, {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "x", "type": "double"}]
    with open(os.path.join(work, "event.avsc"), "w") as f:
        json.dump({"type": "record", "name": "event", "fields": fields}, f)
    views = [{"name": v, "entity": ["entity"], "at": "event", "features": [{"name": f, "op": "mean", "of": "x", "window": "1d"} for f in FEATURES[v]], **({"ttl": ttl} if ttl else {})}
             for v in VIEWS]
    with open(os.path.join(work, name), "w") as f:
        json.dump({"pipeline": NAME, "source": {"topic": NAME + ".events", "schema": "event.avsc", "key": ["entity"], "time": "event_time"}, "views": views}, f)


def manifest():
    subprocess.run([weir, "migrate"], check=True)
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
        import polars as pl
        left = pl.scan_parquet(labels).sort("event_time")
        for v in VIEWS:
            right = pl.scan_parquet(files[v], hive_partitioning=False).select(["entity", "event_time"] + [pl.col(prefix + f).alias(f) for f in FEATURES[v]])
            left = left.join_asof(right.sort("event_time"), on="event_time", by="entity", strategy="backward")
        left.collect().write_parquet(out, compression="zstd")
    return run


PEERS = {"duckdb, a file a day": run_duckdb(glob, "features_"), "duckdb, one file by time": run_duckdb(flat, ""),
         "polars, a file a day": run_polars(glob, "features_"), "polars, one file by time": run_polars(flat, "")}


def run_peer(name, out):
    """Prints seconds, CPU seconds and KiB of memory."""
    import polars  # noqa: F401, imports do not count
    began, before = time.monotonic(), time.process_time()
    PEERS[name](out)
    print(time.monotonic() - began, time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def in_child(what, out=""):
    """In a process of its own, for two reasons: its memory is its own, and this one stays small, because what a process held when it began another counts as that one's peak."""
    command = [sys.executable, "-W", "ignore", __file__, "--labels", str(args.labels), "--rows", str(args.rows), "--entities", str(args.entities), "--inputs", work, "--child", what, out]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def child(what, out):
    if what == "generate":
        generate()
    elif what == "manifest":
        manifest()
    elif what == "count":
        print(*(duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchone()[0] for path in (labels, flat["a"], flat["b"])))
    elif what == "digest":
        print(digest(out))
    elif what == "differ":
        print(differ(*out.split("|")))
    else:
        run_peer(what, out)


def run_feast(kind, ttl_days, out):
    python = os.path.join(os.environ["WEIR_PEERS_DIR"], "feast", "bin", "python")
    command = [python, "-W", "ignore", os.path.join(os.path.dirname(__file__), "feast_history.py"), kind, work, out, str(ttl_days)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(name, out, ttl_days=0):
    if name.startswith("feast"):
        return tuple(float(x) for x in run_feast(name.split()[-1], ttl_days, out).split())
    if name != "weir":
        return tuple(float(x) for x in in_child(name, out).split())
    began = time.monotonic()
    child = subprocess.Popen([weir, "features", "history", os.path.join(work, "ttl.json" if ttl_days else "pipeline.json"), "--labels", labels, "--objects-dir", objects, "--memory", str(args.memory), "--out", out],
                             stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"weir features history: exit status {child.returncode}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def digest(path):
    cols = ", ".join(f"bit_xor(hash(label_id, {f})), sum({f})::DECIMAL(30, 6), count({f})" for v in VIEWS for f in FEATURES[v])
    return duckdb.sql(f"SELECT count(*), {cols} FROM '{path}'").fetchone()


def differ(path, reference):
    """Rows of a result that the reference does not have, and those of the reference that are missing though they found something in every view."""
    cols = ", ".join(["label_id"] + [f for v in VIEWS for f in FEATURES[v]])
    found = " AND ".join(f"{FEATURES[v][0]} IS NOT NULL" for v in VIEWS)
    wrong = duckdb.sql(f"SELECT count(*) FROM (SELECT {cols} FROM '{path}' EXCEPT ALL SELECT {cols} FROM '{reference}')").fetchone()[0]
    return wrong + duckdb.sql(f"SELECT count(*) FROM (SELECT label_id FROM '{reference}' WHERE {found} EXCEPT ALL SELECT label_id FROM '{path}')").fetchone()[0]


def report(figures):
    medians = {name: [statistics.median(column) for column in zip(*runs)] for name, runs in figures.items()}
    ours = medians.get("weir")
    for name, (seconds, cpu, kib) in medians.items():
        ratios = f"  {seconds / ours[0]:5.2f} × weir's time, {cpu / ours[1]:5.2f} × its CPU" if ours and name != "weir" else ""
        print(f"  {name:26} {seconds:7.2f} s  {cpu:7.2f} CPU s  {kib / 1024:6.0f} MiB{ratios}")
    peers = [m for name, m in medians.items() if name != "weir"]
    if ours and peers:
        print(f"  weir / the best of the others: {ours[0] / min(m[0] for m in peers):.2f} of its time, {ours[1] / min(m[1] for m in peers):.2f} of its CPU")


def beside_feast(ttl_days):
    contenders = [name for name in ("weir", "feast, duckdb", "feast, dask") if not args.only or any(name.startswith(only) for only in args.only)]
    figures, wrong = {name: [] for name in contenders}, []
    out = {name: os.path.join(work, f"out-{n}.parquet") for n, name in enumerate(contenders)}
    for run in range(args.runs):
        for name in contenders:
            figures[name].append(measure(name, out[name], ttl_days))
            if not run and name != "weir" and "weir" in contenders and int(in_child("differ", f"{out[name]}|{out['weir']}")):
                wrong.append(name)
    print(f"ttl {ttl_days} days:" if ttl_days else "no ttl:")
    report(figures)
    print("results are equal, but for labels that a store of Feast's drops because a view has no row of theirs" if not wrong else f"results differ from weir's: {', '.join(wrong)}")
    return wrong


def main():
    if not os.path.exists(labels):
        os.makedirs(work, exist_ok=True)
        in_child("generate")
        pipeline("pipeline.json")
    if args.feast:
        pipeline("ttl.json", "1d")
        in_child("manifest")
        print(f"{args.labels} labels, {args.rows} rows, {args.entities} entities, 30 features, {os.cpu_count()} CPUs, medians of {args.runs}")
        return 1 if [wrong for ttl_days in (0, 1) for wrong in beside_feast(ttl_days)] else 0
    contenders = [name for name in ["weir", *PEERS] if not args.only or any(name.startswith(only) for only in args.only)]
    if "weir" in contenders:
        in_child("manifest")
    figures, digests, out = {name: [] for name in contenders}, {}, os.path.join(work, "out.parquet")
    for run in range(args.runs):
        for name in contenders:
            figures[name].append(measure(name, out))
            if not run:
                digests[name] = in_child("digest", out)
            os.unlink(out)
    label_count, *row_counts = (int(x) for x in in_child("count").split())
    print(f"{label_count} labels, {sum(row_counts)} rows, 30 features, {os.cpu_count()} CPUs, medians of {args.runs}")
    report(figures)
    wrong = [name for name in digests if digests[name] != digests[contenders[0]]]
    print("results are equal" if not wrong else f"results differ from {contenders[0]}'s: {', '.join(wrong)}")
    return 1 if wrong else 0


if args.child:
    child(*args.child)
    sys.exit(0)
try:
    code = main()
finally:
    if not args.inputs:
        shutil.rmtree(work)
sys.exit(code)
