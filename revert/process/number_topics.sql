-- Revert topicbase:process/number_topics from pg
BEGIN;
DROP FUNCTION mqtt.number_topics(mqtt.arrived_sample [], mqtt.seen_device [], boolean);
DROP FUNCTION mqtt.register_topics(mqtt.numbered_topic []);
COMMIT;
