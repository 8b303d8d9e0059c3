-- Verify topicbase:base/conceal on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.conceal(bytea)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.reveal(text)', true, 's', '{}');
SELECT 1 / (mqtt.reveal(mqtt.conceal('\x000102030405060708090a0b0c0d0e0f')) = '\x000102030405060708090a0b0c0d0e0f')::integer;
ROLLBACK;
