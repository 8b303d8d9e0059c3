-- Revert topicbase:tables/history from pg
BEGIN;
-- Loses the history.
DROP TABLE mqtt.history;
DROP TYPE mqtt.message_direction;
COMMIT;
