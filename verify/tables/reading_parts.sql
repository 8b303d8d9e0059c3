-- Verify topicbase:tables/reading_parts on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.first_time(timestamp, text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.bucket_shown(timestamptz, interval, text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.bucket_start(timestamptz, interval, text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.counter_step(numeric, numeric)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.reading_parts(mqtt.reading_span [], text [], interval, text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.unordered_parts(mqtt.reading_span [], text [], interval, text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.device_rolled_until(mqtt.rollup_progress, uuid)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.received_since(mqtt.reading_span [])', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.packed_span_readings(mqtt.reading_span [], timestamptz)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.span_readings(mqtt.reading_span [], timestamptz)', false, 's', '{authenticated,service_role}');
ROLLBACK;
