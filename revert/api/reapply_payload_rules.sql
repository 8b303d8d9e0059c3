-- Revert topicbase:api/reapply_payload_rules from pg
BEGIN;
DROP FUNCTION api.reapply_payload_rules(uuid, timestamptz, timestamptz, integer, text);
DROP FUNCTION mqtt.reapply_rules(mqtt.mqtt_messages []);
DROP FUNCTION mqtt.outdate_rollups(mqtt.mqtt_messages [], mqtt.late_reading []);
DROP FUNCTION mqtt.sample_topic(mqtt.mqtt_messages, uuid, text);
DROP FUNCTION mqtt.messages_between(uuid, timestamptz, bigint, timestamptz, integer);
COMMIT;
