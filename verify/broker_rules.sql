-- Verify topicbase:broker_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.filter_contains(text, text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.access_rules(mqtt.mqtt_credentials)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.rule_allows(text, text, text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.access_rule(mqtt.mqtt_credentials, text, text)', false, 's', '{}');
SELECT organization_id, id, is_hosted, is_on, is_heard FROM mqtt.broker_integrations WHERE false;
ROLLBACK;
