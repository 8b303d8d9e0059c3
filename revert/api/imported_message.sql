-- Revert topicbase:api/imported_message from pg
BEGIN;
DROP TYPE mqtt.imported_message;
COMMIT;
