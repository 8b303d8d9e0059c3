-- Revert topicbase:integrations/credential_rules from pg
BEGIN;
DROP FUNCTION mqtt.credential_json(mqtt.mqtt_credentials);
DROP FUNCTION mqtt.require_login_room(uuid);
DROP FUNCTION mqtt.require_credential(uuid);
DROP FUNCTION mqtt.filters_reason(text [], text);
DROP FUNCTION mqtt.topic_prefix_reason(text);
COMMIT;
