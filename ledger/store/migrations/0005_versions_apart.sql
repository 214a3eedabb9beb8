-- The projector of 0.1.0 knows no versions of views: it reads the row of a view by its name alone, and moves every row of
-- that name. It still runs during a rolling upgrade and may lead again after a newer one has led; then it must neither
-- meet nor move a row of another version. Programs that know versions say so when they connect (`store/database.py`).

ALTER TABLE {schema}.tracking ENABLE ROW LEVEL SECURITY;
CREATE POLICY tracking_read ON {schema}.tracking FOR SELECT
    TO {schema}_writer, {schema}_reader, {schema}_eraser USING (true);
CREATE POLICY tracking_project ON {schema}.tracking
    TO {schema}_projector
    USING (version = 1 AND NOT shadow OR current_setting('ledger.knows_view_versions', true) = 'on');
