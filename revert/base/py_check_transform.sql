-- Revert topicbase:base/py_check_transform from pg
-- Rendered by bin/embed-plpython from plpython/check_transform.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_check_transform(text);
COMMIT;
