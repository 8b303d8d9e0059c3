-- Deploy topicbase:brokers/note_ended_logins to pg
-- requires: tables/ended_logins
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.note_deleted_logins() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO mqtt.ended_logins AS e (username, client_id, ended_at, reason)
    SELECT g.username, g.client_id, clock_timestamp(), 'deleted'
    FROM gone AS g
    -- Of the others the end was told for as long as it matters.
    WHERE (least(g.revoked_at, g.expires_at) < now() - interval '7 days') IS NOT TRUE
    ORDER BY g.username
    ON CONFLICT (username) DO UPDATE SET client_id = excluded.client_id, ended_at = excluded.ended_at, reason = excluded.reason;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.note_deleted_logins() IS
'Trigger: a login that is deleted is told to brokers that check logins only once (broker.ended_credentials), whatever it was deleted with.';
CREATE OR REPLACE TRIGGER note_deleted_logins AFTER DELETE ON mqtt.mqtt_credentials
REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT
EXECUTE FUNCTION mqtt.note_deleted_logins();

CREATE OR REPLACE FUNCTION mqtt.note_switched_off_logins() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO mqtt.ended_logins AS e (username, client_id, ended_at, reason)
    SELECT c.username, c.client_id, clock_timestamp(), 'switched_off'
    FROM mqtt.mqtt_credentials AS c
    WHERE c.organization_id = NEW.organization_id AND c.integration_id = NEW.id AND c.revoked_at IS NULL AND (c.expires_at <= now()) IS NOT TRUE
    ORDER BY c.username
    ON CONFLICT (username) DO UPDATE SET client_id = excluded.client_id, ended_at = excluded.ended_at, reason = excluded.reason;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.note_switched_off_logins() IS
'Trigger: the logins of a hosted integration that is switched off are told to brokers that check logins only once (broker.ended_credentials).';
CREATE OR REPLACE TRIGGER note_switched_off_logins AFTER UPDATE OF status ON mqtt.device_integrations
FOR EACH ROW WHEN (new.status = 'inactive' AND old.status <> 'inactive' AND new.integration_type = 'mqtt_hosted')
EXECUTE FUNCTION mqtt.note_switched_off_logins();
COMMIT;
