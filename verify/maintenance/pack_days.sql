-- Verify topicbase:maintenance/pack_days on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_open_before(timestamptz)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.is_trimmed_soon(timestamptz, timestamptz)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.begin_packing()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.pack_messages(mqtt.packed_days, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.finish_packing(mqtt.packed_days)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.pack_some(mqtt.packed_days, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.pack_next(integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.pack_days(integer)', true, 'v', '{}');
ROLLBACK;
