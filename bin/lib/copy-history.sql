-- bin/copy-database: a batch of the old history, in the table staging, goes into the new one. Topics get the message type that today's
-- pattern finds in them; devices and ids are kept. before: a position that is before those of all rows of the batch.
WITH topic AS MATERIALIZED (
    SELECT w.*, n.number
    FROM (
        SELECT g.*, v.message_type, mqtt.message_role(v.message_type) AS role
        FROM (SELECT DISTINCT s.organization_id, s.integration_id, s.topic, s.device_id FROM staging AS s) AS g
        LEFT JOIN mqtt.device_integrations AS i ON i.organization_id = g.organization_id AND i.id = g.integration_id
        CROSS JOIN LATERAL (
            SELECT nullif((mqtt.matched_levels(g.topic, i.topic_like, i.topic_levels))[i.message_type_level], '')
        ) AS v (message_type)
        OFFSET 0
    ) AS w
    CROSS JOIN LATERAL mqtt.topic_number(w.organization_id, w.integration_id, w.topic, w.device_id, w.message_type, w.role) AS n
),
new_topic AS (
    INSERT INTO mqtt.topics (organization_id, number, integration_id, device_id, role, topic, message_type)
    SELECT t.organization_id, nextval('mqtt.topic_numbers'), t.integration_id, t.device_id, t.role, t.topic, t.message_type
    FROM topic AS t
    WHERE t.number IS NULL
    RETURNING organization_id, integration_id, topic, device_id, number
),
counted AS (
    INSERT INTO mqtt.topic_counts AS c (organization_id, topics)
    SELECT t.organization_id, count(*) FROM new_topic AS t GROUP BY t.organization_id
    ON CONFLICT ON CONSTRAINT topic_counts_pkey DO UPDATE SET topics = c.topics + excluded.topics
)
INSERT INTO mqtt.history (
    received_at, measured_at, position, id, organization, topic, stored_after, flags, payload, sent_at, content_type, body, decode_error,
    properties
)
SELECT
    s.received_at, p.measured_at, %(before)s + row_number() OVER (ORDER BY s.organization_id, s.received_at, s.id), s.id,
    o.number, n.number,
    mqtt.stored_after(s.received_at, s.created_at),
    mqtt.history_flags(
        s.qos, s.retain, s.direction = 'outgoing', (mqtt.message_id_time(s.id) = s.received_at) IS NOT TRUE, s.sent_at = p.measured_at
    ),
    s.payload, nullif(s.sent_at, p.measured_at), s.content_type, s.body, s.decode_error, s.properties
FROM staging AS s
CROSS JOIN mqtt.configuration AS c
CROSS JOIN LATERAL (SELECT mqtt.plausible_time(s.sent_at, s.received_at, c.max_time_behind, c.max_time_ahead)) AS p (measured_at)
JOIN mqtt.organizations AS o ON o.id = s.organization_id
JOIN (
    SELECT t.organization_id, t.integration_id, t.topic, t.device_id, t.number FROM topic AS t WHERE t.number IS NOT NULL
    UNION ALL
    SELECT * FROM new_topic
) AS n
    ON n.organization_id = s.organization_id AND n.integration_id = s.integration_id AND n.topic = s.topic
        AND n.device_id IS NOT DISTINCT FROM s.device_id
ORDER BY s.received_at
