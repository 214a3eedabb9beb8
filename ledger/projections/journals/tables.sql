CREATE TABLE entries (
    entry_id uuid PRIMARY KEY,
    course_id uuid NOT NULL,
    student_id uuid NOT NULL,
    work_id uuid,
    effective_on date NOT NULL,
    since bigint NOT NULL, -- position of the event that made the row
    version integer NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL
);
CREATE INDEX entries_course_student ON entries (course_id, student_id) INCLUDE (since, effective_on);
CREATE TABLE results (
    student_id uuid NOT NULL,
    course_id uuid NOT NULL,
    period text NOT NULL,
    kind text NOT NULL,
    effective_on date NOT NULL,
    since bigint NOT NULL,
    version integer NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL,
    PRIMARY KEY (student_id, course_id, period, kind)
);
CREATE INDEX results_course_student ON results (course_id, student_id) INCLUDE (since, effective_on);
