-- Drift by tenant: who is counted and judged beside all tenants together.

-- The first that came, as many as triggers.drift.tenants says: who is there keeps its number, so every worker counts the same tenants by themselves, before and after a restart.
CREATE TABLE weir.drift_tenants (
    pipeline text NOT NULL,
    number   integer NOT NULL CHECK (number >= 0), -- in the order in which they came
    tenant   text NOT NULL,
    named_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (pipeline, number),
    UNIQUE (pipeline, tenant)
);

-- '': the rest, and everything where tenants are not told apart. All rows of a slot together are the slot.
ALTER TABLE weir.drift_slots ADD COLUMN tenant text NOT NULL DEFAULT '';
ALTER TABLE weir.drift_slots DROP CONSTRAINT drift_slots_pkey;
ALTER TABLE weir.drift_slots ADD PRIMARY KEY (pipeline, stream, slot_at, partition, tenant);

-- '': of all tenants.
ALTER TABLE weir.drift_references ADD COLUMN tenant text NOT NULL DEFAULT '';
ALTER TABLE weir.drift_references DROP CONSTRAINT drift_references_pkey;
ALTER TABLE weir.drift_references ADD PRIMARY KEY (pipeline, model, version, tenant);

-- Null: all tenants together. false_alarm_rate is then that of the window, else the tenant's share of it.
ALTER TABLE weir.drift_results ADD COLUMN tenant text;
DROP INDEX weir.drift_results_by_window;
CREATE INDEX drift_results_by_window ON weir.drift_results (pipeline, kind, window_to DESC) WHERE tenant IS NULL;
CREATE INDEX drift_results_by_tenant ON weir.drift_results (pipeline, kind, tenant, judged_at DESC) WHERE tenant IS NOT NULL;
