CREATE TABLE requests (
    student_id uuid NOT NULL,
    request_id uuid NOT NULL,
    received_on date NOT NULL,
    due_on date NOT NULL,
    answered_on date,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL,
    PRIMARY KEY (student_id, request_id)
);
CREATE INDEX requests_open ON requests (due_on, request_id) WHERE answered_on IS NULL;
CREATE INDEX requests_answered ON requests (due_on, request_id) WHERE answered_on IS NOT NULL;
