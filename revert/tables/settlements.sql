-- Revert topicbase:tables/settlements from pg
BEGIN;
-- Loses the order in which messages were settled.
DROP TABLE mqtt.settlements;
DROP SEQUENCE mqtt.settlement_numbers;
COMMIT;
