-- Every table of a view has subject_id, record_class, position and (where something is sealed) sealed.
-- `version` is that of the event, in the thing's own lane, that changed it last: what a precondition is checked against.
CREATE TABLE school (
    school_id uuid PRIMARY KEY,
    version integer NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL
);
CREATE TABLE groups (
    group_id uuid PRIMARY KEY,
    version integer NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL
);
CREATE TABLE courses (
    course_id uuid PRIMARY KEY,
    group_id uuid NOT NULL,
    version integer NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL
);
CREATE INDEX courses_group ON courses (group_id, course_id);
CREATE TABLE works (
    work_id uuid PRIMARY KEY,
    course_id uuid NOT NULL,
    set_on date,
    due_on date,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL
);
CREATE INDEX works_course ON works (course_id, work_id);
CREATE TABLE students (
    student_id uuid PRIMARY KEY,
    enrolled_on date,
    left_on date,
    version integer NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL
);
CREATE TABLE foreign_ids (
    token bytea PRIMARY KEY,
    student_id uuid NOT NULL,
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL
);
CREATE TABLE memberships (
    group_id uuid NOT NULL,
    student_id uuid NOT NULL,
    begun_by uuid NOT NULL,
    starts_on date,
    ends_on date,
    since bigint NOT NULL, -- position of the event that made the row
    subject_id uuid NOT NULL, record_class text NOT NULL, position bigint NOT NULL,
    PRIMARY KEY (group_id, student_id, begun_by)
);
