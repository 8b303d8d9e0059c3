-- Verify topicbase:publish/require_open_queue on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.require_open_queue(uuid, text)', true, 's', '{}');
ROLLBACK;
