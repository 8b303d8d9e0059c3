-- Verify topicbase:integrations/call_places on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.try_places(integer, text, integer)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.take_call_place()', true, 'v', '{authenticated}');
ROLLBACK;
