-- Deploy topicbase:bridge/repeated_retained to pg
-- requires: base/decode_payload
-- requires: tables/history
-- requires: tables/queues
-- requires: tables/retained_messages
-- requires: tables/topic_numbers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_last_stored(organization_id uuid, integration_id uuid, topic text, content_type text, payload bytea) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
    v_number CONSTANT integer := (SELECT t.number FROM mqtt.current_topic(organization_id, integration_id, topic) AS t);
    v_content_type CONSTANT text := coalesce(
        content_type, (SELECT i.settings ->> 'content_type' FROM mqtt.device_integrations AS i WHERE i.id = is_last_stored.integration_id)
    );
    v_last record;
    v_decoded mqtt.decoded_payload;
BEGIN
    IF v_number IS NULL THEN
        RETURN false;
    END IF;
    SELECT h.payload, h.body, h.properties INTO v_last
    FROM mqtt.history AS h
    -- Older than that it may as well be told again.
    WHERE h.topic = v_number AND h.flags & 8 = 0 AND h.received_at >= now() - interval '7 days'
    ORDER BY h.measured_at DESC
    LIMIT 1;
    IF NOT found OR v_last.properties - 'subscription_ids' <> '{}' THEN
        RETURN false;
    END IF;
    v_decoded := mqtt.decode_payload(v_content_type, payload);
    RETURN coalesce(v_decoded.payload, 'null') = v_last.payload AND v_decoded.body IS NOT DISTINCT FROM v_last.body;
END;
$$;
COMMENT ON FUNCTION mqtt.is_last_stored(uuid, uuid, text, text, bytea) IS
'Whether the last message that was stored of a topic, in the last days, has this payload and no properties: it came when it was published, and then was retained.';

CREATE OR REPLACE FUNCTION mqtt.last_waiting(organization_ids uuid []) RETURNS TABLE (integration_id uuid, topic text, content_type text, body bytea)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT DISTINCT ON (q.integration_id, q.message ->> 'topic')
        q.integration_id, q.message ->> 'topic', coalesce(q.message ->> 'content_type', ''),
        CASE WHEN q.message - '{topic,qos,retain,content_type}'::text [] = '{}' THEN q.body END
    FROM unnest(organization_ids) AS o (id)
    CROSS JOIN LATERAL (
        SELECT w.msg_id, w.integration_id, w.message, w.body
        FROM pgmq.q_mqtt_messages AS w
        WHERE w.organization_id = o.id
        ORDER BY w.vt DESC
        LIMIT 2000
    ) AS q
    ORDER BY q.integration_id ASC, q.message ->> 'topic' ASC, q.msg_id DESC;
END;
COMMENT ON FUNCTION mqtt.last_waiting(uuid []) IS
'Of each topic the last message that waits to be stored, among the newest of each organization, however many there are; body is null if it has properties.';

CREATE OR REPLACE FUNCTION mqtt.repeated_retained(
    owners uuid [], integration_ids uuid [], integration_numbers integer [], topics text [], payloads bytea [], retains boolean [], content_types text [],
    properties jsonb []
) RETURNS integer []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off -- else all that wait are read for the newest
SET jit = off
AS $$
DECLARE
    v_repeats integer [];
BEGIN
    WITH came AS MATERIALIZED (
        SELECT
            m.place, m.retain, owners[m.number] AS organization_id, integration_ids[m.number] AS integration_id, m.topic, m.payload, m.content_type,
            m.properties, sha256(convert_to(m.topic, 'UTF8')) AS topic_hash,
            -- The time until it expires runs down at the broker.
            sha256(sha256(m.payload) || convert_to(jsonb_build_array(m.content_type, m.properties - 'message_expiry')::text, 'UTF8')) AS content_hash
        FROM unnest(integration_numbers, topics, payloads, retains, content_types, repeated_retained.properties)
        WITH ORDINALITY AS m (number, topic, payload, retain, content_type, properties, place)
        -- In a session, the broker may have queued when it was published what it then sends as retained, too.
        WHERE owners[m.number] IS NOT NULL AND (m.number, m.topic) IN (
            SELECT x.number, x.topic FROM unnest(integration_numbers, topics, retains) AS x (number, topic, retain) WHERE x.retain
        )
    ),
    compared AS MATERIALIZED (
        SELECT c.*, coalesce(lag(c.content_hash) OVER w, r.content_hash) AS earlier_hash, row_number() OVER w AS turn
        FROM came AS c
        LEFT JOIN mqtt.retained_messages AS r
            ON r.organization_id = c.organization_id AND r.integration_id = c.integration_id AND r.topic_hash = c.topic_hash
        WINDOW w AS (PARTITION BY c.organization_id, c.integration_id, c.topic_hash ORDER BY c.place)
    ),
    waiting AS MATERIALIZED (
        SELECT w.*
        FROM mqtt.last_waiting(ARRAY(SELECT DISTINCT c.organization_id FROM compared AS c WHERE c.retain AND c.content_hash IS DISTINCT FROM c.earlier_hash)) AS w
    ),
    noted AS (
        INSERT INTO mqtt.retained_messages AS r (organization_id, integration_id, topic_hash, content_hash)
        -- In the order of the key, so that two bridges cannot deadlock.
        SELECT DISTINCT ON (c.organization_id, c.integration_id, c.topic_hash) c.organization_id, c.integration_id, c.topic_hash, c.content_hash
        FROM came AS c
        WHERE c.retain
        ORDER BY c.organization_id, c.integration_id, c.topic_hash, c.place DESC
        ON CONFLICT ON CONSTRAINT retained_messages_pkey DO UPDATE
        SET content_hash = excluded.content_hash, seen_at = excluded.seen_at
        WHERE r.content_hash <> excluded.content_hash OR r.seen_at < excluded.seen_at - interval '1 day'
    )
    SELECT coalesce(array_agg(c.place::integer), '{}') INTO v_repeats
    FROM compared AS c
    WHERE c.retain AND CASE
        WHEN c.content_hash = c.earlier_hash THEN true
        WHEN c.turn > 1 OR c.properties IS NOT NULL THEN false
        WHEN (c.integration_id, c.topic) IN (SELECT w.integration_id, w.topic FROM waiting AS w)
            THEN (c.integration_id, c.topic, coalesce(c.content_type, ''), c.payload) IN (SELECT w.* FROM waiting AS w)
        ELSE mqtt.is_last_stored(c.organization_id, c.integration_id, c.topic, c.content_type, c.payload)
    END;
    RETURN v_repeats;
END;
$$;
COMMENT ON FUNCTION mqtt.repeated_retained(uuid [], uuid [], integer [], text [], bytea [], boolean [], text [], jsonb []) IS
'Of what a bridge hands to bridge.ingest, the places of messages that a broker had retained and that are known: they are what it last sent of their topic as retained, or what came before in this call, still waits to be stored, or was last stored, of it. Notes those that are new.';
COMMIT;
