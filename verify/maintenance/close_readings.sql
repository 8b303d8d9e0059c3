-- Verify topicbase:maintenance/close_readings on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.closable_until(uuid, timestamptz)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.first_measured_at(uuid)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.lock_processing(uuid, boolean)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.try_closable(uuid, timestamptz, timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.try_close(uuid, timestamptz, timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.close_readings(timestamptz)', true, 'v', '{}');
ROLLBACK;
