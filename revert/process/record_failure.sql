-- Revert topicbase:process/record_failure from pg
BEGIN;
DROP FUNCTION mqtt.queued_form(pgmq.q_mqtt_messages);
DROP FUNCTION mqtt.record_failure(tid, text, text, boolean);
DROP FUNCTION mqtt.bury_message(pgmq.q_mqtt_messages, pgmq.q_mqtt_messages, text);
DROP FUNCTION mqtt.retry_delay(integer);
COMMIT;
