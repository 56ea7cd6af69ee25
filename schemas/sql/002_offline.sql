-- How far each sink has got, written in the transaction that writes the rows: what is in the tables is exactly what lies before next_offset.
CREATE SCHEMA IF NOT EXISTS weir;
CREATE TABLE weir.sink_offsets (
    pipeline    text        NOT NULL,
    sink        text        NOT NULL,
    topic       text        NOT NULL,
    partition   int4        NOT NULL,
    next_offset int8        NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, sink, topic, partition)
) WITH (fillfactor = 50); -- updated with every flush: room for the new version on the same page
