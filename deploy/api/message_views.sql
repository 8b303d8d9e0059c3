-- Deploy topicbase:api/message_views to pg
-- requires: api/mqtt_message_queue
-- requires: tables/integration_activity_log
-- requires: tables/mqtt_publish_receipts
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW api.mqtt_messages WITH (security_invoker = true) AS
SELECT
    m.id, m.organization_id, m.integration_id, m.device_id, m.direction::text AS direction, m.topic,
    m.message_type, m.payload, translate(encode(m.body, 'base64'), E'\n', '') AS body,
    m.content_type, m.decode_error, m.qos, m.retain, m.properties, m.sent_at, m.received_at, m.created_at, m.measured_at,
    m.sent_at <> m.measured_at AS timestamp_ignored, m.is_failed AS failed
FROM mqtt.mqtt_messages AS m;
COMMENT ON VIEW api.mqtt_messages IS
$md$Message history

All stored messages, incoming and outgoing. To read them in order, or page by page, call list_messages. Filters that an index serves:
organization_id or integration_id with received_at, device_id with measured_at.$md$;
COMMENT ON COLUMN api.mqtt_messages.id IS 'Message id; for a published message its receipt id';
COMMENT ON COLUMN api.mqtt_messages.organization_id IS 'Organization of the message';
COMMENT ON COLUMN api.mqtt_messages.integration_id IS 'Integration of the message';
COMMENT ON COLUMN api.mqtt_messages.device_id IS 'Device that sent it';
COMMENT ON COLUMN api.mqtt_messages.direction IS 'incoming or outgoing';
COMMENT ON COLUMN api.mqtt_messages.topic IS 'Topic name';
COMMENT ON COLUMN api.mqtt_messages.message_type IS 'Topic level that topic_pattern named {message_type} when the message was stored';
COMMENT ON COLUMN api.mqtt_messages.payload IS 'Payload as JSON; JSON null if it is in body';
COMMENT ON COLUMN api.mqtt_messages.body IS 'Payload in base64, if it is bytes';
COMMENT ON COLUMN api.mqtt_messages.content_type IS 'Media type sent with it';
COMMENT ON COLUMN api.mqtt_messages.decode_error IS 'Why the payload could not be decoded';
COMMENT ON COLUMN api.mqtt_messages.qos IS 'QoS: 0, 1 or 2';
COMMENT ON COLUMN api.mqtt_messages.retain IS 'Whether it was sent with the retain flag';
COMMENT ON COLUMN api.mqtt_messages.properties IS 'MQTT 5 properties sent with it';
COMMENT ON COLUMN api.mqtt_messages.sent_at IS 'Time given by the device';
COMMENT ON COLUMN api.mqtt_messages.received_at IS 'When it was accepted';
COMMENT ON COLUMN api.mqtt_messages.created_at IS 'When it was stored';
COMMENT ON COLUMN api.mqtt_messages.measured_at IS 'Time given by the device if that is plausible, else when it was accepted';
COMMENT ON COLUMN api.mqtt_messages.timestamp_ignored IS 'Whether the time given by the device is not plausible; null if it gave none';
COMMENT ON COLUMN api.mqtt_messages.failed IS 'Whether its effects were given up: mqtt_dead_letters says why, and replay_mqtt_dead_letters makes them';
GRANT SELECT ON api.mqtt_messages TO authenticated, service_role;

-- As that of api.mqtt_message_queue.
CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON api.mqtt_messages FOR EACH ROW EXECUTE FUNCTION mqtt.refuse_write();

CREATE OR REPLACE VIEW api.mqtt_dead_letters WITH (security_invoker = true) AS
SELECT
    d.id, d.organization_id, d.integration_id, d.credential_id, d.direction::text AS direction, d.topic, d.message,
    translate(encode(d.body, 'base64'), E'\n', '') AS body, d.attempts, d.error_message, d.errors, d.received_at, d.failed_at, d.replayed_at, d.replay_count
FROM mqtt.mqtt_dead_letters AS d;
COMMENT ON VIEW api.mqtt_dead_letters IS
$md$Dead letters

Messages that failed permanently, with every attempt; replay_mqtt_dead_letters puts them back into the queue.$md$;
COMMENT ON COLUMN api.mqtt_dead_letters.id IS 'Message id, as answered to the sender';
COMMENT ON COLUMN api.mqtt_dead_letters.organization_id IS 'Organization of the message';
COMMENT ON COLUMN api.mqtt_dead_letters.integration_id IS 'Integration of the message';
COMMENT ON COLUMN api.mqtt_dead_letters.credential_id IS 'Login that sent it';
COMMENT ON COLUMN api.mqtt_dead_letters.direction IS 'incoming or outgoing';
COMMENT ON COLUMN api.mqtt_dead_letters.topic IS 'Topic name';
COMMENT ON COLUMN api.mqtt_dead_letters.message IS 'Message as accepted';
COMMENT ON COLUMN api.mqtt_dead_letters.body IS 'Payload in base64, if it is bytes';
COMMENT ON COLUMN api.mqtt_dead_letters.attempts IS 'Number of attempts made';
COMMENT ON COLUMN api.mqtt_dead_letters.error_message IS 'Error of the last attempt';
COMMENT ON COLUMN api.mqtt_dead_letters.errors IS 'All attempts: [{"at", "code", "error"}], oldest first';
COMMENT ON COLUMN api.mqtt_dead_letters.received_at IS 'When it was accepted';
COMMENT ON COLUMN api.mqtt_dead_letters.failed_at IS 'When it was given up';
COMMENT ON COLUMN api.mqtt_dead_letters.replayed_at IS 'When it was last put back into the queue';
COMMENT ON COLUMN api.mqtt_dead_letters.replay_count IS 'How often it has been put back into the queue';
GRANT SELECT ON api.mqtt_dead_letters TO authenticated, service_role;

CREATE OR REPLACE VIEW api.integration_activity_log WITH (security_invoker = true) AS
SELECT
    a.id, a.organization_id, a.integration_id, a.activity_type, a.direction::text AS direction, a.message_count, a.status, a.error_message, a.details,
    a.created_at
FROM mqtt.integration_activity_log AS a;
COMMENT ON VIEW api.integration_activity_log IS
$md$Activity log

What happened: one row per processed batch, per failure and per change.$md$;
COMMENT ON COLUMN api.integration_activity_log.id IS 'Row id';
COMMENT ON COLUMN api.integration_activity_log.organization_id IS 'Organization of the row';
COMMENT ON COLUMN api.integration_activity_log.integration_id IS 'Integration concerned; null if the row is about the organization';
COMMENT ON COLUMN api.integration_activity_log.activity_type IS 'What happened';
COMMENT ON COLUMN api.integration_activity_log.direction IS 'incoming or outgoing, if the row is about messages';
COMMENT ON COLUMN api.integration_activity_log.message_count IS 'Number of messages that the row is about';
COMMENT ON COLUMN api.integration_activity_log.status IS 'success or failed';
COMMENT ON COLUMN api.integration_activity_log.error_message IS 'What went wrong';
COMMENT ON COLUMN api.integration_activity_log.details IS 'Details of this case';
COMMENT ON COLUMN api.integration_activity_log.created_at IS 'When it happened';
GRANT SELECT ON api.integration_activity_log TO authenticated, service_role;

CREATE OR REPLACE VIEW api.mqtt_publish_receipts WITH (security_invoker = true) AS
SELECT
    r.id, r.organization_id, r.integration_id, r.topic, r.qos, r.state, r.attempts, r.reason_code, r.reason, r.queued_at, r.settled_at
FROM mqtt.mqtt_publish_receipts AS r;
COMMENT ON VIEW api.mqtt_publish_receipts IS
$md$Publish receipts

What became of published messages, once they are settled; get_mqtt_publish_receipts also shows those still queued.$md$;
COMMENT ON COLUMN api.mqtt_publish_receipts.id IS 'Receipt id';
COMMENT ON COLUMN api.mqtt_publish_receipts.organization_id IS 'Organization of the message';
COMMENT ON COLUMN api.mqtt_publish_receipts.integration_id IS 'Integration of the message';
COMMENT ON COLUMN api.mqtt_publish_receipts.topic IS 'Topic name';
COMMENT ON COLUMN api.mqtt_publish_receipts.qos IS 'QoS: 0, 1 or 2';
COMMENT ON COLUMN api.mqtt_publish_receipts.state IS 'sent, acknowledged, failed, expired or cancelled';
COMMENT ON COLUMN api.mqtt_publish_receipts.attempts IS 'How often it was sent to the broker';
COMMENT ON COLUMN api.mqtt_publish_receipts.reason_code IS 'MQTT 5 reason code of the broker''s answer';
COMMENT ON COLUMN api.mqtt_publish_receipts.reason IS 'Reason in words';
COMMENT ON COLUMN api.mqtt_publish_receipts.queued_at IS 'When mqtt_publish queued it';
COMMENT ON COLUMN api.mqtt_publish_receipts.settled_at IS 'When it was settled';
GRANT SELECT ON api.mqtt_publish_receipts TO authenticated, service_role;
COMMIT;
