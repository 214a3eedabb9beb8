-- An entry is a tenure, a mandate or a linked login; ids, days and kinds in clear, documents and reasons sealed.
CREATE TABLE entries (
    entry_id uuid PRIMARY KEY,
    person_id uuid NOT NULL,
    kind text NOT NULL,
    starts_on date NOT NULL,
    ends_on date,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL
);
CREATE INDEX ON entries (person_id);
