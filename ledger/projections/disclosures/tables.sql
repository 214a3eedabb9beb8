-- Opaque ids, times, offices, whether it was granted and whether exceptional stand in clear, as with the events. What an access
-- was for stands here as keyed tokens, which say nothing but that two are equal: each filter of the register is an index.
CREATE TABLE accesses (
    access_id uuid PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    granted boolean NOT NULL,
    exceptional boolean NOT NULL,
    actor uuid NOT NULL,
    office text NOT NULL,
    students integer NOT NULL,
    purpose bytea NOT NULL,
    legal_basis bytea NOT NULL,
    channel bytea NOT NULL,
    recipient bytea,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL
);
CREATE INDEX accesses_position ON accesses (position);
CREATE INDEX accesses_actor ON accesses (actor, position);
CREATE INDEX accesses_office ON accesses (office, position);
CREATE INDEX accesses_purpose ON accesses (purpose, position);
CREATE INDEX accesses_legal_basis ON accesses (legal_basis, position);
CREATE INDEX accesses_channel ON accesses (channel, position);
CREATE INDEX accesses_recipient ON accesses (recipient, position) WHERE recipient IS NOT NULL;
CREATE INDEX accesses_refused ON accesses (position) WHERE NOT granted;
CREATE INDEX accesses_exceptional ON accesses (position) WHERE exceptional;
-- The lean rows of an access follow it without a gap: those of its students are found by position, without an index more.
CREATE TABLE disclosed (
    student_id uuid NOT NULL,
    disclosed_at bigint NOT NULL,
    access_id uuid NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL,
    PRIMARY KEY (student_id, disclosed_at)
);
CREATE INDEX disclosed_position ON disclosed (disclosed_at);
