-- Revert topicbase:process/store_messages from pg
BEGIN;
DROP FUNCTION mqtt.store_messages(tid []);
DROP FUNCTION mqtt.record_settlements(mqtt.settled_position []);
DROP FUNCTION mqtt.store_new(mqtt.arrived_sample [], mqtt.seen_device [], boolean);
DROP FUNCTION mqtt.count_samples(mqtt.arrived_sample []);
DROP FUNCTION mqtt.insert_samples(mqtt.arrived_sample [], mqtt.numbered_topic []);
COMMIT;
