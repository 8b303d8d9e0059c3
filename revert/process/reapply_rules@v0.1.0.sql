-- Revert topicbase:process/reapply_rules from pg
BEGIN;
DROP FUNCTION mqtt.reapply_rules(mqtt.mqtt_messages []);
DROP FUNCTION mqtt.outdate_rollups(mqtt.mqtt_messages [], mqtt.late_reading []);
DROP FUNCTION mqtt.interpreted_again(mqtt.mqtt_messages []);
DROP FUNCTION mqtt.with_all_they_need(mqtt.mqtt_messages []);
DROP FUNCTION mqtt.rule_messages(mqtt.mqtt_messages []);
DROP FUNCTION mqtt.sample_topic(mqtt.mqtt_messages, uuid, text, text);
COMMIT;
