-- Verify topicbase:tables/ledger_levels on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.ledger_level_outcomes()', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.ledger_level_hour()', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.ledger_level_minute()', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.ledger_level_settled()', false, 'i', '{}');
ROLLBACK;
