-- Revert topicbase:tables/wrong_passwords from pg
BEGIN;
DROP TABLE mqtt.wrong_passwords;
COMMIT;
