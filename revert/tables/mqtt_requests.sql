-- Revert topicbase:tables/mqtt_requests from pg
BEGIN;
DROP TABLE mqtt.mqtt_requests;
COMMIT;
