-- Deploy topicbase:api/get_system_status to pg
-- requires: bridge/diagnose
-- requires: integrations/operator_access
-- requires: maintenance/check_ledger
-- requires: tables/workers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.system_status() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN bridge.status() || jsonb_build_object(
        'workers', (SELECT coalesce(jsonb_agg(w.bridge_id), '[]') FROM mqtt.workers AS w),
        'partitions', (SELECT coalesce(jsonb_agg(to_jsonb(d)), '[]') FROM mqtt.days_without_partition() AS d),
        -- What held back vacuum for too long, not whose statement it was.
        'vacuum_holders', (SELECT count(*) FROM mqtt.vacuum_holders() AS h),
        'ledger_faults', (SELECT count(*) FROM mqtt.check_ledger(false) AS l),
        'notify_queue_ratio', pg_notification_queue_usage()
    );
END;
$$;
COMMENT ON FUNCTION mqtt.system_status() IS 'What api.get_system_status answers.';

CREATE OR REPLACE FUNCTION api.get_system_status() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM mqtt.require_operator();
    RETURN mqtt.system_status();
END;
$$;
COMMENT ON FUNCTION api.get_system_status() IS
$md$Show the state of the installation

For operators: `bridges` (name, version, whether each is live, how many integrations it holds), `integrations` of all organizations with
status, reason and bridge, `queues` (messages that wait, and for how long the oldest has), `ingest_pause` and `publish_pause`, `sealing`,
`workers` (bridges that are working the queue off), and findings as in topicbase doctor: `partitions` with their days ahead,
`vacuum_holders`, `ledger_faults` and `notify_queue_ratio`.
Errors: 403 `operator_required`.
Answer: {"at": "time", "bridges": [{"id": "uuid", "name": "text", "version": "text", "is_live": "boolean", "started_at": "time",
"silent_seconds": "number", "integrations": "integer"}], "integrations": [{"id": "uuid", "organization": "text", "name": "text",
"integration_type": "text", "broker": "text?", "status": "text", "reason": "text?", "since": "time", "bridge": "text?",
"outbound_waiting": "integer"}], "queues": {"*": {"messages": "integer", "oldest_seconds": "number?"}}, "ingest_pause": "text?",
"publish_pause": "text?", "sealing": "object", "workers": ["uuid"], "partitions": ["object"], "vacuum_holders": "integer",
"ledger_faults": "integer", "notify_queue_ratio": "number"}$md$;
GRANT EXECUTE ON FUNCTION api.get_system_status() TO authenticated, service_role;
COMMIT;
