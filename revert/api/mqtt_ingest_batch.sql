-- Revert topicbase:api/mqtt_ingest_batch from pg
BEGIN;
DROP FUNCTION api.mqtt_ingest_batch(json);
DROP FUNCTION mqtt.take_batch_quota(mqtt.device_session, integer);
DROP FUNCTION mqtt.storable_messages(json, text []);
DROP FUNCTION mqtt.require_batch(integer, integer);
COMMIT;
