-- Deploy topicbase:api/get_mqtt_publish_receipts to pg
-- requires: base/message_ids
-- requires: integrations/access
-- requires: integrations/call_places
-- requires: tables/mqtt_publish_receipts
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.check_wait(wait numeric) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_timeout numeric := (SELECT s.setting::numeric / 1000 FROM pg_catalog.pg_settings AS s WHERE s.name = 'statement_timeout');
BEGIN
    IF NOT wait BETWEEN 0 AND 20 OR wait = 'NaN' THEN
        RAISE EXCEPTION 'wait_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'wait must be a number of seconds from 0 to 20.', HINT = 'To wait longer, call again until something has changed.';
    END IF;
    -- Answer before statement_timeout would cancel the call.
    RETURN statement_timestamp() + make_interval(
        secs => least(coalesce(wait, 0), CASE WHEN v_timeout > 0 THEN greatest(v_timeout - 2, 0) ELSE wait END)::double precision
    );
END;
$$;
COMMENT ON FUNCTION mqtt.check_wait(numeric) IS 'The time at which a long poll of this many seconds has to return; raises PT400 wait_invalid outside 0 to 20.';
GRANT EXECUTE ON FUNCTION mqtt.check_wait(numeric) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.may_wait(organization_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_most CONSTANT mqtt.configuration := (SELECT c FROM mqtt.configuration AS c);
BEGIN
    IF mqtt.try_places(mqtt.wait_lock() + 1, organization_id::text, v_most.max_waiting_per_organization) THEN
        IF mqtt.try_places(mqtt.wait_lock(), '', v_most.max_waiting) THEN
            RETURN true;
        END IF;
    END IF;
    PERFORM set_config('response.headers', '[{"Retry-After": "1"}]', true);
    RETURN false;
END;
$$;
COMMENT ON FUNCTION mqtt.may_wait(uuid) IS
'Takes a place, until the end of the transaction, among the calls that wait for this organization and among all; false, and Retry-After is set, where there is none (configuration.max_waiting).';
GRANT EXECUTE ON FUNCTION mqtt.may_wait(uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.receipts_in_queue(receipt_ids uuid [])
RETURNS TABLE (
    receipt_id uuid, msg_id bigint, queued_at timestamptz, organization_id uuid, integration_id uuid, topic text, qos smallint, attempts smallint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The messages of one call have one time: it is looked up once, and each message makes its id once.
    RETURN QUERY
    SELECT q.id, q.msg_id, q.enqueued_at, q.organization_id, q.integration_id, q.topic, q.qos, q.attempts
    FROM (SELECT DISTINCT mqtt.message_id_time(a.id) AS queued_at FROM unnest(receipt_ids) AS a (id)) AS t
    CROSS JOIN LATERAL (
        SELECT
            x.msg_id, x.enqueued_at, x.organization_id, x.integration_id, x.message ->> 'topic' AS topic,
            coalesce((x.message ->> 'qos')::smallint, 0::smallint) AS qos, x.attempts,
            coalesce(x.receipt_id, mqtt.keyed_message_id(x.enqueued_at, -x.msg_id, (SELECT k.key FROM mqtt.message_id_key AS k))) AS id
        FROM pgmq.q_mqtt_outbound AS x
        WHERE x.enqueued_at = t.queued_at
            AND ((SELECT mqtt.is_operator()) OR x.organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []))
        OFFSET 0  -- an index scan for each time, never a scan of a queue that may be long
    ) AS q
    -- IS TRUE: always a table of hashes, however few messages the planner expects.
    WHERE (q.id IN (SELECT a.id FROM unnest(receipt_ids) AS a (id))) IS TRUE AND mqtt.key_allows(q.integration_id);
END;
$$;
COMMENT ON FUNCTION mqtt.receipts_in_queue(uuid []) IS 'The queued messages among these that the caller may see.';

CREATE OR REPLACE FUNCTION mqtt.publish_receipts(receipt_ids uuid []) RETURNS SETOF mqtt.mqtt_publish_receipts
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- In PL/pgSQL, because it keeps the plan, and because Citus does not plan SQL functions with arguments.
    RETURN QUERY
    WITH asked AS (
        SELECT a.id, min(a.place) AS place, mqtt.message_id_time(a.id) AS queued_at FROM unnest(receipt_ids) WITH ORDINALITY AS a (id, place) GROUP BY a.id
    ),
    visible AS MATERIALIZED (
        SELECT o.id FROM mqtt.organizations AS o WHERE (SELECT mqtt.is_operator()) OR o.id = ANY ((SELECT mqtt.current_organization_ids())::uuid [])
    )
    SELECT
        coalesce(r.queued_at, q.queued_at),
        r.settled_at,
        coalesce(r.organization_id, q.organization_id),
        a.id,
        coalesce(r.integration_id, q.integration_id),
        coalesce(r.qos, q.qos),
        coalesce(r.attempts, q.attempts),
        r.reason_code,
        coalesce(r.state, CASE WHEN q.msg_id IS NOT NULL THEN 'queued' ELSE 'unknown' END),
        coalesce(r.topic, q.topic),
        r.reason
    FROM asked AS a
    LEFT JOIN LATERAL (
        SELECT s.*
        FROM visible AS v
        JOIN mqtt.mqtt_publish_receipts AS s ON s.organization_id = v.id
        WHERE s.id = a.id AND s.queued_at = a.queued_at AND mqtt.key_allows(s.integration_id)
        LIMIT 1
    ) AS r ON true
    LEFT JOIN mqtt.receipts_in_queue(receipt_ids) AS q ON q.receipt_id = a.id
    ORDER BY a.place;
END;
$$;
COMMENT ON FUNCTION mqtt.publish_receipts(uuid []) IS
'State of each receipt that the caller may see, in the order given; unknown, and otherwise empty, for the others.';

CREATE OR REPLACE FUNCTION api.get_mqtt_publish_receipts(receipt_ids uuid [], wait numeric DEFAULT 0)
RETURNS TABLE (
    receipt_id uuid, state text, organization_id uuid, integration_id uuid, topic text, qos smallint, attempts smallint, reason_code smallint,
    reason text, queued_at timestamptz, settled_at timestamptz
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_until timestamptz := mqtt.check_wait(wait);
    v_limit integer := (SELECT c.max_batch_messages FROM mqtt.configuration AS c);
    v_step double precision := 0.01;
    v_queued_for uuid;
    v_has_place boolean;
BEGIN
    IF cardinality(receipt_ids) > v_limit THEN
        RAISE EXCEPTION 'batch_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('%s receipt ids are more than the %s that one call may have.', cardinality(receipt_ids), v_limit),
            HINT = 'Ask in several calls.';
    END IF;
    -- Each iteration is a new statement, so it sees what has been committed meanwhile.
    WHILE clock_timestamp() < v_until LOOP
        SELECT r.organization_id INTO v_queued_for FROM mqtt.publish_receipts(receipt_ids) AS r WHERE r.state = 'queued' LIMIT 1;
        v_has_place := found AND coalesce(v_has_place, mqtt.may_wait(v_queued_for));
        EXIT WHEN NOT v_has_place;
        PERFORM pg_sleep(least(v_step, extract(epoch FROM v_until - clock_timestamp())));
        v_step := least(v_step * 1.5, 0.2);
    END LOOP;
    RETURN QUERY
    SELECT
        r.id, r.state, r.organization_id, r.integration_id, r.topic, r.qos, r.attempts, r.reason_code, r.reason, r.queued_at, r.settled_at
    FROM mqtt.publish_receipts(receipt_ids) AS r;
END;
$$;
COMMENT ON FUNCTION api.get_mqtt_publish_receipts(uuid [], numeric) IS
$md$Get the state of published messages

One row for each receipt id, in the order given. `state`: `queued`, `sent` (QoS 0: handed to the broker), `acknowledged` (QoS 1 and 2: by the
broker), `failed` (see reason and reason_code, an MQTT 5 reason code), `expired`, `cancelled`, or `unknown` (no receipt that you may see,
or past its retention). With `wait`, the call returns when none of them is queued any longer, or after that many seconds (0 to 20) at the latest;
sooner, with `Retry-After`, while too many calls are waiting.
Errors: 400 `wait_invalid`; 413 `batch_too_large`.$md$;
GRANT EXECUTE ON FUNCTION api.get_mqtt_publish_receipts(uuid [], numeric) TO authenticated, service_role;
COMMIT;
