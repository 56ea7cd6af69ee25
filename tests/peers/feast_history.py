"""Feast's get_historical_features on the inputs of asof.py, in one process: labels and views from Parquet files to a Parquet file (zstd).

    feast_history.py duckdb|dask INPUTS OUT TTL-DAYS

Prints seconds, CPU seconds and KiB of memory; what comes before the call, imports and the registry, does not count. The duckdb store leaves the work to DuckDB, the dask store to
pandas; both join every row of an entity with every label of it and then drop all but one. The dask store loses labels that have no row."""
import os, resource, sys, tempfile, time, warnings

os.environ["FEAST_USAGE"] = os.environ["FEAST_TELEMETRY"] = "False"
warnings.simplefilter("ignore")
from datetime import timedelta

import pandas as pd
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import Float64

kind, inputs, out, ttl = sys.argv[1], sys.argv[2], sys.argv[3], timedelta(days=float(sys.argv[4]))
FEATURES = {"a": [f"f{i:02d}" for i in range(15)], "b": [f"f{i:02d}" for i in range(15, 30)]}

with tempfile.TemporaryDirectory(prefix="weir-feast-") as folder:
    store = FeatureStore(config=RepoConfig(project="asof", provider="local", registry={"path": f"{folder}/registry.db", "cache_ttl_seconds": 0}, offline_store={"type": kind},
                                           online_store={"type": "sqlite", "path": f"{folder}/online.db"}, entity_key_serialization_version=3))
    entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.STRING)
    views = [FeatureView(name=v, entities=[entity], ttl=ttl, schema=[Field(name=f, dtype=Float64) for f in names],
                         source=FileSource(name="source_" + v, path=os.path.abspath(f"{inputs}/{v}.parquet"), timestamp_field="event_time")) for v, names in FEATURES.items()]
    store.apply([entity] + views)
    began, before = time.monotonic(), time.process_time()
    labels = pd.read_parquet(f"{inputs}/labels.parquet").rename(columns={"event_time": "event_timestamp"})
    table = store.get_historical_features(entity_df=labels, features=[f"{v}:{f}" for v, names in FEATURES.items() for f in names]).to_arrow()
    pq.write_table(table, out, compression="zstd")
    print(time.monotonic() - began, time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
