-- Revert topicbase:tables/client_ids from pg
BEGIN;
DROP FUNCTION mqtt.bridge_client_id(uuid, jsonb);
COMMIT;
