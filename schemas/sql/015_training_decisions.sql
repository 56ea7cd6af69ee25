-- Whether to train again: every answer, also the no's. The event of a decision, and the request of a yes, are sent from here; the id is made from its cause, so nothing is decided twice.
CREATE TABLE weir.training_decisions (
    decision_id   text PRIMARY KEY,
    pipeline      text NOT NULL,
    decided_at    timestamptz NOT NULL,
    cause         text NOT NULL CHECK (cause IN ('schedule', 'drift', 'performance', 'volume', 'manual', 'event')),
    cause_id      text NOT NULL,
    train         boolean NOT NULL,
    why           text NOT NULL,
    expected_gain double precision,
    expected_cost double precision,
    evidence      jsonb NOT NULL DEFAULT '{}',
    sent_at       timestamptz
);
CREATE INDEX training_decisions_by_pipeline ON weir.training_decisions (pipeline, decided_at DESC);
CREATE INDEX training_decisions_unsent ON weir.training_decisions (pipeline, decided_at) WHERE sent_at IS NULL;
