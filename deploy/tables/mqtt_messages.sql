-- Deploy topicbase:tables/mqtt_messages to pg
-- requires: base/message_ids
-- requires: tables/history_values
-- requires: tables/topic_numbers
-- requires: topics/patterns
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW mqtt.mqtt_messages WITH (security_invoker = true) AS
SELECT
    h.received_at, date_trunc('milliseconds', h.received_at) + h.stored_after * '1 millisecond'::interval AS created_at, t.organization_id, h.id,
    t.integration_id, t.device_id, CASE WHEN h.flags & 32 = 32 THEN h.measured_at ELSE h.sent_at END AS sent_at, h.measured_at, h.position,
    CASE WHEN h.flags & 8 = 8 THEN 'outgoing' ELSE 'incoming' END::mqtt.message_direction AS direction, (h.flags & 3)::smallint AS qos,
    h.flags & 4 = 4 AS retain, t.topic, t.message_type, h.payload, h.content_type, h.body, h.decode_error, h.properties,
    h.organization, h.topic AS topic_number, h.flags & 64 = 64 AS is_interpreted
FROM mqtt.history AS h
INNER JOIN mqtt.topics AS t ON t.number = h.topic;
COMMENT ON VIEW mqtt.mqtt_messages IS
'The history with its topics. A superuser may also insert and delete, a row at a time: to import what was received elsewhere.';
COMMENT ON COLUMN mqtt.mqtt_messages.created_at IS 'When it was stored: when the worker took it out of the queue, or at once, where the history had it from its acceptance on.';
COMMENT ON COLUMN mqtt.mqtt_messages.sent_at IS 'Time that the device stamped on it, if it did.';
COMMENT ON COLUMN mqtt.mqtt_messages.direction IS 'incoming or outgoing, seen from the database.';
COMMENT ON COLUMN mqtt.mqtt_messages.organization IS 'Number of the organization, by which an index finds its messages.';
COMMENT ON COLUMN mqtt.mqtt_messages.topic_number IS 'Number of the topic in mqtt.topics, by which and measured_at another index does.';
GRANT SELECT ON mqtt.mqtt_messages TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.write_message() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organization integer;
    v_role text;
    v_topic integer;
BEGIN
    IF tg_op = 'DELETE' THEN
        DELETE FROM mqtt.history AS h WHERE h.received_at = OLD.received_at AND h.position = OLD.position AND h.id = OLD.id;
        RETURN OLD;
    END IF;
    SELECT o.number INTO STRICT v_organization FROM mqtt.organizations AS o WHERE o.id = NEW.organization_id;
    v_role := mqtt.message_role(NEW.message_type);
    SELECT t.number INTO v_topic
    FROM mqtt.topic_number(NEW.organization_id, NEW.integration_id, NEW.topic, NEW.device_id, NEW.message_type, v_role) AS t;
    IF v_topic IS NULL THEN
        INSERT INTO mqtt.topics (organization_id, number, integration_id, device_id, role, topic, message_type)
        VALUES (NEW.organization_id, nextval('mqtt.topic_numbers'), NEW.integration_id, NEW.device_id, v_role, NEW.topic, NEW.message_type)
        RETURNING number INTO v_topic;
        INSERT INTO mqtt.topic_counts AS c (organization_id, topics) VALUES (NEW.organization_id, 1)
        ON CONFLICT ON CONSTRAINT topic_counts_pkey DO UPDATE SET topics = c.topics + 1;
    END IF;
    NEW.received_at := coalesce(NEW.received_at, now());
    NEW.created_at := coalesce(NEW.created_at, clock_timestamp());
    NEW.measured_at := coalesce(NEW.measured_at, NEW.received_at);
    NEW.position := coalesce(NEW.position, 0);
    NEW.id := coalesce(NEW.id, mqtt.message_id(NEW.received_at, NEW.position));
    UPDATE mqtt.organizations AS o SET history_trimmed_to = NULL WHERE o.number = v_organization AND o.history_trimmed_to > NEW.received_at;
    INSERT INTO mqtt.history (
        received_at, measured_at, position, id, organization, topic, stored_after, flags, payload, sent_at, content_type, body, decode_error, properties
    ) VALUES (
        NEW.received_at, NEW.measured_at, NEW.position, NEW.id, v_organization, v_topic, mqtt.stored_after(NEW.received_at, NEW.created_at),
        mqtt.history_flags(
            coalesce(NEW.qos, 0::smallint), coalesce(NEW.retain, false), coalesce(NEW.direction = 'outgoing', false),
            (mqtt.message_id_time(NEW.id) = NEW.received_at) IS NOT TRUE, NEW.sent_at = NEW.measured_at
        ),
        coalesce(NEW.payload, 'null'), nullif(NEW.sent_at, NEW.measured_at), NEW.content_type, NEW.body, NEW.decode_error, NEW.properties
    );
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION mqtt.write_message() IS 'Trigger: takes a row of mqtt.mqtt_messages apart into mqtt.topics and mqtt.history, or deletes it.';
CREATE OR REPLACE TRIGGER write_message INSTEAD OF INSERT OR DELETE ON mqtt.mqtt_messages FOR EACH ROW EXECUTE FUNCTION mqtt.write_message();
COMMIT;
