-- Revert topicbase:tables/retained_messages from pg
BEGIN;
DROP TABLE mqtt.retained_messages;
COMMIT;
