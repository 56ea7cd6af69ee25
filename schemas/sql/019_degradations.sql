-- Versions that are, or were, worse on live rows than on their test rows. An event on weir.alerts is sent for each change of `firing`, from here, so that none is lost or told anew by a restart.
CREATE TABLE weir.degradations (
    alert_id   text PRIMARY KEY,
    pipeline   text NOT NULL,
    model      text NOT NULL,
    version    integer NOT NULL,
    arm        text NOT NULL,
    firing     boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    summary    text NOT NULL,
    detail     jsonb NOT NULL,
    sent_at    timestamptz
);
CREATE INDEX degradations_by_pipeline ON weir.degradations (pipeline);
