-- Backfills: what was published of the past ahead of live records. A row is written before the first record, and completed after the last was acknowledged.
CREATE TABLE weir.backfills (
    pipeline    text        NOT NULL,
    name        text        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    first       text        NOT NULL, -- 'topic partition offset' lines: where each partition ended before
    handover    text, -- the same: everything of the backfill is before these offsets
    finished_at timestamptz,
    PRIMARY KEY (pipeline, name)
);
