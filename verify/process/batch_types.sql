-- Verify topicbase:process/batch_types on pg
BEGIN;
SELECT NULL::mqtt.arrived_sample;
SELECT NULL::mqtt.device_news;
SELECT NULL::mqtt.seen_device;
SELECT NULL::mqtt.numbered_topic;
SELECT NULL::mqtt.stored_batch;
ROLLBACK;
