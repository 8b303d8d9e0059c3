-- Deploy topicbase:api/mqtt_test_connection to pg
-- requires: api/get_mqtt_publish_receipts
-- requires: base/wake_bridge
-- requires: tables/mqtt_requests
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.mqtt_test_connection(integration_id uuid, organization_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(
        mqtt_test_connection.integration_id, mqtt_test_connection.organization_id, true
    );
    v_most CONSTANT integer := (SELECT c.max_connection_tests FROM mqtt.configuration AS c);
    v_request_id uuid;
    v_since timestamptz;
    v_wait integer;
BEGIN
    -- One open test of a broker serves all callers.
    SELECT r.id INTO v_request_id
    FROM mqtt.mqtt_requests AS r
    WHERE r.organization_id = v_integration.organization_id AND r.integration_id = v_integration.id
        AND r.request_type = 'test_connection' AND r.status = 'queued' AND r.created_at >= v_integration.updated_at
    LIMIT 1;
    IF NOT found THEN
        -- Tests say what answers at an address: they must not be a way to look through many.
        SELECT r.created_at INTO v_since
        FROM mqtt.mqtt_requests AS r
        WHERE r.organization_id = v_integration.organization_id AND r.created_at > clock_timestamp() - interval '1 hour'
        ORDER BY r.created_at DESC
        OFFSET v_most - 1
        LIMIT 1;
        IF found THEN
            v_wait := ceil(extract(EPOCH FROM v_since + interval '1 hour' - clock_timestamp()));
            PERFORM mqtt.refuse_for_now('429', 'too_many_tests', format('An organization may make %s connection tests an hour.', v_most), v_wait);
        END IF;
        INSERT INTO mqtt.mqtt_requests AS r (organization_id, integration_id, request_type)
        VALUES (v_integration.organization_id, v_integration.id, 'test_connection')
        RETURNING r.id INTO v_request_id;
        PERFORM mqtt.wake_bridge('request');
    END IF;
    PERFORM set_config('response.status', '202', true);
    IF nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-wait-at' IS NOT NULL THEN
        -- The gateway goes on with this once it is committed (conf/nginx.conf).
        PERFORM set_config('response.headers', jsonb_build_array(jsonb_build_object(
            'X-Accel-Redirect', format('%s?request_id=%s&wait=15', current_setting('request.headers')::jsonb ->> 'x-wait-at', v_request_id)
        ))::text, true);
    END IF;
    RETURN jsonb_build_object('request_id', v_request_id, 'status', 'queued');
END;
$$;
COMMENT ON FUNCTION api.mqtt_test_connection(uuid, uuid) IS
$md$Test the connection to an integration's broker

Returns 202 `{"request_id", "status": "queued"}`; get_mqtt_request returns the result. (The gateway's path mqtt-hybrid/test waits for it.)
Errors: 403 `admin_required`; 404 `integration_not_found`; 429 `too_many_tests`.
Answer 202: {"request_id": "uuid", "status": "=queued"}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_test_connection(uuid, uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.get_mqtt_request(request_id uuid, wait numeric DEFAULT 0, stage text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_until timestamptz := mqtt.check_wait(wait);
    v_step double precision := 0.01;
    v_request mqtt.mqtt_requests;
    v_has_place boolean;
BEGIN
    LOOP
        SELECT r.* INTO v_request FROM mqtt.mqtt_requests AS r WHERE r.id = get_mqtt_request.request_id;
        IF NOT found THEN
            PERFORM mqtt.require_argument('request_id', request_id::text);
            RAISE EXCEPTION 'request_not_found' USING
                ERRCODE = 'PT404',
                DETAIL = format('There is no request %s that you may see.', request_id),
                HINT = 'Requests are kept for a day.';
        END IF;
        EXIT WHEN v_request.status = 'done' OR clock_timestamp() >= v_until
            OR coalesce(v_request.result ->> 'stage', '') <> get_mqtt_request.stage;
        v_has_place := coalesce(v_has_place, mqtt.may_wait(v_request.organization_id));
        EXIT WHEN NOT v_has_place;
        PERFORM pg_sleep(least(v_step, extract(epoch FROM v_until - clock_timestamp())));
        v_step := least(v_step * 1.5, 0.2);
    END LOOP;
    RETURN jsonb_build_object(
        'request_id', v_request.id,
        'organization_id', v_request.organization_id,
        'integration_id', v_request.integration_id,
        'request_type', v_request.request_type,
        'status', v_request.status,
        'result', v_request.result,
        'created_at', v_request.created_at,
        'finished_at', v_request.finished_at
    );
END;
$$;
COMMENT ON FUNCTION api.get_mqtt_request(uuid, numeric, text) IS
$md$Get the result of a connection test

`status` is `queued`, `running` or `done`; once done, `result` has `ok`, `reason` and what was reached: address, TLS, login, round trip in
milliseconds. With `wait`, the call returns when the test is done, or after that many seconds (0 to 20) at the latest;
sooner, with `Retry-After`, while too many calls are waiting. While it is running, `result` has the last stage that was passed (`dns`, `tcp`,
`tls`, `websocket`, `connack`, `subscribe`, `publish`) as `stage`, and what is known by then; send the one that you know as `stage` (first
an empty one) to have `wait` end at the next as well.
Errors: 400 `wait_invalid`; 404 `request_not_found`.
Answer: {"request_id": "uuid", "organization_id": "uuid", "integration_id": "uuid", "request_type": "=test_connection",
"status": "queued|running|done", "result": "object?", "created_at": "time", "finished_at": "time?"}$md$;
GRANT EXECUTE ON FUNCTION api.get_mqtt_request(uuid, numeric, text) TO authenticated, service_role;
COMMIT;
