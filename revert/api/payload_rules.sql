-- Revert topicbase:api/payload_rules from pg
BEGIN;
DROP FUNCTION api.delete_payload_rule(uuid);
DROP FUNCTION api.upsert_payload_rule(uuid, text, text, text, text, text, text [], jsonb, jsonb, text, text, integer, uuid, jsonb, integer, text);
DROP FUNCTION mqtt.rule_json(uuid);
DROP VIEW api.payload_rules;
DROP FUNCTION mqtt.require_rule(uuid);
COMMIT;
