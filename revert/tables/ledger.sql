-- Revert topicbase:tables/ledger from pg
BEGIN;
DROP TABLE mqtt.ledger;
COMMIT;
