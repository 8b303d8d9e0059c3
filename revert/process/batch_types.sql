-- Revert topicbase:process/batch_types from pg
BEGIN;
DROP TYPE mqtt.stored_batch;
DROP TYPE mqtt.settled_position;
DROP TYPE mqtt.numbered_topic;
DROP TYPE mqtt.seen_device;
DROP TYPE mqtt.device_news;
DROP TYPE mqtt.arrived_sample;
COMMIT;
