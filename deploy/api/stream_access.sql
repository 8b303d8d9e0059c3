-- Deploy topicbase:api/stream_access to pg
-- requires: base/configuration
-- requires: base/locks
-- requires: integrations/api_keys
-- requires: tables/stream_connections
-- requires: tenants/operators
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.stream_key(key text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_claims CONSTANT jsonb := mqtt.api_key_claims(key);
BEGIN
    IF v_claims IS NULL THEN
        RAISE EXCEPTION 'api_key_invalid' USING
            ERRCODE = 'PT401', DETAIL = 'The API key is no key that is valid now.', HINT = 'An admin of the organization makes keys with create_api_key.';
    END IF;
    PERFORM mqtt.note_api_key(v_claims);
    RETURN v_claims;
END;
$$;
COMMENT ON FUNCTION mqtt.stream_key(text) IS 'The claims of an API key, as mqtt.api_key_claims has them, for the live stream. Any scope will do, since it only reads. Errors: PT401 `api_key_invalid`.';

CREATE OR REPLACE FUNCTION mqtt.stream_members(users uuid [], keys uuid []) RETURNS TABLE (user_id uuid, organization integer)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.user_id, o.number
    FROM mqtt.organization_members AS m
    JOIN mqtt.organizations AS o ON o.id = m.organization_id
    WHERE m.user_id = ANY (users)
    UNION ALL
    SELECT k.id, o.number
    FROM mqtt.api_keys AS k
    JOIN mqtt.organizations AS o ON o.id = k.organization_id
    WHERE k.id = ANY (keys) AND (k.expires_at > now()) IS NOT FALSE
    UNION ALL
    SELECT p.user_id, 0 FROM mqtt.operators AS p WHERE p.user_id = ANY (users);
$$;
COMMENT ON FUNCTION mqtt.stream_members(uuid [], uuid []) IS
'What these users and API keys may see at this moment: the organizations that they belong to, by number, and 0, the installation, for operators.';

CREATE OR REPLACE FUNCTION mqtt.stream_organizations(claims jsonb, organization_id uuid) RETURNS integer []
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id CONSTANT uuid := substring(claims ->> 'sub', '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')::uuid;
    v_ids CONSTANT uuid [] := CASE WHEN v_id IS NULL THEN '{}' ELSE ARRAY[v_id] END;
    v_is_service CONSTANT boolean := claims ->> 'role' = 'service_role';
    v_is_key CONSTANT boolean := claims ? 'api_key';
    v_numbers integer [];
BEGIN
    IF (claims ->> 'role' IN ('authenticated', 'service_role')) IS NOT TRUE THEN
        RAISE EXCEPTION 'role_not_allowed' USING
            ERRCODE = 'PT403', DETAIL = 'The stream is for tokens of the roles authenticated and service_role.', HINT = 'Log in as a member of an organization.';
    END IF;
    v_numbers := ARRAY(
        SELECT o.number
        FROM mqtt.organizations AS o
        WHERE (stream_organizations.organization_id IS NULL OR o.id = stream_organizations.organization_id) AND (
            v_is_service OR o.number IN (
                SELECT m.organization
                FROM mqtt.stream_members(CASE WHEN v_is_key THEN '{}' ELSE v_ids END, CASE WHEN v_is_key THEN v_ids ELSE '{}' END) AS m
            )
        )
        ORDER BY o.number
        LIMIT 21
    );
    IF v_numbers = '{}' THEN
        RAISE EXCEPTION 'organization_not_found' USING
            ERRCODE = 'PT404', DETAIL = 'There is no such organization that you may see.', HINT = 'GET /organizations lists yours.';
    ELSIF cardinality(v_numbers) > 20 THEN
        RAISE EXCEPTION 'organization_required' USING
            ERRCODE = 'PT400', DETAIL = 'One subscription is for at most 20 organizations.', HINT = 'Name one by organization_id.';
    END IF;
    RETURN v_numbers;
END;
$$;
COMMENT ON FUNCTION mqtt.stream_organizations(jsonb, uuid) IS
'The organizations that the claims of a token or an API key open, by number. Errors: PT400 `organization_required`; PT403 `role_not_allowed`; PT404 `organization_not_found`.';

CREATE OR REPLACE FUNCTION mqtt.claimed_integrations(claims jsonb) RETURNS uuid []
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN claims #> '{api_key,integration_ids}' IS NOT NULL
            THEN ARRAY(SELECT i.id::uuid FROM jsonb_array_elements_text(claims #> '{api_key,integration_ids}') AS i (id))
    END;
END;
COMMENT ON FUNCTION mqtt.claimed_integrations(jsonb) IS 'The only integrations that an API key with these claims may see; null if they are not limited.';

CREATE OR REPLACE FUNCTION mqtt.count_stream(process_id uuid, organizations integer [], connections integer []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A process that does not hold the lock on its id has ended.
    DELETE FROM mqtt.stream_connections AS c
    WHERE c.process_id <> count_stream.process_id AND pg_try_advisory_xact_lock(mqtt.bridge_lock(c.process_id))
        OR c.process_id = count_stream.process_id AND c.organization <> ALL (organizations);
    INSERT INTO mqtt.stream_connections AS c (organization, process_id, connections)
    SELECT n.organization, count_stream.process_id, n.connections
    FROM unnest(count_stream.organizations, count_stream.connections) AS n (organization, connections)
    ON CONFLICT ON CONSTRAINT stream_connections_pkey DO UPDATE SET connections = excluded.connections
    WHERE c.connections <> excluded.connections;
END;
$$;
COMMENT ON FUNCTION mqtt.count_stream(uuid, integer [], integer []) IS
'A process of the stream, which holds the advisory lock mqtt.bridge_lock(process_id), has so many connections of these organizations and none of others.';

CREATE OR REPLACE FUNCTION mqtt.free_connections(process_id uuid, organization integer) RETURNS integer
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        coalesce(
            (SELECT o.max_stream_connections FROM mqtt.organizations AS o WHERE o.number = free_connections.organization),
            (SELECT c.max_stream_connections FROM mqtt.configuration AS c)
        ) - coalesce(sum(n.connections), 0)::integer
    FROM mqtt.stream_connections AS n
    WHERE n.organization = free_connections.organization AND n.process_id <> free_connections.process_id;
END;
COMMENT ON FUNCTION mqtt.free_connections(uuid, integer) IS
'How many connections of an organization a process of the stream may have, beside those that the others have said they have (max_stream_connections of the organization, or of the installation).';
GRANT EXECUTE ON FUNCTION mqtt.stream_key(text), mqtt.stream_members(uuid [], uuid []), mqtt.count_stream(uuid, integer [], integer []) TO topicbase_stream;
COMMIT;
