-- Verify topicbase:process/process_batch on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.process_batch(integer, boolean, uuid [], uuid [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.leave_heavy(tid [], uuid [])', false, 'v', '{}');
ROLLBACK;
