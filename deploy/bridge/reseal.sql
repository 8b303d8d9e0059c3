-- Deploy topicbase:bridge/reseal to pg
-- requires: bridge/sealed_values
-- requires: integrations/secrets
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.sealing_state() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'public_key', translate(encode(c.sealing_public_key, 'base64'), E'\n', ''),
        'key', mqtt.sealing_key_id(c.sealing_public_key),
        'sealed', (
            SELECT coalesce(jsonb_object_agg(s.key, s.count), '{}')
            FROM (
                SELECT coalesce(v.value ->> 'key', '') AS key, count(*) AS count
                FROM mqtt.sealed_values AS v
                GROUP BY 1
            ) AS s
        )
    )
    FROM mqtt.configuration AS c;
$$;
COMMENT ON FUNCTION bridge.sealing_state() IS
'{"public_key": base64 or null, "key": its id, "sealed": {"<key id>": how many secrets}}; "" counts secrets whose key is not known because the caller sealed them.';
GRANT EXECUTE ON FUNCTION bridge.sealing_state() TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.sealed_otherwise(after_place text, after_id uuid, most integer)
RETURNS TABLE (place text, organization_id uuid, id uuid, value jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT v.place, v.organization_id, v.id, v.value
    FROM mqtt.sealed_values AS v
    WHERE v.value ->> 'key' IS DISTINCT FROM (SELECT mqtt.sealing_key_id(c.sealing_public_key) FROM mqtt.configuration AS c)
        AND (v.place, v.id) > (after_place, after_id)
    ORDER BY v.place, v.id
    LIMIT most;
$$;
COMMENT ON FUNCTION bridge.sealed_otherwise(text, uuid, integer) IS
'Secrets that are not sealed to the current key, ordered by place and id, starting after the given one.';
GRANT EXECUTE ON FUNCTION bridge.sealed_otherwise(text, uuid, integer) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.reseal(places text [], ids uuid [], old_values jsonb [], new_values jsonb []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key CONSTANT text := (SELECT mqtt.sealing_key_id(c.sealing_public_key) FROM mqtt.configuration AS c);
    v_count integer;
    v_callbacks integer;
BEGIN
    IF EXISTS (SELECT FROM unnest(new_values) AS n (value) WHERE n.value ->> 'key' IS DISTINCT FROM v_key) THEN
        RAISE EXCEPTION 'sealing_key_changed' USING
            ERRCODE = 'PT409',
            DETAIL = format('The current key is %s; this is sealed to another.', coalesce(v_key, 'none')),
            HINT = 'Run topicbase reseal again.';
    END IF;
    -- Locked until the commit, so that the new box never replaces a secret that its owner has just changed.
    PERFORM FROM mqtt.device_integrations AS i WHERE i.id = ANY (ids) ORDER BY i.id FOR NO KEY UPDATE;
    WITH matching AS MATERIALIZED (
        SELECT i.id, jsonb_object_agg(split_part(r.place, '.', 3), r.new_value) AS secrets, count(*) AS count
        FROM unnest(places, ids, old_values, new_values) AS r (place, id, old_value, new_value)
        JOIN mqtt.device_integrations AS i ON i.id = r.id
        WHERE r.place ^@ 'device_integrations.settings.' AND i.settings -> split_part(r.place, '.', 3) = r.old_value
        GROUP BY i.id
    ),
    resealed AS (
        UPDATE mqtt.device_integrations AS i
        SET settings = i.settings || m.secrets
        FROM matching AS m
        WHERE i.id = m.id
    )
    SELECT coalesce(sum(m.count), 0) INTO v_count FROM matching AS m;
    PERFORM FROM mqtt.callback_secrets AS k WHERE k.subscription_id = ANY (ids) ORDER BY k.subscription_id FOR NO KEY UPDATE;
    WITH given AS (
        SELECT
            r.id,
            max(r.old_value::text) FILTER (WHERE r.place = 'callback_secrets.sealed')::jsonb AS old_sealed,
            max(r.new_value::text) FILTER (WHERE r.place = 'callback_secrets.sealed')::jsonb AS new_sealed,
            max(r.old_value::text) FILTER (WHERE r.place = 'callback_secrets.previous')::jsonb AS old_previous,
            max(r.new_value::text) FILTER (WHERE r.place = 'callback_secrets.previous')::jsonb AS new_previous
        FROM unnest(places, ids, old_values, new_values) AS r (place, id, old_value, new_value)
        WHERE r.place ^@ 'callback_secrets.'
        GROUP BY r.id
    ),
    matching AS MATERIALIZED (
        SELECT
            k.organization_id, k.subscription_id, g.new_sealed, g.new_previous,
            k.sealed IS NOT DISTINCT FROM g.old_sealed AS has_sealed, k.previous IS NOT DISTINCT FROM g.old_previous AND g.old_previous IS NOT NULL AS has_previous
        FROM given AS g
        JOIN mqtt.callback_secrets AS k ON k.subscription_id = g.id
    ),
    resealed AS (
        UPDATE mqtt.callback_secrets AS k
        SET sealed = CASE WHEN m.has_sealed THEN m.new_sealed ELSE k.sealed END,
            previous = CASE WHEN m.has_previous THEN m.new_previous ELSE k.previous END
        FROM matching AS m
        WHERE k.organization_id = m.organization_id AND k.subscription_id = m.subscription_id
    )
    SELECT coalesce(sum(m.has_sealed::integer + m.has_previous::integer), 0) INTO v_callbacks FROM matching AS m;
    RETURN v_count + v_callbacks;
END;
$$;
COMMENT ON FUNCTION bridge.reseal(text [], uuid [], jsonb [], jsonb []) IS
'Replaces old boxes by new ones, if the old one is still stored; returns how many. Raises PT409 sealing_key_changed if the new ones are not sealed to the current key.';
GRANT EXECUTE ON FUNCTION bridge.reseal(text [], uuid [], jsonb [], jsonb []) TO mqtt_bridge;
COMMIT;
