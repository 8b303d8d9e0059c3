-- Deploy topicbase:api/deletions to pg
-- requires: integrations/access
-- requires: tables/deletions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.deletion_json(deletion mqtt.deletions) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'id', (deletion).id, 'organization_id', (deletion).organization_id, 'kind', (deletion).kind, 'subject', (deletion).subject,
        'state', (deletion).state, 'requested_by', (deletion).requested_by, 'requested_at', (deletion).requested_at,
        'started_at', (deletion).started_at, 'finished_at', (deletion).finished_at,
        'selected', CASE WHEN (deletion).kind = 'messages' THEN jsonb_build_object(
            'integration_id', (deletion).integration_id, 'device_id', (deletion).device_id, 'filter', (deletion).filter,
            'time', CASE WHEN (deletion).by_received THEN 'received' ELSE 'measured' END,
            'since', nullif((deletion).since, '-infinity'), 'until', nullif((deletion).until, 'infinity')
        ) END,
        'deleted', jsonb_build_object(
            'messages', (deletion).messages, 'readings', (deletion).readings, 'dead_letters', (deletion).dead_letters, 'receipts', (deletion).receipts,
            'callbacks', (deletion).callbacks, 'rollups', (deletion).rollups, 'others', (deletion).others
        ),
        'rollup_hours_kept', (deletion).rollup_hours_kept, 'failure', (deletion).failure, 'retry_at', (deletion).retry_at
    );
END;
COMMENT ON FUNCTION mqtt.deletion_json(mqtt.deletions) IS
$md$A deletion as the API shows it.

Answer: {"id": "uuid", "organization_id": "uuid", "kind": "device|messages|organization|rollups", "subject": "text?",
"state": "queued|waiting|running|done", "requested_by": "uuid?", "requested_at": "time", "started_at": "time?", "finished_at": "time?",
"selected": {"|": [{"integration_id": "uuid?", "device_id": "uuid?", "filter": "text?", "time": "measured|received", "since": "time?", "until": "time?"}, "null"]},
"deleted": {"messages": "integer", "readings": "integer", "dead_letters": "integer", "receipts": "integer", "callbacks": "integer", "rollups": "integer",
"others": "integer"}, "rollup_hours_kept": "integer", "failure": "text?", "retry_at": "time?"}$md$;
GRANT EXECUTE ON FUNCTION mqtt.deletion_json(mqtt.deletions) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.get_deletion(deletion_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deletion mqtt.deletions;
BEGIN
    SELECT d.* INTO v_deletion FROM mqtt.deletions AS d WHERE d.id = get_deletion.deletion_id;
    IF NOT found THEN
        PERFORM mqtt.require_argument('deletion_id', deletion_id::text);
        RAISE EXCEPTION 'deletion_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no deletion %s that you may see.', deletion_id),
            HINT = 'list_deletions lists those of your organizations.';
    END IF;
    RETURN mqtt.deletion_json(v_deletion);
END;
$$;
COMMENT ON FUNCTION api.get_deletion(uuid) IS
$md$Show how far a deletion is

Answers its `kind` (`device`, `messages`, `organization`, or `rollups`: those of devices that went with their integration), what was `selected`, who
asked for it and when, `state` (`queued`; `waiting` while messages that were accepted before are still queued; `running`; `done`), and what has been
`deleted` so far, in rows: `messages`, `readings` (of payload rules), `dead_letters`, `receipts`, `callbacks`, `rollups`, and `others`.
`rollup_hours_kept` counts the hours of devices whose rollups still count what was deleted, as they cannot be made again.
`failure` says why its last step failed, which is tried again at `retry_at`; what was deleted before stays so. Both are null if it did not.
Whoever deleted an organization may go on asking about that.
Errors: 404 `deletion_not_found`.
Answer: "mqtt.deletion_json"$md$;
GRANT EXECUTE ON FUNCTION api.get_deletion(uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.list_deletions(organization_id uuid DEFAULT NULL, "limit" integer DEFAULT 100) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (list_deletions."limit" BETWEEN 1 AND 1000) IS NOT TRUE THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'limit is a whole number from 1 to 1000.', HINT = 'The newest come first.';
    ELSIF list_deletions.organization_id IS NOT NULL THEN
        PERFORM mqtt.require_organization(list_deletions.organization_id);
    END IF;
    RETURN QUERY
    SELECT mqtt.deletion_json(d)
    FROM mqtt.deletions AS d
    WHERE list_deletions.organization_id IS NULL OR d.organization_id = list_deletions.organization_id
    ORDER BY d.requested_at DESC, d.id
    LIMIT list_deletions."limit";
END;
$$;
COMMENT ON FUNCTION api.list_deletions(uuid, integer) IS
$md$List deletions

Those of your organizations, or of one, the newest first, as `get_deletion` shows them. They stay listed for `activity_days` after they are done.
Errors: 400 `limit_invalid`; 404 `organization_not_found`.
Answer: "mqtt.deletion_json"$md$;
GRANT EXECUTE ON FUNCTION api.list_deletions(uuid, integer) TO authenticated, service_role;
COMMIT;
