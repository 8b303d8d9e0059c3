-- Revert topicbase:broker_rules from pg
BEGIN;
DROP VIEW mqtt.broker_integrations;
DROP FUNCTION mqtt.access_rule(mqtt.mqtt_credentials, text, text);
DROP FUNCTION mqtt.rule_allows(text, text, text);
DROP FUNCTION mqtt.access_rules(mqtt.mqtt_credentials);
DROP FUNCTION mqtt.filter_contains(text, text);
COMMIT;
