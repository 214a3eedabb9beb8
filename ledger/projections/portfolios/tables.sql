CREATE TABLE items (
    student_id uuid NOT NULL,
    item_id uuid NOT NULL,
    happened_on date NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL,
    PRIMARY KEY (student_id, item_id)
);
