-- Drift: what the drift worker has counted, in slots of event time, and what it found.

-- How far a partition of a topic is counted. Rows and slots change in one transaction.
CREATE TABLE weir.drift_offsets (
    pipeline     text NOT NULL,
    stream       text NOT NULL, -- "features/<view>", "predictions", "labels"
    partition    integer NOT NULL,
    next_offset  bigint NOT NULL,
    epoch        bigint NOT NULL DEFAULT 0, -- of the features' writer: records of lower ones are void
    newest_at    timestamptz, -- newest event time; null: no record yet
    moved_at     timestamptz NOT NULL DEFAULT clock_timestamp(), -- when a record last came
    caught_up_at timestamptz, -- when the partition was last seen without a record that waits
    PRIMARY KEY (pipeline, stream, partition)
);

-- Profiles of the records whose event time lies in [slot_at, slot_at + triggers.drift.every). Bytes of features/drift.h; they are merged.
CREATE TABLE weir.drift_slots (
    pipeline  text NOT NULL,
    stream    text NOT NULL,
    slot_at   timestamptz NOT NULL,
    partition integer NOT NULL, -- -1: several partitions together, of a slot that was judged
    records   bigint NOT NULL,
    bytes     bytea NOT NULL,
    PRIMARY KEY (pipeline, stream, slot_at, partition)
);
ALTER TABLE weir.drift_slots ALTER COLUMN bytes SET STORAGE EXTERNAL; -- dense already

-- What the features of a version's training set were like.
CREATE TABLE weir.drift_references (
    pipeline text NOT NULL,
    model    text NOT NULL,
    version  integer NOT NULL,
    columns  text NOT NULL, -- that were asked for; other ones make it anew
    records  bigint NOT NULL,
    bytes    bytea NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (pipeline, model, version)
);

-- Every window that was judged. Events and alerts are sent from here, so each is sent, and a window is judged once.
CREATE TABLE weir.drift_results (
    drift_id         text PRIMARY KEY,
    pipeline         text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('features', 'predictions', 'labels')),
    cause            text NOT NULL, -- "window", or the schedule that asked
    window_from      timestamptz NOT NULL,
    window_to        timestamptz NOT NULL,
    judged_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    severity         text NOT NULL CHECK (severity IN ('skipped', 'none', 'low', 'high', 'critical')), -- skipped: too few records, or no reference
    reference        text,
    records          bigint NOT NULL,
    reference_records bigint NOT NULL DEFAULT 0,
    columns          integer NOT NULL DEFAULT 0,
    drifted          integer NOT NULL DEFAULT 0,
    share            double precision NOT NULL DEFAULT 0,
    false_alarm_rate double precision NOT NULL,
    detail           jsonb NOT NULL DEFAULT '{}',
    alert            text CHECK (alert IN ('firing', 'resolved')), -- a change of state that is to be told
    sent_at          timestamptz
);
CREATE INDEX drift_results_by_window ON weir.drift_results (pipeline, kind, window_to DESC);
CREATE INDEX drift_results_unsent ON weir.drift_results (pipeline, window_to) WHERE sent_at IS NULL;
