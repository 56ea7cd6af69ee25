-- Rollouts of several challengers: the columns challenger_…, share, step_rows, left_out and evidence of weir.rollouts stay, and say what they said of the first one.
ALTER TABLE weir.rollouts DROP CONSTRAINT rollouts_step_check;
ALTER TABLE weir.rollouts ADD CONSTRAINT rollouts_step_check CHECK (step >= -1); -- −1: in shadow
ALTER TABLE weir.rollouts ADD COLUMN shadow boolean NOT NULL DEFAULT false; -- its challengers score beside the champion while they have no traffic
ALTER TABLE weir.rollouts ADD COLUMN winner integer; -- the slot that was promoted
ALTER TABLE weir.rollouts ADD COLUMN estimate bytea; -- of the champion's loss if it had all the traffic
UPDATE weir.rollouts SET winner = 0 WHERE state = 'promoted';

-- slot: 0 is "challenger", 1 "challenger-2", ….
CREATE TABLE weir.rollout_arms (
    rollout_id text NOT NULL REFERENCES weir.rollouts ON DELETE CASCADE,
    slot       integer NOT NULL CHECK (slot BETWEEN 0 AND 6),
    model      text NOT NULL,
    version    integer NOT NULL,
    digest     text NOT NULL,
    share      double precision NOT NULL CHECK (share BETWEEN 0 AND 1),
    stopped    boolean NOT NULL DEFAULT false,
    step_rows  double precision NOT NULL,
    left_out   double precision NOT NULL,
    evidence   bytea NOT NULL, -- the tests' states (consumers/rollout_state.h)
    PRIMARY KEY (rollout_id, slot)
);
INSERT INTO weir.rollout_arms SELECT rollout_id, 0, challenger_model, challenger_version, challenger_digest, share, false, step_rows, left_out, evidence FROM weir.rollouts;

ALTER TABLE weir.rollout_events ADD COLUMN arms jsonb NOT NULL DEFAULT '[]'; -- every challenger's version, share and shadow from then on
