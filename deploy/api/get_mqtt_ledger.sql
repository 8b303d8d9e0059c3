-- Deploy topicbase:api/get_mqtt_ledger to pg
-- requires: integrations/access
-- requires: tables/ledger
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.get_mqtt_ledger(
    organization_id uuid, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL, unit text DEFAULT 'hour'
) RETURNS TABLE (at timestamptz, accepted bigint, completed bigint, dead bigint, expired bigint, queued bigint)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id CONSTANT uuid := (mqtt.require_organization(get_mqtt_ledger.organization_id)).id;
    v_until CONSTANT timestamptz := coalesce(get_mqtt_ledger.until, 'infinity');
    v_since timestamptz;
BEGIN
    PERFORM mqtt.require_whole_organization();
    IF unit IS NULL OR unit NOT IN ('minute', 'hour', 'day') THEN
        RAISE EXCEPTION 'unit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'unit is "minute", "hour" or "day".', HINT = 'Hours that are old are counted as a whole.';
    END IF;
    v_since := date_trunc(unit, coalesce(since, now() - CASE unit WHEN 'minute' THEN interval '1 hour' WHEN 'hour' THEN '1 day' ELSE '31 days' END), 'UTC');
    RETURN QUERY
    SELECT
        date_trunc(unit, l.bucket, 'UTC') AS start, sum(l.accepted)::bigint, sum(l.completed)::bigint, sum(l.dead)::bigint, sum(l.expired)::bigint,
        sum(l.accepted - l.completed - l.dead - l.expired)::bigint
    FROM mqtt.ledger AS l
    WHERE l.organization_id = v_id AND l.bucket >= v_since AND l.bucket < v_until
    GROUP BY start
    ORDER BY start
    LIMIT 10000;
END;
$$;
COMMENT ON FUNCTION api.get_mqtt_ledger(uuid, timestamptz, timestamptz, text) IS
$md$Show what became of accepted messages

The ledger of incoming messages by unit (`minute`, `hour`, `day`, in UTC) in which they were accepted, oldest first: `at`, `accepted`,
`completed`, `dead`, `expired` and `queued`, where accepted = completed + dead + expired + queued. Without since: the last hour, day or month.
Minutes older than a few hours are counted in their hour.
Errors: 400 `unit_invalid`; 404 `organization_not_found`.$md$;
GRANT EXECUTE ON FUNCTION api.get_mqtt_ledger(uuid, timestamptz, timestamptz, text) TO authenticated, service_role;
COMMIT;
