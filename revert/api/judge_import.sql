-- Deploy topicbase:api/judge_import to pg
-- requires: ingest/enqueue_batch
-- requires: tables/device_integrations
-- requires: tables/packs
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.import_id(given text, integration_id uuid, topic text, measured_at timestamptz, payload jsonb, body bytea) RETURNS uuid
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(given::uuid, overlay(overlay(md5(concat_ws(
        E'\n', integration_id, topic, extract(EPOCH FROM measured_at), payload, encode(body, 'hex')
    )) PLACING '8' FROM 13) PLACING 'a' FROM 17)::uuid);
END;
COMMENT ON FUNCTION mqtt.import_id(text, uuid, text, timestamptz, jsonb, bytea) IS
'The id of a message that is imported: its own, or a UUID of version 8 made of what it says, so that it is the same in each run.';

CREATE OR REPLACE FUNCTION mqtt.stored_ids(organization integer, ids uuid []) RETURNS uuid []
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN ARRAY(
        SELECT h.id FROM mqtt.history AS h WHERE h.organization = stored_ids.organization AND h.id = ANY (ids) AND h.flags & 16 = 16
        UNION
        SELECT i.id
        FROM mqtt.packs AS p
        CROSS JOIN LATERAL unnest(p.given_ids) AS i (id)
        WHERE p.given_ids && ids AND p.organization = stored_ids.organization AND i.id = ANY (ids)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.stored_ids(integer, uuid []) IS 'Those of these ids, given by clients or made by mqtt.import_id, that an organization''s stored messages have.';

CREATE OR REPLACE FUNCTION mqtt.judge_import(integration mqtt.device_integrations, messages jsonb) RETURNS text []
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_prefix text;
    v_room integer;
    v_max_bytes integer;
    v_latest timestamptz;
BEGIN
    SELECT
        CASE integration.integration_type WHEN 'mqtt_hosted' THEN o.topic_prefix END,
        c.max_topics - coalesce((SELECT t.topics FROM mqtt.topic_counts AS t WHERE t.organization_id = o.id), 0),
        least(coalesce(o.max_payload_bytes, c.max_payload_bytes), c.max_payload_bytes), now() + c.max_time_ahead
    INTO STRICT v_prefix, v_room, v_max_bytes, v_latest
    FROM mqtt.organizations AS o
    CROSS JOIN mqtt.configuration AS c
    WHERE o.id = integration.organization_id;
    RETURN ARRAY(
        WITH judged AS MATERIALIZED (
            SELECT j.* FROM mqtt.judged_messages(messages, '{}', v_prefix, NULL, v_max_bytes) AS j
        ),
        fresh AS MATERIALIZED (
            SELECT n.topic, row_number() OVER (ORDER BY n.topic) AS number
            FROM (SELECT DISTINCT j.topic FROM judged AS j WHERE j.rule IS NULL OFFSET 0) AS n
            WHERE NOT mqtt.is_topic_known(integration.organization_id, integration.id, n.topic)
        )
        SELECT
            CASE
                WHEN j.rule IS NOT NULL THEN j.rule
                WHEN (j.stamped_at BETWEEN '1970-01-01 00:00:00+00' AND v_latest) IS NOT TRUE THEN 'timestamp_invalid'
                WHEN f.number > v_room THEN 'topic_limit_reached'
            END
        FROM judged AS j
        LEFT JOIN fresh AS f ON f.topic = j.topic
        ORDER BY j.ordinality
    );
END;
$$;
COMMENT ON FUNCTION mqtt.judge_import(mqtt.device_integrations, jsonb) IS
'For each message why it cannot be imported, as a slug, or null: the rules of mqtt_ingest_batch, and a timestamp from 1970 to max_time_ahead from now.';
COMMIT;
