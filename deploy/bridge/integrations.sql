-- Deploy topicbase:bridge/integrations to pg
-- requires: bridge/hello
-- requires: tables/mqtt_callbacks
-- requires: tables/outbound_batches
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.take_lease(bridge_id uuid, organization_id uuid, integration_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What another holder had claimed counts as an attempt; claims of this process stay.
    WITH abandoned AS (
        DELETE FROM mqtt.outbound_batches AS b
        WHERE b.organization_id = take_lease.organization_id AND b.integration_id = take_lease.integration_id
            AND b.bridge_id <> take_lease.bridge_id
        RETURNING b.msg_ids
    )
    UPDATE pgmq.q_mqtt_outbound AS q
    SET attempts = q.attempts + 1
    FROM abandoned AS a
    CROSS JOIN LATERAL unnest(a.msg_ids) AS m (msg_id)
    WHERE q.msg_id = m.msg_id;
    -- Another holder's requests may have been answered: they are made again, with the same id.
    UPDATE mqtt.mqtt_callback_deliveries AS d
    SET bridge_id = NULL, due_at = clock_timestamp()
    FROM mqtt.mqtt_subscriptions AS s
    WHERE s.organization_id = take_lease.organization_id AND s.integration_id = take_lease.integration_id
        AND d.organization_id = s.organization_id AND d.subscription_id = s.id AND d.status = 'waiting'
        AND d.bridge_id <> take_lease.bridge_id;
    INSERT INTO mqtt.bridge_leases AS l (organization_id, integration_id, bridge_id)
    VALUES (take_lease.organization_id, take_lease.integration_id, take_lease.bridge_id)
    ON CONFLICT ON CONSTRAINT bridge_leases_pkey DO UPDATE
    SET bridge_id = excluded.bridge_id, taken_at = clock_timestamp()
    WHERE l.bridge_id <> excluded.bridge_id;
    RETURN found;
END;
$$;
COMMENT ON FUNCTION mqtt.take_lease(uuid, uuid, uuid) IS
'Gives the bridge the lease of an integration whose lock it holds, and takes over what another holder had begun. Returns whether the lease is new to this bridge.';

CREATE OR REPLACE FUNCTION mqtt.surplus_of_organizations() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Only an operator who lowers a limit makes any.
    RETURN QUERY
    SELECT s.id
    FROM (
        SELECT i.id, row_number() OVER (PARTITION BY i.organization_id ORDER BY i.created_at, i.id) AS place, g.most
        FROM (
            SELECT x.organization_id, coalesce(o.max_integrations, c.max_integrations) AS most
            FROM mqtt.device_integrations AS x
            JOIN mqtt.organizations AS o ON o.id = x.organization_id
            CROSS JOIN mqtt.configuration AS c
            WHERE x.status <> 'inactive'
            GROUP BY x.organization_id, most
            HAVING count(*) > coalesce(o.max_integrations, c.max_integrations)
        ) AS g
        JOIN mqtt.device_integrations AS i ON i.organization_id = g.organization_id AND i.status <> 'inactive'
    ) AS s
    WHERE s.place > s.most;
END;
$$;
COMMENT ON FUNCTION mqtt.surplus_of_organizations() IS
'Integrations that are switched on beyond what their organization may have (max_integrations), the newest: no bridge connects to their brokers.';

CREATE OR REPLACE FUNCTION bridge.take_integrations(bridge_id uuid) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_share integer;
    v_held integer;
    v_integration record;
    v_taken integer := 0;
    v_detail CONSTANT text := 'The organization may not have so many integrations switched on (max_integrations).';
    v_surplus CONSTANT uuid [] := ARRAY(SELECT mqtt.surplus_of_organizations());
BEGIN
    UPDATE mqtt.device_integrations AS i
    SET status = 'error', status_detail = v_detail, status_changed_at = clock_timestamp()
    WHERE i.id = ANY (v_surplus) AND i.status_detail IS DISTINCT FROM v_detail;
    SELECT ceil(count(*)::numeric / greatest(mqtt.live_bridges(take_integrations.bridge_id), 1)) INTO v_share
    FROM mqtt.device_integrations AS i
    WHERE i.status <> 'inactive';
    SELECT count(*) INTO v_held FROM mqtt.bridge_leases AS l WHERE l.bridge_id = take_integrations.bridge_id;
    FOR v_integration IN
        SELECT i.organization_id, i.id, l.bridge_id IS NOT DISTINCT FROM take_integrations.bridge_id AS is_mine
        FROM mqtt.device_integrations AS i
        JOIN mqtt.organizations AS o ON o.id = i.organization_id AND o.moving_to IS NULL
        LEFT JOIN mqtt.bridge_leases AS l ON l.integration_id = i.id
        WHERE i.status <> 'inactive' AND i.id <> ALL (v_surplus)
            AND (
                l.bridge_id IS NULL
                -- The caller's own lease whose lock went with a lost session, or a lease whose holder is gone.
                OR NOT EXISTS (
                    SELECT FROM pg_catalog.pg_locks AS k
                    WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
                        AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
                        AND (k.classid::bigint << 32 | k.objid::bigint) = mqtt.bridge_lock(i.id)
                )
            )
        ORDER BY is_mine DESC, i.id
    LOOP
        EXIT WHEN NOT v_integration.is_mine AND v_held + v_taken > v_share;
        CONTINUE WHEN NOT pg_try_advisory_lock(mqtt.bridge_lock(v_integration.id));
        IF mqtt.take_lease(take_integrations.bridge_id, v_integration.organization_id, v_integration.id) THEN
            v_taken := v_taken + 1;
        END IF;
    END LOOP;
    RETURN v_taken;
END;
$$;
COMMENT ON FUNCTION bridge.take_integrations(uuid) IS
'Takes integrations that no bridge holds, up to a fair share and one more, on the session whose locks keep them; returns how many are new.';
GRANT EXECUTE ON FUNCTION bridge.take_integrations(uuid) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.release_integrations(bridge_id uuid, integration_ids uuid []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM mqtt.outbound_batches AS b
    WHERE b.integration_id = ANY (release_integrations.integration_ids) AND b.bridge_id = release_integrations.bridge_id;
    DELETE FROM mqtt.bridge_leases AS l
    WHERE l.integration_id = ANY (release_integrations.integration_ids) AND l.bridge_id = release_integrations.bridge_id;
    PERFORM pg_advisory_unlock(mqtt.bridge_lock(r.id)) FROM unnest(release_integrations.integration_ids) AS r (id);
END;
$$;
COMMENT ON FUNCTION bridge.release_integrations(uuid, uuid []) IS
'Gives integrations back after their connections are closed; messages that were claimed but not settled wait for the next holder, and this costs them no attempt.';
GRANT EXECUTE ON FUNCTION bridge.release_integrations(uuid, uuid []) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.integrations(bridge_id uuid, known_stamps jsonb DEFAULT '{}')
RETURNS TABLE (
    id uuid, organization_id uuid, stamp text, is_changed boolean, integration_type text, settings jsonb, max_per_second double precision, max_burst integer,
    max_bytes_per_second bigint
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        l.integration_id,
        l.organization_id,
        s.stamp,
        s.stamp IS DISTINCT FROM known_stamps ->> l.integration_id::text,
        i.integration_type,
        CASE WHEN s.stamp IS DISTINCT FROM known_stamps ->> l.integration_id::text THEN i.settings END,
        o.max_per_second::double precision,
        o.max_burst,
        o.max_bytes_per_second
    FROM mqtt.bridge_leases AS l
    JOIN mqtt.device_integrations AS i ON i.organization_id = l.organization_id AND i.id = l.integration_id
    JOIN mqtt.organizations AS o ON o.id = l.organization_id
    CROSS JOIN LATERAL (SELECT md5(i.integration_type || i.settings::text) AS stamp) AS s
    WHERE l.bridge_id = integrations.bridge_id AND i.status <> 'inactive' AND o.moving_to IS NULL
        AND l.integration_id NOT IN (SELECT mqtt.surplus_of_organizations());
$$;
COMMENT ON FUNCTION bridge.integrations(uuid, jsonb) IS
'The integrations that a bridge holds and that are switched on, and whose organization does not move away; settings (secrets sealed) only where they differ from known_stamps, {"<id>": "<stamp>"}; of which the organization may have as many; and how many messages and bytes a second the organization''s brokers may deliver together. The bridge must close and release whatever else it holds.';
GRANT EXECUTE ON FUNCTION bridge.integrations(uuid, jsonb) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.surplus_integrations(bridge_id uuid) RETURNS uuid []
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(h.integration_id ORDER BY h.taken_at DESC) FILTER (WHERE h.place > h.share + 1), '{}')
    FROM (
        SELECT
            l.integration_id,
            l.taken_at,
            row_number() OVER (ORDER BY l.taken_at, l.integration_id) AS place,
            ceil(
                (SELECT count(*) FROM mqtt.device_integrations AS i WHERE i.status <> 'inactive')::numeric
                / greatest((SELECT mqtt.live_bridges(surplus_integrations.bridge_id)), 1)
            ) AS share
        FROM mqtt.bridge_leases AS l
        WHERE l.bridge_id = surplus_integrations.bridge_id
    ) AS h;
$$;
COMMENT ON FUNCTION bridge.surplus_integrations(uuid) IS 'Integrations beyond a bridge''s fair share, the newest first, for another bridge that has fewer.';
GRANT EXECUTE ON FUNCTION bridge.surplus_integrations(uuid) TO mqtt_bridge;
COMMIT;
