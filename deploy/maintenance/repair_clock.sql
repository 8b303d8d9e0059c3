-- Deploy topicbase:maintenance/repair_clock to pg
-- requires: tables/device_integrations
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.repair_clock() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    -- The index finds messages that are not yet due, organization by organization; in most queues none was enqueued in the future.
    -- All of them move back by the same step, so that they keep their order.
    WITH late AS (
        SELECT
            q.msg_id,
            max(greatest(q.enqueued_at, (q.errors -> -1 ->> 'at')::timestamptz)) OVER () - clock_timestamp() AS step
        FROM mqtt.organizations AS o
        JOIN pgmq.q_mqtt_messages AS q ON q.organization_id = o.id AND q.vt > clock_timestamp() + interval '10 seconds'
        WHERE greatest(q.enqueued_at, (q.errors -> -1 ->> 'at')::timestamptz) > clock_timestamp() + interval '10 seconds'
            -- otherwise it has been repaired before
            AND q.vt >= greatest(q.enqueued_at, (q.errors -> -1 ->> 'at')::timestamptz)
    ),
    incoming AS (
        UPDATE pgmq.q_mqtt_messages AS q
        SET vt = q.vt - l.step
        FROM late AS l
        WHERE q.msg_id = l.msg_id
        RETURNING 1
    ),
    late_outgoing AS (
        SELECT q.msg_id, max(q.enqueued_at) OVER () - clock_timestamp() AS step
        FROM mqtt.device_integrations AS i
        JOIN pgmq.q_mqtt_outbound AS q ON q.integration_id = i.id AND q.vt > clock_timestamp() + interval '10 seconds'
        -- deliver_at is a calendar time, which does not move.
        WHERE q.enqueued_at > clock_timestamp() + interval '10 seconds' AND q.vt <= q.enqueued_at + interval '1 second'
    ),
    outgoing AS (
        UPDATE pgmq.q_mqtt_outbound AS q
        SET vt = q.vt - l.step, expires_at = q.expires_at - l.step
        FROM late_outgoing AS l
        WHERE q.msg_id = l.msg_id
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM incoming) + (SELECT count(*) FROM outgoing);
$$;
COMMENT ON FUNCTION mqtt.repair_clock() IS
'Repairs the queues after the server''s clock was set back: messages that were enqueued or failed in what is now the future become due when they would have been, not when the clock reaches that time again. Returns how many.';
COMMIT;
