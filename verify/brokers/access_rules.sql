-- Verify topicbase:brokers/access_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.filter_contains(text, text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.access_rules(mqtt.mqtt_credentials)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.rule_allows(text, text, text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.access_rule(mqtt.mqtt_credentials, text, text)', false, 's', '{}');
ROLLBACK;
