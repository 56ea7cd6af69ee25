-- Tuning: studies, and their trials, which several workers run at once.

CREATE TABLE weir.studies (
    pipeline   text NOT NULL,
    name       text NOT NULL,
    definition jsonb NOT NULL, -- space, sampler, pruner, directions, budgets, seed: every worker has the same
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    began_at   timestamptz, -- of the first trial
    PRIMARY KEY (pipeline, name)
);

-- Numbers have no gaps: a trial is added under a lock on its study's row, by who has seen all those before it.
CREATE TABLE weir.trials (
    pipeline    text NOT NULL,
    study       text NOT NULL,
    number      integer NOT NULL CHECK (number >= 0),
    state       text NOT NULL CHECK (state IN ('running', 'complete', 'pruned', 'failed')),
    params      jsonb NOT NULL,
    objectives  double precision[], -- of a complete trial, as told
    cost        double precision NOT NULL DEFAULT 0,
    note        text NOT NULL DEFAULT '',
    worker      text NOT NULL, -- who runs it, or ran it last
    attempts    integer NOT NULL DEFAULT 1, -- workers it was given to
    lease_until timestamptz, -- a running trial is another's to take after this
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz,
    PRIMARY KEY (pipeline, study, number),
    FOREIGN KEY (pipeline, study) REFERENCES weir.studies (pipeline, name) ON DELETE CASCADE,
    CHECK ((state = 'running') = (ended_at IS NULL)),
    CHECK ((state = 'running') = (lease_until IS NOT NULL))
);
CREATE INDEX trials_by_lease ON weir.trials (pipeline, study, lease_until) WHERE state = 'running';

-- Intermediate values of the attempt that counts.
CREATE TABLE weir.trial_reports (
    pipeline text NOT NULL,
    study    text NOT NULL,
    number   integer NOT NULL,
    step     bigint NOT NULL CHECK (step >= 0),
    value    double precision NOT NULL, -- may be NaN
    PRIMARY KEY (pipeline, study, number, step),
    FOREIGN KEY (pipeline, study, number) REFERENCES weir.trials ON DELETE CASCADE
);
