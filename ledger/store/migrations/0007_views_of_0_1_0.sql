-- 0.1.0 names a view's schema without a version, and migration 3 took that name away. While its processes are replaced
-- they read the first versions of the views, which their own projector goes on following, through SQL views of that
-- name. Not the newer versions: a sealed row is bound to its columns, so 0.1.0 could open none that has others.
-- The schemas belong to the owner, so that `ledger rebuild` of 0.1.0 is refused instead of parting one of them from its
-- tables; the SQL views belong to the projector, which points them to what it has rebuilt (`projections/unversioned.py`).

-- It looks for a view's position by its name alone, as its projector does (migration 5).
ALTER POLICY tracking_read ON {schema}.tracking
    USING (version = 1 AND NOT shadow OR current_setting('ledger.knows_view_versions', true) = 'on');

DO $body$
DECLARE
    v_name text;
    v_table text;
BEGIN
    FOR v_name IN SELECT '{schema}_' || view FROM {schema}.tracking WHERE version = 1 AND NOT shadow LOOP
        CONTINUE WHEN to_regnamespace(v_name || '_v1') IS NULL OR to_regnamespace(v_name) IS NOT NULL;
        EXECUTE format('CREATE SCHEMA %I', v_name);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {schema}_reader', v_name);
        EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO {schema}_projector', v_name);
        FOR v_table IN SELECT tablename FROM pg_tables WHERE schemaname = v_name || '_v1' LOOP
            EXECUTE format('CREATE VIEW %I.%I AS SELECT * FROM %I.%I', v_name, v_table, v_name || '_v1', v_table);
            EXECUTE format('ALTER VIEW %I.%I OWNER TO {schema}_projector', v_name, v_table);
            EXECUTE format('GRANT SELECT ON %I.%I TO {schema}_reader', v_name, v_table);
        END LOOP;
    END LOOP;
END;
$body$;
