-- Revert topicbase:process/process_batch from pg
BEGIN;
DROP FUNCTION mqtt.process_batch(integer, boolean);
DROP FUNCTION mqtt.store_or_split(tid []);
DROP FUNCTION mqtt.queued_form(pgmq.q_mqtt_messages);
DROP FUNCTION mqtt.record_failure(tid, text, text, boolean);
DROP FUNCTION mqtt.retry_delay(integer);
COMMIT;
