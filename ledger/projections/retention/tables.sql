-- Ids, classes, dates and counts only: nothing of a student is in it, so nothing is sealed.
CREATE TABLE classes (
    student_id uuid NOT NULL,
    of_class text NOT NULL,
    last_on date NOT NULL,
    events bigint NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL,
    PRIMARY KEY (student_id, of_class)
);
CREATE TABLE clocks (
    student_id uuid PRIMARY KEY,
    completed_on date,
    file_released_on date,
    portfolio_released_on date,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL
);
