-- Deploy topicbase:process/record_device_facts to pg
-- requires: tables/presence_positions
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.sample_position(message_position bigint, sample integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE sample WHEN 1 THEN message_position ELSE nextval('pgmq.q_mqtt_messages_msg_id_seq'::regclass) END;
END;
COMMENT ON FUNCTION mqtt.sample_position(bigint, integer) IS
'The position of a sample: of the first that of its message, of others a new number, so that readings are in a total order.';

CREATE OR REPLACE FUNCTION mqtt.merged_metadata(known jsonb, news jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(known) IS DISTINCT FROM 'object' OR jsonb_typeof(news) IS DISTINCT FROM 'object' THEN
        RETURN news;
    END IF;
    RETURN known || (SELECT coalesce(jsonb_object_agg(n.key, mqtt.merged_metadata(known -> n.key, n.value)), '{}') FROM jsonb_each(news) AS n);
END;
$$;
COMMENT ON FUNCTION mqtt.merged_metadata(jsonb, jsonb) IS 'Metadata once news have come: member by member, at every depth.';

CREATE OR REPLACE FUNCTION mqtt.record_device_facts(facts jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_news record;
    v_is_newer boolean;
BEGIN
    FOR v_news IN
        SELECT d.organization_id, d.id, f.position, f.received_at, f.facts
        FROM (
            SELECT
                (j.value ->> 0)::uuid AS organization_id, (j.value ->> 1)::uuid AS integration_id, j.value ->> 2 AS external_id,
                (j.value -> 3)::bigint AS position, (j.value ->> 4)::timestamptz AS received_at, j.value -> 5 AS facts
            FROM jsonb_array_elements(record_device_facts.facts) AS j
        ) AS f
        JOIN mqtt.devices AS d USING (organization_id, integration_id, external_id)
        -- In the order of the key, so that two workers cannot lock each other out.
        ORDER BY d.organization_id, d.integration_id, d.external_id, f.position
    LOOP
        IF v_news.facts ? 'presence' THEN
            INSERT INTO mqtt.presence_positions AS p (organization_id, device_id, position)
            VALUES (v_news.organization_id, v_news.id, v_news.position)
            ON CONFLICT (organization_id, device_id) DO UPDATE SET position = excluded.position
            WHERE p.position <= excluded.position
            RETURNING true INTO v_is_newer;
            IF v_is_newer THEN
                UPDATE mqtt.devices AS d
                SET presence = jsonb_build_object('state', v_news.facts -> 'presence', 'since', CASE
                    WHEN d.presence -> 'state' = v_news.facts -> 'presence' THEN d.presence -> 'since' ELSE to_jsonb(v_news.received_at)
                END)
                -- What it says itself counts for more than that it was silent.
                WHERE d.organization_id = v_news.organization_id AND d.id = v_news.id
                    AND (d.presence -> 'state' <> v_news.facts -> 'presence' OR d.presence ? 'by');
            END IF;
        END IF;
        IF v_news.facts ? 'metadata' THEN
            UPDATE mqtt.devices AS d
            SET metadata = mqtt.merged_metadata(d.metadata, v_news.facts -> 'metadata')
            WHERE d.organization_id = v_news.organization_id AND d.id = v_news.id
                AND octet_length(mqtt.merged_metadata(d.metadata, v_news.facts -> 'metadata')::text) <= 65536
                AND mqtt.merged_metadata(d.metadata, v_news.facts -> 'metadata') <> d.metadata;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.record_device_facts(jsonb) IS
'Takes down what messages said of devices besides readings: [[organization, integration, external id, position, received at, {"presence", "metadata"}], …]. Presence goes by position; metadata are merged, and stay as they are where they would have more than 64 KiB.';
COMMIT;
