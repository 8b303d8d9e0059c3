-- Deploy topicbase:tables/device_integrations to pg
-- requires: tables/client_ids
-- requires: tenants/membership
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.device_integrations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES mqtt.organizations (id) ON DELETE CASCADE,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    integration_type text NOT NULL CHECK (integration_type IN ('mqtt', 'mqtt_hosted', 'mqtt_external')),
    settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'error')),
    status_detail text,
    status_changed_at timestamptz NOT NULL DEFAULT now(),
    topic_like text NOT NULL DEFAULT '%',
    topic_levels smallint NOT NULL DEFAULT 1,
    device_level smallint NOT NULL DEFAULT 3 CHECK (device_level > 0),
    message_type_level smallint NOT NULL DEFAULT 4 CHECK (message_type_level >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, id)
);
-- Two clients with one id throw each other out. Those of other organizations are not looked at, or a refusal would tell of them.
CREATE UNIQUE INDEX device_integrations_client_id_idx ON mqtt.device_integrations (
    organization_id, (settings ->> 'broker_url'), (settings ->> 'port'), (coalesce(settings ->> 'path', '')), mqtt.bridge_client_id(id, settings)
) WHERE integration_type <> 'mqtt_hosted' AND status <> 'inactive';
COMMENT ON TABLE mqtt.device_integrations IS 'How an organization''s devices are reached: the hosted broker, or a broker of its own.';
COMMENT ON COLUMN mqtt.device_integrations.integration_type IS 'mqtt_hosted: the broker beside this database; mqtt and mqtt_external: the broker named in settings.';
COMMENT ON COLUMN mqtt.device_integrations.settings IS 'broker_url, port, protocol, username, TLS and topic settings; secrets only in sealed form.';
COMMENT ON COLUMN mqtt.device_integrations.status IS 'active, inactive (switched off by an admin: its calls are refused) or error (its broker is unreachable; messages wait).';
COMMENT ON COLUMN mqtt.device_integrations.status_detail IS 'Why the status is error, in words.';
COMMENT ON COLUMN mqtt.device_integrations.topic_like IS 'LIKE pattern of the levels of topics that name a device; compiled from settings.topic_pattern.';
COMMENT ON COLUMN mqtt.device_integrations.topic_levels IS 'How many levels such topics have, less than 0: so many or more; compiled from settings.topic_pattern.';
COMMENT ON COLUMN mqtt.device_integrations.device_level IS 'Topic level, from 1, that holds the device id; compiled from settings.topic_pattern.';
COMMENT ON COLUMN mqtt.device_integrations.message_type_level IS 'Topic level, from 1, that holds the message type, 0 when there is none; compiled from settings.topic_pattern.';
ALTER TABLE mqtt.device_integrations ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.device_integrations FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY admins_insert ON mqtt.device_integrations FOR INSERT TO authenticated
WITH CHECK (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []));
CREATE POLICY admins_update ON mqtt.device_integrations FOR UPDATE TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []))
WITH CHECK (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []));
CREATE POLICY admins_delete ON mqtt.device_integrations FOR DELETE TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []));
CREATE POLICY service_writes ON mqtt.device_integrations TO service_role USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON mqtt.device_integrations TO authenticated, service_role;
COMMIT;
