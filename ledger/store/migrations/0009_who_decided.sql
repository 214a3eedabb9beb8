-- Which operator has decided about the log, by the id under which he acts (`--actor`); none where it was decided before.
ALTER TABLE {schema}.log_decisions ADD COLUMN decided_by uuid;
