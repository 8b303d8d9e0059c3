-- Revert topicbase:base/py_free_disk from pg
-- Rendered by bin/embed-plpython from plpython/free_disk.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_free_disk();
COMMIT;
