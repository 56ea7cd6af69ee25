-- Tenants do not mix: who may read whose rows.
--
-- Every tenant has a role of the database (weir_tenant_<name>, made by `weir tenants add`), a member of weir_reader. A login that is a member of a tenant's role reads that
-- tenant's rows of the offline store and no others: row-level security, so that it holds for every query and every client. The owner of the tables (what the workers log in
-- as) is not bound by it. Partitions are not granted to anybody: they are read through their table only.

CREATE TABLE weir.tenants (
    tenant     text PRIMARY KEY CHECK (tenant <> '' AND tenant <> '*' AND position('/' in tenant) = 0),
    role       name NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Tokens of the HTTP API: only their SHA-256 is kept.
CREATE TABLE weir.tokens (
    token_id   text PRIMARY KEY,
    tenant     text NOT NULL, -- '*': every tenant
    access     text NOT NULL CHECK (access IN ('read', 'write')), -- write: may also push
    sha256     bytea NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    doc        text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

-- The tenants whose role this role is, or is a member of. The caller may not read weir.tenants itself.
CREATE FUNCTION weir.tenants_of(who name) RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT t.tenant FROM weir.tenants t WHERE EXISTS (SELECT FROM pg_roles r WHERE r.rolname = t.role) AND pg_has_role(who, t.role, 'member') $$;

-- Puts a table that has a column tenant under row-level security and lets weir_reader read what its policy leaves. Does nothing when that is so already.
CREATE FUNCTION weir.protect(in_schema text, in_table text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    at regclass := format('%I.%I', in_schema, in_table)::regclass;
BEGIN
    IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = at) THEN
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', at);
        EXECUTE format('CREATE POLICY weir_tenant ON %s FOR SELECT USING (tenant IN (SELECT weir.tenants_of(current_user)))', at);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'weir_reader') AND NOT (has_table_privilege('weir_reader', at, 'SELECT') AND has_schema_privilege('weir_reader', in_schema, 'USAGE')) THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO weir_reader', in_schema);
        EXECUTE format('GRANT SELECT ON %s TO weir_reader', at);
    END IF;
END $$;

-- The tables of every pipeline: those that have the policy, or are partitioned and have the columns of the offline store.
CREATE FUNCTION weir.protect_all() RETURNS void LANGUAGE sql AS $$
    SELECT weir.protect(n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'p' AND 3 = (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('tenant', 'entity', 'source_offset') AND NOT a.attisdropped)
$$;
REVOKE EXECUTE ON FUNCTION weir.protect(text, text), weir.protect_all() FROM PUBLIC;
SELECT weir.protect_all();
