-- Revert topicbase:brokers/vernemq_view from pg
BEGIN;
REVOKE EXECUTE ON FUNCTION mqtt.client_ids(mqtt.mqtt_credentials) FROM vernemq_reader;
DROP VIEW broker.vmq_auth_acl;
COMMIT;
