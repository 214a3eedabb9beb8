-- A view has a row and a schema for each of its versions, and one more of each while it is being made (its shadow), so
-- that two versions of the ledger can work side by side and a rebuild that was killed knows how far it came.

ALTER TABLE {schema}.tracking
    ADD COLUMN shadow boolean NOT NULL DEFAULT false,
    ADD COLUMN failed_event uuid,
    ADD COLUMN failed_topic text,
    ADD COLUMN failed_error text;
-- The table has one row a view, so a key is made in no time.
-- squawk-ignore ban-drop-constraint
ALTER TABLE {schema}.tracking DROP CONSTRAINT tracking_pkey;
-- squawk-ignore constraint-missing-not-valid, adding-serial-primary-key-field
ALTER TABLE {schema}.tracking ADD CONSTRAINT tracking_pkey PRIMARY KEY (view, version, shadow);

DO $body$
DECLARE
    v_row record;
BEGIN
    FOR v_row IN SELECT view, version FROM {schema}.tracking LOOP
        IF to_regnamespace(format('{schema}_%s', v_row.view)) IS NOT NULL THEN
            EXECUTE format(
                'ALTER SCHEMA %I RENAME TO %I',
                '{schema}_' || v_row.view, format('{schema}_%s_v%s', v_row.view, v_row.version)
            );
        END IF;
    END LOOP;
END;
$body$;
