-- Verify topicbase:tables/queues on pg
BEGIN;
SELECT mqtt.verify_table(t, '{}', '{}')
FROM unnest(ARRAY['pgmq.q_mqtt_messages', 'pgmq.a_mqtt_messages', 'pgmq.q_mqtt_outbound', 'pgmq.a_mqtt_outbound']::regclass []) AS t;
ROLLBACK;
