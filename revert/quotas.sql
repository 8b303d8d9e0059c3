-- Revert topicbase:quotas from pg
BEGIN;
DROP FUNCTION mqtt.take_tokens(uuid, numeric, integer, integer);
DROP TABLE mqtt.quota_buckets;
DROP FUNCTION mqtt.require_room(uuid, text);
DROP FUNCTION mqtt.refuse_for_now(text, text, text, integer);
COMMIT;
