-- Deploy topicbase:bridge/matched_filters to pg
-- requires: tables/filters_by_prefix
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.matched_filters(
    owners uuid [], integration_ids uuid [], integration_numbers integer [], topics text [], qos smallint [], retains boolean [],
    subscription_numbers integer []
) RETURNS TABLE (place bigint, ids jsonb, is_copy boolean)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    -- Messages of the same topic are matched once, with the few filters that an index finds.
    WITH alike AS MATERIALIZED (
        SELECT row_number() OVER () AS id, k.*
        FROM (
            SELECT
                owners[m.number] AS organization_id, integration_ids[m.number] AS integration_id, m.topic, m.qos, m.retain, m.subscription_number,
                array_agg(m.place) AS places
            FROM unnest(integration_numbers, topics, matched_filters.qos, retains, subscription_numbers)
            WITH ORDINALITY AS m (number, topic, qos, retain, subscription_number, place)
            WHERE subscription_numbers IS NOT NULL AND m.subscription_number IS NOT NULL AND owners[m.number] IS NOT NULL
            GROUP BY owners[m.number], integration_ids[m.number], m.topic, m.qos, m.retain, m.subscription_number
        ) AS k
    ), candidate AS MATERIALIZED (
        SELECT
            k.id AS alike_id, k.places, k.topic, k.qos, k.retain, k.subscription_number, s.id, s.number, s.granted_qos, s.no_local,
            s.active_at, starts_with(s.topic, '$share/') AS is_shared, l.topic_like, l.topic_levels
        FROM alike AS k
        CROSS JOIN LATERAL mqtt.topic_prefixes(k.topic) AS p (prefix)
        CROSS JOIN LATERAL mqtt.filters_by_prefix(k.organization_id, k.integration_id, p.prefix, false) AS s
        CROSS JOIN LATERAL mqtt.topic_filter_levels(s.topic) AS l
        ORDER BY s.number
    ), filter AS (
        SELECT
            c.*,
            max(c.number) FILTER (WHERE c.number = c.subscription_number) OVER own AS own_number,
            max(c.active_at) FILTER (WHERE c.number = c.subscription_number) OVER own AS own_active_at,
            max(c.granted_qos) FILTER (WHERE c.number = c.subscription_number) OVER own AS own_granted_qos,
            bool_or(c.no_local) FILTER (WHERE c.number = c.subscription_number) OVER own AS own_no_local,
            bool_or(c.is_shared) FILTER (WHERE c.number = c.subscription_number) OVER own AS own_is_shared
        FROM candidate AS c
        WHERE mqtt.matched_levels(c.topic, c.topic_like, c.topic_levels) IS NOT NULL
        WINDOW own AS (PARTITION BY c.alike_id)
    )
    SELECT
        unnest(f.places),
        jsonb_agg(f.id ORDER BY f.active_at, f.number),
        coalesce(bool_or(
            f.number <> f.own_number AND NOT f.is_shared AND NOT f.own_is_shared AND NOT f.retain AND (f.own_no_local OR NOT f.no_local)
            AND CASE f.qos
                WHEN 0 THEN f.granted_qos > f.own_granted_qos
                    OR f.granted_qos = f.own_granted_qos AND (f.active_at, f.number) < (f.own_active_at, f.own_number)
                ELSE f.granted_qos > 0 AND (f.active_at, f.number) < (f.own_active_at, f.own_number)
            END
        ), false)
    FROM filter AS f
    GROUP BY f.alike_id, f.places;
END;
COMMENT ON FUNCTION mqtt.matched_filters(uuid [], uuid [], integer [], text [], smallint [], boolean [], integer []) IS
'For messages of integrations with several filters (those with a subscription number): which filters match, and whether the message is a copy to be left out. Many brokers send a copy for each filter that matches. One copy is kept and names all filters: the copy for the filter that was granted first, because that one must arrive too, and of QoS 0 copies the one for the filter with the highest granted QoS. No copy is left out of retained messages, which are not sent for every filter, and of shared filters, whose messages may go to another client. Inlined into the statement that calls it.';
COMMIT;
