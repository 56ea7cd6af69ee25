-- Rollouts of challengers: one row each, which is changed together with what its evidence was made of and what is to be told, so that nothing is counted or told twice.
CREATE TABLE weir.rollouts (
    rollout_id         text PRIMARY KEY,
    pipeline           text NOT NULL,
    champion_model     text NOT NULL, -- when it began
    champion_version   integer NOT NULL,
    champion_digest    text NOT NULL,
    challenger_model   text NOT NULL,
    challenger_version integer NOT NULL,
    challenger_digest  text NOT NULL,
    state              text NOT NULL CHECK (state IN ('running', 'paused', 'promoted', 'rolled_back', 'aborted', 'kept')),
    reason             text NOT NULL,
    step               integer NOT NULL CHECK (step >= 0),
    share              double precision NOT NULL CHECK (share BETWEEN 0 AND 1),
    step_rows          double precision NOT NULL,
    left_out           double precision NOT NULL,
    evidence           bytea NOT NULL, -- the tests' states (consumers/rollout_state.h)
    settings           text NOT NULL, -- by which it is judged: under others its evidence means nothing
    known_to           timestamptz, -- when the newest outcome that was counted became known
    revision           integer NOT NULL DEFAULT 0, -- of its events
    aliases_due        boolean NOT NULL DEFAULT false, -- the aliases do not say yet what was decided
    started_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at           timestamptz
);
CREATE UNIQUE INDEX rollouts_active ON weir.rollouts (pipeline) WHERE state IN ('running', 'paused');
CREATE INDEX rollouts_by_pipeline ON weir.rollouts (pipeline, started_at DESC);

-- What was told of a rollout, and what was asked (type ask.…; answer says what became of it).
CREATE TABLE weir.rollout_events (
    event_id   text PRIMARY KEY,
    rollout_id text REFERENCES weir.rollouts ON DELETE CASCADE,
    pipeline   text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    type       text NOT NULL,
    state      text NOT NULL,
    share      double precision NOT NULL,
    actor      text NOT NULL,
    reason     text NOT NULL,
    evidence   jsonb NOT NULL DEFAULT '{}',
    answer     text,
    sent_at    timestamptz -- its event is in weir.rollouts
);
CREATE INDEX rollout_events_by_pipeline ON weir.rollout_events (pipeline, at DESC);
CREATE INDEX rollout_events_unsent ON weir.rollout_events (pipeline, at) WHERE sent_at IS NULL;

-- Whose outcome was counted: an entity, or where the arm is drawn by request a prediction's source. Gone when the rollout is over.
CREATE TABLE weir.rollout_outcomes (
    rollout_id text NOT NULL REFERENCES weir.rollouts ON DELETE CASCADE,
    unit       text NOT NULL,
    PRIMARY KEY (rollout_id, unit)
);
