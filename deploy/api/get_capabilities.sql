-- Deploy topicbase:api/get_capabilities to pg
-- requires: integrations/access
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.get_capabilities(integration_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF get_capabilities.integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(get_capabilities.integration_id);
    END IF;
    RETURN jsonb_build_object(
        'supportsRealTimeStatus', true,
        'supportsTelemetry', true,
        'supportsFirmwareManagement', false,
        'supportsRemoteCommands', true,
        'supportsBidirectionalSync', false
    );
END;
$$;
COMMENT ON FUNCTION api.get_capabilities(uuid) IS
$md$Show what an integration can do

Real-time status (last_seen_at, through subscriptions), telemetry (query_telemetry) and remote commands (mqtt_publish) are supported; firmware
management and bidirectional sync are not. The answer is the same for every integration.
Errors: 404 `integration_not_found`.
Answer: {"supportsRealTimeStatus": "boolean", "supportsTelemetry": "boolean", "supportsFirmwareManagement": "boolean",
"supportsRemoteCommands": "boolean", "supportsBidirectionalSync": "boolean"}$md$;
GRANT EXECUTE ON FUNCTION api.get_capabilities(uuid) TO authenticated, service_role;
COMMIT;
