-- Deploy topicbase:api/views to pg
-- requires: integrations/broker_url
-- requires: integrations/secrets
-- requires: process/latest_values
-- requires: tables/mqtt_credentials
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW api.organizations WITH (security_invoker = true) AS
SELECT
    o.id, o.name, o.slug, o.topic_prefix,
    (SELECT m.role FROM mqtt.organization_members AS m WHERE m.organization_id = o.id AND m.user_id = (SELECT mqtt.current_user_id())) AS role,
    o.completed_days, o.failed_days, o.activity_days, o.rollup_days, o.rollup_minute_days, o.max_per_second, o.max_burst, o.max_queued,
    o.max_payload_bytes, o.created_at, o.max_logins, o.max_bytes_per_second, o.max_processing_seconds, o.max_integrations, o.max_calls, o.max_stream_connections, o.max_subscriptions
FROM mqtt.organizations AS o;
COMMENT ON VIEW api.organizations IS
$md$Organizations

The organizations that you are a member of; service_role sees all.$md$;
COMMENT ON COLUMN api.organizations.id IS 'Organization id';
COMMENT ON COLUMN api.organizations.name IS 'Name, for people';
COMMENT ON COLUMN api.organizations.slug IS 'Short name';
COMMENT ON COLUMN api.organizations.topic_prefix IS 'First topic level of its hosted devices: org_<slug>';
COMMENT ON COLUMN api.organizations.role IS 'Your role in it: member or admin; null for service_role';
COMMENT ON COLUMN api.organizations.completed_days IS 'Days that its history is kept; null for the installation''s default';
COMMENT ON COLUMN api.organizations.failed_days IS 'Days that its dead letters are kept; null for the installation''s default';
COMMENT ON COLUMN api.organizations.activity_days IS 'Days that its activity log is kept; null for the installation''s default';
COMMENT ON COLUMN api.organizations.rollup_days IS 'Days that its rollups of hours and days are kept; null for the installation''s default';
COMMENT ON COLUMN api.organizations.rollup_minute_days IS 'Days that its rollups of minutes are kept; null for the installation''s default';
COMMENT ON COLUMN api.organizations.max_per_second IS 'Messages per second that its devices may send over HTTP; null for no limit';
COMMENT ON COLUMN api.organizations.max_burst IS 'Messages that they may send at once after a pause';
COMMENT ON COLUMN api.organizations.max_queued IS 'Messages that may wait to be processed; null for no limit of its own';
COMMENT ON COLUMN api.organizations.max_payload_bytes IS 'Largest payload in bytes; null for the installation''s limit';
COMMENT ON COLUMN api.organizations.created_at IS 'When it was created';
COMMENT ON COLUMN api.organizations.max_logins IS 'Valid device logins that it may have; null for the installation''s limit';
COMMENT ON COLUMN api.organizations.max_bytes_per_second IS 'Bytes of messages per second that its devices may send over HTTP, and its brokers deliver; null for no limit';
COMMENT ON COLUMN api.organizations.max_processing_seconds IS 'Seconds of the queue workers that its messages may take in a minute; null for no limit';
COMMENT ON COLUMN api.organizations.max_integrations IS 'Integrations that it may have switched on; null for the installation''s limit';
COMMENT ON COLUMN api.organizations.max_calls IS 'Calls of its members and API keys that may run at a time; null for the installation''s limit';
COMMENT ON COLUMN api.organizations.max_stream_connections IS 'Connections to the live stream that it may have; null for the installation''s limit';
COMMENT ON COLUMN api.organizations.max_subscriptions IS 'Subscriptions that it may have; null for the installation''s limit';
GRANT SELECT ON api.organizations TO authenticated, service_role;

CREATE OR REPLACE VIEW api.organization_members WITH (security_invoker = true) AS
SELECT m.organization_id, m.user_id, m.role, m.created_at
FROM mqtt.organization_members AS m;
COMMENT ON VIEW api.organization_members IS
$md$Members of your organizations$md$;
COMMENT ON COLUMN api.organization_members.organization_id IS 'Organization that it belongs to';
COMMENT ON COLUMN api.organization_members.user_id IS 'User: the sub of their JWT';
COMMENT ON COLUMN api.organization_members.role IS 'member or admin';
COMMENT ON COLUMN api.organization_members.created_at IS 'When they were added';
GRANT SELECT ON api.organization_members TO authenticated, service_role;

CREATE OR REPLACE VIEW api.device_integrations WITH (security_invoker = true) AS
SELECT
    i.id, i.organization_id, i.name, i.integration_type, mqtt.visible_settings(i.settings) AS settings, i.settings ? 'password' AS has_password,
    i.status, i.status_detail, i.status_changed_at, i.created_at, i.updated_at
FROM mqtt.device_integrations AS i;
COMMENT ON VIEW api.device_integrations IS
$md$Integrations

Settings without secrets: `has_password` and `has_client_key` say that one is stored.$md$;
COMMENT ON COLUMN api.device_integrations.id IS 'Integration id';
COMMENT ON COLUMN api.device_integrations.organization_id IS 'Organization that it belongs to';
COMMENT ON COLUMN api.device_integrations.name IS 'Name, for people';
COMMENT ON COLUMN api.device_integrations.integration_type IS 'mqtt_hosted, mqtt_external or mqtt';
COMMENT ON COLUMN api.device_integrations.settings IS 'Broker and topic settings, without secrets';
COMMENT ON COLUMN api.device_integrations.has_password IS 'Whether a broker password is stored';
COMMENT ON COLUMN api.device_integrations.status IS 'active, inactive (switched off) or error (its broker cannot be reached; messages wait)';
COMMENT ON COLUMN api.device_integrations.status_detail IS 'Why the status is error';
COMMENT ON COLUMN api.device_integrations.status_changed_at IS 'When the status last changed';
COMMENT ON COLUMN api.device_integrations.created_at IS 'When it was created';
COMMENT ON COLUMN api.device_integrations.updated_at IS 'When its settings last changed';
GRANT SELECT ON api.device_integrations TO authenticated, service_role;

CREATE OR REPLACE VIEW api.mqtt_credentials WITH (security_invoker = true) AS
SELECT
    c.id, c.organization_id, c.integration_id, c.device_id, c.member_id, c.username, c.client_id, c.topic_prefix,
    (SELECT mqtt.broker_url(i) FROM mqtt.device_integrations AS i WHERE i.organization_id = c.organization_id AND i.id = c.integration_id) AS broker_url,
    c.can_publish, c.can_subscribe, c.publish_filters, c.subscribe_filters, c.max_per_second, c.max_burst,
    CASE WHEN c.revoked_at IS NOT NULL THEN 'revoked' WHEN c.expires_at <= now() THEN 'expired' ELSE 'active' END AS status,
    c.expires_at, c.revoked_at, c.rotated_at, c.previous_until, c.last_connected_at, c.connection_count, c.created_at
FROM mqtt.mqtt_credentials AS c;
COMMENT ON VIEW api.mqtt_credentials IS
$md$Device logins

Without passwords, verifiers and hashes.$md$;
COMMENT ON COLUMN api.mqtt_credentials.id IS 'Credential id';
COMMENT ON COLUMN api.mqtt_credentials.organization_id IS 'Organization that it belongs to';
COMMENT ON COLUMN api.mqtt_credentials.integration_id IS 'Integration that it belongs to';
COMMENT ON COLUMN api.mqtt_credentials.device_id IS 'Device that it is bound to, if any';
COMMENT ON COLUMN api.mqtt_credentials.member_id IS 'Member whose browser it is for, if any';
COMMENT ON COLUMN api.mqtt_credentials.username IS 'MQTT user name, unique';
COMMENT ON COLUMN api.mqtt_credentials.client_id IS 'MQTT client id that it must log in with';
COMMENT ON COLUMN api.mqtt_credentials.topic_prefix IS 'Prefix of the topics that it may use, without the / that follows it';
COMMENT ON COLUMN api.mqtt_credentials.broker_url IS 'Broker that the device connects to, as its integration has it now';
COMMENT ON COLUMN api.mqtt_credentials.can_publish IS 'Whether it may publish';
COMMENT ON COLUMN api.mqtt_credentials.can_subscribe IS 'Whether it may subscribe';
COMMENT ON COLUMN api.mqtt_credentials.publish_filters IS 'Topic filters, one of which a topic must match to be published to; null for no restriction';
COMMENT ON COLUMN api.mqtt_credentials.subscribe_filters IS 'Topic filters that it may subscribe to; null for all below the prefix';
COMMENT ON COLUMN api.mqtt_credentials.max_per_second IS 'Messages per second that it may send over HTTP; null for no limit';
COMMENT ON COLUMN api.mqtt_credentials.max_burst IS 'Messages that it may send at once after a pause';
COMMENT ON COLUMN api.mqtt_credentials.status IS 'active, expired or revoked';
COMMENT ON COLUMN api.mqtt_credentials.expires_at IS 'When it expires; null for never';
COMMENT ON COLUMN api.mqtt_credentials.revoked_at IS 'When it was revoked';
COMMENT ON COLUMN api.mqtt_credentials.rotated_at IS 'When its password was last rotated';
COMMENT ON COLUMN api.mqtt_credentials.previous_until IS 'Until when the previous password still works over HTTP';
COMMENT ON COLUMN api.mqtt_credentials.last_connected_at IS 'When it was last used, over HTTP or to begin a session at a broker that tells';
COMMENT ON COLUMN api.mqtt_credentials.connection_count IS 'Messages that it has delivered over HTTP, and its sessions at brokers that tell of them';
COMMENT ON COLUMN api.mqtt_credentials.created_at IS 'When it was created';
GRANT SELECT ON api.mqtt_credentials TO authenticated, service_role;

CREATE OR REPLACE VIEW api.mqtt_subscriptions WITH (security_invoker = true) AS
SELECT
    s.id, s.organization_id, s.integration_id, s.topic, s.qos, s.callback_url, s.callback_ordered, s.callback_gone_at, s.no_local, s.retain_handling, s.is_paused, s.status, s.status_detail,
    s.granted_qos, s.created_at, s.updated_at
FROM mqtt.mqtt_subscriptions AS s;
COMMENT ON VIEW api.mqtt_subscriptions IS
$md$Subscriptions

Topic filters that the bridge is subscribed to at the brokers.$md$;
COMMENT ON COLUMN api.mqtt_subscriptions.id IS 'Subscription id';
COMMENT ON COLUMN api.mqtt_subscriptions.organization_id IS 'Organization that it belongs to';
COMMENT ON COLUMN api.mqtt_subscriptions.integration_id IS 'Integration that it belongs to';
COMMENT ON COLUMN api.mqtt_subscriptions.topic IS 'Topic filter';
COMMENT ON COLUMN api.mqtt_subscriptions.qos IS 'Maximum QoS asked for';
COMMENT ON COLUMN api.mqtt_subscriptions.callback_url IS 'URL that matching messages are posted to, if any';
COMMENT ON COLUMN api.mqtt_subscriptions.callback_ordered IS 'Whether messages are posted one after the other, in order';
COMMENT ON COLUMN api.mqtt_subscriptions.callback_gone_at IS 'When the receiver answered 410 Gone; nothing is posted until mqtt_subscribe is called again';
COMMENT ON COLUMN api.mqtt_subscriptions.no_local IS 'Whether the integration''s own publishes are excluded';
COMMENT ON COLUMN api.mqtt_subscriptions.retain_handling IS 'When the broker sends retained messages: 0 at each subscribe, 1 only for a new subscription, 2 never';
COMMENT ON COLUMN api.mqtt_subscriptions.is_paused IS 'Whether it is paused';
COMMENT ON COLUMN api.mqtt_subscriptions.status IS 'pending, active or error';
COMMENT ON COLUMN api.mqtt_subscriptions.status_detail IS 'Why the broker refused it, or granted less';
COMMENT ON COLUMN api.mqtt_subscriptions.granted_qos IS 'QoS that the broker granted';
COMMENT ON COLUMN api.mqtt_subscriptions.created_at IS 'When it was created';
COMMENT ON COLUMN api.mqtt_subscriptions.updated_at IS 'When it was last changed';
GRANT SELECT ON api.mqtt_subscriptions TO authenticated, service_role;

CREATE OR REPLACE VIEW api.devices WITH (security_invoker = true) AS
SELECT
    d.id, d.organization_id, d.integration_id, d.external_id, d.name, d.metadata, d.last_data, d.last_data_at, d.last_seen_at, d.created_at,
    mqtt.latest_values(d.latest, d.last_data, d.last_data_at, d.is_data_latest) AS latest, d.presence
FROM mqtt.devices AS d;
COMMENT ON VIEW api.devices IS
$md$Devices$md$;
COMMENT ON COLUMN api.devices.id IS 'Device id';
COMMENT ON COLUMN api.devices.organization_id IS 'Organization that it belongs to';
COMMENT ON COLUMN api.devices.integration_id IS 'Integration that it belongs to';
COMMENT ON COLUMN api.devices.external_id IS 'Id of the device in its topics';
COMMENT ON COLUMN api.devices.name IS 'Name, for people';
COMMENT ON COLUMN api.devices.metadata IS 'Metadata that sync_device set';
COMMENT ON COLUMN api.devices.last_data IS 'Payload of its newest telemetry; up to a few seconds late while an old transaction holds back vacuum';
COMMENT ON COLUMN api.devices.last_data_at IS 'Time of that message';
COMMENT ON COLUMN api.devices.last_seen_at IS 'When it last sent a message';
COMMENT ON COLUMN api.devices.created_at IS 'When it was registered';
COMMENT ON COLUMN api.devices.latest IS 'Newest value of each metric: {"temperature": {"value", "at"}}';
COMMENT ON COLUMN api.devices.presence IS 'Whether it is connected, as its status messages say: {"state": "online", "offline" or "unknown", "since"}';
GRANT SELECT ON api.devices TO authenticated, service_role;
COMMIT;
