-- Deploy topicbase:api/mqtt_ingest_body to pg
-- requires: api/mqtt_ingest
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- The argument has no name, so that PostgREST passes on the body as it came: for a body with unknown keys it would look for a function that
-- resembles them, which takes seconds for a thousand keys, before anyone has logged in.
CREATE OR REPLACE FUNCTION api.mqtt_ingest_body(json) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_object CONSTANT boolean := json_typeof($1) = 'object';
    v_fault text;
BEGIN
    v_fault := CASE
        WHEN NOT v_is_object THEN 'message_invalid'
        WHEN EXISTS (
            SELECT
            FROM json_object_keys(CASE WHEN v_is_object THEN $1 ELSE '{}' END) AS k (key)
            WHERE k.key <> ALL ('{topic,payload,qos,retain,content_type,payload_encoding,message_id,timestamp}')
        ) THEN 'message_invalid'
        WHEN $1 -> 'payload' IS NULL THEN 'payload_missing'
    END;
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_message(v_fault, NULL, NULL, NULL);
    END IF;
    RETURN api.mqtt_ingest(
        $1 ->> 'topic', $1 -> 'payload', $1 -> 'qos', $1 -> 'retain', $1 ->> 'content_type', $1 ->> 'payload_encoding',
        $1 ->> 'message_id', $1 -> 'timestamp'
    );
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest_body(json) IS
$md$Send one message as a device, the body being the message

As `mqtt_ingest`, for the gateway, which sends `POST /rpc/mqtt_ingest_body?columns=message`: PostgREST then reads no key of the body.
Errors: those of `mqtt_ingest`; 400 `message_invalid`, `payload_missing`.
Body: {"topic": "text", "payload": "json", "qos?": "json", "retain?": "json", "content_type?": "text?", "payload_encoding?": "json|text|base64",
"message_id?": "text?", "timestamp?": "json"}
Answer 202: {"message_id": "uuid", "status": "=queued"}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_ingest_body(json) TO anon, authenticated, service_role;
COMMIT;
