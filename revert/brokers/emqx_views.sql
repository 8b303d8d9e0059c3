-- Revert topicbase:brokers/emqx_views from pg
BEGIN;
REVOKE EXECUTE ON FUNCTION mqtt.client_ids(mqtt.mqtt_credentials) FROM emqx_reader;
DROP VIEW broker.emqx_acl;
DROP VIEW broker.emqx_user;
COMMIT;
