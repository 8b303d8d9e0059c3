-- Revert topicbase:base/parse_values from pg
BEGIN;
DROP FUNCTION mqtt.is_uuid(text);
DROP FUNCTION mqtt.try_boolean(text);
DROP FUNCTION mqtt.try_qos(text);
DROP FUNCTION mqtt.try_base64(text);
DROP FUNCTION mqtt.data_of_payload(jsonb, timestamptz);
DROP FUNCTION mqtt.payload_time(jsonb);
DROP FUNCTION mqtt.device_time(jsonb);
DROP FUNCTION mqtt.try_device_time(text);
DROP FUNCTION mqtt.try_timestamptz(text);
COMMIT;
