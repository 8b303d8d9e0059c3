-- Verify topicbase:api/import_rows on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.import_rows(regclass, uuid, integer)', false, 'v', '{}');
ROLLBACK;
