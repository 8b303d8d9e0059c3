-- Verify topicbase:base/schemas on pg
BEGIN;
DO $$
BEGIN
    IF (
        SELECT count(*)
        FROM pg_catalog.pg_namespace
        WHERE nspname IN ('api', 'mqtt', 'bridge') AND nspowner = 'mqtt_owner'::regrole
    ) <> 3 THEN
        RAISE EXCEPTION 'schemas api, mqtt and bridge must exist and belong to mqtt_owner';
    END IF;
    IF has_schema_privilege('anon', 'bridge', 'usage') OR has_schema_privilege('authenticated', 'bridge', 'usage')
        OR has_schema_privilege('mqtt_bridge', 'mqtt', 'usage') OR has_schema_privilege('authenticated', 'api', 'create') THEN
        RAISE EXCEPTION 'a role reaches a schema that is not its own';
    END IF;
END;
$$;
ROLLBACK;
