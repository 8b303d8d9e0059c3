-- Verify topicbase:ingest/require_room on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.require_room(uuid, text)', true, 's', '{}');
ROLLBACK;
