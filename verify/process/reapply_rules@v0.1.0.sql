-- Verify topicbase:process/reapply_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.reapply_rules(mqtt.mqtt_messages [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.outdate_rollups(mqtt.mqtt_messages [], mqtt.late_reading [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.interpreted_again(mqtt.mqtt_messages [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.with_all_they_need(mqtt.mqtt_messages [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.rule_messages(mqtt.mqtt_messages [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.sample_topic(mqtt.mqtt_messages, uuid, text, text)', false, 'v', '{}');
ROLLBACK;
