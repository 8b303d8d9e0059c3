-- Verify topicbase:base/refuse_for_now on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.refuse_for_now(text, text, text, integer)', false, 's', '{}');
ROLLBACK;
