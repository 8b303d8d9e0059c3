-- Verify topicbase:process/process_batch on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.process_batch(integer, boolean, uuid [], uuid [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.store_in_turns(tid[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.store_part(tid[], double precision, timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.batch_parts(tid[])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.store_or_split(tid[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.leave_heavy(tid [], uuid [])', false, 'v', '{}');
ROLLBACK;
