-- Revert topicbase:api/message_views from pg
BEGIN;
DROP VIEW api.mqtt_publish_receipts;
DROP VIEW api.integration_activity_log;
DROP VIEW api.mqtt_dead_letters;
DROP VIEW api.mqtt_messages;
COMMIT;
