-- The ledger's own schema: events, idempotency, data keys, snapshots, tracking, roles and the append function.
-- {schema} is the ledger's schema; one school = one ledger = one schema. Run by the owner, once.

CREATE TABLE {schema}.meta (
    ledger_id uuid NOT NULL PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX meta_one_row ON {schema}.meta ((true));
INSERT INTO {schema}.meta (ledger_id) VALUES (gen_random_uuid());

-- Secrets that the service needs for ever (keyed hashes), wrapped by the key-encryption key.
CREATE TABLE {schema}.secrets (
    name text NOT NULL PRIMARY KEY,
    epoch integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE {schema}.events (
    position bigint NOT NULL PRIMARY KEY CHECK (position > 0),
    event_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    version integer NOT NULL CHECK (version > 0 OR version = 0 AND record_class = 'foreign'),
    subject_id uuid NOT NULL,
    topic text NOT NULL,
    recorded_at timestamptz NOT NULL,
    record_class text NOT NULL,
    algorithm smallint NOT NULL,
    key_commitment bytea NOT NULL,
    header bytea NOT NULL CHECK (octet_length(header) <= 2048),
    state bytea NOT NULL CHECK (octet_length(state) <= 61440),
    CONSTRAINT events_event_id UNIQUE (event_id),
    CONSTRAINT events_stream_version UNIQUE (stream_id, version)
);
-- States are ciphertext: compressing them costs time and gains nothing.
ALTER TABLE {schema}.events ALTER COLUMN state SET STORAGE EXTERNAL;
CREATE INDEX events_subject_position ON {schema}.events (subject_id, position);

-- Idempotency: the id is a keyed hash of (client, key), the request a keyed hash of its content. Kept for ever.
CREATE TABLE {schema}.commands (
    command_id bytea NOT NULL PRIMARY KEY,
    client uuid NOT NULL,
    request bytea NOT NULL,
    first_position bigint NOT NULL,
    count integer NOT NULL CHECK (count > 0)
);

CREATE TABLE {schema}.data_keys (
    subject_id uuid NOT NULL,
    record_class text NOT NULL,
    epoch integer NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (subject_id, record_class)
);

CREATE TABLE {schema}.snapshots (
    stream_id uuid NOT NULL PRIMARY KEY,
    version integer NOT NULL,
    subject_id uuid NOT NULL,
    kind text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    algorithm smallint NOT NULL,
    key_commitment bytea NOT NULL,
    sealed bytea NOT NULL
);

-- How far each view has come, and what stopped it.
CREATE TABLE {schema}.tracking (
    view text NOT NULL PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0,
    version integer NOT NULL,
    failed_position bigint,
    failed_at timestamptz,
    failure text
);

-- What the library's own recorder interface reads.
CREATE VIEW {schema}.stored_events AS
SELECT position AS notification_id, stream_id AS originator_id, version AS originator_version, topic, state
FROM {schema}.events;

CREATE FUNCTION {schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'The history of the ledger is never changed: % on %.% refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'LG001', HINT = 'Record a correction instead.';
END;
$body$;

CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE ON {schema}.events
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER events_refuse_truncate BEFORE TRUNCATE ON {schema}.events
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER commands_refuse_change BEFORE UPDATE OR DELETE ON {schema}.commands
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER commands_refuse_truncate BEFORE TRUNCATE ON {schema}.commands
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();

-- One writer at a time per ledger. The advisory lock ends with the transaction; it needs no right that an append-only
-- role should not have, and does not stall VACUUM as LOCK TABLE would.
CREATE FUNCTION {schema}.lock_appends() RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $body$
    SELECT pg_advisory_xact_lock((1279543122::bigint << 32) | ('{schema}'::regnamespace::oid::bigint & 4294967295));
$body$;

-- Appends a batch: everything or nothing. The outcome says why nothing was written:
--   appended   written; last_position is the position of the last event
--   empty      nothing to write, and nothing that was read has moved
--   moved      streams that the batch read or wrote have new events since p_seen: decide again (moved names them)
--   behind     p_seen is too old to say which streams moved: forget every cached lane
--   repeated   some commands were recorded before (repeated names them by ordinal)
--   keys       a data key of the batch exists by now: load it
--   went_back  the history is shorter than what the writer has seen: alarm
--   clock      the database clock is more than 60 s behind the last event: alarm
-- p_seen NULL skips the check of moved streams (the library's recorder, which checks versions only, and whose streams
-- may begin with 0). Otherwise a version of 0 is given here: the next of its stream.
CREATE FUNCTION {schema}.append(
    p_seen bigint,
    p_touched uuid[],
    p_event_id uuid[],
    p_stream_id uuid[],
    p_version integer[],
    p_subject_id uuid[],
    p_topic text[],
    p_record_class text[],
    p_algorithm smallint[],
    p_commitment bytea[],
    p_header bytea[],
    p_state bytea[],
    p_command bytea[],
    p_client uuid[],
    p_request bytea[],
    p_first integer[],
    p_count integer[],
    p_key_subject uuid[],
    p_key_class text[],
    p_key_epoch integer[],
    p_key_wrapped bytea[],
    OUT outcome text,
    OUT last_position bigint,
    OUT stored_at timestamptz,
    OUT moved uuid[],
    OUT repeated integer[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- Its plans are cached while the tables are small and must serve when they are large: every look-up goes by an index.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    v_last bigint;
    v_last_at timestamptz;
    v_events integer := cardinality(p_event_id);
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        RAISE EXCEPTION 'An acknowledged event must be durable: synchronous_commit is off'
            USING ERRCODE = 'LG002', HINT = 'Set synchronous_commit to on for the writer.';
    END IF;
    PERFORM {schema}.lock_appends();
    SELECT e.position, e.recorded_at INTO v_last, v_last_at
        FROM {schema}.events e ORDER BY e.position DESC LIMIT 1;
    last_position := coalesce(v_last, 0);
    IF p_seen IS NOT NULL THEN
        IF last_position < p_seen THEN
            outcome := 'went_back';
            RETURN;
        END IF;
        IF last_position - p_seen > 50000 THEN
            outcome := 'behind';
            RETURN;
        END IF;
        IF last_position > p_seen THEN
            -- Streams of disclosures are never loaded, so nobody's cache holds them.
            SELECT array_agg(DISTINCT e.stream_id) INTO moved
                FROM {schema}.events e WHERE e.position > p_seen AND e.record_class <> 'disclosures';
            IF moved && p_touched THEN
                outcome := 'moved';
                RETURN;
            END IF;
        END IF;
    END IF;
    IF cardinality(p_command) > 0 THEN
        SELECT array_agg(g.ord::integer) INTO repeated
            FROM unnest(p_command) WITH ORDINALITY AS g (id, ord)
            JOIN {schema}.commands c ON c.command_id = g.id;
        IF repeated IS NOT NULL THEN
            outcome := 'repeated';
            RETURN;
        END IF;
    END IF;
    IF v_events = 0 THEN
        outcome := 'empty';
        RETURN;
    END IF;
    stored_at := clock_timestamp();
    IF v_last_at IS NOT NULL THEN
        IF stored_at < v_last_at - interval '60 seconds' THEN
            outcome := 'clock';
            RETURN;
        END IF;
        stored_at := greatest(stored_at, v_last_at);
    END IF;
    IF cardinality(p_key_subject) > 0 THEN
        IF EXISTS (
            SELECT FROM unnest(p_key_subject, p_key_class) AS k (subject_id, record_class)
            JOIN {schema}.data_keys d USING (subject_id, record_class)
        ) THEN
            outcome := 'keys';
            RETURN;
        END IF;
        INSERT INTO {schema}.data_keys (subject_id, record_class, epoch, wrapped)
            SELECT * FROM unnest(p_key_subject, p_key_class, p_key_epoch, p_key_wrapped);
    END IF;
    IF p_seen IS NOT NULL AND 0 = ANY (p_version) THEN
        INSERT INTO {schema}.events (
            position, event_id, stream_id, version, subject_id, topic, recorded_at, record_class, algorithm,
            key_commitment, header, state
        )
        SELECT last_position + n.ord, n.event_id, n.stream_id,
            CASE WHEN n.version > 0 THEN n.version
                ELSE coalesce((SELECT max(x.version) FROM {schema}.events x WHERE x.stream_id = n.stream_id), 0)
                    + row_number() OVER (PARTITION BY n.stream_id ORDER BY n.ord) END,
            n.subject_id, n.topic, stored_at, n.record_class, n.algorithm, n.key_commitment, n.header, n.state
        FROM unnest(
            p_event_id, p_stream_id, p_version, p_subject_id, p_topic, p_record_class, p_algorithm, p_commitment,
            p_header, p_state
        ) WITH ORDINALITY AS n (
            event_id, stream_id, version, subject_id, topic, record_class, algorithm, key_commitment, header, state,
            ord
        )
        ORDER BY n.ord;
    ELSE
        INSERT INTO {schema}.events (
            position, event_id, stream_id, version, subject_id, topic, recorded_at, record_class, algorithm,
            key_commitment, header, state
        )
        SELECT last_position + n.ord, n.event_id, n.stream_id, n.version, n.subject_id, n.topic, stored_at,
            n.record_class, n.algorithm, n.key_commitment, n.header, n.state
        FROM unnest(
            p_event_id, p_stream_id, p_version, p_subject_id, p_topic, p_record_class, p_algorithm, p_commitment,
            p_header, p_state
        ) WITH ORDINALITY AS n (
            event_id, stream_id, version, subject_id, topic, record_class, algorithm, key_commitment, header, state,
            ord
        )
        ORDER BY n.ord;
    END IF;
    INSERT INTO {schema}.commands (command_id, client, request, first_position, count)
        SELECT c.id, c.client, c.request, last_position + c.first, c.count
        FROM unnest(p_command, p_client, p_request, p_first, p_count) AS c (id, client, request, first, count)
        WHERE c.count > 0;
    last_position := last_position + v_events;
    outcome := 'appended';
    PERFORM pg_notify('{schema}', last_position::text);
END;
$body$;

-- Roles: what each part of the service may do. None may change or remove an event; the writer cannot even insert one
-- but through append().
DO $body$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['{schema}_writer', '{schema}_reader', '{schema}_projector', '{schema}_eraser'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
        END IF;
        EXECUTE format('GRANT %I TO CURRENT_USER', v_role);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', '{schema}', v_role);
    END LOOP;
END;
$body$;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;
GRANT SELECT ON {schema}.meta, {schema}.tracking TO {schema}_writer, {schema}_reader, {schema}_projector, {schema}_eraser;
GRANT SELECT ON {schema}.secrets TO {schema}_writer, {schema}_projector;
GRANT SELECT ON {schema}.events, {schema}.stored_events, {schema}.commands, {schema}.data_keys TO {schema}_writer;
GRANT SELECT, INSERT, UPDATE ON {schema}.snapshots TO {schema}_writer;
GRANT EXECUTE ON FUNCTION {schema}.append, {schema}.lock_appends TO {schema}_writer;
GRANT SELECT ON {schema}.events, {schema}.data_keys TO {schema}_projector;
GRANT INSERT, UPDATE, DELETE ON {schema}.tracking TO {schema}_projector;
GRANT SELECT, DELETE ON {schema}.data_keys, {schema}.snapshots TO {schema}_eraser;
DO $body$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {schema}_projector', current_database()); END; $body$;
