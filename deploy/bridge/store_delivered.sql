-- Deploy topicbase:bridge/store_delivered to pg
-- requires: base/decode_payload
-- requires: base/locks
-- requires: base/message_ids
-- requires: base/parse_values
-- requires: tables/history_values
-- requires: tables/payload_rules
-- requires: tables/queues
-- requires: tables/topic_numbers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.fewest_stored() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 20;
END;
COMMENT ON FUNCTION mqtt.fewest_stored() IS 'From how many messages of an integration in a call on it is less work to store them at once than to queue them.';

CREATE OR REPLACE FUNCTION mqtt.plain_integrations(owners uuid [], integration_ids uuid [], integration_numbers integer []) RETURNS integer []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_delivered, which calls it.
AS $$
BEGIN
    RETURN ARRAY(
        SELECT k.number
        FROM (SELECT n.number FROM unnest(integration_numbers) AS n (number) GROUP BY n.number HAVING count(*) >= mqtt.fewest_stored()) AS m
        JOIN unnest(owners, integration_ids) WITH ORDINALITY AS k (organization_id, integration_id, number) ON k.number = m.number
        JOIN mqtt.organizations AS o ON o.id = k.organization_id AND NOT o.has_all_topics
        JOIN mqtt.device_integrations AS i ON i.id = k.integration_id
        WHERE coalesce(i.settings ->> 'content_type', '') IN ('', 'application/json')
            AND NOT EXISTS (SELECT FROM mqtt.payload_rules AS r WHERE r.integration_id = k.integration_id)
            -- Nobody removes unused topics meanwhile, and while one is needed nobody is kept from it.
            AND pg_try_advisory_xact_lock_shared(mqtt.topics_lock(), hashtext(k.organization_id::text))
    );
END;
$$;
COMMENT ON FUNCTION mqtt.plain_integrations(uuid [], uuid [], integer []) IS
'The integrations, by place, of which a call has many messages that may be stored when they come, as the worker has nothing to find out about them.';

CREATE OR REPLACE FUNCTION mqtt.decoded_payloads(payloads bytea [], numbers integer [], plain integer []) RETURNS jsonb []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT CASE WHEN p.number = ANY (plain) THEN mqtt.quick_jsonb(convert_from(p.payload, 'UTF8')) END
        FROM unnest(payloads, numbers) WITH ORDINALITY AS p (payload, number, place)
        ORDER BY p.place
    );
EXCEPTION
    -- One of them is not JSON: each for itself, as the worker would.
    WHEN data_exception OR SQLSTATE 'PT400' THEN
        RETURN ARRAY(
            SELECT CASE WHEN (d.decoded).body IS NULL AND (d.decoded).decode_error IS NULL THEN (d.decoded).payload END
            FROM (
                SELECT CASE WHEN p.number = ANY (plain) THEN mqtt.decode_payload(NULL, p.payload) END AS decoded, p.place
                FROM unnest(payloads, numbers) WITH ORDINALITY AS p (payload, number, place)
                OFFSET 0
            ) AS d
            ORDER BY d.place
        );
END;
$$;
COMMENT ON FUNCTION mqtt.decoded_payloads(bytea [], integer [], integer []) IS
'mqtt.decode_payload of each, without a content type; null for what stays bytes, and where the number is not among plain.';

CREATE OR REPLACE FUNCTION mqtt.plain_messages(
    owners uuid [], integration_ids uuid [], numbers integer [], topics text [], payloads bytea [], plain integer []
) RETURNS TABLE (
    number integer, place integer, own_place integer, topic_number integer, body bytea, payload jsonb, sent_at timestamptz, is_plain boolean
)
LANGUAGE sql VOLATILE SECURITY INVOKER
BEGIN ATOMIC
    WITH message AS MATERIALIZED (
        SELECT m.*, mqtt.payload_time(m.payload) AS sent_at
        FROM (
            SELECT
                unnest(plain_messages.numbers) AS number, unnest(plain_messages.topics) AS topic, unnest(plain_messages.payloads) AS body,
                unnest(mqtt.decoded_payloads(plain_messages.payloads, plain_messages.numbers, plain_messages.plain)) AS payload,
                generate_subscripts(plain_messages.topics, 1) AS place
        ) AS m
        WHERE m.number = ANY (plain_messages.plain)
    ),
    topic AS MATERIALIZED (
        SELECT n.number, n.topic, t.number AS topic_number
        FROM (SELECT DISTINCT m.number, m.topic FROM message AS m) AS n
        CROSS JOIN LATERAL mqtt.current_topic(plain_messages.owners[n.number], plain_messages.integration_ids[n.number], n.topic) AS t
    )
    SELECT
        m.number, m.place, row_number() OVER (PARTITION BY m.number ORDER BY m.place)::integer, t.topic_number, m.body, m.payload, m.sent_at,
        -- In a longer topic, the device's id may be too long to be one. Of an empty payload, or a string with its quotes, the bytes tell what it is.
        -- Time that may be closed before the worker comes is the worker's to look at; see mqtt.close_readings.
        t.topic_number IS NOT NULL AND octet_length(m.topic) <= 255 AND m.payload IS NOT NULL AND m.body <> '' AND substr(m.body, 1, 1) <> '"'
        AND (m.sent_at BETWEEN now() - interval '30 seconds' AND now() + interval '30 seconds') IS NOT FALSE
    FROM message AS m
    INNER JOIN topic AS t ON t.number = m.number AND t.topic = m.topic;
END;
COMMENT ON FUNCTION mqtt.plain_messages(uuid [], uuid [], integer [], text [], bytea [], integer []) IS
'Delivered messages of the integrations plain, with their places in the call and among those of their integration, and whether they may be stored as they are. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.store_delivered(
    owners uuid [], integration_ids uuid [], integration_numbers integer [], topics text [], payloads bytea [], qos smallint [], retains boolean []
) RETURNS integer []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    v_plain CONSTANT integer [] := mqtt.plain_integrations(owners, integration_ids, integration_numbers);
    v_stored integer [];
BEGIN
    IF v_plain = '{}' THEN
        RETURN v_plain;
    END IF;
    -- Before the history, as the worker locks them: who alters both need not fear a deadlock.
    LOCK TABLE pgmq.q_mqtt_messages IN ROW EXCLUSIVE MODE;
    WITH message AS MATERIALIZED (
        SELECT m.* FROM mqtt.plain_messages(owners, integration_ids, integration_numbers, topics, payloads, v_plain) AS m
    ),
    -- Of each integration all or none, so that they keep their order.
    item AS MATERIALIZED (
        SELECT g.*, o.number AS organization, replace(mqtt.keyed_message_id(now(), g.first, k.key)::text, '-', '') AS digits
        FROM (
            SELECT
                m.number, count(*)::integer AS message_count, array_agg(m.body ORDER BY m.place) AS bodies,
                nextval('pgmq.q_mqtt_messages_msg_id_seq') AS first
            FROM message AS m
            GROUP BY m.number
            HAVING bool_and(m.is_plain)
            OFFSET 0
        ) AS g
        JOIN mqtt.organizations AS o ON o.id = owners[g.number]
        CROSS JOIN mqtt.message_id_key AS k
    ),
    stored AS (
        INSERT INTO mqtt.history (received_at, measured_at, position, id, organization, topic, stored_after, flags, payload)
        SELECT
            now(), coalesce(m.sent_at, now()), i.first + m.own_place - 1, mqtt.placed_message_id(i.digits, m.own_place),
            i.organization, m.topic_number, 0, mqtt.history_flags(qos[m.place], retains[m.place], false, false, m.sent_at IS NOT NULL), m.payload
        FROM item AS i
        JOIN message AS m ON m.number = i.number
        ORDER BY m.place
    ),
    queued AS (
        INSERT INTO pgmq.q_mqtt_messages (msg_id, vt, organization_id, integration_id, message_count, organization, bodies)
        OVERRIDING SYSTEM VALUE
        SELECT i.first, statement_timestamp(), owners[i.number], integration_ids[i.number], i.message_count, i.organization, i.bodies
        FROM item AS i
    )
    SELECT coalesce(array_agg(i.number), '{}') INTO v_stored FROM item AS i;
    RETURN v_stored;
END;
$$;
COMMENT ON FUNCTION mqtt.store_delivered(uuid [], uuid [], integer [], text [], bytea [], smallint [], boolean []) IS
'Stores what brokers delivered in the history at once, with a work item in the queue for each integration, where its messages are many (mqtt.fewest_stored), all of them are JSON or text, go to topics that the worker has seen before, and were measured now, and no payload rule concerns them; returns these integrations by place. The worker would store the same. A part of mqtt.ingest_plain, whose arguments it has.';
COMMIT;
