-- What troubles the log and proves nothing: what a witness claims and cannot show, a sealer that will not start. A row
-- stands until the trouble is over; one that the operator has looked into (`settled_at`) is kept, so that the same words
-- are not told again.
CREATE TABLE {schema}.log_troubles (
    source text NOT NULL PRIMARY KEY,
    said text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz,
    settled_why text CHECK ((settled_why IS NULL) = (settled_at IS NULL))
);
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.log_troubles TO {schema}_sealer;
GRANT SELECT ON {schema}.log_troubles TO {schema}_reader, {schema}_writer, {schema}_projector;
