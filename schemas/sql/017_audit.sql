-- The audit log: who did what to models, aliases, runs and decisions to train. It only grows, and every row carries the SHA-256 of itself and the row before, so that a row that is
-- changed, removed or put in between is noticed by whoever computes the chain again (weir audit verify). It refers to no other table: what it tells of may be gone.
CREATE TABLE weir.audit_log (
    seq      bigint PRIMARY KEY, -- 1, 2, 3, …
    at       timestamptz NOT NULL,
    actor    text NOT NULL,
    action   text NOT NULL, -- "version.added"
    pipeline text, -- null: of none
    subject  text NOT NULL, -- "fraud-xgb/3"
    detail   jsonb NOT NULL,
    previous text NOT NULL, -- hash of the row before; of the first one 64 zeros
    hash     text NOT NULL -- hex SHA-256 of weir.audit_text
);
CREATE INDEX audit_log_by_pipeline ON weir.audit_log (pipeline, seq DESC);

-- Where the chain ends: rows that were cut off at its end are missed here. Its row is the lock of all writers.
CREATE TABLE weir.audit_head (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq  bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO weir.audit_head (seq, hash) VALUES (0, repeat('0', 64));

-- The text that is hashed: an array of all fields as jsonb prints it, which no two different rows share.
CREATE FUNCTION weir.audit_text(seq bigint, at timestamptz, actor text, action text, pipeline text, subject text, detail jsonb, previous text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_array(seq, (extract(epoch FROM at) * 1000000)::bigint, actor, action, pipeline, subject, detail, previous)::text
$$;

-- Appends a row. Writers take turns from here until their transaction ends.
CREATE FUNCTION weir.audit(new_actor text, new_action text, new_pipeline text, new_subject text, new_detail jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head weir.audit_head;
    now_at timestamptz;
    row_hash text;
BEGIN
    SELECT * INTO STRICT head FROM weir.audit_head FOR UPDATE;
    now_at := clock_timestamp();
    row_hash := encode(sha256(convert_to(weir.audit_text(head.seq + 1, now_at, new_actor, new_action, new_pipeline, new_subject, new_detail, head.hash), 'UTF8')), 'hex');
    INSERT INTO weir.audit_log (seq, at, actor, action, pipeline, subject, detail, previous, hash)
        VALUES (head.seq + 1, now_at, new_actor, new_action, new_pipeline, new_subject, new_detail, head.hash, row_hash);
    UPDATE weir.audit_head SET seq = head.seq + 1, hash = row_hash;
    RETURN head.seq + 1;
END $$;
REVOKE EXECUTE ON FUNCTION weir.audit(text, text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION weir.audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME LIKE 'audit\_%' THEN
        RAISE EXCEPTION 'weir.% only grows: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
    END IF;
    RAISE EXCEPTION '% of weir.% is refused: rows that are deleted are told to the audit log', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON weir.audit_log FOR EACH STATEMENT EXECUTE FUNCTION weir.audit_refuse();
CREATE TRIGGER refuse BEFORE DELETE OR TRUNCATE ON weir.audit_head FOR EACH STATEMENT EXECUTE FUNCTION weir.audit_refuse();
ALTER TABLE weir.audit_log ENABLE ALWAYS TRIGGER refuse;
ALTER TABLE weir.audit_head ENABLE ALWAYS TRIGGER refuse;

-- Tells a change of a row. Arguments: kind, columns of the subject, columns of the detail ("#lineage": only the SHA-256 of what it holds, for what is long).
CREATE FUNCTION weir.audit_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    verb text := CASE TG_OP WHEN 'INSERT' THEN 'added' WHEN 'UPDATE' THEN 'changed' ELSE 'removed' END;
    data jsonb := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
    subject text;
    detail jsonb;
BEGIN
    SELECT string_agg(data ->> c, '/' ORDER BY n) INTO subject FROM unnest(string_to_array(TG_ARGV[1], ',')) WITH ORDINALITY AS s (c, n);
    SELECT coalesce(jsonb_object_agg(ltrim(c, '#'), CASE WHEN c LIKE '#%' THEN to_jsonb('sha256:' || encode(sha256(convert_to(data ->> ltrim(c, '#'), 'UTF8')), 'hex'))
                                                    ELSE data -> c END), '{}')
        INTO detail FROM unnest(string_to_array(TG_ARGV[2], ',')) AS d (c);
    PERFORM weir.audit(CASE WHEN TG_OP = 'INSERT' AND data ? 'actor' THEN data ->> 'actor' ELSE session_user::text END, TG_ARGV[0] || '.' || verb, data ->> 'pipeline',
                       coalesce(subject, ''), detail);
    RETURN NULL;
END $$;

-- Has changes of a table told: rows that are added, removed, and changed so that changed_when holds of OLD and NEW. Deferred to the commit, behind every other lock that the transaction
-- takes, so that the turn is short and cannot be part of a deadlock. (A migration that changes rows of such a table and then its shape says SET CONSTRAINTS ALL IMMEDIATE in between.)
CREATE FUNCTION weir.audit_table(table_name regclass, kind text, subject_columns text, detail_columns text, changed_when text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR DELETE ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION weir.audit_row(%L, %L, %L)',
                   table_name, kind, subject_columns, detail_columns);
    EXECUTE format('CREATE TRIGGER audit_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION weir.audit_refuse()', table_name);
    IF changed_when IS NOT NULL THEN
        EXECUTE format('CREATE CONSTRAINT TRIGGER audit_change AFTER UPDATE ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (%s) EXECUTE FUNCTION weir.audit_row(%L, %L, %L)',
                       table_name, changed_when, kind, subject_columns, detail_columns);
    END IF;
END $$;
REVOKE EXECUTE ON FUNCTION weir.audit_table(regclass, text, text, text, text) FROM PUBLIC;

-- What was there before the log began.
SELECT weir.audit(session_user::text, 'log.opened', NULL, 'audit_log',
                  jsonb_build_object('runs', (SELECT count(*) FROM weir.runs), 'versions', (SELECT count(*) FROM weir.model_versions),
                                     'alias_moves', (SELECT count(*) FROM weir.alias_history), 'decisions', (SELECT count(*) FROM weir.training_decisions)));
SELECT weir.audit_table('weir.alias_history', 'alias', 'alias', 'from_model,from_version,to_model,to_version,reason,verdict,undoes,moved_at', 'OLD.* IS DISTINCT FROM NEW.*');
SELECT weir.audit_table('weir.model_versions', 'version', 'model,version',
                        'algorithm,semver,run_id,digest,artifact_path,feature_hash,dataset_digest,#lineage,#signature,deleted_at',
                        'OLD.deleted_at IS DISTINCT FROM NEW.deleted_at OR OLD.digest IS DISTINCT FROM NEW.digest OR OLD.lineage IS DISTINCT FROM NEW.lineage'
                        ' OR OLD.signature IS DISTINCT FROM NEW.signature');
SELECT weir.audit_table('weir.runs', 'run', 'id', 'status,code_version,#request,started_at,ended_at', 'OLD.status IS DISTINCT FROM NEW.status');
SELECT weir.audit_table('weir.training_decisions', 'decision', 'decision_id', 'cause,cause_id,train,why,#evidence,decided_at',
                        'OLD.train IS DISTINCT FROM NEW.train OR OLD.why IS DISTINCT FROM NEW.why OR OLD.evidence IS DISTINCT FROM NEW.evidence');
