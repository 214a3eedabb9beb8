CREATE TABLE accesses (
    access_id uuid PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL
);
CREATE TABLE disclosed (
    student_id uuid NOT NULL,
    disclosed_at bigint NOT NULL,
    access_id uuid NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL,
    PRIMARY KEY (student_id, disclosed_at)
);
