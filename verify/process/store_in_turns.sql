-- Verify topicbase:process/store_in_turns on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.store_in_turns(tid[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.store_part(tid[], double precision, timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.batch_parts(tid[])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.store_or_split(tid[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.remember_costs(jsonb, jsonb, double precision)', false, 'v', '{}');
ROLLBACK;
