-- Revert topicbase:tables/broker_keys from pg
BEGIN;
DROP TABLE mqtt.broker_keys;
COMMIT;
