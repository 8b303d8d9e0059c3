-- Revert topicbase:brokers/written_rules from pg
BEGIN;
DROP TRIGGER b_written_rules ON mqtt.mqtt_credentials;
DROP FUNCTION mqtt.write_rules();
COMMIT;
