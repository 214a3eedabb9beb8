-- The transparency log: tiles, checkpoints, cosignatures, and the role of the sealer. Nothing here holds personal data.

-- One row a tile (C2SP tlog-tiles). The last tile of a level grows; what stands in it never changes. A partial tile of
-- any width is the beginning of its row, so none is stored twice. Entry bundles are made from the events themselves.
CREATE TABLE {schema}.log_tiles (
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    number bigint NOT NULL CHECK (number >= 0),
    hashes bytea NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    PRIMARY KEY (level, number)
);
ALTER TABLE {schema}.log_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Every checkpoint that was signed and published, as the note that is served.
CREATE TABLE {schema}.log_checkpoints (
    size bigint NOT NULL PRIMARY KEY CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note bytea NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The keys that have signed, as verifier keys. For convenience: whoever verifies compares with what was handed out.
CREATE TABLE {schema}.log_keys (
    verifier text NOT NULL PRIMARY KEY,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What witnesses said of a checkpoint: the signature line, by the text of the witness's verifier key.
CREATE TABLE {schema}.log_cosignatures (
    size bigint NOT NULL REFERENCES {schema}.log_checkpoints (size),
    witness text NOT NULL,
    line bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (size, witness)
);

-- Why the sealer has stopped, until it has been started again; no row while it works.
CREATE TABLE {schema}.log_alarm (
    reason text NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX log_alarm_one_row ON {schema}.log_alarm ((true));

CREATE FUNCTION {schema}.only_grow() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF NEW.level <> OLD.level OR NEW.number <> OLD.number
        OR octet_length(NEW.hashes) <= octet_length(OLD.hashes)
        OR substring(NEW.hashes FROM 1 FOR octet_length(OLD.hashes)) <> OLD.hashes THEN
        RAISE EXCEPTION 'A tile of the log only grows: change of tile %/% refused', OLD.level, OLD.number
            USING ERRCODE = 'LG001', HINT = 'The log is never changed.';
    END IF;
    RETURN NEW;
END;
$body$;

CREATE TRIGGER log_tiles_only_grow BEFORE UPDATE ON {schema}.log_tiles
    FOR EACH ROW EXECUTE FUNCTION {schema}.only_grow();
CREATE TRIGGER log_tiles_refuse_delete BEFORE DELETE ON {schema}.log_tiles
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER log_tiles_refuse_truncate BEFORE TRUNCATE ON {schema}.log_tiles
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER log_checkpoints_refuse_change BEFORE UPDATE OR DELETE ON {schema}.log_checkpoints
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER log_checkpoints_refuse_truncate BEFORE TRUNCATE ON {schema}.log_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER log_keys_refuse_change BEFORE UPDATE OR DELETE ON {schema}.log_keys
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER log_keys_refuse_truncate BEFORE TRUNCATE ON {schema}.log_keys
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER log_cosignatures_refuse_change BEFORE UPDATE OR DELETE ON {schema}.log_cosignatures
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER log_cosignatures_refuse_truncate BEFORE TRUNCATE ON {schema}.log_cosignatures
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();

DO $body$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{schema}_sealer') THEN
        CREATE ROLE {schema}_sealer NOLOGIN;
    END IF;
    GRANT {schema}_sealer TO CURRENT_USER;
END;
$body$;
GRANT USAGE ON SCHEMA {schema} TO {schema}_sealer;
REVOKE ALL ON FUNCTION {schema}.only_grow FROM PUBLIC;
GRANT SELECT ON {schema}.meta, {schema}.events TO {schema}_sealer;
GRANT SELECT, INSERT, UPDATE ON {schema}.log_tiles TO {schema}_sealer;
GRANT SELECT, INSERT ON {schema}.log_checkpoints, {schema}.log_keys, {schema}.log_cosignatures TO {schema}_sealer;
GRANT SELECT, INSERT, DELETE ON {schema}.log_alarm TO {schema}_sealer;
GRANT SELECT
    ON {schema}.log_tiles, {schema}.log_checkpoints, {schema}.log_keys, {schema}.log_cosignatures, {schema}.log_alarm
    TO {schema}_reader, {schema}_writer, {schema}_projector;
