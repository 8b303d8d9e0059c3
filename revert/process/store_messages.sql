-- Revert topicbase:process/store_messages from pg
BEGIN;
DROP FUNCTION mqtt.store_messages(tid []);
DROP FUNCTION mqtt.insert_samples(mqtt.arrived_sample [], mqtt.numbered_topic []);
COMMIT;
