-- Revert topicbase:base/py_transform from pg
-- Rendered by bin/embed-plpython from plpython/transform.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_transform(text [], text []);
COMMIT;
