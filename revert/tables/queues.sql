-- Revert topicbase:tables/queues from pg
BEGIN;
-- Loses the messages that are still queued.
ALTER TABLE pgmq.q_mqtt_messages OWNER TO current_user;
ALTER TABLE pgmq.a_mqtt_messages OWNER TO current_user;
ALTER TABLE pgmq.q_mqtt_outbound OWNER TO current_user;
ALTER TABLE pgmq.a_mqtt_outbound OWNER TO current_user;
SELECT pgmq.drop_queue('mqtt_messages');
SELECT pgmq.drop_queue('mqtt_outbound');
COMMIT;
