-- Revert topicbase:tables/reading_rows from pg
BEGIN;
-- Loses what payload rules made of messages; the messages stay.
DROP TABLE mqtt.reading_rows;
COMMIT;
