-- Closed days of the offline store that are Parquet files: a row of a table is either in PostgreSQL or in one of these files. Files never change and are never removed by Weir;
-- the state after commit `version` is every file with a version up to it.
CREATE SEQUENCE weir.offline_version;
CREATE TABLE weir.offline_files (
    pipeline   text        NOT NULL,
    table_name text        NOT NULL, -- 'features_customer'
    tenant     text        NOT NULL,
    day        date        NOT NULL, -- of event time, UTC
    part       int4        NOT NULL, -- 1; later ones hold what came after the day was compacted
    version    int8        NOT NULL,
    path       text        NOT NULL, -- below the objects folder
    rows       int8        NOT NULL,
    first_time timestamptz, -- event time of its first row
    last_time  timestamptz,
    bytes      int8        NOT NULL,
    columns    text        NOT NULL, -- 'name type,name type,…' as in the file
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, table_name, day, tenant, part)
);
-- A tenant's login sees its own files only.
SELECT weir.protect('weir', 'offline_files');
