-- Deploy topicbase:api/cleanup_mqtt_queue to pg
-- requires: maintenance/retention
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.cleanup_mqtt_queue() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.apply_retention();
$$;
COMMENT ON FUNCTION api.cleanup_mqtt_queue() IS
$md$Remove data past its retention

Removes completed messages after 7 days and failed ones (dead letters) after 30, unless configured otherwise for the installation or the
organization; also the activity log, receipts, callback deliveries, idempotency keys and old requests; never a message that has not been processed.
The bridge's maintenance runs it too. Returns the number of rows removed: `{"completed", "failed", "activity", "readings", "receipts",
"idempotency_keys", "requests", "callbacks"}` (an estimate for partitions over 64 MiB), `more`: whether another call would find more, and `postponed`: why partitions
could not be dropped now, if so.
Answer: {"completed": "integer", "failed": "integer", "activity": "integer", "readings": "integer", "receipts": "integer",
"idempotency_keys": "integer", "requests": "integer", "callbacks": "integer", "more": "boolean", "postponed?": "text"}$md$;
GRANT EXECUTE ON FUNCTION api.cleanup_mqtt_queue() TO service_role;
COMMIT;
