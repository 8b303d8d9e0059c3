-- Revert topicbase:api/reapply_payload_rules from pg
BEGIN;
DROP FUNCTION api.reapply_payload_rules(uuid, timestamptz, timestamptz, integer, text);
DROP FUNCTION mqtt.messages_between(uuid, timestamptz, bigint, timestamptz, integer);
COMMIT;
