-- Revert topicbase:process/latest_values from pg
BEGIN;
DROP FUNCTION mqtt.told_latest(mqtt.devices, mqtt.device_news);
DROP FUNCTION mqtt.is_data_latest(boolean, timestamptz, boolean, timestamptz, jsonb);
DROP FUNCTION mqtt.device_document(mqtt.devices);
DROP FUNCTION mqtt.latest_of(mqtt.devices);
DROP FUNCTION mqtt.latest_values(jsonb, jsonb, timestamptz, boolean);
DROP FUNCTION mqtt.joined_values(jsonb, jsonb, timestamptz);
DROP FUNCTION mqtt.data_values(jsonb, timestamptz);
DROP FUNCTION mqtt.newest_values(jsonb, timestamptz, jsonb, timestamptz);
DROP FUNCTION mqtt.merged_latest(jsonb, jsonb);
DROP FUNCTION mqtt.newest_metrics(jsonb);
DROP FUNCTION mqtt.has_only_metrics(jsonb, text [], jsonb);
DROP FUNCTION mqtt.metric_names(jsonb);
DROP FUNCTION mqtt.is_covered(jsonb, jsonb);
DROP FUNCTION mqtt.has_metrics(jsonb, jsonb);
DROP FUNCTION mqtt.payload_metrics(jsonb);
DROP FUNCTION mqtt.flat_payload(jsonb);
COMMIT;
