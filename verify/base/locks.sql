-- Verify topicbase:base/locks on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.bridge_lock(uuid)', false, 'i', '{}');
ROLLBACK;
