-- Verify topicbase:bridge/callback_circuits on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.circuit_opens(bigint, timestamptz)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.note_receivers(mqtt.callback_outcome[])', true, 'v', '{}');
ROLLBACK;
