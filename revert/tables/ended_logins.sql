-- Revert topicbase:tables/ended_logins from pg
BEGIN;
DROP TABLE mqtt.ended_logins;
COMMIT;
