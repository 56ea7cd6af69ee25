-- Contextual routing: what each bucket of the context knows of every arm, and its shares (consumers/rollout_state.h). NULL: requests are routed all alike.
ALTER TABLE weir.rollouts ADD COLUMN buckets bytea;
