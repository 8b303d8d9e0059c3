-- Deploy topicbase:tables/mqtt_messages to pg
-- requires: tables/pack_rows
-- requires: tables/packed_changes
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
    h.organization, h.topic AS topic_number, h.flags & 64 = 64 AS is_interpreted, h.is_packed, h.pack, h.first_received_at,
    h.last_received_at, h.first_measured_at, h.last_measured_at, h.flags & 256 = 256 AS is_failed
FROM (
    SELECT
        false AS is_packed, NULL::bigint AS pack, x.received_at AS first_received_at, x.received_at AS last_received_at,
        x.measured_at AS first_measured_at, x.measured_at AS last_measured_at, x.received_at, x.measured_at, x.position, x.id, x.organization, x.topic, x.stored_after, x.flags, x.payload,
        x.sent_at, x.content_type, x.body, x.decode_error, x.properties
    FROM mqtt.history AS x
    UNION ALL
    SELECT
        true, p.pack, p.first_received_at, p.last_received_at, p.first_measured_at, p.last_measured_at, p.received_at, p.measured_at, p.position, p.id,
        p.organization, p.topic, p.stored_after, p.flags, p.payload, p.sent_at, p.content_type, p.body, p.decode_error, p.properties
    FROM mqtt.packed_history AS p
) AS h
INNER JOIN mqtt.topics AS t ON t.number = h.topic
-- Until the rows of a packed day are dropped, they are not to be seen twice.
WHERE h.is_packed OR (h.received_at AT TIME ZONE 'UTC')::date <> ALL (ARRAY(SELECT d.day FROM mqtt.packed_days AS d WHERE d.state = 'packed'));
COMMENT ON VIEW mqtt.mqtt_messages IS
'The history with its topics, packed days and all; conditions on first_received_at, last_received_at and so on, beside those on received_at and measured_at, spare opening packs. A superuser may also insert and delete, a row at a time: to import what was received elsewhere.';
COMMENT ON COLUMN mqtt.mqtt_messages.created_at IS 'When it was stored: when the worker took it out of the queue, or at once, where the history had it from its acceptance on.';
COMMENT ON COLUMN mqtt.mqtt_messages.sent_at IS 'Time that the device stamped on it, if it did.';
COMMENT ON COLUMN mqtt.mqtt_messages.direction IS 'incoming or outgoing, seen from the database.';
COMMENT ON COLUMN mqtt.mqtt_messages.organization IS 'Number of the organization, by which an index finds its messages.';
COMMENT ON COLUMN mqtt.mqtt_messages.is_packed IS 'Whether it is in mqtt.packs; where a query says which, the other half is left out of its plan.';
COMMENT ON COLUMN mqtt.mqtt_messages.pack IS 'Number of its pack, if any.';
COMMENT ON COLUMN mqtt.mqtt_messages.first_received_at IS 'Least received_at in its pack; received_at where it is not packed.';
COMMENT ON COLUMN mqtt.mqtt_messages.last_received_at IS 'Greatest received_at in its pack.';
COMMENT ON COLUMN mqtt.mqtt_messages.first_measured_at IS 'Least measured_at in its pack.';
COMMENT ON COLUMN mqtt.mqtt_messages.last_measured_at IS 'Greatest measured_at in its pack.';
COMMENT ON COLUMN mqtt.mqtt_messages.is_failed IS 'Whether its effects were given up: mqtt.mqtt_dead_letters says why.';
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
        IF OLD.is_packed THEN
            PERFORM mqtt.take_from_pack(OLD.pack, ARRAY[OLD.id]);
        ELSE
            DELETE FROM mqtt.history AS h WHERE h.received_at = OLD.received_at AND h.position = OLD.position AND h.id = OLD.id;
        END IF;
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
        ) + coalesce(NEW.is_failed, false)::integer * 256,
        coalesce(NEW.payload, 'null'), nullif(NEW.sent_at, NEW.measured_at), NEW.content_type, NEW.body, NEW.decode_error, NEW.properties
    );
    IF EXISTS (SELECT FROM mqtt.packed_days AS d WHERE d.day = (NEW.received_at AT TIME ZONE 'UTC')::date AND d.state <> 'packing') THEN
        PERFORM mqtt.refuse_packed_day((NEW.received_at AT TIME ZONE 'UTC')::date);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION mqtt.write_message() IS 'Trigger: takes a row of mqtt.mqtt_messages apart into mqtt.topics and mqtt.history, or deletes it.';
CREATE OR REPLACE TRIGGER write_message INSTEAD OF INSERT OR DELETE ON mqtt.mqtt_messages FOR EACH ROW EXECUTE FUNCTION mqtt.write_message();
COMMIT;
