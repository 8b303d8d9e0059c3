-- Revert topicbase:tables/presence_positions from pg
BEGIN;
DROP TABLE mqtt.presence_positions;
COMMIT;
