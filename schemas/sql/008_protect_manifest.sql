-- The list of compacted files is read by tenants' logins like a table of a pipeline, but is no partitioned one: a role weir_reader that was made after it was not granted it.
CREATE OR REPLACE FUNCTION weir.protect_all() RETURNS void LANGUAGE sql AS $$
    SELECT weir.protect('weir', 'offline_files');
    SELECT weir.protect(n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'p' AND 3 = (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('tenant', 'entity', 'source_offset') AND NOT a.attisdropped)
$$;
SELECT weir.protect_all();
