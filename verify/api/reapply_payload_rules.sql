-- Verify topicbase:api/reapply_payload_rules on pg
BEGIN;
SELECT mqtt.verify_function('api.reapply_payload_rules(uuid, timestamptz, timestamptz, integer, text)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.reapply_rules(mqtt.mqtt_messages [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.outdate_rollups(mqtt.mqtt_messages [], mqtt.late_reading [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.messages_between(uuid, timestamptz, bigint, timestamptz, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.sample_topic(mqtt.mqtt_messages, uuid, text)', false, 'v', '{}');
ROLLBACK;
