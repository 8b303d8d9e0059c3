-- Revert topicbase:base/message_id_key from pg
BEGIN;
DROP TABLE mqtt.message_id_key;
COMMIT;
