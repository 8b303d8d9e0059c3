-- Verify topicbase:base/message_id_key on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.message_id_key', '{}', '{}');
ROLLBACK;
