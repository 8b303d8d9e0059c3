-- Verify topicbase:readings/views on pg
BEGIN;
SELECT mqtt.verify_broker_view(v.name, '{topicbase_reader}')
FROM unnest('{readings.devices,readings.latest}'::text []) AS v (name);
SELECT mqtt.verify_function('mqtt.reader_latest(jsonb, jsonb, timestamptz, boolean)', true, 's', '{}');
ROLLBACK;
