-- Revert topicbase:api/import_rows from pg
BEGIN;
DROP FUNCTION mqtt.import_rows(regclass, uuid, integer);
COMMIT;
