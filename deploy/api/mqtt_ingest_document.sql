-- Deploy topicbase:api/mqtt_ingest_document to pg
-- requires: ingest/sender_documents
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- PostgREST takes the one that the Content-Type of the request asks for, and passes on the body as it came.
CREATE OR REPLACE FUNCTION api.mqtt_ingest_document(bytea) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.ingest_document(coalesce($1, ''), nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-content-type');
END;
$$;
CREATE OR REPLACE FUNCTION api.mqtt_ingest_document(json) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.ingest_document(convert_to($1::text, 'UTF8'), 'application/json');
END;
$$;
CREATE OR REPLACE FUNCTION api.mqtt_ingest_document(text) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.ingest_document(mqtt.whole_body($1), 'text/plain');
END;
$$;
CREATE OR REPLACE FUNCTION api.mqtt_ingest_document(xml) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.ingest_document(convert_to($1::text, 'UTF8'), 'text/xml');
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest_document(xml) IS
$md$Send one message in the sender's own form, as XML

As for bytes; it is stored as text.
Answer 202: {"message_id": "uuid", "status": "=queued"}
Also 200: ["json"]$md$;
COMMENT ON FUNCTION api.mqtt_ingest_document(json) IS
$md$Send one message in the sender's own form, as JSON

As for bytes.
Answer 202: {"message_id": "uuid", "status": "=queued"}
Also 200: ["json"]$md$;
COMMENT ON FUNCTION api.mqtt_ingest_document(text) IS
$md$Send one message in the sender's own form, as text

As for bytes.
Answer 202: {"message_id": "uuid", "status": "=queued"}
Also 200: ["json"]$md$;
COMMENT ON FUNCTION api.mqtt_ingest_document(bytea) IS
$md$Send one message in the sender's own form: The Things Network, ChirpStack, OwnTracks, Shelly

The body is the payload. Log in with `Authorization: Basic base64(username:password)`, or `X-Username` and `X-Password`; no client id is needed.
The gateway has it at `/in/<username>/<topic>`. The topic is what the integration's setting `http_topic` makes of the message, else `X-Topic`,
else `http`; the credential's prefix is put before it where it is missing. Bodies: `application/json`; `text/plain`; `text/xml`; bytes as
`application/octet-stream`, whose media type `X-Content-Type` may tell: JSON, CBOR, MessagePack, text or a form.
Answers 202 `{"message_id", "status": "queued"}`, or 200 `[]` to OwnTracks.

Errors: 401 `invalid_credentials`; 403 `topic_not_allowed`, `topic_limit_reached`, `publish_not_allowed`, `integration_inactive`,
`secret_in_path_not_allowed`; 400 `topic_invalid`, `http_topic_incomplete`, `payload_invalid`, `payload_too_deep`, `content_type_invalid`,
`content_encoding_invalid`; 413 `payload_too_large`; 415 `content_type_unsupported`, `content_encoding_unsupported`; 429
`too_many_wrong_passwords`, `quota_exceeded`, `queue_paused`, with `Retry-After`.
Answer 202: {"message_id": "uuid", "status": "=queued"}
Also 200: ["json"]$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_ingest_document(bytea), api.mqtt_ingest_document(json), api.mqtt_ingest_document(text),
api.mqtt_ingest_document(xml)
TO anon, authenticated, service_role;
COMMIT;
