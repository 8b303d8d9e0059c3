-- Where each table is kept when Citus spreads the history over several nodes; read by distribute.sql and by tests/pgtap/citus.sql.
--   distributed   its rows lie on the node of their organization
--   reference     a copy on every node
--   local         on the coordinator alone
CREATE TEMPORARY TABLE placement (place integer GENERATED ALWAYS AS IDENTITY, relation regclass PRIMARY KEY, kind text NOT NULL, reason text NOT NULL);
-- The history has the organization's number instead of its id; distributed tables with keys of one type lie together.
CREATE TEMPORARY VIEW placement_key AS SELECT p.relation, CASE WHEN p.relation IN ('mqtt.history'::regclass, 'mqtt.reading_rows'::regclass) THEN 'organization' ELSE 'organization_id' END AS key FROM placement AS p;
INSERT INTO placement (relation, kind, reason) VALUES
('mqtt.organizations', 'reference', 'row-level security asks for it on every node'),
('mqtt.organization_members', 'reference', 'row-level security asks for it on every node'),
('mqtt.topics', 'reference', 'the history''s rows are joined with it on every node'),
('mqtt.history', 'distributed', 'nearly all bytes'),
('mqtt.reading_rows', 'distributed', 'what payload rules made of the history'),
('mqtt.mqtt_publish_receipts', 'distributed', 'one row a published message'),
('mqtt.mqtt_dead_letters', 'distributed', 'as large as what went wrong'),
('mqtt.integration_activity_log', 'distributed', 'one row a batch'),
('mqtt.device_integrations', 'local', 'few rows; has triggers, and is found by its id before its organization is known'),
('mqtt.mqtt_credentials', 'local', 'a login finds it by its name before its organization is known'),
('mqtt.organization_invitations', 'local', 'few rows'),
('mqtt.publishers', 'local', 'few rows'),
('mqtt.mqtt_subscriptions', 'local', 'few rows; has triggers'),
('mqtt.callback_secrets', 'local', 'few rows; belongs to mqtt_subscriptions'),
('mqtt.callback_circuits', 'local', 'few rows'),
('mqtt.mqtt_callback_deliveries', 'local', 'is claimed beside mqtt_subscriptions; numbered in the order of arrival'),
('mqtt.api_keys', 'local', 'a request finds its key before its organization is known'),
('mqtt.openapi_documents', 'local', 'three rows'),
('mqtt.broker_keys', 'local', 'a login finds it by its name before its organization is known'),
('mqtt.topic_counts', 'local', 'written by the batch that empties the queue'),
('mqtt.message_id_key', 'local', 'one row'),
('mqtt.presence_positions', 'local', 'as devices'),
('mqtt.payload_rules', 'local', 'few rows; has triggers'),
('mqtt.sparkplug_nodes', 'local', 'written by the batch that empties the queue'),
('mqtt.device_presets', 'local', 'few rows, the same for all'),
('mqtt.devices', 'local', 'credentials refer to it; written by the batch that empties the queue'),
('mqtt.deferred_device_updates', 'local', 'as devices'),
('mqtt.deferred_credential_updates', 'local', 'as mqtt_credentials'),
('mqtt.deferred_device_ids', 'local', 'as devices'),
('mqtt.ledger', 'local', 'written by the transactions that fill and empty the queue'),
('mqtt.ingest_keys', 'local', 'written by the transaction that fills the queue'),
('mqtt.settlements', 'local', 'written by the batch that empties the queue'),
('mqtt.stream_viewers', 'local', 'unlogged; the stream reads on the coordinator'),
('mqtt.stream_tickets', 'local', 'live for seconds'),
('mqtt.late_readings', 'local', 'written by the batch that empties the queue'),
('mqtt.rollup_series', 'local', 'one row a metric of a device'),
('mqtt.rollup_progress', 'local', 'one row an organization'),
('mqtt.rollup_minutes', 'local', 'a twentieth of the history''s bytes; made on the coordinator'),
('mqtt.rollups', 'local', 'a hundredth of the history''s bytes; made on the coordinator'),
('mqtt.operators', 'local', 'few rows'),
('mqtt.deletions', 'local', 'few rows; worked off on the coordinator'),
('mqtt.mqtt_requests', 'local', 'lives for minutes'),
('mqtt.outbound_batches', 'local', 'belongs to the queue'),
('mqtt.bridges', 'local', 'the bridges work on the coordinator'),
('mqtt.bridge_leases', 'local', 'the bridges work on the coordinator'),
('mqtt.workers', 'local', 'the workers empty the queue'),
('mqtt.configuration', 'local', 'one row'),
('mqtt.quota_buckets', 'local', 'unlogged; counted where messages are accepted'),
('mqtt.wrong_passwords', 'local', 'unlogged; counted where messages are accepted'),
('pgmq.q_mqtt_messages', 'local', 'the queue stays where its messages are accepted'),
('pgmq.q_mqtt_outbound', 'local', 'the queue stays where its messages are accepted');

CREATE TEMPORARY VIEW distribution AS
SELECT
    p.place,
    CASE p.kind
        WHEN 'reference' THEN format('SELECT create_reference_table(%L)', p.relation)
        ELSE format(
            'SELECT create_distributed_table(%L, %L, colocate_with => %L)', p.relation, k.key,
            coalesce(nullif(first_value(p.relation::text) OVER (PARTITION BY p.kind, k.key ORDER BY p.place), p.relation::text), 'none')
        )
    END AS statement
FROM placement AS p
INNER JOIN placement_key AS k ON k.relation = p.relation
WHERE p.kind <> 'local';
