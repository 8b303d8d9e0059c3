-- Verify topicbase:process/process_batch on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.process_batch(integer, boolean)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.store_or_split(tid[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.record_failure(tid, text, text, boolean)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.queued_form(pgmq.q_mqtt_messages)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.retry_delay(integer)', false, 'v', '{}');
ROLLBACK;
