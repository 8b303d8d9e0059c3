-- Deploy topicbase:bridge/requests to pg
-- requires: base/fair_share
-- requires: tables/bridges
-- requires: tables/log_activity
-- requires: tables/mqtt_requests
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.claim_requests(bridge_id uuid, room integer DEFAULT 10)
RETURNS TABLE (id uuid, request_type text, integration_id uuid, organization_id uuid, integration_type text, settings jsonb, topic_prefix text)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH open AS (
        SELECT
            r.organization_id, r.id, r.created_at,
            -- A request that a bridge claimed and never answered is claimed again.
            r.status = 'queued' OR r.started_at < clock_timestamp() - interval '1 minute' AS is_due
        FROM mqtt.mqtt_requests AS r
        WHERE r.status <> 'done' AND EXISTS (SELECT FROM mqtt.bridges AS b WHERE b.id = claim_requests.bridge_id)
    ), leveled AS (
        SELECT
            o.*,
            count(*) FILTER (WHERE NOT o.is_due) OVER (PARTITION BY o.organization_id)
            + row_number() OVER (PARTITION BY o.organization_id, o.is_due ORDER BY o.created_at, o.id) AS level
        FROM open AS o
    ), placed AS (
        SELECT l.*, row_number() OVER (ORDER BY l.level, l.created_at, l.id) AS place
        FROM leveled AS l
        WHERE l.is_due
    ), taken AS (
        UPDATE mqtt.mqtt_requests AS r
        SET status = 'running', started_at = clock_timestamp()
        FROM placed AS p
        WHERE mqtt.fair_share(p.level, p.place, claim_requests.room) AND r.organization_id = p.organization_id AND r.id = p.id
            -- Another bridge may have been faster.
            AND (r.status = 'queued' OR r.status = 'running' AND r.started_at < clock_timestamp() - interval '1 minute')
        RETURNING r.id, r.request_type, r.integration_id, r.organization_id
    )
    SELECT t.id, t.request_type, t.integration_id, t.organization_id, i.integration_type, i.settings, o.topic_prefix
    FROM taken AS t
    JOIN mqtt.device_integrations AS i ON i.organization_id = t.organization_id AND i.id = t.integration_id
    JOIN mqtt.organizations AS o ON o.id = t.organization_id;
$$;
COMMENT ON FUNCTION bridge.claim_requests(uuid, integer) IS 'Claims requests that wait for a bridge, with the settings (secrets sealed) of their integration: as many as the organizations'' fair shares of room allow.';
GRANT EXECUTE ON FUNCTION bridge.claim_requests(uuid, integer) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.answer_request(request_id uuid, result jsonb, is_done boolean DEFAULT true) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH answered AS (
        UPDATE mqtt.mqtt_requests AS r
        SET
            status = CASE WHEN answer_request.is_done THEN 'done' ELSE r.status END,
            result = answer_request.result,
            finished_at = CASE WHEN answer_request.is_done THEN clock_timestamp() END
        WHERE r.id = answer_request.request_id AND r.status <> 'done'
        RETURNING r.organization_id, r.integration_id, r.request_type
    )
    SELECT mqtt.log_activity(
        a.organization_id, a.integration_id, a.request_type,
        CASE WHEN (answer_request.result ->> 'ok')::boolean THEN 'success' ELSE 'failed' END,
        NULL, CASE WHEN NOT (answer_request.result ->> 'ok')::boolean THEN answer_request.result ->> 'reason' END
    )
    FROM answered AS a
    WHERE answer_request.is_done;
$$;
COMMENT ON FUNCTION bridge.answer_request(uuid, jsonb, boolean) IS
'Stores the result of a request: {"ok": bool, "reason": text, …}; only the first result counts. While it is not done: what is known by then, and in "stage" how far it has come.';
GRANT EXECUTE ON FUNCTION bridge.answer_request(uuid, jsonb, boolean) TO mqtt_bridge;
COMMIT;
