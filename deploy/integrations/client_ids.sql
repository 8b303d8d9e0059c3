-- Deploy topicbase:integrations/client_ids to pg
-- requires: base/locks
-- requires: tables/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_client_id_free(client_id text, organization_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        -- The bridge's own, for integrations and for connection tests.
        is_client_id_free.client_id !~ '^topicbaset?[0-9a-f]{12,14}$'
        AND NOT EXISTS (
            SELECT
            FROM mqtt.organizations AS o
            WHERE o.slug = (regexp_match(is_client_id_free.client_id, '^([^.]*)[.]'))[1] AND o.id <> is_client_id_free.organization_id
        )
        -- Ended logins count, too: their sessions may still be there.
        AND NOT EXISTS (
            SELECT
            FROM mqtt.mqtt_credentials AS c
            INNER JOIN mqtt.device_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
            WHERE c.client_id = is_client_id_free.client_id AND c.organization_id <> is_client_id_free.organization_id
                AND i.integration_type = 'mqtt_hosted'
        );
END;
COMMENT ON FUNCTION mqtt.is_client_id_free(text, uuid) IS
'Whether a login of that organization may have the client id at the hosted broker: it must be none of the bridge''s, none that begins with another organization''s slug and a dot, and no other organization may have it.';

CREATE OR REPLACE FUNCTION mqtt.give_client_id() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_own text;
BEGIN
    -- Two organizations that ask for the same one at the same time. A few locks are enough, and a large INSERT must not run out of them.
    PERFORM pg_advisory_xact_lock(mqtt.client_id_lock(), hashtext(NEW.client_id) % 64);
    IF mqtt.is_client_id_free(NEW.client_id, NEW.organization_id) OR NOT EXISTS (
        SELECT FROM mqtt.device_integrations AS i
        WHERE i.organization_id = NEW.organization_id AND i.id = NEW.integration_id AND i.integration_type = 'mqtt_hosted'
    ) THEN
        RETURN NEW;
    END IF;
    SELECT o.slug || '.' || NEW.client_id INTO v_own FROM mqtt.organizations AS o WHERE o.id = NEW.organization_id;
    -- Another organization may have taken it before there was one with this slug.
    NEW.client_id := CASE WHEN length(v_own) <= 64 AND mqtt.is_client_id_free(v_own, NEW.organization_id) THEN v_own ELSE NEW.username END;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION mqtt.give_client_id() IS
'Trigger: a client id that is not free at the hosted broker gets the organization''s slug and a dot before it or, where that is too long or not free either, is replaced by the username. No slug contains a dot.';
-- The trigger a_client_id is there, and making it again would lock the table.
COMMIT;
