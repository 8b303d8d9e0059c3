-- Deploy topicbase:api/set_organization_limits to pg
-- requires: base/require_argument
-- requires: tenants/organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.set_organization_limits(
    organization_id uuid, max_per_second numeric DEFAULT NULL, max_burst integer DEFAULT NULL, max_queued bigint DEFAULT NULL,
    max_payload_bytes integer DEFAULT NULL, completed_days integer DEFAULT NULL, failed_days integer DEFAULT NULL, activity_days integer DEFAULT NULL,
    rollup_days integer DEFAULT NULL, rollup_minute_days integer DEFAULT NULL, max_logins integer DEFAULT NULL, max_bytes_per_second bigint DEFAULT NULL,
    max_processing_seconds numeric DEFAULT NULL, max_integrations integer DEFAULT NULL, max_calls integer DEFAULT NULL,
    max_stream_connections integer DEFAULT NULL, max_subscriptions integer DEFAULT NULL
) RETURNS mqtt.organizations
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organization mqtt.organizations;
BEGIN
    IF least(
        max_per_second, max_burst, max_queued, max_payload_bytes, completed_days, failed_days, activity_days, rollup_days, rollup_minute_days,
        max_logins, max_bytes_per_second, max_processing_seconds, max_integrations, max_calls, max_stream_connections,
        max_subscriptions
    ) <= 0 OR 'NaN' IN (max_per_second, max_processing_seconds) THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'Each limit must be more than 0, or null for none.', HINT = 'All limits are set together; a limit that is omitted is lifted.';
    END IF;
    UPDATE mqtt.organizations AS o
    SET max_per_second = set_organization_limits.max_per_second,
        max_burst = set_organization_limits.max_burst,
        max_queued = set_organization_limits.max_queued,
        max_payload_bytes = set_organization_limits.max_payload_bytes,
        completed_days = set_organization_limits.completed_days,
        failed_days = set_organization_limits.failed_days,
        activity_days = set_organization_limits.activity_days,
        rollup_days = set_organization_limits.rollup_days,
        rollup_minute_days = set_organization_limits.rollup_minute_days,
        max_logins = set_organization_limits.max_logins,
        max_bytes_per_second = set_organization_limits.max_bytes_per_second,
        max_processing_seconds = set_organization_limits.max_processing_seconds,
        max_integrations = set_organization_limits.max_integrations,
        max_calls = set_organization_limits.max_calls,
        max_stream_connections = set_organization_limits.max_stream_connections,
        max_subscriptions = set_organization_limits.max_subscriptions
    WHERE o.id = set_organization_limits.organization_id
    RETURNING o.* INTO v_organization;
    IF NOT found THEN
        PERFORM mqtt.require_argument('organization_id', organization_id::text);
        RAISE EXCEPTION 'organization_not_found' USING
            ERRCODE = 'PT404', DETAIL = format('There is no organization %s.', organization_id), HINT = 'GET /organizations lists them.';
    END IF;
    -- Bridges read their integrations again, with the limits of what these deliver.
    PERFORM pg_notify('topicbase', 'config');
    RETURN v_organization;
END;
$$;
COMMENT ON FUNCTION api.set_organization_limits(
    uuid, numeric, integer, bigint, integer, integer, integer, integer, integer, integer, integer, bigint, numeric, integer, integer, integer, integer
) IS
$md$Set the quotas and retention of an organization

Sets all of them together; one that is omitted (or null) falls back to that of the installation: `max_per_second` and `max_burst` of its devices over
HTTP, `max_queued` messages waiting, `max_logins` of its devices, `max_payload_bytes`, `max_bytes_per_second` of its devices and brokers,
`max_processing_seconds` of the workers in a minute, `max_integrations` that are switched on, `max_calls` of its members at a time,
`max_stream_connections`, `max_subscriptions`, and the days for which history (`completed_days`), dead letters (`failed_days`),
activity log (`activity_days`), rollups of hours and days (`rollup_days`) and of minutes (`rollup_minute_days`) are kept. Returns the organization.
Errors: 404 `organization_not_found`; 400 `limit_invalid`.$md$;
GRANT EXECUTE ON FUNCTION api.set_organization_limits(
    uuid, numeric, integer, bigint, integer, integer, integer, integer, integer, integer, integer, bigint, numeric, integer, integer, integer, integer
) TO service_role;
COMMIT;
