-- Verify topicbase:process/record_failure on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.record_failure(tid, text, text, boolean)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.bury_message(pgmq.q_mqtt_messages, pgmq.q_mqtt_messages, text)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.queued_form(pgmq.q_mqtt_messages)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.retry_delay(integer)', false, 'v', '{}');
ROLLBACK;
