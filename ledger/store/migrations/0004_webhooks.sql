-- How far each webhook has been told, and the secrets that it signs with. Which webhooks there are, and who decided it,
-- stands in the history.

CREATE TABLE {schema}.webhooks (
    webhook_id uuid NOT NULL PRIMARY KEY,
    position bigint NOT NULL CHECK (position >= 0),
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failing_since timestamptz,
    next_attempt_at timestamptz,
    given_up_at timestamptz,
    failure text,
    resumed bigint NOT NULL DEFAULT 0
);

-- A secret for each registration and rotation, wrapped by the key-encryption key: the generation is that event's id.
CREATE TABLE {schema}.webhook_secrets (
    webhook_id uuid NOT NULL,
    generation uuid NOT NULL,
    epoch integer NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (webhook_id, generation)
);

GRANT SELECT ON {schema}.webhooks TO {schema}_writer, {schema}_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.webhooks TO {schema}_projector;
GRANT SELECT, INSERT ON {schema}.webhook_secrets TO {schema}_writer;
GRANT SELECT, INSERT, DELETE ON {schema}.webhook_secrets TO {schema}_projector;
