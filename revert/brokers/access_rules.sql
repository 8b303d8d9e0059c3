-- Revert topicbase:brokers/access_rules from pg
BEGIN;
DROP FUNCTION mqtt.access_rule(mqtt.mqtt_credentials, text, text);
DROP FUNCTION mqtt.rule_allows(text, text, text);
DROP FUNCTION mqtt.access_rules(mqtt.mqtt_credentials);
DROP FUNCTION mqtt.filter_contains(text, text);
COMMIT;
