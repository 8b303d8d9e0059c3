-- Deploy topicbase:ingest/sender_documents to pg
-- requires: base/decode_payload
-- requires: ingest/enqueue_message
-- requires: ingest/wrong_passwords
-- requires: topics/templates
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.refuse_document(slug text, detail text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '%', slug USING
        ERRCODE = CASE
            WHEN slug IN ('content_type_unsupported', 'content_encoding_unsupported') THEN 'PT415' WHEN slug IN ('secret_in_path_not_allowed') THEN 'PT403'
            ELSE 'PT400'
        END,
        DETAIL = detail,
        HINT = CASE slug
            WHEN 'content_type_unsupported' THEN 'Send JSON, CBOR, MessagePack, text, a form, or bytes as application/octet-stream.'
            WHEN 'content_encoding_unsupported' THEN 'Send the body as it is.'
            WHEN 'secret_in_path_not_allowed' THEN 'Send the password by Authorization: Basic or Bearer, or X-Password.'
            WHEN 'topic_invalid' THEN 'Send the topic as UTF-8, percent-encoded.'
            WHEN 'http_topic_incomplete' THEN 'Set http_topic to a template of what every message has, or name the topic in the URL or in X-Topic.'
            ELSE 'See the API reference for what the body may be.'
        END;
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_document(text, text) IS 'Raises the fault of a document that a sender posted in its own form, with its status and hint.';

CREATE OR REPLACE FUNCTION mqtt.percent_decoded(value text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN value NOT LIKE '%\%%' THEN value
        ELSE (
            SELECT convert_from(string_agg(
                CASE WHEN m.found[1] ~ '^%[0-9A-Fa-f]{2}$' THEN decode(substr(m.found[1], 2), 'hex') ELSE convert_to(m.found[1], 'UTF8') END,
                ''::bytea ORDER BY m.place
            ), 'UTF8')
            FROM regexp_matches(value, '%[0-9A-Fa-f]{2}|[^%]+|%', 'g') WITH ORDINALITY AS m (found, place)
        )
    END;
END;
COMMENT ON FUNCTION mqtt.percent_decoded(text) IS 'Text of a URL or form with its %xx as characters (RFC 3986 section 2.1). Raises 22021 where they are not UTF-8.';

CREATE OR REPLACE FUNCTION mqtt.form_document(form text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(
        mqtt.percent_decoded(split_part(f.pair, '=', 1)),
        mqtt.percent_decoded(CASE WHEN f.pair LIKE '%=%' THEN substr(f.pair, strpos(f.pair, '=') + 1) ELSE '' END) ORDER BY f.place
    ), '{}')
    FROM string_to_table(replace(form, '+', ' '), '&') WITH ORDINALITY AS f (pair, place)
    WHERE f.pair <> '' AND f.place <= 1000;
END;
COMMENT ON FUNCTION mqtt.form_document(text) IS
'A form (application/x-www-form-urlencoded) as an object of strings: its first 1,000 fields, of a name that comes twice the last. Raises 22021 where it is not UTF-8.';

CREATE OR REPLACE FUNCTION mqtt.whole_body(body text) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF octet_length(body) < (nullif(current_setting('request.headers', true), '')::jsonb ->> 'content-length')::numeric THEN
        PERFORM mqtt.refuse_document('payload_invalid', 'The body has a zero byte, which text cannot have.');
    END IF;
    RETURN convert_to(body, 'UTF8');
END;
$$;
COMMENT ON FUNCTION mqtt.whole_body(text) IS
'A body that PostgREST passes on as text, as bytes: it ends there at its first zero byte, and by its length that is noticed. Raises 400 payload_invalid.';

CREATE OR REPLACE FUNCTION mqtt.plain_body(body bytea, encoding text) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF encoding IN ('', 'identity') THEN
        RETURN body;
    ELSIF encoding NOT IN ('gzip', 'x-gzip', 'deflate') THEN
        PERFORM mqtt.refuse_document('content_encoding_unsupported', 'Content-Encoding is gzip or deflate, if anything.');
    ELSIF to_regprocedure('mqtt.py_decompress(bytea, text)') IS NULL THEN
        PERFORM mqtt.refuse_document('content_encoding_unsupported', 'This server has no PL/Python, and takes no compressed bodies.');
    END IF;
    RETURN mqtt.py_decompress(body, CASE encoding WHEN 'deflate' THEN 'zlib' ELSE 'gzip' END);
EXCEPTION
    WHEN external_routine_exception THEN
        PERFORM mqtt.refuse_document('content_encoding_invalid', format('The body is not %s: %s.', encoding, regexp_replace(SQLERRM, '^\w+Error: ', '')));
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.plain_body(bytea, text) IS
'A body without its Content-Encoding, at most 1 MiB. Raises 415 content_encoding_unsupported, 400 content_encoding_invalid.';

CREATE OR REPLACE FUNCTION mqtt.posted_document(body bytea, content_type text) RETURNS mqtt.decoded_payload
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_type CONSTANT text := coalesce(mqtt.media_type(content_type), '');
    v_form CONSTANT text := mqtt.payload_form(v_type);
BEGIN
    CASE
        WHEN v_form = 'json' THEN
            RETURN ROW(mqtt.checked_jsonb(convert_from(body, 'UTF8')), NULL, NULL)::mqtt.decoded_payload;
        WHEN v_type = 'application/x-www-form-urlencoded' THEN
            RETURN ROW(mqtt.form_document(convert_from(body, 'UTF8')), NULL, NULL)::mqtt.decoded_payload;
        WHEN v_form = 'text' THEN
            RETURN ROW(to_jsonb(convert_from(body, 'UTF8')), body, NULL)::mqtt.decoded_payload;
        WHEN v_form IN ('cbor', 'msgpack') OR v_type IN ('', 'application/octet-stream') THEN
            RETURN ROW((mqtt.decode_payload(v_type, body)).payload, body, NULL)::mqtt.decoded_payload;
        ELSE
            PERFORM mqtt.refuse_document('content_type_unsupported', 'The body has a Content-Type that no message can have.');
            RETURN NULL;
    END CASE;
EXCEPTION
    WHEN character_not_in_repertoire OR untranslatable_character THEN
        PERFORM mqtt.refuse_document('payload_invalid', 'The body is not UTF-8.');
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.posted_document(bytea, text) IS
'A body by its Content-Type: payload as JSON, and body where its bytes are to be stored. Raises 415 content_type_unsupported, 400 payload_invalid, payload_too_deep.';

CREATE OR REPLACE FUNCTION mqtt.path_topic(path text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.percent_decoded(path);
EXCEPTION
    WHEN character_not_in_repertoire OR untranslatable_character THEN
        PERFORM mqtt.refuse_document('topic_invalid', 'The topic in the URL is not UTF-8, or has a zero byte.');
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.path_topic(text) IS 'The topic that a URL has, its %xx as characters. Raises 400 topic_invalid.';

CREATE OR REPLACE FUNCTION mqtt.document_topic(session mqtt.device_session, path text, document jsonb) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_template CONSTANT text := (SELECT i.settings ->> 'http_topic' FROM mqtt.device_integrations AS i WHERE i.id = session.integration_id);
    v_topic text := nullif(path, '');
BEGIN
    IF v_template IS NULL THEN
        v_topic := coalesce(v_topic, 'http');
    ELSE
        v_topic := mqtt.filled_template(mqtt.template_parts(v_template), string_to_array(v_topic, '/'), document, '{}', session.username);
        IF v_topic IS NULL THEN
            PERFORM mqtt.refuse_document('http_topic_incomplete', format('The message lacks something that http_topic names: %s.', v_template));
        END IF;
    END IF;
    RETURN CASE WHEN mqtt.topic_is_under(v_topic, session.topic_prefix) THEN v_topic ELSE session.topic_prefix || '/' || v_topic END;
END;
$$;
COMMENT ON FUNCTION mqtt.document_topic(mqtt.device_session, text, jsonb) IS
'The topic of a posted document: by the integration''s http_topic, else the path in the URL, else http; with the credential''s prefix before it. Raises 400 http_topic_incomplete.';

CREATE OR REPLACE FUNCTION mqtt.ingest_document(posted bytea, content_type text) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_headers jsonb := coalesce(nullif(current_setting('request.headers', true), ''), '{}');
    v_basic CONSTANT text := mqtt.basic_login(v_headers);
    v_username CONSTANT text := coalesce(v_headers ->> 'x-path-username', CASE WHEN v_basic IS NULL THEN v_headers ->> 'x-username' ELSE split_part(v_basic, ':', 1) END);
    v_session mqtt.device_session;
    v_body bytea;
    v_document mqtt.decoded_payload;
    v_topic text;
    v_answer json;
BEGIN
    IF v_headers ? 'x-path-secret' AND NOT (SELECT c.allow_secret_in_path FROM mqtt.configuration AS c) THEN
        PERFORM mqtt.refuse_document('secret_in_path_not_allowed', 'This installation takes no secret in a URL, which others write to their logs.');
    ELSIF v_headers ->> 'x-path-secret' = 'ask' THEN
        -- The gateway asks before it reads a body; no password is as short.
        RETURN '[]';
    END IF;
    IF v_username IS NOT DISTINCT FROM split_part(v_basic, ':', 1) OR v_basic IS NULL THEN
        -- A sender of its own form cannot tell a client id: the password alone is the secret.
        v_headers := v_headers - 'authorization' || jsonb_build_object(
            'x-username', v_username, 'x-password', coalesce(v_headers ->> 'x-path-secret', substr(v_basic, strpos(v_basic, ':') + 1), v_headers ->> 'x-password'),
            'x-client-id', coalesce(v_headers ->> 'x-client-id', (SELECT c.client_id FROM mqtt.mqtt_credentials AS c WHERE c.username = v_username))
        );
        PERFORM set_config('request.headers', v_headers::text, true);
    END IF;
    v_session := mqtt.device_login();
    IF v_session.username IS DISTINCT FROM v_username THEN
        v_session.fault := coalesce(v_session.fault, 'invalid_credentials');
    END IF;
    IF v_session.fault IS NOT NULL THEN
        RETURN mqtt.answer_wrong_login(v_session);
    END IF;
    IF octet_length(posted) > v_session.max_payload_bytes * 2::bigint THEN
        PERFORM mqtt.refuse_message('payload_too_large', NULL, v_session.topic_prefix, v_session.max_payload_bytes);
    END IF;
    v_body := mqtt.plain_body(posted, lower(coalesce(v_headers ->> 'x-content-encoding', v_headers ->> 'content-encoding', '')));
    IF octet_length(v_body) > v_session.max_payload_bytes * 2::bigint THEN
        PERFORM mqtt.refuse_message('payload_too_large', NULL, v_session.topic_prefix, v_session.max_payload_bytes);
    END IF;
    v_document := mqtt.posted_document(v_body, content_type);
    v_topic := coalesce(mqtt.path_topic(nullif(v_headers ->> 'x-path-topic', '')), v_headers ->> 'x-topic');
    v_answer := mqtt.enqueue_message(
        v_session, mqtt.document_topic(v_session, v_topic, v_document.payload),
        CASE WHEN v_document.body IS NULL THEN v_document.payload END, v_document.body, 0, false,
        CASE WHEN v_document.body IS NOT NULL THEN content_type END, NULL, NULL
    );
    -- OwnTracks takes what is for its phone from the answer.
    IF v_document.body IS NULL AND jsonb_typeof(v_document.payload -> '_type') = 'string' THEN
        PERFORM set_config('response.status', '200', true);
        RETURN '[]';
    END IF;
    RETURN v_answer;
END;
$$;
COMMENT ON FUNCTION mqtt.ingest_document(bytea, text) IS
'Logs the sender of a document in, by username and password alone, decodes the document by its Content-Type, finds its topic and queues it.';
COMMIT;
