-- Revert topicbase:tables/queues from pg
BEGIN;
-- Loses the messages that are still queued.
ALTER TABLE pgmq.q_mqtt_messages OWNER TO current_user;
ALTER TABLE pgmq.a_mqtt_messages OWNER TO current_user;
ALTER TABLE pgmq.q_mqtt_outbound OWNER TO current_user;
ALTER TABLE pgmq.a_mqtt_outbound OWNER TO current_user;
-- Not by pgmq.drop_queue, since that of 1.5 takes them for parts of the extension.
DROP TABLE pgmq.q_mqtt_messages, pgmq.a_mqtt_messages, pgmq.q_mqtt_outbound, pgmq.a_mqtt_outbound;
DELETE FROM pgmq.meta WHERE queue_name IN ('mqtt_messages', 'mqtt_outbound');
COMMIT;
