-- Revert topicbase:tables/api_keys from pg
BEGIN;
DROP TABLE mqtt.api_keys;
COMMIT;
