-- Deploy topicbase:api/get_vacuum_holders to pg
-- requires: base/vacuum_holders
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.get_vacuum_holders(older_than interval DEFAULT NULL) RETURNS TABLE (
    kind text, pid integer, name text, state text, held_seconds integer, transactions integer
)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM mqtt.vacuum_holders(older_than);
$$;
COMMENT ON FUNCTION api.get_vacuum_holders(interval) IS
$md$List what holds back vacuum

Old transactions prevent PostgreSQL from reusing the space of processed messages. Lists the sessions, prepared transactions and replication
slots that have done so for longer than `older_than` (default: the installation's `vacuum_alarm_after`; `0` lists all), worst first:
`kind`, `pid`, `name` (role and application, transaction or slot), `state`, `held_seconds` (null for a slot), `transactions` begun since.$md$;
GRANT EXECUTE ON FUNCTION api.get_vacuum_holders(interval) TO service_role;
COMMIT;
