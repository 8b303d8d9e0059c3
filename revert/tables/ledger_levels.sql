-- Revert topicbase:tables/ledger_levels from pg
BEGIN;
DROP FUNCTION mqtt.ledger_level_settled();
DROP FUNCTION mqtt.ledger_level_minute();
DROP FUNCTION mqtt.ledger_level_hour();
DROP FUNCTION mqtt.ledger_level_outcomes();
COMMIT;
