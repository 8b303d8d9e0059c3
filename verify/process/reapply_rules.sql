-- Verify topicbase:process/reapply_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.reapply_rules(mqtt.mqtt_messages [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.outdate_rollups(mqtt.mqtt_messages [], mqtt.late_reading [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.interpreted_again(mqtt.mqtt_messages [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.has_all_it_needs(mqtt.mqtt_messages)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.sample_topic(mqtt.mqtt_messages, uuid, text, text)', false, 'v', '{}');
ROLLBACK;
