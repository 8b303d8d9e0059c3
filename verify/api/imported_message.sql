-- Verify topicbase:api/imported_message on pg
BEGIN;
SELECT 'mqtt.imported_message'::regtype;
ROLLBACK;
