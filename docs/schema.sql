
CREATE SCHEMA api;

ALTER SCHEMA api OWNER TO mqtt_owner;

COMMENT ON SCHEMA api IS 'Topicbase

MQTT integration that lives in Postgres. Devices send with `POST /rpc/mqtt_ingest`, apps call the other functions with a JWT.';

CREATE SCHEMA bridge;

ALTER SCHEMA bridge OWNER TO mqtt_owner;

COMMENT ON SCHEMA bridge IS 'What the bridge process calls, and nothing else may.';

CREATE SCHEMA mqtt;

ALTER SCHEMA mqtt OWNER TO mqtt_owner;

COMMENT ON SCHEMA mqtt IS 'Tables and logic of Topicbase; not exposed over HTTP.';

CREATE DOMAIN api."*/*" AS text;

ALTER DOMAIN api."*/*" OWNER TO mqtt_owner;

COMMENT ON DOMAIN api."*/*" IS 'A response body that is not JSON.';

CREATE TYPE mqtt.callback_outcome AS (
	organization_id uuid,
	integration_id uuid,
	subscription_id uuid,
	url text,
	status text,
	code smallint,
	error text,
	pause interval,
	is_released boolean,
	is_up boolean,
	is_down boolean
);

ALTER TYPE mqtt.callback_outcome OWNER TO mqtt_owner;

COMMENT ON TYPE mqtt.callback_outcome IS 'What became of a request, and what that says about its receiver; without integration_id and url where the subscription is gone.';

CREATE TYPE mqtt.decoded_payload AS (
	payload jsonb,
	body bytea,
	decode_error text
);

ALTER TYPE mqtt.decoded_payload OWNER TO mqtt_owner;

CREATE TYPE mqtt.device_session AS (
	credential_id uuid,
	organization_id uuid,
	integration_id uuid,
	topic_prefix text,
	publish_filters text[],
	max_payload_bytes integer,
	max_batch_messages integer,
	credential_rate numeric,
	credential_burst integer,
	organization_rate numeric,
	organization_burst integer,
	fault text,
	fault_detail text,
	username text
);

ALTER TYPE mqtt.device_session OWNER TO mqtt_owner;

CREATE TYPE mqtt.listed_message AS (
	id uuid,
	organization_id uuid,
	integration_id uuid,
	device_id uuid,
	direction text,
	topic text,
	message_type text,
	payload jsonb,
	body text,
	content_type text,
	decode_error text,
	qos smallint,
	retain boolean,
	properties jsonb,
	sent_at timestamp with time zone,
	received_at timestamp with time zone,
	created_at timestamp with time zone,
	measured_at timestamp with time zone,
	timestamp_ignored boolean,
	cursor text
);

ALTER TYPE mqtt.listed_message OWNER TO mqtt_owner;

COMMENT ON TYPE mqtt.listed_message IS 'A row of api.mqtt_messages, with the cursor to go on from.';

CREATE TYPE mqtt.message_cursor AS (
	at timestamp with time zone,
	received_at timestamp with time zone,
	organization_id uuid,
	id uuid
);

ALTER TYPE mqtt.message_cursor OWNER TO mqtt_owner;

COMMENT ON TYPE mqtt.message_cursor IS 'The place of a row among others: the time that they are ordered by, and the key of the message (of a summary: its device).';

CREATE TYPE mqtt.message_direction AS ENUM (
    'incoming',
    'outgoing'
);

ALTER TYPE mqtt.message_direction OWNER TO mqtt_owner;

CREATE TYPE mqtt.message_request AS (
	organization_ids uuid[],
	integration_id uuid,
	device_id uuid,
	topic text,
	topic_pattern text,
	id uuid,
	direction mqtt.message_direction,
	since timestamp with time zone,
	until timestamp with time zone,
	stored_since timestamp with time zone,
	cursor_at timestamp with time zone,
	cursor_position bigint,
	cursor_id uuid,
	is_oldest_first boolean,
	most integer
);

ALTER TYPE mqtt.message_request OWNER TO mqtt_owner;

COMMENT ON TYPE mqtt.message_request IS 'Which messages of the history, in which order, after which place in it; what is null does not restrict them, but organization_ids and most are given.';

CREATE TYPE mqtt.replay_message AS (
	place bigint,
	id uuid,
	failed_at timestamp with time zone,
	replay_count smallint,
	direction mqtt.message_direction,
	integration_id uuid,
	credential_id uuid,
	message jsonb,
	body bytea
);

ALTER TYPE mqtt.replay_message OWNER TO mqtt_owner;

COMMENT ON TYPE mqtt.replay_message IS 'A message to be replayed, as the queue will store it; place counts from 1, in the order of receipt. failed_at and replay_count belong to a dead letter.';

CREATE TYPE mqtt.replay_request AS (
	organization_id uuid,
	integration_id uuid,
	topic text,
	error text,
	since timestamp with time zone,
	until timestamp with time zone,
	ids uuid[],
	to_integration_id uuid,
	to_topic text,
	patch jsonb,
	max_per_second numeric,
	max_messages integer
);

ALTER TYPE mqtt.replay_request OWNER TO mqtt_owner;

COMMENT ON TYPE mqtt.replay_request IS 'What to replay, where to and how fast: the history of integration_id, or where that is null the dead letters of the organization.';

CREATE TYPE mqtt.telemetry_data AS (
	"deviceId" text,
	metrics jsonb,
	"timestamp" timestamp with time zone,
	cursor text
);

ALTER TYPE mqtt.telemetry_data OWNER TO mqtt_owner;

CREATE TYPE mqtt.telemetry_request AS (
	organization_id uuid,
	integration_id uuid,
	device_ids uuid[],
	by_received boolean,
	since timestamp with time zone,
	until timestamp with time zone,
	metrics text[],
	message_types text[],
	before_at timestamp with time zone,
	before_position bigint,
	most integer
);

ALTER TYPE mqtt.telemetry_request OWNER TO mqtt_owner;

COMMENT ON TYPE mqtt.telemetry_request IS 'Which readings: of device_ids, or of all that the caller sees (in an organization, an integration); from since until before until, by one of the two times; before a place in that order; at most so many (null: all).';

CREATE FUNCTION api.add_organization_member(organization_id uuid, user_id uuid, role text DEFAULT 'member'::text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_member mqtt.organization_members;
BEGIN
    PERFORM mqtt.require_organization(add_organization_member.organization_id, true);
    IF add_organization_member.user_id IS NULL OR add_organization_member.role IS NULL OR add_organization_member.role NOT IN ('member', 'admin') THEN
        RAISE EXCEPTION 'member_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'user_id must be the sub of the user''s JWT; role must be member or admin.',
            HINT = 'A member reads and publishes; an admin also manages integrations, credentials, subscriptions and members.';
    END IF;
    -- Changes of members wait for each other here, so that an organization keeps an admin.
    PERFORM FROM mqtt.organizations AS o WHERE o.id = add_organization_member.organization_id FOR NO KEY UPDATE;
    INSERT INTO mqtt.organization_members AS m (organization_id, user_id, role)
    VALUES (add_organization_member.organization_id, add_organization_member.user_id, add_organization_member.role)
    ON CONFLICT ON CONSTRAINT organization_members_pkey DO UPDATE SET role = excluded.role
    RETURNING m.* INTO v_member;
    IF NOT EXISTS (
        SELECT FROM mqtt.organization_members AS m WHERE m.organization_id = add_organization_member.organization_id AND m.role = 'admin'
    ) AND NOT mqtt.is_operator() THEN
        RAISE EXCEPTION 'last_admin' USING
            ERRCODE = 'PT409', DETAIL = 'The organization would have no admin left.', HINT = 'Make someone else an admin first.';
    END IF;
    PERFORM mqtt.log_activity(
        v_member.organization_id, NULL, 'member_added', details => jsonb_build_object('user_id', v_member.user_id, 'role', v_member.role)
    );
    RETURN to_jsonb(v_member);
END;
$$;

ALTER FUNCTION api.add_organization_member(organization_id uuid, user_id uuid, role text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.add_organization_member(organization_id uuid, user_id uuid, role text) IS 'Add a user to an organization, or change their role

For admins of the organization and service_role. user_id is the `sub` of that user''s JWT; role is `member` (reads and publishes) or
`admin` (also manages integrations, credentials, subscriptions and members).
Errors: 400 `member_invalid`; 403 `admin_required`; 404 `organization_not_found`; 409 `last_admin`.';

CREATE FUNCTION api.cancel_mqtt_publish(receipt_ids uuid[]) RETURNS TABLE(receipt_id uuid, state text, organization_id uuid, integration_id uuid, topic text, qos smallint, attempts smallint, reason_code smallint, reason text, queued_at timestamp with time zone, settled_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_limit integer := (SELECT c.max_batch_messages FROM mqtt.configuration AS c);
    v_cancelled bigint [];
BEGIN
    IF cardinality(receipt_ids) > v_limit THEN
        RAISE EXCEPTION 'batch_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('%s receipt ids are more than the %s that one call may have.', cardinality(receipt_ids), v_limit),
            HINT = 'Cancel them in several calls.';
    END IF;
    PERFORM pg_advisory_xact_lock(mqtt.outbound_lock(), 0);  -- see bridge.claim_outbound
    -- Messages that a bridge has claimed are left to it.
    v_cancelled := ARRAY(
        SELECT q.msg_id
        FROM mqtt.publish_receipts(receipt_ids) AS r
        JOIN pgmq.q_mqtt_outbound AS q ON q.msg_id = mqtt.message_id_number(r.receipt_id, true)
        WHERE r.state = 'queued'
            AND NOT EXISTS (
                SELECT FROM mqtt.outbound_batches AS b
                WHERE b.organization_id = q.organization_id AND b.integration_id = q.integration_id AND q.msg_id = ANY (b.msg_ids)
            )
        ORDER BY q.msg_id
        FOR UPDATE OF q SKIP LOCKED
    );
    IF cardinality(v_cancelled) > 0 THEN
        PERFORM mqtt.settle_outbound(
            v_cancelled, array_fill('cancelled'::text, ARRAY[cardinality(v_cancelled)]), '{}',
            array_fill('Cancelled before it was sent to the broker.'::text, ARRAY[cardinality(v_cancelled)])
        );
    END IF;
    RETURN QUERY SELECT r.* FROM mqtt.publish_receipts(receipt_ids) AS r ORDER BY array_position(receipt_ids, r.receipt_id);
END;
$$;

ALTER FUNCTION api.cancel_mqtt_publish(receipt_ids uuid[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.cancel_mqtt_publish(receipt_ids uuid[]) IS 'Cancel messages that are still queued

Returns the receipts as get_mqtt_publish_receipts does: a message that could be cancelled is `cancelled`; one that is still `queued` has
already been claimed by the bridge and will be sent.
Errors: 413 `batch_too_large`.';

CREATE FUNCTION api.check_mqtt_ledger() RETURNS TABLE(organization_id uuid, hour timestamp with time zone, accepted bigint, completed bigint, dead bigint, expired bigint, queued bigint, difference bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT * FROM mqtt.check_ledger();
$$;

ALTER FUNCTION api.check_mqtt_ledger() OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.check_mqtt_ledger() IS 'Prove that no accepted message was lost

Lists each organization and hour where the accepted messages are not all completed, dead, expired or still queued, with the difference; an
empty list proves that the ledger balances.';

CREATE FUNCTION api.cleanup_mqtt_queue() RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT mqtt.apply_retention();
$$;

ALTER FUNCTION api.cleanup_mqtt_queue() OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.cleanup_mqtt_queue() IS 'Remove data past its retention

Removes completed messages after 7 days and failed ones (dead letters) after 30, unless configured otherwise for the installation or the
organization; also the activity log, receipts, callback deliveries, idempotency keys and old requests; never a message that has not been processed.
The bridge''s maintenance runs it too. Returns the number of rows removed: `{"completed", "failed", "activity", "receipts", "idempotency_keys",
"requests", "callbacks"}` (an estimate for partitions over 64 MiB), `more`: whether another call would find more, and `postponed`: why partitions
could not be dropped now, if so.';

CREATE FUNCTION api.create_organization(name text, slug text, admin_user_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_organization mqtt.organizations;
BEGIN
    IF create_organization.name IS NULL OR length(create_organization.name) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'name_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'name must be a string of 1 to 200 characters.', HINT = 'It is shown to people; topics start with the slug.';
    END IF;
    IF create_organization.slug IS NULL OR create_organization.slug !~ '^[a-z0-9][a-z0-9_-]{0,47}$' THEN
        RAISE EXCEPTION 'slug_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'slug must be 1 to 48 lower-case letters, digits, _ and -, and start with a letter or digit.',
            HINT = 'All topics of the organization''s hosted devices start with org_<slug>.';
    END IF;
    INSERT INTO mqtt.organizations (name, slug)
    VALUES (create_organization.name, create_organization.slug)
    ON CONFLICT DO NOTHING
    RETURNING * INTO v_organization;
    IF NOT found THEN
        RAISE EXCEPTION 'slug_taken' USING
            ERRCODE = 'PT409', DETAIL = format('There is already an organization with the slug %s.', slug), HINT = 'Choose another slug.';
    END IF;
    IF admin_user_id IS NOT NULL THEN
        INSERT INTO mqtt.organization_members (organization_id, user_id, role) VALUES (v_organization.id, admin_user_id, 'admin');
    END IF;
    PERFORM mqtt.log_activity(v_organization.id, NULL, 'organization_created', details => jsonb_build_object('admin_user_id', admin_user_id));
    RETURN to_jsonb(v_organization);
END;
$_$;

ALTER FUNCTION api.create_organization(name text, slug text, admin_user_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.create_organization(name text, slug text, admin_user_id uuid) IS 'Create an organization

Its devices'' topics start with `org_<slug>`. The user admin_user_id (the `sub` of that user''s JWT) becomes its first admin; you can also add one
later with `add_organization_member`.
Returns the organization: id, name, slug, topic_prefix and so on.
Errors: 400 `name_invalid`, `slug_invalid`; 409 `slug_taken`.';

CREATE FUNCTION api.delete_integration(integration_id uuid) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_integration mqtt.device_integrations;
BEGIN
    v_integration := mqtt.require_integration(delete_integration.integration_id, NULL, true);
    DELETE FROM mqtt.device_integrations AS i WHERE i.id = delete_integration.integration_id;
    RETURN mqtt.integration_json(v_integration);
END;
$$;

ALTER FUNCTION api.delete_integration(integration_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.delete_integration(integration_id uuid) IS 'Delete an integration

This also deletes its credentials, devices and subscriptions, and cancels messages that wait to be published. The history stays until its
retention ends. Returns the deleted integration.
Errors: 403 `admin_required`; 404 `integration_not_found`.';

CREATE FUNCTION api.emqx_authenticate(username text, password text, clientid text) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.broker_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, emqx_authenticate.username);
    v_fits boolean := mqtt.password_matches(v_credential, emqx_authenticate.password);
BEGIN
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    -- Always 200 with a body: EMQX treats 204 as allow, and on any error continues with its next authenticator.
    IF v_broker.id IS NULL THEN
        RETURN '{"result": "deny", "is_superuser": false, "reason": "broker_unknown"}'::json;
    ELSIF NOT v_fits THEN
        PERFORM mqtt.count_wrong_password(emqx_authenticate.username);
    END IF;
    IF (v_fits AND v_credential.client_id = emqx_authenticate.clientid AND mqtt.is_heard(v_credential)) IS NOT TRUE THEN
        RETURN '{"result": "deny", "is_superuser": false}'::json;
    END IF;
    PERFORM mqtt.note_broker_login(v_credential);
    IF v_credential.expires_at IS NULL THEN
        RETURN '{"result": "allow", "is_superuser": false}'::json;
    END IF;
    RETURN json_build_object(
        'result', 'allow', 'is_superuser', false, 'expire_at', floor(extract(EPOCH FROM v_credential.expires_at))::bigint
    );
END;
$$;

ALTER FUNCTION api.emqx_authenticate(username text, password text, clientid text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.emqx_authenticate(username text, password text, clientid text) IS 'EMQX asks whether a device may log in

For EMQX''s HTTP authenticator, with a key of `generate_broker_key` in its `authorization` header. Always returns 200
`{"result": "allow" or "deny", "is_superuser": false}`, with `expire_at` (Unix seconds) for a credential that expires: EMQX 5.8 and newer then end
the session at that time. The result is `deny` until the broker has granted the bridge''s first subscription for the integration. If the key is
wrong, `reason` is `broker_unknown`.';

CREATE FUNCTION api.emqx_authorize(username text, topic text, action text, clientid text DEFAULT NULL::text, qos text DEFAULT NULL::text, retain text DEFAULT NULL::text) RETURNS json
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.broker_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, emqx_authorize.username);
BEGIN
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    IF v_broker.id IS NULL THEN
        RETURN '{"result": "deny", "reason": "broker_unknown"}'::json;
    ELSIF v_credential.client_id = coalesce(emqx_authorize.clientid, v_credential.client_id)
        AND mqtt.access_rule(v_credential, emqx_authorize.action, emqx_authorize.topic) IS NOT NULL
        AND (emqx_authorize.action <> 'publish' OR mqtt.is_heard(v_credential)) THEN
        RETURN '{"result": "allow"}'::json;
    END IF;
    RETURN '{"result": "deny"}'::json;
END;
$$;

ALTER FUNCTION api.emqx_authorize(username text, topic text, action text, clientid text, qos text, retain text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.emqx_authorize(username text, topic text, action text, clientid text, qos text, retain text) IS 'EMQX asks whether a device may publish or subscribe to a topic

For EMQX''s HTTP authorizer, with a key of `generate_broker_key` in its `authorization` header. action is `publish` or `subscribe`; the filter of
a subscription must lie within one of the credential''s filters. Always returns 200 `{"result": "allow" or "deny"}`, never `ignore`. If the key is
wrong, `reason` is `broker_unknown`.';

CREATE FUNCTION api.explain_mqtt_access(credential_id uuid, action text, topic text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_credential mqtt.mqtt_credentials;
    v_status text;
    v_rule text;
    v_reason text;
    v_topic_error text;
BEGIN
    SELECT c.* INTO v_credential
    FROM mqtt.mqtt_credentials AS c
    WHERE c.id = explain_mqtt_access.credential_id AND (mqtt.is_operator() OR c.organization_id = ANY (mqtt.current_organization_ids()));
    IF NOT found THEN
        RAISE EXCEPTION 'credential_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no credential %s that you may see.', coalesce(credential_id::text, 'null')),
            HINT = 'get_mqtt_credentials lists yours.';
    END IF;
    PERFORM mqtt.require_organization(v_credential.organization_id, true);
    IF (action IN ('publish', 'subscribe')) IS NOT TRUE THEN
        RAISE EXCEPTION 'action_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'action must be publish or subscribe.', HINT = 'For subscribe, topic is the filter that the device subscribes to.';
    END IF;
    SELECT i.status INTO v_status FROM mqtt.device_integrations AS i WHERE i.id = v_credential.integration_id;
    v_rule := mqtt.access_rule(v_credential, action, topic);
    v_topic_error := CASE action WHEN 'publish' THEN mqtt.topic_name_reason(topic) ELSE mqtt.topic_filter_reason(topic) END;
    v_reason := CASE
        WHEN v_credential.revoked_at IS NOT NULL THEN 'revoked'
        WHEN v_credential.expires_at <= now() THEN 'expired'
        WHEN v_status = 'inactive' THEN 'integration_inactive'
        WHEN NOT CASE action WHEN 'publish' THEN v_credential.can_publish ELSE v_credential.can_subscribe END THEN action || '_not_allowed'
        WHEN v_topic_error IS NOT NULL THEN 'topic_invalid'
        WHEN v_rule IS NULL THEN 'topic_not_allowed'
        ELSE 'allowed'
    END;
    RETURN jsonb_build_object(
        'allowed', v_reason = 'allowed',
        'reason', v_reason,
        'rule', CASE WHEN v_reason = 'allowed' THEN v_rule END,
        'explanation', mqtt.access_explanation(v_reason, v_credential, action, left(topic, 200), v_topic_error, v_rule),
        'rules', (
            SELECT coalesce(jsonb_agg(r.filter ORDER BY r.filter), '[]')
            FROM mqtt.access_rules(v_credential) AS r
            WHERE r.action = explain_mqtt_access.action
        )
    );
END;
$$;

ALTER FUNCTION api.explain_mqtt_access(credential_id uuid, action text, topic text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.explain_mqtt_access(credential_id uuid, action text, topic text) IS 'Explain whether a device may use a topic

action is `publish` (topic is a topic name) or `subscribe` (topic is the filter that the device subscribes to, which must lie within an allowed
filter). Returns `allowed`, `reason` (`allowed`, `revoked`, `expired`, `integration_inactive`, `publish_not_allowed`, `subscribe_not_allowed`,
`topic_invalid`, `topic_not_allowed`), the `rule` that allows it, all `rules` for that action, and an `explanation` in words. HTTP ingest and
the brokers decide the same way, except that at a hosted broker no device can log in until the bridge has subscribed.
Errors: 400 `action_invalid`; 403 `admin_required`; 404 `credential_not_found`.';

CREATE FUNCTION api.generate_broker_key(name text, integration_id uuid DEFAULT NULL::uuid, vhost text DEFAULT '/'::text, exchange text DEFAULT 'amq.topic'::text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_integration mqtt.device_integrations;
    v_username text := 'broker_' || encode(mqtt.random_bytes(8), 'hex');
    v_key text := mqtt.random_password();
    v_salt bytea := mqtt.random_bytes(16);
    v_hash bytea := mqtt.password_verifier(v_salt, v_key);
    v_row mqtt.broker_keys;
BEGIN
    IF generate_broker_key.integration_id IS NOT NULL THEN
        v_integration := mqtt.require_integration(generate_broker_key.integration_id, admin_only => true);
    ELSIF NOT mqtt.is_operator() THEN
        RAISE EXCEPTION 'integration_required' USING
            ERRCODE = 'PT403',
            DETAIL = 'Only the operator can make a key for the hosted broker, which serves every organization.',
            HINT = 'Send the integration_id of the integration whose devices log in at your own broker.';
    END IF;
    IF (length(name) BETWEEN 1 AND 200) IS NOT TRUE THEN
        RAISE EXCEPTION 'name_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'name must be a string of 1 to 200 characters.', HINT = 'The name tells the keys of several brokers apart.';
    ELSIF (length(vhost) BETWEEN 1 AND 255) IS NOT TRUE THEN
        RAISE EXCEPTION 'vhost_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'vhost must be a string of 1 to 255 characters.', HINT = 'Omit it for RabbitMQ''s default virtual host, /.';
    ELSIF (length(exchange) BETWEEN 1 AND 255) IS NOT TRUE THEN
        RAISE EXCEPTION 'exchange_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'exchange must be a string of 1 to 255 characters.', HINT = 'Omit it for the MQTT plugin''s default, amq.topic.';
    END IF;
    INSERT INTO mqtt.broker_keys AS k (organization_id, integration_id, name, username, key_salt, key_hash, vhost, exchange)
    VALUES (
        v_integration.organization_id, v_integration.id, generate_broker_key.name, v_username, v_salt, v_hash,
        generate_broker_key.vhost, generate_broker_key.exchange
    )
    RETURNING k.* INTO v_row;
    IF v_integration.id IS NOT NULL THEN
        PERFORM mqtt.log_activity(
            v_integration.organization_id, v_integration.id, 'broker_key_generated',
            details => jsonb_build_object('key_id', v_row.id, 'name', v_row.name, 'user_id', mqtt.current_user_id())
        );
    END IF;
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN to_jsonb(v_row) - '{key_salt,key_hash}'::text [] || jsonb_build_object(
        'key', v_key,
        'authorization', 'Basic ' || translate(encode(convert_to(v_username || ':' || v_key, 'UTF8'), 'base64'), E'\n', '')
    );
END;
$$;

ALTER FUNCTION api.generate_broker_key(name text, integration_id uuid, vhost text, exchange text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.generate_broker_key(name text, integration_id uuid, vhost text, exchange text) IS 'Generate a key that a broker uses to ask about devices

For `rabbitmq_auth_*` and `emqx_*`. The answer is the only place that ever shows `key`; `authorization` is the complete header, with username
and key as HTTP Basic. Without integration_id (service_role only) the broker is the hosted one and may ask about the credentials of all
`mqtt_hosted` integrations; with it, about those of that integration only. vhost and exchange are RabbitMQ''s.
Errors: 400 `name_invalid`, `vhost_invalid`, `exchange_invalid`; 403 `integration_required`, `admin_required`; 404 `integration_not_found`.';

CREATE FUNCTION api.generate_mqtt_credentials(integration_id uuid, device_id text DEFAULT NULL::text, client_id text DEFAULT NULL::text, topic_prefix text DEFAULT NULL::text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, can_publish boolean DEFAULT true, can_subscribe boolean DEFAULT true, publish_filters text[] DEFAULT NULL::text[], subscribe_filters text[] DEFAULT NULL::text[], organization_id uuid DEFAULT NULL::uuid, max_per_second numeric DEFAULT NULL::numeric, max_burst integer DEFAULT NULL::integer, external_id text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(
        generate_mqtt_credentials.integration_id, generate_mqtt_credentials.organization_id, true
    );
    v_organization mqtt.organizations := mqtt.require_organization(v_integration.organization_id);
    v_device mqtt.devices;
    v_prefix text;
    v_username text := left(v_organization.slug, 24) || '_' || encode(mqtt.random_bytes(8), 'hex');
    v_password text := mqtt.random_password();
    v_salt bytea := mqtt.random_bytes(16);
    v_verifier bytea := mqtt.password_verifier(v_salt, v_password);
    v_mosquitto_hash text := mqtt.mosquitto_password_hash(v_password);
    v_bcrypt_hash text := mqtt.bcrypt_password_hash(v_password);
    v_credential mqtt.mqtt_credentials;
BEGIN
    IF coalesce(generate_mqtt_credentials.device_id, generate_mqtt_credentials.external_id) IS NOT NULL THEN
        v_device := mqtt.find_device(
            generate_mqtt_credentials.device_id, generate_mqtt_credentials.external_id, v_integration.id, v_integration.organization_id
        );
    END IF;
    v_prefix := mqtt.credential_prefix(generate_mqtt_credentials.topic_prefix, v_integration, v_organization, v_device.external_id);
    PERFORM mqtt.check_new_credential(
        v_prefix, generate_mqtt_credentials.publish_filters, generate_mqtt_credentials.subscribe_filters, generate_mqtt_credentials.client_id,
        generate_mqtt_credentials.expires_at, generate_mqtt_credentials.max_per_second, generate_mqtt_credentials.max_burst
    );
    -- Only hashes reach this statement: were it to fail, no log could show the password.
    INSERT INTO mqtt.mqtt_credentials (
        organization_id, integration_id, device_id, username, client_id, topic_prefix, broker_url, can_publish, can_subscribe,
        publish_filters, subscribe_filters, secret_salt, secret_hash, mosquitto_hash, bcrypt_hash, expires_at,
        max_per_second, max_burst
    ) VALUES (
        v_integration.organization_id, v_integration.id, v_device.id, v_username,
        coalesce(generate_mqtt_credentials.client_id, v_username), v_prefix, mqtt.broker_url(v_integration),
        coalesce(generate_mqtt_credentials.can_publish, true), coalesce(generate_mqtt_credentials.can_subscribe, true),
        generate_mqtt_credentials.publish_filters, generate_mqtt_credentials.subscribe_filters,
        v_salt, v_verifier, v_mosquitto_hash, v_bcrypt_hash, nullif(generate_mqtt_credentials.expires_at, 'infinity'),
        generate_mqtt_credentials.max_per_second, generate_mqtt_credentials.max_burst
    )
    RETURNING * INTO v_credential;
    PERFORM mqtt.log_activity(
        v_credential.organization_id, v_credential.integration_id, 'credential_generated',
        details => jsonb_build_object(
            'credential_id', v_credential.id, 'username', v_username, 'topic_prefix', v_prefix, 'user_id', mqtt.current_user_id()
        )
    );
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN mqtt.credential_json(v_credential) || jsonb_build_object('password', v_password);
END;
$$;

ALTER FUNCTION api.generate_mqtt_credentials(integration_id uuid, device_id text, client_id text, topic_prefix text, expires_at timestamp with time zone, can_publish boolean, can_subscribe boolean, publish_filters text[], subscribe_filters text[], organization_id uuid, max_per_second numeric, max_burst integer, external_id text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.generate_mqtt_credentials(integration_id uuid, device_id text, client_id text, topic_prefix text, expires_at timestamp with time zone, can_publish boolean, can_subscribe boolean, publish_filters text[], subscribe_filters text[], organization_id uuid, max_per_second numeric, max_burst integer, external_id text) IS 'Generate a device''s login

The answer is the only place that ever shows `password` (32 URL-safe characters). It also has username, client_id, broker_url, topic_prefix
and the rest of the credential. The device may use the topics below topic_prefix, which by default is the organization''s prefix. A credential
that is bound to a device (by device_id, its id or external id, or by external_id) gets that device''s prefix instead. publish_filters and
subscribe_filters narrow the topics further; can_publish and can_subscribe switch a direction off; max_per_second and max_burst limit what
the device may send over HTTP.
Errors: 400 `topic_prefix_invalid`, `filter_invalid`, `client_id_invalid`, `expires_at_invalid`, `limit_invalid`, `argument_conflict`;
403 `admin_required`, `topic_not_allowed`; 404 `integration_not_found`, `device_not_found`.';

CREATE FUNCTION api.get_broker_keys() RETURNS SETOF jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT to_jsonb(k) - '{key_salt,key_hash}'::text []
    FROM mqtt.broker_keys AS k
    WHERE mqtt.is_operator() OR k.organization_id = ANY (mqtt.current_organization_ids(true))
    ORDER BY k.created_at DESC, k.id;
$$;

ALTER FUNCTION api.get_broker_keys() OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.get_broker_keys() IS 'List the keys of brokers

Newest first: those of the organizations that you administer, or all of them for service_role. The keys themselves are never shown.';

CREATE FUNCTION api.get_capabilities(integration_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF get_capabilities.integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(get_capabilities.integration_id);
    END IF;
    RETURN jsonb_build_object(
        'supportsRealTimeStatus', true,
        'supportsTelemetry', true,
        'supportsFirmwareManagement', false,
        'supportsRemoteCommands', true,
        'supportsBidirectionalSync', false
    );
END;
$$;

ALTER FUNCTION api.get_capabilities(integration_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.get_capabilities(integration_id uuid) IS 'Show what an integration can do

Real-time status (last_seen_at, through subscriptions), telemetry (query_telemetry) and remote commands (mqtt_publish) are supported; firmware
management and bidirectional sync are not. The answer is the same for every integration.
Errors: 404 `integration_not_found`.';

CREATE FUNCTION api.get_device(device_id text DEFAULT NULL::text, integration_id uuid DEFAULT NULL::uuid, organization_id uuid DEFAULT NULL::uuid, external_id text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN to_jsonb(mqtt.find_device(get_device.device_id, get_device.external_id, get_device.integration_id, get_device.organization_id));
END;
$$;

ALTER FUNCTION api.get_device(device_id text, integration_id uuid, organization_id uuid, external_id text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.get_device(device_id text, integration_id uuid, organization_id uuid, external_id text) IS 'Read one device

device_id is the device''s id or its external id (the id in its topics); external_id is its external id only. Answers the device: id,
external_id, name, metadata, last_data (its newest telemetry), last_data_at, latest (of each metric the newest value:
`{"temperature": {"value": 23.5, "at": "…"}}`), last_seen_at and what it belongs to.
Errors: 400 `argument_conflict`; 404 `device_not_found`; 409 `device_ambiguous` (several integrations have that external id).';

CREATE FUNCTION api.get_mqtt_credentials(integration_id uuid DEFAULT NULL::uuid, credential_id uuid DEFAULT NULL::uuid, organization_id uuid DEFAULT NULL::uuid) RETURNS SETOF jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF get_mqtt_credentials.integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(get_mqtt_credentials.integration_id, get_mqtt_credentials.organization_id, true);
    ELSIF get_mqtt_credentials.organization_id IS NOT NULL THEN
        PERFORM mqtt.require_organization(get_mqtt_credentials.organization_id, true);
    END IF;
    RETURN QUERY
    SELECT mqtt.credential_json(c)
    FROM mqtt.mqtt_credentials AS c
    WHERE c.integration_id = coalesce(get_mqtt_credentials.integration_id, c.integration_id)
        AND c.organization_id = coalesce(get_mqtt_credentials.organization_id, c.organization_id)
        AND c.id = coalesce(get_mqtt_credentials.credential_id, c.id)
        AND (mqtt.is_operator() OR c.organization_id = ANY (mqtt.current_organization_ids(true)))
    ORDER BY c.created_at DESC, c.id;
END;
$$;

ALTER FUNCTION api.get_mqtt_credentials(integration_id uuid, credential_id uuid, organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.get_mqtt_credentials(integration_id uuid, credential_id uuid, organization_id uuid) IS 'List device logins

Newest first, including revoked and expired ones (see `status`): all that you administer, those of one integration or organization, or
the one that credential_id names. Passwords are never shown.
Errors: 403 `admin_required`; 404 `integration_not_found`, `organization_not_found`.';

CREATE FUNCTION api.get_mqtt_publish_receipts(receipt_ids uuid[], wait numeric DEFAULT 0) RETURNS TABLE(receipt_id uuid, state text, organization_id uuid, integration_id uuid, topic text, qos smallint, attempts smallint, reason_code smallint, reason text, queued_at timestamp with time zone, settled_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_until timestamptz := mqtt.check_wait(wait);
    v_limit integer := (SELECT c.max_batch_messages FROM mqtt.configuration AS c);
    v_step double precision := 0.01;
BEGIN
    IF cardinality(receipt_ids) > v_limit THEN
        RAISE EXCEPTION 'batch_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('%s receipt ids are more than the %s that one call may have.', cardinality(receipt_ids), v_limit),
            HINT = 'Ask in several calls.';
    END IF;
    -- Each iteration is a new statement, so it sees what has been committed meanwhile.
    WHILE clock_timestamp() < v_until AND EXISTS (SELECT FROM mqtt.publish_receipts(receipt_ids) AS r WHERE r.state = 'queued') LOOP
        PERFORM pg_sleep(least(v_step, extract(epoch FROM v_until - clock_timestamp())));
        v_step := least(v_step * 1.5, 0.2);
    END LOOP;
    RETURN QUERY SELECT r.* FROM mqtt.publish_receipts(receipt_ids) AS r ORDER BY array_position(receipt_ids, r.receipt_id);
END;
$$;

ALTER FUNCTION api.get_mqtt_publish_receipts(receipt_ids uuid[], wait numeric) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.get_mqtt_publish_receipts(receipt_ids uuid[], wait numeric) IS 'Get the state of published messages

One row for each receipt id, in the order given. `state`: `queued`, `sent` (QoS 0: handed to the broker), `acknowledged` (QoS 1 and 2: by the
broker), `failed` (see reason and reason_code, an MQTT 5 reason code), `expired`, `cancelled`, or `unknown` (no receipt that you may see,
or past its retention). With `wait`, the call returns when none of them is queued any longer, or after that many seconds (0 to 20) at the latest.
Errors: 400 `wait_invalid`; 413 `batch_too_large`.';

CREATE FUNCTION api.get_mqtt_queue_stats(organization_id uuid DEFAULT NULL::uuid, org_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_id CONSTANT uuid := (mqtt.require_organization(mqtt.one_of(organization_id, org_id, 'organization_id', 'org_id'))).id;
BEGIN
    RETURN mqtt.queue_depth(v_id) || jsonb_build_object(
        'organization_id', v_id, 'rates', mqtt.queue_rates(v_id), 'seconds_in_queue', mqtt.seconds_in_queue(v_id), 'top_errors', mqtt.top_errors(v_id)
    );
END;
$$;

ALTER FUNCTION api.get_mqtt_queue_stats(organization_id uuid, org_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.get_mqtt_queue_stats(organization_id uuid, org_id uuid) IS 'Show the state of an organization''s queue

`org_id` is another name for `organization_id`. Returns
- counts by status: `pending`, `processing`, `completed`, `failed`; `retrying` counts the pending messages that wait for another attempt;
  `dead` equals `failed`
- `oldest_pending_seconds`
- `rates` per second over 1, 5 and 60 minutes: in, out, failed attempts, dead letters
- `seconds_in_queue`: p50 and p99 of the last 1,000 messages stored
- `top_errors` of the last hour: `code` (SQLSTATE), `error`, `count`

Errors: 400 `argument_conflict`; 404 `organization_not_found`.';

CREATE FUNCTION api.get_mqtt_request(request_id uuid, wait numeric DEFAULT 0) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_until timestamptz := mqtt.check_wait(wait);
    v_step double precision := 0.01;
    v_request mqtt.mqtt_requests;
BEGIN
    LOOP
        SELECT r.* INTO v_request FROM mqtt.mqtt_requests AS r WHERE r.id = get_mqtt_request.request_id;
        IF NOT found THEN
            RAISE EXCEPTION 'request_not_found' USING
                ERRCODE = 'PT404',
                DETAIL = format('There is no request %s that you may see.', coalesce(request_id::text, 'null')),
                HINT = 'Requests are kept for a day.';
        END IF;
        EXIT WHEN v_request.status = 'done' OR clock_timestamp() >= v_until;
        PERFORM pg_sleep(least(v_step, extract(epoch FROM v_until - clock_timestamp())));
        v_step := least(v_step * 1.5, 0.2);
    END LOOP;
    RETURN jsonb_build_object(
        'request_id', v_request.id,
        'organization_id', v_request.organization_id,
        'integration_id', v_request.integration_id,
        'request_type', v_request.request_type,
        'status', v_request.status,
        'result', v_request.result,
        'created_at', v_request.created_at,
        'finished_at', v_request.finished_at
    );
END;
$$;

ALTER FUNCTION api.get_mqtt_request(request_id uuid, wait numeric) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.get_mqtt_request(request_id uuid, wait numeric) IS 'Get the result of a connection test

`status` is `queued`, `running` or `done`; once done, `result` has `ok`, `reason` and what was reached: address, TLS, login, round trip in
milliseconds. With `wait`, the call returns when the test is done, or after that many seconds (0 to 20) at the latest.
Errors: 400 `wait_invalid`; 404 `request_not_found`.';

CREATE FUNCTION api.get_vacuum_holders(older_than interval DEFAULT NULL::interval) RETURNS TABLE(kind text, pid integer, name text, state text, held_seconds integer, transactions integer)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT * FROM mqtt.vacuum_holders(older_than);
$$;

ALTER FUNCTION api.get_vacuum_holders(older_than interval) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.get_vacuum_holders(older_than interval) IS 'List what holds back vacuum

Old transactions prevent PostgreSQL from reusing the space of processed messages. Lists the sessions, prepared transactions and replication
slots that have done so for longer than `older_than` (default: the installation''s `vacuum_alarm_after`; `0` lists all), worst first:
`kind`, `pid`, `name` (role and application, transaction or slot), `state`, `held_seconds` (null for a slot), `transactions` begun since.';

CREATE FUNCTION api.list_devices("limit" integer DEFAULT 100, cursor text DEFAULT NULL::text, integration_id uuid DEFAULT NULL::uuid, organization_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_place text [];
    v_after text;
    v_devices mqtt.devices [];
    v_last mqtt.devices;
BEGIN
    IF (list_devices."limit" BETWEEN 1 AND 1000) IS NOT TRUE THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'limit is a whole number from 1 to 1000.', HINT = 'Send next_cursor as cursor to get the next page.';
    END IF;
    IF list_devices.integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(list_devices.integration_id, list_devices.organization_id);
    ELSIF list_devices.organization_id IS NOT NULL THEN
        PERFORM mqtt.require_organization(list_devices.organization_id);
    END IF;
    IF list_devices.cursor IS NOT NULL THEN
        -- A cursor is the last device's place in the index: organization, integration, external id in hexadecimal.
        BEGIN
            v_place := regexp_match(list_devices.cursor, '^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.((?:[0-9a-f]{2})+)$');
            v_after := convert_from(decode(v_place[3], 'hex'), 'UTF8');
        EXCEPTION
            WHEN data_exception THEN
                v_place := NULL;
        END;
        IF v_place IS NULL THEN
            RAISE EXCEPTION 'cursor_invalid' USING
                ERRCODE = 'PT400', DETAIL = 'cursor is the next_cursor of an earlier answer.', HINT = 'Omit it to begin at the start.';
        END IF;
    END IF;
    v_devices := ARRAY(
        SELECT d
        FROM mqtt.devices AS d
        WHERE (list_devices.integration_id IS NULL OR d.integration_id = list_devices.integration_id)
            AND (list_devices.organization_id IS NULL OR d.organization_id = list_devices.organization_id)
            AND (v_place IS NULL OR (d.organization_id, d.integration_id, d.external_id) > (v_place[1]::uuid, v_place[2]::uuid, v_after))
        ORDER BY d.organization_id, d.integration_id, d.external_id
        LIMIT list_devices."limit" + 1
    );
    v_last := v_devices[list_devices."limit"];
    RETURN jsonb_build_object(
        'devices', coalesce((SELECT jsonb_agg(to_jsonb(d) ORDER BY d.ordinality) FROM unnest(v_devices[:list_devices."limit"]) WITH ORDINALITY AS d), '[]'),
        'next_cursor', CASE
            WHEN cardinality(v_devices) > list_devices."limit" THEN concat_ws(
                '.', v_last.organization_id, v_last.integration_id, encode(convert_to(v_last.external_id, 'UTF8'), 'hex')
            )
        END
    );
END;
$_$;

ALTER FUNCTION api.list_devices("limit" integer, cursor text, integration_id uuid, organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.list_devices("limit" integer, cursor text, integration_id uuid, organization_id uuid) IS 'List devices, page by page

Answers `{"devices": [...], "next_cursor"}`: up to limit (1 to 1000) devices, ordered by integration and external id. Send next_cursor as
cursor to get the next page; it is null on the last one. Devices that are registered or deleted between two pages do not shift the others.
Errors: 400 `limit_invalid`, `cursor_invalid`; 404 `integration_not_found`, `organization_not_found`.';

CREATE FUNCTION api.list_messages(organization_id uuid DEFAULT NULL::uuid, integration_id uuid DEFAULT NULL::uuid, device_id text DEFAULT NULL::text, topic text DEFAULT NULL::text, filter text DEFAULT NULL::text, id uuid DEFAULT NULL::uuid, direction text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone, cursor text DEFAULT NULL::text, "limit" integer DEFAULT 100, page_size integer DEFAULT NULL::integer, oldest_first boolean DEFAULT false, stored_since timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS SETOF mqtt.listed_message
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    v_cursor mqtt.message_cursor := mqtt.read_cursor(list_messages.cursor);
    v_most CONSTANT integer := coalesce(list_messages.page_size, list_messages."limit");
    v_id_at CONSTANT timestamptz := mqtt.message_id_time(list_messages.id);
    v_request mqtt.message_request;
    v_device mqtt.devices;
BEGIN
    PERFORM mqtt.check_message_request(list_messages.direction, list_messages.topic, list_messages.filter, v_most);
    IF list_messages.integration_id IS NOT NULL THEN
        v_request.organization_ids := ARRAY[(mqtt.require_integration(list_messages.integration_id, list_messages.organization_id)).organization_id];
    ELSIF list_messages.organization_id IS NOT NULL THEN
        v_request.organization_ids := ARRAY[(mqtt.require_organization(list_messages.organization_id)).id];
    ELSE
        v_request.organization_ids := ARRAY(SELECT o.id FROM mqtt.organizations AS o);
    END IF;
    v_request.integration_id := list_messages.integration_id;
    IF list_messages.device_id IS NOT NULL THEN
        v_device := mqtt.find_device(list_messages.device_id, NULL, list_messages.integration_id, list_messages.organization_id);
        v_request.organization_ids := ARRAY[v_device.organization_id];
        v_request.integration_id := v_device.integration_id;
        v_request.device_id := v_device.id;
    END IF;
    v_request.topic := list_messages.topic;
    v_request.topic_pattern := mqtt.topic_filter_pattern(list_messages.filter);
    v_request.id := list_messages.id;
    v_request.direction := list_messages.direction;
    v_request.is_oldest_first := coalesce(list_messages.oldest_first, false);
    v_request.most := v_most;
    v_request.stored_since := list_messages.stored_since;
    v_request.cursor_at := v_cursor.at;
    v_request.cursor_position := coalesce(mqtt.cursor_position(v_cursor), CASE WHEN v_request.is_oldest_first THEN 9223372036854775807 ELSE -1 END);
    v_request.cursor_id := v_cursor.id;
    v_request.since := greatest(list_messages.since, v_id_at, CASE WHEN v_request.is_oldest_first THEN v_cursor.at END);
    v_request.until := least(
        list_messages.until, v_id_at + interval '2 milliseconds', CASE WHEN NOT v_request.is_oldest_first THEN v_cursor.at + interval '1 microsecond' END
    );
    RETURN QUERY
    SELECT
        m.id, m.organization_id, m.integration_id, m.device_id, m.direction::text, m.topic, m.message_type, m.payload,
        translate(encode(m.body, 'base64'), E'\n', ''), m.content_type, m.decode_error, m.qos, m.retain, m.properties, m.sent_at, m.received_at,
        m.created_at, m.measured_at, m.sent_at <> m.measured_at, mqtt.encode_cursor(m.received_at, m.received_at, m.organization_id, m.id)
    FROM mqtt.messages(v_request) AS m;
EXCEPTION
    WHEN query_canceled THEN
        RAISE EXCEPTION 'range_too_large' USING
            ERRCODE = 'PT413', DETAIL = 'The range has more messages than one request can go through.', HINT = 'Narrow since and until, or name a device.';
END;
$$;

ALTER FUNCTION api.list_messages(organization_id uuid, integration_id uuid, device_id text, topic text, filter text, id uuid, direction text, since timestamp with time zone, until timestamp with time zone, cursor text, "limit" integer, page_size integer, oldest_first boolean, stored_since timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.list_messages(organization_id uuid, integration_id uuid, device_id text, topic text, filter text, id uuid, direction text, since timestamp with time zone, until timestamp with time zone, cursor text, "limit" integer, page_size integer, oldest_first boolean, stored_since timestamp with time zone) IS 'List messages

The history, both directions: the rows of the view mqtt_messages, each with a `cursor`, the newest first (with oldest_first the oldest), in the
order in which they were accepted. You can narrow the result by organization_id, integration_id, device_id (id or external id), topic (exact),
filter (a topic filter, such as `org_demo/devices/+/telemetry`), id, direction (incoming or outgoing), since (from) and until (before), which are
of received_at, and stored_since, which is of created_at. limit is 1 to 1000; page_size is the same, for GET, where PostgREST takes limit for
itself. To get the next page, send the cursor of the last row.
Errors: 400 `limit_invalid`, `cursor_invalid`, `direction_invalid`, `topic_invalid`, `argument_conflict`; 404 `organization_not_found`,
`integration_not_found`, `device_not_found`; 409 `device_ambiguous`; 413 `range_too_large`.';

CREATE FUNCTION api.mqtt_hybrid_credentials(action text, integration_id uuid, organization_id uuid DEFAULT NULL::uuid, credential_id uuid DEFAULT NULL::uuid, device_id text DEFAULT NULL::text, client_id text DEFAULT NULL::text, topic_prefix text DEFAULT NULL::text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, external_id text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(
        mqtt_hybrid_credentials.integration_id, mqtt_hybrid_credentials.organization_id, true
    );
BEGIN
    CASE action
        WHEN 'generate' THEN
            RETURN api.generate_mqtt_credentials(
                v_integration.id, mqtt_hybrid_credentials.device_id, mqtt_hybrid_credentials.client_id, mqtt_hybrid_credentials.topic_prefix,
                mqtt_hybrid_credentials.expires_at, external_id => mqtt_hybrid_credentials.external_id
            );
        WHEN 'get' THEN
            RETURN jsonb_build_object('credentials', coalesce(
                (SELECT jsonb_agg(c) FROM api.get_mqtt_credentials(v_integration.id, mqtt_hybrid_credentials.credential_id) AS c), '[]'
            ));
        WHEN 'revoke' THEN
            IF NOT EXISTS (
                SELECT FROM mqtt.mqtt_credentials AS c WHERE c.id = mqtt_hybrid_credentials.credential_id AND c.integration_id = v_integration.id
            ) THEN
                RAISE EXCEPTION 'credential_not_found' USING
                    ERRCODE = 'PT404',
                    DETAIL = format('The integration does not have a credential %s.', coalesce(credential_id::text, 'null')),
                    HINT = 'Action get lists its credentials.';
            END IF;
            RETURN api.revoke_mqtt_credentials(mqtt_hybrid_credentials.credential_id);
        ELSE
            RAISE EXCEPTION 'action_invalid' USING
                ERRCODE = 'PT400', DETAIL = 'action must be generate, get or revoke.', HINT = 'You may also call generate_mqtt_credentials, get_mqtt_credentials and revoke_mqtt_credentials.';
    END CASE;
END;
$$;

ALTER FUNCTION api.mqtt_hybrid_credentials(action text, integration_id uuid, organization_id uuid, credential_id uuid, device_id text, client_id text, topic_prefix text, expires_at timestamp with time zone, external_id text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.mqtt_hybrid_credentials(action text, integration_id uuid, organization_id uuid, credential_id uuid, device_id text, client_id text, topic_prefix text, expires_at timestamp with time zone, external_id text) IS 'Generate, get or revoke device logins

For clients of `/functions/v1/mqtt-hybrid/credentials`. Action `generate` returns what generate_mqtt_credentials returns; `get` returns
`{"credentials": [...]}` with the rows of get_mqtt_credentials; `revoke` (with credential_id) returns what revoke_mqtt_credentials returns.
Errors: 400 `action_invalid`; 403 `admin_required`; 404 `integration_not_found`, `credential_not_found`; for `generate` also
those of generate_mqtt_credentials.';

CREATE FUNCTION api.mqtt_ingest(topic text, payload json, qos integer DEFAULT 0, retain boolean DEFAULT false, content_type text DEFAULT NULL::text, payload_encoding text DEFAULT NULL::text, message_id uuid DEFAULT NULL::uuid, "timestamp" text DEFAULT NULL::text) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_headers jsonb;
    v_login text;
    v_document jsonb;
    v_organization_id uuid;
    v_answer json;
    v_qos CONSTANT integer := coalesce(qos, 0);
BEGIN
    IF v_qos BETWEEN 0 AND 2 AND coalesce(content_type, payload_encoding) IS NULL AND message_id IS NULL
        AND ("timestamp" IS NULL OR mqtt.try_device_time("timestamp") IS NOT NULL)
        AND octet_length(topic) <= 65535 AND mqtt.is_plain_topic(topic)
        AND octet_length(payload::text) <= 1000 AND payload::text !~ '\\u|[eE][+-]?0*[1-9][0-9]{2}|[0-9]{20}' THEN
        v_headers := nullif(current_setting('request.headers', true), '')::jsonb;
        v_login := coalesce(mqtt.basic_login(v_headers), (v_headers ->> 'x-username') || ':' || (v_headers ->> 'x-password'));
        IF v_qos = 0 AND retain IS NOT TRUE AND "timestamp" IS NULL THEN
            v_document := jsonb_build_object('topic', topic, 'payload', payload::jsonb);
        ELSE
            v_document := mqtt.message_document(topic, payload::jsonb, v_qos, coalesce(retain, false), NULL, mqtt.try_device_time("timestamp"));
        END IF;
        INSERT INTO pgmq.q_mqtt_messages AS q (vt, message, organization_id, integration_id, credential_id)
        SELECT statement_timestamp(), v_document, c.organization_id, c.integration_id, c.id
        FROM mqtt.mqtt_credentials AS c
        WHERE c.username = split_part(v_login, ':', 1) AND c.client_id = v_headers ->> 'x-client-id'
            AND c.can_publish AND c.revoked_at IS NULL AND (c.expires_at <= now()) IS NOT TRUE
            AND mqtt.topic_is_under(mqtt_ingest.topic, c.topic_prefix) AND c.publish_filters IS NULL AND c.max_per_second IS NULL
            AND (SELECT i.status <> 'inactive' FROM mqtt.device_integrations AS i WHERE i.id = c.integration_id)
            AND (
                SELECT o.ingest_pause IS NULL AND (o.max_payload_bytes < 32000) IS NOT TRUE AND o.max_per_second IS NULL
                FROM mqtt.organizations AS o
                WHERE o.id = c.organization_id
            )
            AND (SELECT k.ingest_pause IS NULL AND k.max_payload_bytes >= 32000 FROM mqtt.configuration AS k)
            -- The costliest check comes last: the response time reveals nothing to a caller who does not know a client id.
            AND sha256(c.secret_salt || convert_to(substr(v_login, strpos(v_login, ':') + 1), 'UTF8')) = c.secret_hash
        RETURNING q.organization_id, json_build_object('message_id', mqtt.message_id(q.enqueued_at, q.msg_id), 'status', 'queued')
        INTO v_organization_id, v_answer;
        IF found THEN
            UPDATE mqtt.ledger AS l
            SET accepted = l.accepted + 1
            WHERE l.organization_id = v_organization_id AND l.bucket = date_trunc('minute', now()) AND l.shard = mqtt.ledger_shard();
            IF NOT found THEN
                PERFORM mqtt.count_accepted(v_organization_id, 1);
            END IF;
            IF NOT pg_try_advisory_xact_lock_shared(mqtt.wakeup_lock(), hashtext('ingest')) THEN
                PERFORM mqtt.wake_bridge('ingest');
            END IF;
            RETURN CASE WHEN set_config('response.status', '202', true) IS NOT NULL THEN v_answer END;  -- PERFORM would be another query
        END IF;
    END IF;
    RETURN mqtt.ingest_message(topic, payload, v_qos, coalesce(retain, false), content_type, payload_encoding, message_id, "timestamp");
END;
$$;

ALTER FUNCTION api.mqtt_ingest(topic text, payload json, qos integer, retain boolean, content_type text, payload_encoding text, message_id uuid, "timestamp" text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.mqtt_ingest(topic text, payload json, qos integer, retain boolean, content_type text, payload_encoding text, message_id uuid, "timestamp" text) IS 'Send one message as a device

Log in with `Authorization: Basic base64(username:password)`, or with `X-Username` and `X-Password`, and always with `X-Client-ID`, as issued
by `generate_mqtt_credentials`. Takes a single message; `mqtt_ingest_batch` takes an array. Answers 202 `{"message_id", "status": "queued"}`
once the message is durable.

- `topic`: MQTT topic name below the credential''s prefix
- `payload`: any JSON; with `payload_encoding` `base64` a string that contains the bytes, which are decoded according to `content_type`
- `qos` 0, 1 or 2; `retain`
- `timestamp`: when the device measured it, as RFC 3339 date and time, or seconds, milliseconds, microseconds or nanoseconds since 1970; where it
  is omitted, the payload''s member `timestamp` or `ts` tells
- `message_id`: a UUID that you choose; a repeat within the idempotency window (24 hours) gets the same answer and is stored only once

Errors: 401 `invalid_credentials`; 403 `topic_not_allowed`, `publish_not_allowed`, `integration_inactive`; 400 `topic_invalid`,
`qos_invalid`, `payload_invalid`, `payload_not_base64`, `payload_encoding_invalid`, `content_type_invalid`, `timestamp_invalid`; 413
`payload_too_large`; 429 `too_many_wrong_passwords`, `quota_exceeded`, `queue_paused`, with `Retry-After`.';

CREATE FUNCTION api.mqtt_ingest_batch(json) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_session mqtt.device_session;
    v_nul_mark text;
    v_bare json;
    v_messages jsonb;
    v_count integer;
    v_faults text [];
    v_answer json;
    v_most integer;
    v_queued integer := 0;
BEGIN
    SELECT s.* INTO v_session FROM mqtt.request_session() AS s;
    IF v_session.fault IS NOT NULL THEN
        RETURN mqtt.answer_wrong_login(v_session);
    END IF;
    BEGIN
        v_messages := mqtt.checked_jsonb($1::text);
        IF jsonb_typeof(v_messages) = 'object' AND v_messages - 'messages' = '{}' THEN
            v_messages := v_messages -> 'messages';
        END IF;
        v_count := CASE WHEN jsonb_typeof(v_messages) = 'array' THEN jsonb_array_length(v_messages) END;
    EXCEPTION
        WHEN SQLSTATE 'PT400' THEN
            v_messages := NULL;
            -- Some element cannot be stored: find out which, and keep the others. A mark that occurs in none of them replaces \u0000.
            v_nul_mark := 'nul' || md5(random()::text || clock_timestamp()::text);
            v_bare := mqtt.bare_messages(regexp_replace($1::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1' || v_nul_mark, 'g')::json);
            v_count := CASE WHEN json_typeof(v_bare) = 'array' THEN json_array_length(v_bare) END;
    END;
    PERFORM mqtt.require_batch(v_count, v_session.max_batch_messages);
    IF v_messages IS NULL THEN
        v_faults := mqtt.message_reasons(v_bare, v_nul_mark);
        v_messages := mqtt.storable_messages(v_bare, v_faults);
    END IF;
    IF coalesce(v_session.credential_rate, v_session.organization_rate) IS NOT NULL THEN
        v_most := mqtt.take_batch_quota(v_session, v_count);
    END IF;
    IF v_faults IS NULL AND coalesce(v_most, v_count) = v_count THEN
        v_queued := mqtt.enqueue_plain_batch(v_session, v_messages);
    END IF;
    IF v_queued = 0 THEN
        v_answer := mqtt.enqueue_batch(v_session, v_messages, v_faults, v_most);
        v_queued := (v_answer ->> 'queued')::integer;
    END IF;
    IF v_queued > 0 THEN
        PERFORM mqtt.count_accepted(v_session.organization_id, v_queued);
    END IF;
    PERFORM set_config('response.status', '202', true);
    RETURN json_build_object(
        'accepted', coalesce(v_answer -> 'accepted', to_json(v_queued)), 'rejected', coalesce(v_answer -> 'rejected', '[]')
    );
END;
$_$;

ALTER FUNCTION api.mqtt_ingest_batch(json) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.mqtt_ingest_batch(json) IS 'Send many messages as a device

The body is `{"messages": [...]}`, or the array alone: up to 10,000 objects with the arguments of `mqtt_ingest` (`topic`, `payload`, `qos`,
`retain`, `content_type`, `payload_encoding`, `message_id`, `timestamp`). Valid messages are kept and invalid ones are reported: answers 202
`{"accepted": n, "rejected": [{"index", "code", "message"}]}`; `index` counts from 0. A repeated `message_id` counts as accepted and is
stored only once.

Errors: 401 `invalid_credentials`; 403 `publish_not_allowed`, `integration_inactive`; 400 `messages_invalid`, `batch_empty`; 413
`batch_too_large`; 429 `too_many_wrong_passwords`, `quota_exceeded`, `queue_paused`, with `Retry-After`. Codes of rejected
messages: those of `mqtt_ingest` (`quota_exceeded` for messages beyond the quota) and `message_invalid`, `payload_missing`, `retain_invalid`,
`message_id_invalid`, `timestamp_invalid`.';

CREATE FUNCTION api.mqtt_ingest_binary(bytea) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_session mqtt.device_session := mqtt.device_login();
    v_headers json := nullif(current_setting('request.headers', true), '');
    v_topic text := v_headers ->> 'x-topic';
    v_qos text := coalesce(v_headers ->> 'x-qos', '0');
    v_retain text := lower(coalesce(v_headers ->> 'x-retain', 'false'));
    v_message_id text := v_headers ->> 'x-message-id';
    v_timestamp text := v_headers ->> 'x-timestamp';
    v_fault text;
BEGIN
    IF v_session.fault IS NOT NULL THEN
        RETURN mqtt.answer_wrong_login(v_session);
    END IF;
    v_fault := CASE
        WHEN v_qos !~ '^[012]$' THEN 'qos_invalid'
        WHEN v_retain NOT IN ('true', 'false', '1', '0') THEN 'retain_invalid'
        WHEN NOT mqtt.is_uuid(v_message_id) THEN 'message_id_invalid'
        WHEN v_timestamp IS NOT NULL AND mqtt.try_device_time(v_timestamp) IS NULL THEN 'timestamp_invalid'
    END;
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_message(v_fault, v_topic, v_session.topic_prefix, v_session.max_payload_bytes);
    END IF;
    RETURN mqtt.enqueue_message(
        v_session, v_topic, NULL, coalesce($1, ''), v_qos::integer, v_retain IN ('true', '1'),
        coalesce(v_headers ->> 'x-content-type', 'application/octet-stream'), v_message_id::uuid, mqtt.try_device_time(v_timestamp)
    );
END;
$_$;

ALTER FUNCTION api.mqtt_ingest_binary(bytea) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.mqtt_ingest_binary(bytea) IS 'Send one message as a device, its payload as raw bytes

The body is the payload, with `Content-Type: application/octet-stream`. Headers: `X-Topic` (required), `X-QoS`, `X-Retain`,
`X-Content-Type` (media type of the payload: `application/cbor`, `application/msgpack`, `text/plain`, `application/json`, …),
`X-Message-ID`, `X-Timestamp`. Login headers, answer and errors are those of `mqtt_ingest`; additional errors are 400 `retain_invalid`,
`message_id_invalid`, `timestamp_invalid`.';

CREATE FUNCTION api.mqtt_publish(integration_id uuid, messages json, organization_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(mqtt_publish.integration_id, mqtt_publish.organization_id);
    v_limits record;
    v_messages jsonb;
    v_receipts jsonb;
BEGIN
    SELECT l.* INTO STRICT v_limits FROM mqtt.outbound_limits(v_integration.id) AS l;
    PERFORM mqtt.refuse_outbound(CASE WHEN v_limits.is_inactive THEN 'integration_inactive' END);
    PERFORM mqtt.require_open_queue(v_integration.organization_id, 'outbound');
    v_messages := mqtt.outbound_array(messages, v_limits.max_messages);
    PERFORM mqtt.require_publishable(v_messages, v_limits.required_prefix, v_limits.max_bytes);
    v_receipts := mqtt.enqueue_outbound(v_integration.organization_id, v_integration.id, v_messages);
    PERFORM mqtt.wake_bridge('outbound');
    PERFORM set_config('response.status', '202', true);
    RETURN jsonb_build_object('status', 'queued', 'receipts', v_receipts);
END;
$$;

ALTER FUNCTION api.mqtt_publish(integration_id uuid, messages json, organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.mqtt_publish(integration_id uuid, messages json, organization_id uuid) IS 'Publish messages to an integration''s broker

`messages` is an array; either all of them are queued or none. Each has
- `topic`: MQTT topic name; at the hosted broker below the organization''s prefix
- `payload`: any JSON; a string is sent as its text, anything else as JSON text. `payload_encoding` overrides this: `json` (a string is sent
  with its quotes), `text`, or `base64` (bytes)
- `qos` 0, 1 or 2, `retain`
- `content_type`, `response_topic`, `correlation_data` (base64), `user_properties` (object, or array of pairs), for MQTT 5
- `message_expiry`: seconds after which the message is worthless; `deliver_at`: when to publish it (RFC 3339), at most a year ahead

Returns 202 `{"status": "queued", "receipts": [{"index", "receipt_id"}]}` once the messages are durable; get_mqtt_publish_receipts shows
what became of each.
Errors: 400 `messages_invalid`, `messages_empty`, `message_invalid` (the details give the index); 403 `topic_not_allowed`,
`integration_inactive`; 404 `integration_not_found`; 413 `batch_too_large`, `payload_too_large`; 429 `queue_paused`, with `Retry-After`.';

CREATE FUNCTION api.mqtt_subscribe(integration_id uuid, topic text, qos integer DEFAULT 0, callback_url text DEFAULT NULL::text, organization_id uuid DEFAULT NULL::uuid, no_local boolean DEFAULT true, retain_handling integer DEFAULT 0, is_paused boolean DEFAULT false, callback_ordered boolean DEFAULT false, callback_secret jsonb DEFAULT NULL::jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(mqtt_subscribe.integration_id, mqtt_subscribe.organization_id, true);
    v_subscription mqtt.mqtt_subscriptions;
    v_secret text;
BEGIN
    PERFORM mqtt.check_subscription(
        v_integration, mqtt_subscribe.topic, mqtt_subscribe.qos, mqtt_subscribe.retain_handling, mqtt_subscribe.callback_url
    );
    INSERT INTO mqtt.mqtt_subscriptions AS s (
        organization_id, integration_id, topic, qos, callback_url, callback_ordered, no_local, retain_handling, is_paused
    )
    VALUES (
        v_integration.organization_id, v_integration.id, mqtt_subscribe.topic, mqtt_subscribe.qos, mqtt_subscribe.callback_url,
        coalesce(mqtt_subscribe.callback_ordered, false),
        -- MQTT 5 section 3.8.3.1: No Local on a shared subscription is a protocol error.
        coalesce(mqtt_subscribe.no_local, true) AND NOT starts_with(mqtt_subscribe.topic, '$share/'), mqtt_subscribe.retain_handling,
        coalesce(mqtt_subscribe.is_paused, false)
    )
    ON CONFLICT ON CONSTRAINT mqtt_subscriptions_organization_id_integration_id_topic_key DO UPDATE
    SET qos = excluded.qos,
        callback_url = excluded.callback_url,
        callback_ordered = excluded.callback_ordered,
        callback_gone_at = NULL,
        no_local = excluded.no_local,
        retain_handling = excluded.retain_handling,
        is_paused = excluded.is_paused,
        status = CASE
            WHEN (s.qos, s.no_local, s.retain_handling, s.is_paused)
                = (excluded.qos, excluded.no_local, excluded.retain_handling, excluded.is_paused) THEN s.status
            ELSE 'pending'
        END,
        updated_at = clock_timestamp()
    RETURNING s.* INTO v_subscription;
    IF v_subscription.callback_url IS NOT NULL THEN
        v_secret := mqtt.set_callback_secret(
            v_subscription.organization_id, v_subscription.id, mqtt_subscribe.callback_secret, '1 day', only_if_none => true
        );
    END IF;
    RETURN (to_jsonb(v_subscription) - '{number,active_at,prefix,pattern}'::text [])
        || CASE WHEN v_secret IS NULL THEN '{}' ELSE jsonb_build_object('callback_secret', v_secret) END;
END;
$_$;

ALTER FUNCTION api.mqtt_subscribe(integration_id uuid, topic text, qos integer, callback_url text, organization_id uuid, no_local boolean, retain_handling integer, is_paused boolean, callback_ordered boolean, callback_secret jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.mqtt_subscribe(integration_id uuid, topic text, qos integer, callback_url text, organization_id uuid, no_local boolean, retain_handling integer, is_paused boolean, callback_ordered boolean, callback_secret jsonb) IS 'Subscribe to a topic filter at an integration''s broker

Matching messages are stored like those that devices post; topic may have the wildcards + and #, and may be `$share/<name>/<filter>`. With a
callback_url, matching messages are also posted there, whether they came from the broker or over HTTP: signed, retried, and with
callback_ordered one after the other. The answer is the only place that ever shows the `callback_secret` that signatures are checked with; a
subscription that already has a secret keeps it. You can send a sealed secret of your own as callback_secret: `{"sealed": "<base64>"}`.
Subscribing again to the same filter changes the other arguments, and ends a pause that began when the receiver answered 410. A subscription
that is_paused is unsubscribed at the broker and posts nothing, but keeps its row. `status` is `pending` until the broker has granted it.
Errors: 400 `topic_invalid`, `qos_invalid`, `retain_handling_invalid`, `callback_url_invalid`, `callback_secret_invalid`,
`sealing_unavailable`; 403 `admin_required`, `topic_not_allowed`; 404 `integration_not_found`.';

CREATE FUNCTION api.mqtt_test_connection(integration_id uuid, organization_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(
        mqtt_test_connection.integration_id, mqtt_test_connection.organization_id, true
    );
    v_request_id uuid;
BEGIN
    -- One open test of a broker serves all callers.
    SELECT r.id INTO v_request_id
    FROM mqtt.mqtt_requests AS r
    WHERE r.organization_id = v_integration.organization_id AND r.integration_id = v_integration.id
        AND r.request_type = 'test_connection' AND r.status = 'queued' AND r.created_at >= v_integration.updated_at
    LIMIT 1;
    IF NOT found THEN
        INSERT INTO mqtt.mqtt_requests AS r (organization_id, integration_id, request_type)
        VALUES (v_integration.organization_id, v_integration.id, 'test_connection')
        RETURNING r.id INTO v_request_id;
        PERFORM mqtt.wake_bridge('request');
    END IF;
    PERFORM set_config('response.status', '202', true);
    RETURN jsonb_build_object('request_id', v_request_id, 'status', 'queued');
END;
$$;

ALTER FUNCTION api.mqtt_test_connection(integration_id uuid, organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.mqtt_test_connection(integration_id uuid, organization_id uuid) IS 'Test the connection to an integration''s broker

Returns 202 `{"request_id", "status": "queued"}`; get_mqtt_request returns the result.
Errors: 403 `admin_required`; 404 `integration_not_found`.';

CREATE FUNCTION api.mqtt_unsubscribe(subscription_id uuid) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_subscription mqtt.mqtt_subscriptions := mqtt.require_subscription(mqtt_unsubscribe.subscription_id);
BEGIN
    DELETE FROM mqtt.mqtt_subscriptions AS s WHERE s.organization_id = v_subscription.organization_id AND s.id = v_subscription.id;
    RETURN to_jsonb(v_subscription) - '{number,active_at,prefix,pattern}'::text [];
END;
$$;

ALTER FUNCTION api.mqtt_unsubscribe(subscription_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.mqtt_unsubscribe(subscription_id uuid) IS 'End a subscription

The bridge unsubscribes at the broker. Returns the removed subscription.
Errors: 403 `admin_required`; 404 `subscription_not_found`.';

CREATE FUNCTION api.process_mqtt_queue(batch_size integer DEFAULT 1000) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'batch_size_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'batch_size must be from 1 to 100,000.', HINT = '1,000 is a good size.';
    END IF;
    RETURN mqtt.process_batch(batch_size);
END;
$$;

ALTER FUNCTION api.process_mqtt_queue(batch_size integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.process_mqtt_queue(batch_size integer) IS 'Process queued messages

Moves up to `batch_size` due messages into the history with all their effects; you may call it from anywhere at any time, even while the
bridge runs. Returns `{"processed", "failed", "dead", "more"}`: messages stored, messages that wait for another attempt, new dead letters,
and whether to call again: a full batch was taken, or, instead of a batch, updates were applied that had been deferred while vacuum was held
back.
Errors: 400 `batch_size_invalid`.';

CREATE FUNCTION api.process_mqtt_queue_message(message_id uuid DEFAULT NULL::uuid, p_message_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_id CONSTANT uuid := mqtt.one_of(message_id, p_message_id, 'message_id', 'p_message_id');
    v_msg_id bigint;
    v_tid tid;
    v_organization_id uuid;
    v_counts integer [];
    v_status text;
BEGIN
    SELECT q.msg_id, q.organization_id INTO v_msg_id, v_organization_id
    FROM pgmq.q_mqtt_messages AS q
    WHERE q.msg_id = mqtt.message_id_number(v_id) AND mqtt.message_id(q.enqueued_at, q.msg_id) = v_id
    UNION ALL
    SELECT q.msg_id, q.organization_id FROM pgmq.q_mqtt_messages AS q WHERE q.message_id = v_id
    LIMIT 1;
    IF found THEN
        -- Waits for a worker that has this organization now; that worker may take the message itself, or move its row.
        PERFORM pg_advisory_xact_lock(mqtt.processing_lock(), hashtext(v_organization_id::text));
        SELECT q.ctid INTO v_tid FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = v_msg_id FOR UPDATE;
    END IF;
    IF v_tid IS NOT NULL THEN
        v_counts := mqtt.store_or_split(ARRAY[v_tid]);
        v_status := CASE WHEN v_counts[1] = 1 THEN 'completed' WHEN v_counts[2] = 1 THEN 'pending' WHEN v_counts[3] = 1 THEN 'failed' END;
    END IF;
    v_status := coalesce(v_status, mqtt.settled_status(v_id));
    IF v_status IS NULL THEN
        RAISE EXCEPTION 'message_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('No message %s is queued, stored or dead.', coalesce(v_id::text, 'null')),
            HINT = 'Use the message_id that mqtt_ingest returned; messages are removed when their retention ends.';
    END IF;
    RETURN jsonb_build_object('message_id', v_id, 'status', v_status);
END;
$$;

ALTER FUNCTION api.process_mqtt_queue_message(message_id uuid, p_message_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.process_mqtt_queue_message(message_id uuid, p_message_id uuid) IS 'Process one queued message

`p_message_id` is another name for `message_id`. Returns `{"message_id", "status"}`: `completed` (stored, now or earlier), `pending` (the
attempt failed; another follows) or `failed` (a dead letter).
Errors: 400 `argument_conflict`; 404 `message_not_found`.';

CREATE FUNCTION api.query_telemetry(integration_id uuid DEFAULT NULL::uuid, device_id text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone, metrics text[] DEFAULT NULL::text[], bucket interval DEFAULT NULL::interval, "limit" integer DEFAULT 100, message_types text[] DEFAULT NULL::text[], organization_id uuid DEFAULT NULL::uuid, external_id text DEFAULT NULL::text, device_ids text[] DEFAULT NULL::text[], "time" text DEFAULT 'measured'::text, cursor text DEFAULT NULL::text, aggregates text[] DEFAULT '{avg,min,max,count}'::text[], time_zone text DEFAULT 'UTC'::text) RETURNS SETOF mqtt.telemetry_data
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    v_cursor mqtt.message_cursor := mqtt.read_cursor(query_telemetry.cursor);
    v_devices mqtt.devices [];
    v_request mqtt.telemetry_request;
BEGIN
    PERFORM mqtt.check_telemetry_range(query_telemetry."limit", query_telemetry.bucket, query_telemetry."time", query_telemetry.device_ids);
    PERFORM mqtt.check_aggregates(query_telemetry.aggregates, query_telemetry.time_zone);
    IF query_telemetry.integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(query_telemetry.integration_id, query_telemetry.organization_id);
    ELSIF query_telemetry.organization_id IS NOT NULL THEN
        PERFORM mqtt.require_organization(query_telemetry.organization_id);
    END IF;
    v_devices := mqtt.find_devices(
        query_telemetry.device_ids, query_telemetry.device_id, query_telemetry.external_id, query_telemetry.integration_id, query_telemetry.organization_id
    );
    v_request.organization_id := query_telemetry.organization_id;
    v_request.integration_id := coalesce(query_telemetry.integration_id, CASE cardinality(v_devices) WHEN 1 THEN v_devices[1].integration_id END);
    v_request.device_ids := CASE WHEN v_devices IS NOT NULL THEN ARRAY(SELECT DISTINCT d.id FROM unnest(v_devices) AS d) END;
    v_request.by_received := query_telemetry."time" = 'received';
    v_request.since := query_telemetry.since;
    v_request.until := coalesce(query_telemetry.until, 'infinity');
    v_request.metrics := CASE WHEN query_telemetry.metrics IS NOT NULL THEN ARRAY(
        SELECT DISTINCT m.name FROM unnest(query_telemetry.metrics) AS m (name) WHERE m.name IS NOT NULL
    ) END;
    v_request.message_types := query_telemetry.message_types;
    IF query_telemetry.bucket IS NOT NULL THEN
        RETURN QUERY
        SELECT b.*
        FROM mqtt.telemetry_buckets(
            mqtt.bucket_range(v_request, query_telemetry.bucket, query_telemetry.time_zone, v_cursor, query_telemetry."limit"), query_telemetry.bucket,
            query_telemetry.time_zone, query_telemetry.aggregates, v_cursor, query_telemetry."limit"
        ) AS b;
        RETURN;
    END IF;
    v_request.since := coalesce(v_request.since, '-infinity');
    v_request.most := query_telemetry."limit";
    v_request.before_at := v_cursor.at;
    v_request.before_position := coalesce(mqtt.cursor_position(v_cursor), 0);
    RETURN QUERY
    SELECT d.external_id, mqtt.telemetry_metrics(t.payload, v_request.metrics), t.at, mqtt.encode_cursor(t.at, t.received_at, t.organization_id, t.message_id)
    FROM (SELECT r.*, CASE WHEN v_request.by_received THEN r.received_at ELSE r.measured_at END AS at FROM mqtt.telemetry(v_request) AS r) AS t
    LEFT JOIN mqtt.devices AS d ON d.organization_id = t.organization_id AND d.id = t.device_id
    ORDER BY t.at DESC, t.position DESC;
EXCEPTION
    WHEN query_canceled THEN
        RAISE EXCEPTION 'range_too_large' USING
            ERRCODE = 'PT413', DETAIL = 'The range has more messages than one request can go through.', HINT = 'Narrow since and until, or name a device.';
END;
$$;

ALTER FUNCTION api.query_telemetry(integration_id uuid, device_id text, since timestamp with time zone, until timestamp with time zone, metrics text[], bucket interval, "limit" integer, message_types text[], organization_id uuid, external_id text, device_ids text[], "time" text, cursor text, aggregates text[], time_zone text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.query_telemetry(integration_id uuid, device_id text, since timestamp with time zone, until timestamp with time zone, metrics text[], bucket interval, "limit" integer, message_types text[], organization_id uuid, external_id text, device_ids text[], "time" text, cursor text, aggregates text[], time_zone text) IS 'Query telemetry

Answers `[{"deviceId", "metrics", "timestamp", "cursor"}]`, newest first: messages from devices whose role is telemetry, by
their message type (the topic level that topic_pattern calls {message_type}), or whose message type is one of message_types. deviceId is the device''s external id; metrics is the payload (`{"value": …}` for a
payload that is not an object); timestamp is when it was measured: the device''s own time, if that is plausible, or else when the message was
received. You can narrow the result by integration_id, organization_id, device_id (id or external id), external_id or device_ids (ids or external
ids), by since (from) and until (before), by metrics (names; nested ones by path, as in `ENERGY.Power`) and by limit (1 to 10000). To get the next
page, send the cursor of the last row. With `time` "received", timestamp, since, until, order and buckets are by when messages were received.
With bucket (`"5 minutes"`, seconds, `"1 week"`, `"1 month"`) each row summarizes a device''s numbers, also those in strings, over that span:
`{"temperature": {"avg", "min", "max", "count"}}`, where timestamp is its start by the clock of time_zone. aggregates are some of avg, min, max,
sum, count, first, last and delta. limit is the number of rows, of which each span has one for each device; without since it goes back limit spans.
Errors: 400 `limit_invalid`, `bucket_invalid`, `time_invalid`, `time_zone_invalid`, `aggregates_invalid`, `cursor_invalid`, `argument_conflict`;
404 `integration_not_found`, `organization_not_found`, `device_not_found`; 409 `device_ambiguous`; 413 `range_too_large`.';

CREATE FUNCTION api.rabbitmq_auth_resource(username text, vhost text, resource text, name text, permission text, tags text DEFAULT NULL::text, client_id text DEFAULT NULL::text) RETURNS api."*/*"
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.rabbitmq_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, rabbitmq_auth_resource.username);
BEGIN
    RETURN mqtt.plain_verdict(
        v_credential.id IS NOT NULL AND rabbitmq_auth_resource.vhost = v_broker.vhost AND CASE resource
            WHEN 'exchange' THEN name = v_broker.exchange AND CASE permission
                WHEN 'write' THEN v_credential.can_publish
                WHEN 'read' THEN v_credential.can_subscribe
            END
            -- Only the queues of the device's own session; its will waits in one, too.
            WHEN 'queue' THEN permission IN ('configure', 'write', 'read') AND name IN (
                'mqtt-subscription-' || v_credential.client_id || 'qos0', 'mqtt-subscription-' || v_credential.client_id || 'qos1',
                'mqtt-will-' || v_credential.client_id
            )
        END
    );
END;
$$;

ALTER FUNCTION api.rabbitmq_auth_resource(username text, vhost text, resource text, name text, permission text, tags text, client_id text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.rabbitmq_auth_resource(username text, vhost text, resource text, name text, permission text, tags text, client_id text) IS 'RabbitMQ asks whether a device may use an exchange or a queue

For `auth_http.resource_path`. Returns `allow` for the MQTT plugin''s exchange (`rabbitmq_auth_topic` decides about topics) and for the queues of
the device''s own session, else `deny`, as text.
Errors: 401 `broker_unknown`.';

CREATE FUNCTION api.rabbitmq_auth_topic(username text, vhost text, resource text, name text, permission text, routing_key text, tags text DEFAULT NULL::text, "variable_map.client_id" text DEFAULT NULL::text, "variable_map.username" text DEFAULT NULL::text, "variable_map.vhost" text DEFAULT NULL::text) RETURNS api."*/*"
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.rabbitmq_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, rabbitmq_auth_topic.username);
    v_action CONSTANT text := CASE permission WHEN 'write' THEN 'publish' WHEN 'read' THEN 'subscribe' END;
    v_topic CONSTANT text := mqtt.topic_of_routing_key(routing_key, permission = 'read');
BEGIN
    -- RabbitMQ does not tell a dot in a topic from a slash, so the rules are compared in the same way.
    RETURN mqtt.plain_verdict(
        v_credential.id IS NOT NULL AND rabbitmq_auth_topic.vhost = v_broker.vhost AND resource = 'topic' AND name = v_broker.exchange
        AND (permission <> 'write' OR mqtt.is_heard(v_credential))
        AND EXISTS (
            SELECT FROM mqtt.access_rules(v_credential) AS r
            WHERE r.action = v_action AND mqtt.rule_allows(replace(r.filter, '.', '/'), v_action, v_topic)
        )
    );
END;
$$;

ALTER FUNCTION api.rabbitmq_auth_topic(username text, vhost text, resource text, name text, permission text, routing_key text, tags text, "variable_map.client_id" text, "variable_map.username" text, "variable_map.vhost" text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.rabbitmq_auth_topic(username text, vhost text, resource text, name text, permission text, routing_key text, tags text, "variable_map.client_id" text, "variable_map.username" text, "variable_map.vhost" text) IS 'RabbitMQ asks whether a device may publish or subscribe to a topic

For `auth_http.topic_path`. Returns `allow` or `deny` as text. permission is `write` for a publish and `read` for a subscription, whose filter must
lie within one of the credential''s filters. routing_key is the topic with dots instead of slashes; `variable_map.*` is accepted and ignored.
Errors: 401 `broker_unknown`.';

CREATE FUNCTION api.rabbitmq_auth_user(username text, password text DEFAULT NULL::text, client_id text DEFAULT NULL::text, vhost text DEFAULT NULL::text, ip text DEFAULT NULL::text, tags text DEFAULT NULL::text) RETURNS api."*/*"
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.rabbitmq_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, rabbitmq_auth_user.username);
    v_fits boolean := mqtt.password_matches(v_credential, rabbitmq_auth_user.password);
    v_allowed boolean;
BEGIN
    IF NOT v_fits THEN
        PERFORM mqtt.count_wrong_password(rabbitmq_auth_user.username);
    END IF;
    -- Only MQTT sends a client id: a device cannot log in over AMQP or STOMP, or to the management pages.
    v_allowed := v_fits AND v_credential.client_id = rabbitmq_auth_user.client_id
        AND coalesce(rabbitmq_auth_user.vhost, v_broker.vhost) = v_broker.vhost AND mqtt.is_heard(v_credential);
    IF v_allowed THEN
        PERFORM mqtt.note_broker_login(v_credential);
    END IF;
    RETURN mqtt.plain_verdict(v_allowed);
END;
$$;

ALTER FUNCTION api.rabbitmq_auth_user(username text, password text, client_id text, vhost text, ip text, tags text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.rabbitmq_auth_user(username text, password text, client_id text, vhost text, ip text, tags text) IS 'RabbitMQ asks whether a device may log in

For `auth_http.user_path`. Returns `allow` (without tags) or `deny` as text, to a broker with a key (see `generate_broker_key`). The client id must
be the credential''s own, and the broker must have granted the bridge''s first subscription for the integration.
Errors: 401 `broker_unknown`.';

CREATE FUNCTION api.rabbitmq_auth_vhost(username text, vhost text, ip text DEFAULT NULL::text, tags text DEFAULT NULL::text, client_id text DEFAULT NULL::text) RETURNS api."*/*"
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.rabbitmq_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, rabbitmq_auth_vhost.username);
BEGIN
    RETURN mqtt.plain_verdict(v_credential.id IS NOT NULL AND rabbitmq_auth_vhost.vhost = v_broker.vhost);
END;
$$;

ALTER FUNCTION api.rabbitmq_auth_vhost(username text, vhost text, ip text, tags text, client_id text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.rabbitmq_auth_vhost(username text, vhost text, ip text, tags text, client_id text) IS 'RabbitMQ asks whether a device may use a virtual host

For `auth_http.vhost_path`. Returns `allow` for the virtual host of the broker''s key, else `deny`, as text.
Errors: 401 `broker_unknown`.';

CREATE FUNCTION api.remove_organization_member(organization_id uuid, user_id uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_member mqtt.organization_members;
BEGIN
    PERFORM mqtt.require_organization(remove_organization_member.organization_id, true);
    PERFORM FROM mqtt.organizations AS o WHERE o.id = remove_organization_member.organization_id FOR NO KEY UPDATE;
    DELETE FROM mqtt.organization_members AS m
    WHERE m.organization_id = remove_organization_member.organization_id AND m.user_id = remove_organization_member.user_id
    RETURNING m.* INTO v_member;
    IF NOT found THEN
        RAISE EXCEPTION 'member_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('The organization does not have a member %s.', coalesce(user_id::text, 'null')),
            HINT = 'GET /organization_members lists its members.';
    END IF;
    IF v_member.role = 'admin' AND NOT mqtt.is_operator() AND NOT EXISTS (
        SELECT FROM mqtt.organization_members AS m WHERE m.organization_id = remove_organization_member.organization_id AND m.role = 'admin'
    ) THEN
        RAISE EXCEPTION 'last_admin' USING
            ERRCODE = 'PT409', DETAIL = 'The organization would have no admin left.', HINT = 'Make someone else an admin first.';
    END IF;
    PERFORM mqtt.log_activity(v_member.organization_id, NULL, 'member_removed', details => jsonb_build_object('user_id', v_member.user_id));
    RETURN to_jsonb(v_member);
END;
$$;

ALTER FUNCTION api.remove_organization_member(organization_id uuid, user_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.remove_organization_member(organization_id uuid, user_id uuid) IS 'Remove a user from an organization

For admins of the organization and service_role. It takes effect at that user''s next request. Returns the removed member.
Errors: 403 `admin_required`; 404 `organization_not_found`, `member_not_found`; 409 `last_admin`.';

CREATE FUNCTION api.replay_mqtt_callback_deliveries(subscription_id uuid, ids uuid[] DEFAULT NULL::uuid[]) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    v_subscription mqtt.mqtt_subscriptions := mqtt.require_callback(replay_mqtt_callback_deliveries.subscription_id);
    v_replayed integer;
BEGIN
    WITH chosen AS (
        SELECT d.id
        FROM mqtt.mqtt_callback_deliveries AS d
        WHERE d.organization_id = v_subscription.organization_id AND d.subscription_id = v_subscription.id
            AND CASE
                WHEN replay_mqtt_callback_deliveries.ids IS NULL THEN d.status = 'dead'
                ELSE d.id = ANY (replay_mqtt_callback_deliveries.ids) AND d.status <> 'waiting'
            END
        ORDER BY d.created_at
        LIMIT 10000
        FOR UPDATE
    )
    UPDATE mqtt.mqtt_callback_deliveries AS d
    SET status = 'waiting', attempts = 0, due_at = clock_timestamp(), finished_at = NULL
    FROM chosen AS x
    WHERE d.organization_id = v_subscription.organization_id AND d.id = x.id;
    GET DIAGNOSTICS v_replayed = ROW_COUNT;
    IF v_replayed > 0 THEN
        PERFORM mqtt.log_activity(
            v_subscription.organization_id, v_subscription.integration_id, 'callbacks_replayed',
            details => jsonb_build_object('subscription_id', v_subscription.id, 'count', v_replayed, 'user_id', mqtt.current_user_id())
        );
        PERFORM mqtt.wake_bridge('callback');
    END IF;
    RETURN jsonb_build_object('replayed', v_replayed);
END;
$$;

ALTER FUNCTION api.replay_mqtt_callback_deliveries(subscription_id uuid, ids uuid[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.replay_mqtt_callback_deliveries(subscription_id uuid, ids uuid[]) IS 'Post dead deliveries again

Posts all dead deliveries of a subscription again, the oldest 10,000 per call, or those that ids names, including delivered ones. Each keeps
its id, so a receiver can recognize one that it has already seen. A delivery whose message has left the history becomes dead again.
Returns `{"replayed": n}`.
Errors: 400 `callback_missing`; 403 `admin_required`; 404 `subscription_not_found`.';

CREATE FUNCTION api.replay_mqtt_dead_letters(organization_id uuid, topic text DEFAULT NULL::text, error text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone, ids uuid[] DEFAULT NULL::uuid[], to_integration_id uuid DEFAULT NULL::uuid, patch jsonb DEFAULT NULL::jsonb, max_per_second numeric DEFAULT NULL::numeric, dry_run boolean DEFAULT false, "limit" integer DEFAULT 10000) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_request mqtt.replay_request;
    v_answer jsonb;
BEGIN
    PERFORM mqtt.require_organization(organization_id, true);
    IF to_integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(to_integration_id, organization_id, true);
    END IF;
    v_request.organization_id := organization_id;
    v_request.topic := topic;
    v_request.error := error;
    v_request.since := since;
    v_request.until := until;
    v_request.ids := ids;
    v_request.to_integration_id := to_integration_id;
    v_request.patch := patch;
    v_request.max_per_second := max_per_second;
    v_request.max_messages := "limit";
    PERFORM mqtt.require_replayable(v_request);
    v_answer := mqtt.replay(v_request, dry_run) - 'until';
    IF (v_answer ->> 'replayed')::integer > 0 THEN
        PERFORM mqtt.log_activity(
            organization_id, to_integration_id, 'dead_letters_replayed', 'success', jsonb_build_object(
                'count', v_answer -> 'replayed', 'topic', topic, 'error', error, 'by', mqtt.current_user_id(), 'is_patched', patch IS NOT NULL
            )
        );
    END IF;
    RETURN v_answer;
END;
$$;

ALTER FUNCTION api.replay_mqtt_dead_letters(organization_id uuid, topic text, error text, since timestamp with time zone, until timestamp with time zone, ids uuid[], to_integration_id uuid, patch jsonb, max_per_second numeric, dry_run boolean, "limit" integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.replay_mqtt_dead_letters(organization_id uuid, topic text, error text, since timestamp with time zone, until timestamp with time zone, ids uuid[], to_integration_id uuid, patch jsonb, max_per_second numeric, dry_run boolean, "limit" integer) IS 'Put dead letters back into the queue

Selects by `topic` (a topic filter), `error` (part of its text), `since` and `until` (when they failed) and `ids`; without `ids` only dead
letters that have not been replayed before. `to_integration_id` sends them to another integration, `patch` replaces `topic`, `payload`, `qos`,
`retain` or `content_type`, `max_per_second` spreads them over time, and `dry_run` only shows what would be replayed. Each dead letter is kept
and marked with `replayed_at`; the new message carries `replay_of` in its properties (an outgoing one in its user properties).
Returns `{"matched", "replayed", "messages": [first 100]}`.

Errors: 404 `organization_not_found`, `integration_not_found`; 403 `admin_required`; 400 `replay_invalid`;
for outgoing messages the errors of mqtt_publish, any of which stops the whole replay: 403 `integration_inactive`, `topic_not_allowed`,
413 `payload_too_large`; 429 `queue_paused`, with `Retry-After`.';

CREATE FUNCTION api.replay_mqtt_messages(integration_id uuid, topic text, since timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone, to_integration_id uuid DEFAULT NULL::uuid, to_topic text DEFAULT NULL::text, max_per_second numeric DEFAULT 100, dry_run boolean DEFAULT false, "limit" integer DEFAULT 10000) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_source mqtt.device_integrations := mqtt.require_integration(integration_id, NULL, true);
    v_target mqtt.device_integrations := mqtt.require_integration(coalesce(to_integration_id, integration_id), v_source.organization_id, true);
    v_request mqtt.replay_request;
    v_answer jsonb;
BEGIN
    v_request.organization_id := v_target.organization_id;
    v_request.integration_id := v_source.id;
    v_request.topic := topic;
    v_request.since := since;
    v_request.until := until;
    v_request.to_integration_id := v_target.id;
    v_request.to_topic := to_topic;
    v_request.max_per_second := max_per_second;
    v_request.max_messages := "limit";
    PERFORM mqtt.require_replayable(v_request);
    v_answer := mqtt.replay(v_request, dry_run);
    IF (v_answer ->> 'replayed')::integer > 0 THEN
        PERFORM mqtt.log_activity(
            v_target.organization_id, v_target.id, 'messages_replayed', 'success',
            jsonb_build_object('count', v_answer -> 'replayed', 'topic', topic, 'to_topic', to_topic, 'by', mqtt.current_user_id())
        );
    END IF;
    RETURN v_answer;
END;
$$;

ALTER FUNCTION api.replay_mqtt_messages(integration_id uuid, topic text, since timestamp with time zone, until timestamp with time zone, to_integration_id uuid, to_topic text, max_per_second numeric, dry_run boolean, "limit" integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.replay_mqtt_messages(integration_id uuid, topic text, since timestamp with time zone, until timestamp with time zone, to_integration_id uuid, to_topic text, max_per_second numeric, dry_run boolean, "limit" integer) IS 'Publish stored messages again

Selects incoming messages of an integration whose topic matches `topic` (a topic filter) and that were received from `since` until `until`,
and publishes them, oldest first, to the broker of `to_integration_id` (by default the same integration) at `max_per_second`. `to_topic` may
contain `{topic}` for the original topic. Each carries the user property `replay_of`. `dry_run` only shows what would be replayed.
Answers `{"matched", "replayed", "until", "messages": [first 100]}`.

Errors: 404 `integration_not_found`; 403 `admin_required`; 400 `replay_invalid`;
the errors of mqtt_publish, any of which stops the whole replay: 403 `integration_inactive`, `topic_not_allowed`, 413 `payload_too_large`;
429 `queue_paused`, with `Retry-After`.';

CREATE FUNCTION api.revoke_broker_key(key_id uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_row mqtt.broker_keys;
BEGIN
    DELETE FROM mqtt.broker_keys AS k
    WHERE k.id = revoke_broker_key.key_id AND (mqtt.is_operator() OR k.organization_id = ANY (mqtt.current_organization_ids(true)))
    RETURNING k.* INTO v_row;
    IF NOT found THEN
        RAISE EXCEPTION 'broker_key_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no key %s that you may revoke.', coalesce(revoke_broker_key.key_id::text, 'null')),
            HINT = 'get_broker_keys lists yours.';
    END IF;
    IF v_row.integration_id IS NOT NULL THEN
        PERFORM mqtt.log_activity(
            v_row.organization_id, v_row.integration_id, 'broker_key_revoked',
            details => jsonb_build_object('key_id', v_row.id, 'name', v_row.name, 'user_id', mqtt.current_user_id())
        );
    END IF;
    RETURN to_jsonb(v_row) - '{key_salt,key_hash}'::text [];
END;
$$;

ALTER FUNCTION api.revoke_broker_key(key_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.revoke_broker_key(key_id uuid) IS 'Revoke the key of a broker

The broker''s next request is refused. Returns the removed row.
Errors: 404 `broker_key_not_found`.';

CREATE FUNCTION api.revoke_mqtt_credentials(credential_id uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_credential mqtt.mqtt_credentials := mqtt.require_credential(revoke_mqtt_credentials.credential_id);
BEGIN
    IF v_credential.revoked_at IS NULL THEN
        UPDATE mqtt.mqtt_credentials AS c
        SET revoked_at = clock_timestamp(), previous_salt = NULL, previous_hash = NULL, previous_until = NULL
        WHERE c.id = v_credential.id
        RETURNING c.* INTO v_credential;
        PERFORM mqtt.log_activity(
            v_credential.organization_id, v_credential.integration_id, 'credential_revoked',
            details => jsonb_build_object(
                'credential_id', v_credential.id, 'username', v_credential.username, 'user_id', mqtt.current_user_id()
            )
        );
    END IF;
    RETURN mqtt.credential_json(v_credential);
END;
$$;

ALTER FUNCTION api.revoke_mqtt_credentials(credential_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.revoke_mqtt_credentials(credential_id uuid) IS 'Revoke a device''s login

Revocation is final and takes effect at the next request; revoking again changes nothing. Returns the credential.
Errors: 403 `admin_required`; 404 `credential_not_found`.';

CREATE FUNCTION api.rotate_mqtt_callback_secret(subscription_id uuid, grace_seconds integer DEFAULT NULL::integer, callback_secret jsonb DEFAULT NULL::jsonb, grace interval DEFAULT NULL::interval) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_subscription mqtt.mqtt_subscriptions := mqtt.require_callback(rotate_mqtt_callback_secret.subscription_id);
    v_grace CONSTANT interval := coalesce(
        mqtt.one_of(
            rotate_mqtt_callback_secret.grace, make_interval(secs => rotate_mqtt_callback_secret.grace_seconds), 'grace', 'grace_seconds'
        ), '1 day'
    );
    v_secret text;
BEGIN
    IF v_grace NOT BETWEEN '0' AND '30 days' THEN
        RAISE EXCEPTION 'grace_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'grace must be a span of time from 0 to 30 days, such as "1 hour" or 3600 (seconds).',
            HINT = 'For that long, requests have both signatures.';
    END IF;
    v_secret := mqtt.set_callback_secret(
        v_subscription.organization_id, v_subscription.id, rotate_mqtt_callback_secret.callback_secret, v_grace
    );
    RETURN jsonb_build_object('subscription_id', v_subscription.id)
        || CASE WHEN v_secret IS NULL THEN '{}' ELSE jsonb_build_object('callback_secret', v_secret) END;
END;
$$;

ALTER FUNCTION api.rotate_mqtt_callback_secret(subscription_id uuid, grace_seconds integer, callback_secret jsonb, grace interval) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.rotate_mqtt_callback_secret(subscription_id uuid, grace_seconds integer, callback_secret jsonb, grace interval) IS 'Give a subscription''s callbacks a new secret

The answer is the only place that ever shows `callback_secret`. For grace (one day by default, at most 30 days) requests are
signed with the old secret as well: they have two signatures, as Standard Webhooks describes. grace_seconds is an older name for grace. You
can send a sealed secret of your own as callback_secret, `{"sealed": "<base64>"}`; the answer then has none.
Errors: 400 `callback_missing`, `grace_invalid`, `argument_conflict`, `callback_secret_invalid`, `sealing_unavailable`; 403 `admin_required`;
404 `subscription_not_found`.';

CREATE FUNCTION api.rotate_mqtt_credentials(credential_id uuid, grace interval DEFAULT '00:00:00'::interval) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_credential mqtt.mqtt_credentials := mqtt.require_credential(rotate_mqtt_credentials.credential_id);
    v_password text := mqtt.random_password();
    v_salt bytea := mqtt.random_bytes(16);
    v_verifier bytea := mqtt.password_verifier(v_salt, v_password);
    v_mosquitto_hash text := mqtt.mosquitto_password_hash(v_password);
    v_bcrypt_hash text := mqtt.bcrypt_password_hash(v_password);
BEGIN
    IF v_credential.revoked_at IS NOT NULL THEN
        RAISE EXCEPTION 'credential_revoked' USING
            ERRCODE = 'PT409', DETAIL = 'A revoked credential stays revoked.', HINT = 'generate_mqtt_credentials generates a new one.';
    END IF;
    IF (rotate_mqtt_credentials.grace BETWEEN '0' AND '30 days') IS NOT TRUE THEN
        RAISE EXCEPTION 'grace_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'grace must be a span of time from 0 to 30 days, such as "1 hour" or 3600 (seconds).',
            HINT = 'Omit it to end the old password at once.';
    END IF;
    UPDATE mqtt.mqtt_credentials AS c
    SET secret_salt = v_salt,
        secret_hash = v_verifier,
        mosquitto_hash = v_mosquitto_hash,
        bcrypt_hash = v_bcrypt_hash,
        rotated_at = clock_timestamp(),
        previous_salt = CASE WHEN rotate_mqtt_credentials.grace > '0' THEN c.secret_salt END,
        previous_hash = CASE WHEN rotate_mqtt_credentials.grace > '0' THEN c.secret_hash END,
        previous_until = CASE WHEN rotate_mqtt_credentials.grace > '0' THEN now() + rotate_mqtt_credentials.grace END
    WHERE c.id = v_credential.id
    RETURNING c.* INTO v_credential;
    PERFORM mqtt.log_activity(
        v_credential.organization_id, v_credential.integration_id, 'credential_rotated',
        details => jsonb_build_object(
            'credential_id', v_credential.id, 'username', v_credential.username, 'previous_until', v_credential.previous_until,
            'user_id', mqtt.current_user_id()
        )
    );
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN mqtt.credential_json(v_credential) || jsonb_build_object('password', v_password);
END;
$$;

ALTER FUNCTION api.rotate_mqtt_credentials(credential_id uuid, grace interval) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.rotate_mqtt_credentials(credential_id uuid, grace interval) IS 'Give a device''s login a new password

The answer is the only place that ever shows it. The old password ends at once, or continues to work for grace (up to 30 days) over HTTP and at
brokers that ask over HTTP. A broker that stores hashes, such as Mosquitto, has only the new one: a device must log in there with the new
password from now on, and Mosquitto disconnects a session with the old one within seconds.
Errors: 400 `grace_invalid`; 403 `admin_required`; 404 `credential_not_found`; 409 `credential_revoked`.';

CREATE TABLE mqtt.organizations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    topic_prefix text GENERATED ALWAYS AS (('org_'::text || slug)) STORED NOT NULL,
    completed_days integer,
    failed_days integer,
    activity_days integer,
    max_per_second numeric,
    max_burst integer,
    max_queued bigint,
    max_payload_bytes integer,
    ingest_pause text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT organizations_activity_days_check CHECK ((activity_days > 0)),
    CONSTRAINT organizations_completed_days_check CHECK ((completed_days > 0)),
    CONSTRAINT organizations_failed_days_check CHECK ((failed_days > 0)),
    CONSTRAINT organizations_max_burst_check CHECK ((max_burst > 0)),
    CONSTRAINT organizations_max_payload_bytes_check CHECK ((max_payload_bytes > 0)),
    CONSTRAINT organizations_max_per_second_check CHECK ((max_per_second > (0)::numeric)),
    CONSTRAINT organizations_max_queued_check CHECK ((max_queued > 0)),
    CONSTRAINT organizations_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT organizations_slug_check CHECK ((slug ~ '^[a-z0-9][a-z0-9_-]{0,47}$'::text))
);

ALTER TABLE mqtt.organizations OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.organizations IS 'Tenants. Everything else belongs to exactly one of them.';

COMMENT ON COLUMN mqtt.organizations.slug IS 'Short name, lower case letters, digits, _ and -, at most 48; first level of its topics after org_.';

COMMENT ON COLUMN mqtt.organizations.topic_prefix IS 'First topic level of all that its hosted devices may use: org_<slug>.';

COMMENT ON COLUMN mqtt.organizations.completed_days IS 'Days that its history is kept; null takes the installation''s.';

COMMENT ON COLUMN mqtt.organizations.failed_days IS 'Days that its dead letters are kept; null takes the installation''s.';

COMMENT ON COLUMN mqtt.organizations.activity_days IS 'Days that its activity log is kept; null takes the installation''s.';

COMMENT ON COLUMN mqtt.organizations.max_per_second IS 'Messages a second that its devices may send over HTTP together; null is without limit.';

COMMENT ON COLUMN mqtt.organizations.max_burst IS 'Messages that they may send at once after a pause; null takes two seconds'' worth.';

COMMENT ON COLUMN mqtt.organizations.max_queued IS 'Messages waiting from which on its devices are refused (429) and its brokers left unread; null is without limit.';

COMMENT ON COLUMN mqtt.organizations.max_payload_bytes IS 'Largest payload of one message; null takes the installation''s, which also bounds it.';

COMMENT ON COLUMN mqtt.organizations.ingest_pause IS 'Why its devices are refused, and its brokers left unread, just now; written by mqtt.check_capacity, null while its queue is open.';

CREATE FUNCTION api.set_organization_limits(organization_id uuid, max_per_second numeric DEFAULT NULL::numeric, max_burst integer DEFAULT NULL::integer, max_queued bigint DEFAULT NULL::bigint, max_payload_bytes integer DEFAULT NULL::integer, completed_days integer DEFAULT NULL::integer, failed_days integer DEFAULT NULL::integer, activity_days integer DEFAULT NULL::integer) RETURNS mqtt.organizations
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_organization mqtt.organizations;
BEGIN
    IF least(max_per_second, max_burst, max_queued, max_payload_bytes, completed_days, failed_days, activity_days) <= 0 OR max_per_second = 'NaN' THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'Each limit must be more than 0, or null for none.', HINT = 'All limits are set together; a limit that is omitted is lifted.';
    END IF;
    UPDATE mqtt.organizations AS o
    SET max_per_second = set_organization_limits.max_per_second,
        max_burst = set_organization_limits.max_burst,
        max_queued = set_organization_limits.max_queued,
        max_payload_bytes = set_organization_limits.max_payload_bytes,
        completed_days = set_organization_limits.completed_days,
        failed_days = set_organization_limits.failed_days,
        activity_days = set_organization_limits.activity_days
    WHERE o.id = set_organization_limits.organization_id
    RETURNING o.* INTO v_organization;
    IF NOT found THEN
        RAISE EXCEPTION 'organization_not_found' USING
            ERRCODE = 'PT404', DETAIL = format('There is no organization %s.', organization_id), HINT = 'GET /organizations lists them.';
    END IF;
    RETURN v_organization;
END;
$$;

ALTER FUNCTION api.set_organization_limits(organization_id uuid, max_per_second numeric, max_burst integer, max_queued bigint, max_payload_bytes integer, completed_days integer, failed_days integer, activity_days integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.set_organization_limits(organization_id uuid, max_per_second numeric, max_burst integer, max_queued bigint, max_payload_bytes integer, completed_days integer, failed_days integer, activity_days integer) IS 'Set the quotas and retention of an organization

Sets all of them together; one that is omitted (or null) falls back to that of the installation: `max_per_second` and `max_burst` of its devices over
HTTP, `max_queued` messages waiting, `max_payload_bytes`, and the days for which history (`completed_days`), dead letters (`failed_days`) and
activity log (`activity_days`) are kept. Returns the organization.
Errors: 404 `organization_not_found`; 400 `limit_invalid`.';

CREATE FUNCTION api.sync_device(integration_id uuid, external_id text, name text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, organization_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(sync_device.integration_id, sync_device.organization_id);
    v_device mqtt.devices;
BEGIN
    IF (octet_length(sync_device.external_id) BETWEEN 1 AND 255) IS NOT TRUE OR sync_device.external_id ~ '[/+#\u0001-\u001f\u007f-\u009f]' THEN
        RAISE EXCEPTION 'external_id_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'external_id is one topic level: 1 to 255 bytes without /, +, # and control characters.',
            HINT = 'It is the level of the device''s topics that topic_pattern calls {device_id}.';
    ELSIF length(sync_device.name) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'name_invalid' USING ERRCODE = 'PT400', DETAIL = 'name is a string of 1 to 200 characters.', HINT = 'It is shown to people.';
    ELSIF jsonb_typeof(sync_device.metadata) <> 'object' OR octet_length(sync_device.metadata::text) > 65536 THEN
        RAISE EXCEPTION 'metadata_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'metadata is a JSON object of at most 64 KiB.', HINT = 'Store large objects elsewhere and keep their URL here.';
    ELSIF mqtt.has_extreme_number(sync_device.metadata) THEN
        RAISE EXCEPTION 'metadata_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'metadata has a number outside the range of a double precision float.', HINT = 'Send such a number as a string.';
    END IF;
    INSERT INTO mqtt.devices AS d (organization_id, integration_id, external_id, name, metadata)
    VALUES (
        v_integration.organization_id, v_integration.id, sync_device.external_id, sync_device.name, coalesce(sync_device.metadata, '{}')
    )
    ON CONFLICT ON CONSTRAINT devices_organization_id_integration_id_external_id_key DO UPDATE
    SET name = coalesce(sync_device.name, d.name), metadata = coalesce(sync_device.metadata, d.metadata)
    RETURNING d.* INTO v_device;
    RETURN to_jsonb(v_device);
END;
$$;

ALTER FUNCTION api.sync_device(integration_id uuid, external_id text, name text, metadata jsonb, organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.sync_device(integration_id uuid, external_id text, name text, metadata jsonb, organization_id uuid) IS 'Register a device, or change its name and metadata

external_id is the device''s id in its topics. An argument that is omitted changes nothing; metadata replaces the old metadata as a whole.
You need not register devices: a device''s first message registers it.
Errors: 400 `external_id_invalid`, `name_invalid`, `metadata_invalid`; 404 `integration_not_found`.';

CREATE FUNCTION api.upsert_integration(organization_id uuid, name text, integration_type text, settings jsonb DEFAULT NULL::jsonb, integration_id uuid DEFAULT NULL::uuid, status text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_organization mqtt.organizations;
    v_integration mqtt.device_integrations;
BEGIN
    v_organization := mqtt.require_organization(upsert_integration.organization_id, true);
    IF upsert_integration.name IS NULL OR length(upsert_integration.name) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'name_invalid' USING ERRCODE = 'PT400', DETAIL = 'name must be a string of 1 to 200 characters.', HINT = 'It is shown to people.';
    END IF;
    IF upsert_integration.integration_type IS NULL OR upsert_integration.integration_type NOT IN ('mqtt', 'mqtt_hosted', 'mqtt_external') THEN
        RAISE EXCEPTION 'integration_type_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'integration_type must be mqtt_hosted, mqtt_external or mqtt.',
            HINT = 'mqtt_hosted is the broker beside this database; mqtt_external (or mqtt) is the broker that settings.broker_url names.';
    END IF;
    IF upsert_integration.status NOT IN ('active', 'inactive') THEN
        RAISE EXCEPTION 'status_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'status must be active or inactive.', HINT = 'An inactive integration rejects messages and has no connection.';
    END IF;
    IF upsert_integration.integration_id IS NULL THEN
        INSERT INTO mqtt.device_integrations (organization_id, name, integration_type, settings, status)
        VALUES (
            upsert_integration.organization_id, upsert_integration.name, upsert_integration.integration_type,
            coalesce(upsert_integration.settings, '{}'), coalesce(upsert_integration.status, 'active')
        )
        RETURNING * INTO v_integration;
        -- Messages that hosted devices publish over MQTT arrive through this subscription.
        IF v_integration.integration_type = 'mqtt_hosted' THEN
            INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, qos)
            VALUES (v_integration.organization_id, v_integration.id, v_organization.topic_prefix || '/#', 1);
        END IF;
    ELSE
        PERFORM mqtt.require_integration(upsert_integration.integration_id, upsert_integration.organization_id, true);
        UPDATE mqtt.device_integrations AS i
        SET name = upsert_integration.name,
            integration_type = upsert_integration.integration_type,
            settings = coalesce(upsert_integration.settings, i.settings),
            status = CASE upsert_integration.status WHEN 'active' THEN CASE i.status WHEN 'inactive' THEN 'active' ELSE i.status END
                WHEN 'inactive' THEN 'inactive' ELSE i.status END,
            status_detail = CASE WHEN upsert_integration.status IS NULL THEN i.status_detail END,
            status_changed_at = CASE WHEN upsert_integration.status IS NULL THEN i.status_changed_at ELSE clock_timestamp() END
        WHERE i.id = upsert_integration.integration_id
        RETURNING i.* INTO v_integration;
    END IF;
    RETURN mqtt.integration_json(v_integration);
END;
$$;

ALTER FUNCTION api.upsert_integration(organization_id uuid, name text, integration_type text, settings jsonb, integration_id uuid, status text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION api.upsert_integration(organization_id uuid, name text, integration_type text, settings jsonb, integration_id uuid, status text) IS 'Create or change an integration

Without integration_id a new integration is created; with it, that integration is changed. settings replace the old ones as a whole, except that
a secret (password, client_key) that is omitted is kept, and one that is null is removed; if settings are omitted, all stay. status is `active`
(default) or `inactive`. Types are `mqtt_hosted` (the broker beside this database), `mqtt_external` and `mqtt` (the broker that
`settings.broker_url` names). The API reference lists the settings.
Returns the integration without secrets: `settings.has_password` says that one is stored.
Errors: 400 `name_invalid`, `integration_type_invalid`, `status_invalid`, `setting_invalid` (details name the setting),
`sealing_unavailable`; 403 `admin_required`; 404 `organization_not_found`, `integration_not_found`;
409 `integration_type_fixed` (hosted stays hosted).';

CREATE FUNCTION bridge.answer_request(request_id uuid, result jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    WITH answered AS (
        UPDATE mqtt.mqtt_requests AS r
        SET status = 'done', result = answer_request.result, finished_at = clock_timestamp()
        WHERE r.id = answer_request.request_id AND r.status <> 'done'
        RETURNING r.organization_id, r.integration_id, r.request_type
    )
    SELECT mqtt.log_activity(
        a.organization_id, a.integration_id, a.request_type,
        CASE WHEN (answer_request.result ->> 'ok')::boolean THEN 'success' ELSE 'failed' END,
        NULL, CASE WHEN NOT (answer_request.result ->> 'ok')::boolean THEN answer_request.result ->> 'reason' END
    )
    FROM answered AS a;
$$;

ALTER FUNCTION bridge.answer_request(request_id uuid, result jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.answer_request(request_id uuid, result jsonb) IS 'Stores the result of a request: {"ok": bool, "reason": text, …}; only the first result counts.';

CREATE FUNCTION bridge.apply_retention() RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT CASE WHEN mqtt.try_maintenance_lock() THEN mqtt.apply_retention() ELSE '{"skipped": true}' END;
$$;

ALTER FUNCTION bridge.apply_retention() OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.apply_retention() IS 'Retention, by one bridge at a time: what was removed, and "more" if it should be called again; {"skipped": true} if another bridge is doing it.';

CREATE FUNCTION bridge.begin_attempt(accepted_before timestamp with time zone, suspects bigint[] DEFAULT NULL::bigint[]) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT mqtt.begin_attempt(accepted_before, suspects);
$$;

ALTER FUNCTION bridge.begin_attempt(accepted_before timestamp with time zone, suspects bigint[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.begin_attempt(accepted_before timestamp with time zone, suspects bigint[]) IS 'mqtt.begin_attempt for the bridge: call it until it returns null, after a worker session died or reached its time limit. suspects: the result of bridge.suspects; null if the batch is not known.';

CREATE FUNCTION bridge.begin_work(bridge_id uuid) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT mqtt.begin_work(bridge_id);
$$;

ALTER FUNCTION bridge.begin_work(bridge_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.begin_work(bridge_id uuid) IS 'mqtt.begin_work for the queue worker of a bridge.';

CREATE FUNCTION bridge.check_capacity(bridge_id uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_found jsonb := '{}';
BEGIN
    IF pg_try_advisory_xact_lock(mqtt.capacity_lock(), 0) THEN
        v_found := mqtt.check_capacity();
    END IF;
    RETURN jsonb_build_object('free_disk_bytes', v_found -> 'free_disk_bytes', 'paused', (
        SELECT coalesce(jsonb_object_agg(l.integration_id, coalesce(c.ingest_pause, o.ingest_pause)), '{}')
        FROM mqtt.bridge_leases AS l
        JOIN mqtt.organizations AS o ON o.id = l.organization_id
        CROSS JOIN mqtt.configuration AS c
        WHERE l.bridge_id = check_capacity.bridge_id AND (c.ingest_pause IS NOT NULL OR o.ingest_pause IS NOT NULL)
    ));
END;
$$;

ALTER FUNCTION bridge.check_capacity(bridge_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.check_capacity(bridge_id uuid) IS 'Called every second: {"paused": {integration that the bridge holds: why the bridge must not read from its broker}, "free_disk_bytes": null if another bridge is checking at this moment}.';

CREATE FUNCTION bridge.claim_callbacks(bridge_id uuid, room integer, busy_ids uuid[] DEFAULT '{}'::uuid[], busy_counts integer[] DEFAULT '{}'::integer[]) RETURNS TABLE(organization_id uuid, id uuid, attempt smallint, subscription_id uuid, url text, is_ordered boolean, secrets jsonb, body text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    WITH due AS (
        SELECT d.* FROM mqtt.due_callbacks(claim_callbacks.bridge_id, v_now, claim_callbacks.busy_ids, claim_callbacks.busy_counts) AS d
    ), picked AS MATERIALIZED (
        SELECT d.organization_id, d.id
        FROM due AS d
        ORDER BY d.place
        LIMIT claim_callbacks.room
    ), claimed AS (
        UPDATE mqtt.mqtt_callback_deliveries AS d
        SET attempts = d.attempts + 1, attempted_at = clock_timestamp(), due_at = clock_timestamp() + interval '60 seconds',
            bridge_id = claim_callbacks.bridge_id
        FROM picked AS p
        WHERE d.organization_id = p.organization_id AND d.id = p.id AND d.status = 'waiting' AND d.due_at <= clock_timestamp()
        RETURNING d.*
    )
    SELECT
        d.organization_id, d.id, d.attempts, d.subscription_id, s.callback_url, s.callback_ordered,
        CASE
            WHEN k.previous_until > clock_timestamp() THEN jsonb_build_array(k.sealed, k.previous)
            WHEN k.sealed IS NOT NULL THEN jsonb_build_array(k.sealed)
        END,
        mqtt.callback_body(d, s)
    FROM claimed AS d
    JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = d.organization_id AND s.id = d.subscription_id
    LEFT JOIN mqtt.callback_secrets AS k ON k.organization_id = d.organization_id AND k.subscription_id = d.subscription_id
    ORDER BY d.number;
END;
$$;

ALTER FUNCTION bridge.claim_callbacks(bridge_id uuid, room integer, busy_ids uuid[], busy_counts integer[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.claim_callbacks(bridge_id uuid, room integer, busy_ids uuid[], busy_counts integer[]) IS 'Requests to make, at most room of them, for the integrations that the bridge holds. busy: how many requests each subscription has in flight already. Each is one attempt, hidden for a minute; those of an ordered subscription must be made one after the other, and the rest released after a failure. body is null if the message has left the history, and secrets if there are none.';

CREATE FUNCTION bridge.claim_outbound(bridge_id uuid, integration_ids uuid[], limits integer[], in_flight bigint[] DEFAULT '{}'::bigint[]) RETURNS TABLE(batch_id bigint, integration_number integer, msg_id bigint, attempts smallint, qos smallint, retain boolean, topic text, payload bytea, properties jsonb, expires_in integer, waited real, fault text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
    -- If the server crashes and loses these rows, a count of attempts is lost but no message, so the commit need not wait for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);
    -- Cancelling and expiring wait until claims in progress are visible, and claims see what was cancelled or expired.
    PERFORM pg_advisory_xact_lock_shared(mqtt.outbound_lock(), 0);
    -- PL/pgSQL, because it keeps the plan, which saves more time than the rest takes.
    RETURN QUERY WITH asked AS (
        SELECT l.* FROM mqtt.claim_limits(claim_outbound.bridge_id, claim_outbound.integration_ids, claim_outbound.limits, claim_outbound.in_flight) AS l
    ), picked AS MATERIALIZED (
        SELECT a.integration_number, w.*
        FROM asked AS a
        CROSS JOIN LATERAL (
            SELECT q.organization_id, q.integration_id, q.vt, q.msg_id, q.attempts, q.expires_at, q.message, q.body
            FROM pgmq.q_mqtt_outbound AS q
            WHERE q.integration_id = a.integration_id AND q.vt <= clock_timestamp()
                AND q.msg_id NOT IN (SELECT f.msg_id FROM unnest(claim_outbound.in_flight) AS f (msg_id))
                AND (q.expires_at IS NULL OR q.expires_at > clock_timestamp())
            ORDER BY q.integration_id, q.vt, q.msg_id
            LIMIT a.n
        ) AS w
    ), journal AS (
        INSERT INTO mqtt.outbound_batches (organization_id, integration_id, bridge_id, msg_ids)
        SELECT p.organization_id, p.integration_id, claim_outbound.bridge_id, array_agg(p.msg_id)
        FROM picked AS p
        GROUP BY p.organization_id, p.integration_id
        RETURNING id, integration_id
    )
    SELECT
        j.id,
        p.integration_number,
        p.msg_id,
        p.attempts,
        coalesce((p.message ->> 'qos')::smallint, 0::smallint),
        coalesce((p.message ->> 'retain')::boolean, false),
        p.message ->> 'topic',
        coalesce(p.body, convert_to((p.message -> 'payload')::text, 'UTF8'), ''),
        nullif(p.message - '{topic,payload,qos,retain,message_expiry}'::text [], '{}'),
        ceil(extract(epoch FROM p.expires_at - clock_timestamp()))::integer,
        extract(epoch FROM clock_timestamp() - p.vt)::real,
        CASE
            WHEN p.attempts >= (SELECT c.max_attempts FROM mqtt.configuration AS c)
                THEN format('Given up: it was handed out %s times and its bridge ended each time.', p.attempts)
            ELSE mqtt.topic_name_reason(p.message ->> 'topic')
        END
    FROM picked AS p
    JOIN journal AS j ON j.integration_id = p.integration_id
    ORDER BY p.integration_number, p.vt, p.msg_id;
END;
$$;

ALTER FUNCTION bridge.claim_outbound(bridge_id uuid, integration_ids uuid[], limits integer[], in_flight bigint[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.claim_outbound(bridge_id uuid, integration_ids uuid[], limits integer[], in_flight bigint[]) IS 'Messages due to be published, oldest first, at most limits[i] for integration_ids[i], without those in_flight. Because of its lease, only the caller can claim them, so their rows are not touched: a claim is one row of outbound_batches per integration. A message with a fault must not be sent but settled as failed for that reason. waited: seconds since it was due.';

CREATE FUNCTION bridge.claim_requests(bridge_id uuid, at_most integer DEFAULT 10) RETURNS TABLE(id uuid, request_type text, integration_id uuid, organization_id uuid, integration_type text, settings jsonb, topic_prefix text)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    WITH open AS (
        SELECT r.organization_id, r.id
        FROM mqtt.mqtt_requests AS r
        -- A request that a bridge claimed and never answered is claimed again.
        WHERE r.status <> 'done' AND (r.status = 'queued' OR r.started_at < clock_timestamp() - interval '1 minute')
            AND EXISTS (SELECT FROM mqtt.bridges AS b WHERE b.id = claim_requests.bridge_id)
        ORDER BY r.created_at
        LIMIT at_most
        FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE mqtt.mqtt_requests AS r
        SET status = 'running', started_at = clock_timestamp()
        FROM open AS o
        WHERE r.organization_id = o.organization_id AND r.id = o.id
        RETURNING r.id, r.request_type, r.integration_id, r.organization_id
    )
    SELECT t.id, t.request_type, t.integration_id, t.organization_id, i.integration_type, i.settings, o.topic_prefix
    FROM taken AS t
    JOIN mqtt.device_integrations AS i ON i.organization_id = t.organization_id AND i.id = t.integration_id
    JOIN mqtt.organizations AS o ON o.id = t.organization_id;
$$;

ALTER FUNCTION bridge.claim_requests(bridge_id uuid, at_most integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.claim_requests(bridge_id uuid, at_most integer) IS 'Claims requests that wait for a bridge, with the settings (secrets sealed) of their integration.';

CREATE FUNCTION bridge.diagnose() RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT jsonb_build_object(
        'schema_version', 1,
        'changes', to_jsonb(mqtt.deployed_changes()),
        'server_version', current_setting('server_version_num')::integer,
        'at', extract(EPOCH FROM clock_timestamp()),
        'role', session_user,
        'surplus_privileges', (SELECT coalesce(jsonb_agg(s), '[]') FROM mqtt.surplus_privileges(session_user) AS s),
        'missing_privileges', (
            SELECT coalesce(jsonb_agg(p.oid::regprocedure), '[]')
            FROM pg_catalog.pg_proc AS p
            WHERE p.pronamespace = 'bridge'::regnamespace AND p.prorettype <> 'trigger'::regtype
                AND NOT has_function_privilege(session_user, p.oid, 'execute')
        ),
        'pgmq', (SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'pgmq'),
        'queues', (
            SELECT coalesce(jsonb_agg(c.relname ORDER BY c.relname), '[]')
            FROM pg_catalog.pg_class AS c
            WHERE c.relnamespace = to_regnamespace('pgmq') AND c.relname IN ('q_mqtt_messages', 'q_mqtt_outbound')
        ),
        'partitions', (SELECT jsonb_agg(to_jsonb(d)) FROM mqtt.days_without_partition() AS d),
        'codecs', (SELECT jsonb_agg(to_jsonb(c)) FROM mqtt.codecs() AS c),
        'maintenance_jobs', mqtt.maintenance_jobs(),
        'vacuum_holders', (SELECT coalesce(jsonb_agg(to_jsonb(h)), '[]') FROM mqtt.vacuum_holders() AS h),
        'sees_all_sessions', pg_has_role('mqtt_owner', 'pg_read_all_stats', 'member'),
        'notify_queue_ratio', pg_notification_queue_usage(),
        'sealing', bridge.sealing_state(),
        'ingest_pause', c.ingest_pause,
        'publish_pause', c.publish_pause,
        'allow_private_addresses', c.allow_private_addresses,
        'live_bridges', (SELECT count(*) FROM jsonb_array_elements(bridge.status() -> 'bridges') AS b WHERE (b ->> 'is_live')::boolean)
    )
    FROM mqtt.configuration AS c;
$$;

ALTER FUNCTION bridge.diagnose() OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.diagnose() IS 'For topicbase doctor: versions, rights of the calling role, pgmq, partitions, keys, PL/Python, pg_cron, and what holds vacuum back. It returns facts; topicbase doctor judges them.';

CREATE FUNCTION bridge.end_bridge(bridge_id uuid) RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT (count(*) FILTER (WHERE pg_terminate_backend(a.pid)))::integer AS count
    FROM pg_stat_activity a
   WHERE ((a.usename = CURRENT_USER) AND (a.datname = current_database()) AND (a.application_name = ('topicbase '::text || end_bridge.bridge_id)));
END;

ALTER FUNCTION bridge.end_bridge(bridge_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.end_bridge(bridge_id uuid) IS 'Ends the sessions of a silent bridge, which releases its locks. Runs with the caller''s privileges, so it can only end sessions of the same role.';

CREATE FUNCTION bridge.end_work(bridge_id uuid) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT mqtt.end_work(bridge_id);
$$;

ALTER FUNCTION bridge.end_work(bridge_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.end_work(bridge_id uuid) IS 'mqtt.end_work for the queue worker of a bridge.';

CREATE FUNCTION bridge.expire_outbound(batch_size integer DEFAULT 1000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_expired bigint [];
BEGIN
    IF NOT EXISTS (SELECT FROM pgmq.q_mqtt_outbound AS q WHERE q.expires_at <= clock_timestamp()) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(mqtt.outbound_lock(), 0);  -- see bridge.claim_outbound
    v_expired := ARRAY(
        SELECT q.msg_id
        FROM pgmq.q_mqtt_outbound AS q
        WHERE q.expires_at <= clock_timestamp()
            AND NOT EXISTS (SELECT FROM mqtt.outbound_batches AS b WHERE q.msg_id = ANY (b.msg_ids) AND b.organization_id = q.organization_id)
        ORDER BY q.expires_at
        LIMIT batch_size
        FOR UPDATE OF q SKIP LOCKED
    );
    IF cardinality(v_expired) > 0 THEN
        PERFORM mqtt.settle_outbound(
            v_expired, array_fill('expired'::text, ARRAY[cardinality(v_expired)]), '{}',
            array_fill('Its message_expiry passed before it could be sent to the broker.'::text, ARRAY[cardinality(v_expired)])
        );
    END IF;
    RETURN cardinality(v_expired);
END;
$$;

ALTER FUNCTION bridge.expire_outbound(batch_size integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.expire_outbound(batch_size integer) IS 'Settles messages whose message_expiry has passed, including those for brokers that are down; returns how many. A message that a bridge has claimed is left to that bridge.';

CREATE FUNCTION bridge.finish_attempt(attempted bigint) RETURNS text
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT mqtt.finish_attempt(attempted);
$$;

ALTER FUNCTION bridge.finish_attempt(attempted bigint) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.finish_attempt(attempted bigint) IS 'mqtt.finish_attempt for the bridge, in a transaction after that of begin_attempt.';

CREATE FUNCTION bridge.gauges() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT jsonb_build_object(
        'queues', (SELECT jsonb_object_agg(d.queue, jsonb_build_object('messages', d.messages, 'oldest_seconds', coalesce(d.oldest_seconds, 0))) FROM mqtt.queue_depths() AS d),
        'ingest_is_open', (SELECT c.ingest_pause IS NULL FROM mqtt.configuration AS c),
        'notify_queue_ratio', pg_notification_queue_usage()
    );
$$;

ALTER FUNCTION bridge.gauges() OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.gauges() IS 'The metrics of the database that are cheap enough for every few seconds. Maintenance returns the rest.';

CREATE FUNCTION bridge.heartbeat(bridge_id uuid) RETURNS uuid[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE mqtt.bridges AS b SET seen_at = clock_timestamp() WHERE b.id = heartbeat.bridge_id;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    -- A bridge that does not hold the lock on its id has ended.
    DELETE FROM mqtt.bridges AS b
    WHERE b.id <> heartbeat.bridge_id AND b.seen_at < clock_timestamp() - interval '4 seconds'
        AND pg_try_advisory_xact_lock(mqtt.bridge_lock(b.id));
    RETURN ARRAY(SELECT b.id FROM mqtt.bridges AS b WHERE b.seen_at < clock_timestamp() - interval '8 seconds' ORDER BY b.id);
END;
$$;

ALTER FUNCTION bridge.heartbeat(bridge_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.heartbeat(bridge_id uuid) IS 'The bridge is alive. Returns the bridges that are still connected but have been silent for too long (stopped, frozen), or null if the caller has to call bridge.hello again.';

CREATE FUNCTION bridge.hello(bridge_id uuid, name text, version text, schema_version integer) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF schema_version IS DISTINCT FROM 1 THEN
        RAISE EXCEPTION 'bridge_incompatible' USING
            ERRCODE = 'PT400',
            DETAIL = format('Bridge %s speaks version %s of the functions in schema bridge; this database has version 1.', version, schema_version),
            HINT = 'Run sqitch deploy, or install the bridge of the release that the database has. The database goes first.';
    END IF;
    IF NOT pg_try_advisory_lock(mqtt.bridge_lock(bridge_id)) THEN
        RAISE EXCEPTION 'bridge_is_running' USING
            ERRCODE = 'PT409',
            DETAIL = format('Another session is already bridge %s.', bridge_id),
            HINT = 'That session ends within seconds; try again.';
    END IF;
    INSERT INTO mqtt.bridges AS b (id, name, version, main_pid)
    VALUES (hello.bridge_id, left(hello.name, 200), hello.version, pg_backend_pid())
    ON CONFLICT (id) DO UPDATE SET main_pid = excluded.main_pid, seen_at = clock_timestamp();
    RETURN (
        SELECT jsonb_build_object(
            'max_payload_bytes', c.max_payload_bytes,
            'hosted_broker_url', c.hosted_broker_url,
            'sealing_public_key', encode(c.sealing_public_key, 'base64'),
            'heartbeat_seconds', 2,
            'stale_seconds', 8
        )
        FROM mqtt.configuration AS c
    );
END;
$$;

ALTER FUNCTION bridge.hello(bridge_id uuid, name text, version text, schema_version integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.hello(bridge_id uuid, name text, version text, schema_version integer) IS 'A bridge starts, on the session that will hold its locks; returns what it has to know about this installation

Errors: PT400 `bridge_incompatible`; PT409 `bridge_is_running`.';

CREATE FUNCTION bridge.ingest(bridge_id uuid, integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[], content_types text[] DEFAULT NULL::text[], properties jsonb[] DEFAULT NULL::jsonb[], faults text[] DEFAULT NULL::text[], subscription_numbers integer[] DEFAULT NULL::integer[]) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    AS $$
DECLARE
    -- The organization of integration_ids[i]; null if this bridge does not hold it.
    v_owners uuid [];
    v_counts jsonb;
    v_organizations uuid [];
    v_accepted integer [];
    v_dead integer [];
BEGIN
    SELECT array_agg(l.organization_id ORDER BY i.number) INTO v_owners
    FROM unnest(ingest.integration_ids) WITH ORDINALITY AS i (id, number)
    LEFT JOIN mqtt.bridge_leases AS l ON l.integration_id = i.id AND l.bridge_id = ingest.bridge_id;
    -- The usual case: mqtt.ingest_plain does the same for ordinary messages, in a third of the time.
    IF ingest.content_types IS NULL AND ingest.properties IS NULL AND ingest.faults IS NULL AND ingest.subscription_numbers IS NULL THEN
        v_counts := mqtt.ingest_plain(
            v_owners, ingest.integration_ids, ingest.integration_numbers, ingest.topics, ingest.payloads, ingest.qos, ingest.retains
        );
        IF v_counts IS NOT NULL THEN
            RETURN v_counts;
        END IF;
    END IF;
    WITH came AS MATERIALIZED (
        SELECT m.*
        FROM mqtt.delivered_messages(
            v_owners, ingest.integration_ids, ingest.integration_numbers, ingest.topics, ingest.payloads, ingest.qos, ingest.retains,
            ingest.content_types, ingest.properties, ingest.faults, ingest.subscription_numbers
        ) AS m
    ), arrived AS MATERIALIZED (
        SELECT c.* FROM came AS c WHERE NOT c.is_copy
    ),
    -- In the order of the ids, so that two bridges with the same messages cannot deadlock.
    fresh AS (
        INSERT INTO mqtt.ingest_keys (organization_id, credential_id, message_id)
        SELECT DISTINCT a.organization_id, a.integration_id, a.message_id
        FROM arrived AS a
        WHERE a.fault IS NULL AND a.message_id IS NOT NULL
        ORDER BY a.organization_id, a.integration_id, a.message_id
        ON CONFLICT DO NOTHING
        RETURNING credential_id AS integration_id, message_id
    ), kept AS MATERIALIZED (
        SELECT a.*
        FROM arrived AS a
        WHERE a.message_id IS NULL OR a.fault IS NOT NULL
        UNION ALL
        (
            SELECT DISTINCT ON (a.integration_id, a.message_id) a.*
            FROM arrived AS a
            -- CASE keeps the planner, which expects a few rows only, from joining them row by row: it is looked up in a hash.
            WHERE a.fault IS NULL AND CASE
                WHEN a.message_id IS NOT NULL THEN (a.integration_id, a.message_id) IN (SELECT f.integration_id, f.message_id FROM fresh AS f)
            END
            ORDER BY a.integration_id, a.message_id, a.place
        )
    ), queued AS (
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, message_id, body)
        SELECT
            clock_timestamp(), k.message, k.organization_id, k.integration_id,
            -- Two integrations may deliver the same message: then the history has two rows, received at the same time.
            CASE WHEN row_number() OVER (PARTITION BY k.organization_id, k.message_id ORDER BY k.place) = 1 THEN k.message_id END,
            k.payload
        FROM kept AS k
        WHERE k.fault IS NULL
        ORDER BY k.place
    ), dead AS (
        INSERT INTO mqtt.mqtt_dead_letters (
            received_at, organization_id, id, integration_id, direction, attempts, topic, message, body, error_message, errors
        )
        SELECT
            now(), a.organization_id, gen_random_uuid(), a.integration_id, 'incoming', 0, a.topic, a.message, a.payload, a.fault,
            jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'error', a.fault))
        FROM arrived AS a
        WHERE a.fault IS NOT NULL
    ), logged AS (
        INSERT INTO mqtt.integration_activity_log (
            organization_id, integration_id, direction, message_count, activity_type, status, error_message
        )
        SELECT a.organization_id, a.integration_id, 'incoming', count(*), 'message_dead', 'failed', a.fault
        FROM arrived AS a
        WHERE a.fault IS NOT NULL
        GROUP BY a.organization_id, a.integration_id, a.fault
    ), counted AS (
        SELECT k.organization_id, count(*) AS accepted, count(k.fault) AS dead
        FROM kept AS k
        GROUP BY k.organization_id
    ), repeated AS (
        SELECT (SELECT count(*) FROM came) - (SELECT count(*) FROM kept) AS n
    )
    SELECT
        jsonb_strip_nulls(jsonb_build_object(
            'queued', coalesce(sum(c.accepted - c.dead), 0),
            'dead', coalesce(sum(c.dead), 0),
            'passed_over', cardinality(ingest.topics) - coalesce(sum(c.accepted), 0) - r.n,
            'repeated', nullif(r.n, 0),
            'not_held', mqtt.not_held(v_owners, ingest.integration_ids)
        )),
        array_agg(c.organization_id ORDER BY c.organization_id) FILTER (WHERE c.organization_id IS NOT NULL),
        array_agg(c.accepted ORDER BY c.organization_id) FILTER (WHERE c.organization_id IS NOT NULL),
        array_agg(c.dead ORDER BY c.organization_id) FILTER (WHERE c.organization_id IS NOT NULL)
    INTO v_counts, v_organizations, v_accepted, v_dead
    FROM repeated AS r
    LEFT JOIN counted AS c ON true
    GROUP BY r.n;
    PERFORM mqtt.count_accepted(c.organization_id, c.accepted, c.place = 1)
    FROM unnest(v_organizations, v_accepted) WITH ORDINALITY AS c (organization_id, accepted, place);
    PERFORM mqtt.count_dead(c.organization_id, now())
    FROM unnest(v_organizations, v_dead) AS c (organization_id, dead)
    CROSS JOIN LATERAL generate_series(1, c.dead);
    RETURN v_counts;
END;
$$;

ALTER FUNCTION bridge.ingest(bridge_id uuid, integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[], content_types text[], properties jsonb[], faults text[], subscription_numbers integer[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.ingest(bridge_id uuid, integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[], content_types text[], properties jsonb[], faults text[], subscription_numbers integer[]) IS 'Queues what brokers delivered, byte for byte: element i came for integration_ids[integration_numbers[i]]. What cannot be queued (an impossible topic, too large a payload, a fault that the bridge names) becomes a dead letter at once. With a UUID in the MQTT 5 user property message_id, a message that comes again is stored once, within configuration.idempotency_window. subscription_numbers: for integrations with several filters, the one that the broker names, or 0 if it names none (null for the others): the message names in properties.subscription_ids all that match, and of the copies of brokers that send one for each filter one is kept. Acknowledge the messages to the broker only after this has been committed. Returns {"queued", "dead", "passed_over"}, and "repeated" if there were any; messages for integrations that the bridge does not hold ("not_held") are passed over: they must not be acknowledged, because the bridge that holds them is to receive them.';

CREATE FUNCTION bridge.integration_states(bridge_id uuid, integration_ids uuid[], states text[], details text[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_changed integer;
BEGIN
    WITH changed AS (
        UPDATE mqtt.device_integrations AS i
        SET status = r.state,
            status_detail = CASE r.state WHEN 'error' THEN left(r.detail, 500) END,
            status_changed_at = CASE WHEN i.status = r.state THEN i.status_changed_at ELSE clock_timestamp() END
        FROM unnest(integration_states.integration_ids, integration_states.states, integration_states.details) AS r (id, state, detail)
        JOIN mqtt.bridge_leases AS l ON l.integration_id = r.id AND l.bridge_id = integration_states.bridge_id
        WHERE i.organization_id = l.organization_id AND i.id = r.id AND i.status IN ('active', 'error') AND r.state IN ('active', 'error')
            AND (i.status, i.status_detail) IS DISTINCT FROM (r.state, CASE r.state WHEN 'error' THEN left(r.detail, 500) END)
        RETURNING i.organization_id, i.id, i.status, i.status_detail
    ), logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, error_message)
        SELECT
            c.organization_id, c.id,
            CASE c.status WHEN 'active' THEN 'broker_connected' ELSE 'broker_unreachable' END,
            CASE c.status WHEN 'active' THEN 'success' ELSE 'failed' END,
            c.status_detail
        FROM changed AS c
    )
    SELECT count(*) INTO v_changed FROM changed;
    RETURN v_changed;
END;
$$;

ALTER FUNCTION bridge.integration_states(bridge_id uuid, integration_ids uuid[], states text[], details text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.integration_states(bridge_id uuid, integration_ids uuid[], states text[], details text[]) IS 'Records whether brokers can be reached: active, or error with the reason. Writes and logs only what changed; an integration that is switched off stays switched off.';

CREATE FUNCTION bridge.integrations(bridge_id uuid, known_stamps jsonb DEFAULT '{}'::jsonb) RETURNS TABLE(id uuid, organization_id uuid, stamp text, is_changed boolean, integration_type text, settings jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT
        l.integration_id,
        l.organization_id,
        s.stamp,
        s.stamp IS DISTINCT FROM known_stamps ->> l.integration_id::text,
        i.integration_type,
        CASE WHEN s.stamp IS DISTINCT FROM known_stamps ->> l.integration_id::text THEN i.settings END
    FROM mqtt.bridge_leases AS l
    JOIN mqtt.device_integrations AS i ON i.organization_id = l.organization_id AND i.id = l.integration_id
    CROSS JOIN LATERAL (SELECT md5(i.integration_type || i.settings::text) AS stamp) AS s
    WHERE l.bridge_id = integrations.bridge_id AND i.status <> 'inactive';
$$;

ALTER FUNCTION bridge.integrations(bridge_id uuid, known_stamps jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.integrations(bridge_id uuid, known_stamps jsonb) IS 'The integrations that a bridge holds and that are switched on; settings (secrets sealed) only where they differ from known_stamps, {"<id>": "<stamp>"}. The bridge must close and release whatever else it holds.';

CREATE FUNCTION bridge.mosquitto_accounts(known_stamp text DEFAULT NULL::text) RETURNS TABLE(stamp text, next_change_at timestamp with time zone, passwords text, acl text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    WITH valid AS MATERIALIZED (
        SELECT c.username, c.mosquitto_hash, c.expires_at, r.rules
        FROM mqtt.mqtt_credentials AS c
        JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
        CROSS JOIN LATERAL (
            SELECT coalesce(string_agg(format(E'topic %s %s\n', x.access, x.filter), '' ORDER BY x.access, x.filter), '') AS rules
            FROM (SELECT CASE a.action WHEN 'publish' THEN 'write' ELSE 'read' END AS access, a.filter FROM mqtt.access_rules(c) AS a) AS x
        ) AS r
        WHERE i.is_hosted AND i.is_on AND i.is_heard
            AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
    ), stamped AS (
        SELECT
            coalesce(md5(string_agg(v.username || ' ' || v.mosquitto_hash || ' ' || v.rules, E'\n' ORDER BY v.username)), '') AS stamp,
            min(v.expires_at) AS next_change_at
        FROM valid AS v
    )
    SELECT
        s.stamp,
        s.next_change_at,
        CASE WHEN s.stamp IS DISTINCT FROM known_stamp
            THEN (SELECT coalesce(string_agg(format(E'%s:%s\n', v.username, v.mosquitto_hash), '' ORDER BY v.username), '') FROM valid AS v) END,
        CASE WHEN s.stamp IS DISTINCT FROM known_stamp
            THEN (SELECT coalesce(string_agg(format(E'user %s\n%s\n', v.username, v.rules), '' ORDER BY v.username), '') FROM valid AS v) END
    FROM stamped AS s;
$$;

ALTER FUNCTION bridge.mosquitto_accounts(known_stamp text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.mosquitto_accounts(known_stamp text) IS 'Lines of Mosquitto''s password and ACL files for all valid credentials of hosted integrations, null if known_stamp is still current; next_change_at is when the next one expires. Rules are fully expanded: in Mosquitto''s patterns, a client could choose what the placeholders stand for. An integration''s accounts wait until the broker has granted the first of its subscriptions.';

CREATE FUNCTION bridge.process_queue(batch_size integer DEFAULT 1000) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN mqtt.process_batch(batch_size, true);
END;
$$;

ALTER FUNCTION bridge.process_queue(batch_size integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.process_queue(batch_size integer) IS 'Processes up to batch_size queued messages: {"processed", "failed", "dead", "more"}; an INFO "batch" names their row addresses first, for bridge.suspects.';

CREATE FUNCTION bridge.release_integrations(bridge_id uuid, integration_ids uuid[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    DELETE FROM mqtt.outbound_batches AS b
    WHERE b.integration_id = ANY (release_integrations.integration_ids) AND b.bridge_id = release_integrations.bridge_id;
    DELETE FROM mqtt.bridge_leases AS l
    WHERE l.integration_id = ANY (release_integrations.integration_ids) AND l.bridge_id = release_integrations.bridge_id;
    PERFORM pg_advisory_unlock(mqtt.bridge_lock(r.id)) FROM unnest(release_integrations.integration_ids) AS r (id);
END;
$$;

ALTER FUNCTION bridge.release_integrations(bridge_id uuid, integration_ids uuid[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.release_integrations(bridge_id uuid, integration_ids uuid[]) IS 'Gives integrations back after their connections are closed; messages that were claimed but not settled wait for the next holder, and this costs them no attempt.';

CREATE FUNCTION bridge.reseal(places text[], ids uuid[], old_values jsonb[], new_values jsonb[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_key CONSTANT text := (SELECT mqtt.sealing_key_id(c.sealing_public_key) FROM mqtt.configuration AS c);
    v_count integer;
    v_callbacks integer;
BEGIN
    IF EXISTS (SELECT FROM unnest(new_values) AS n (value) WHERE n.value ->> 'key' IS DISTINCT FROM v_key) THEN
        RAISE EXCEPTION 'sealing_key_changed' USING
            ERRCODE = 'PT409',
            DETAIL = format('The current key is %s; this is sealed to another.', coalesce(v_key, 'none')),
            HINT = 'Run topicbase reseal again.';
    END IF;
    -- Locked until the commit, so that the new box never replaces a secret that its owner has just changed.
    PERFORM FROM mqtt.device_integrations AS i WHERE i.id = ANY (ids) ORDER BY i.id FOR NO KEY UPDATE;
    WITH matching AS MATERIALIZED (
        SELECT i.id, jsonb_object_agg(split_part(r.place, '.', 3), r.new_value) AS secrets, count(*) AS count
        FROM unnest(places, ids, old_values, new_values) AS r (place, id, old_value, new_value)
        JOIN mqtt.device_integrations AS i ON i.id = r.id
        WHERE r.place ^@ 'device_integrations.settings.' AND i.settings -> split_part(r.place, '.', 3) = r.old_value
        GROUP BY i.id
    ),
    resealed AS (
        UPDATE mqtt.device_integrations AS i
        SET settings = i.settings || m.secrets
        FROM matching AS m
        WHERE i.id = m.id
    )
    SELECT coalesce(sum(m.count), 0) INTO v_count FROM matching AS m;
    PERFORM FROM mqtt.callback_secrets AS k WHERE k.subscription_id = ANY (ids) ORDER BY k.subscription_id FOR NO KEY UPDATE;
    WITH given AS (
        SELECT
            r.id,
            max(r.old_value::text) FILTER (WHERE r.place = 'callback_secrets.sealed')::jsonb AS old_sealed,
            max(r.new_value::text) FILTER (WHERE r.place = 'callback_secrets.sealed')::jsonb AS new_sealed,
            max(r.old_value::text) FILTER (WHERE r.place = 'callback_secrets.previous')::jsonb AS old_previous,
            max(r.new_value::text) FILTER (WHERE r.place = 'callback_secrets.previous')::jsonb AS new_previous
        FROM unnest(places, ids, old_values, new_values) AS r (place, id, old_value, new_value)
        WHERE r.place ^@ 'callback_secrets.'
        GROUP BY r.id
    ),
    matching AS MATERIALIZED (
        SELECT
            k.organization_id, k.subscription_id, g.new_sealed, g.new_previous,
            k.sealed IS NOT DISTINCT FROM g.old_sealed AS has_sealed, k.previous IS NOT DISTINCT FROM g.old_previous AND g.old_previous IS NOT NULL AS has_previous
        FROM given AS g
        JOIN mqtt.callback_secrets AS k ON k.subscription_id = g.id
    ),
    resealed AS (
        UPDATE mqtt.callback_secrets AS k
        SET sealed = CASE WHEN m.has_sealed THEN m.new_sealed ELSE k.sealed END,
            previous = CASE WHEN m.has_previous THEN m.new_previous ELSE k.previous END
        FROM matching AS m
        WHERE k.organization_id = m.organization_id AND k.subscription_id = m.subscription_id
    )
    SELECT coalesce(sum(m.has_sealed::integer + m.has_previous::integer), 0) INTO v_callbacks FROM matching AS m;
    RETURN v_count + v_callbacks;
END;
$$;

ALTER FUNCTION bridge.reseal(places text[], ids uuid[], old_values jsonb[], new_values jsonb[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.reseal(places text[], ids uuid[], old_values jsonb[], new_values jsonb[]) IS 'Replaces old boxes by new ones, if the old one is still stored; returns how many. Raises PT409 sealing_key_changed if the new ones are not sealed to the current key.';

CREATE FUNCTION bridge.run_periodic_tasks() RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT CASE WHEN mqtt.try_maintenance_lock() THEN mqtt.run_periodic_tasks() ELSE '{"skipped": true}' END;
$$;

ALTER FUNCTION bridge.run_periodic_tasks() OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.run_periodic_tasks() IS 'The quick part of maintenance, by one bridge at a time: what was done, or {"skipped": true} if another bridge is doing it.';

CREATE FUNCTION bridge.sealed_otherwise(after_place text, after_id uuid, most integer) RETURNS TABLE(place text, organization_id uuid, id uuid, value jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT v.place, v.organization_id, v.id, v.value
    FROM mqtt.sealed_values AS v
    WHERE v.value ->> 'key' IS DISTINCT FROM (SELECT mqtt.sealing_key_id(c.sealing_public_key) FROM mqtt.configuration AS c)
        AND (v.place, v.id) > (after_place, after_id)
    ORDER BY v.place, v.id
    LIMIT most;
$$;

ALTER FUNCTION bridge.sealed_otherwise(after_place text, after_id uuid, most integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.sealed_otherwise(after_place text, after_id uuid, most integer) IS 'Secrets that are not sealed to the current key, ordered by place and id, starting after the given one.';

CREATE FUNCTION bridge.sealing_state() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT jsonb_build_object(
        'public_key', translate(encode(c.sealing_public_key, 'base64'), E'\n', ''),
        'key', mqtt.sealing_key_id(c.sealing_public_key),
        'sealed', (
            SELECT coalesce(jsonb_object_agg(s.key, s.count), '{}')
            FROM (
                SELECT coalesce(v.value ->> 'key', '') AS key, count(*) AS count
                FROM mqtt.sealed_values AS v
                GROUP BY 1
            ) AS s
        )
    )
    FROM mqtt.configuration AS c;
$$;

ALTER FUNCTION bridge.sealing_state() OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.sealing_state() IS '{"public_key": base64 or null, "key": its id, "sealed": {"<key id>": how many secrets}}; "" counts secrets whose key is not known because the caller sealed them.';

CREATE FUNCTION bridge.settle_callbacks(bridge_id uuid, organization_ids uuid[], ids uuid[], attempts smallint[], codes smallint[], errors text[], responses text[], retry_afters integer[], is_final boolean[]) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_settled CONSTANT mqtt.callback_outcome [] := mqtt.settle_deliveries(
        bridge_id, organization_ids, ids, attempts, codes, errors, responses, retry_afters, is_final
    );
    v_counts jsonb;
BEGIN
    PERFORM mqtt.note_receivers(v_settled);
    SELECT
        jsonb_build_object(
            'delivered', count(*) FILTER (WHERE t.status = 'delivered'),
            'failed', count(*) FILTER (WHERE t.status = 'waiting' AND NOT t.is_released),
            'dead', count(*) FILTER (WHERE t.status = 'dead'),
            'released', count(*) FILTER (WHERE t.is_released)
        )
    INTO v_counts
    FROM unnest(v_settled) AS t;
    IF v_counts -> 'dead' <> '0' THEN
        WITH gone AS (
            UPDATE mqtt.mqtt_subscriptions AS s
            SET callback_gone_at = clock_timestamp()
            FROM (SELECT DISTINCT t.organization_id, t.subscription_id FROM unnest(v_settled) AS t WHERE t.code = 410) AS t
            WHERE s.organization_id = t.organization_id AND s.id = t.subscription_id
            RETURNING s.organization_id, s.integration_id, s.id
        )
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, message_count, error_message, details)
        SELECT
            t.organization_id, t.integration_id, 'callback_dead', 'failed', count(*), max(t.error), jsonb_build_object('subscription_id', t.subscription_id)
        FROM unnest(v_settled) AS t
        WHERE t.status = 'dead' AND t.integration_id IS NOT NULL
        GROUP BY t.organization_id, t.integration_id, t.subscription_id
        UNION ALL
        SELECT
            g.organization_id, g.integration_id, 'callback_paused', 'failed', 0, 'The receiver answered 410 Gone.', jsonb_build_object('subscription_id', g.id)
        FROM gone AS g;
    END IF;
    RETURN v_counts;
END;
$$;

ALTER FUNCTION bridge.settle_callbacks(bridge_id uuid, organization_ids uuid[], ids uuid[], attempts smallint[], codes smallint[], errors text[], responses text[], retry_afters integer[], is_final boolean[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.settle_callbacks(bridge_id uuid, organization_ids uuid[], ids uuid[], attempts smallint[], codes smallint[], errors text[], responses text[], retry_afters integer[], is_final boolean[]) IS 'Settles claimed requests by their HTTP status or error; by neither if the request was not made, which costs no attempt. 2xx is delivered, 410 pauses the subscription''s callbacks, anything else is tried again, after Retry-After (seconds) at the soonest, until configuration.callback_attempts; is_final: there is no point in trying again. Attempts that are no longer this bridge''s are passed over. Returns {"delivered", "failed", "dead", "released"}.';

CREATE FUNCTION bridge.settle_outbound(bridge_id uuid, msg_ids bigint[], states text[], reason_codes smallint[], reasons text[], batches bigint[] DEFAULT '{}'::bigint[]) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_counts jsonb := '{}';
BEGIN
    IF cardinality(msg_ids) > 0 THEN
        v_counts := mqtt.settle_outbound(msg_ids, states, reason_codes, reasons, bridge_id);
    END IF;
    IF cardinality(batches) > 0 THEN
        DELETE FROM mqtt.outbound_batches AS b
        WHERE b.id = ANY (settle_outbound.batches) AND b.bridge_id = settle_outbound.bridge_id;
    END IF;
    RETURN v_counts;
END;
$$;

ALTER FUNCTION bridge.settle_outbound(bridge_id uuid, msg_ids bigint[], states text[], reason_codes smallint[], reasons text[], batches bigint[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.settle_outbound(bridge_id uuid, msg_ids bigint[], states text[], reason_codes smallint[], reasons text[], batches bigint[]) IS 'Settles messages that the bridge had claimed, as sent (QoS 0), acknowledged (PUBACK, PUBCOMP) or failed, with reason code and reason, and ends the batches that are complete. Messages of integrations that the bridge no longer holds are passed over.';

CREATE FUNCTION bridge.sleep(subject text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF pg_try_advisory_lock(mqtt.wakeup_lock(), hashtext(subject)) THEN
        RETURN 'asleep';
    END IF;
    -- The lock of another sleeping bridge makes writers notify all bridges.
    IF EXISTS (
        SELECT FROM pg_catalog.pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted AND l.objsubid = 2
            AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
            AND l.classid = mqtt.wakeup_lock()::oid AND l.objid = (hashtext(subject)::bigint & 4294967295)::oid
    ) THEN
        RETURN 'beside';
    END IF;
    RETURN 'busy';
END;
$$;

ALTER FUNCTION bridge.sleep(subject text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.sleep(subject text) IS 'From now on NOTIFY topicbase announces work (ingest, outbound, callback, request). Returns asleep if this session''s lock ensures this, beside if another bridge''s lock does, or busy if someone is about to commit work: look again in a moment. After asleep, look for work once more: what was committed before it is not announced.';

CREATE FUNCTION bridge.status() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    WITH live AS (
        SELECT b.id
        FROM mqtt.bridges AS b
        WHERE mqtt.bridge_lock(b.id) IN (
            SELECT k.classid::bigint << 32 | k.objid::bigint
            FROM pg_catalog.pg_locks AS k
            WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
                AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
        )
    )
    SELECT jsonb_build_object(
        'at', clock_timestamp(),
        'bridges', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', b.id, 'name', b.name, 'version', b.version, 'is_live', b.id IN (SELECT l.id FROM live AS l),
                'started_at', b.started_at, 'silent_seconds', round(extract(EPOCH FROM clock_timestamp() - b.seen_at), 1),
                'integrations', (SELECT count(*) FROM mqtt.bridge_leases AS l WHERE l.bridge_id = b.id)
            ) ORDER BY b.name, b.id), '[]')
            FROM mqtt.bridges AS b
        ),
        'integrations', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', i.id, 'organization', o.slug, 'name', i.name, 'integration_type', i.integration_type, 'broker', i.settings ->> 'broker_url',
                'status', i.status, 'reason', i.status_detail, 'since', i.status_changed_at,
                'bridge', CASE WHEN l.bridge_id IN (SELECT v.id FROM live AS v) THEN b.name END,
                'outbound_waiting', (
                    SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = i.id LIMIT 100000) AS w
                )
            ) ORDER BY o.slug, i.name, i.id), '[]')
            FROM mqtt.device_integrations AS i
            JOIN mqtt.organizations AS o ON o.id = i.organization_id
            LEFT JOIN mqtt.bridge_leases AS l ON l.organization_id = i.organization_id AND l.integration_id = i.id
            LEFT JOIN mqtt.bridges AS b ON b.id = l.bridge_id
        ),
        'queues', (SELECT jsonb_object_agg(d.queue, jsonb_build_object('messages', d.messages, 'oldest_seconds', round(d.oldest_seconds::numeric, 3))) FROM mqtt.queue_depths() AS d),
        'ingest_pause', (SELECT c.ingest_pause FROM mqtt.configuration AS c),
        'publish_pause', (SELECT c.publish_pause FROM mqtt.configuration AS c),
        'sealing', bridge.sealing_state() - 'public_key'
    );
$$;

ALTER FUNCTION bridge.status() OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.status() IS 'For topicbase status: which bridges are running, which integrations each holds, whether their brokers can be reached and why not, and how long and old the queues are.';

CREATE FUNCTION bridge.subscription_results(bridge_id uuid, ids uuid[], granted smallint[], reasons text[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_changed integer;
BEGIN
    WITH result AS (
        SELECT r.id, CASE WHEN r.granted < 3 THEN r.granted END AS granted_qos, left(r.reason, 500) AS reason
        FROM unnest(subscription_results.ids, subscription_results.granted, subscription_results.reasons) AS r (id, granted, reason)
    ), changed AS (
        UPDATE mqtt.mqtt_subscriptions AS s
        SET status = CASE WHEN r.granted_qos IS NULL THEN 'error' ELSE 'active' END,
            status_detail = CASE
                WHEN r.granted_qos IS NULL THEN r.reason
                WHEN r.granted_qos < s.qos THEN format('The broker grants QoS %s where QoS %s was asked for.', r.granted_qos, s.qos)
            END,
            granted_qos = r.granted_qos,
            active_at = CASE WHEN s.status = 'active' THEN s.active_at ELSE clock_timestamp() END
        FROM result AS r
        JOIN mqtt.bridge_leases AS l ON l.bridge_id = subscription_results.bridge_id
        WHERE s.id = r.id AND s.integration_id = l.integration_id AND s.organization_id = l.organization_id
            AND (s.status, s.granted_qos, s.status_detail) IS DISTINCT FROM (
                CASE WHEN r.granted_qos IS NULL THEN 'error' ELSE 'active' END,
                r.granted_qos,
                CASE
                    WHEN r.granted_qos IS NULL THEN r.reason
                    WHEN r.granted_qos < s.qos THEN format('The broker grants QoS %s where QoS %s was asked for.', r.granted_qos, s.qos)
                END
            )
        RETURNING s.organization_id, s.integration_id, s.id, s.topic, s.status, s.status_detail
    ), logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, error_message, details)
        SELECT
            c.organization_id, c.integration_id,
            CASE c.status WHEN 'active' THEN 'subscription_active' ELSE 'subscription_refused' END,
            CASE c.status WHEN 'active' THEN 'success' ELSE 'failed' END,
            CASE c.status WHEN 'error' THEN c.status_detail END,
            jsonb_build_object('subscription_id', c.id, 'topic', c.topic)
        FROM changed AS c
    )
    SELECT count(*) INTO v_changed FROM changed;
    RETURN v_changed;
END;
$$;

ALTER FUNCTION bridge.subscription_results(bridge_id uuid, ids uuid[], granted smallint[], reasons text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.subscription_results(bridge_id uuid, ids uuid[], granted smallint[], reasons text[]) IS 'What brokers answered to SUBSCRIBE: the granted QoS, or a reason code of 128 and more with the reason in words; returns how many subscriptions changed.';

CREATE FUNCTION bridge.subscriptions(bridge_id uuid, known_stamp text DEFAULT NULL::text) RETURNS TABLE(stamp text, integration_id uuid, id uuid, topic text, qos smallint, no_local boolean, retain_handling smallint, number integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    WITH held AS (
        SELECT s.integration_id, s.id, s.topic, s.qos, s.no_local, s.retain_handling, s.number, s.active_at
        FROM mqtt.bridge_leases AS l
        JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = l.organization_id AND s.integration_id = l.integration_id
        WHERE l.bridge_id = subscriptions.bridge_id AND NOT s.is_paused
    ), stamped AS (
        SELECT coalesce(md5(string_agg((h.integration_id, h.id, h.topic, h.qos, h.no_local, h.retain_handling, h.number)::text, E'\n' ORDER BY h.id)), '') AS stamp FROM held AS h
    )
    SELECT st.stamp, h.integration_id, h.id, h.topic, h.qos, h.no_local, h.retain_handling, h.number
    FROM stamped AS st
    LEFT JOIN held AS h ON true
    WHERE st.stamp IS DISTINCT FROM subscriptions.known_stamp
    -- The order of subscribing: of several filters that a message matches, the one whose copy is kept comes first.
    ORDER BY h.active_at, h.number;
$$;

ALTER FUNCTION bridge.subscriptions(bridge_id uuid, known_stamp text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.subscriptions(bridge_id uuid, known_stamp text) IS 'Topic filters to subscribe to for all integrations of a bridge; no row if nothing differs from known_stamp, and one row with only the stamp if there are none.';

CREATE FUNCTION bridge.surplus_integrations(bridge_id uuid) RETURNS uuid[]
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT coalesce(array_agg(h.integration_id ORDER BY h.taken_at DESC) FILTER (WHERE h.place > h.share + 1), '{}')
    FROM (
        SELECT
            l.integration_id,
            l.taken_at,
            row_number() OVER (ORDER BY l.taken_at, l.integration_id) AS place,
            ceil(
                (SELECT count(*) FROM mqtt.device_integrations AS i WHERE i.status <> 'inactive')::numeric
                / greatest((SELECT mqtt.live_bridges(surplus_integrations.bridge_id)), 1)
            ) AS share
        FROM mqtt.bridge_leases AS l
        WHERE l.bridge_id = surplus_integrations.bridge_id
    ) AS h;
$$;

ALTER FUNCTION bridge.surplus_integrations(bridge_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.surplus_integrations(bridge_id uuid) IS 'Integrations beyond a bridge''s fair share, the newest first, for another bridge that has fewer.';

CREATE FUNCTION bridge.suspects(tids tid[]) RETURNS bigint[]
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT coalesce(array_agg(q.msg_id ORDER BY q.msg_id), '{}') FROM pgmq.q_mqtt_messages AS q WHERE q.ctid = ANY (tids);
$$;

ALTER FUNCTION bridge.suspects(tids tid[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.suspects(tids tid[]) IS 'The msg_ids of the batch that bridge.process_queue named before its session died or reached its time limit: one of them may be the cause.';

CREATE FUNCTION bridge.take_integrations(bridge_id uuid) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_share integer;
    v_held integer;
    v_integration record;
    v_taken integer := 0;
BEGIN
    SELECT ceil(count(*)::numeric / greatest(mqtt.live_bridges(take_integrations.bridge_id), 1)) INTO v_share
    FROM mqtt.device_integrations AS i
    WHERE i.status <> 'inactive';
    SELECT count(*) INTO v_held FROM mqtt.bridge_leases AS l WHERE l.bridge_id = take_integrations.bridge_id;
    FOR v_integration IN
        SELECT i.organization_id, i.id, l.bridge_id IS NOT DISTINCT FROM take_integrations.bridge_id AS is_mine
        FROM mqtt.device_integrations AS i
        LEFT JOIN mqtt.bridge_leases AS l ON l.integration_id = i.id
        WHERE i.status <> 'inactive'
            AND (
                l.bridge_id IS NULL
                -- The caller's own lease whose lock went with a lost session, or a lease whose holder is gone.
                OR NOT EXISTS (
                    SELECT FROM pg_catalog.pg_locks AS k
                    WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
                        AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
                        AND (k.classid::bigint << 32 | k.objid::bigint) = mqtt.bridge_lock(i.id)
                )
            )
        ORDER BY is_mine DESC, i.id
    LOOP
        EXIT WHEN NOT v_integration.is_mine AND v_held + v_taken > v_share;
        CONTINUE WHEN NOT pg_try_advisory_lock(mqtt.bridge_lock(v_integration.id));
        IF mqtt.take_lease(take_integrations.bridge_id, v_integration.organization_id, v_integration.id) THEN
            v_taken := v_taken + 1;
        END IF;
    END LOOP;
    RETURN v_taken;
END;
$$;

ALTER FUNCTION bridge.take_integrations(bridge_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.take_integrations(bridge_id uuid) IS 'Takes integrations that no bridge holds, up to a fair share and one more, on the session whose locks keep them; returns how many are new.';

CREATE FUNCTION bridge.wake(subject text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT pg_advisory_unlock(mqtt.wakeup_lock(), hashtext(subject));
$$;

ALTER FUNCTION bridge.wake(subject text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION bridge.wake(subject text) IS 'Ends this session''s sleep, so that writers no longer notify.';

CREATE TABLE mqtt.mqtt_credentials (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    device_id uuid,
    username text NOT NULL,
    client_id text NOT NULL,
    topic_prefix text NOT NULL,
    broker_url text NOT NULL,
    can_publish boolean DEFAULT true NOT NULL,
    can_subscribe boolean DEFAULT true NOT NULL,
    publish_filters text[],
    subscribe_filters text[],
    secret_salt bytea NOT NULL,
    secret_hash bytea NOT NULL,
    previous_salt bytea,
    previous_hash bytea,
    previous_until timestamp with time zone,
    mosquitto_hash text NOT NULL,
    bcrypt_hash text NOT NULL,
    max_per_second numeric,
    max_burst integer,
    expires_at timestamp with time zone,
    is_expiry_logged boolean DEFAULT false NOT NULL,
    revoked_at timestamp with time zone,
    last_connected_at timestamp with time zone,
    connection_count bigint DEFAULT 0 NOT NULL,
    broker_login_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    rotated_at timestamp with time zone,
    CONSTRAINT mqtt_credentials_bcrypt_hash_check CHECK ((bcrypt_hash ~~ '$2a$%'::text)),
    CONSTRAINT mqtt_credentials_client_id_check CHECK ((client_id ~ '^[A-Za-z0-9_.-]{1,64}$'::text)),
    CONSTRAINT mqtt_credentials_max_burst_check CHECK ((max_burst > 0)),
    CONSTRAINT mqtt_credentials_max_per_second_check CHECK ((max_per_second > (0)::numeric)),
    CONSTRAINT mqtt_credentials_mosquitto_hash_check CHECK ((mosquitto_hash ~~ '$7$%'::text)),
    CONSTRAINT mqtt_credentials_secret_hash_check CHECK ((octet_length(secret_hash) = 32)),
    CONSTRAINT mqtt_credentials_secret_salt_check CHECK ((octet_length(secret_salt) = 16)),
    CONSTRAINT mqtt_credentials_topic_prefix_check CHECK (((octet_length(topic_prefix) >= 1) AND (octet_length(topic_prefix) <= 512))),
    CONSTRAINT mqtt_credentials_username_check CHECK ((username ~ '^[A-Za-z0-9_.-]{1,64}$'::text))
)
WITH (fillfactor='80');

ALTER TABLE mqtt.mqtt_credentials OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.mqtt_credentials IS 'Device logins. The password is shown once, when it is made; kept are a fast verifier and the hashes that brokers need.';

COMMENT ON COLUMN mqtt.mqtt_credentials.topic_prefix IS 'Whole topic levels below which the credential may publish and subscribe.';

COMMENT ON COLUMN mqtt.mqtt_credentials.publish_filters IS 'Topic filters, beside the prefix, that a topic must match to be published to; null leaves the prefix alone.';

COMMENT ON COLUMN mqtt.mqtt_credentials.subscribe_filters IS 'Topic filters, below the prefix, that the device may subscribe to; null leaves the prefix alone.';

COMMENT ON COLUMN mqtt.mqtt_credentials.secret_hash IS 'SHA-256 of salt and password; the password has 190 random bits, so stretching would add nothing.';

COMMENT ON COLUMN mqtt.mqtt_credentials.previous_until IS 'Until when the password before the last rotation still works.';

COMMENT ON COLUMN mqtt.mqtt_credentials.mosquitto_hash IS 'Line of Mosquitto''s password file: $7$ PBKDF2-SHA512.';

COMMENT ON COLUMN mqtt.mqtt_credentials.bcrypt_hash IS 'bcrypt with prefix $2a$, for brokers that read it from the database.';

COMMENT ON COLUMN mqtt.mqtt_credentials.max_per_second IS 'Messages a second that it may send over HTTP; null is without limit.';

COMMENT ON COLUMN mqtt.mqtt_credentials.max_burst IS 'Messages that it may send at once after a pause; null takes two seconds'' worth.';

COMMENT ON COLUMN mqtt.mqtt_credentials.is_expiry_logged IS 'Whether the activity log tells that expires_at has passed; maintenance writes both.';

COMMENT ON COLUMN mqtt.mqtt_credentials.last_connected_at IS 'When it was last used; written by the queue worker per batch.';

COMMENT ON COLUMN mqtt.mqtt_credentials.connection_count IS 'Messages it has delivered over HTTP; written by the queue worker per batch.';

COMMENT ON COLUMN mqtt.mqtt_credentials.broker_login_at IS 'When it first logged in at a broker that asks over HTTP.';

CREATE FUNCTION mqtt.access_explanation(reason text, credential mqtt.mqtt_credentials, action text, topic text, topic_error text, rule text) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE reason
             WHEN 'revoked'::text THEN format('No: the credential was revoked at %s.'::text, (credential).revoked_at)
             WHEN 'expired'::text THEN format('No: the credential expired at %s.'::text, (credential).expires_at)
             WHEN 'integration_inactive'::text THEN 'No: the integration of the credential is switched off.'::text
             WHEN 'publish_not_allowed'::text THEN 'No: the credential may only subscribe.'::text
             WHEN 'subscribe_not_allowed'::text THEN 'No: the credential may only publish.'::text
             WHEN 'topic_invalid'::text THEN ('No: '::text || topic_error)
             WHEN 'topic_not_allowed'::text THEN
             CASE action
                 WHEN 'publish'::text THEN format('No: %s does not match any filter that the credential may publish to.'::text, topic)
                 ELSE format('No: %s may match topics outside every filter that the credential may subscribe to.'::text, topic)
             END
             ELSE
             CASE action
                 WHEN 'publish'::text THEN format('Yes: %s matches %s.'::text, topic, rule)
                 ELSE format('Yes: everything that %s matches lies within %s.'::text, topic, rule)
             END
         END AS format;
END;

ALTER FUNCTION mqtt.access_explanation(reason text, credential mqtt.mqtt_credentials, action text, topic text, topic_error text, rule text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.access_explanation(reason text, credential mqtt.mqtt_credentials, action text, topic text, topic_error text, rule text) IS 'The reason that api.explain_mqtt_access answers, as a sentence.';

CREATE FUNCTION mqtt.has_forbidden_character(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (value ~ ((('[\u0001-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff'::text || '\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0003fffe\U0003ffff\U0004fffe\U0004ffff\U0005fffe\U0005ffff\U0006fffe\U0006ffff'::text) || '\U0007fffe\U0007ffff\U0008fffe\U0008ffff\U0009fffe\U0009ffff\U000afffe\U000affff\U000bfffe\U000bffff\U000cfffe\U000cffff'::text) || '\U000dfffe\U000dffff\U000efffe\U000effff\U000ffffe\U000fffff\U0010fffe\U0010ffff]'::text));
END;

ALTER FUNCTION mqtt.has_forbidden_character(value text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.has_forbidden_character(value text) IS 'Whether the text contains a control character or a non-character of any plane, for which brokers close the connection (MQTT 5 section 1.5.4).';

CREATE FUNCTION mqtt.is_plain_topic(topic text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (topic ~ '^[A-Za-z0-9_./:@=,;() -]+$'::text);
END;

ALTER FUNCTION mqtt.is_plain_topic(topic text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.is_plain_topic(topic text) IS 'Whether the text consists of characters that no rule for topic names forbids, as most do: one check instead of several. Its length is not checked.';

CREATE FUNCTION mqtt.topic_filter_reason(filter text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((filter IS NULL) OR (filter = ''::text)) THEN 'A topic filter must have at least one character.'::text
             WHEN (octet_length(filter) > 65535) THEN 'A topic filter must have at most 65,535 bytes in UTF-8.'::text
             WHEN mqtt.has_forbidden_character(filter) THEN 'A topic filter must not contain control characters or non-characters.'::text
             WHEN (filter ~ '[^/]\+|\+[^/]'::text) THEN 'The wildcard + must be a whole level.'::text
             WHEN (filter ~ '[^/]#|#.'::text) THEN 'The wildcard # must be the whole last level.'::text
             WHEN (starts_with(filter, '$share/'::text) AND (filter !~ '^\$share/[^/+#]+/.'::text)) THEN 'A shared subscription must be $share/<name>/<filter>.'::text
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.topic_filter_reason(filter text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_filter_reason(filter text) IS 'Why this is not a topic filter, as a sentence; null if it is one (MQTT 5 sections 4.7.1 and 4.8.2).';

CREATE FUNCTION mqtt.topic_is_under(topic text, prefix text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT starts_with(topic, (prefix || '/'::text)) AS starts_with;
END;

ALTER FUNCTION mqtt.topic_is_under(topic text, prefix text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_is_under(topic text, prefix text) IS 'Whether a topic name or filter lies below a prefix of whole levels: org_a allows org_a/x, never org_ab/x.';

CREATE FUNCTION mqtt.topic_name_reason(topic text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((octet_length(topic) <= 65535) AND mqtt.is_plain_topic(topic)) THEN NULL::text
             WHEN ((topic IS NULL) OR (topic = ''::text)) THEN 'A topic name must have at least one character.'::text
             WHEN (octet_length(topic) > 65535) THEN 'A topic name must have at most 65,535 bytes in UTF-8.'::text
             WHEN (topic ~ '[+#]'::text) THEN 'A topic to publish to must not contain the wildcards + and #.'::text
             WHEN starts_with(topic, '$'::text) THEN 'Topic names that start with $ belong to the broker.'::text
             WHEN mqtt.has_forbidden_character(topic) THEN 'A topic name must not contain control characters or non-characters.'::text
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.topic_name_reason(topic text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_name_reason(topic text) IS 'Why this is not a topic name that can be published to, as a sentence; null if it is one (MQTT 5 sections 1.5.4, 4.7.1, 4.7.3).';

CREATE FUNCTION mqtt.access_rules(credential mqtt.mqtt_credentials) RETURNS TABLE(action text, filter text)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT x.action,
     x.filter
    FROM ( SELECT 'publish'::text AS action,
             f.filter
            FROM unnest(COALESCE((access_rules.credential).publish_filters, ARRAY[((access_rules.credential).topic_prefix || '/+/#'::text)])) f(filter)
           WHERE (access_rules.credential).can_publish
         UNION ALL
          SELECT 'subscribe'::text,
             f.filter
            FROM unnest(COALESCE((access_rules.credential).subscribe_filters, ARRAY[((access_rules.credential).topic_prefix || '/#'::text)])) f(filter)
           WHERE (access_rules.credential).can_subscribe) x
   WHERE (mqtt.topic_is_under(x.filter, (access_rules.credential).topic_prefix) AND (mqtt.topic_filter_reason(x.filter) IS NULL) AND (mqtt.topic_name_reason((access_rules.credential).topic_prefix) IS NULL));
END;

ALTER FUNCTION mqtt.access_rules(credential mqtt.mqtt_credentials) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.access_rules(credential mqtt.mqtt_credentials) IS 'What a credential may do: actions (publish, subscribe) and topic filters, each written out in full. Does not check whether the credential is valid now.';

CREATE FUNCTION mqtt.topic_filter_pattern(filter text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (
         CASE
             WHEN (f.bare ~ '^[+#]'::text) THEN '^(?!\$)'::text
             ELSE '^'::text
         END ||
         CASE
             WHEN (f.bare = '#'::text) THEN ''::text
             ELSE (replace(regexp_replace(regexp_replace(f.bare, '/#$'::text, ''::text), '([.*?\\^${}()|\[\]])'::text, '\\\1'::text, 'g'::text), '+'::text, '[^/]*'::text) ||
             CASE
                 WHEN (f.bare ~~ '%/#'::text) THEN '(/|$)'::text
                 ELSE '$'::text
             END)
         END)
    FROM ( SELECT regexp_replace(topic_filter_pattern.filter, '^\$share/[^/]+/'::text, ''::text) AS bare) f;
END;

ALTER FUNCTION mqtt.topic_filter_pattern(filter text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_filter_pattern(filter text) IS 'The filter as a regular expression for topic names: a leading wildcard does not match topics that start with $, a/# matches a, and $share/<name>/ is omitted (MQTT 5 section 4.7).';

CREATE FUNCTION mqtt.filter_contains(allowed text, requested text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (regexp_replace(requested, '^\$share/[^/]+/'::text, ''::text) ~ replace(mqtt.topic_filter_pattern(allowed), '[^/]*'::text, '[^/#]*'::text));
END;

ALTER FUNCTION mqtt.filter_contains(allowed text, requested text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.filter_contains(allowed text, requested text) IS 'Whether the allowed filter matches every topic that the requested one matches; of $share/<name>/<filter> only the filter counts. Both must be valid filters.';

CREATE FUNCTION mqtt.topic_matches(filter text, topic text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (topic ~ mqtt.topic_filter_pattern(filter));
END;

ALTER FUNCTION mqtt.topic_matches(filter text, topic text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_matches(filter text, topic text) IS 'Whether a topic name matches a topic filter (MQTT 5 section 4.7).';

CREATE FUNCTION mqtt.rule_allows(filter text, action text, topic text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE action
             WHEN 'publish'::text THEN ((mqtt.topic_name_reason(topic) IS NULL) AND mqtt.topic_matches(filter, topic))
             WHEN 'subscribe'::text THEN ((mqtt.topic_filter_reason(topic) IS NULL) AND mqtt.filter_contains(filter, topic))
             ELSE false
         END AS "case";
END;

ALTER FUNCTION mqtt.rule_allows(filter text, action text, topic text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.rule_allows(filter text, action text, topic text) IS 'Whether a rule with that filter allows publishing to the topic, or subscribing to it as a filter.';

CREATE FUNCTION mqtt.access_rule(credential mqtt.mqtt_credentials, action text, topic text) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT r.filter
    FROM mqtt.access_rules(access_rule.credential) r(action, filter)
   WHERE ((r.action = access_rule.action) AND mqtt.rule_allows(r.filter, r.action, access_rule.topic))
   ORDER BY r.filter
  LIMIT 1;
END;

ALTER FUNCTION mqtt.access_rule(credential mqtt.mqtt_credentials, action text, topic text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.access_rule(credential mqtt.mqtt_credentials, action text, topic text) IS 'The rule that lets a credential publish to a topic or subscribe to a filter; null if it may not.';

CREATE FUNCTION mqtt.admits_hash(filter text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (filter ~ '(^|/)\+(/#)?$'::text);
END;

ALTER FUNCTION mqtt.admits_hash(filter text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.admits_hash(filter text) IS 'Whether a broker that matches subscriptions level by level, like topics, would let the last + of the filter match a #: a/+ would allow a/#.';

CREATE FUNCTION mqtt.aggregates_sql(aggregates text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT string_agg(format('%L, %s'::text, a.name, a.expression), ', '::text) AS string_agg
    FROM ( VALUES ('avg'::text,'trim_scale(avg(x.value))'::text), ('min'::text,'min(x.value)'::text), ('max'::text,'max(x.value)'::text), ('sum'::text,'sum(x.value)'::text), ('count'::text,'count(*)'::text), ('first'::text,'(array_agg(x.value ORDER BY x.at, x.position))[1]'::text), ('last'::text,'(array_agg(x.value ORDER BY x.at DESC, x.position DESC))[1]'::text), ('delta'::text,'coalesce(sum(CASE WHEN x.value >= x.previous THEN x.value - x.previous WHEN x.value < x.previous THEN x.value END), 0)'::text)) a(name, expression)
   WHERE (a.name = ANY (aggregates_sql.aggregates));
END;

ALTER FUNCTION mqtt.aggregates_sql(aggregates text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.aggregates_sql(aggregates text[]) IS 'The arguments of jsonb_build_object that make a summary of these aggregates. delta is how far a counter went on: after a reset it counts from 0.';

CREATE FUNCTION mqtt.announce_replay(organization_id uuid, incoming integer, outgoing integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF incoming > 0 THEN
        PERFORM mqtt.require_open_queue(organization_id, 'ingest');
    END IF;
    IF outgoing > 0 THEN
        PERFORM mqtt.require_open_queue(organization_id, 'outbound');
        PERFORM mqtt.wake_bridge('outbound');
    END IF;
END;
$$;

ALTER FUNCTION mqtt.announce_replay(organization_id uuid, incoming integer, outgoing integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.announce_replay(organization_id uuid, incoming integer, outgoing integer) IS 'What has to follow when a replay has enqueued messages: raises 429 queue_paused if their queue is closed, and wakes the bridge for outgoing ones; mqtt.count_accepted does for incoming ones.';

CREATE FUNCTION mqtt.answer_wrong_login(session mqtt.device_session) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_wait integer;
BEGIN
    IF session.fault <> 'invalid_credentials' THEN
        PERFORM mqtt.refuse_login(session.fault, session.fault_detail);
    END IF;
    v_wait := mqtt.count_wrong_password(session.username);
    -- An error would roll the count back; so this is an answer that looks like one.
    IF v_wait > 0 THEN
        PERFORM set_config('response.status', '429', true);
        PERFORM set_config('response.headers', format('[{"Retry-After": "%s"}]', v_wait), true);
        RETURN json_build_object(
            'code', 'PT429', 'message', 'too_many_wrong_passwords',
            'details', 'Username, password and client id do not name a credential that is valid now, and too many others for this username did not either.',
            'hint', format('The right password works at any time; another wrong one is answered this way for %s more seconds.', v_wait)
        );
    END IF;
    PERFORM set_config('response.status', '401', true);
    RETURN json_build_object(
        'code', 'PT401', 'message', 'invalid_credentials',
        'details', 'Username, password and client id do not name a credential that is valid now.',
        'hint', 'Send Authorization: Basic base64(username:password), or X-Username and X-Password, and X-Client-ID as they were issued.'
    );
END;
$$;

ALTER FUNCTION mqtt.answer_wrong_login(session mqtt.device_session) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.answer_wrong_login(session mqtt.device_session) IS 'The answer to a login that could not be placed, with its status: 401 invalid_credentials, or 429 too_many_wrong_passwords with Retry-After; raises what else is the matter with a session (mqtt.refuse_login).';

CREATE FUNCTION mqtt.apply_deferred_credentials(noted_after timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
    v_credentials bigint;
BEGIN
    WITH taken AS (
        DELETE FROM mqtt.deferred_credential_updates AS u
        WHERE u.noted_at > noted_after
        RETURNING u.*
    ),
    credential AS MATERIALIZED (
        SELECT t.credential_id, sum(t.uses) AS uses, max(t.last_connected_at) AS last_connected_at FROM taken AS t GROUP BY t.credential_id
    )
    UPDATE mqtt.mqtt_credentials AS c
    SET connection_count = c.connection_count + n.uses, last_connected_at = greatest(c.last_connected_at, n.last_connected_at)
    FROM credential AS n
    WHERE c.id = n.credential_id;
    GET DIAGNOSTICS v_credentials = ROW_COUNT;
    RETURN v_credentials;
END;
$$;

ALTER FUNCTION mqtt.apply_deferred_credentials(noted_after timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.apply_deferred_credentials(noted_after timestamp with time zone) IS 'Brings credentials up to date with what was deferred after that time, and returns how many there were. A part of mqtt.apply_deferred_updates.';

CREATE FUNCTION mqtt.apply_deferred_devices(noted_after timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
    v_devices bigint;
BEGIN
    WITH taken AS (
        DELETE FROM mqtt.deferred_device_updates AS u
        WHERE u.noted_at > noted_after
        RETURNING u.*
    ),
    news AS MATERIALIZED (
        SELECT DISTINCT ON (t.organization_id, t.device_id)
            t.organization_id, t.device_id, t.last_data, t.last_data_at, max(t.last_seen_at) OVER (PARTITION BY t.organization_id, t.device_id) AS last_seen_at
        FROM taken AS t
        ORDER BY t.organization_id, t.device_id, t.last_data IS NOT NULL DESC, t.last_data_at DESC NULLS LAST, t.noted_at DESC
    ),
    -- The last of a key wins.
    latest AS MATERIALIZED (
        SELECT t.device_id, jsonb_object_agg(e.key, e.value ORDER BY (e.value ->> 'at')::timestamptz, t.noted_at, t.number) AS latest
        FROM taken AS t
        CROSS JOIN LATERAL jsonb_each(t.latest) AS e
        GROUP BY t.device_id
    ),
    -- In the workers' order. A device deleted meanwhile has no row.
    device AS MATERIALIZED (
        SELECT d.id, n.*, coalesce(l.latest, '{}') AS latest
        FROM news AS n
        LEFT JOIN latest AS l ON l.device_id = n.device_id
        JOIN mqtt.devices AS d ON d.organization_id = n.organization_id AND d.id = n.device_id
        ORDER BY d.organization_id, d.integration_id, d.external_id
        FOR NO KEY UPDATE OF d
    ),
    updated AS (
        UPDATE mqtt.devices AS d
        SET last_data = mqtt.latest_data(d.last_data, d.last_data_at, n.last_data, n.last_data_at),
            latest = mqtt.newest_values(d.latest, d.last_data_at, n.latest, n.last_data_at),
            last_data_at = greatest(d.last_data_at, n.last_data_at),
            last_seen_at = greatest(d.last_seen_at, n.last_seen_at)
        FROM device AS n
        WHERE d.organization_id = n.organization_id AND d.id = n.id
        RETURNING d.organization_id, d.integration_id, d.external_id, d.id
    ),
    remembered AS (
        INSERT INTO mqtt.deferred_device_ids (organization_id, integration_id, external_id, device_id)
        SELECT u.* FROM updated AS u
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) INTO v_devices FROM updated;
    RETURN v_devices;
END;
$$;

ALTER FUNCTION mqtt.apply_deferred_devices(noted_after timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.apply_deferred_devices(noted_after timestamp with time zone) IS 'Brings devices up to date with what was deferred after that time, remembers their ids, and returns how many there were. A part of mqtt.apply_deferred_updates.';

CREATE FUNCTION mqtt.apply_deferred_updates(noted_after timestamp with time zone DEFAULT '-infinity'::timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
    v_rows bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(mqtt.deferred_updates_lock(), 0) THEN
        RETURN 0;
    END IF;
    v_rows := mqtt.apply_deferred_devices(noted_after);
    v_rows := v_rows + mqtt.apply_deferred_credentials(noted_after);
    IF noted_after = '-infinity' THEN
        DELETE FROM mqtt.deferred_device_ids;
    END IF;
    RETURN v_rows;
END;
$$;

ALTER FUNCTION mqtt.apply_deferred_updates(noted_after timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.apply_deferred_updates(noted_after timestamp with time zone) IS 'Brings devices and credentials up to date with what was deferred after that time, and deletes it: one update a row. Remembers the devices'' ids, or with -infinity forgets them. Returns how many rows; 0 also while another session is at it.';

CREATE FUNCTION mqtt.apply_due_updates() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_applied_at CONSTANT timestamptz := coalesce(nullif(current_setting('topicbase.updates_applied_at', true), ''), '-infinity');
    v_was_deferred CONSTANT boolean := coalesce(nullif(current_setting('topicbase.is_update_deferred', true), ''), 'false');
    -- Dead rows alone are soon gone, and an old transaction alone does no harm.
    v_is_deferred CONSTANT boolean :=
        pg_stat_get_dead_tuples('mqtt.devices'::regclass) + pg_stat_get_dead_tuples('mqtt.mqtt_credentials'::regclass) > 2000
        AND EXISTS (SELECT FROM mqtt.vacuum_holders('1 second'));
    v_rows bigint;
BEGIN
    PERFORM set_config('topicbase.is_update_deferred', v_is_deferred::text, false);
    PERFORM set_config('topicbase.deferral_looked_at', v_now::text, false);
    -- Without a cause, once a minute for what other sessions left.
    IF v_is_deferred = v_was_deferred
        AND v_now BETWEEN v_applied_at AND v_applied_at + make_interval(secs => CASE WHEN v_is_deferred THEN 5 ELSE 60 END) THEN
        RETURN false;
    END IF;
    -- What was applied is dead, and would be read each time. Whose commit took longer than 10 seconds is found when vacuum is no longer held back.
    v_rows := mqtt.apply_deferred_updates(CASE WHEN v_is_deferred THEN v_applied_at - interval '10 seconds' ELSE '-infinity' END);
    PERFORM set_config('topicbase.updates_applied_at', v_now::text, false);
    RETURN v_rows > 0;
END;
$$;

ALTER FUNCTION mqtt.apply_due_updates() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.apply_due_updates() IS 'Decides for this session whether rows of devices and credentials are updated with each batch or, while they have more than 2,000 dead versions that an old transaction keeps from vacuum, every 5 seconds (setting topicbase.is_update_deferred), and makes the updates that are due. True when it made some: the transaction then holds locks on rows, and should end before a batch takes its own. To be called once a second.';

CREATE FUNCTION mqtt.apply_retention(most integer DEFAULT 10000) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_counts jsonb;
    v_small jsonb;
    v_is_more boolean;
    v_expired jsonb;
    v_partitions regclass [];
    v_postponed text;
BEGIN
    -- The lock of mqtt.try_maintenance_lock, but waiting for it: two calls at once would delete the same rows in different orders.
    PERFORM pg_advisory_xact_lock(mqtt.maintenance_lock(), 0);
    SELECT jsonb_object_agg(t.kind, r.removed) || jsonb_build_object('receipts', 0), bool_or(r.is_more) INTO v_counts, v_is_more
    FROM (
        VALUES
        ('completed', 'mqtt.mqtt_messages', 'received_at', 'completed_days'),
        ('failed', 'mqtt.mqtt_dead_letters', 'failed_at', 'failed_days'),
        ('activity', 'mqtt.integration_activity_log', 'created_at', 'activity_days')
    ) AS t (kind, target, time_column, term)
    CROSS JOIN LATERAL mqtt.trim_rows(t.target::regclass, t.time_column, t.term, most) AS r;
    v_small := mqtt.trim_small_tables(10 * most);
    v_is_more := v_is_more OR EXISTS (SELECT FROM jsonb_each_text(v_small) AS s WHERE s.value::bigint >= 10 * most);
    v_counts := v_counts || v_small;
    WITH expired AS (
        SELECT t.place, t.kind, e.partition, e.row_count
        FROM (
            -- The busiest table comes last, because it stays locked until the end of the transaction.
            VALUES
            (1, 'receipts', 'mqtt.mqtt_publish_receipts', (SELECT c.receipt_days FROM mqtt.configuration AS c)),
            (2, 'failed', 'mqtt.mqtt_dead_letters', mqtt.longest_term('failed_days')),
            (3, 'activity', 'mqtt.integration_activity_log', mqtt.longest_term('activity_days')),
            (4, 'completed', 'mqtt.mqtt_messages', mqtt.longest_term('completed_days'))
        ) AS t (place, kind, parent, days)
        CROSS JOIN LATERAL mqtt.expired_partitions(t.parent::regclass, t.days) AS e
    )
    SELECT
        coalesce((SELECT jsonb_object_agg(k.kind, k.n) FROM (SELECT e.kind, sum(e.row_count) AS n FROM expired AS e GROUP BY e.kind) AS k), '{}'),
        coalesce((SELECT array_agg(e.partition ORDER BY e.place, e.partition) FROM expired AS e), '{}')
    INTO v_expired, v_partitions;
    -- A session that reads a table for hours (a dump, for example) must not prevent the rest of this.
    BEGIN
        PERFORM mqtt.drop_partitions(v_partitions);
    EXCEPTION WHEN lock_not_available THEN
        v_expired := '{}';
        v_postponed := SQLERRM;
    END;
    RETURN (
        SELECT jsonb_object_agg(c.key, c.value::bigint + coalesce((v_expired ->> c.key)::bigint, 0)) FROM jsonb_each_text(v_counts) AS c
    ) || jsonb_build_object('more', v_is_more) || CASE WHEN v_postponed IS NULL THEN '{}' ELSE jsonb_build_object('postponed', v_postponed) END;
END;
$$;

ALTER FUNCTION mqtt.apply_retention(most integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.apply_retention(most integer) IS 'Removes data past its retention: first bounded batches (at most this many rows of a table, ten times as many of the small tables; "more" tells whether there may be more), then whole partitions, unless another session has locked their table ("postponed"). Returns the number of rows removed, by kind.';

CREATE FUNCTION mqtt.bare_messages(document json) RETURNS json
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF json_typeof(document) = 'object' THEN
        RETURN CASE WHEN (SELECT array_agg(k.key) FROM json_object_keys(document) AS k (key)) = '{messages}' THEN document -> 'messages' END;
    END IF;
    RETURN document;
END;
$$;

ALTER FUNCTION mqtt.bare_messages(document json) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.bare_messages(document json) IS 'The messages of a batch that stand in {"messages": …}, or are the document; null when the object holds anything else.';

CREATE FUNCTION mqtt.basic_login(headers jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((headers ->> 'authorization'::text) ~ '^[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$'::text) THEN encode(decode(ltrim(substr((headers ->> 'authorization'::text), 6)), 'base64'::text), 'escape'::text)
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.basic_login(headers jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.basic_login(headers jsonb) IS 'username:password from Authorization: Basic (RFC 7617), null without it. Bytes that are no UTF-8 come out escaped and so match no credential.';

CREATE FUNCTION mqtt.bcrypt_password_hash(password text) RETURNS text
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT public.crypt(password, public.gen_salt('bf'::text, 4)) AS crypt;
END;

ALTER FUNCTION mqtt.bcrypt_password_hash(password text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.bcrypt_password_hash(password text) IS 'bcrypt hash with prefix $2a$, for brokers that check passwords in the database. For random passwords only: the lowest cost, 4.';

CREATE FUNCTION mqtt.begin_attempt(accepted_before timestamp with time zone, suspects bigint[] DEFAULT NULL::bigint[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
    v_next record;
    v_row record;
    v_busy uuid [] := '{}';
BEGIN
    LOOP
        SELECT q.msg_id, q.organization_id INTO v_next
        FROM pgmq.q_mqtt_messages AS q
        WHERE q.enqueued_at <= accepted_before AND (suspects IS NULL OR q.msg_id = ANY (suspects)) AND q.organization_id <> ALL (v_busy)
            AND q.vt <= clock_timestamp() + CASE WHEN q.attempts > 0 AND q.errors -> -1 ->> 'code' = 'interrupted' THEN interval '30 seconds' ELSE '0' END
        ORDER BY q.msg_id
        LIMIT 1;
        EXIT WHEN NOT found;
        -- While another worker is at this organization, an attempt would end by waiting for it.
        IF NOT pg_try_advisory_xact_lock(mqtt.processing_lock(), hashtext(v_next.organization_id::text)) THEN
            v_busy := v_busy || v_next.organization_id;
            CONTINUE;
        END IF;
        SELECT q.ctid, q.msg_id, q.attempts, coalesce((i.settings ->> 'max_attempts')::integer, c.max_attempts) AS max_attempts
        INTO v_row
        FROM pgmq.q_mqtt_messages AS q
        CROSS JOIN mqtt.configuration AS c
        LEFT JOIN mqtt.device_integrations AS i ON i.id = q.integration_id
        WHERE q.msg_id = v_next.msg_id
        FOR UPDATE OF q;
        CONTINUE WHEN NOT found;
        IF v_row.attempts < v_row.max_attempts THEN
            UPDATE pgmq.q_mqtt_messages AS q
            SET attempts = q.attempts + 1,
                vt = clock_timestamp() + interval '60 seconds',
                errors = coalesce(q.errors, '[]') || jsonb_build_object(
                    'at', clock_timestamp(), 'code', 'interrupted', 'error', 'The attempt ended with its database session or at its time limit.'
                )
            WHERE q.ctid = v_row.ctid;
            RETURN v_row.msg_id;
        END IF;
        PERFORM mqtt.record_failure(v_row.ctid, 'interrupted', 'Each attempt ended with its database session or at its time limit.', true);
    END LOOP;
    RETURN CASE WHEN v_busy <> '{}' THEN 0 END;
END;
$$;

ALTER FUNCTION mqtt.begin_attempt(accepted_before timestamp with time zone, suspects bigint[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.begin_attempt(accepted_before timestamp with time zone, suspects bigint[]) IS 'Counts an attempt for the oldest due message accepted until then (and among suspects, where given) and hides it for a minute; to be committed before mqtt.finish_attempt. A message that exhausts its attempts this way becomes a dead letter. Returns its msg_id, 0 when another worker is at the organizations that are left, null when there is none. For the time after a worker died or hung: one message in its last batch may be why. One whose last attempt was interrupted may be begun again half a minute before a batch would take it.';

CREATE FUNCTION mqtt.begin_work(worker_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_is_orphaned boolean;
BEGIN
    DELETE FROM mqtt.workers AS w
    WHERE w.bridge_id <> begin_work.worker_id AND pg_try_advisory_xact_lock(mqtt.bridge_lock(w.bridge_id));
    v_is_orphaned := found;
    INSERT INTO mqtt.workers (bridge_id) VALUES (begin_work.worker_id) ON CONFLICT DO NOTHING;
    RETURN v_is_orphaned;
END;
$$;

ALTER FUNCTION mqtt.begin_work(worker_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.begin_work(worker_id uuid) IS 'A queue worker begins; it holds mqtt.bridge_lock of its id. Returns whether another ended before its mqtt.end_work: with its machine, perhaps, and perhaps because of a message.';

CREATE FUNCTION mqtt.bridge_lock(subject uuid) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT hashtextextended(('topicbase '::text || subject), (0)::bigint) AS hashtextextended;
END;

ALTER FUNCTION mqtt.bridge_lock(subject uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.bridge_lock(subject uuid) IS 'Key of the advisory lock on a bridge or an integration.';

CREATE TABLE mqtt.broker_keys (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid,
    integration_id uuid,
    name text NOT NULL,
    username text NOT NULL,
    key_salt bytea NOT NULL,
    key_hash bytea NOT NULL,
    vhost text DEFAULT '/'::text NOT NULL,
    exchange text DEFAULT 'amq.topic'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT broker_keys_check CHECK (((organization_id IS NULL) = (integration_id IS NULL))),
    CONSTRAINT broker_keys_exchange_check CHECK (((length(exchange) >= 1) AND (length(exchange) <= 255))),
    CONSTRAINT broker_keys_key_hash_check CHECK ((octet_length(key_hash) = 32)),
    CONSTRAINT broker_keys_key_salt_check CHECK ((octet_length(key_salt) = 16)),
    CONSTRAINT broker_keys_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT broker_keys_username_check CHECK ((username ~ '^[A-Za-z0-9_]{1,64}$'::text)),
    CONSTRAINT broker_keys_vhost_check CHECK (((length(vhost) >= 1) AND (length(vhost) <= 255)))
);

ALTER TABLE mqtt.broker_keys OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.broker_keys IS 'Logins of brokers that ask over HTTP whether a device may come in and what it may do. The key is shown once, when it is made.';

COMMENT ON COLUMN mqtt.broker_keys.integration_id IS 'The integration whose credentials the broker may ask about; null is the hosted broker: the credentials of every mqtt_hosted integration, and of no other.';

COMMENT ON COLUMN mqtt.broker_keys.key_hash IS 'SHA-256 of salt and key; the key has 192 random bits.';

COMMENT ON COLUMN mqtt.broker_keys.vhost IS 'RabbitMQ: the only virtual host that devices are let into.';

COMMENT ON COLUMN mqtt.broker_keys.exchange IS 'RabbitMQ: the exchange of its MQTT plugin (mqtt.exchange).';

CREATE FUNCTION mqtt.broker_credential(broker mqtt.broker_keys, username text) RETURNS mqtt.mqtt_credentials
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT c
    FROM mqtt.mqtt_credentials AS c
    JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
    WHERE c.username = broker_credential.username AND c.revoked_at IS NULL AND (c.expires_at > now()) IS NOT FALSE AND i.is_on
        AND CASE
            WHEN (broker).id IS NULL THEN false
            WHEN (broker).integration_id IS NULL THEN i.is_hosted
            ELSE i.id = (broker).integration_id
        END;
$$;

ALTER FUNCTION mqtt.broker_credential(broker mqtt.broker_keys, username text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.broker_credential(broker mqtt.broker_keys, username text) IS 'The credential with that username, if it is valid now and this broker may ask about it; else null. The hosted broker may not ask about the credentials of an external broker''s integration.';

CREATE FUNCTION mqtt.broker_login() RETURNS mqtt.broker_keys
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
    -- An unknown username is hashed like a wrong key. This is not in WHERE, which would make it an inner join.
    SELECT CASE WHEN sha256(
        coalesce(k.key_salt, '\x00000000000000000000000000000000') || convert_to(coalesce(substr(b.login, strpos(b.login, ':') + 1), ''), 'UTF8')
    ) = k.key_hash THEN k END
    FROM (
        SELECT encode(decode(h.token, 'base64'), 'escape') AS login
        FROM (
            SELECT (regexp_match(
                nullif(current_setting('request.headers', true), '')::jsonb ->> 'authorization',
                '^[Bb][Aa][Ss][Ii][Cc] +((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==))$'
            ))[1] AS token
        ) AS h
    ) AS b
    LEFT JOIN mqtt.broker_keys AS k ON k.username = split_part(b.login, ':', 1);
$_$;

ALTER FUNCTION mqtt.broker_login() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.broker_login() IS 'The broker that made this HTTP request, identified by Authorization: Basic (RFC 7617) with its username and key; null if it is none, and it takes as long.';

CREATE TABLE mqtt.configuration (
    is_only_row boolean DEFAULT true NOT NULL,
    max_payload_bytes integer DEFAULT 262144 NOT NULL,
    max_batch_messages integer DEFAULT 10000 NOT NULL,
    max_attempts smallint DEFAULT 3 NOT NULL,
    retry_base interval DEFAULT '00:00:05'::interval NOT NULL,
    retry_cap interval DEFAULT '01:00:00'::interval NOT NULL,
    max_time_behind interval DEFAULT '366 days'::interval NOT NULL,
    max_time_ahead interval DEFAULT '1 day'::interval NOT NULL,
    idempotency_window interval DEFAULT '24:00:00'::interval NOT NULL,
    completed_days integer DEFAULT 7 NOT NULL,
    failed_days integer DEFAULT 30 NOT NULL,
    activity_days integer DEFAULT 30 NOT NULL,
    receipt_days integer DEFAULT 7 NOT NULL,
    callback_attempts smallint DEFAULT 24 NOT NULL,
    partitions_ahead integer DEFAULT 7 NOT NULL,
    max_queued bigint DEFAULT 20000000 NOT NULL,
    min_free_bytes bigint DEFAULT 268435456 NOT NULL,
    ingest_pause text,
    publish_pause text,
    vacuum_alarm_after interval DEFAULT '00:05:00'::interval NOT NULL,
    hosted_broker_url text DEFAULT 'mqtt://localhost:1883'::text NOT NULL,
    sealing_public_key bytea,
    allow_private_addresses boolean DEFAULT false NOT NULL,
    max_wrong_passwords integer DEFAULT 10 NOT NULL,
    CONSTRAINT configuration_activity_days_check CHECK ((activity_days > 0)),
    CONSTRAINT configuration_callback_attempts_check CHECK (((callback_attempts >= 1) AND (callback_attempts <= 1000))),
    CONSTRAINT configuration_completed_days_check CHECK ((completed_days > 0)),
    CONSTRAINT configuration_failed_days_check CHECK ((failed_days > 0)),
    CONSTRAINT configuration_idempotency_window_check CHECK ((idempotency_window > '00:00:00'::interval)),
    CONSTRAINT configuration_is_only_row_check CHECK (is_only_row),
    CONSTRAINT configuration_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 100))),
    CONSTRAINT configuration_max_batch_messages_check CHECK (((max_batch_messages >= 1) AND (max_batch_messages <= 1000000))),
    CONSTRAINT configuration_max_payload_bytes_check CHECK (((max_payload_bytes >= 1) AND (max_payload_bytes <= 268435455))),
    CONSTRAINT configuration_max_queued_check CHECK ((max_queued > 0)),
    CONSTRAINT configuration_max_time_ahead_check CHECK ((max_time_ahead >= '00:00:00'::interval)),
    CONSTRAINT configuration_max_time_behind_check CHECK ((max_time_behind >= '00:00:00'::interval)),
    CONSTRAINT configuration_max_wrong_passwords_check CHECK ((max_wrong_passwords > 0)),
    CONSTRAINT configuration_min_free_bytes_check CHECK ((min_free_bytes >= 0)),
    CONSTRAINT configuration_partitions_ahead_check CHECK (((partitions_ahead >= 1) AND (partitions_ahead <= 366))),
    CONSTRAINT configuration_receipt_days_check CHECK ((receipt_days > 0)),
    CONSTRAINT configuration_retry_base_check CHECK ((retry_base > '00:00:00'::interval)),
    CONSTRAINT configuration_retry_cap_check CHECK ((retry_cap > '00:00:00'::interval)),
    CONSTRAINT configuration_sealing_public_key_check CHECK ((octet_length(sealing_public_key) = 32)),
    CONSTRAINT configuration_vacuum_alarm_after_check CHECK ((vacuum_alarm_after > '00:00:00'::interval))
);

ALTER TABLE mqtt.configuration OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.configuration IS 'Limits and terms of this installation: one row, changed by UPDATE as mqtt_owner or superuser, in force from the next call.';

COMMENT ON COLUMN mqtt.configuration.max_payload_bytes IS 'Largest payload of one message, in bytes of its stored form; larger ones are refused with 413.';

COMMENT ON COLUMN mqtt.configuration.max_batch_messages IS 'Most messages in one mqtt_ingest_batch or mqtt_publish call; more are refused with 413.';

COMMENT ON COLUMN mqtt.configuration.max_attempts IS 'Attempts to process a message before it becomes a dead letter; an integration may set its own.';

COMMENT ON COLUMN mqtt.configuration.retry_base IS 'Wait before the second attempt; doubles with each further one, with jitter.';

COMMENT ON COLUMN mqtt.configuration.retry_cap IS 'Longest wait between two attempts.';

COMMENT ON COLUMN mqtt.configuration.max_time_behind IS 'How long before its receipt a message may say that it was measured; for an earlier time, the time of receipt is taken.';

COMMENT ON COLUMN mqtt.configuration.max_time_ahead IS 'How long after its receipt a message may say that it was measured; for a later time, the time of receipt is taken.';

COMMENT ON COLUMN mqtt.configuration.idempotency_window IS 'How long a message_id given by a client is remembered.';

COMMENT ON COLUMN mqtt.configuration.completed_days IS 'Days that the history (completed messages) is kept; an organization may set its own.';

COMMENT ON COLUMN mqtt.configuration.failed_days IS 'Days that dead letters are kept; an organization may set its own.';

COMMENT ON COLUMN mqtt.configuration.activity_days IS 'Days that the activity log is kept; an organization may set its own.';

COMMENT ON COLUMN mqtt.configuration.receipt_days IS 'Days that publish receipts, and what became of callbacks, are kept.';

COMMENT ON COLUMN mqtt.configuration.callback_attempts IS 'Attempts to post a message to a callback_url before that is given up; they are spread by retry_base and retry_cap, over some 14 hours by default.';

COMMENT ON COLUMN mqtt.configuration.partitions_ahead IS 'Daily partitions kept ready ahead of today.';

COMMENT ON COLUMN mqtt.configuration.max_queued IS 'Messages waiting to be processed, of all organizations, from which on ingest is refused (429, brokers left unread) until they are fewer; likewise those waiting to be published and mqtt_publish.';

COMMENT ON COLUMN mqtt.configuration.min_free_bytes IS 'Free bytes on the data disk below which ingest and mqtt_publish are refused (429, brokers left unread) before the disk is full; 0 switches that off. Needs PL/Python.';

COMMENT ON COLUMN mqtt.configuration.ingest_pause IS 'Why ingest is refused for everyone just now; written by mqtt.check_capacity, null while it is open.';

COMMENT ON COLUMN mqtt.configuration.publish_pause IS 'Why mqtt_publish and replays to brokers are refused just now; written by mqtt.check_capacity, null while they are not.';

COMMENT ON COLUMN mqtt.configuration.vacuum_alarm_after IS 'How old a transaction may be before maintenance names it as what holds back vacuum.';

COMMENT ON COLUMN mqtt.configuration.hosted_broker_url IS 'Broker address that devices of hosted integrations are told; any of mqtt, mqtts, ws, wss.';

COMMENT ON COLUMN mqtt.configuration.sealing_public_key IS 'Curve25519 public key (32 bytes) that broker secrets are sealed to; the private key is with the bridge only.';

COMMENT ON COLUMN mqtt.configuration.allow_private_addresses IS 'Whether broker and callback addresses may be loopback, link-local or private (only where tenants are trusted).';

COMMENT ON COLUMN mqtt.configuration.max_wrong_passwords IS 'Wrong passwords a minute for one username, beyond which further ones are answered 429; the right one always works.';

CREATE TABLE mqtt.device_integrations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    integration_type text NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    status_detail text,
    status_changed_at timestamp with time zone DEFAULT now() NOT NULL,
    topic_like text DEFAULT '%'::text NOT NULL,
    device_level smallint DEFAULT 3 NOT NULL,
    message_type_level smallint DEFAULT 4 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT device_integrations_device_level_check CHECK ((device_level > 0)),
    CONSTRAINT device_integrations_integration_type_check CHECK ((integration_type = ANY (ARRAY['mqtt'::text, 'mqtt_hosted'::text, 'mqtt_external'::text]))),
    CONSTRAINT device_integrations_message_type_level_check CHECK ((message_type_level >= 0)),
    CONSTRAINT device_integrations_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT device_integrations_settings_check CHECK ((jsonb_typeof(settings) = 'object'::text)),
    CONSTRAINT device_integrations_status_check CHECK ((status = ANY (ARRAY['active'::text, 'inactive'::text, 'error'::text])))
);

ALTER TABLE mqtt.device_integrations OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.device_integrations IS 'How an organization''s devices are reached: the hosted broker, or a broker of its own.';

COMMENT ON COLUMN mqtt.device_integrations.integration_type IS 'mqtt_hosted: the broker beside this database; mqtt and mqtt_external: the broker named in settings.';

COMMENT ON COLUMN mqtt.device_integrations.settings IS 'broker_url, port, protocol, username, TLS and topic settings; secrets only in sealed form.';

COMMENT ON COLUMN mqtt.device_integrations.status IS 'active, inactive (switched off by an admin: its calls are refused) or error (its broker is unreachable; messages wait).';

COMMENT ON COLUMN mqtt.device_integrations.status_detail IS 'Why the status is error, in words.';

COMMENT ON COLUMN mqtt.device_integrations.topic_like IS 'LIKE pattern of topics that name a device; compiled from settings.topic_pattern.';

COMMENT ON COLUMN mqtt.device_integrations.device_level IS 'Topic level, from 1, that holds the device id; compiled from settings.topic_pattern.';

COMMENT ON COLUMN mqtt.device_integrations.message_type_level IS 'Topic level, from 1, that holds the message type, 0 when there is none; compiled from settings.topic_pattern.';

CREATE FUNCTION mqtt.broker_url(integration mqtt.device_integrations) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((integration).integration_type = 'mqtt_hosted'::text) THEN ( SELECT c.hosted_broker_url
                FROM mqtt.configuration c)
             ELSE format(
             CASE
                 WHEN (((integration).settings ->> 'broker_url'::text) ~~ '%:%'::text) THEN '%s://[%s]:%s%s'::text
                 ELSE '%s://%s:%s%s'::text
             END, ((integration).settings ->> 'protocol'::text), ((integration).settings ->> 'broker_url'::text), ((integration).settings ->> 'port'::text), ((integration).settings ->> 'path'::text))
         END AS format;
END;

ALTER FUNCTION mqtt.broker_url(integration mqtt.device_integrations) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.broker_url(integration mqtt.device_integrations) IS 'The URL that devices are given for the integration''s broker.';

CREATE FUNCTION mqtt.broker_url_parts(url text, private_allowed boolean) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_parts text [] := CASE
        WHEN url ~ '^[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*$' THEN ARRAY[NULL, NULL, url, NULL, NULL, NULL]
        WHEN url ~ '://' THEN mqtt.url_parts(url)
        ELSE mqtt.url_parts('none://' || url)
    END;
    v_fault text;
BEGIN
    v_parts[1] := nullif(v_parts[1], 'none');
    v_parts[5] := nullif(v_parts[5], '/');
    v_fault := CASE
        WHEN url IS NULL THEN 'is required: the broker''s host name, or a URL such as mqtts://broker.example.com:8883'
        WHEN v_parts[3] IS NULL THEN 'must be a host name or a URL'
        WHEN v_parts[2] IS NOT NULL THEN 'must not have a user name or password; use settings.username and settings.password'
        WHEN v_parts[1] NOT IN ('mqtt', 'mqtts', 'ws', 'wss') THEN 'must start with mqtt://, mqtts://, ws:// or wss://, or be a bare host name'
        WHEN v_parts[6] IS NOT NULL THEN 'must not have a query or a fragment'
        WHEN v_parts[4]::integer NOT BETWEEN 1 AND 65535 THEN 'does not have a valid port'
        ELSE mqtt.host_reason(v_parts[3], private_allowed)
    END;
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_setting('broker_url', v_fault);
    END IF;
    RETURN v_parts;
END;
$_$;

ALTER FUNCTION mqtt.broker_url_parts(url text, private_allowed boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.broker_url_parts(url text, private_allowed boolean) IS 'settings.broker_url as mqtt.url_parts has it; protocol, port and path are null where it does not name them. Raises PT400 setting_invalid.';

CREATE FUNCTION mqtt.bucket_range(request mqtt.telemetry_request, bucket interval, time_zone text, cursor mqtt.message_cursor, most integer) RETURNS mqtt.telemetry_request
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    -- A month has up to 31 days, of which extract counts 30.
    v_seconds CONSTANT numeric := extract(EPOCH FROM bucket) * CASE WHEN bucket >= '28 days' THEN 1.04 ELSE 1 END;
BEGIN
    IF cursor IS NOT NULL THEN
        -- The span of the cursor may go on with other devices; it may be longer than usual by a change of the clock.
        request.until := least(request.until, cursor.at + bucket + interval '1 day');
    END IF;
    IF request.since IS NULL THEN
        request.since := mqtt.bucket_start(
            to_timestamp(greatest(extract(EPOCH FROM least(request.until, now())) - v_seconds * (most - 1), 0)::double precision), bucket, time_zone
        );
    END IF;
    RETURN request;
END;
$$;

ALTER FUNCTION mqtt.bucket_range(request mqtt.telemetry_request, bucket interval, time_zone text, cursor mqtt.message_cursor, most integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.bucket_range(request mqtt.telemetry_request, bucket interval, time_zone text, cursor mqtt.message_cursor, most integer) IS 'The request with the range that spans of time are made of: up to the cursor''s, and without since back that many.';

CREATE FUNCTION mqtt.bucket_start(at timestamp with time zone, bucket interval, time_zone text) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((bucket < '28 days'::interval) OR (((EXTRACT(year FROM bucket) * (12)::numeric) + EXTRACT(month FROM bucket)) = (0)::numeric)) THEN
             CASE
                 WHEN (bucket <= '01:00:00'::interval) THEN date_bin(bucket, at, ('2000-01-03 00:00:00'::timestamp without time zone AT TIME ZONE time_zone))
                 ELSE (date_bin(bucket, (at AT TIME ZONE time_zone), '2000-01-03 00:00:00'::timestamp without time zone) AT TIME ZONE time_zone)
             END
             ELSE (('2000-01-01 00:00:00'::timestamp without time zone + ((floor((((((EXTRACT(year FROM (at AT TIME ZONE time_zone)) - (2000)::numeric) * (12)::numeric) + EXTRACT(month FROM (at AT TIME ZONE time_zone))) - (1)::numeric) / ((EXTRACT(year FROM bucket) * (12)::numeric) + EXTRACT(month FROM bucket)))))::double precision * bucket)) AT TIME ZONE time_zone)
         END AS timezone;
END;

ALTER FUNCTION mqtt.bucket_start(at timestamp with time zone, bucket interval, time_zone text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.bucket_start(at timestamp with time zone, bucket interval, time_zone text) IS 'The start of the span that a time is in, by the clock of a time zone: spans of days or less since midnight of a Monday, of months since a January.';

CREATE FUNCTION mqtt.topic_filter_prefix(filter text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT array_to_string((string_to_array(regexp_replace(regexp_replace(filter, '^\$share/[^/]+/'::text, ''::text), '(^|/)[+#].*$'::text, ''::text), '/'::text))[1:16], '/'::text) AS array_to_string;
END;

ALTER FUNCTION mqtt.topic_filter_prefix(filter text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_filter_prefix(filter text) IS 'The levels of a filter before its first wildcard, at most 16; mqtt.topic_prefixes of every topic that it matches includes it.';

CREATE TABLE mqtt.mqtt_callback_deliveries (
    organization_id uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    number bigint NOT NULL,
    subscription_id uuid NOT NULL,
    message_id uuid NOT NULL,
    received_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    due_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    attempted_at timestamp with time zone,
    finished_at timestamp with time zone,
    bridge_id uuid,
    status text DEFAULT 'waiting'::text NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    status_code smallint,
    error text,
    response text,
    CONSTRAINT mqtt_callback_deliveries_response_check CHECK ((length(response) <= 200)),
    CONSTRAINT mqtt_callback_deliveries_status_check CHECK ((status = ANY (ARRAY['waiting'::text, 'delivered'::text, 'dead'::text])))
);

ALTER TABLE mqtt.mqtt_callback_deliveries OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.mqtt_callback_deliveries IS 'What is to be posted to whom, and what became of it. The message itself is in the history. Without a foreign key to the subscription, so that the log outlives it.';

COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.id IS 'The webhook-id header: the same in each attempt.';

COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.number IS 'The order in which the messages were accepted.';

COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.received_at IS 'With message_id, the place of the message in the history.';

COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.due_at IS 'When it may next be attempted; while one is under way, when that is given up for lost.';

COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.bridge_id IS 'The bridge that an attempt is under way in.';

COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.response IS 'How the answer to a failed attempt began.';

CREATE TABLE mqtt.mqtt_subscriptions (
    organization_id uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    integration_id uuid NOT NULL,
    topic text NOT NULL,
    qos smallint DEFAULT 0 NOT NULL,
    callback_url text,
    callback_ordered boolean DEFAULT false NOT NULL,
    callback_gone_at timestamp with time zone,
    no_local boolean DEFAULT true NOT NULL,
    retain_handling smallint DEFAULT 0 NOT NULL,
    is_paused boolean DEFAULT false NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    status_detail text,
    granted_qos smallint,
    number integer NOT NULL,
    active_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    prefix text GENERATED ALWAYS AS (mqtt.topic_filter_prefix(topic)) STORED NOT NULL,
    pattern text GENERATED ALWAYS AS (mqtt.topic_filter_pattern(topic)) STORED NOT NULL,
    CONSTRAINT mqtt_subscriptions_callback_url_check CHECK ((octet_length(callback_url) <= 2048)),
    CONSTRAINT mqtt_subscriptions_qos_check CHECK (((qos >= 0) AND (qos <= 2))),
    CONSTRAINT mqtt_subscriptions_retain_handling_check CHECK (((retain_handling >= 0) AND (retain_handling <= 2))),
    CONSTRAINT mqtt_subscriptions_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'active'::text, 'error'::text]))),
    CONSTRAINT mqtt_subscriptions_topic_check CHECK (((octet_length(topic) >= 1) AND (octet_length(topic) <= 2048)))
);

ALTER TABLE mqtt.mqtt_subscriptions OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.mqtt_subscriptions IS 'Topic filters that the bridge is subscribed to at an integration''s broker; what matches is queued like what devices post.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.topic IS 'Topic filter, wildcards + and # allowed, also $share/<name>/<filter>.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.qos IS 'Maximum QoS asked for: 0, 1 or 2.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.callback_url IS 'URL that matching messages are posted to as well, if any.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.callback_ordered IS 'Whether its messages are posted one after the other, in the order in which they were accepted.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.callback_gone_at IS 'When callback_url answered 410 Gone; nothing is posted until the subscription is made again.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.no_local IS 'MQTT 5: do not send back what this integration published itself.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.retain_handling IS 'MQTT 5: 0 retained messages at each subscribe, 1 only when new, 2 never (section 3.8.3.1).';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.status IS 'pending until the broker granted it, active after, error when it refused; see status_detail.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.granted_qos IS 'QoS that the broker granted.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.number IS 'Its Subscription Identifier at the broker; a new one with each change of what is asked for, so that what a broker has queued for the old is told apart.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.active_at IS 'Since when the broker grants it without a break.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.prefix IS 'The topic filter''s levels before the first wildcard, by which those that may match a topic are found.';

COMMENT ON COLUMN mqtt.mqtt_subscriptions.pattern IS 'The topic filter as a regular expression for topic names.';

CREATE FUNCTION mqtt.callback_body(delivery mqtt.mqtt_callback_deliveries, subscription mqtt.mqtt_subscriptions) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN (
        SELECT json_build_object(
            'type', 'mqtt.message',
            'id', m.id,
            'subscription_id', subscription.id,
            'subscription_topic', subscription.topic,
            'organization_id', m.organization_id,
            'integration_id', m.integration_id,
            'device_id', d.external_id,
            'topic', m.topic,
            'payload', CASE WHEN m.body IS NULL THEN m.payload ELSE to_jsonb(translate(encode(m.body, 'base64'), E'\n', '')) END,
            'payload_encoding', CASE WHEN m.body IS NULL THEN 'json' ELSE 'base64' END,
            'content_type', m.content_type,
            'qos', m.qos,
            'retain', m.retain,
            'properties', m.properties,
            'sent_at', m.sent_at,
            'received_at', m.received_at,
            'external_id', d.external_id
        )::text
        FROM mqtt.mqtt_messages AS m
        LEFT JOIN mqtt.devices AS d ON d.organization_id = m.organization_id AND d.id = m.device_id
        WHERE m.organization_id = delivery.organization_id AND m.received_at = delivery.received_at AND m.id = delivery.message_id
    );
END;
$$;

ALTER FUNCTION mqtt.callback_body(delivery mqtt.mqtt_callback_deliveries, subscription mqtt.mqtt_subscriptions) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.callback_body(delivery mqtt.mqtt_callback_deliveries, subscription mqtt.mqtt_subscriptions) IS 'The body of the request, as JSON; null if the message is no longer in the history.';

CREATE FUNCTION mqtt.host_reason(host text, private_allowed boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_host text := lower(rtrim(host, '.'));
BEGIN
    IF v_host IS NULL THEN
        RETURN 'has no host';
    ELSIF v_host ~ ':' THEN
        IF v_host !~ '^[0-9a-f:.]{2,45}$' THEN
            RETURN 'is no host name or address';
        ELSIF mqtt.is_private_address(v_host::inet) AND NOT private_allowed THEN
            RETURN 'must not be a loopback, link-local or private address';
        END IF;
        RETURN NULL;
    -- 0x7f.1, 017700000001 and 2130706433 are 127.0.0.1 to some resolvers: only four plain decimal numbers pass as an address.
    ELSIF v_host ~ '(^|\.)(0x[0-9a-f]*|[0-9]+)$' THEN
        IF v_host !~ '^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(?!$)|$)){4}$' THEN
            RETURN 'is no host name or address';
        ELSIF mqtt.is_private_address(v_host::inet) AND NOT private_allowed THEN
            RETURN 'must not be a loopback, link-local or private address';
        END IF;
        RETURN NULL;
    ELSIF v_host !~ '^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$' THEN
        RETURN 'is no host name or address (write an international name in its ASCII form, xn--…)';
    ELSIF v_host ~ '(^|\.)(localhost|localhost\.localdomain|local|internal|home\.arpa)$|^(ip6-localhost|ip6-loopback)$' AND NOT private_allowed THEN
        RETURN 'must not be a name of this machine or its private network';
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN invalid_text_representation THEN
        RETURN 'is no host name or address';
END;
$_$;

ALTER FUNCTION mqtt.host_reason(host text, private_allowed boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.host_reason(host text, private_allowed boolean) IS 'Why a tenant may not name this host, as the end of a sentence; null when it may. Whoever connects checks the resolved address again.';

CREATE FUNCTION mqtt.url_parts(url text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (p.p IS NOT NULL) THEN ARRAY[lower(p.p[1]), p.p[2], COALESCE(p.p[3], p.p[4]), p.p[5], p.p[6], p.p[7]]
             ELSE NULL::text[]
         END AS "case"
    FROM regexp_match(url_parts.url, '^([A-Za-z][A-Za-z0-9+.-]*)://([^/?#@]*@)?(?:\[([^]/?#@[]+)\]|([^]/:?#@[]+))(?::([0-9]{1,5}))?(/[^?#]*)?([?#].*)?$'::text) p(p);
END;

ALTER FUNCTION mqtt.url_parts(url text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.url_parts(url text) IS 'Scheme, userinfo@, host (without brackets), port, path, query and fragment of a URL (RFC 3986 appendix B); null when it is none.';

CREATE FUNCTION mqtt.callback_url_reason(url text, private_allowed boolean) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (octet_length(callback_url_reason.url) > 2048) THEN 'has more than 2,048 bytes'::text
             WHEN (callback_url_reason.url ~ '[^\u0021-\u007e]'::text) THEN 'holds a blank, a control or a character beyond ASCII (write it as %XX)'::text
             WHEN (p.parts IS NULL) THEN 'is no URL'::text
             WHEN ((p.parts[1] = 'http'::text) AND (NOT callback_url_reason.private_allowed)) THEN 'must start with https://'::text
             WHEN (p.parts[1] <> ALL (ARRAY['http'::text, 'https'::text])) THEN 'must start with https://'::text
             WHEN (p.parts[2] IS NOT NULL) THEN 'must hold no user name or password'::text
             WHEN (((p.parts[4])::integer < 1) OR ((p.parts[4])::integer > 65535)) THEN 'has no valid port'::text
             ELSE mqtt.host_reason(p.parts[3], callback_url_reason.private_allowed)
         END AS host_reason
    FROM ( SELECT mqtt.url_parts(callback_url_reason.url) AS parts) p;
END;

ALTER FUNCTION mqtt.callback_url_reason(url text, private_allowed boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.callback_url_reason(url text, private_allowed boolean) IS 'Why a tenant may not have this URL called, as the end of a sentence; null when it may.';

CREATE FUNCTION mqtt.capacity_lock() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT 1953460326;
END;

ALTER FUNCTION mqtt.capacity_lock() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.capacity_lock() IS 'Advisory lock of mqtt.check_capacity, with 0: one bridge at a time looks.';

CREATE FUNCTION mqtt.check_aggregates(aggregates text[], time_zone text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
    IF (cardinality(aggregates) > 0 AND aggregates <@ '{avg,min,max,sum,count,first,last,delta}') IS NOT TRUE THEN
        RAISE EXCEPTION 'aggregates_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'aggregates are some of avg, min, max, sum, count, first, last and delta.', HINT = 'Omit it for avg, min, max and count.';
    END IF;
    -- Postgres also takes abbreviations, and offsets with their sign reversed.
    IF time_zone ~ '^(UTC|GMT|Etc/GMT[+-][0-9]{1,2}|[A-Za-z_]+(/[A-Za-z_-]+)+)$' THEN
        BEGIN
            PERFORM now() AT TIME ZONE time_zone;
            RETURN;
        EXCEPTION
            WHEN invalid_parameter_value THEN
                NULL;
        END;
    END IF;
    RAISE EXCEPTION 'time_zone_invalid' USING
        ERRCODE = 'PT400', DETAIL = format('There is no time zone %s.', left(coalesce(time_zone, 'null'), 100)), HINT = 'Send a name such as Europe/Berlin, or omit it for UTC.';
END;
$_$;

ALTER FUNCTION mqtt.check_aggregates(aggregates text[], time_zone text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_aggregates(aggregates text[], time_zone text) IS 'Raises PT400 aggregates_invalid or time_zone_invalid unless buckets can be summarized so, and begin and end by that zone.';

CREATE FUNCTION mqtt.check_capacity() RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_free CONSTANT bigint := mqtt.free_disk_bytes();
    v_limits mqtt.configuration;
    v_queued bigint;
    v_outbound bigint;
    v_disk_stop text;
    v_stop text;
    v_publish_stop text;
BEGIN
    SELECT c.* INTO STRICT v_limits FROM mqtt.configuration AS c;
    SELECT coalesce(sum(l.accepted - l.completed - l.dead - l.expired), 0) INTO v_queued FROM mqtt.ledger AS l WHERE l.shard > mqtt.ledger_level_settled();
    v_outbound := mqtt.count_outbound(v_limits.max_queued);
    -- Stopped at the limit, opened again a tenth away from it, so that it does not flap.
    IF v_free < v_limits.min_free_bytes * (CASE WHEN v_limits.publish_pause IS NULL THEN 1.0 ELSE 1.1 END) THEN
        v_disk_stop := format('The data disk has less than %s free.', pg_size_pretty(v_limits.min_free_bytes));
    END IF;
    IF v_queued > v_limits.max_queued * (CASE WHEN v_limits.ingest_pause IS NULL THEN 1.0 ELSE 0.9 END) THEN
        v_stop := format('More than %s messages wait to be processed.', v_limits.max_queued);
    END IF;
    IF v_outbound > v_limits.max_queued * (CASE WHEN v_limits.publish_pause IS NULL THEN 1.0 ELSE 0.9 END) THEN
        v_publish_stop := format('More than %s messages wait to be published.', v_limits.max_queued);
    END IF;
    v_stop := coalesce(v_disk_stop, v_stop);
    v_publish_stop := coalesce(v_disk_stop, v_publish_stop);
    UPDATE mqtt.configuration AS c
    SET ingest_pause = v_stop, publish_pause = v_publish_stop
    WHERE (c.ingest_pause, c.publish_pause) IS DISTINCT FROM (v_stop, v_publish_stop);
    RETURN jsonb_build_object(
        'free_disk_bytes', v_free, 'queued', v_queued, 'ingest_pause', v_stop, 'publish_pause', v_publish_stop,
        'organizations_stopped', mqtt.check_organization_queues()
    );
END;
$$;

ALTER FUNCTION mqtt.check_capacity() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_capacity() IS 'Stops ingest (429; brokers are left unread) and mqtt_publish (429) for everyone when the data disk or a queue is nearly full, and ingest for an organization that exceeds its max_queued; opens them again. The bridge runs it every second; it is also part of maintenance.';

CREATE FUNCTION mqtt.check_health() RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_ledger jsonb;
    v_differences bigint;
    v_holder record;
BEGIN
    SELECT jsonb_build_object(
        'accepted', coalesce(sum(l.accepted), 0), 'completed', coalesce(sum(l.completed), 0),
        'dead', coalesce(sum(l.dead), 0), 'expired', coalesce(sum(l.expired), 0)
    ) INTO v_ledger
    FROM mqtt.ledger AS l;
    SELECT count(*) INTO v_differences FROM mqtt.check_ledger(false);
    IF v_differences > 0 THEN
        RAISE LOG 'topicbase: the ledger of % hours does not add up; SELECT * FROM mqtt.check_ledger() lists them', v_differences;
    END IF;
    SELECT * INTO v_holder FROM mqtt.vacuum_holders() LIMIT 1;
    IF found THEN
        RAISE LOG 'topicbase: vacuum is held back by % % (%), % for % s', v_holder.kind, v_holder.pid, v_holder.name, v_holder.state, v_holder.held_seconds;
    END IF;
    RETURN jsonb_build_object('ledger', v_ledger, 'ledger_differences', v_differences)
        || CASE WHEN v_holder IS NULL THEN '{}' ELSE jsonb_build_object('vacuum_held_by', to_jsonb(v_holder)) END;
END;
$$;

ALTER FUNCTION mqtt.check_health() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_health() IS 'Looks for problems and reports them in the server''s log. Returns {"ledger": sums of all time, "ledger_differences": hours that do not add up, "vacuum_held_by": the worst of vacuum_holders()}.';

CREATE FUNCTION mqtt.check_hosted_settings(settings jsonb, organization_prefix text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF NOT starts_with(
        replace(coalesce(settings ->> 'topic_pattern', '{organization_prefix}/'), '{organization_prefix}', organization_prefix),
        organization_prefix || '/'
    ) THEN
        PERFORM mqtt.refuse_setting('topic_pattern', 'starts with {organization_prefix}/, since all topics of hosted devices do');
    ELSIF NOT mqtt.topic_is_under(settings ->> 'status_topic', organization_prefix) THEN
        -- The bridge's account at the hosted broker may publish anywhere; a tenant may not, not even through it.
        PERFORM mqtt.refuse_setting('status_topic', format('starts with %s/, since all topics of hosted devices do', organization_prefix));
    END IF;
END;
$$;

ALTER FUNCTION mqtt.check_hosted_settings(settings jsonb, organization_prefix text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_hosted_settings(settings jsonb, organization_prefix text) IS 'Raises PT400 setting_invalid if a setting of a hosted integration leads out of the organization''s topics.';

CREATE FUNCTION mqtt.check_integration() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_prefix text := (SELECT o.topic_prefix FROM mqtt.organizations AS o WHERE o.id = NEW.organization_id);
BEGIN
    -- Credentials and subscriptions were checked against these two when they were created.
    IF tg_op = 'UPDATE' AND (NEW.organization_id, NEW.integration_type = 'mqtt_hosted')
        IS DISTINCT FROM (OLD.organization_id, OLD.integration_type = 'mqtt_hosted') THEN
        RAISE EXCEPTION 'integration_type_fixed' USING
            ERRCODE = 'PT409',
            DETAIL = 'An integration stays with its organization, and a hosted one stays hosted.',
            HINT = 'Create a new integration and delete this one.';
    END IF;
    -- Resealing must not fail because of an old setting that would be rejected today.
    IF tg_op = 'UPDATE' AND mqtt.is_resealed(OLD.settings, NEW.settings)
        AND (NEW.integration_type, NEW.topic_like, NEW.device_level, NEW.message_type_level)
        IS NOT DISTINCT FROM (OLD.integration_type, OLD.topic_like, OLD.device_level, OLD.message_type_level) THEN
        NEW.updated_at := clock_timestamp();
        RETURN NEW;
    END IF;
    NEW.settings := mqtt.checked_settings(
        NEW.settings, NEW.integration_type, v_prefix, CASE tg_op WHEN 'UPDATE' THEN OLD.settings ELSE '{}' END,
        (SELECT c.allow_private_addresses FROM mqtt.configuration AS c)
    );
    SELECT l.topic_like, l.device_level, l.message_type_level
    INTO NEW.topic_like, NEW.device_level, NEW.message_type_level
    FROM mqtt.topic_pattern_levels(coalesce(NEW.settings ->> 'topic_pattern', mqtt.default_topic_pattern()), v_prefix) AS l;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END;
$$;

ALTER FUNCTION mqtt.check_integration() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_integration() IS 'Trigger: checks and completes settings, seals secrets, compiles the topic pattern.';

CREATE FUNCTION mqtt.check_ledger(is_full boolean DEFAULT true) RETURNS TABLE(organization_id uuid, hour timestamp with time zone, accepted bigint, completed bigint, dead bigint, expired bigint, queued bigint, difference bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    -- One statement, hence one snapshot: it sees counters and rows at the same instant.
    SELECT x.*, x.accepted - x.completed - x.dead - x.expired - x.queued
    FROM (
        SELECT
            t.organization_id, t.hour, sum(t.accepted)::bigint AS accepted, sum(t.completed)::bigint AS completed, sum(t.dead)::bigint AS dead,
            sum(t.expired)::bigint AS expired, sum(t.queued)::bigint AS queued
        FROM (
            SELECT l.organization_id, date_trunc('hour', l.bucket) AS hour, l.accepted, l.completed, l.dead, l.expired, 0 AS queued
            FROM mqtt.ledger AS l
            WHERE l.shard > mqtt.ledger_level_settled()
            UNION ALL
            SELECT l.organization_id, date_trunc('hour', l.bucket), l.accepted, l.completed, l.dead, l.expired, 0
            FROM mqtt.ledger AS l
            WHERE is_full AND l.shard = mqtt.ledger_level_settled()
            UNION ALL
            SELECT q.organization_id, date_trunc('hour', q.enqueued_at), 0, 0, 0, 0, 1
            FROM pgmq.q_mqtt_messages AS q
        ) AS t
        GROUP BY t.organization_id, t.hour
    ) AS x
    WHERE x.accepted <> x.completed + x.dead + x.expired + x.queued;
$$;

ALTER FUNCTION mqtt.check_ledger(is_full boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_ledger(is_full boolean) IS 'Hours of an organization in which accepted differs from completed + dead + expired + queued: none, unless messages were lost, duplicated or deleted by hand. With is_full false, hours that were found settled before are not checked again.';

CREATE FUNCTION mqtt.check_message_request(direction text, topic text, filter text, most integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF (most BETWEEN 1 AND 1000) IS NOT TRUE THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'limit is a whole number from 1 to 1000.', HINT = 'Send the cursor of the last row to get the next page.';
    ELSIF direction NOT IN ('incoming', 'outgoing') THEN
        RAISE EXCEPTION 'direction_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'direction is "incoming" or "outgoing".', HINT = 'Omit it for both.';
    ELSIF filter IS NOT NULL AND mqtt.topic_filter_reason(filter) IS NOT NULL THEN
        RAISE EXCEPTION 'topic_invalid' USING
            ERRCODE = 'PT400', DETAIL = mqtt.topic_filter_reason(filter), HINT = 'A filter is a topic with the wildcards + and #.';
    ELSIF filter IS NOT NULL AND topic IS NOT NULL THEN
        RAISE EXCEPTION 'argument_conflict' USING
            ERRCODE = 'PT400', DETAIL = 'topic is one topic, filter selects several.', HINT = 'Send one of the two.';
    END IF;
END;
$$;

ALTER FUNCTION mqtt.check_message_request(direction text, topic text, filter text, most integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_message_request(direction text, topic text, filter text, most integer) IS 'Raises PT400 limit_invalid, direction_invalid, topic_invalid or argument_conflict unless api.list_messages takes these.';

CREATE FUNCTION mqtt.check_new_credential(topic_prefix text, publish_filters text[], subscribe_filters text[], client_id text, expires_at timestamp with time zone, max_per_second numeric, max_burst integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_error CONSTANT text := coalesce(mqtt.filters_reason(publish_filters, topic_prefix), mqtt.filters_reason(subscribe_filters, topic_prefix));
BEGIN
    IF v_error IS NOT NULL THEN
        RAISE EXCEPTION 'filter_invalid' USING ERRCODE = 'PT400', DETAIL = v_error, HINT = 'Write filters in full, including the prefix.';
    END IF;
    IF client_id !~ '^[A-Za-z0-9_.-]{1,64}$' THEN
        RAISE EXCEPTION 'client_id_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'client_id must be 1 to 64 characters of A-Z, a-z, 0-9, _ . and -.', HINT = 'Omit it to have one generated.';
    END IF;
    IF expires_at <= now() THEN
        RAISE EXCEPTION 'expires_at_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'expires_at is in the past.', HINT = 'Omit it for a credential that does not expire.';
    END IF;
    IF least(max_per_second, max_burst) <= 0 OR max_per_second IN ('NaN', 'Infinity') THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'max_per_second and max_burst must be more than 0.', HINT = 'Omit them for a credential without limits of its own.';
    END IF;
END;
$_$;

ALTER FUNCTION mqtt.check_new_credential(topic_prefix text, publish_filters text[], subscribe_filters text[], client_id text, expires_at timestamp with time zone, max_per_second numeric, max_burst integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_new_credential(topic_prefix text, publish_filters text[], subscribe_filters text[], client_id text, expires_at timestamp with time zone, max_per_second numeric, max_burst integer) IS 'Raises PT400 filter_invalid, client_id_invalid, expires_at_invalid or limit_invalid unless a credential with that prefix may have the rest.';

CREATE FUNCTION mqtt.check_organization_queues() RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_stopped integer;
BEGIN
    WITH depth AS (
        SELECT o.id, o.max_queued, o.ingest_pause, coalesce(sum(l.accepted - l.completed - l.dead - l.expired), 0) AS queued
        FROM mqtt.organizations AS o
        LEFT JOIN mqtt.ledger AS l ON l.organization_id = o.id AND l.shard > mqtt.ledger_level_settled()
        WHERE o.max_queued IS NOT NULL OR o.ingest_pause IS NOT NULL
        GROUP BY o.id
    ),
    verdict AS (
        SELECT
            d.id,
            CASE
                WHEN d.queued > d.max_queued * CASE WHEN d.ingest_pause IS NULL THEN 1.0 ELSE 0.9 END
                    THEN format('More than %s messages of the organization wait to be processed.', d.max_queued)
            END AS stop
        FROM depth AS d
    ),
    changed AS (
        UPDATE mqtt.organizations AS o
        SET ingest_pause = v.stop
        FROM verdict AS v
        WHERE o.id = v.id AND o.ingest_pause IS DISTINCT FROM v.stop
        RETURNING o.id, v.stop
    ),
    logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, activity_type, status, error_message)
        SELECT c.id, CASE WHEN c.stop IS NULL THEN 'ingest_resumed' ELSE 'ingest_paused' END, CASE WHEN c.stop IS NULL THEN 'success' ELSE 'failed' END, c.stop
        FROM changed AS c
    )
    SELECT count(*) FILTER (WHERE v.stop IS NOT NULL) INTO v_stopped FROM verdict AS v;
    RETURN v_stopped;
END;
$$;

ALTER FUNCTION mqtt.check_organization_queues() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_organization_queues() IS 'Stops ingest for each organization that exceeds its max_queued, and opens it again once a tenth below. Returns how many are stopped.';

CREATE FUNCTION mqtt.check_subscription(integration mqtt.device_integrations, topic text, qos integer, retain_handling integer, callback_url text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_prefix CONSTANT text := (SELECT o.topic_prefix FROM mqtt.organizations AS o WHERE o.id = integration.organization_id);
    v_error text := CASE
        WHEN octet_length(topic) > 2048 THEN 'A topic filter has at most 2,048 bytes here.'
        ELSE mqtt.topic_filter_reason(topic)
    END;
BEGIN
    IF v_error IS NOT NULL THEN
        RAISE EXCEPTION 'topic_invalid' USING ERRCODE = 'PT400', DETAIL = v_error, HINT = 'See section 4.7 of MQTT 5.';
    ELSIF integration.integration_type = 'mqtt_hosted' AND NOT mqtt.is_operator()
        AND NOT mqtt.topic_is_under(regexp_replace(topic, '^\$share/[^/]+/', ''), v_prefix) THEN
        RAISE EXCEPTION 'topic_not_allowed' USING
            ERRCODE = 'PT403',
            DETAIL = format('At the hosted broker, topic must start with %s/.', v_prefix),
            HINT = 'Other topics belong to other organizations.';
    ELSIF (qos BETWEEN 0 AND 2) IS NOT TRUE THEN
        RAISE EXCEPTION 'qos_invalid' USING ERRCODE = 'PT400', DETAIL = 'qos must be 0, 1 or 2.', HINT = 'It is the highest QoS that the broker may use.';
    ELSIF (retain_handling BETWEEN 0 AND 2) IS NOT TRUE THEN
        RAISE EXCEPTION 'retain_handling_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'retain_handling must be 0, 1 or 2.', HINT = 'See section 3.8.3.1 of MQTT 5.';
    ELSIF callback_url IS NULL THEN
        RETURN;
    END IF;
    v_error := mqtt.callback_url_reason(callback_url, (SELECT c.allow_private_addresses FROM mqtt.configuration AS c));
    IF v_error IS NOT NULL THEN
        RAISE EXCEPTION 'callback_url_invalid' USING
            ERRCODE = 'PT400', DETAIL = format('callback_url %s.', v_error), HINT = 'Give a public URL that accepts POST requests.';
    END IF;
END;
$_$;

ALTER FUNCTION mqtt.check_subscription(integration mqtt.device_integrations, topic text, qos integer, retain_handling integer, callback_url text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_subscription(integration mqtt.device_integrations, topic text, qos integer, retain_handling integer, callback_url text) IS 'Raises PT400 topic_invalid, qos_invalid, retain_handling_invalid or callback_url_invalid, or PT403 topic_not_allowed, unless the caller may make this subscription.';

CREATE FUNCTION mqtt.check_telemetry_range(most integer, bucket interval, order_time text, device_ids text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF (most BETWEEN 1 AND 10000) IS NOT TRUE THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'limit is a whole number from 1 to 10000.', HINT = 'Send the cursor of the last row to get the next page.';
    ELSIF cardinality(device_ids) > 1000 THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'device_ids has at most 1000 elements.', HINT = 'Send several calls, or name the integration instead.';
    ELSIF (order_time IN ('measured', 'received')) IS NOT TRUE THEN
        RAISE EXCEPTION 'time_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'time is "measured" or "received".', HINT = 'Omit it to go by when it was measured.';
    ELSIF bucket <= '0' OR bucket > '366 days'
        -- Months and years have no fixed length, so a part of one added to them makes no sense.
        OR (extract(YEAR FROM bucket) * 12 + extract(MONTH FROM bucket) > 0 AND date_trunc('month', bucket) <> bucket) THEN
        RAISE EXCEPTION 'bucket_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'bucket is a span of time of at most 366 days, such as "5 minutes", 300 (seconds), "1 week" or "1 month".',
            HINT = 'Give whole months without days, or days without months.';
    END IF;
END;
$$;

ALTER FUNCTION mqtt.check_telemetry_range(most integer, bucket interval, order_time text, device_ids text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_telemetry_range(most integer, bucket interval, order_time text, device_ids text[]) IS 'Raises PT400 limit_invalid, time_invalid or bucket_invalid unless api.query_telemetry takes these.';

CREATE FUNCTION mqtt.check_token() RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_claims jsonb;
BEGIN
    -- A device's message comes without a token: nothing to look at.
    IF current_setting('role') = 'anon' THEN
        RETURN;
    END IF;
    v_claims := nullif(current_setting('request.jwt.claims', true), '');
    IF jsonb_typeof(v_claims -> 'exp') IS DISTINCT FROM 'number'
        OR (jsonb_typeof(v_claims -> 'aud') IN ('string', 'array')) IS NOT TRUE THEN
        RAISE EXCEPTION 'token_incomplete' USING
            ERRCODE = 'PT401',
            DETAIL = 'The token has no exp or no aud.',
            HINT = 'A token says until when it is valid (exp) and for whom it is meant (aud): RFC 7519 section 4.1.';
    END IF;
    -- The planner's estimate is made from statistics of all organizations' rows: it tells how common a value is among others.
    IF current_setting('role') = 'authenticated'
        AND nullif(current_setting('request.headers', true), '')::jsonb ->> 'prefer' ~* 'count\s*=\s*(planned|estimated)' THEN
        RAISE EXCEPTION 'count_not_offered' USING
            ERRCODE = 'PT400', DETAIL = 'Estimates of counts are not given.', HINT = 'Prefer: count=exact counts the rows that you may see.';
    END IF;
END;
$$;

ALTER FUNCTION mqtt.check_token() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_token() IS 'For PostgREST''s db-pre-request: raises PT401 token_incomplete for a token without exp or aud, which PostgREST itself would take for one that is valid for ever and for everyone. What they say is checked by PostgREST.';

CREATE FUNCTION mqtt.check_wait(wait numeric) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_timeout numeric := (SELECT s.setting::numeric / 1000 FROM pg_catalog.pg_settings AS s WHERE s.name = 'statement_timeout');
BEGIN
    IF (wait BETWEEN 0 AND 20) IS NOT TRUE THEN
        RAISE EXCEPTION 'wait_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'wait must be a number of seconds from 0 to 20.', HINT = 'To wait longer, call again until something has changed.';
    END IF;
    -- Answer before statement_timeout would cancel the call.
    RETURN statement_timestamp() + make_interval(
        secs => least(wait, CASE WHEN v_timeout > 0 THEN greatest(v_timeout - 2, 0) ELSE wait END)::double precision
    );
END;
$$;

ALTER FUNCTION mqtt.check_wait(wait numeric) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.check_wait(wait numeric) IS 'The time at which a long poll of this many seconds has to return; raises PT400 wait_invalid outside 0 to 20.';

CREATE FUNCTION mqtt.checked_jsonb(value text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_value jsonb;
BEGIN
    BEGIN
        v_value := value::jsonb;
    EXCEPTION
        WHEN untranslatable_character THEN
            RAISE EXCEPTION 'payload_invalid' USING
                ERRCODE = 'PT400',
                DETAIL = 'The JSON holds \u0000, which Postgres text cannot hold.',
                HINT = 'Leave the character out, or send the payload as base64 with payload_encoding.';
        WHEN statement_too_complex THEN
            RAISE EXCEPTION 'payload_invalid' USING
                ERRCODE = 'PT400',
                DETAIL = 'The JSON is nested too deeply.',
                HINT = 'Nest at most a few thousand levels, or send the payload as base64 with payload_encoding.';
        WHEN data_exception OR program_limit_exceeded THEN
            RAISE EXCEPTION 'payload_invalid' USING
                ERRCODE = 'PT400',
                DETAIL = 'The payload is no valid JSON.',
                HINT = 'See RFC 8259; strings are UTF-8 without lone surrogates.';
    END;
    -- 1e100000 is eight bytes here and 100,001 when read back. One look for both, a quarter of the parsing; only where a number can begin, since
    -- many an id has 4e123 in it. {100} alone doubles the time of what is too short for it.
    IF (value ~ CASE
        WHEN octet_length(value) >= 200 THEN '(^|[,:\s[])-?[0-9.]+([eE][+-]?0*[1-9][0-9]{2}|[0-9]{100})'
        ELSE '(^|[,:\s[])-?[0-9.]+[eE][+-]?0*[1-9][0-9]{2}'
    END) AND mqtt.has_extreme_number(v_value) THEN
        RAISE EXCEPTION 'payload_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'The JSON holds a number outside the range of a double precision float.',
            HINT = 'Send such a number as a string.';
    END IF;
    RETURN v_value;
END;
$$;

ALTER FUNCTION mqtt.checked_jsonb(value text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.checked_jsonb(value text) IS 'The text as jsonb; raises PT400 payload_invalid with the reason when it is no JSON that can be stored and read back at its size.';

CREATE FUNCTION mqtt.checked_settings(settings jsonb, integration_type text, organization_prefix text, stored jsonb, private_allowed boolean) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_checked jsonb := '{}'::jsonb;
    v_setting record;
    v_fault text;
BEGIN
    IF jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'setting_invalid' USING ERRCODE = 'PT400', DETAIL = 'settings must be a JSON object.', HINT = 'Send {} if there are none.';
    END IF;
    -- A client may send back what a read showed it in place of the secrets.
    FOR v_setting IN SELECT s.key, s.value FROM jsonb_each(settings - '{has_password,has_client_key}'::text []) AS s LOOP
        IF NOT v_setting.key = ANY (mqtt.setting_names('mqtt')) THEN
            PERFORM mqtt.refuse_setting(
                v_setting.key, 'is not a setting', 'The settings are: ' || array_to_string(mqtt.setting_names(integration_type), ', ') || '.'
            );
        END IF;
        CONTINUE WHEN v_setting.value = 'null';
        IF NOT v_setting.key = ANY (mqtt.setting_names(integration_type)) THEN
            PERFORM mqtt.refuse_setting(
                v_setting.key, 'does not apply to mqtt_hosted: the operator configures the hosted broker', 'Use integration_type mqtt for a broker of your own.'
            );
        END IF;
        v_fault := mqtt.setting_reason(v_setting.key, v_setting.value);
        IF v_fault IS NOT NULL THEN
            PERFORM mqtt.refuse_setting(v_setting.key, v_fault);
        END IF;
        v_checked := v_checked || jsonb_build_object(
            v_setting.key,
            CASE jsonb_typeof(v_setting.value) WHEN 'number' THEN to_jsonb(v_setting.value::bigint) ELSE v_setting.value END
        );
    END LOOP;
    IF integration_type <> 'mqtt_hosted' THEN
        v_checked := mqtt.complete_broker_settings(v_checked, private_allowed);
        v_checked := mqtt.settings_with_secrets(v_checked, settings, stored);
    ELSE
        PERFORM mqtt.check_hosted_settings(v_checked, organization_prefix);
    END IF;
    RETURN v_checked;
END;
$$;

ALTER FUNCTION mqtt.checked_settings(settings jsonb, integration_type text, organization_prefix text, stored jsonb, private_allowed boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.checked_settings(settings jsonb, integration_type text, organization_prefix text, stored jsonb, private_allowed boolean) IS 'The settings as they are stored: each is known and in bounds, nulls are omitted, secrets are sealed, and secrets that were not sent are kept. Raises PT400 setting_invalid or sealing_unavailable.';

CREATE FUNCTION mqtt.circuit_opens(failures bigint, open_until timestamp with time zone) RETURNS boolean
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT ((failures >= 5) AND COALESCE((open_until <= clock_timestamp()), true));
END;

ALTER FUNCTION mqtt.circuit_opens(failures bigint, open_until timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.circuit_opens(failures bigint, open_until timestamp with time zone) IS 'Whether a circuit breaker that was open until then opens (again) after this many failures in a row.';

CREATE TABLE mqtt.bridge_leases (
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    bridge_id uuid NOT NULL,
    taken_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE mqtt.bridge_leases OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.bridge_leases IS 'Which bridge speaks with an integration''s broker. What any other bridge claims, settles or hands in for it has no effect.';

CREATE FUNCTION mqtt.claim_limits(bridge_id uuid, integration_ids uuid[], limits integer[], in_flight bigint[]) RETURNS TABLE(integration_id uuid, integration_number integer, n integer)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT a.integration_id,
     (a.integration_number)::integer AS integration_number,
         CASE
             WHEN (NOT (EXISTS ( SELECT
                FROM pgmq.q_mqtt_outbound q
               WHERE ((q.integration_id = a.integration_id) AND (q.attempts > 1))))) THEN a.n
             WHEN (EXISTS ( SELECT
                FROM pgmq.q_mqtt_outbound q
               WHERE ((q.integration_id = a.integration_id) AND (q.msg_id = ANY (claim_limits.in_flight))))) THEN 0
             ELSE 1
         END AS "case"
    FROM (UNNEST(claim_limits.integration_ids, claim_limits.limits) WITH ORDINALITY a(integration_id, n, integration_number)
      JOIN mqtt.bridge_leases l ON (((l.integration_id = a.integration_id) AND (l.bridge_id = claim_limits.bridge_id))));
END;

ALTER FUNCTION mqtt.claim_limits(bridge_id uuid, integration_ids uuid[], limits integer[], in_flight bigint[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.claim_limits(bridge_id uuid, integration_ids uuid[], limits integer[], in_flight bigint[]) IS 'How many messages of each of these integrations the bridge may claim now; no row for one that it does not hold. A part of bridge.claim_outbound.';

CREATE FUNCTION mqtt.codecs() RETURNS TABLE(codec text, available boolean, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_codec record;
BEGIN
    FOR v_codec IN
        SELECT *
        FROM (VALUES ('cbor', 'py_decode_cbor', NULL), ('msgpack', 'py_decode_msgpack', NULL), ('seal', 'py_seal', 'nacl'))
            AS c (name, change, module)
    LOOP
        codec := v_codec.name;
        reason := NULL;
        BEGIN
            CASE v_codec.name
                WHEN 'cbor' THEN PERFORM mqtt.py_decode_cbor('\xf6');
                WHEN 'msgpack' THEN PERFORM mqtt.py_decode_msgpack('\xc0');
                WHEN 'seal' THEN PERFORM mqtt.py_seal(decode(repeat('09', 32), 'hex'), '');
            END CASE;
        EXCEPTION
            WHEN undefined_function THEN
                reason := concat(
                    'not created', ', since ' || mqtt.plpython_obstacle(v_codec.module),
                    format('; run as superuser: psql -f deploy/base/%s.sql', v_codec.change)
                );
            WHEN external_routine_exception THEN
                reason := sqlerrm;
        END;
        available := reason IS NULL;
        RETURN NEXT;
    END LOOP;
END;
$$;

ALTER FUNCTION mqtt.codecs() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.codecs() IS 'Which parts in PL/Python work here (cbor, msgpack, seal) and, where one does not, why and what to do; each is tried.';

CREATE FUNCTION mqtt.complete_broker_settings(settings jsonb, private_allowed boolean) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_parts CONSTANT text [] := mqtt.broker_url_parts(settings ->> 'broker_url', private_allowed);
    v_protocol text := settings ->> 'protocol';
    v_port integer := (settings ->> 'port')::integer;
    v_path text := settings ->> 'path';
    v_tls boolean := (settings ->> 'use_tls')::boolean;
    v_fault text;
BEGIN
    v_fault := CASE
        WHEN v_parts[1] <> v_protocol THEN 'protocol'
        WHEN v_parts[4]::integer <> v_port THEN 'port'
        WHEN v_parts[5] <> v_path THEN 'path'
    END;
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_setting(v_fault, 'contradicts the URL in settings.broker_url', 'Send it in one of the two.');
    END IF;
    v_protocol := coalesce(v_parts[1], v_protocol, 'mqtt');
    IF v_tls THEN
        v_protocol := CASE v_protocol WHEN 'mqtt' THEN 'mqtts' WHEN 'ws' THEN 'wss' ELSE v_protocol END;
    ELSIF NOT v_tls AND v_protocol IN ('mqtts', 'wss') THEN
        PERFORM mqtt.refuse_setting('use_tls', format('is false, but the protocol is %s', v_protocol), 'Use mqtt or ws for a connection without TLS.');
    END IF;
    v_path := coalesce(v_parts[5], v_path);
    IF v_protocol IN ('ws', 'wss') THEN
        v_path := coalesce(v_path, '/mqtt');
    ELSIF v_path IS NOT NULL THEN
        PERFORM mqtt.refuse_setting('path', 'applies to ws and wss only');
    END IF;
    IF settings ? 'client_certificate' <> (settings ? 'client_key') THEN
        PERFORM mqtt.refuse_setting(
            CASE WHEN settings ? 'client_key' THEN 'client_certificate' ELSE 'client_key' END, 'is missing: a client certificate and its key go together'
        );
    END IF;
    RETURN settings || jsonb_strip_nulls(jsonb_build_object(
        'broker_url', lower(rtrim(v_parts[3], '.')),
        'protocol', v_protocol,
        'use_tls', v_protocol IN ('mqtts', 'wss'),
        'path', v_path,
        'port', coalesce(
            v_parts[4]::integer, v_port, CASE v_protocol WHEN 'mqtt' THEN 1883 WHEN 'mqtts' THEN 8883 WHEN 'ws' THEN 80 ELSE 443 END
        )
    ));
END;
$$;

ALTER FUNCTION mqtt.complete_broker_settings(settings jsonb, private_allowed boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.complete_broker_settings(settings jsonb, private_allowed boolean) IS 'The settings of an external broker with broker_url taken apart: broker_url becomes the host; port, protocol, use_tls and path are filled in. Raises PT400 setting_invalid.';

CREATE FUNCTION mqtt.core_document(topic text, payload jsonb, qos integer) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((payload IS NULL) AND (qos > 0)) THEN jsonb_build_object('topic', topic, 'qos', qos)
             WHEN (payload IS NULL) THEN jsonb_build_object('topic', topic)
             WHEN (qos > 0) THEN jsonb_build_object('topic', topic, 'payload', payload, 'qos', qos)
             ELSE jsonb_build_object('topic', topic, 'payload', payload)
         END AS jsonb_build_object;
END;

ALTER FUNCTION mqtt.core_document(topic text, payload jsonb, qos integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.core_document(topic text, payload jsonb, qos integer) IS 'mqtt.message_document of a message with no more than that, as most are: one call makes it.';

CREATE FUNCTION mqtt.count_accepted(organization_id uuid, messages integer, wakes boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
    -- PL/pgSQL, since it keeps the plan from call to call.
    UPDATE mqtt.ledger AS l
    SET accepted = l.accepted + messages
    WHERE l.organization_id = count_accepted.organization_id AND l.bucket = date_trunc('minute', now()) AND l.shard = mqtt.ledger_shard();
    IF NOT found THEN
        INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, accepted)
        VALUES (count_accepted.organization_id, date_trunc('minute', now()), mqtt.ledger_shard(), messages)
        ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET accepted = l.accepted + excluded.accepted;
    END IF;
    IF wakes THEN
        PERFORM mqtt.wake_bridge('ingest');
    END IF;
END;
$$;

ALTER FUNCTION mqtt.count_accepted(organization_id uuid, messages integer, wakes boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.count_accepted(organization_id uuid, messages integer, wakes boolean) IS 'Counts messages queued in this transaction and wakes a bridge that sleeps; whoever inserts into pgmq.q_mqtt_messages calls it in the same transaction, for each organization. wakes: whether to wake; once a transaction is enough.';

CREATE FUNCTION mqtt.count_dead(organization_id uuid, accepted_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
    INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, dead)
    VALUES (count_dead.organization_id, date_trunc('minute', accepted_at), mqtt.ledger_level_outcomes(), 1)
    ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET dead = l.dead + excluded.dead;
END;
$$;

ALTER FUNCTION mqtt.count_dead(organization_id uuid, accepted_at timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.count_dead(organization_id uuid, accepted_at timestamp with time zone) IS 'Counts a message accepted at that time that became a dead letter.';

CREATE FUNCTION mqtt.count_outbound(enough bigint) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    -- The statistics are good enough far below the limit; near it the rows are counted.
    SELECT CASE
        WHEN greatest(pg_stat_get_live_tuples(k.oid), k.reltuples) < enough / 2 THEN greatest(pg_stat_get_live_tuples(k.oid), 0)
        ELSE (SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_outbound LIMIT enough + 1) AS q)
    END
    FROM pg_catalog.pg_class AS k
    WHERE k.oid = 'pgmq.q_mqtt_outbound'::regclass;
$$;

ALTER FUNCTION mqtt.count_outbound(enough bigint) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.count_outbound(enough bigint) IS 'How many messages wait to be published: approximate below half of enough, exact above it, and never more than enough + 1.';

CREATE FUNCTION mqtt.count_wrong_password(username text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_bucket CONSTANT integer := hashtext(coalesce(username, '')) & 16383;
    v_now CONSTANT timestamptz := clock_timestamp();
    v_most CONSTANT integer := (SELECT k.max_wrong_passwords FROM mqtt.configuration AS k);
    v_row mqtt.wrong_passwords;
BEGIN
    IF (username ~ '^[A-Za-z0-9_.-]{1,64}$') IS NOT TRUE THEN
        RETURN 0;  -- no login has such a name: there is nothing to guess
    END IF;
    SELECT w.* INTO v_row FROM mqtt.wrong_passwords AS w WHERE w.bucket = v_bucket;
    IF v_row.tries > v_most AND v_row.since > v_now - interval '1 minute' THEN
        -- A storm writes nothing more.
        RETURN ceil(extract(EPOCH FROM v_row.since + interval '1 minute' - v_now));
    END IF;
    IF v_row.bucket IS NULL THEN
        INSERT INTO mqtt.wrong_passwords AS w (bucket, since, tries) VALUES (v_bucket, v_now, 0) ON CONFLICT DO NOTHING;
    END IF;
    SELECT w.* INTO v_row FROM mqtt.wrong_passwords AS w WHERE w.bucket = v_bucket FOR UPDATE SKIP LOCKED;
    IF NOT found THEN
        RETURN 1;  -- another wrong password for it at this very moment
    END IF;
    IF v_row.since <= v_now - interval '1 minute' THEN
        v_row.since := v_now;
        v_row.tries := 0;
    END IF;
    v_row.tries := v_row.tries + 1;
    UPDATE mqtt.wrong_passwords AS w SET since = v_row.since, tries = v_row.tries WHERE w.bucket = v_bucket;
    IF v_row.tries <= v_most THEN
        RETURN 0;
    END IF;
    -- Once: who has looked before this count was committed comes after it.
    PERFORM mqtt.log_activity(
        c.organization_id, c.integration_id, 'wrong_passwords', 'failed',
        jsonb_build_object('credential_id', c.id, 'username', c.username, 'tries', v_row.tries, 'since', v_row.since)
    )
    FROM mqtt.mqtt_credentials AS c
    WHERE c.username = count_wrong_password.username AND v_row.tries = v_most + 1;
    RETURN ceil(extract(EPOCH FROM v_row.since + interval '1 minute' - v_now));
END;
$_$;

ALTER FUNCTION mqtt.count_wrong_password(username text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.count_wrong_password(username text) IS 'Counts a wrong password; answers 0, or in how many seconds the next one may be tried where there were too many in a minute, which the activity log then tells once. Never waits.';

CREATE FUNCTION mqtt.create_default_partition(parent regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_name text := (SELECT relname FROM pg_catalog.pg_class WHERE oid = parent) || '_default';
BEGIN
    EXECUTE format('CREATE TABLE mqtt.%I PARTITION OF %s DEFAULT', v_name, parent);
    EXECUTE format('ALTER TABLE mqtt.%I ENABLE ROW LEVEL SECURITY', v_name);
END;
$$;

ALTER FUNCTION mqtt.create_default_partition(parent regclass) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.create_default_partition(parent regclass) IS 'Makes the partition that takes rows of days that have none, so that late maintenance never costs a message.';

CREATE FUNCTION mqtt.create_partition(parent regclass, day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET lock_timeout TO '1s'
    AS $_$
DECLARE
    v_parent text := (SELECT relname FROM pg_catalog.pg_class WHERE oid = parent);
    v_name text := v_parent || to_char(day, '_YYYYMMDD');
    v_column text := (
        SELECT a.attname
        FROM pg_catalog.pg_partitioned_table AS p
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
        WHERE p.partrelid = parent
    );
BEGIN
    IF to_regclass(format('mqtt.%I', v_name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE mqtt.%I (LIKE %s INCLUDING ALL)', v_name, parent);
    EXECUTE format('ALTER TABLE mqtt.%I ENABLE ROW LEVEL SECURITY', v_name);
    -- Rows that came while no partition was ready wait in the default one; they must be out of it before the attach.
    EXECUTE format(
        'WITH moved AS (DELETE FROM mqtt.%I WHERE %I >= %L AND %2$I < %4$L RETURNING *) INSERT INTO mqtt.%5$I SELECT * FROM moved',
        v_parent || '_default', v_column, day::timestamptz, (day + 1)::timestamptz, v_name
    );
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION mqtt.%I FOR VALUES FROM (%L) TO (%L)', parent, v_name, day::timestamptz, (day + 1)::timestamptz
    );
    RETURN true;
END;
$_$;

ALTER FUNCTION mqtt.create_partition(parent regclass, day date) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.create_partition(parent regclass, day date) IS 'Makes the partition of one UTC day, taking in what the default partition holds of it; false when it is there already.';

CREATE FUNCTION mqtt.credential_json(credential mqtt.mqtt_credentials) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT jsonb_build_object('id', (credential).id, 'credential_id', (credential).id, 'organization_id', (credential).organization_id, 'integration_id', (credential).integration_id, 'device_id', (credential).device_id, 'username', (credential).username, 'client_id', (credential).client_id, 'topic_prefix', (credential).topic_prefix, 'broker_url', (credential).broker_url, 'can_publish', (credential).can_publish, 'can_subscribe', (credential).can_subscribe, 'publish_filters', to_jsonb((credential).publish_filters), 'subscribe_filters', to_jsonb((credential).subscribe_filters), 'max_per_second', (credential).max_per_second, 'max_burst', (credential).max_burst, 'status',
         CASE
             WHEN ((credential).revoked_at IS NOT NULL) THEN 'revoked'::text
             WHEN ((credential).expires_at <= now()) THEN 'expired'::text
             ELSE 'active'::text
         END, 'expires_at', (credential).expires_at, 'revoked_at', (credential).revoked_at, 'rotated_at', (credential).rotated_at, 'previous_until', (credential).previous_until, 'created_at', (credential).created_at, 'last_connected_at', (credential).last_connected_at, 'connection_count', (credential).connection_count) AS jsonb_build_object;
END;

ALTER FUNCTION mqtt.credential_json(credential mqtt.mqtt_credentials) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.credential_json(credential mqtt.mqtt_credentials) IS 'A credential as the API shows it, without verifier and hashes. credential_id is another name of id.';

CREATE FUNCTION mqtt.credential_prefix(topic_prefix text, integration mqtt.device_integrations, organization mqtt.organizations, external_id text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    -- A credential that is bound to a device gets that device's topics, where the topic pattern gives those a prefix of their own.
    v_prefix CONSTANT text := coalesce(
        topic_prefix,
        mqtt.device_prefix(
            coalesce(integration.settings ->> 'topic_pattern', mqtt.default_topic_pattern()), organization.topic_prefix, credential_prefix.external_id
        ),
        organization.topic_prefix
    );
    v_error CONSTANT text := mqtt.topic_prefix_reason(v_prefix);
BEGIN
    IF v_error IS NOT NULL THEN
        RAISE EXCEPTION 'topic_prefix_invalid' USING ERRCODE = 'PT400', DETAIL = v_error, HINT = 'Omit it to use the organization''s own prefix.';
    END IF;
    IF integration.integration_type = 'mqtt_hosted' AND v_prefix <> organization.topic_prefix
        AND NOT mqtt.topic_is_under(v_prefix, organization.topic_prefix) THEN
        RAISE EXCEPTION 'topic_not_allowed' USING
            ERRCODE = 'PT403',
            DETAIL = format('At the hosted broker, topic_prefix must be %s or lie below it.', organization.topic_prefix),
            HINT = 'Other prefixes belong to other organizations.';
    END IF;
    RETURN v_prefix;
END;
$$;

ALTER FUNCTION mqtt.credential_prefix(topic_prefix text, integration mqtt.device_integrations, organization mqtt.organizations, external_id text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.credential_prefix(topic_prefix text, integration mqtt.device_integrations, organization mqtt.organizations, external_id text) IS 'The topic prefix of a new credential: the one asked for, or that of the device with this external id, or the organization''s. Raises PT400 topic_prefix_invalid or PT403 topic_not_allowed.';

CREATE FUNCTION mqtt.current_organization_ids(admin_only boolean DEFAULT false) RETURNS uuid[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    -- Read once: within the query it would be read, as JSON, for every row of a table small enough to be scanned.
    v_user_id uuid := mqtt.current_user_id();
BEGIN
    -- PL/pgSQL, since it keeps the plan: every statement under row-level security begins here.
    RETURN ARRAY(
        SELECT m.organization_id
        FROM mqtt.organization_members AS m
        WHERE m.user_id = v_user_id AND (NOT admin_only OR m.role = 'admin')
    );
END;
$$;

ALTER FUNCTION mqtt.current_organization_ids(admin_only boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.current_organization_ids(admin_only boolean) IS 'Organizations the caller belongs to (or administers). In a policy always as a scalar sub-select, so that it runs once per statement.';

CREATE FUNCTION mqtt.current_user_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ("substring"(((NULLIF(current_setting('request.jwt.claims'::text, true), ''::text))::jsonb ->> 'sub'::text), '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'::text))::uuid AS "substring";
END;

ALTER FUNCTION mqtt.current_user_id() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.current_user_id() IS 'The caller''s user id: the sub claim of the JWT where it is a UUID, else null (RFC 7519 section 4.1.2).';

CREATE FUNCTION mqtt.cursor_position(cursor mqtt.message_cursor) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN (
        SELECT m.position
        FROM mqtt.mqtt_messages AS m
        WHERE m.organization_id = cursor.organization_id AND m.received_at = cursor.received_at AND m.id = cursor.id
    );
END;
$$;

ALTER FUNCTION mqtt.cursor_position(cursor mqtt.message_cursor) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.cursor_position(cursor mqtt.message_cursor) IS 'The position of the message that a cursor names; null if it is no longer there, and so are those that were received with it.';

CREATE FUNCTION mqtt.try_device_time(value text) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_number numeric;
    v_seconds numeric;
BEGIN
    IF value !~ '^-?[0-9]{9,21}(\.[0-9]{1,18})?$' THEN
        RETURN mqtt.try_timestamptz(value);
    END IF;
    v_number := value::numeric;
    v_seconds := round(
        CASE
            WHEN abs(v_number) < 1e11 THEN v_number
            WHEN abs(v_number) < 1e14 THEN v_number / 1e3
            WHEN abs(v_number) < 1e17 THEN v_number / 1e6
            ELSE v_number / 1e9
        END, 6
    );
    -- Less than 1e8 is the time since a device started, or a date such as 20260219.
    RETURN CASE WHEN abs(v_number) >= 1e8 AND v_seconds BETWEEN -62135596800 AND 253402300799 THEN to_timestamp(v_seconds::double precision) END;
END;
$_$;

ALTER FUNCTION mqtt.try_device_time(value text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.try_device_time(value text) IS 'A time as devices give it: an RFC 3339 date and time, or time since 1970 in seconds (1e8 to 1e11), milliseconds (to 1e14), microseconds (to 1e17) or nanoseconds; null when it is none of these.';

CREATE FUNCTION mqtt.device_time(value jsonb) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (jsonb_typeof(value) = ANY (ARRAY['string'::text, 'number'::text])) THEN mqtt.try_device_time((value #>> '{}'::text[]))
             ELSE NULL::timestamp with time zone
         END AS "case";
END;

ALTER FUNCTION mqtt.device_time(value jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.device_time(value jsonb) IS 'The same of a JSON string or number; null for anything else.';

CREATE FUNCTION mqtt.data_of_payload(payload jsonb, sent_at timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((sent_at IS NULL) OR (NOT (payload ?| '{timestamp,ts}'::text[])) OR (jsonb_typeof(payload) <> 'object'::text)) THEN payload
             WHEN (mqtt.device_time((payload -> 'timestamp'::text)) = sent_at) THEN (payload - 'timestamp'::text)
             WHEN (mqtt.device_time((payload -> 'ts'::text)) = sent_at) THEN (payload - 'ts'::text)
             ELSE payload
         END AS payload;
END;

ALTER FUNCTION mqtt.data_of_payload(payload jsonb, sent_at timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.data_of_payload(payload jsonb, sent_at timestamp with time zone) IS 'What a payload tells besides the time: without the member that is sent_at, if one is.';

CREATE FUNCTION mqtt.days_without_partition() RETURNS TABLE(parent text, days_ahead integer, in_default bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
    SELECT
        k.relname::text,
        (
            SELECT max(to_date(right(c.relname, 8), 'YYYYMMDD')) - (now() AT TIME ZONE 'UTC')::date
            FROM pg_catalog.pg_inherits AS i
            JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
            WHERE i.inhparent = k.oid AND c.relname ~ '_[0-9]{8}$'
        ),
        (
            SELECT greatest(pg_stat_get_live_tuples(c.oid), 0)
            FROM pg_catalog.pg_class AS c
            WHERE c.relnamespace = k.relnamespace AND c.relname = k.relname || '_default'
        )
    FROM pg_catalog.pg_partitioned_table AS p
    JOIN pg_catalog.pg_class AS k ON k.oid = p.partrelid AND k.relnamespace = 'mqtt'::regnamespace
    ORDER BY k.relname;
$_$;

ALTER FUNCTION mqtt.days_without_partition() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.days_without_partition() IS 'Each partitioned table: how many days ahead it has partitions, and about how many rows are in its default partition.';

CREATE FUNCTION mqtt.dead_letters_to_replay(request mqtt.replay_request) RETURNS SETOF mqtt.replay_message
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN QUERY
    SELECT
        row_number() OVER (ORDER BY d.received_at, d.id) AS place, d.id, d.failed_at, d.replay_count, d.direction,
        coalesce(request.to_integration_id, d.integration_id) AS integration_id, d.credential_id,
        coalesce(d.message, '{}') || coalesce(request.patch, '{}') || CASE
            WHEN d.direction = 'incoming'
                THEN jsonb_build_object('properties', coalesce(d.message -> 'properties', '{}') || jsonb_build_object('replay_of', d.id))
            WHEN jsonb_typeof(d.message -> 'user_properties') = 'array'
                THEN jsonb_build_object('user_properties', (d.message -> 'user_properties') || jsonb_build_array(jsonb_build_array('replay_of', d.id)))
            ELSE jsonb_build_object('user_properties', coalesce(d.message -> 'user_properties', '{}') || jsonb_build_object('replay_of', d.id))
        END AS message,
        CASE WHEN request.patch ? 'payload' THEN NULL ELSE d.body END AS body
    FROM mqtt.mqtt_dead_letters AS d
    WHERE d.organization_id = request.organization_id
        AND (request.topic IS NULL OR mqtt.topic_matches(request.topic, d.topic))
        AND (request.error IS NULL OR position(request.error IN d.error_message) > 0)
        AND (request.since IS NULL OR d.failed_at >= request.since)
        AND (request.until IS NULL OR d.failed_at < request.until)
        -- Only those not replayed before, unless they are named.
        AND CASE WHEN request.ids IS NULL THEN d.replayed_at IS NULL ELSE d.id = ANY (request.ids) END
    ORDER BY d.received_at, d.id
    LIMIT request.max_messages;
END;
$$;

ALTER FUNCTION mqtt.dead_letters_to_replay(request mqtt.replay_request) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.dead_letters_to_replay(request mqtt.replay_request) IS 'The dead letters that the request selects, patched and marked with replay_of, oldest first.';

CREATE FUNCTION mqtt.decode_payload(content_type text, body bytea) RETURNS mqtt.decoded_payload
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_type text := lower(btrim(split_part(content_type, ';', 1)));
    v_decoded mqtt.decoded_payload := ROW('null'::jsonb, body, NULL);
    v_text text;
BEGIN
    -- Nearly all are JSON: one block for them, and no call into another.
    IF coalesce(v_type, '') IN ('', 'application/json') THEN
        BEGIN
            v_text := convert_from(body, 'UTF8');
            RETURN ROW(mqtt.quick_jsonb(v_text), NULL, NULL)::mqtt.decoded_payload;
        EXCEPTION
            WHEN data_exception OR SQLSTATE 'PT400' THEN
                IF v_type = 'application/json' THEN
                    NULL;  -- why not is told below
                ELSIF v_text IS NULL THEN
                    RETURN v_decoded;
                ELSE
                    -- No content type: text where it is UTF-8 and no JSON.
                    RETURN ROW(to_jsonb(v_text), NULL, NULL)::mqtt.decoded_payload;
                END IF;
        END;
    END IF;
    BEGIN
        IF v_type = 'application/cbor' OR v_type LIKE '%+cbor' THEN
            IF to_regprocedure('mqtt.py_decode_cbor(bytea)') IS NULL THEN
                v_decoded.decode_error := 'codec_unavailable: this server has no CBOR decoder (see mqtt.codecs())';
                RETURN v_decoded;
            END IF;
            RETURN ROW(mqtt.py_decode_cbor(body), NULL, NULL)::mqtt.decoded_payload;
        ELSIF v_type IN ('application/msgpack', 'application/x-msgpack', 'application/vnd.msgpack') THEN
            IF to_regprocedure('mqtt.py_decode_msgpack(bytea)') IS NULL THEN
                v_decoded.decode_error := 'codec_unavailable: this server has no MessagePack decoder (see mqtt.codecs())';
                RETURN v_decoded;
            END IF;
            RETURN ROW(mqtt.py_decode_msgpack(body), NULL, NULL)::mqtt.decoded_payload;
        ELSIF v_type LIKE 'text/%' THEN
            RETURN ROW(to_jsonb(convert_from(body, 'UTF8')), NULL, NULL)::mqtt.decoded_payload;
        ELSIF v_type = 'application/json' OR v_type LIKE '%+json' THEN
            RETURN ROW(mqtt.checked_jsonb(convert_from(body, 'UTF8')), NULL, NULL)::mqtt.decoded_payload;
        END IF;
        RETURN v_decoded;
    EXCEPTION
        WHEN OTHERS THEN
            -- A payload that is not what it says is kept as it came: that is data, not a failure of ours.
            v_decoded.decode_error := left(regexp_replace(SQLERRM, '^ValueError: ', ''), 300);
            IF SQLSTATE = 'PT400' THEN
                GET STACKED DIAGNOSTICS v_decoded.decode_error = PG_EXCEPTION_DETAIL;
            END IF;
            RETURN v_decoded;
    END;
END;
$$;

ALTER FUNCTION mqtt.decode_payload(content_type text, body bytea) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.decode_payload(content_type text, body bytea) IS 'Payload bytes as JSON, by media type: JSON, CBOR and MessagePack are decoded, text/* becomes a string, other types stay bytes (payload null, body set); without a type JSON, else UTF-8 text, else bytes. What is not what it says keeps its bytes and says why in decode_error.';

CREATE FUNCTION mqtt.device_of_topic(topic text, topic_like text, device_level smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((topic ~~ topic_like) AND ((octet_length(split_part(topic, '/'::text, (device_level)::integer)) >= 1) AND (octet_length(split_part(topic, '/'::text, (device_level)::integer)) <= 255))) THEN split_part(topic, '/'::text, (device_level)::integer)
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.device_of_topic(topic text, topic_like text, device_level smallint) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.device_of_topic(topic text, topic_like text, device_level smallint) IS 'The external id that a topic names, by its integration''s topic pattern; null when it names none.';

CREATE FUNCTION mqtt.message_role(message_type text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (message_type = 'telemetry'::text) THEN 'telemetry'::text
             WHEN (lower((message_type COLLATE "C")) = ANY ('{command,commands,cmd,cmnd,set,get,rpc,request,downlink}'::text[])) THEN 'command'::text
             WHEN (lower((message_type COLLATE "C")) = ANY ('{status,lwt,will,availability,online,connection,presence,birth,death}'::text[])) THEN 'status'::text
             WHEN (lower((message_type COLLATE "C")) = ANY ('{event,events,log,logs,alarm,alarms,alert,alerts}'::text[])) THEN 'event'::text
             WHEN (lower((message_type COLLATE "C")) = ANY ('{attributes,config,configuration,info,meta,metadata,settings}'::text[])) THEN 'attributes'::text
             ELSE 'telemetry'::text
         END AS "case";
END;

ALTER FUNCTION mqtt.message_role(message_type text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.message_role(message_type text) IS 'What a message is by the message type that its topic names: command (to the device), status, event, attributes, or telemetry, which is any other and also no message type.';

CREATE FUNCTION mqtt.message_type_of_topic(topic text, topic_like text, message_type_level smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((message_type_level > 0) AND (topic ~~ topic_like)) THEN NULLIF(split_part(topic, '/'::text, (message_type_level)::integer), ''::text)
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.message_type_of_topic(topic text, topic_like text, message_type_level smallint) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.message_type_of_topic(topic text, topic_like text, message_type_level smallint) IS 'The message type that a topic names, by its integration''s topic pattern; null when it names none.';

CREATE FUNCTION mqtt.payload_time(payload jsonb) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((payload ?| '{timestamp,ts}'::text[]) AND (jsonb_typeof(payload) = 'object'::text)) THEN COALESCE(mqtt.device_time((payload -> 'timestamp'::text)), mqtt.device_time((payload -> 'ts'::text)))
             ELSE NULL::timestamp with time zone
         END AS "case";
END;

ALTER FUNCTION mqtt.payload_time(payload jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.payload_time(payload jsonb) IS 'The time that a payload tells in its member timestamp, else ts; null when it tells none.';

CREATE FUNCTION mqtt.plausible_time(sent_at timestamp with time zone, received_at timestamp with time zone, max_behind interval, max_ahead interval) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((sent_at IS NOT NULL) AND ((sent_at >= (received_at - max_behind)) AND (sent_at <= (received_at + max_ahead)))) THEN sent_at
             ELSE received_at
         END AS received_at;
END;

ALTER FUNCTION mqtt.plausible_time(sent_at timestamp with time zone, received_at timestamp with time zone, max_behind interval, max_ahead interval) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.plausible_time(sent_at timestamp with time zone, received_at timestamp with time zone, max_behind interval, max_ahead interval) IS 'When a message was measured: the time that the device gave, where that is plausible, else when it was received.';

CREATE FUNCTION mqtt.user_property(properties jsonb, name text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN (
        SELECT p.value ->> 1
        FROM jsonb_array_elements(
            CASE jsonb_typeof(properties -> 'user_properties') WHEN 'array' THEN properties -> 'user_properties' ELSE '[]' END
        ) WITH ORDINALITY AS p
        WHERE p.value ->> 0 = name
        ORDER BY p.ordinality
        LIMIT 1
    );
END;
$$;

ALTER FUNCTION mqtt.user_property(properties jsonb, name text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.user_property(properties jsonb, name text) IS 'The first MQTT 5 user property of that name among a message''s properties; null when there is none.';

CREATE FUNCTION mqtt.decoded_message(message jsonb, body bytea, received_at timestamp with time zone, content_type text, topic_like text, device_level smallint, message_type_level smallint, max_time_behind interval, max_time_ahead interval) RETURNS TABLE(topic text, qos smallint, retain boolean, content_type text, properties jsonb, payload jsonb, body bytea, decode_error text, sent_at timestamp with time zone, measured_at timestamp with time zone, external_id text, message_type text, role text)
    LANGUAGE sql STABLE ROWS 1
    BEGIN ATOMIC
 SELECT s.topic,
     COALESCE((((decoded_message.message ->> 'qos'::text))::smallint)::integer, 0) AS "coalesce",
     COALESCE(((decoded_message.message ->> 'retain'::text))::boolean, false) AS "coalesce",
     (decoded_message.message ->> 'content_type'::text),
     s.properties,
     s.payload,
     s.body,
     s.decode_error,
     s.sent_at,
     mqtt.plausible_time(s.sent_at, decoded_message.received_at, decoded_message.max_time_behind, decoded_message.max_time_ahead) AS plausible_time,
     mqtt.device_of_topic(s.topic, decoded_message.topic_like, decoded_message.device_level) AS device_of_topic,
     s.message_type,
         CASE
             WHEN ((decoded_message.body = '\x'::bytea) OR ((s.payload = 'null'::jsonb) AND (s.body IS NULL))) THEN 'ignore'::text
             ELSE mqtt.message_role(s.message_type)
         END AS message_role
    FROM ( SELECT d.topic,
             d.properties,
             COALESCE((d.decoded).payload, (decoded_message.message -> 'payload'::text), 'null'::jsonb) AS payload,
             (d.decoded).body AS body,
             (d.decoded).decode_error AS decode_error,
             mqtt.message_type_of_topic(d.topic, decoded_message.topic_like, decoded_message.message_type_level) AS message_type,
             COALESCE(((decoded_message.message ->> 'timestamp'::text))::timestamp with time zone,
                 CASE
                     WHEN (d.properties ? 'user_properties'::text) THEN mqtt.try_device_time(mqtt.user_property(d.properties, 'timestamp'::text))
                     ELSE NULL::timestamp with time zone
                 END, mqtt.payload_time(COALESCE((d.decoded).payload, (decoded_message.message -> 'payload'::text)))) AS sent_at
            FROM ( SELECT (decoded_message.message ->> 'topic'::text) AS topic,
                     (decoded_message.message -> 'properties'::text) AS properties,
                         CASE
                             WHEN (decoded_message.body IS NOT NULL) THEN mqtt.decode_payload(COALESCE((decoded_message.message ->> 'content_type'::text), decoded_message.content_type), decoded_message.body)
                             ELSE NULL::mqtt.decoded_payload
                         END AS decoded
                  OFFSET 0) d
          OFFSET 0) s;
END;

ALTER FUNCTION mqtt.decoded_message(message jsonb, body bytea, received_at timestamp with time zone, content_type text, topic_like text, device_level smallint, message_type_level smallint, max_time_behind interval, max_time_ahead interval) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.decoded_message(message jsonb, body bytea, received_at timestamp with time zone, content_type text, topic_like text, device_level smallint, message_type_level smallint, max_time_behind interval, max_time_ahead interval) IS 'A queued message (message, body) as it is stored: its payload decoded by its content type, else the integration''s; its time as the sender gave it, or a user property, or the payload; the device and message type that its topic names; its role (ignore where it is empty). A part of the statement that asks.';

CREATE FUNCTION mqtt.default_topic_pattern() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT '{organization_prefix}/devices/{device_id}/{message_type}'::text;
END;

ALTER FUNCTION mqtt.default_topic_pattern() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.default_topic_pattern() IS 'The topic pattern of integrations that do not set one.';

CREATE FUNCTION mqtt.deferred_updates_lock() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT 1953460327;
END;

ALTER FUNCTION mqtt.deferred_updates_lock() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.deferred_updates_lock() IS 'Advisory lock of mqtt.apply_deferred_updates, with 0: one worker at a time applies them.';

CREATE FUNCTION mqtt.filters_by_prefix(organization_id uuid, integration_id uuid, prefix text, for_callbacks boolean) RETURNS TABLE(id uuid, topic text, pattern text, number integer, granted_qos smallint, no_local boolean, active_at timestamp with time zone)
    LANGUAGE sql STABLE ROWS 2
    BEGIN ATOMIC
 SELECT f.id,
     f.topic,
     f.pattern,
     f.number,
     f.granted_qos,
     f.no_local,
     f.active_at
    FROM mqtt.mqtt_subscriptions f
   WHERE ((f.organization_id = filters_by_prefix.organization_id) AND (f.integration_id = filters_by_prefix.integration_id) AND (f.prefix = filters_by_prefix.prefix) AND (NOT f.is_paused) AND
         CASE
             WHEN filters_by_prefix.for_callbacks THEN ((f.callback_url IS NOT NULL) AND (f.callback_gone_at IS NULL))
             ELSE (f.status = 'active'::text)
         END)
  OFFSET 0;
END;

ALTER FUNCTION mqtt.filters_by_prefix(organization_id uuid, integration_id uuid, prefix text, for_callbacks boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.filters_by_prefix(organization_id uuid, integration_id uuid, prefix text, for_callbacks boolean) IS 'Topic filters with that prefix (one of mqtt.topic_prefixes of a topic) that are held at the broker, or that have a callback: those whose patterns a message is then tried with. for_callbacks is a literal, so that the planner finds the index. Whoever tries many patterns tries each with all its topics before the next: PostgreSQL keeps 32 compiled expressions. A part of the statement that asks.';

CREATE FUNCTION mqtt.is_uuid(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (value ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$'::text);
END;

ALTER FUNCTION mqtt.is_uuid(value text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.is_uuid(value text) IS 'Whether the text is a UUID in its usual form (RFC 9562 section 4); Postgres also reads others. Null for null.';

CREATE FUNCTION mqtt.topic_prefixes(topic text) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE ROWS 5 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT array_to_string(t.levels[1:n.n], '/'::text) AS array_to_string
    FROM (( SELECT string_to_array(topic_prefixes.topic, '/'::text) AS levels
          OFFSET 0) t
      CROSS JOIN LATERAL generate_series((starts_with(topic_prefixes.topic, '/'::text))::integer, LEAST(16, cardinality(t.levels))) n(n));
END;

ALTER FUNCTION mqtt.topic_prefixes(topic text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_prefixes(topic text) IS 'Every value that mqtt.topic_filter_prefix can have for a filter that matches this topic name: an index finds those filters among thousands, so that not every expression must be tried.';

CREATE FUNCTION mqtt.matched_filters(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], qos smallint[], retains boolean[], subscription_numbers integer[]) RETURNS TABLE(place bigint, ids jsonb, is_copy boolean)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH alike AS MATERIALIZED (
          SELECT row_number() OVER () AS id,
             k.organization_id,
             k.integration_id,
             k.topic,
             k.qos,
             k.retain,
             k.subscription_number,
             k.places
            FROM ( SELECT (matched_filters.owners)[m.number] AS organization_id,
                     (matched_filters.integration_ids)[m.number] AS integration_id,
                     m.topic,
                     m.qos,
                     m.retain,
                     m.subscription_number,
                     array_agg(m.place) AS places
                    FROM UNNEST(matched_filters.integration_numbers, matched_filters.topics, matched_filters.qos, matched_filters.retains, matched_filters.subscription_numbers) WITH ORDINALITY m(number, topic, qos, retain, subscription_number, place)
                   WHERE ((matched_filters.subscription_numbers IS NOT NULL) AND (m.subscription_number IS NOT NULL) AND ((matched_filters.owners)[m.number] IS NOT NULL))
                   GROUP BY (matched_filters.owners)[m.number], (matched_filters.integration_ids)[m.number], m.topic, m.qos, m.retain, m.subscription_number) k
         ), candidate AS MATERIALIZED (
          SELECT k.id AS alike_id,
             k.places,
             k.topic,
             k.qos,
             k.retain,
             k.subscription_number,
             s.id,
             s.number,
             s.granted_qos,
             s.no_local,
             s.active_at,
             starts_with(s.topic, '$share/'::text) AS is_shared,
             s.pattern
            FROM ((alike k
              CROSS JOIN LATERAL mqtt.topic_prefixes(k.topic) p(prefix))
              CROSS JOIN LATERAL mqtt.filters_by_prefix(k.organization_id, k.integration_id, p.prefix, false) s(id, topic, pattern, number, granted_qos, no_local, active_at))
           ORDER BY s.number
         ), filter AS (
          SELECT c.alike_id,
             c.places,
             c.topic,
             c.qos,
             c.retain,
             c.subscription_number,
             c.id,
             c.number,
             c.granted_qos,
             c.no_local,
             c.active_at,
             c.is_shared,
             c.pattern,
             max(c.number) FILTER (WHERE (c.number = c.subscription_number)) OVER own AS own_number,
             max(c.active_at) FILTER (WHERE (c.number = c.subscription_number)) OVER own AS own_active_at,
             max(c.granted_qos) FILTER (WHERE (c.number = c.subscription_number)) OVER own AS own_granted_qos,
             bool_or(c.no_local) FILTER (WHERE (c.number = c.subscription_number)) OVER own AS own_no_local,
             bool_or(c.is_shared) FILTER (WHERE (c.number = c.subscription_number)) OVER own AS own_is_shared
            FROM candidate c
           WHERE (c.topic ~ c.pattern)
           WINDOW own AS (PARTITION BY c.alike_id)
         )
  SELECT unnest(f.places) AS unnest,
     jsonb_agg(f.id ORDER BY f.active_at, f.number) AS jsonb_agg,
     COALESCE(bool_or(((f.number <> f.own_number) AND (NOT f.is_shared) AND (NOT f.own_is_shared) AND (NOT f.retain) AND (f.own_no_local OR (NOT f.no_local)) AND
         CASE f.qos
             WHEN 0 THEN ((f.granted_qos > f.own_granted_qos) OR ((f.granted_qos = f.own_granted_qos) AND (ROW(f.active_at, f.number) < ROW(f.own_active_at, f.own_number))))
             ELSE ((f.granted_qos > 0) AND (ROW(f.active_at, f.number) < ROW(f.own_active_at, f.own_number)))
         END)), false) AS "coalesce"
    FROM filter f
   GROUP BY f.alike_id, f.places;
END;

ALTER FUNCTION mqtt.matched_filters(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], qos smallint[], retains boolean[], subscription_numbers integer[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.matched_filters(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], qos smallint[], retains boolean[], subscription_numbers integer[]) IS 'For messages of integrations with several filters (those with a subscription number): which filters match, and whether the message is a copy to be left out. Many brokers send a copy for each filter that matches. One copy is kept and names all filters: the copy for the filter that was granted first, because that one must arrive too, and of QoS 0 copies the one for the filter with the highest granted QoS. No copy is left out of retained messages, which are not sent for every filter, and of shared filters, whose messages may go to another client. Inlined into the statement that calls it.';

CREATE FUNCTION mqtt.message_document(topic text, payload jsonb, qos integer, retain boolean, content_type text, sent_at timestamp with time zone, properties jsonb DEFAULT NULL::jsonb) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((NOT retain) AND (content_type IS NULL) AND (sent_at IS NULL) AND (properties IS NULL)) THEN mqtt.core_document(topic, payload, qos)
             ELSE ((((mqtt.core_document(topic, payload, qos) ||
             CASE
                 WHEN retain THEN '{"retain": true}'::jsonb
                 ELSE '{}'::jsonb
             END) ||
             CASE
                 WHEN (content_type IS NULL) THEN '{}'::jsonb
                 ELSE jsonb_build_object('content_type', content_type)
             END) ||
             CASE
                 WHEN (sent_at IS NULL) THEN '{}'::jsonb
                 ELSE jsonb_build_object('timestamp', sent_at)
             END) ||
             CASE
                 WHEN (properties IS NULL) THEN '{}'::jsonb
                 ELSE jsonb_build_object('properties', properties)
             END)
         END AS "case";
END;

ALTER FUNCTION mqtt.message_document(topic text, payload jsonb, qos integer, retain boolean, content_type text, sent_at timestamp with time zone, properties jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.message_document(topic text, payload jsonb, qos integer, retain boolean, content_type text, sent_at timestamp with time zone, properties jsonb) IS 'The message as it stands in the queue: {"topic", "payload", "qos", "retain", "content_type", "timestamp", "properties"}; what has its default is left out, as is the payload of a message whose body holds it.';

CREATE FUNCTION mqtt.delivered_messages(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[], content_types text[], properties jsonb[], faults text[], subscription_numbers integer[]) RETURNS TABLE(organization_id uuid, integration_id uuid, topic text, payload bytea, place bigint, message jsonb, message_id uuid, fault text, is_copy boolean)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (delivered_messages.owners)[m.number] AS owners,
     (delivered_messages.integration_ids)[m.number] AS integration_ids,
     m.topic,
     m.payload,
     m.place,
     mqtt.message_document(m.topic, NULL::jsonb, (m.qos)::integer, m.retain, m.content_type, NULL::timestamp with time zone, m.properties) AS message_document,
         CASE
             WHEN (m.properties ? 'user_properties'::text) THEN ( SELECT ((p.value ->> 1))::uuid AS uuid
                FROM jsonb_array_elements((m.properties -> 'user_properties'::text)) p(value)
               WHERE (((p.value ->> 0) = 'message_id'::text) AND mqtt.is_uuid((p.value ->> 1)))
              LIMIT 1)
             ELSE NULL::uuid
         END AS "case",
         CASE
             WHEN (m.fault IS NOT NULL) THEN m.fault
             WHEN (octet_length(m.payload) > m.max_bytes) THEN format('The payload has %s bytes; this installation takes at most %s.'::text, octet_length(m.payload), m.max_bytes)
             ELSE mqtt.topic_name_reason(regexp_replace(m.topic, '^\$'::text, ''::text))
         END AS topic_name_reason,
     m.is_copy
    FROM ( SELECT d.number,
             d.topic,
             d.payload,
             d.qos,
             d.retain,
             d.content_type,
             d.fault,
             d.place,
             d.max_bytes,
             COALESCE(f.is_copy, false) AS is_copy,
                 CASE
                     WHEN (f.ids IS NULL) THEN d.properties
                     ELSE (COALESCE(d.properties, '{}'::jsonb) || jsonb_build_object('subscription_ids', f.ids))
                 END AS properties
            FROM (( SELECT u.number,
                     u.topic,
                     u.payload,
                     u.qos,
                     u.retain,
                     u.content_type,
                     u.properties,
                     u.fault,
                     u.place,
                     c.max_payload_bytes AS max_bytes
                    FROM (UNNEST(delivered_messages.integration_numbers, delivered_messages.topics, delivered_messages.payloads, delivered_messages.qos, delivered_messages.retains, delivered_messages.content_types, delivered_messages.properties, delivered_messages.faults) WITH ORDINALITY u(number, topic, payload, qos, retain, content_type, properties, fault, place)
                      CROSS JOIN mqtt.configuration c)
                   WHERE ((delivered_messages.owners)[u.number] IS NOT NULL)
                  OFFSET 0) d
              LEFT JOIN mqtt.matched_filters(delivered_messages.owners, delivered_messages.integration_ids, delivered_messages.integration_numbers, delivered_messages.topics, delivered_messages.qos, delivered_messages.retains, delivered_messages.subscription_numbers) f(place, ids, is_copy) ON ((f.place = d.place)))
          OFFSET 0) m;
END;

ALTER FUNCTION mqtt.delivered_messages(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[], content_types text[], properties jsonb[], faults text[], subscription_numbers integer[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.delivered_messages(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[], content_types text[], properties jsonb[], faults text[], subscription_numbers integer[]) IS 'What a bridge hands to bridge.ingest, of the integrations that have an owner (their organization, by place): where each message belongs, as it stands in the queue, the message_id that its user properties name, in words why it cannot be queued, and whether it is a copy to be left out. Inlined into the statement that calls it.';

CREATE FUNCTION mqtt.deployed_changes() RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_changes text [];
BEGIN
    -- A name that may not be looked up is an error, so the schema comes first.
    IF to_regnamespace('sqitch') IS NULL OR NOT has_schema_privilege('sqitch', 'usage') OR to_regclass('sqitch.changes') IS NULL
        OR NOT has_column_privilege('sqitch.changes', 'change', 'select') THEN
        RETURN NULL;
    END IF;
    EXECUTE 'SELECT coalesce(array_agg(DISTINCT c.change), $1) FROM sqitch.changes AS c WHERE c.project = $2'
    INTO v_changes USING '{}'::text [], 'topicbase';
    RETURN v_changes;
END;
$_$;

ALTER FUNCTION mqtt.deployed_changes() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.deployed_changes() IS 'Names of the changes of sqitch.plan that are deployed; null if sqitch''s registry is elsewhere or mqtt_owner may not see it.';

CREATE FUNCTION mqtt.device_login() RETURNS mqtt.device_session
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_session mqtt.device_session;
    v_refused mqtt.device_session;
BEGIN
    SELECT s.* INTO v_session FROM mqtt.request_session() AS s;
    IF v_session.fault = 'invalid_credentials' THEN
        -- The caller answers it with mqtt.answer_wrong_login: raised, it could not be counted.
        v_refused.fault := v_session.fault;
        v_refused.username := v_session.username;
        RETURN v_refused;
    ELSIF v_session.fault IS NOT NULL THEN
        PERFORM mqtt.refuse_login(v_session.fault, v_session.fault_detail);
    END IF;
    RETURN v_session;
END;
$$;

ALTER FUNCTION mqtt.device_login() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.device_login() IS 'The device behind this HTTP request, by its headers: Authorization: Basic, or X-Username and X-Password, with X-Client-ID. Where it is none (unknown, wrong, expired, revoked) only fault and username are set, and the caller answers with mqtt.answer_wrong_login. Raises 403 publish_not_allowed, 403 integration_inactive, 429 queue_paused.';

CREATE FUNCTION mqtt.device_prefix(pattern text, organization_prefix text, external_id text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (h.head !~ '[+{]'::text) THEN (h.head || device_prefix.external_id)
             ELSE NULL::text
         END AS "case"
    FROM ( SELECT replace(split_part(device_prefix.pattern, '{device_id}'::text, 1), '{organization_prefix}'::text, device_prefix.organization_prefix) AS head) h;
END;

ALTER FUNCTION mqtt.device_prefix(pattern text, organization_prefix text, external_id text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.device_prefix(pattern text, organization_prefix text, external_id text) IS 'The topic prefix that only this device''s topics have; null if the pattern has a variable level before the device id.';

CREATE FUNCTION mqtt.drop_partitions(partitions regclass[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '1s'
    AS $$
DECLARE
    v_partition regclass;
BEGIN
    FOREACH v_partition IN ARRAY partitions LOOP
        EXECUTE format('DROP TABLE %s', v_partition);
    END LOOP;
END;
$$;

ALTER FUNCTION mqtt.drop_partitions(partitions regclass[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.drop_partitions(partitions regclass[]) IS 'Drops them. From the first on, their table is locked until the end of the transaction: so it comes last. Errors: 55P03 when a lock is not to be had within a second.';

CREATE TABLE mqtt.callback_circuits (
    organization_id uuid NOT NULL,
    url text NOT NULL,
    failures integer NOT NULL,
    openings integer DEFAULT 0 NOT NULL,
    open_until timestamp with time zone,
    error text
);

ALTER TABLE mqtt.callback_circuits OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.callback_circuits IS 'URLs that failed last time they were called: after some failures in a row nothing is sent for a while, then one request to see. A success removes the row.';

COMMENT ON COLUMN mqtt.callback_circuits.openings IS 'How often in a row the circuit was opened; each time for twice as long.';

CREATE FUNCTION mqtt.due_callbacks(bridge_id uuid, due_at timestamp with time zone, busy_ids uuid[], busy_counts integer[]) RETURNS TABLE(organization_id uuid, id uuid, place bigint)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH busy AS (
          SELECT b.id,
             b.n
            FROM UNNEST(due_callbacks.busy_ids, due_callbacks.busy_counts) b(id, n)
         ), hook AS (
          SELECT s.organization_id,
             s.id,
             s.callback_ordered,
             (
                 CASE
                     WHEN (c.openings > 0) THEN 1
                     WHEN s.callback_ordered THEN 20
                     ELSE 8
                 END - COALESCE(b.n, 0)) AS room
            FROM (((mqtt.bridge_leases l
              JOIN mqtt.mqtt_subscriptions s ON (((s.organization_id = l.organization_id) AND (s.integration_id = l.integration_id))))
              LEFT JOIN mqtt.callback_circuits c ON (((c.organization_id = s.organization_id) AND (c.url = s.callback_url))))
              LEFT JOIN busy b ON ((b.id = s.id)))
           WHERE ((l.bridge_id = due_callbacks.bridge_id) AND (s.callback_url IS NOT NULL) AND (s.callback_gone_at IS NULL) AND (NOT s.is_paused) AND COALESCE((c.open_until <= due_callbacks.due_at), true) AND (NOT (s.callback_ordered AND (COALESCE(b.n, 0) > 0))))
         )
  SELECT d.organization_id,
     d.id,
     d.place
    FROM (hook h
      CROSS JOIN LATERAL ( SELECT x.organization_id,
             x.id,
             row_number() OVER (ORDER BY x.due_at) AS place
            FROM mqtt.mqtt_callback_deliveries x
           WHERE ((NOT h.callback_ordered) AND (x.organization_id = h.organization_id) AND (x.subscription_id = h.id) AND (x.status = 'waiting'::text) AND (x.due_at <= due_callbacks.due_at))
           ORDER BY x.due_at
          LIMIT GREATEST(h.room, 0)) d)
 UNION ALL
  SELECT d.organization_id,
     d.id,
     1
    FROM (hook h
      CROSS JOIN LATERAL ( SELECT y.organization_id,
             y.id,
             bool_and((y.due_at <= due_callbacks.due_at)) OVER (ORDER BY y.number) AS may
            FROM ( SELECT x.organization_id,
                     x.id,
                     x.due_at,
                     x.number
                    FROM mqtt.mqtt_callback_deliveries x
                   WHERE (h.callback_ordered AND (x.organization_id = h.organization_id) AND (x.subscription_id = h.id) AND (x.status = 'waiting'::text))
                   ORDER BY x.number
                  LIMIT GREATEST(h.room, 0)) y) d)
   WHERE d.may;
END;

ALTER FUNCTION mqtt.due_callbacks(bridge_id uuid, due_at timestamp with time zone, busy_ids uuid[], busy_counts integer[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.due_callbacks(bridge_id uuid, due_at timestamp with time zone, busy_ids uuid[], busy_counts integer[]) IS 'Deliveries that are due, of the integrations that the bridge holds: of each subscription as many as may be in flight at once besides the busy ones, counted in place from 1. A part of bridge.claim_callbacks.';

CREATE FUNCTION mqtt.due_messages(batch_size integer) RETURNS tid[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
DECLARE
    -- What this session remembers, as a hint: where each organization's waiting messages begin, so that a batch need not
    -- read past the rows deleted before it, which stay in the index while some old transaction may still see them.
    v_memory jsonb := coalesce(nullif(current_setting('topicbase.queue_memory', true), ''), '{}')::jsonb;
    v_now CONSTANT timestamptz := clock_timestamp();
    v_start CONSTANT uuid := coalesce(v_memory ->> 'last', '00000000-0000-0000-0000-000000000000')::uuid;
    -- A row may appear behind a mark when its transaction commits late. While batches are small, each looks back 2 s. At high rates two
    -- seconds are 80,000 dead rows, so a busy worker looks back only 0.1 s, and 3 s once a second. A commit that is up to 2 s late is
    -- therefore picked up within another second; a later one by the next sweep.
    v_margin CONSTANT interval := '2 seconds';
    v_busy_margin CONSTANT interval := '0.1 seconds';
    v_looked_back_at timestamptz := coalesce((v_memory ->> 'looked_back_at')::timestamptz, '-infinity');
    v_swept_at timestamptz := (v_memory ->> 'swept_at')::timestamptz;
    -- A sweep reads all dead rows: it is made less often the longer it took, or seemed to take by a clock that was set meanwhile.
    -- A clock that was set back makes all marks worthless.
    v_sweep_took interval := least(coalesce((v_memory ->> 'sweep_took')::interval, '0'), interval '2 seconds');
    v_is_sweep boolean := coalesce(v_now NOT BETWEEN v_swept_at AND v_swept_at + greatest(interval '5 seconds', 50 * v_sweep_took), true);
    -- So many organizations are remembered. Where more have rows, the next sweep goes on where the last one was cut off, when those are served.
    v_remembered CONSTANT integer := 1000;
    v_is_cut boolean := coalesce((v_memory ->> 'is_cut')::boolean, false);
    v_marks jsonb := coalesce(v_memory -> 'marks', '{}');
    v_seen bigint := coalesce((v_memory ->> 'seen')::bigint, 0);
    v_newer bigint := 0;
    v_looks integer := 0;
    -- Where workers are more than one, each leaves half of the organizations to the others.
    v_contended_at timestamptz := (v_memory ->> 'contended_at')::timestamptz;
    -- 64 organizations share a batch, or more where some of these do not need their share, as far as the server's table of locks has room.
    v_share integer := ceil(batch_size / 64.0);
    v_most integer := least(batch_size, 400, current_setting('max_connections')::integer * current_setting('max_locks_per_transaction')::integer / 16);
    v_locked record;
    v_busy uuid;
    v_candidates jsonb := '{}';
    v_kept uuid [] := '{}';
    v_last uuid;
    v_first timestamptz;
    v_tids tid [];
    v_new jsonb;
BEGIN
    IF v_is_cut AND v_now > v_swept_at + 5 * v_sweep_took THEN
        v_is_sweep := v_is_sweep OR (SELECT count(*) FILTER (WHERE m.id::uuid > v_start) < v_most FROM jsonb_object_keys(v_marks) AS m (id));
    END IF;
    <<look>>
    LOOP
        IF v_is_sweep THEN
            -- What is in the queue by now is found here; from then on only newer rows need to be looked at, and those that commit late.
            SELECT greatest(v_seen, s.last_value - 500) INTO v_seen FROM pgmq.q_mqtt_messages_msg_id_seq AS s;
            SELECT w.candidates, w.is_cut INTO v_candidates, v_is_cut FROM mqtt.sweep_queue(v_start, v_now - v_margin, v_remembered) AS w;
            v_sweep_took := clock_timestamp() - v_now;
            v_swept_at := v_now;
        ELSE
            -- Those remembered, and those of the newest rows.
            SELECT n.candidates || v_marks || v_candidates, n.last_seen, n.newer INTO v_candidates, v_seen, v_newer
            FROM mqtt.newest_in_queue(v_marks, v_seen, v_now, v_margin, v_remembered) AS n;
            IF v_now NOT BETWEEN v_looked_back_at AND v_looked_back_at + interval '1 second' THEN
                -- All of them, since those whose turn is later keep the mark until then.
                SELECT coalesce(jsonb_object_agg(c.key, least(c.value::timestamptz, v_now - interval '3 seconds')), '{}') INTO v_candidates
                FROM jsonb_each_text(v_candidates) AS c;
                v_looked_back_at := v_now;
            END IF;
        END IF;
        IF v_now BETWEEN v_contended_at AND v_contended_at + interval '1 second' THEN
            v_most := least(v_most, (SELECT greatest(1, (count(*) + 1) / 2) FROM jsonb_object_keys(v_candidates)));
        END IF;
        v_locked := mqtt.lock_organizations(v_candidates, v_start, v_now, v_share, v_most, batch_size);
        v_kept := v_kept || v_locked.kept;
        IF v_locked.busy IS NOT NULL THEN
            v_contended_at := v_now;
            v_busy := coalesce(v_busy, v_locked.busy);
        END IF;
        -- All of the newest belong to organizations that other workers are at: who comes after them need not wait.
        v_looks := v_looks + 1;
        CONTINUE look WHEN v_locked.organizations = '{}' AND NOT v_is_sweep AND v_newer = 1000 AND v_looks < 20;
        -- Nothing where something was expected: look everywhere, though not more than once a second, nor for long.
        EXIT look WHEN v_locked.organizations <> '{}' OR v_is_sweep OR v_now < v_swept_at + greatest(interval '1 second', 10 * v_sweep_took);
        v_is_sweep := true;
    END LOOP;
    IF v_locked.organizations = '{}' AND v_locked.due > 1 THEN
        -- Another worker holds every organization and would retake them right after its commit; queueing on the lock gives this worker the next turn.
        v_first := mqtt.wait_for_organization(v_busy, (v_candidates ->> v_busy::text)::timestamptz, v_now);
        IF v_first IS NOT NULL THEN
            v_locked.organizations := ARRAY[v_busy];
            v_locked.firsts := ARRAY[v_first - interval '1 microsecond'];
            v_locked.waiting := ARRAY[batch_size];
        END IF;
    END IF;
    v_last := v_locked.organizations[cardinality(v_locked.organizations)];
    SELECT d.tids, d.marks INTO v_tids, v_new
    FROM mqtt.share_due(v_locked.organizations, v_locked.firsts, v_locked.waiting, v_share, batch_size, v_now, v_margin, v_busy_margin) AS d;
    v_marks := v_candidates || coalesce(v_new, '{}');
    IF (SELECT count(*) FROM jsonb_object_keys(v_marks)) > v_remembered THEN
        -- Those that were looked at and left without messages are forgotten: the newest rows, or a sweep, will tell of their next ones.
        SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}') INTO v_marks
        FROM jsonb_each(v_marks) AS m
        WHERE m.key IN (SELECT k::text FROM unnest(v_kept) AS k)
            OR CASE WHEN v_last > v_start THEN m.key::uuid <= v_start OR m.key::uuid > v_last ELSE m.key::uuid <= v_start AND m.key::uuid > v_last END;
    END IF;
    PERFORM set_config(
        'topicbase.queue_memory',
        jsonb_build_object(
            'swept_at', v_swept_at, 'sweep_took', v_sweep_took, 'is_cut', v_is_cut, 'looked_back_at', v_looked_back_at,
            'contended_at', v_contended_at, 'seen', v_seen, 'last', v_last, 'marks', v_marks
        )::text, false
    );
    RETURN v_tids;
END;
$$;

ALTER FUNCTION mqtt.due_messages(batch_size integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.due_messages(batch_size integer) IS 'Row addresses of the next messages to process, at most batch_size, oldest first and shared fairly among at most 64 organizations, or more when some need less than their share, each locked for this transaction. Keeps its speed while an old transaction holds back vacuum.';

CREATE FUNCTION mqtt.encode_cursor(at timestamp with time zone, received_at timestamp with time zone, organization_id uuid, id uuid) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT translate(encode((((int8send(((EXTRACT(epoch FROM at) * (1000000)::numeric))::bigint) || int8send(((EXTRACT(epoch FROM received_at) * (1000000)::numeric))::bigint)) || uuid_send(organization_id)) || uuid_send(id)), 'base64'::text), '+/
'::text, '-_'::text) AS translate;
END;

ALTER FUNCTION mqtt.encode_cursor(at timestamp with time zone, received_at timestamp with time zone, organization_id uuid, id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.encode_cursor(at timestamp with time zone, received_at timestamp with time zone, organization_id uuid, id uuid) IS 'The place of a row as a cursor: base64url of both times in microseconds since 1970 and both ids. It has no position, by which one could count what others send.';

CREATE FUNCTION mqtt.end_callbacks() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE mqtt.mqtt_callback_deliveries AS d
    SET status = 'dead', bridge_id = NULL, finished_at = clock_timestamp(), error = 'The subscription ended, or its callback_url was taken away.'
    WHERE d.organization_id = OLD.organization_id AND d.subscription_id = OLD.id AND d.status = 'waiting';
    DELETE FROM mqtt.callback_secrets AS k WHERE k.organization_id = OLD.organization_id AND k.subscription_id = OLD.id;
    RETURN NULL;
END;
$$;

ALTER FUNCTION mqtt.end_callbacks() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.end_callbacks() IS 'Trigger: what waits for a callback that is no more is given up, and its secret forgotten.';

CREATE FUNCTION mqtt.end_work(worker_id uuid) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    DELETE FROM mqtt.workers AS w WHERE w.bridge_id = end_work.worker_id;
$$;

ALTER FUNCTION mqtt.end_work(worker_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.end_work(worker_id uuid) IS 'A queue worker has emptied the queue, or stops in order.';

CREATE FUNCTION mqtt.enqueue_batch(session mqtt.device_session, messages jsonb, faults text[], most integer) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_nestloop TO 'off'
    AS $$
DECLARE
    v_answer json;
BEGIN
    WITH judged AS MATERIALIZED (
        SELECT j.*
        FROM mqtt.judged_messages(messages, enqueue_batch.faults, session.topic_prefix, session.publish_filters, session.max_payload_bytes) AS j
    ),
    checked AS (
        SELECT
            j.*,
            CASE
                WHEN j.rule IS NOT NULL THEN j.rule
                -- From the first that the quota leaves no room for.
                WHEN most IS NOT NULL AND j.ordinality >= (
                    SELECT x.ordinality FROM judged AS x WHERE x.rule IS NULL ORDER BY x.ordinality OFFSET coalesce(most, 0) LIMIT 1
                ) THEN 'quota_exceeded'
            END AS fault
        FROM judged AS j
    ),
    -- In the order of the ids, so that two batches with the same ids cannot lock each other out.
    fresh AS (
        INSERT INTO mqtt.ingest_keys (organization_id, credential_id, message_id)
        SELECT DISTINCT session.organization_id, session.credential_id, c.message_id::uuid
        FROM checked AS c
        WHERE c.fault IS NULL AND c.message_id IS NOT NULL
        ORDER BY c.message_id::uuid
        ON CONFLICT DO NOTHING
        RETURNING message_id
    ),
    queued AS (
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id, message_id, body)
        SELECT
            statement_timestamp() + c.ordinality * interval '1 microsecond',
            mqtt.message_document(
                c.topic, CASE WHEN c.body IS NULL THEN c.payload END, c.qos::integer, c.retain::boolean, c.content_type, c.stamped_at
            ),
            session.organization_id, session.integration_id, session.credential_id, c.first_id, c.body
        FROM (
            SELECT x.*, NULL::uuid AS first_id
            FROM checked AS x
            WHERE x.fault IS NULL AND x.message_id IS NULL
            UNION ALL
            SELECT x.*, f.message_id
            FROM fresh AS f
            JOIN (
                SELECT DISTINCT ON (y.message_id::uuid) y.*
                FROM checked AS y
                WHERE y.fault IS NULL AND y.message_id IS NOT NULL
                ORDER BY y.message_id::uuid, y.ordinality
            ) AS x ON x.message_id::uuid = f.message_id
        ) AS c
        ORDER BY c.ordinality
        RETURNING 1
    )
    SELECT json_build_object(
        'queued', (SELECT count(*) FROM queued),
        'accepted', count(*) FILTER (WHERE c.fault IS NULL),
        'rejected', coalesce(
            json_agg(
                json_build_object(
                    'index', c.ordinality - 1, 'code', c.fault,
                    'message', coalesce(enqueue_batch.faults[c.ordinality], mqtt.fault_reason(c.fault, c.topic))
                ) ORDER BY c.ordinality
            ) FILTER (WHERE c.fault IS NOT NULL), '[]'
        )
    ) INTO v_answer
    FROM checked AS c;
    RETURN v_answer;
END;
$$;

ALTER FUNCTION mqtt.enqueue_batch(session mqtt.device_session, messages jsonb, faults text[], most integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.enqueue_batch(session mqtt.device_session, messages jsonb, faults text[], most integer) IS 'Queues what is valid of an array of messages in one statement; most of them, where a quota says so; returns {"queued", "accepted", "rejected": [{"index", "code", "message"}]}, repeats being accepted but not queued. faults: mqtt.message_reasons, or null. The general way beside mqtt.enqueue_plain_batch: what that takes, this would queue the same.';

CREATE FUNCTION mqtt.enqueue_callbacks(tids tid[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM mqtt.mqtt_subscriptions AS s WHERE s.callback_url IS NOT NULL AND s.callback_gone_at IS NULL AND NOT s.is_paused) THEN
        RETURN;
    END IF;
    WITH hooked AS MATERIALIZED (
        SELECT i.organization_id, i.integration_id
        FROM (SELECT DISTINCT q.organization_id, q.integration_id FROM pgmq.q_mqtt_messages AS q WHERE q.ctid = ANY (tids)) AS i
        WHERE EXISTS (
            SELECT FROM mqtt.mqtt_subscriptions AS s
            WHERE s.organization_id = i.organization_id AND s.integration_id = i.integration_id
                AND s.callback_url IS NOT NULL AND s.callback_gone_at IS NULL AND NOT s.is_paused
        )
    ),
    arrived AS MATERIALIZED (
        SELECT q.organization_id, q.integration_id, q.message ->> 'topic' AS topic, q.message_id, q.enqueued_at, q.msg_id
        FROM hooked AS i
        JOIN pgmq.q_mqtt_messages AS q ON q.integration_id = i.integration_id AND q.organization_id = i.organization_id
        WHERE q.ctid = ANY (tids)
    ),
    -- Messages of the same topic are matched once, and filters looked up once for all topics that they may match.
    prefixed AS MATERIALIZED (
        SELECT k.organization_id, k.integration_id, p.prefix, array_agg(k.topic) AS topics
        FROM (SELECT DISTINCT a.organization_id, a.integration_id, a.topic FROM arrived AS a) AS k
        CROSS JOIN LATERAL mqtt.topic_prefixes(k.topic) AS p (prefix)
        GROUP BY k.organization_id, k.integration_id, p.prefix
    ),
    hook AS MATERIALIZED (
        SELECT c.organization_id, c.integration_id, t.topic, c.id
        FROM (
            SELECT p.organization_id, p.integration_id, p.topics, s.id, s.topic AS filter, s.pattern
            FROM prefixed AS p
            CROSS JOIN LATERAL mqtt.filters_by_prefix(p.organization_id, p.integration_id, p.prefix, true) AS s
            -- PostgreSQL keeps 32 compiled expressions: so, each is compiled once for all its topics.
            OFFSET 0
        ) AS c
        CROSS JOIN LATERAL unnest(c.topics) AS t (topic)
        WHERE c.filter = t.topic OR t.topic ~ c.pattern
    )
    INSERT INTO mqtt.mqtt_callback_deliveries (organization_id, subscription_id, message_id, received_at)
    SELECT h.organization_id, h.id, coalesce(a.message_id, mqtt.message_id(a.enqueued_at, a.msg_id)), a.enqueued_at
    FROM hook AS h
    JOIN arrived AS a ON a.topic = h.topic AND a.integration_id = h.integration_id AND a.organization_id = h.organization_id
    ORDER BY a.msg_id;
    IF found THEN
        PERFORM mqtt.wake_bridge('callback');
    END IF;
END;
$$;

ALTER FUNCTION mqtt.enqueue_callbacks(tids tid[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.enqueue_callbacks(tids tid[]) IS 'Notes, for queued messages by row address, the subscriptions with a callback_url that they match; to be called in the transaction that stores them, before it. While nobody has a callback, that is one look into an empty index.';

CREATE FUNCTION mqtt.enqueue_message(session mqtt.device_session, topic text, payload jsonb, body bytea, qos integer, retain boolean, content_type text, message_id uuid, sent_at timestamp with time zone) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_message_id uuid := message_id;
    v_fault text := mqtt.ingest_fault(
        topic, qos, coalesce(octet_length(body), pg_column_size(payload)), session.topic_prefix, session.publish_filters,
        session.max_payload_bytes
    );
BEGIN
    IF v_fault IS NULL AND octet_length(content_type) > 255 THEN
        v_fault := 'content_type_invalid';
    END IF;
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_message(v_fault, topic, session.topic_prefix, session.max_payload_bytes);
    END IF;
    IF message_id IS NOT NULL THEN
        INSERT INTO mqtt.ingest_keys (organization_id, credential_id, message_id)
        VALUES (session.organization_id, session.credential_id, enqueue_message.message_id)
        ON CONFLICT DO NOTHING;
    END IF;
    IF message_id IS NULL OR found THEN
        IF coalesce(session.credential_rate, session.organization_rate) IS NOT NULL AND mqtt.take_quota(session, 1) = 0 THEN
            PERFORM mqtt.refuse_for_now('429', 'quota_exceeded', 'More messages a second than this device or its organization may send.', mqtt.quota_wait(session));
        END IF;
        INSERT INTO pgmq.q_mqtt_messages AS q (vt, message, organization_id, integration_id, credential_id, message_id, body)
        VALUES (
            clock_timestamp(), mqtt.message_document(topic, payload, qos, retain, content_type, sent_at),
            session.organization_id, session.integration_id, session.credential_id, enqueue_message.message_id, enqueue_message.body
        )
        RETURNING coalesce(q.message_id, mqtt.message_id(q.enqueued_at, q.msg_id)) INTO v_message_id;
        PERFORM mqtt.count_accepted(session.organization_id, 1);
    END IF;
    PERFORM set_config('response.status', '202', true);
    RETURN json_build_object('message_id', v_message_id, 'status', 'queued');
END;
$$;

ALTER FUNCTION mqtt.enqueue_message(session mqtt.device_session, topic text, payload jsonb, body bytea, qos integer, retain boolean, content_type text, message_id uuid, sent_at timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.enqueue_message(session mqtt.device_session, topic text, payload jsonb, body bytea, qos integer, retain boolean, content_type text, message_id uuid, sent_at timestamp with time zone) IS 'Checks one message against its session and queues it, with payload (JSON) or body (bytes); a message_id seen before is answered and not queued again. Sets HTTP 202. The general way beside the short one in api.mqtt_ingest: what that takes, this would queue the same.';

CREATE FUNCTION mqtt.enqueue_outbound(organization_id uuid, integration_id uuid, messages jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_receipts jsonb;
BEGIN
    WITH queued AS (
        INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, expires_at, body)
        SELECT
            d.due_at,
            mqtt.outbound_document(d.value),
            enqueue_outbound.organization_id,
            enqueue_outbound.integration_id,
            d.due_at + make_interval(secs => (d.value ->> 'message_expiry')::numeric::double precision),
            d.body
        FROM (
            SELECT
                e.ordinality,
                e.value,
                CASE WHEN e.value ->> 'deliver_at' IS NULL THEN now() ELSE greatest(mqtt.try_timestamptz(e.value ->> 'deliver_at'), now()) END AS due_at,
                mqtt.outbound_body(e.value -> 'payload', e.value ->> 'payload_encoding') AS body
            FROM jsonb_array_elements(messages) WITH ORDINALITY AS e (value, ordinality)
        ) AS d
        ORDER BY d.ordinality
        RETURNING enqueued_at, msg_id
    )
    SELECT jsonb_agg(jsonb_build_object('index', r.place, 'receipt_id', r.receipt_id) ORDER BY r.place) INTO v_receipts
    FROM (
        -- Ids were assigned in the order of the messages.
        SELECT row_number() OVER (ORDER BY q.msg_id) - 1 AS place, mqtt.message_id(q.enqueued_at, q.msg_id, true) AS receipt_id
        FROM queued AS q
    ) AS r;
    RETURN v_receipts;
END;
$$;

ALTER FUNCTION mqtt.enqueue_outbound(organization_id uuid, integration_id uuid, messages jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.enqueue_outbound(organization_id uuid, integration_id uuid, messages jsonb) IS 'Enqueues valid messages to be published, in their order; returns [{"index", "receipt_id"}].';

CREATE FUNCTION mqtt.enqueue_plain_batch(session mqtt.device_session, messages jsonb) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_prefix CONSTANT text := session.topic_prefix;
    v_most_bytes CONSTANT integer := CASE WHEN session.publish_filters IS NULL THEN least(session.max_payload_bytes, 65535) END;
    v_queued integer;
BEGIN
    -- The array is taken apart twice, which is less work than to keep what the first time found.
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id)
    SELECT
        -- Due one after the other, or a worker that takes a part of them would have them in the order of their row addresses.
        statement_timestamp() + m.ordinality * interval '1 microsecond', m.value, session.organization_id, session.integration_id, session.credential_id
    FROM jsonb_array_elements(messages) WITH ORDINALITY AS m (value, ordinality)
    WHERE NOT EXISTS (
        SELECT
        FROM (SELECT e.value, e.value ->> 'topic' AS topic FROM jsonb_array_elements(messages) AS e (value) OFFSET 0) AS t
        WHERE (
            t.topic IS NOT NULL AND t.value ? 'payload' AND t.value - '{topic,payload}'::text [] = '{}'
            AND CASE
                -- Most: neither topic nor payload is larger than both, and what is no string holds none of these characters, or no slash.
                WHEN pg_column_size(t.value) <= v_most_bytes AND mqtt.is_plain_topic(t.topic) THEN mqtt.topic_is_under(t.topic, v_prefix)
                ELSE jsonb_typeof(t.value -> 'topic') IS NOT DISTINCT FROM 'string'
                    AND mqtt.ingest_fault(
                        t.topic, 0, pg_column_size(t.value -> 'payload'), session.topic_prefix, session.publish_filters, session.max_payload_bytes
                    ) IS NULL
            END
        ) IS NOT TRUE
    );
    GET DIAGNOSTICS v_queued = ROW_COUNT;
    RETURN v_queued;
END;
$$;

ALTER FUNCTION mqtt.enqueue_plain_batch(session mqtt.device_session, messages jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.enqueue_plain_batch(session mqtt.device_session, messages jsonb) IS 'Queues an array of messages as they are, when each is valid and holds topic and payload alone, as most do; returns how many, or 0 when it is for mqtt.enqueue_batch, the general way, which would queue the same.';

CREATE FUNCTION mqtt.expired_partitions(parent regclass, keep_days integer) RETURNS TABLE(partition regclass, row_count bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_found record;
BEGIN
    FOR v_found IN
        SELECT k.oid, k.reltuples
        FROM pg_catalog.pg_inherits AS i
        JOIN pg_catalog.pg_class AS k ON k.oid = i.inhrelid
        WHERE i.inhparent = parent AND k.relname ~ '_[0-9]{8}$'
            AND to_date(right(k.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - keep_days
        ORDER BY k.relname
    LOOP
        partition := v_found.oid;
        -- Counting a day of a busy installation would take minutes.
        IF v_found.reltuples < 0 OR pg_relation_size(v_found.oid) < 64 * 1024 * 1024 THEN
            EXECUTE format('SELECT count(*) FROM %s', partition) INTO row_count;
        ELSE
            row_count := v_found.reltuples;
        END IF;
        RETURN NEXT;
    END LOOP;
END;
$_$;

ALTER FUNCTION mqtt.expired_partitions(parent regclass, keep_days integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.expired_partitions(parent regclass, keep_days integer) IS 'Partitions of days more than keep_days before today (UTC) and their rows: counted, beyond 64 MiB as VACUUM and ANALYZE last estimated them.';

CREATE FUNCTION mqtt.fault_reason(slug text, topic text DEFAULT NULL::text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE slug
             WHEN 'topic_invalid'::text THEN COALESCE(mqtt.topic_name_reason(topic), 'A topic is a string.'::text)
             WHEN 'topic_not_allowed'::text THEN 'This credential may not publish to that topic.'::text
             WHEN 'qos_invalid'::text THEN 'QoS is 0, 1 or 2.'::text
             WHEN 'payload_too_large'::text THEN 'The payload is larger than this installation accepts.'::text
             WHEN 'payload_missing'::text THEN 'The message has no payload; send null for an empty one.'::text
             WHEN 'payload_not_base64'::text THEN 'payload_encoding is base64, but the payload is no base64 string (RFC 4648 section 4).'::text
             WHEN 'payload_encoding_invalid'::text THEN 'payload_encoding is json, text or base64.'::text
             WHEN 'retain_invalid'::text THEN 'retain is true or false.'::text
             WHEN 'message_id_invalid'::text THEN 'message_id is a UUID.'::text
             WHEN 'timestamp_invalid'::text THEN 'timestamp is an RFC 3339 date and time, or the time since 1970 in seconds, milliseconds, microseconds or nanoseconds.'::text
             WHEN 'content_type_invalid'::text THEN 'content_type is a string of at most 255 bytes.'::text
             WHEN 'quota_exceeded'::text THEN 'More messages a second than this device or its organization may send.'::text
             WHEN 'message_invalid'::text THEN 'A message is an object of topic, payload, qos, retain, content_type, payload_encoding, message_id and timestamp, and nothing else.'::text
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.fault_reason(slug text, topic text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.fault_reason(slug text, topic text) IS 'The slug in words.';

CREATE FUNCTION mqtt.filters_reason(filters text[], prefix text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (cardinality(filters) > 100) THEN 'A credential may have at most 100 filters of each kind.'::text
             ELSE ( SELECT
                     CASE
                         WHEN ((f.filter IS NULL) OR (octet_length(f.filter) > 2048)) THEN 'A filter must be a string of 1 to 2,048 bytes.'::text
                         ELSE COALESCE(mqtt.topic_filter_reason(f.filter), format('The filter %s is not below the prefix %s/.'::text, "left"(f.filter, 200), filters_reason.prefix))
                     END AS "coalesce"
                FROM unnest(filters_reason.filters) WITH ORDINALITY f(filter, ordinality)
               WHERE ((f.filter IS NULL) OR (octet_length(f.filter) > 2048) OR (mqtt.topic_filter_reason(f.filter) IS NOT NULL) OR (NOT mqtt.topic_is_under(f.filter, filters_reason.prefix)))
               ORDER BY f.ordinality
              LIMIT 1)
         END AS "coalesce";
END;

ALTER FUNCTION mqtt.filters_reason(filters text[], prefix text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.filters_reason(filters text[], prefix text) IS 'Why a credential with that prefix cannot have these filters, as a sentence; null if it can.';

CREATE TABLE mqtt.devices (
    organization_id uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    integration_id uuid NOT NULL,
    external_id text NOT NULL,
    name text,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    last_data jsonb,
    last_data_at timestamp with time zone,
    latest jsonb DEFAULT '{}'::jsonb NOT NULL,
    last_seen_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT devices_external_id_check CHECK (((octet_length(external_id) >= 1) AND (octet_length(external_id) <= 255))),
    CONSTRAINT devices_latest_check CHECK ((jsonb_typeof(latest) = 'object'::text)),
    CONSTRAINT devices_metadata_check CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT devices_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200)))
)
WITH (fillfactor='70');

ALTER TABLE mqtt.devices OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.devices IS 'Devices; registered by hand or by their first message.';

COMMENT ON COLUMN mqtt.devices.external_id IS 'Device id as it stands in the topic, at most 255 bytes.';

COMMENT ON COLUMN mqtt.devices.last_data IS 'Payload of its newest telemetry; while vacuum is held back, up to some seconds late (mqtt.apply_due_updates).';

COMMENT ON COLUMN mqtt.devices.last_data_at IS 'Time of that message by the device''s clock where it sent one, else when it was received; an older message never replaces a newer one.';

COMMENT ON COLUMN mqtt.devices.latest IS 'The newest value of each metric, at most 500: {"temperature": {"value": 23.5, "at": "…"}}; as late as last_data.';

COMMENT ON COLUMN mqtt.devices.last_seen_at IS 'When the device last sent anything, by the database''s clock; commands to it do not count, nor what a broker had retained.';

CREATE FUNCTION mqtt.find_device(device_id text, external_id text, integration_id uuid, organization_id uuid) RETURNS mqtt.devices
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_name CONSTANT text := coalesce(find_device.device_id, find_device.external_id);
    v_found mqtt.devices [];
BEGIN
    IF mqtt.is_uuid(find_device.device_id) THEN
        v_found := ARRAY(
            SELECT d
            FROM mqtt.organizations AS o
            JOIN mqtt.devices AS d ON d.organization_id = o.id AND d.id = find_device.device_id::uuid
            WHERE o.id = coalesce(find_device.organization_id, o.id) AND d.integration_id = coalesce(find_device.integration_id, d.integration_id)
        );
    END IF;
    IF coalesce(cardinality(v_found), 0) = 0 THEN
        v_found := ARRAY(
            SELECT d
            FROM mqtt.device_integrations AS i
            JOIN mqtt.devices AS d ON d.organization_id = i.organization_id AND d.integration_id = i.id AND d.external_id = v_name
            WHERE i.id = coalesce(find_device.integration_id, i.id) AND i.organization_id = coalesce(find_device.organization_id, i.organization_id)
            LIMIT 2
        );
    END IF;
    IF cardinality(v_found) = 0 THEN
        RAISE EXCEPTION 'device_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no device %s that you may see.', left(coalesce(v_name, 'null'), 255)),
            HINT = 'list_devices shows yours; sync_device registers a device before its first message.';
    ELSIF cardinality(v_found) > 1 THEN
        RAISE EXCEPTION 'device_ambiguous' USING
            ERRCODE = 'PT409',
            DETAIL = format('Several integrations have a device %s.', left(v_name, 255)),
            HINT = 'Send integration_id as well, or the device''s own id as device_id.';
    ELSIF v_found[1].external_id <> find_device.external_id THEN
        RAISE EXCEPTION 'argument_conflict' USING
            ERRCODE = 'PT400', DETAIL = 'device_id and external_id name different devices.', HINT = 'Send one of the two.';
    END IF;
    RETURN v_found[1];
END;
$$;

ALTER FUNCTION mqtt.find_device(device_id text, external_id text, integration_id uuid, organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.find_device(device_id text, external_id text, integration_id uuid, organization_id uuid) IS 'The device that has device_id as its id or external id, or external_id as its external id, among those that the caller sees. Raises PT404 device_not_found, PT409 device_ambiguous, or PT400 argument_conflict if both are given and name different devices.';

CREATE FUNCTION mqtt.find_devices(device_ids text[], device_id text, external_id text, integration_id uuid, organization_id uuid) RETURNS mqtt.devices[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF coalesce(find_devices.device_id, find_devices.external_id) IS NOT NULL THEN
        RETURN ARRAY[mqtt.find_device(find_devices.device_id, find_devices.external_id, find_devices.integration_id, find_devices.organization_id)]
            || mqtt.find_devices(find_devices.device_ids, NULL, NULL, find_devices.integration_id, find_devices.organization_id);
    ELSIF find_devices.device_ids IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(
        SELECT mqtt.find_device(u.id, NULL, find_devices.integration_id, find_devices.organization_id)
        FROM (SELECT DISTINCT u.id FROM unnest(find_devices.device_ids) AS u (id)) AS u
    );
END;
$$;

ALTER FUNCTION mqtt.find_devices(device_ids text[], device_id text, external_id text, integration_id uuid, organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.find_devices(device_ids text[], device_id text, external_id text, integration_id uuid, organization_id uuid) IS 'Those named, by mqtt.find_device, which raises if one of them is not found; null if none is named.';

CREATE FUNCTION mqtt.finish_attempt(attempted bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
    v_tid tid;
    v_organization_id uuid;
BEGIN
    SELECT q.organization_id INTO v_organization_id FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = attempted;
    IF NOT found THEN
        RETURN 'gone';
    ELSIF NOT pg_try_advisory_xact_lock(mqtt.processing_lock(), hashtext(v_organization_id::text)) THEN
        RETURN mqtt.undo_attempt(attempted);
    END IF;
    -- Looked up and held under the lock: whoever held it before may have moved the row.
    SELECT q.ctid INTO v_tid FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = attempted FOR UPDATE;
    IF NOT found THEN
        RETURN 'gone';
    END IF;
    PERFORM mqtt.enqueue_callbacks(ARRAY[v_tid]);
    IF mqtt.store_messages(ARRAY[v_tid]) = 0 THEN
        RETURN 'gone';
    END IF;
    RETURN 'processed';
EXCEPTION
    -- Not the message's fault; what the whole batch would be tried again for.
    WHEN lock_not_available OR serialization_failure OR deadlock_detected OR disk_full OR system_error OR insufficient_privilege
        OR undefined_function OR undefined_table THEN
        RETURN mqtt.undo_attempt(attempted);
    WHEN OTHERS THEN
        RETURN mqtt.record_failure(v_tid, SQLSTATE, SQLERRM, true);
END;
$$;

ALTER FUNCTION mqtt.finish_attempt(attempted bigint) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.finish_attempt(attempted bigint) IS 'Processes the message that mqtt.begin_attempt returned: processed, failed (waits for its next attempt), dead, gone, or busy (a lock or a fault of the server was in the way: the attempt does not count).';

CREATE FUNCTION mqtt.json_reason(value json) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_detail text;
BEGIN
    PERFORM mqtt.checked_jsonb(value::text);
    RETURN NULL;
EXCEPTION
    WHEN SQLSTATE 'PT400' THEN
        GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
        RETURN v_detail;
    WHEN statement_too_complex THEN
        RETURN 'The JSON is nested too deeply.';
END;
$$;

ALTER FUNCTION mqtt.json_reason(value json) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.json_reason(value json) IS 'Why the JSON cannot be stored, in words; null when it can.';

CREATE FUNCTION mqtt.first_json_reason(elements json) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT format('messages[%s]: %s'::text, (e.ordinality - 1), mqtt.json_reason(e.value)) AS format
    FROM json_array_elements(first_json_reason.elements) WITH ORDINALITY e(value, ordinality)
   WHERE (mqtt.json_reason(e.value) IS NOT NULL)
   ORDER BY e.ordinality
  LIMIT 1;
END;

ALTER FUNCTION mqtt.first_json_reason(elements json) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.first_json_reason(elements json) IS 'Index of the first element that cannot be stored, and the reason; null when there is none.';

CREATE FUNCTION mqtt.flat_payload(payload jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN (SELECT jsonb_object_agg(v.metric, v.value) FROM mqtt.metric_values(payload, NULL) AS v);
END;
$$;

ALTER FUNCTION mqtt.flat_payload(payload jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.flat_payload(payload jsonb) IS 'The metrics of a payload (mqtt.metric_values) as the members of one object.';

CREATE FUNCTION mqtt.free_disk_bytes() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF to_regprocedure('mqtt.py_free_disk()') IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN mqtt.py_free_disk();
END;
$$;

ALTER FUNCTION mqtt.free_disk_bytes() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.free_disk_bytes() IS 'Free bytes on the data disk; null if the server has no PL/Python to find out.';

CREATE FUNCTION mqtt.has_extreme_number(value jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM jsonb_path_query(has_extreme_number.value, 'strict $.**?(@.type() == "number")'::jsonpath) n(number)
           WHERE ((n.number <> '0'::jsonb) AND (NOT ((abs((n.number)::numeric) >= 0.00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000494) AND (abs((n.number)::numeric) <= '179769313486231570000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000'::numeric)))))) AS "exists";
END;

ALTER FUNCTION mqtt.has_extreme_number(value jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.has_extreme_number(value jsonb) IS 'Whether a number in it lies outside the range of IEEE 754 double precision, which interoperable JSON keeps to (RFC 8259 section 6).';

CREATE FUNCTION mqtt.metric(payload jsonb, name text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (jsonb_typeof(payload) = 'object'::text) THEN COALESCE((payload -> name),
             CASE
                 WHEN (name ~~ '%.%'::text) THEN (payload #> string_to_array(name, '.'::text))
                 ELSE NULL::jsonb
             END)
             WHEN (name = 'value'::text) THEN payload
             ELSE NULL::jsonb
         END AS "case";
END;

ALTER FUNCTION mqtt.metric(payload jsonb, name text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.metric(payload jsonb, name text) IS 'A metric of a payload by its name: a member, or a nested one by its path, with dots; value for a payload that is not an object; null if there is none.';

CREATE FUNCTION mqtt.has_metric(payload jsonb, names text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (names IS NULL) THEN true
             WHEN (jsonb_typeof(payload) <> 'object'::text) THEN ('value'::text = ANY (names))
             ELSE ((payload ?| names) OR (EXISTS ( SELECT
                FROM unnest(has_metric.names) n(name)
               WHERE ((n.name ~~ '%.%'::text) AND (mqtt.metric(has_metric.payload, n.name) IS NOT NULL)))))
         END AS "case";
END;

ALTER FUNCTION mqtt.has_metric(payload jsonb, names text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.has_metric(payload jsonb, names text[]) IS 'Whether mqtt.telemetry_metrics of the same arguments is not null.';

CREATE FUNCTION mqtt.has_placeholder(filter text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (filter ~ '%[cmu]|\$\{'::text);
END;

ALTER FUNCTION mqtt.has_placeholder(filter text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.has_placeholder(filter text) IS 'Whether a broker would replace a part of the filter (%c, %m, %u, ${…}), often with something that the client itself chose: such a rule is not exported.';

CREATE FUNCTION mqtt.has_reading(organization_id uuid, integration_id uuid, external_id text, metric text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM mqtt.devices AS d
        WHERE d.organization_id = has_reading.organization_id AND d.integration_id = has_reading.integration_id
            AND d.external_id = has_reading.external_id AND CASE WHEN metric IS NULL THEN d.last_data IS NOT NULL ELSE d.latest ? metric END
    );
END;
$$;

ALTER FUNCTION mqtt.has_reading(organization_id uuid, integration_id uuid, external_id text, metric text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.has_reading(organization_id uuid, integration_id uuid, external_id text, metric text) IS 'Whether there is such a device, with a latest value of that metric (null: with any data).';

CREATE FUNCTION mqtt.history_to_replay(request mqtt.replay_request) RETURNS SETOF mqtt.replay_message
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN QUERY
    SELECT
        h.place, h.id, NULL::timestamptz, NULL::smallint, 'outgoing'::mqtt.message_direction, request.to_integration_id, NULL::uuid,
        jsonb_build_object('topic', h.topic, 'qos', h.qos, 'user_properties', jsonb_build_object('replay_of', h.id))
        || CASE WHEN h.body IS NULL OR jsonb_typeof(h.payload) = 'string' THEN jsonb_build_object('payload', h.payload) ELSE '{}' END
        || CASE WHEN h.content_type IS NULL THEN '{}' ELSE jsonb_build_object('content_type', h.content_type) END,
        h.body
    FROM (
        SELECT
            row_number() OVER (ORDER BY m.received_at, m.position) AS place, m.id,
            replace(coalesce(request.to_topic, '{topic}'), '{topic}', m.topic) AS topic, m.payload, m.qos,
            -- Text is sent as text; what was decoded is sent as the JSON that it became.
            CASE
                WHEN m.body IS NULL AND m.content_type ~* '^application/(.*\+)?json' THEN NULL
                ELSE coalesce(m.body, mqtt.outbound_body(m.payload, NULL))
            END AS body,
            CASE WHEN m.body IS NULL AND m.content_type ~* 'cbor|msgpack' THEN 'application/json' ELSE m.content_type END AS content_type
        FROM mqtt.mqtt_messages AS m
        WHERE m.integration_id = request.integration_id
            AND m.direction = 'incoming'
            AND m.received_at >= request.since
            AND m.received_at < coalesce(request.until, now())
            AND mqtt.topic_matches(request.topic, m.topic)
        ORDER BY m.received_at, m.position
        LIMIT request.max_messages
    ) AS h;
END;
$$;

ALTER FUNCTION mqtt.history_to_replay(request mqtt.replay_request) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.history_to_replay(request mqtt.replay_request) IS 'The incoming messages that the request selects, as messages to be published and marked with replay_of, oldest first.';

CREATE FUNCTION mqtt.topic_matches_any(filters text[], topic text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM unnest(topic_matches_any.filters) f(filter)
           WHERE mqtt.topic_matches(f.filter, topic_matches_any.topic))) AS "exists";
END;

ALTER FUNCTION mqtt.topic_matches_any(filters text[], topic text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_matches_any(filters text[], topic text) IS 'Whether a topic name matches one of the filters.';

CREATE FUNCTION mqtt.ingest_fault(topic text, qos integer, payload_bytes integer, prefix text, filters text[], max_bytes integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (mqtt.topic_name_reason(topic) IS NOT NULL) THEN 'topic_invalid'::text
             WHEN (NOT mqtt.topic_is_under(topic, prefix)) THEN 'topic_not_allowed'::text
             WHEN ((filters IS NOT NULL) AND (NOT mqtt.topic_matches_any(filters, topic))) THEN 'topic_not_allowed'::text
             WHEN ((qos IS NULL) OR ((qos < 0) OR (qos > 2))) THEN 'qos_invalid'::text
             WHEN (payload_bytes > max_bytes) THEN 'payload_too_large'::text
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.ingest_fault(topic text, qos integer, payload_bytes integer, prefix text, filters text[], max_bytes integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.ingest_fault(topic text, qos integer, payload_bytes integer, prefix text, filters text[], max_bytes integer) IS 'Slug of the first rule that the message breaks; null when it may be queued.';

CREATE FUNCTION mqtt.ingest_message(topic text, payload json, qos integer, retain boolean, content_type text, payload_encoding text, message_id uuid, sent_at text) RETURNS json
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_session mqtt.device_session;
    v_text text;
    v_payload jsonb;
    v_body bytea;
    v_fault text;
    v_sent_at CONSTANT timestamptz := mqtt.try_device_time(sent_at);
BEGIN
    SELECT s.* INTO v_session FROM mqtt.request_session() AS s;
    IF v_session.fault IS NOT NULL THEN
        RETURN mqtt.answer_wrong_login(v_session);
    END IF;
    -- A short payload without \u escapes and far exponents cannot fail, so it needs no subtransaction. A single expression, because PL/pgSQL sets
    -- up each one again in every transaction.
    v_payload := CASE
        WHEN payload_encoding IS NULL AND sent_at IS NULL AND octet_length(payload::text) <= least(1000, v_session.max_payload_bytes * 2::bigint)
            THEN mqtt.quick_jsonb(payload::text)
    END;
    IF v_payload IS NULL THEN
        v_text := payload::text;
        v_payload := 'null';
        IF octet_length(v_text) > v_session.max_payload_bytes * 2::bigint THEN
            v_fault := 'payload_too_large';
        ELSIF payload_encoding = 'base64' THEN
            v_payload := NULL;
            v_body := CASE WHEN json_typeof(payload) = 'string' THEN mqtt.try_base64(payload #>> '{}') END;
            v_fault := CASE WHEN v_body IS NULL THEN 'payload_not_base64' END;
        ELSIF payload_encoding NOT IN ('json', 'text') OR (payload_encoding = 'text' AND json_typeof(payload) <> 'string') THEN
            v_fault := 'payload_encoding_invalid';
        ELSIF payload IS NOT NULL THEN
            v_payload := mqtt.quick_jsonb(v_text);
        END IF;
        IF v_fault IS NULL AND sent_at IS NOT NULL AND v_sent_at IS NULL THEN
            v_fault := 'timestamp_invalid';
        END IF;
        IF v_fault IS NOT NULL THEN
            PERFORM mqtt.refuse_message(v_fault, topic, v_session.topic_prefix, v_session.max_payload_bytes);
        END IF;
    END IF;
    RETURN mqtt.enqueue_message(v_session, topic, v_payload, v_body, qos, retain, content_type, message_id, v_sent_at);
END;
$$;

ALTER FUNCTION mqtt.ingest_message(topic text, payload json, qos integer, retain boolean, content_type text, payload_encoding text, message_id uuid, sent_at text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.ingest_message(topic text, payload json, qos integer, retain boolean, content_type text, payload_encoding text, message_id uuid, sent_at text) IS 'Logs the device in by the headers of the request, checks its message and queues it: the general way of api.mqtt_ingest.';

CREATE FUNCTION mqtt.ingest_plain(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_is_plain boolean;
    v_organizations uuid [];
    v_accepted integer [];
    v_queued integer;
BEGIN
    SELECT
        bool_and(k.is_plain),
        array_agg(k.organization_id) FILTER (WHERE k.organization_id IS NOT NULL),
        array_agg(k.accepted) FILTER (WHERE k.organization_id IS NOT NULL)
    INTO v_is_plain, v_organizations, v_accepted
    FROM (
        SELECT
            ingest_plain.owners[m.number] AS organization_id,
            count(*)::integer AS accepted,
            bool_and(octet_length(m.payload) <= c.max_payload_bytes AND mqtt.topic_name_reason(m.topic) IS NULL) AS is_plain
        FROM (
            SELECT unnest(ingest_plain.integration_numbers) AS number, unnest(ingest_plain.topics) AS topic, unnest(ingest_plain.payloads) AS payload
        ) AS m
        CROSS JOIN mqtt.configuration AS c
        GROUP BY ingest_plain.owners[m.number]
        ORDER BY ingest_plain.owners[m.number]
    ) AS k;
    IF NOT v_is_plain THEN
        RETURN NULL;
    END IF;
    -- In the order of the arrays, which unnest keeps.
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, body)
    SELECT
        clock_timestamp(),
        mqtt.message_document(m.topic, NULL, m.qos, m.retain, NULL, NULL),
        ingest_plain.owners[m.number],
        ingest_plain.integration_ids[m.number],
        m.payload
    FROM (
        SELECT
            unnest(ingest_plain.integration_numbers) AS number,
            unnest(ingest_plain.topics) AS topic,
            unnest(ingest_plain.payloads) AS payload,
            unnest(ingest_plain.qos) AS qos,
            unnest(ingest_plain.retains) AS retain
    ) AS m
    WHERE ingest_plain.owners[m.number] IS NOT NULL;
    GET DIAGNOSTICS v_queued = ROW_COUNT;
    PERFORM mqtt.count_accepted(c.organization_id, c.accepted, c.place = 1)
    FROM unnest(v_organizations, v_accepted) WITH ORDINALITY AS c (organization_id, accepted, place);
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'queued', v_queued, 'dead', 0, 'passed_over', cardinality(ingest_plain.topics) - v_queued,
        'not_held', mqtt.not_held(ingest_plain.owners, ingest_plain.integration_ids)
    ));
END;
$$;

ALTER FUNCTION mqtt.ingest_plain(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.ingest_plain(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[]) IS 'The fast path of bridge.ingest, with its arguments (owners: the organizations of integration_ids, by place) and its result, for messages without properties, faults and several filters. Returns null and does nothing if one of them cannot be queued. The general path in bridge.ingest would queue the same.';

CREATE FUNCTION mqtt.integration_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF tg_op = 'DELETE' THEN
        -- These will never be published; their receipts say so.
        WITH dropped AS (
            DELETE FROM pgmq.q_mqtt_outbound AS q
            WHERE q.integration_id = OLD.id
            RETURNING q.*
        )
        INSERT INTO mqtt.mqtt_publish_receipts (queued_at, organization_id, id, integration_id, qos, attempts, state, topic, reason)
        SELECT
            d.enqueued_at, d.organization_id, mqtt.message_id(d.enqueued_at, d.msg_id, true), d.integration_id,
            coalesce((d.message -> 'qos')::smallint, 0), d.attempts, 'cancelled', d.message ->> 'topic', 'The integration was deleted.'
        FROM dropped AS d;
        PERFORM mqtt.log_activity(OLD.organization_id, OLD.id, 'integration_deleted', details => jsonb_build_object('name', OLD.name));
    ELSIF tg_op = 'INSERT' THEN
        PERFORM mqtt.log_activity(
            NEW.organization_id, NEW.id, 'integration_created',
            details => jsonb_build_object('name', NEW.name, 'integration_type', NEW.integration_type, 'user_id', mqtt.current_user_id())
        );
    -- The bridge switches between active and error; those changes are not logged here.
    ELSIF (NEW.name, NEW.integration_type, NEW.settings, NEW.status = 'inactive')
        IS DISTINCT FROM (OLD.name, OLD.integration_type, OLD.settings, OLD.status = 'inactive') THEN
        PERFORM mqtt.log_activity(
            NEW.organization_id, NEW.id, 'integration_updated',
            details => jsonb_build_object(
                'user_id', mqtt.current_user_id(),
                'status', NEW.status,
                'settings_changed', ARRAY(
                    SELECT coalesce(n.key, o.key)
                    FROM jsonb_each(NEW.settings) AS n
                    FULL JOIN jsonb_each(OLD.settings) AS o USING (key)
                    WHERE n.value IS DISTINCT FROM o.value
                )
            )
        );
    END IF;
    RETURN NULL;
END;
$$;

ALTER FUNCTION mqtt.integration_changed() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.integration_changed() IS 'Trigger: logs the change and the names of the changed settings; a deleted integration''s queued messages are settled as cancelled.';

CREATE FUNCTION mqtt.secret_setting_names() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ARRAY['password'::text, 'client_key'::text] AS "array";
END;

ALTER FUNCTION mqtt.secret_setting_names() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.secret_setting_names() IS 'The names of the settings that are sealed before they are stored and never shown.';

CREATE FUNCTION mqtt.visible_settings(settings jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (((settings - mqtt.secret_setting_names()) ||
         CASE
             WHEN (settings ? 'password'::text) THEN '{"has_password": true}'::jsonb
             ELSE '{}'::jsonb
         END) ||
         CASE
             WHEN (settings ? 'client_key'::text) THEN '{"has_client_key": true}'::jsonb
             ELSE '{}'::jsonb
         END);
END;

ALTER FUNCTION mqtt.visible_settings(settings jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.visible_settings(settings jsonb) IS 'The settings as they may be read: has_password and has_client_key replace the secrets.';

CREATE FUNCTION mqtt.integration_json(integration mqtt.device_integrations) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT jsonb_build_object('id', (integration).id, 'organization_id', (integration).organization_id, 'name', (integration).name, 'integration_type', (integration).integration_type, 'settings', mqtt.visible_settings((integration).settings), 'has_password', ((integration).settings ? 'password'::text), 'status', (integration).status, 'status_detail', (integration).status_detail, 'created_at', (integration).created_at, 'updated_at', (integration).updated_at) AS jsonb_build_object;
END;

ALTER FUNCTION mqtt.integration_json(integration mqtt.device_integrations) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.integration_json(integration mqtt.device_integrations) IS 'An integration as the API shows it, without secrets.';

CREATE FUNCTION mqtt.is_covered(payload jsonb, names text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (jsonb_typeof(payload) = 'object'::text) THEN (((payload - names) = '{}'::jsonb) AND (NOT jsonb_path_exists(payload, 'strict $.*?(@.type() == "object")'::jsonpath)))
             ELSE (names = '{}'::text[])
         END AS "case";
END;

ALTER FUNCTION mqtt.is_covered(payload jsonb, names text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.is_covered(payload jsonb, names text[]) IS 'Whether a payload has no metric that one with members of these names (none: one that is not an object) lacks; false also where that is not seen at once. Mostly the newest message of a device covers the others of its batch.';

CREATE VIEW mqtt.broker_integrations WITH (security_barrier='true') AS
 SELECT i.organization_id,
    i.id,
    (i.integration_type = 'mqtt_hosted'::text) AS is_hosted,
    (i.status <> 'inactive'::text) AS is_on,
    ((i.integration_type <> 'mqtt_hosted'::text) OR (NOT (EXISTS ( SELECT
           FROM mqtt.mqtt_subscriptions s
          WHERE ((s.organization_id = i.organization_id) AND (s.integration_id = i.id))
         HAVING ((count(*) FILTER (WHERE (NOT s.is_paused)) > 0) AND (count(s.granted_qos) = 0)))))) AS is_heard
   FROM mqtt.device_integrations i;

ALTER TABLE mqtt.broker_integrations OWNER TO mqtt_owner;

COMMENT ON VIEW mqtt.broker_integrations IS 'Whether the devices of an integration may log in at its broker: it must be switched on (is_on) and, at the hosted broker, one of its subscriptions must have been granted (is_heard). Everything that admits devices to a broker uses this view.';

CREATE FUNCTION mqtt.is_heard(credential mqtt.mqtt_credentials) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT i.is_heard
    FROM mqtt.broker_integrations i
   WHERE ((i.organization_id = (is_heard.credential).organization_id) AND (i.id = (is_heard.credential).integration_id));
END;

ALTER FUNCTION mqtt.is_heard(credential mqtt.mqtt_credentials) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.is_heard(credential mqtt.mqtt_credentials) IS 'Whether what a device publishes at its broker reaches the database (see mqtt.broker_integrations); until then the device is not admitted. Null without a credential.';

CREATE FUNCTION mqtt.is_news(organization_id uuid, integration_id uuid, external_id text, role text, is_retained boolean, metric text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT ((external_id IS NOT NULL) AND (role = 'telemetry'::text) AND
         CASE
             WHEN is_retained THEN (NOT mqtt.has_reading(organization_id, integration_id, external_id, metric))
             ELSE true
         END);
END;

ALTER FUNCTION mqtt.is_news(organization_id uuid, integration_id uuid, external_id text, role text, is_retained boolean, metric text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.is_news(organization_id uuid, integration_id uuid, external_id text, role text, is_retained boolean, metric text) IS 'Whether a message tells a new value of a metric (null: new data) of its device: telemetry does; but what a broker had retained tells of no new measurement, and counts where there is no value yet. A part of the statement that asks.';

CREATE FUNCTION mqtt.is_service() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (current_setting('role'::text) = 'service_role'::text);
END;

ALTER FUNCTION mqtt.is_service() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.is_service() IS 'Whether the session runs as service_role; holds inside definer functions too, since they do not change the role setting.';

CREATE FUNCTION mqtt.is_operator() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (mqtt.is_service() OR ((current_setting('role'::text) = 'none'::text) AND pg_has_role(SESSION_USER, 'mqtt_owner'::name, 'member'::text)));
END;

ALTER FUNCTION mqtt.is_operator() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.is_operator() IS 'Whether the caller is above organizations: service_role, or a direct session (psql, pg_cron) of a role that may become mqtt_owner.';

CREATE FUNCTION mqtt.is_private_address(address inet) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM unnest(ARRAY['0.0.0.0/8'::inet, '10.0.0.0/8'::inet, '100.64.0.0/10'::inet, '127.0.0.0/8'::inet, '169.254.0.0/16'::inet, '172.16.0.0/12'::inet, '192.0.0.0/24'::inet, '192.168.0.0/16'::inet, '198.18.0.0/15'::inet, '224.0.0.0/4'::inet, '240.0.0.0/4'::inet, '::/96'::inet, '::ffff:0.0.0.0/96'::inet, '64:ff9b::/32'::inet, '2001::/32'::inet, '2002::/16'::inet, 'fc00::/7'::inet, 'fe80::/10'::inet, 'fec0::/10'::inet, 'ff00::/8'::inet]) n(net)
           WHERE ((host(is_private_address.address))::inet <<= n.net))) AS "exists";
END;

ALTER FUNCTION mqtt.is_private_address(address inet) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.is_private_address(address inet) IS 'Whether an address is loopback, link-local (cloud metadata), private, multicast, reserved or may embed one (RFC 6890, RFC 4193).';

CREATE FUNCTION mqtt.jsonb_integer_between(value jsonb, low bigint, high bigint) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (jsonb_typeof(value) = 'number'::text) THEN (((value)::numeric = trunc((value)::numeric)) AND (((value)::numeric >= (low)::numeric) AND ((value)::numeric <= (high)::numeric)))
             ELSE false
         END AS "case";
END;

ALTER FUNCTION mqtt.jsonb_integer_between(value jsonb, low bigint, high bigint) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.jsonb_integer_between(value jsonb, low bigint, high bigint) IS 'Whether the value is a whole JSON number within the bounds.';

CREATE FUNCTION mqtt.jsonb_text_reason(value jsonb, max_bytes integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((jsonb_typeof(value) <> 'string'::text) OR (value = '""'::jsonb) OR (octet_length((value #>> '{}'::text[])) > max_bytes)) THEN format('must be a string of 1 to %s bytes'::text, max_bytes)
             WHEN ((value #>> '{}'::text[]) ~ '[\u0001-\u001f\u007f-\u009f]'::text) THEN 'must not have control characters'::text
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.jsonb_text_reason(value jsonb, max_bytes integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.jsonb_text_reason(value jsonb, max_bytes integer) IS 'Why the value is not a JSON string of that size without control characters, as the end of a sentence; null if it is one.';

CREATE FUNCTION mqtt.topic_pattern_reason(pattern text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (octet_length(pattern) > 1024) THEN 'must have at most 1,024 bytes'::text
             WHEN (( SELECT count(*) AS count
                FROM string_to_table(topic_pattern_reason.pattern, '/'::text) l(level)
               WHERE (l.level = '{device_id}'::text)) <> 1) THEN 'must have {device_id} as exactly one of its levels'::text
             WHEN (( SELECT count(*) AS count
                FROM string_to_table(topic_pattern_reason.pattern, '/'::text) l(level)
               WHERE (l.level = '{message_type}'::text)) > 1) THEN 'may have {message_type} as one level only'::text
             WHEN (pattern ~~ '_%{organization_prefix}%'::text) THEN 'may have {organization_prefix} as its first level only'::text
             WHEN (EXISTS ( SELECT
                FROM string_to_table(topic_pattern_reason.pattern, '/'::text) l(level)
               WHERE ((l.level ~ '[{}]'::text) AND (l.level <> ALL (ARRAY['{organization_prefix}'::text, '{device_id}'::text, '{message_type}'::text]))))) THEN 'may have no placeholders other than {organization_prefix}, {device_id} and {message_type}, each as a whole level'::text
             WHEN starts_with(pattern, '$share/'::text) THEN 'must not start with $share/'::text
             ELSE ('is not a topic filter: '::text || mqtt.topic_filter_reason(regexp_replace(pattern, '\{[a-z_]+\}'::text, '+'::text, 'g'::text)))
         END AS "case";
END;

ALTER FUNCTION mqtt.topic_pattern_reason(pattern text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_pattern_reason(pattern text) IS 'Why this is not a topic pattern, as the end of a sentence; null if it is one: levels of text, + (any), {organization_prefix}, {device_id}, {message_type}, and # at the end.';

CREATE FUNCTION mqtt.try_base64(value text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (value ~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$'::text) THEN decode(value, 'base64'::text)
             ELSE NULL::bytea
         END AS "case";
END;

ALTER FUNCTION mqtt.try_base64(value text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.try_base64(value text) IS 'Base64 text (RFC 4648 section 4, padded) as bytes; null when it is none.';

CREATE FUNCTION mqtt.setting_reason(name text, value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (name = ANY (ARRAY['use_tls'::text, 'verify_certificate'::text, 'clean_start'::text])) THEN
             CASE
                 WHEN (jsonb_typeof(value) <> 'boolean'::text) THEN 'must be true or false'::text
                 ELSE NULL::text
             END
             WHEN (name = ANY (ARRAY['port'::text, 'outbound_max_in_flight'::text])) THEN
             CASE
                 WHEN (NOT mqtt.jsonb_integer_between(value, (1)::bigint, (65535)::bigint)) THEN 'must be a whole number from 1 to 65535'::text
                 ELSE NULL::text
             END
             WHEN (name = 'keepalive'::text) THEN
             CASE
                 WHEN (NOT mqtt.jsonb_integer_between(value, (5)::bigint, (65535)::bigint)) THEN 'must be a whole number of seconds from 5 to 65535'::text
                 ELSE NULL::text
             END
             WHEN (name = 'session_expiry'::text) THEN
             CASE
                 WHEN (NOT mqtt.jsonb_integer_between(value, (0)::bigint, '4294967295'::bigint)) THEN 'must be a whole number of seconds from 0 to 4294967295'::text
                 ELSE NULL::text
             END
             WHEN (name = 'max_attempts'::text) THEN
             CASE
                 WHEN (NOT mqtt.jsonb_integer_between(value, (1)::bigint, (100)::bigint)) THEN 'must be a whole number from 1 to 100'::text
                 ELSE NULL::text
             END
             WHEN (name = 'protocol'::text) THEN
             CASE
                 WHEN (value <> ALL (ARRAY['"mqtt"'::jsonb, '"mqtts"'::jsonb, '"ws"'::jsonb, '"wss"'::jsonb])) THEN 'must be "mqtt", "mqtts", "ws" or "wss"'::text
                 ELSE NULL::text
             END
             WHEN (name = 'mqtt_version'::text) THEN
             CASE
                 WHEN (value <> ALL (ARRAY['"3.1.1"'::jsonb, '"5"'::jsonb])) THEN 'must be "3.1.1" or "5"'::text
                 ELSE NULL::text
             END
             WHEN (name = 'content_type'::text) THEN
             CASE
                 WHEN ((value #>> '{}'::text[]) !~ '^[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}( *; *[A-Za-z0-9!#$&^_.+-]+=("[^"]*"|[A-Za-z0-9!#$&^_.+-]+))*$'::text) THEN 'must be a media type, such as application/cbor'::text
                 ELSE mqtt.jsonb_text_reason(value, 255)
             END
             WHEN (name = 'path'::text) THEN
             CASE
                 WHEN ((value #>> '{}'::text[]) !~ '^/[!-~]*$'::text) THEN 'must start with / and consist of printable ASCII'::text
                 ELSE mqtt.jsonb_text_reason(value, 1024)
             END
             WHEN (name = ANY (ARRAY['ca_certificate'::text, 'client_certificate'::text])) THEN
             CASE
                 WHEN ((jsonb_typeof(value) <> 'string'::text) OR (octet_length((value #>> '{}'::text[])) > 524288) OR ((value #>> '{}'::text[]) !~ '^\s*([^-]*\s)?-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----'::text)) THEN 'must be one or more certificates in PEM form (-----BEGIN CERTIFICATE-----), at most 512 KiB'::text
                 ELSE NULL::text
             END
             WHEN (name = 'alpn'::text) THEN
             CASE
                 WHEN ((jsonb_typeof(value) <> 'array'::text) OR (NOT jsonb_path_match(value, '(($.size() > 0 && $.size() <= 16) && !(exists ($[*]?(@.type() != "string" || !(@ like_regex "^[!-~]{1,255}$")))))'::jsonpath))) THEN 'must be an array of 1 to 16 protocol names, such as ["mqtt"]'::text
                 ELSE NULL::text
             END
             WHEN (name = 'topic_pattern'::text) THEN COALESCE(mqtt.jsonb_text_reason(value, 1024), mqtt.topic_pattern_reason((value #>> '{}'::text[])))
             WHEN (name = 'status_topic'::text) THEN COALESCE(mqtt.jsonb_text_reason(value, 65535), ('is not a topic name: '::text || mqtt.topic_name_reason((value #>> '{}'::text[]))))
             WHEN (name = ANY (ARRAY['broker_url'::text, 'username'::text, 'client_id'::text, 'server_name'::text])) THEN mqtt.jsonb_text_reason(value,
             CASE name
                 WHEN 'username'::text THEN 65535
                 WHEN 'client_id'::text THEN 1024
                 WHEN 'server_name'::text THEN 253
                 ELSE 2048
             END)
             WHEN (jsonb_typeof(value) = 'object'::text) THEN
             CASE
                 WHEN (((value - '{sealed,key}'::text[]) <> '{}'::jsonb) OR (jsonb_typeof((value -> 'sealed'::text)) IS DISTINCT FROM 'string'::text) OR ((COALESCE(octet_length(mqtt.try_base64((value ->> 'sealed'::text))), 0) < 48) OR (COALESCE(octet_length(mqtt.try_base64((value ->> 'sealed'::text))), 0) > 65583)) OR ((value ? 'key'::text) AND ((jsonb_typeof((value -> 'key'::text)) <> 'string'::text) OR ((value ->> 'key'::text) !~ '^[0-9a-f]{16}$'::text)))) THEN 'must be a string, or {"sealed": "<base64 of a libsodium sealed box>"}, optionally with "key", the id of the key'::text
                 ELSE NULL::text
             END
             WHEN ((jsonb_typeof(value) <> 'string'::text) OR (value = '""'::jsonb) OR (octet_length((value #>> '{}'::text[])) > 65535)) THEN 'must be a string of 1 to 65535 bytes, or {"sealed": "<base64 of a libsodium sealed box>"}'::text
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.setting_reason(name text, value jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.setting_reason(name text, value jsonb) IS 'Why the setting of that name cannot have this value, as the end of a sentence, which never has the value in it; null if it can.';

CREATE FUNCTION mqtt.is_resealed(old_settings jsonb, new_settings jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ((old_settings <> new_settings) AND ((old_settings - mqtt.secret_setting_names()) = (new_settings - mqtt.secret_setting_names())) AND (NOT (EXISTS ( SELECT
            FROM unnest(mqtt.secret_setting_names()) n(name)
           WHERE (((is_resealed.old_settings -> n.name) IS DISTINCT FROM (is_resealed.new_settings -> n.name)) AND (((jsonb_typeof((is_resealed.old_settings -> n.name)) = 'object'::text) AND (jsonb_typeof((is_resealed.new_settings -> n.name)) = 'object'::text) AND (mqtt.setting_reason(n.name, (is_resealed.new_settings -> n.name)) IS NULL)) IS NOT TRUE))))));
END;

ALTER FUNCTION mqtt.is_resealed(old_settings jsonb, new_settings jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.is_resealed(old_settings jsonb, new_settings jsonb) IS 'Whether only the sealed boxes of secrets have changed.';

CREATE FUNCTION mqtt.is_valid_now(credential mqtt.mqtt_credentials) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (((credential).revoked_at IS NULL) AND (((credential).expires_at > now()) IS NOT FALSE));
END;

ALTER FUNCTION mqtt.is_valid_now(credential mqtt.mqtt_credentials) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.is_valid_now(credential mqtt.mqtt_credentials) IS 'Whether a credential is neither revoked nor expired.';

CREATE FUNCTION mqtt.judged_messages(messages jsonb, faults text[], prefix text, filters text[], max_bytes integer) RETURNS TABLE(ordinality bigint, topic text, payload jsonb, body bytea, qos text, retain text, content_type text, stamped_at timestamp with time zone, message_id text, rule text)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT t.ordinality,
     t.topic,
     t.payload,
     t.body,
     COALESCE(t.qos, '0'::text) AS "coalesce",
     COALESCE(t.retain, 'false'::text) AS "coalesce",
     t.content_type,
     t.stamped_at,
     t.message_id,
         CASE
             WHEN ((judged_messages.faults)[t.ordinality] IS NOT NULL) THEN 'payload_invalid'::text
             WHEN (jsonb_typeof(t.value) <> 'object'::text) THEN 'message_invalid'::text
             WHEN ((t.value - '{topic,payload,qos,retain,content_type,payload_encoding,message_id,timestamp}'::text[]) <> '{}'::jsonb) THEN 'message_invalid'::text
             WHEN (jsonb_typeof((t.value -> 'topic'::text)) IS DISTINCT FROM 'string'::text) THEN 'topic_invalid'::text
             WHEN (t.payload IS NULL) THEN 'payload_missing'::text
             WHEN ((t.qos IS NOT NULL) AND (t.qos <> ALL (ARRAY['0'::text, '1'::text, '2'::text]))) THEN 'qos_invalid'::text
             WHEN ((t.retain IS NOT NULL) AND (t.retain <> ALL (ARRAY['true'::text, 'false'::text]))) THEN 'retain_invalid'::text
             WHEN ((t.encoding = 'base64'::text) AND (t.body IS NULL)) THEN 'payload_not_base64'::text
             WHEN ((t.encoding IS NOT NULL) AND (t.encoding <> ALL (ARRAY['json'::text, 'text'::text, 'base64'::text]))) THEN 'payload_encoding_invalid'::text
             WHEN ((t.encoding = 'text'::text) AND (jsonb_typeof(t.payload) <> 'string'::text)) THEN 'payload_encoding_invalid'::text
             WHEN (octet_length(t.content_type) > 255) THEN 'content_type_invalid'::text
             WHEN (NOT mqtt.is_uuid(t.message_id)) THEN 'message_id_invalid'::text
             WHEN ((t.sent_at IS NOT NULL) AND (t.stamped_at IS NULL)) THEN 'timestamp_invalid'::text
             ELSE mqtt.ingest_fault(t.topic, 0, COALESCE(octet_length(t.body), pg_column_size(t.payload)), judged_messages.prefix, judged_messages.filters, judged_messages.max_bytes)
         END AS ingest_fault
    FROM ( SELECT i.ordinality,
             i.value,
             i.topic,
             i.payload,
             i.qos,
             i.retain,
             i.content_type,
             i.encoding,
             i.message_id,
             i.sent_at,
                 CASE
                     WHEN (i.encoding = 'base64'::text) THEN mqtt.try_base64((i.payload #>> '{}'::text[]))
                     ELSE NULL::bytea
                 END AS body,
                 CASE
                     WHEN (i.sent_at IS NOT NULL) THEN mqtt.try_device_time(i.sent_at)
                     ELSE NULL::timestamp with time zone
                 END AS stamped_at
            FROM ( SELECT e.ordinality,
                     e.value,
                     (e.value ->> 'topic'::text) AS topic,
                     (e.value -> 'payload'::text) AS payload,
                     (e.value ->> 'qos'::text) AS qos,
                     (e.value ->> 'retain'::text) AS retain,
                     (e.value ->> 'content_type'::text) AS content_type,
                     (e.value ->> 'payload_encoding'::text) AS encoding,
                     (e.value ->> 'message_id'::text) AS message_id,
                     (e.value ->> 'timestamp'::text) AS sent_at
                    FROM jsonb_array_elements(judged_messages.messages) WITH ORDINALITY e(value, ordinality)
                  OFFSET 0) i
          OFFSET 0) t;
END;

ALTER FUNCTION mqtt.judged_messages(messages jsonb, faults text[], prefix text, filters text[], max_bytes integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.judged_messages(messages jsonb, faults text[], prefix text, filters text[], max_bytes integer) IS 'The messages of an array, taken apart, each with the slug of the first rule that it breaks (null when none). faults: mqtt.message_reasons, or null. A part of the statement that asks.';

CREATE TABLE mqtt.deferred_device_ids (
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    external_id text NOT NULL,
    device_id uuid NOT NULL
);

ALTER TABLE mqtt.deferred_device_ids OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.deferred_device_ids IS 'Which device it is, once its updates were deferred: found here without reading the versions it has in mqtt.devices. Else empty.';

CREATE FUNCTION mqtt.known_device(organization_id uuid, integration_id uuid, external_id text) RETURNS TABLE(id uuid)
    LANGUAGE sql STABLE ROWS 1
    BEGIN ATOMIC
 SELECT d.id
    FROM ((( SELECT known_device.organization_id AS organization_id,
             known_device.integration_id AS integration_id,
             known_device.external_id AS external_id) n
      LEFT JOIN mqtt.deferred_device_ids r USING (organization_id, integration_id, external_id))
      CROSS JOIN LATERAL ( SELECT r.device_id AS id
           WHERE (r.device_id IS NOT NULL)
         UNION ALL
          SELECT x.id
            FROM mqtt.devices x
           WHERE ((r.device_id IS NULL) AND (x.organization_id = n.organization_id) AND (x.integration_id = n.integration_id) AND (x.external_id = n.external_id))) d);
END;

ALTER FUNCTION mqtt.known_device(organization_id uuid, integration_id uuid, external_id text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.known_device(organization_id uuid, integration_id uuid, external_id text) IS 'The device, if there is one: among those whose updates were deferred before its versions in mqtt.devices are read. A part of the statement that asks.';

CREATE FUNCTION mqtt.latest_data(known jsonb, known_at timestamp with time zone, data jsonb, data_at timestamp with time zone) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (data_at >= COALESCE(known_at, '-infinity'::timestamp with time zone)) THEN COALESCE(data, known)
             ELSE known
         END AS known;
END;

ALTER FUNCTION mqtt.latest_data(known jsonb, known_at timestamp with time zone, data jsonb, data_at timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.latest_data(known jsonb, known_at timestamp with time zone, data jsonb, data_at timestamp with time zone) IS 'A device''s last_data once data has come as well: what was measured last, and is JSON.';

CREATE FUNCTION mqtt.ledger_level_hour() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT '-2'::integer;
END;

ALTER FUNCTION mqtt.ledger_level_hour() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.ledger_level_hour() IS 'Ledger rows that were added up to the hour.';

CREATE FUNCTION mqtt.ledger_level_minute() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT '-3'::integer;
END;

ALTER FUNCTION mqtt.ledger_level_minute() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.ledger_level_minute() IS 'Ledger rows that were added up to the minute.';

CREATE FUNCTION mqtt.ledger_level_outcomes() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT '-1'::integer;
END;

ALTER FUNCTION mqtt.ledger_level_outcomes() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.ledger_level_outcomes() IS 'Ledger rows that tell what became of messages, for each minute in which they were accepted.';

CREATE FUNCTION mqtt.ledger_level_settled() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT '-4'::integer;
END;

ALTER FUNCTION mqtt.ledger_level_settled() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.ledger_level_settled() IS 'Ledger rows of an hour (or of all that is older than any term of retention) whose messages are all settled. Indexes, which need a literal, have it as -4.';

CREATE FUNCTION mqtt.ledger_shard() RETURNS integer
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT ((pg_backend_pid() % 64) + (64 * ((date_part('second'::text, now()))::integer / 5)));
END;

ALTER FUNCTION mqtt.ledger_shard() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.ledger_shard() IS 'Where this backend counts what it accepts now: its own row, so that no two wait for one, and a new one every 5 seconds, since while an old transaction holds back vacuum each update reads all earlier versions of its row.';

CREATE FUNCTION mqtt.live_bridges(caller_id uuid) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT count(*)
    FROM mqtt.bridges AS b
    WHERE b.id = caller_id
        OR mqtt.bridge_lock(b.id) IN (
            SELECT k.classid::bigint << 32 | k.objid::bigint
            FROM pg_catalog.pg_locks AS k
            WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
                AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
        );
$$;

ALTER FUNCTION mqtt.live_bridges(caller_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.live_bridges(caller_id uuid) IS 'How many bridges share the work: the caller and those that hold the lock on their id. One that has just ended no longer counts.';

CREATE FUNCTION mqtt.lock_organizations(candidates jsonb, start uuid, due_at timestamp with time zone, share integer, most integer, room integer, OUT organizations uuid[], OUT firsts timestamp with time zone[], OUT waiting integer[], OUT kept uuid[], OUT busy uuid, OUT due integer) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_next record;
    v_room integer := room;
BEGIN
    organizations := '{}';
    firsts := '{}';
    waiting := '{}';
    kept := '{}';
    due := 0;
    FOR v_next IN
        SELECT c.id, f.first, f.waiting
        FROM (
            SELECT j.key::uuid AS id, j.value::timestamptz AS mark FROM jsonb_each_text(candidates) AS j ORDER BY j.key::uuid <= start, j.key::uuid
        ) AS c
        CROSS JOIN LATERAL (
            SELECT min(x.vt) AS first, count(*) AS waiting
            FROM (
                SELECT q.vt
                FROM pgmq.q_mqtt_messages AS q
                WHERE q.organization_id = c.id AND q.vt > c.mark AND q.vt <= due_at
                ORDER BY q.vt
                LIMIT share
            ) AS x
        ) AS f
        WHERE f.waiting > 0
    LOOP
        EXIT WHEN v_room = 0 OR cardinality(organizations) >= most;
        due := due + 1;
        -- One worker at a time takes from an organization: that keeps order and spares deadlocks.
        IF pg_try_advisory_xact_lock(mqtt.processing_lock(), hashtext(v_next.id::text)) THEN
            organizations := organizations || v_next.id;
            -- What is dead has been read once now, and need not be again when rows are taken.
            firsts := firsts || v_next.first - interval '1 microsecond';
            waiting := waiting || least(v_next.waiting, v_room)::integer;
            v_room := v_room - least(v_next.waiting, v_room)::integer;
            CONTINUE WHEN v_next.waiting < share;
        ELSE
            busy := coalesce(busy, v_next.id);
        END IF;
        kept := kept || v_next.id;
    END LOOP;
END;
$$;

ALTER FUNCTION mqtt.lock_organizations(candidates jsonb, start uuid, due_at timestamp with time zone, share integer, most integer, room integer, OUT organizations uuid[], OUT firsts timestamp with time zone[], OUT waiting integer[], OUT kept uuid[], OUT busy uuid, OUT due integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.lock_organizations(candidates jsonb, start uuid, due_at timestamp with time zone, share integer, most integer, room integer, OUT organizations uuid[], OUT firsts timestamp with time zone[], OUT waiting integer[], OUT kept uuid[], OUT busy uuid, OUT due integer) IS 'Locks organizations with due messages for this transaction, those after start first, until there is no room for more messages: with the time before the first and how many are due (at most share). kept: those that will have more; busy: the first that another worker is at; due: how many had any. A part of mqtt.due_messages.';

CREATE FUNCTION mqtt.log_activity(organization_id uuid, integration_id uuid, activity_type text, status text DEFAULT 'success'::text, details jsonb DEFAULT NULL::jsonb, error_message text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    -- PL/pgSQL, since it keeps the plan, and since Citus plans no SQL function with arguments.
    INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, details, error_message)
    VALUES (
        log_activity.organization_id, log_activity.integration_id, log_activity.activity_type, log_activity.status, log_activity.details,
        left(log_activity.error_message, 2000)
    );
END;
$$;

ALTER FUNCTION mqtt.log_activity(organization_id uuid, integration_id uuid, activity_type text, status text, details jsonb, error_message text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.log_activity(organization_id uuid, integration_id uuid, activity_type text, status text, details jsonb, error_message text) IS 'Writes one row of the activity log.';

CREATE FUNCTION mqtt.log_expired_credentials() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    WITH expired AS (
        UPDATE mqtt.mqtt_credentials AS c
        SET is_expiry_logged = true
        WHERE NOT c.is_expiry_logged AND c.revoked_at IS NULL AND c.expires_at IS NOT NULL AND c.expires_at <= now()
        RETURNING c.organization_id, c.integration_id, c.id, c.username, c.expires_at
    ),
    logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, details)
        SELECT
            e.organization_id, e.integration_id, 'credential_expired', 'success',
            jsonb_build_object('credential_id', e.id, 'username', e.username, 'expires_at', e.expires_at)
        FROM expired AS e
        RETURNING 1
    )
    SELECT count(*) FROM logged;
$$;

ALTER FUNCTION mqtt.log_expired_credentials() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.log_expired_credentials() IS 'Writes credential_expired to the activity log, once for each credential whose expires_at has passed since the last run; returns how many. Logins are refused from expires_at on, whether this has run or not.';

CREATE FUNCTION mqtt.log_subscription() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF tg_op = 'DELETE' THEN
        PERFORM mqtt.log_activity(
            OLD.organization_id, OLD.integration_id, 'subscription_removed',
            details => jsonb_build_object('subscription_id', OLD.id, 'topic', left(OLD.topic, 500), 'user_id', mqtt.current_user_id())
        );
    ELSE
        PERFORM mqtt.log_activity(
            NEW.organization_id, NEW.integration_id, 'subscription_added',
            details => jsonb_build_object('subscription_id', NEW.id, 'topic', left(NEW.topic, 500), 'qos', NEW.qos, 'user_id', mqtt.current_user_id())
        );
    END IF;
    RETURN NULL;
END;
$$;

ALTER FUNCTION mqtt.log_subscription() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.log_subscription() IS 'Trigger: logs that a subscription was added or removed.';

CREATE FUNCTION mqtt.longest_term(term text) RETURNS integer
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_days integer;
BEGIN
    EXECUTE format('SELECT greatest(max(c.%1$I), max(o.%1$I)) FROM mqtt.configuration AS c LEFT JOIN mqtt.organizations AS o ON true', term) INTO v_days;
    RETURN v_days;
END;
$_$;

ALTER FUNCTION mqtt.longest_term(term text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.longest_term(term text) IS 'Days that a table is kept for the sake of the organization that keeps it longest; term names a column of configuration and organizations.';

CREATE FUNCTION mqtt.maintenance_jobs() RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_jobs integer;
BEGIN
    IF to_regnamespace('cron') IS NULL THEN
        RETURN 0;
    -- A name that may not be looked up is an error, so the schema comes first.
    ELSIF NOT has_schema_privilege('cron', 'usage') THEN
        RETURN NULL;
    ELSIF to_regclass('cron.job') IS NULL THEN
        RETURN 0;
    ELSIF NOT has_table_privilege('cron.job', 'select') THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT count(*) FROM %s AS j WHERE j.active AND j.command ~ $1', to_regclass('cron.job'))
    INTO v_jobs USING 'mqtt\.(run_maintenance|work_queue|process_batch|apply_retention)|api\.(process|cleanup)_mqtt_queue';
    RETURN v_jobs;
END;
$_$;

ALTER FUNCTION mqtt.maintenance_jobs() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.maintenance_jobs() IS 'How many jobs of pg_cron do what the bridge does; null if mqtt_owner may not see them.';

CREATE FUNCTION mqtt.maintenance_lock() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT 1953460324;
END;

ALTER FUNCTION mqtt.maintenance_lock() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.maintenance_lock() IS 'Advisory lock of periodic maintenance, with 0: one caller at a time.';

CREATE FUNCTION mqtt.merged_latest(known jsonb, news jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN mqtt.newest_metrics(known || coalesce((
        SELECT jsonb_object_agg(n.key, n.value)
        FROM jsonb_each(news) AS n
        WHERE (n.value ->> 'at')::timestamptz >= coalesce((known -> n.key ->> 'at')::timestamptz, '-infinity')
    ), '{}'));
END;
$$;

ALTER FUNCTION mqtt.merged_latest(known jsonb, news jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.merged_latest(known jsonb, news jsonb) IS 'The general way of mqtt.newest_values: each metric for itself.';

CREATE FUNCTION mqtt.message_id(enqueued_at timestamp with time zone, msg_id bigint, outbound boolean DEFAULT false) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (((lpad(to_hex((floor((date_part('epoch'::text, (enqueued_at - '1970-01-01 00:00:00+00'::timestamp with time zone)) * (1000)::double precision)))::bigint), 12, '0'::text) ||
         CASE
             WHEN outbound THEN '8001'::text
             ELSE '8000'::text
         END) || to_hex(('-9223372036854775808'::bigint | msg_id))))::uuid AS uuid;
END;

ALTER FUNCTION mqtt.message_id(enqueued_at timestamp with time zone, msg_id bigint, outbound boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.message_id(enqueued_at timestamp with time zone, msg_id bigint, outbound boolean) IS 'UUID version 8 (RFC 9562 section 5.8) of a queued message: 48 bits of Unix milliseconds, queue 0 in or 1 out, 62 bits of msg_id. Finding a message by it needs no index of its own.';

CREATE FUNCTION mqtt.message_id_number(message_id uuid, outbound boolean DEFAULT false) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (substr((message_id)::text, 15, 4) =
             CASE
                 WHEN outbound THEN '8001'::text
                 ELSE '8000'::text
             END) THEN (((('x'::text || replace(substr((message_id)::text, 20), '-'::text, ''::text)))::bit(64))::bigint & '4611686018427387903'::bigint)
             ELSE NULL::bigint
         END AS "case";
END;

ALTER FUNCTION mqtt.message_id_number(message_id uuid, outbound boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.message_id_number(message_id uuid, outbound boolean) IS 'The msg_id inside a message id that mqtt.message_id made; null for a client''s own.';

CREATE FUNCTION mqtt.message_id_time(message_id uuid) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (substr((message_id)::text, 15, 3) = '800'::text) THEN to_timestamp((((((('x'::text || lpad(replace("left"((message_id)::text, 13), '-'::text, ''::text), 16, '0'::text)))::bit(64))::bigint)::numeric / 1000.0))::double precision)
             ELSE NULL::timestamp with time zone
         END AS "case";
END;

ALTER FUNCTION mqtt.message_id_time(message_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.message_id_time(message_id uuid) IS 'When the message was queued, to the millisecond below, by a message id that mqtt.message_id made; null for a client''s own.';

CREATE FUNCTION mqtt.message_reasons(messages json, nul_mark text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT array_agg(
         CASE
             WHEN (strpos((e.value)::text, message_reasons.nul_mark) > 0) THEN 'The JSON holds \u0000, which Postgres text cannot hold.'::text
             ELSE mqtt.json_reason(e.value)
         END ORDER BY e.ordinality) AS array_agg
    FROM json_array_elements(message_reasons.messages) WITH ORDINALITY e(value, ordinality);
END;

ALTER FUNCTION mqtt.message_reasons(messages json, nul_mark text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.message_reasons(messages json, nul_mark text) IS 'For each element why it cannot be stored as JSON, null where it can; for batches that hold such an element. nul_mark stands where \u0000 stood.';

CREATE TABLE mqtt.mqtt_messages (
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    integration_id uuid NOT NULL,
    device_id uuid,
    sent_at timestamp with time zone,
    measured_at timestamp with time zone NOT NULL,
    "position" bigint NOT NULL,
    direction mqtt.message_direction NOT NULL,
    qos smallint DEFAULT 0 NOT NULL,
    retain boolean DEFAULT false NOT NULL,
    topic text NOT NULL,
    message_type text,
    payload jsonb NOT NULL,
    content_type text,
    body bytea,
    decode_error text,
    properties jsonb
)
PARTITION BY RANGE (received_at);

ALTER TABLE mqtt.mqtt_messages OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.mqtt_messages IS 'Every message stored, in (from devices) and out (published); partitioned by UTC day of received_at.';

COMMENT ON COLUMN mqtt.mqtt_messages.received_at IS 'When the database accepted it, by the database''s clock.';

COMMENT ON COLUMN mqtt.mqtt_messages.created_at IS 'When it was stored here; created_at - received_at is its time in the queue.';

COMMENT ON COLUMN mqtt.mqtt_messages.id IS 'Message id that the sender was told; a receipt id for outgoing messages.';

COMMENT ON COLUMN mqtt.mqtt_messages.sent_at IS 'Time that the device stamped on it, if it did.';

COMMENT ON COLUMN mqtt.mqtt_messages.measured_at IS 'sent_at where that is plausible (configuration.max_time_behind, max_time_ahead), else received_at.';

COMMENT ON COLUMN mqtt.mqtt_messages."position" IS 'Order of acceptance, among messages of the same time: its number in the queue. Never shown outside, where it would count the messages of all organizations.';

COMMENT ON COLUMN mqtt.mqtt_messages.direction IS 'incoming or outgoing, seen from the database.';

COMMENT ON COLUMN mqtt.mqtt_messages.message_type IS 'Topic level that topic_pattern named {message_type} when it was stored; null where it named none.';

COMMENT ON COLUMN mqtt.mqtt_messages.payload IS 'The payload as JSON: as sent, or decoded from its content type; JSON null when body holds it instead.';

COMMENT ON COLUMN mqtt.mqtt_messages.content_type IS 'Media type that came with it (MQTT 5 section 3.3.2.3.9), if any.';

COMMENT ON COLUMN mqtt.mqtt_messages.body IS 'The payload byte for byte, where it has no JSON form.';

COMMENT ON COLUMN mqtt.mqtt_messages.decode_error IS 'Why the payload could not be decoded as its content type says; null when it could.';

COMMENT ON COLUMN mqtt.mqtt_messages.properties IS 'MQTT 5 properties and other facts that came with it, if any.';

CREATE FUNCTION mqtt.messages(request mqtt.message_request) RETURNS SETOF mqtt.mqtt_messages
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_sort TO 'on'
    AS $$
DECLARE
    v_query CONSTANT text := mqtt.messages_sql(request);
    v_since timestamptz := coalesce(request.since, '-infinity');
    v_until timestamptz := coalesce(request.until, 'infinity');
    v_days integer := 1;
    v_from timestamptz;
    v_to timestamptz;
    v_missing integer := request.most;
    v_found integer;
BEGIN
    -- The planner overestimates how selective filters are, and would read and sort all to take the newest; but a device's own index has another order.
    PERFORM set_config('enable_sort', (request.device_id IS NOT NULL)::text, true);
    -- From one end, over more and more days at a time: a plan for the few that have enough is made sooner than one for all that there are.
    LOOP
        v_from := v_since;
        v_to := v_until;
        IF v_days > 64 OR (request.is_oldest_first AND v_since = '-infinity') THEN
            NULL;
        ELSIF request.is_oldest_first THEN
            v_to := least(v_until, date_trunc('day', v_since, 'UTC') + make_interval(days => v_days));
        ELSE
            v_from := greatest(v_since, date_trunc('day', least(v_until, now()) - interval '1 microsecond', 'UTC') - make_interval(days => v_days - 1));
        END IF;
        RETURN QUERY EXECUTE v_query USING request, v_from, v_to, v_missing;
        GET DIAGNOSTICS v_found = ROW_COUNT;
        v_missing := v_missing - v_found;
        EXIT WHEN v_missing <= 0 OR (v_from <= v_since AND v_to >= v_until);
        IF request.is_oldest_first THEN
            v_since := v_to;
        ELSE
            v_until := v_from;
        END IF;
        v_days := v_days * 4;
    END LOOP;
END;
$$;

ALTER FUNCTION mqtt.messages(request mqtt.message_request) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.messages(request mqtt.message_request) IS 'The messages that a request selects among those that the caller sees, by when they were received and in the order of acceptance.';

CREATE FUNCTION mqtt.messages_sql(request mqtt.message_request) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    -- An id is in the key of the organization.
    v_is_by_integration CONSTANT boolean := request.integration_id IS NOT NULL AND request.id IS NULL;
    v_conditions CONSTANT text := concat(
        CASE WHEN request.integration_id IS NOT NULL THEN ' AND m.integration_id = ($1).integration_id' END,
        CASE WHEN request.device_id IS NOT NULL THEN ' AND m.device_id = ($1).device_id' END,
        CASE WHEN request.topic IS NOT NULL THEN ' AND m.topic = ($1).topic' END,
        CASE WHEN request.topic_pattern IS NOT NULL THEN ' AND m.topic ~ ($1).topic_pattern' END,
        CASE WHEN request.id IS NOT NULL THEN ' AND m.id = ($1).id' END,
        CASE WHEN request.direction IS NOT NULL THEN ' AND m.direction = ($1).direction' END,
        CASE WHEN request.stored_since IS NOT NULL THEN ' AND m.created_at >= ($1).stored_since' END,
        CASE WHEN request.cursor_at IS NOT NULL THEN format(
            ' AND (m.received_at, m.position, m.id) %s (($1).cursor_at, ($1).cursor_position, ($1).cursor_id)',
            CASE WHEN request.is_oldest_first THEN '>' ELSE '<' END
        ) END
    );
BEGIN
    -- Each organization or integration by an index of its own, merged: of several at once, Postgres would read all to sort them.
    RETURN format(
        'SELECT t.* FROM unnest(%s) AS s (id) CROSS JOIN LATERAL (SELECT m.* FROM mqtt.mqtt_messages AS m WHERE m.%s = s.id '
        'AND m.received_at >= $2 AND m.received_at < $3%s ORDER BY m.received_at %4$s, m.position %4$s, m.id %4$s LIMIT $4) AS t '
        'ORDER BY t.received_at %4$s, t.position %4$s, t.id %4$s LIMIT $4',
        CASE WHEN v_is_by_integration THEN 'ARRAY[($1).integration_id]' ELSE '($1).organization_ids' END,
        CASE WHEN v_is_by_integration THEN 'integration_id' ELSE 'organization_id' END,
        v_conditions, CASE WHEN request.is_oldest_first THEN 'ASC' ELSE 'DESC' END
    );
END;
$_$;

ALTER FUNCTION mqtt.messages_sql(request mqtt.message_request) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.messages_sql(request mqtt.message_request) IS 'The query for the messages that a request ($1) selects from $2 until before $3, at most $4, with only the conditions that it has.';

CREATE FUNCTION mqtt.metric_number(value jsonb) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE jsonb_typeof(value)
             WHEN 'number'::text THEN (value)::numeric
             WHEN 'string'::text THEN
             CASE
                 WHEN ((length((value #>> '{}'::text[])) <= 60) AND ((value #>> '{}'::text[]) ~ '^\s*[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?\s*$'::text)) THEN ((value #>> '{}'::text[]))::numeric
                 ELSE NULL::numeric
             END
             ELSE NULL::numeric
         END AS "case";
END;

ALTER FUNCTION mqtt.metric_number(value jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.metric_number(value jsonb) IS 'A number, or a string that is one, such as "21.5"; null for anything else.';

CREATE FUNCTION mqtt.metric_values(payload jsonb, names text[]) RETURNS TABLE(metric text, value jsonb)
    LANGUAGE sql IMMUTABLE ROWS 5 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT concat_ws('.'::text, a.metric, b.key, c.key) AS concat_ws,
     COALESCE(c.value, b.value, a.value) AS "coalesce"
    FROM ((( SELECT n.name AS metric,
             mqtt.metric(metric_values.payload, n.name) AS value
            FROM unnest(metric_values.names) n(name)
         UNION ALL
          SELECT e.key,
             e.value
            FROM jsonb_each(
                 CASE
                     WHEN (metric_values.names IS NULL) THEN
                     CASE jsonb_typeof(metric_values.payload)
                         WHEN 'object'::text THEN metric_values.payload
                         ELSE jsonb_build_object('value', metric_values.payload)
                     END
                     ELSE NULL::jsonb
                 END) e(key, value)) a
      LEFT JOIN LATERAL jsonb_each(
         CASE jsonb_typeof(a.value)
             WHEN 'object'::text THEN a.value
             ELSE NULL::jsonb
         END) b(key, value) ON (true))
      LEFT JOIN LATERAL jsonb_each(
         CASE jsonb_typeof(b.value)
             WHEN 'object'::text THEN b.value
             ELSE NULL::jsonb
         END) c(key, value) ON (true))
   WHERE ((jsonb_typeof(COALESCE(c.value, b.value, a.value)) <> 'object'::text) AND ((metric_values.names IS NULL) OR (b.key IS NULL) OR (concat_ws('.'::text, a.metric, b.key, c.key) <> ALL (metric_values.names))));
END;

ALTER FUNCTION mqtt.metric_values(payload jsonb, names text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.metric_values(payload jsonb, names text[]) IS 'The metrics of a payload (those named, if names are given), nested members by their path with dots, at most three levels deep; {"value": payload} if it is not an object.';

CREATE FUNCTION mqtt.mosquitto_password_hash(password text) RETURNS text
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT ((('$7$1$'::text || encode(s.salt, 'base64'::text)) || '$'::text) || replace(encode(public.hmac((s.salt || '\x00000001'::bytea), convert_to(mosquitto_password_hash.password, 'UTF8'::name), 'sha512'::text), 'base64'::text), '
'::text, ''::text))
    FROM ( SELECT public.gen_random_bytes(12) AS salt) s;
END;

ALTER FUNCTION mqtt.mosquitto_password_hash(password text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.mosquitto_password_hash(password text) IS 'The hash as Mosquitto''s password_file has it: $7$<rounds>$<salt>$<PBKDF2-HMAC-SHA512>. For random passwords only: one round.';

CREATE FUNCTION mqtt.newest_in_queue(marks jsonb, seen bigint, looked_at timestamp with time zone, margin interval, most integer) RETURNS TABLE(candidates jsonb, last_seen bigint, newer bigint)
    LANGUAGE sql STABLE ROWS 1
    BEGIN ATOMIC
 SELECT COALESCE(jsonb_object_agg(x.organization_id, (LEAST(x.mark, newest_in_queue.looked_at) - newest_in_queue.margin)), '{}'::jsonb) AS "coalesce",
     COALESCE(max(x.seen), newest_in_queue.seen) AS "coalesce",
     (COALESCE(sum(x.newer), (0)::numeric))::bigint AS "coalesce"
    FROM ( SELECT r.organization_id,
             min(r.vt) AS mark,
             max(r.msg_id) AS seen,
             count(*) AS newer
            FROM ( SELECT q.organization_id,
                     q.vt,
                     q.msg_id
                    FROM pgmq.q_mqtt_messages q
                   WHERE ((q.msg_id > newest_in_queue.seen) AND (( SELECT count(*) AS count
                            FROM jsonb_object_keys(newest_in_queue.marks) jsonb_object_keys(jsonb_object_keys)) <= newest_in_queue.most))
                   ORDER BY q.msg_id
                  LIMIT 1000) r
           GROUP BY r.organization_id) x;
END;

ALTER FUNCTION mqtt.newest_in_queue(marks jsonb, seen bigint, looked_at timestamp with time zone, margin interval, most integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.newest_in_queue(marks jsonb, seen bigint, looked_at timestamp with time zone, margin interval, most integer) IS 'The organizations of the newest rows, those after the msg_id seen, likewise; at most 1,000 rows, and none while more organizations are marked than are remembered. A part of mqtt.due_messages.';

CREATE FUNCTION mqtt.newest_metrics(latest jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(k.key, k.value)
        FROM (SELECT l.key, l.value FROM jsonb_each(latest) AS l ORDER BY (l.value ->> 'at')::timestamptz DESC, l.key LIMIT 500) AS k
    );
END;
$$;

ALTER FUNCTION mqtt.newest_metrics(latest jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.newest_metrics(latest jsonb) IS 'The 500 newest of a device''s latest values.';

CREATE FUNCTION mqtt.newest_values(known jsonb, known_at timestamp with time zone, news jsonb, news_at timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (news = '{}'::jsonb) THEN known
             WHEN (((news_at >= known_at) OR (known = '{}'::jsonb)) AND (pg_column_size((known || news)) < 25000) AND ((known = '{}'::jsonb) OR (NOT jsonb_path_exists(news, 'strict $.*."at"?(@ != $"at")'::jsonpath, jsonb_build_object('at', news_at))))) THEN (known || news)
             ELSE mqtt.merged_latest(known, news)
         END AS merged_latest;
END;

ALTER FUNCTION mqtt.newest_values(known jsonb, known_at timestamp with time zone, news jsonb, news_at timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.newest_values(known jsonb, known_at timestamp with time zone, news jsonb, news_at timestamp with time zone) IS 'A device''s latest values once news have come as well: of each metric what was measured last, of equal times the news; at most 500 metrics, the newest. known_at, news_at: last_data_at.';

CREATE FUNCTION mqtt.not_held(owners uuid[], integration_ids uuid[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    -- Usually none is missing, which shows without a query.
    IF array_position(owners, NULL) IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT jsonb_agg(i.id ORDER BY i.id) FROM unnest(integration_ids, owners) AS i (id, organization_id) WHERE i.organization_id IS NULL);
END;
$$;

ALTER FUNCTION mqtt.not_held(owners uuid[], integration_ids uuid[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.not_held(owners uuid[], integration_ids uuid[]) IS 'The integrations without an owner, as bridge.ingest returns them; null if there are none.';

CREATE FUNCTION mqtt.note_broker_login(credential mqtt.mqtt_credentials) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    -- Written once in a credential's life and never waited for: if the row is locked, the next login writes it.
    IF credential.broker_login_at IS NOT NULL OR current_setting('transaction_read_only')::boolean THEN
        RETURN;
    END IF;
    UPDATE mqtt.mqtt_credentials AS c
    SET broker_login_at = clock_timestamp()
    FROM (SELECT n.id FROM mqtt.mqtt_credentials AS n WHERE n.id = credential.id AND n.broker_login_at IS NULL FOR NO KEY UPDATE SKIP LOCKED) AS free
    WHERE c.id = free.id;
    IF found THEN
        PERFORM mqtt.log_activity(
            credential.organization_id, credential.integration_id, 'credential_first_used',
            details => jsonb_build_object('credential_id', credential.id, 'username', credential.username, 'via', 'broker')
        );
    END IF;
END;
$$;

ALTER FUNCTION mqtt.note_broker_login(credential mqtt.mqtt_credentials) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.note_broker_login(credential mqtt.mqtt_credentials) IS 'Logs the first login at a broker that asks over HTTP, once for each credential.';

CREATE FUNCTION mqtt.note_receivers(settled mqtt.callback_outcome[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
    WITH url AS (
        SELECT t.organization_id, t.url, bool_or(t.is_up) AS is_up, count(*) FILTER (WHERE t.is_down) AS failures,
            max(t.pause) FILTER (WHERE t.is_down) AS pause, max(t.error) FILTER (WHERE t.is_down) AS error
        FROM unnest(settled) AS t
        WHERE t.url IS NOT NULL AND (t.is_up OR t.is_down)
        GROUP BY t.organization_id, t.url
    ), closed AS (
        DELETE FROM mqtt.callback_circuits AS c
        USING url AS u
        WHERE c.organization_id = u.organization_id AND c.url = u.url AND u.is_up AND u.pause IS NULL
        RETURNING c.organization_id, c.url, c.openings
    ), opened AS (
        INSERT INTO mqtt.callback_circuits AS c (organization_id, url, failures, openings, open_until, error)
        SELECT
            u.organization_id, u.url, u.failures, mqtt.circuit_opens(u.failures, NULL)::integer,
            greatest(CASE WHEN mqtt.circuit_opens(u.failures, NULL) THEN clock_timestamp() + interval '10 seconds' END, clock_timestamp() + u.pause), left(u.error, 500)
        FROM url AS u
        WHERE u.pause IS NOT NULL OR NOT u.is_up
        ORDER BY u.organization_id, u.url
        ON CONFLICT (organization_id, url) DO UPDATE
        SET failures = c.failures + excluded.failures,
            error = excluded.error,
            openings = c.openings + mqtt.circuit_opens(c.failures + excluded.failures, c.open_until)::integer,
            open_until = greatest(
                CASE
                    WHEN mqtt.circuit_opens(c.failures + excluded.failures, c.open_until)
                        THEN clock_timestamp() + least(interval '10 seconds' * power(2, least(c.openings, 20)), interval '10 minutes')
                    ELSE c.open_until
                END,
                excluded.open_until
            )
        RETURNING c.organization_id, c.url, c.openings, c.failures, c.error
    )
    INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, message_count, error_message, details)
    SELECT DISTINCT
        t.organization_id, t.integration_id, 'callback_unreachable', 'failed', 0, o.error, jsonb_build_object('subscription_id', t.subscription_id)
    FROM opened AS o
    JOIN unnest(settled) AS t ON t.organization_id = o.organization_id AND t.url = o.url
    WHERE o.openings = 1 AND t.is_down
    UNION ALL
    SELECT DISTINCT
        t.organization_id, t.integration_id, 'callback_reached', 'success', 0, NULL, jsonb_build_object('subscription_id', t.subscription_id)
    FROM closed AS c
    JOIN unnest(settled) AS t ON t.organization_id = c.organization_id AND t.url = c.url
    WHERE c.openings > 0;
END;
$$;

ALTER FUNCTION mqtt.note_receivers(settled mqtt.callback_outcome[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.note_receivers(settled mqtt.callback_outcome[]) IS 'Opens and closes circuit breakers according to what receivers answered, and logs which receivers have become unreachable or reachable again. A part of bridge.settle_callbacks.';

CREATE FUNCTION mqtt.notify_config() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    -- These are rare, and a transaction's identical notifications become one.
    PERFORM pg_notify('topicbase', 'config');
    RETURN NULL;
END;
$$;

ALTER FUNCTION mqtt.notify_config() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.notify_config() IS 'NOTIFY topicbase, config: the bridge reads its integrations, subscriptions and accounts again.';

CREATE FUNCTION mqtt.object_or_none(value jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE jsonb_typeof(value)
             WHEN 'object'::text THEN value
             ELSE NULL::jsonb
         END AS "case";
END;

ALTER FUNCTION mqtt.object_or_none(value jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.object_or_none(value jsonb) IS 'The value if it is an object, else null.';

CREATE FUNCTION mqtt.one_of(preferred anyelement, alias anyelement, preferred_name text, alias_name text) RETURNS anyelement
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF preferred <> alias THEN
        RAISE EXCEPTION 'argument_conflict' USING
            ERRCODE = 'PT400',
            DETAIL = format('%s and %s are two names of one argument, and their values differ.', preferred_name, alias_name),
            HINT = format('Send %s only.', preferred_name);
    END IF;
    RETURN coalesce(preferred, alias);
END;
$$;

ALTER FUNCTION mqtt.one_of(preferred anyelement, alias anyelement, preferred_name text, alias_name text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.one_of(preferred anyelement, alias anyelement, preferred_name text, alias_name text) IS 'The value of an argument that has two names: of whichever was given, null if neither was. Raises PT400 argument_conflict if both were given and differ.';

CREATE FUNCTION mqtt.outbound_array(messages json, max_messages integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_count CONSTANT integer := CASE WHEN json_typeof(messages) = 'array' THEN json_array_length(messages) END;
BEGIN
    IF v_count IS NULL THEN
        RAISE EXCEPTION 'messages_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'messages must be an array of messages.', HINT = 'Send a single message as an array of one.';
    ELSIF v_count = 0 THEN
        RAISE EXCEPTION 'messages_empty' USING ERRCODE = 'PT400', DETAIL = 'messages contains no message.', HINT = 'Send at least one.';
    ELSIF v_count > max_messages THEN
        RAISE EXCEPTION 'batch_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('%s messages are more than the %s that one call may have.', v_count, max_messages),
            HINT = 'Send them in several calls.';
    END IF;
    BEGIN
        RETURN mqtt.checked_jsonb(messages::text);
    EXCEPTION
        WHEN SQLSTATE 'PT400' OR statement_too_complex THEN
            PERFORM mqtt.refuse_outbound('message_invalid', coalesce(mqtt.first_json_reason(messages), mqtt.json_reason(messages)));
            RETURN NULL;
    END;
END;
$$;

ALTER FUNCTION mqtt.outbound_array(messages json, max_messages integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.outbound_array(messages json, max_messages integer) IS 'The array of messages as jsonb. Raises messages_invalid, messages_empty, batch_too_large, or message_invalid for JSON that cannot be stored.';

CREATE FUNCTION mqtt.outbound_body(payload jsonb, encoding text) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (encoding = 'base64'::text) THEN mqtt.try_base64((payload #>> '{}'::text[]))
             WHEN ((encoding = 'text'::text) OR ((encoding IS NULL) AND (jsonb_typeof(payload) = 'string'::text))) THEN convert_to((payload #>> '{}'::text[]), 'UTF8'::name)
             ELSE NULL::bytea
         END AS "case";
END;

ALTER FUNCTION mqtt.outbound_body(payload jsonb, encoding text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.outbound_body(payload jsonb, encoding text) IS 'The payload as bytes, where they differ from its JSON text: base64, text, and strings without an encoding.';

CREATE FUNCTION mqtt.outbound_bytes(payload jsonb, body bytea) RETURNS integer
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT COALESCE(octet_length(body), octet_length((payload)::text)) AS "coalesce";
END;

ALTER FUNCTION mqtt.outbound_bytes(payload jsonb, body bytea) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.outbound_bytes(payload jsonb, body bytea) IS 'Size of a payload as it is sent: of its body (mqtt.outbound_body), or else of its JSON text.';

CREATE FUNCTION mqtt.outbound_document(message jsonb) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (((message - '{topic,payload,qos}'::text[]) = '{}'::jsonb) AND (COALESCE((message ->> 'qos'::text), '0'::text) = ANY (ARRAY['0'::text, '1'::text, '2'::text]))) THEN
             CASE
                 WHEN ((message ->> 'qos'::text) = ANY (ARRAY['1'::text, '2'::text])) THEN message
                 ELSE (message - 'qos'::text)
             END
             ELSE ((((jsonb_strip_nulls((message - '{payload,payload_encoding,deliver_at,qos,retain,message_expiry}'::text[])) ||
             CASE
                 WHEN ((COALESCE((message ->> 'qos'::text), '0'::text))::numeric > (0)::numeric) THEN jsonb_build_object('qos', (((message ->> 'qos'::text))::numeric)::integer)
                 ELSE '{}'::jsonb
             END) ||
             CASE
                 WHEN ((message -> 'retain'::text) = 'true'::jsonb) THEN '{"retain": true}'::jsonb
                 ELSE '{}'::jsonb
             END) ||
             CASE
                 WHEN ((message ->> 'message_expiry'::text) IS NOT NULL) THEN jsonb_build_object('message_expiry', (((message ->> 'message_expiry'::text))::numeric)::bigint)
                 ELSE '{}'::jsonb
             END) ||
             CASE
                 WHEN ((message ->> 'payload_encoding'::text) = 'base64'::text) THEN '{}'::jsonb
                 ELSE jsonb_build_object('payload', (message -> 'payload'::text))
             END)
         END AS "case";
END;

ALTER FUNCTION mqtt.outbound_document(message jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.outbound_document(message jsonb) IS 'A valid message as pgmq.q_mqtt_outbound.message stores it: without defaults, and without the payload if it is bytes. Text is stored twice: here, where it can be read, and in body, as it is sent.';

CREATE FUNCTION mqtt.outbound_fault(is_inactive boolean, required_prefix text, max_bytes integer, topic text, bytes integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN is_inactive THEN 'integration_inactive'::text
             WHEN (NOT mqtt.topic_is_under(topic, required_prefix)) THEN 'topic_not_allowed'::text
             WHEN (bytes > max_bytes) THEN 'payload_too_large'::text
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.outbound_fault(is_inactive boolean, required_prefix text, max_bytes integer, topic text, bytes integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.outbound_fault(is_inactive boolean, required_prefix text, max_bytes integer, topic text, bytes integer) IS 'Slug of the reason why a payload of this size must not be published to this topic within these limits (mqtt.outbound_limits); null when it may be.';

CREATE FUNCTION mqtt.outbound_limits(integration_id uuid) RETURNS TABLE(is_inactive boolean, required_prefix text, max_bytes integer, max_messages integer)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (i.status = 'inactive'::text),
         CASE
             WHEN ((i.integration_type = 'mqtt_hosted'::text) AND (NOT mqtt.is_operator())) THEN o.topic_prefix
             ELSE NULL::text
         END AS "case",
     LEAST(o.max_payload_bytes, c.max_payload_bytes) AS "least",
     c.max_batch_messages
    FROM ((mqtt.device_integrations i
      JOIN mqtt.organizations o ON ((o.id = i.organization_id)))
      CROSS JOIN mqtt.configuration c)
   WHERE (i.id = outbound_limits.integration_id);
END;

ALTER FUNCTION mqtt.outbound_limits(integration_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.outbound_limits(integration_id uuid) IS 'What mqtt.outbound_fault compares a message with: whether the integration is switched off, the prefix that topics must have (null: any topic), the largest payload; and the largest batch.';

CREATE FUNCTION mqtt.outbound_lock() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT 1953460325;
END;

ALTER FUNCTION mqtt.outbound_lock() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.outbound_lock() IS 'Advisory lock of the outbound queue, with 0: shared while a bridge claims, exclusive while messages are cancelled or expire, which must see every claim.';

CREATE FUNCTION mqtt.password_matches(credential mqtt.mqtt_credentials, password text) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (((sha256((COALESCE((password_matches.credential).secret_salt, '\x00000000000000000000000000000000'::bytea) || p.bytes)) = (password_matches.credential).secret_hash) OR (((password_matches.credential).previous_until > now()) AND (sha256(((password_matches.credential).previous_salt || p.bytes)) = (password_matches.credential).previous_hash))) IS TRUE)
    FROM ( SELECT convert_to(COALESCE(password_matches.password, ''::text), 'UTF8'::name) AS bytes) p;
END;

ALTER FUNCTION mqtt.password_matches(credential mqtt.mqtt_credentials, password text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.password_matches(credential mqtt.mqtt_credentials, password text) IS 'Whether this is the credential''s password, or the one before its last rotation while that still works; false without a credential, and it takes as long.';

CREATE FUNCTION mqtt.password_verifier(salt bytea, password text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT sha256((salt || convert_to(password, 'UTF8'::name))) AS sha256;
END;

ALTER FUNCTION mqtt.password_verifier(salt bytea, password text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.password_verifier(salt bytea, password text) IS 'SHA-256 of salt and password, as mqtt_credentials.secret_hash holds it.';

CREATE FUNCTION mqtt.payload_metrics(payload jsonb) RETURNS TABLE(metric text, value jsonb)
    LANGUAGE sql STABLE ROWS 5
    BEGIN ATOMIC
 SELECT e.key,
     e.value
    FROM jsonb_each(
         CASE
             WHEN (jsonb_typeof(payload_metrics.payload) <> 'object'::text) THEN jsonb_build_object('value', payload_metrics.payload)
             WHEN jsonb_path_exists(payload_metrics.payload, 'strict $.*?(@.type() == "object")'::jsonpath) THEN mqtt.flat_payload(payload_metrics.payload)
             ELSE payload_metrics.payload
         END) e(key, value)
   WHERE ((jsonb_typeof(e.value) <> ALL (ARRAY['object'::text, 'array'::text])) AND (octet_length(e.key) <= 255) AND (pg_column_size(e.value) <= 1024));
END;

ALTER FUNCTION mqtt.payload_metrics(payload jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.payload_metrics(payload jsonb) IS 'The metrics of a payload whose latest values are kept: its members, those of members as in mqtt.flat_payload, or value for what is not an object; numbers, strings, true, false and null of at most 1 kB. A part of the statement that asks.';

CREATE FUNCTION mqtt.payload_reason(payload jsonb, encoding jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (payload IS NULL) THEN 'payload is missing; use "" for an empty one.'::text
             WHEN (COALESCE(encoding, 'null'::jsonb) <> ALL (ARRAY['null'::jsonb, '"json"'::jsonb, '"text"'::jsonb, '"base64"'::jsonb])) THEN 'payload_encoding must be json, text or base64.'::text
             WHEN ((encoding = ANY (ARRAY['"text"'::jsonb, '"base64"'::jsonb])) AND (jsonb_typeof(payload) <> 'string'::text)) THEN format('payload must be a string if payload_encoding is %s.'::text, (encoding #>> '{}'::text[]))
             WHEN ((COALESCE(encoding, 'null'::jsonb) = '"base64"'::jsonb) AND (mqtt.try_base64((payload #>> '{}'::text[])) IS NULL)) THEN 'payload is not base64 (RFC 4648 section 4).'::text
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.payload_reason(payload jsonb, encoding jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.payload_reason(payload jsonb, encoding jsonb) IS 'Why the payload cannot be published in that encoding, in words; null when it can.';

CREATE FUNCTION mqtt.plain_verdict(allowed boolean) RETURNS api."*/*"
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM set_config('response.headers', '[{"Content-Type": "text/plain; charset=utf-8"}, {"Cache-Control": "no-store"}]', true);
    RETURN CASE WHEN allowed IS TRUE THEN 'allow' ELSE 'deny' END;
END;
$$;

ALTER FUNCTION mqtt.plain_verdict(allowed boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.plain_verdict(allowed boolean) IS 'allow or deny, as text/plain.';

CREATE FUNCTION mqtt.plpython_obstacle(module text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = 'plpython3u') THEN
        IF EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'plpython3u') THEN
            RETURN 'this database has no PL/Python: a superuser runs CREATE EXTENSION plpython3u';
        END IF;
        RETURN format(
            'the server has no PL/Python: install it (Debian: postgresql-plpython3-%s)', current_setting('server_version_num')::integer / 10000
        );
    END IF;
    IF NOT current_setting('is_superuser')::boolean THEN
        RETURN 'only a superuser creates functions in PL/Python';
    END IF;
    IF module IS NOT NULL THEN
        BEGIN
            EXECUTE format('DO LANGUAGE plpython3u %L', 'import ' || quote_ident(module));
        EXCEPTION
            WHEN external_routine_exception THEN
                RETURN format('the server''s Python does not import %s (%s): install it (Debian: python3-%1$s)', module, sqlerrm);
        END;
    END IF;
    RETURN NULL;
END;
$_$;

ALTER FUNCTION mqtt.plpython_obstacle(module text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.plpython_obstacle(module text) IS 'Why the caller cannot create functions in PL/Python that import the module, in words; null when they can.';

CREATE FUNCTION mqtt.prepare_partitions() RETURNS integer
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT count(*) FILTER (WHERE mqtt.create_partition(p.partrelid, (now() AT TIME ZONE 'UTC')::date + d.ahead))::integer
    FROM mqtt.configuration AS c
    CROSS JOIN LATERAL generate_series(0, c.partitions_ahead) AS d (ahead)
    CROSS JOIN pg_catalog.pg_partitioned_table AS p
    JOIN pg_catalog.pg_class AS k ON k.oid = p.partrelid AND k.relnamespace = 'mqtt'::regnamespace;
$$;

ALTER FUNCTION mqtt.prepare_partitions() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.prepare_partitions() IS 'Makes the missing partitions of today and the configured days ahead, of every partitioned table; returns how many.';

CREATE FUNCTION mqtt.process_batch(batch_size integer DEFAULT 1000, announces boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_tids tid [];
    v_counts integer [] := '{0,0,0}';
    v_looked_at CONSTANT timestamptz := coalesce(nullif(current_setting('topicbase.deferral_looked_at', true), ''), '-infinity');
BEGIN
    IF clock_timestamp() NOT BETWEEN v_looked_at AND v_looked_at + interval '1 second' AND mqtt.apply_due_updates() THEN
        RETURN jsonb_build_object('processed', 0, 'failed', 0, 'dead', 0, 'more', true);
    END IF;
    v_tids := mqtt.due_messages(batch_size);
    IF v_tids <> '{}' THEN
        IF announces THEN
            -- Goes out at once, and so before what may end the session.
            RAISE INFO 'batch' USING DETAIL = v_tids::text;
        END IF;
        v_counts := mqtt.store_or_split(v_tids);
    END IF;
    RETURN jsonb_build_object(
        'processed', v_counts[1], 'failed', v_counts[2], 'dead', v_counts[3], 'more', cardinality(v_tids) >= batch_size
    );
END;
$$;

ALTER FUNCTION mqtt.process_batch(batch_size integer, announces boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.process_batch(batch_size integer, announces boolean) IS 'Processes up to batch_size due messages; any number of workers may call it at once. Returns {"processed", "failed", "dead", "more"}; more: a full batch was taken, or updates that were deferred were made instead; call again. With announces, an INFO names the row addresses before they are processed: a caller whose session dies of one knows which to look at (mqtt.begin_attempt).';

CREATE FUNCTION mqtt.processing_lock() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT 1953460323;
END;

ALTER FUNCTION mqtt.processing_lock() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.processing_lock() IS 'Advisory lock of the queue worker, with hashtext(organization_id::text): one worker at a time processes an organization, so that its order is kept.';

CREATE FUNCTION mqtt.try_timestamptz(value text) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $_$
DECLARE
    v_time timestamptz;
BEGIN
    IF value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?$' THEN
        v_time := value::timestamptz;
    END IF;
    -- An offset may lead out of the years that RFC 3339 can tell.
    RETURN CASE WHEN v_time BETWEEN '0001-01-01 00:00+00' AND '9999-12-31 23:59:59.999999+00' THEN v_time END;
EXCEPTION
    WHEN data_exception THEN
        RETURN NULL;
END;
$_$;

ALTER FUNCTION mqtt.try_timestamptz(value text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.try_timestamptz(value text) IS 'An RFC 3339 date and time (UTC where it has no offset) as timestamptz; null when it is none.';

CREATE FUNCTION mqtt.user_properties_reason(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (octet_length((value)::text) > 65535) THEN 'user_properties has more than 65,535 bytes.'::text
             WHEN ((jsonb_typeof(value) = 'object'::text) AND (NOT jsonb_path_exists(value, 'strict $.*?(@.type() != "string")'::jsonpath))) THEN NULL::text
             WHEN ((jsonb_typeof(value) = 'array'::text) AND (NOT (EXISTS ( SELECT
                FROM jsonb_array_elements(
                     CASE jsonb_typeof(user_properties_reason.value)
                         WHEN 'array'::text THEN user_properties_reason.value
                         ELSE '[]'::jsonb
                     END) e(pair)
               WHERE (NOT
                     CASE jsonb_typeof(e.pair)
                         WHEN 'array'::text THEN ((jsonb_array_length(e.pair) = 2) AND (jsonb_typeof((e.pair -> 0)) = 'string'::text) AND (jsonb_typeof((e.pair -> 1)) = 'string'::text))
                         ELSE false
                     END))))) THEN NULL::text
             ELSE 'user_properties must be an object of strings or an array of pairs of strings.'::text
         END AS "case";
END;

ALTER FUNCTION mqtt.user_properties_reason(value jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.user_properties_reason(value jsonb) IS 'Why the value is not valid MQTT 5 user properties (section 3.3.2.3.7), in words; null when it is.';

CREATE FUNCTION mqtt.publish_reason(message jsonb) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (jsonb_typeof(message) <> 'object'::text) THEN 'A message must be an object.'::text
             WHEN ((message - '{topic,payload,payload_encoding,qos,retain,content_type,response_topic,correlation_data,message_expiry,user_properties,deliver_at}'::text[]) <> '{}'::jsonb) THEN 'A message must not have keys other than topic, payload, payload_encoding, qos, retain, content_type, response_topic, correlation_data, message_expiry, user_properties and deliver_at.'::text
             WHEN (jsonb_typeof((message -> 'topic'::text)) IS DISTINCT FROM 'string'::text) THEN 'topic is missing or not a string.'::text
             WHEN (mqtt.topic_name_reason((message ->> 'topic'::text)) IS NOT NULL) THEN mqtt.topic_name_reason((message ->> 'topic'::text))
             WHEN (mqtt.payload_reason((message -> 'payload'::text), (message -> 'payload_encoding'::text)) IS NOT NULL) THEN mqtt.payload_reason((message -> 'payload'::text), (message -> 'payload_encoding'::text))
             WHEN ((message -> 'qos'::text) <> ALL (ARRAY['null'::jsonb, '0'::jsonb, '1'::jsonb, '2'::jsonb])) THEN 'qos must be 0, 1 or 2.'::text
             WHEN ((message -> 'retain'::text) <> ALL (ARRAY['null'::jsonb, 'true'::jsonb, 'false'::jsonb])) THEN 'retain must be true or false.'::text
             WHEN (((message ->> 'content_type'::text) IS NOT NULL) AND (mqtt.jsonb_text_reason((message -> 'content_type'::text), 255) IS NOT NULL)) THEN (('content_type '::text || mqtt.jsonb_text_reason((message -> 'content_type'::text), 255)) || '.'::text)
             WHEN (((message ->> 'response_topic'::text) IS NOT NULL) AND ((jsonb_typeof((message -> 'response_topic'::text)) <> 'string'::text) OR (mqtt.topic_name_reason((message ->> 'response_topic'::text)) IS NOT NULL))) THEN ('response_topic is not a topic name. '::text || COALESCE(mqtt.topic_name_reason((message ->> 'response_topic'::text)), ''::text))
             WHEN (((message ->> 'correlation_data'::text) IS NOT NULL) AND (NOT COALESCE(
             CASE jsonb_typeof((message -> 'correlation_data'::text))
                 WHEN 'string'::text THEN (octet_length(mqtt.try_base64((message ->> 'correlation_data'::text))) <= 65535)
                 ELSE NULL::boolean
             END, false))) THEN 'correlation_data must be base64 (RFC 4648 section 4) of at most 65,535 bytes.'::text
             WHEN (((message ->> 'message_expiry'::text) IS NOT NULL) AND (NOT mqtt.jsonb_integer_between((message -> 'message_expiry'::text), (1)::bigint, '4294967295'::bigint))) THEN 'message_expiry must be a whole number of seconds from 1 to 4294967295.'::text
             WHEN (((message ->> 'user_properties'::text) IS NOT NULL) AND (mqtt.user_properties_reason((message -> 'user_properties'::text)) IS NOT NULL)) THEN mqtt.user_properties_reason((message -> 'user_properties'::text))
             WHEN (((message ->> 'deliver_at'::text) IS NOT NULL) AND (NOT COALESCE(
             CASE jsonb_typeof((message -> 'deliver_at'::text))
                 WHEN 'string'::text THEN (mqtt.try_timestamptz((message ->> 'deliver_at'::text)) < (now() + '1 year'::interval))
                 ELSE NULL::boolean
             END, false))) THEN 'deliver_at must be an RFC 3339 date and time, at most a year from now.'::text
             ELSE NULL::text
         END AS "case";
END;

ALTER FUNCTION mqtt.publish_reason(message jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.publish_reason(message jsonb) IS 'Why the message cannot be published, in words; null when it can.';

CREATE FUNCTION mqtt.publish_receipts(receipt_ids uuid[]) RETURNS TABLE(receipt_id uuid, state text, organization_id uuid, integration_id uuid, topic text, qos smallint, attempts smallint, reason_code smallint, reason text, queued_at timestamp with time zone, settled_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    -- In PL/pgSQL, because it keeps the plan, and because Citus does not plan SQL functions with arguments.
    RETURN QUERY
    WITH asked AS (
        SELECT DISTINCT a.id, mqtt.message_id_number(a.id, true) AS msg_id, mqtt.message_id_time(a.id) AS since FROM unnest(receipt_ids) AS a (id)
    ),
    visible AS MATERIALIZED (
        SELECT o.id FROM mqtt.organizations AS o WHERE (SELECT mqtt.is_operator()) OR o.id = ANY ((SELECT mqtt.current_organization_ids())::uuid [])
    )
    SELECT
        a.id,
        coalesce(r.state, CASE WHEN q.msg_id IS NOT NULL THEN 'queued' ELSE 'unknown' END),
        coalesce(r.organization_id, q.organization_id),
        coalesce(r.integration_id, q.integration_id),
        coalesce(r.topic, q.message ->> 'topic'),
        coalesce(r.qos, CASE WHEN q.msg_id IS NOT NULL THEN coalesce((q.message ->> 'qos')::smallint, 0::smallint) END),
        coalesce(r.attempts, q.attempts),
        r.reason_code,
        r.reason,
        coalesce(r.queued_at, q.enqueued_at),
        r.settled_at
    FROM asked AS a
    LEFT JOIN LATERAL (
        SELECT s.*
        FROM visible AS v
        JOIN mqtt.mqtt_publish_receipts AS s ON s.organization_id = v.id
        WHERE s.id = a.id AND s.queued_at >= a.since AND s.queued_at < a.since + interval '1 millisecond'
        LIMIT 1
    ) AS r ON true
    LEFT JOIN pgmq.q_mqtt_outbound AS q
        ON r.id IS NULL AND q.msg_id = a.msg_id AND mqtt.message_id(q.enqueued_at, q.msg_id, true) = a.id
            AND q.organization_id IN (SELECT v.id FROM visible AS v);
END;
$$;

ALTER FUNCTION mqtt.publish_receipts(receipt_ids uuid[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.publish_receipts(receipt_ids uuid[]) IS 'State of each receipt that the caller may see; unknown for the others.';

CREATE FUNCTION mqtt.py_decode_cbor(data bytea) RETURNS jsonb
    LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
if "run" in SD:
    return SD["run"](data)

"""CBOR (RFC 8949) to JSON text, following the advice of RFC 8949 section 6.1 as far as jsonb allows.

- Integers, text strings, arrays, maps, true, false and null become what JSON has for them; indefinite lengths become definite.
- Byte strings become base64url text without padding; inside tag 22 base64, inside tag 23 base16, inside tag 21 base64url again.
- Floats become the shortest number that reads back equal. NaN and the infinities are an error (section 6.1 suggests null:
  a reading that failed would then look like one that was never taken).
- undefined and all unassigned simple values become null.
- Bignums (tags 2, 3) become integers and decimal fractions (tag 4) exact numbers, since jsonb has both; bigfloats (tag 5) become
  the nearest double.
- All other tags are left out and their content stands: tag 0 is RFC 3339 text, tag 1 a number of seconds since 1970.
  References (tags 25, 29) are an error, since their content means nothing by itself.
- A map key that is no text string becomes the text of its JSON; of equal keys the last wins, as in jsonb.

An error besides: bytes that end early or go on after the item, text with U+0000 or that is not UTF-8, numbers beyond the
range of a double, more than 64 levels, more than 1 MiB.

The reader is written out here, not taken from a library: the bytes are a stranger's and this runs inside a database backend, where a
crash in C ends every session of the server (cbor2 5.4.6, as Debian 12 ships it, crashes on 19 bytes: agronholm/cbor2#198).
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import base64
import math
import re
import struct
from collections.abc import Callable

# plpython/json_text.py
"""JSON text that jsonb accepts, for the codecs: shared lines, embedded into each of them."""

import base64
import json
import math
import sys

# PL/Python cannot be cancelled while it computes, so its work has to be bounded: 1 MiB takes about a second at worst.
MAX_BYTES = 1 << 20
# Telemetry nests less than ten levels; the bound keeps every recursion, here and in jsonb, far from its stack's end.
MAX_DEPTH = 64
# No scalar grows more than ninefold as text. Only keys that are themselves maps could (their quotes double at each level).
MAX_GROWTH = 16
# Larger numbers would be valid jsonb, but few readers take them (RFC 8259 section 6) and they print very long.
MAX_NUMBER = int(sys.float_info.max)
BEYOND_RANGE = "a number is beyond the range of a double"

_encode = json.JSONEncoder(ensure_ascii=False).encode

def string(text: str) -> str:
    """Quote text as a JSON string; ValueError for U+0000, which jsonb refuses (RFC 8259 section 7)."""
    if "\0" in text:
        raise ValueError("a text holds U+0000, which jsonb cannot store")
    return _encode(text)

def utf8(data: bytes) -> str:
    """Quote UTF-8 bytes as a JSON string; ValueError when they are not UTF-8 (which has no lone surrogates: RFC 3629 section 3)."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("a text is not valid UTF-8") from None
    return string(text)

def base64url(data: bytes) -> str:
    """Write bytes as a JSON string of base64url without padding (RFC 4648 section 5)."""
    return f'"{base64.urlsafe_b64encode(data).rstrip(b"=").decode()}"'

def integer(number: int) -> str:
    """Write an integer as a JSON number; ValueError beyond the range of a double."""
    if not -MAX_NUMBER <= number <= MAX_NUMBER:
        raise ValueError(BEYOND_RANGE)
    return str(number)

def real(number: float) -> str:
    """Write a float as the shortest JSON number that reads back equal; ValueError for NaN and the infinities."""
    if not math.isfinite(number):
        raise ValueError("NaN and infinity are no JSON numbers")
    return repr(number)

def key(item: str) -> str:
    """Turn the JSON text of any item into an object's key: a string as it is, all else as a string that holds that text."""
    return item if item[0] == '"' else _encode(item)

def members(pairs: dict[str, str], encoded_size: int) -> str:
    """Join the members of an object; ValueError when its text is out of proportion to the bytes it was encoded in."""
    text = "{" + ",".join([f"{name}:{value}" for name, value in pairs.items()]) + "}"
    if len(text) > MAX_GROWTH * encoded_size + 1:
        raise ValueError("nested map keys grow too long as text")
    return text
# plpython/decode_cbor.py

INDEFINITE = -1
BREAK = 0xFF
SIMPLE = {20: "false", 21: "true", 22: "null", 23: "null"}
FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
INTEGER_PAIR = re.compile(r"\[(-?[0-9]+),(-?[0-9]+)\]")

def _head(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Read the head of a data item at an offset: major type, additional information, argument, offset behind it (section 3)."""
    if at >= len(data):
        raise ValueError("the bytes end early")
    major, info = data[at] >> 5, data[at] & 31
    if info < 24:
        return major, info, info, at + 1
    if info < 28:
        end = at + 1 + (1 << (info - 24))
        if end > len(data):
            raise ValueError("the bytes end early")
        return major, info, int.from_bytes(data[at + 1 : end], "big"), end
    if info == 31 and major in (2, 3, 4, 5):
        return major, info, INDEFINITE, at + 1
    raise ValueError(f"byte {at} starts no data item")

def _bytes(data: bytes, at: int, length: int, major: int) -> tuple[bytes, int]:
    """Read the content of a byte or text string whose head was read; each chunk of a text string is UTF-8 by itself (section 3.2.3)."""
    if length != INDEFINITE:
        end = at + length
        if end > len(data):
            raise ValueError("the bytes end early")
        return data[at:end], end
    chunks = []
    while data[at : at + 1] != b"\xff":
        chunk_major, _, chunk_length, at = _head(data, at)
        if chunk_major != major or chunk_length == INDEFINITE:
            raise ValueError("a chunk of a string is no string of the same type")
        chunk, at = _bytes(data, at, chunk_length, major)
        if major == 3:
            utf8(chunk)
        chunks.append(chunk)
    return b"".join(chunks), at + 1

def _tagged(data: bytes, tag: int, at: int, depth: int, blob: Callable[[bytes], str]) -> tuple[str, int]:
    """Read the content of a tag and write it as the tag asks (section 3.4)."""
    if tag in (2, 3):
        major, _, length, at = _head(data, at)
        if major != 2:
            raise ValueError("a bignum is no byte string")
        content, at = _bytes(data, at, length, 2)
        number = int.from_bytes(content, "big")
        return integer(number if tag == 2 else -1 - number), at
    if tag in (25, 29):
        raise ValueError("references (tags 25 and 29) have no JSON form")
    if tag in (21, 22, 23):
        blob = {21: base64url, 22: _base64, 23: _base16}[tag]
    text, at = _item(data, at, depth, blob)
    if tag in (4, 5):
        pair = INTEGER_PAIR.fullmatch(text)
        if pair is None:
            raise ValueError("a decimal fraction or bigfloat is no pair of integers")
        text = _scaled(int(pair[2]), int(pair[1]), tag)
    return text, at

def _scaled(mantissa: int, exponent: int, tag: int) -> str:
    """Write mantissa times ten (tag 4) or two (tag 5) to the exponent as a JSON number (section 3.4.4)."""
    if mantissa == 0:
        return "0"
    text = f"{mantissa}e{exponent}"
    try:
        number = float(text) if tag == 4 else math.ldexp(mantissa, exponent)
    except OverflowError:
        raise ValueError(BEYOND_RANGE) from None
    if number == 0 or math.isinf(number):
        raise ValueError(BEYOND_RANGE)
    return text if tag == 4 else real(number)

def _base64(data: bytes) -> str:
    return f'"{base64.b64encode(data).decode()}"'

def _base16(data: bytes) -> str:
    return f'"{data.hex().upper()}"'

def _item(data: bytes, at: int, depth: int, blob: Callable[[bytes], str]) -> tuple[str, int]:
    """Read the data item at an offset: its JSON text and the offset behind it. Byte strings are written by blob."""
    start = at
    major, info, argument, at = _head(data, at)
    if major == 0:
        return str(argument), at
    if major == 1:
        return str(-1 - argument), at
    if major == 2:
        content, at = _bytes(data, at, argument, 2)
        return blob(content), at
    if major == 3:
        content, at = _bytes(data, at, argument, 3)
        return utf8(content), at
    if major == 7:
        if info in FLOATS:
            return real(FLOATS[info].unpack_from(data, at - FLOATS[info].size)[0]), at
        if info == 24 and argument < 32:
            raise ValueError(f"byte {start} starts no data item")
        return SIMPLE.get(argument, "null"), at
    if depth == 0:
        raise ValueError(f"more than {MAX_DEPTH} levels")
    depth -= 1
    if major == 6:
        return _tagged(data, argument, at, depth, blob)
    if major == 4:
        items = []
        while argument:
            if argument == INDEFINITE:
                if data[at : at + 1] == b"\xff":
                    at += 1
                    break
            else:
                argument -= 1
            text, at = _item(data, at, depth, blob)
            items.append(text)
        return f"[{','.join(items)}]", at
    pairs: dict[str, str] = {}
    while argument:
        if argument == INDEFINITE:
            if data[at : at + 1] == b"\xff":
                at += 1
                break
        else:
            argument -= 1
        name, at = _item(data, at, depth, blob)
        pairs[key(name)], at = _item(data, at, depth, blob)
    return members(pairs, at - start), at

def run(data: bytes) -> str:
    """Decode one CBOR data item into JSON

    Follows RFC 8949 section 6.1; the head of the body states the mapping. Raises 38000 (external_routine_exception) with a short
    reason when the bytes are not exactly one well-formed item or have no form in jsonb.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    text, at = _item(data, 0, MAX_DEPTH, base64url)
    if at != len(data):
        raise ValueError("bytes follow the data item")
    return text

SD["run"] = run
return run(data)
$$;

ALTER FUNCTION mqtt.py_decode_cbor(data bytea) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.py_decode_cbor(data bytea) IS 'Decode one CBOR data item into JSON

Follows RFC 8949 section 6.1; the head of the body states the mapping. Raises 38000 (external_routine_exception) with a short
reason when the bytes are not exactly one well-formed item or have no form in jsonb.';

CREATE FUNCTION mqtt.py_decode_msgpack(data bytea) RETURNS jsonb
    LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
if "run" in SD:
    return SD["run"](data)

"""MessagePack to JSON text, by the rules that decode_cbor follows (those of RFC 8949 section 6.1 as far as jsonb allows).

Source: the MessagePack specification (github.com/msgpack/msgpack, spec.md).

- nil, bool, int, str, array and map become what JSON has for them.
- bin becomes base64url text without padding.
- Floats become the shortest number that reads back equal. NaN and the infinities are an error.
- The timestamp extension (type -1) becomes RFC 3339 text in UTC, years 1 to 9999, with up to nine digits of a second.
- Any other extension becomes {"ext": its type, "data": its bytes as base64url text}.
- A map key that is no str becomes the text of its JSON; of equal keys the last wins, as in jsonb.

An error besides: bytes that end early or go on after the object, the unused byte 0xc1, str with U+0000 or that is not UTF-8,
more than 64 levels, more than 1 MiB.

The reader is written out here, not taken from a library: the bytes are a stranger's and this runs inside a database backend. msgpack
1.0.3, as Debian 12 ships it, reserves for every array what its head claims: under 1 MiB of nested heads cost gigabytes, never returned.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import datetime
import struct

# plpython/json_text.py
"""JSON text that jsonb accepts, for the codecs: shared lines, embedded into each of them."""

import base64
import json
import math
import sys

# PL/Python cannot be cancelled while it computes, so its work has to be bounded: 1 MiB takes about a second at worst.
MAX_BYTES = 1 << 20
# Telemetry nests less than ten levels; the bound keeps every recursion, here and in jsonb, far from its stack's end.
MAX_DEPTH = 64
# No scalar grows more than ninefold as text. Only keys that are themselves maps could (their quotes double at each level).
MAX_GROWTH = 16
# Larger numbers would be valid jsonb, but few readers take them (RFC 8259 section 6) and they print very long.
MAX_NUMBER = int(sys.float_info.max)
BEYOND_RANGE = "a number is beyond the range of a double"

_encode = json.JSONEncoder(ensure_ascii=False).encode

def string(text: str) -> str:
    """Quote text as a JSON string; ValueError for U+0000, which jsonb refuses (RFC 8259 section 7)."""
    if "\0" in text:
        raise ValueError("a text holds U+0000, which jsonb cannot store")
    return _encode(text)

def utf8(data: bytes) -> str:
    """Quote UTF-8 bytes as a JSON string; ValueError when they are not UTF-8 (which has no lone surrogates: RFC 3629 section 3)."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("a text is not valid UTF-8") from None
    return string(text)

def base64url(data: bytes) -> str:
    """Write bytes as a JSON string of base64url without padding (RFC 4648 section 5)."""
    return f'"{base64.urlsafe_b64encode(data).rstrip(b"=").decode()}"'

def integer(number: int) -> str:
    """Write an integer as a JSON number; ValueError beyond the range of a double."""
    if not -MAX_NUMBER <= number <= MAX_NUMBER:
        raise ValueError(BEYOND_RANGE)
    return str(number)

def real(number: float) -> str:
    """Write a float as the shortest JSON number that reads back equal; ValueError for NaN and the infinities."""
    if not math.isfinite(number):
        raise ValueError("NaN and infinity are no JSON numbers")
    return repr(number)

def key(item: str) -> str:
    """Turn the JSON text of any item into an object's key: a string as it is, all else as a string that holds that text."""
    return item if item[0] == '"' else _encode(item)

def members(pairs: dict[str, str], encoded_size: int) -> str:
    """Join the members of an object; ValueError when its text is out of proportion to the bytes it was encoded in."""
    text = "{" + ",".join([f"{name}:{value}" for name, value in pairs.items()]) + "}"
    if len(text) > MAX_GROWTH * encoded_size + 1:
        raise ValueError("nested map keys grow too long as text")
    return text
# plpython/decode_msgpack.py

EPOCH = datetime.datetime(1970, 1, 1)  # naive on purpose: all is UTC, written as Z
CONSTANTS = {0xC0: "null", 0xC2: "false", 0xC3: "true"}
FLOATS = {0xCA: struct.Struct(">f"), 0xCB: struct.Struct(">d")}
# First byte: type, and how many bytes of length, count or value follow.
SIZED = {
    **{0xC4 + i: ("bin", 1 << i) for i in range(3)},
    **{0xC7 + i: ("ext", 1 << i) for i in range(3)},
    **{0xCC + i: ("uint", 1 << i) for i in range(4)},
    **{0xD0 + i: ("int", 1 << i) for i in range(4)},
    **{0xD9 + i: ("str", 1 << i) for i in range(3)},
    **{0xDC + i: ("array", 2 << i) for i in range(2)},
    **{0xDE + i: ("map", 2 << i) for i in range(2)},
}

def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(data):
        raise ValueError("the bytes end early")
    return data[at:end], end

def _extension(data: bytes, at: int, size: int) -> tuple[str, int]:
    """Read an extension's type and data, whose size was read."""
    content, at = _take(data, at, 1 + size)
    kind, content = int.from_bytes(content[:1], "big", signed=True), content[1:]
    if kind == -1:
        return _timestamp(content), at
    return f'{{"ext":{kind},"data":{base64url(content)}}}', at

def _timestamp(content: bytes) -> str:
    """Write a timestamp's 32, 64 or 96 bits as RFC 3339 text."""
    if len(content) == 4:
        nanoseconds, seconds = 0, int.from_bytes(content, "big")
    elif len(content) == 8:
        nanoseconds, seconds = divmod(int.from_bytes(content, "big"), 1 << 34)
    elif len(content) == 12:
        nanoseconds, seconds = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:], "big", signed=True)
    else:
        raise ValueError("a timestamp has 4, 8 or 12 bytes")
    if nanoseconds > 999_999_999:
        raise ValueError("a timestamp has more than 999999999 nanoseconds")
    try:
        moment = EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError("a timestamp is outside the years 1 to 9999") from None
    fraction = f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""
    return f'"{moment.isoformat()}{fraction}Z"'

def _item(data: bytes, at: int, depth: int) -> tuple[str, int]:
    """Read the object at an offset: its JSON text and the offset behind it."""
    start = at
    if at >= len(data):
        raise ValueError("the bytes end early")
    first = data[at]
    at += 1
    if first < 0x80:
        return str(first), at
    if first >= 0xE0:
        return str(first - 256), at
    if first in CONSTANTS:
        return CONSTANTS[first], at
    if first in FLOATS:
        content, at = _take(data, at, FLOATS[first].size)
        return real(FLOATS[first].unpack(content)[0]), at
    if first in SIZED:
        kind, width = SIZED[first]
        content, at = _take(data, at, width)
        size = int.from_bytes(content, "big", signed=kind == "int")
    elif first < 0x90:
        kind, size = "map", first & 15
    elif first < 0xA0:
        kind, size = "array", first & 15
    elif first < 0xC0:
        kind, size = "str", first & 31
    elif 0xD4 <= first <= 0xD8:
        kind, size = "ext", 1 << (first - 0xD4)
    else:
        raise ValueError(f"byte {start} starts no object")
    if kind in ("uint", "int"):
        return str(size), at
    if kind == "str":
        content, at = _take(data, at, size)
        return utf8(content), at
    if kind == "bin":
        content, at = _take(data, at, size)
        return base64url(content), at
    if kind == "ext":
        return _extension(data, at, size)
    if depth == 0:
        raise ValueError(f"more than {MAX_DEPTH} levels")
    depth -= 1
    if kind == "array":
        items = []
        for _ in range(size):
            text, at = _item(data, at, depth)
            items.append(text)
        return f"[{','.join(items)}]", at
    pairs: dict[str, str] = {}
    for _ in range(size):
        name, at = _item(data, at, depth)
        pairs[key(name)], at = _item(data, at, depth)
    return members(pairs, at - start), at

def run(data: bytes) -> str:
    """Decode one MessagePack object into JSON

    By the rules of mqtt.py_decode_cbor; the head of the body states the mapping. Raises 38000 (external_routine_exception) with a
    short reason when the bytes are not exactly one object or have no form in jsonb.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    text, at = _item(data, 0, MAX_DEPTH)
    if at != len(data):
        raise ValueError("bytes follow the object")
    return text

SD["run"] = run
return run(data)
$$;

ALTER FUNCTION mqtt.py_decode_msgpack(data bytea) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.py_decode_msgpack(data bytea) IS 'Decode one MessagePack object into JSON

By the rules of mqtt.py_decode_cbor; the head of the body states the mapping. Raises 38000 (external_routine_exception) with a
short reason when the bytes are not exactly one object or have no form in jsonb.';

CREATE FUNCTION mqtt.py_free_disk() RETURNS bigint
    LANGUAGE plpython3u STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
if "run" in SD:
    return SD["run"]()

"""Room left on the disk of the database: the one fact of the machine that ingest must know before the disk is full."""

# /// plpython
# returns = "bigint"
# volatility = "volatile"
# ///

import os

def run() -> int:
    """Free bytes on the file system of the data directory, as an ordinary process may use them (statvfs, POSIX)

    A backend's working directory is the data directory; tablespaces and a WAL directory elsewhere are not seen.
    """
    status = os.statvfs(".")
    return status.f_bavail * status.f_frsize

SD["run"] = run
return run()
$$;

ALTER FUNCTION mqtt.py_free_disk() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.py_free_disk() IS 'Free bytes on the file system of the data directory, as an ordinary process may use them (statvfs, POSIX)

A backend''s working directory is the data directory; tablespaces and a WAL directory elsewhere are not seen.';

CREATE FUNCTION mqtt.py_seal(public_key bytea, secret text) RETURNS bytea
    LANGUAGE plpython3u PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
if public_key is None or secret is None:
    raise ValueError("an argument is null")
if "run" in SD:
    return SD["run"](public_key, secret)

"""Sealing of broker secrets: libsodium's sealed box (crypto_box_seal: X25519, XSalsa20-Poly1305, a fresh sender key each time).

Whoever holds the public key can seal; only the private key, which the database never has, opens. An application seals the same way,
in any language that has libsodium.
"""

# /// plpython
# returns = "bytea"
# volatility = "volatile"
# on_null = "error"
# module = "nacl"
# ///

import nacl.exceptions
import nacl.public

MAX_SECRET_BYTES = 1 << 16

def run(public_key: bytes, secret: str) -> bytes:
    """Seal a secret to a Curve25519 public key (32 bytes)

    Returns the sealed box of the secret's UTF-8 bytes, 48 bytes longer than they are; no two calls return the same.
    Raises 38000 (external_routine_exception) for null, a key that is none, and secrets of more than 64 KiB; never with the secret in it.
    """
    if len(public_key) != nacl.public.PublicKey.SIZE:
        raise ValueError(f"a public key has {nacl.public.PublicKey.SIZE} bytes")
    try:
        message = secret.encode()
    except UnicodeEncodeError:
        raise ValueError("the secret is not valid Unicode") from None
    if len(message) > MAX_SECRET_BYTES:
        raise ValueError(f"a secret has at most {MAX_SECRET_BYTES} bytes")
    try:
        return nacl.public.SealedBox(nacl.public.PublicKey(public_key)).encrypt(message)
    except nacl.exceptions.CryptoError:
        raise ValueError("no Curve25519 public key") from None

SD["run"] = run
return run(public_key, secret)
$$;

ALTER FUNCTION mqtt.py_seal(public_key bytea, secret text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.py_seal(public_key bytea, secret text) IS 'Seal a secret to a Curve25519 public key (32 bytes)

Returns the sealed box of the secret''s UTF-8 bytes, 48 bytes longer than they are; no two calls return the same.
Raises 38000 (external_routine_exception) for null, a key that is none, and secrets of more than 64 KiB; never with the secret in it.';

CREATE FUNCTION mqtt.queue_depth(organization_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_counts record;
    v_oldest timestamptz;
    v_waiting record;
BEGIN
    -- Counters, not rows: a million queued messages cost no more than ten.
    SELECT
        coalesce(sum(l.accepted - l.completed - l.dead - l.expired), 0) AS pending,
        coalesce(sum(l.completed) FILTER (WHERE l.bucket > now() - make_interval(days => coalesce(o.completed_days, c.completed_days))), 0) AS completed,
        coalesce(sum(l.dead) FILTER (WHERE l.bucket > now() - make_interval(days => coalesce(o.failed_days, c.failed_days))), 0) AS failed
    INTO v_counts
    FROM mqtt.organizations AS o
    CROSS JOIN mqtt.configuration AS c
    LEFT JOIN mqtt.ledger AS l ON l.organization_id = o.id
    WHERE o.id = queue_depth.organization_id;
    SELECT q.enqueued_at INTO v_oldest
    FROM pgmq.q_mqtt_messages AS q
    -- Starts at the oldest minute that the counters show as unfinished: millions of dead rows may precede it.
    WHERE q.organization_id = queue_depth.organization_id AND q.vt >= coalesce((
        SELECT l.bucket
        FROM mqtt.ledger AS l
        WHERE l.organization_id = queue_depth.organization_id
        GROUP BY l.bucket
        HAVING sum(l.accepted - l.completed - l.dead - l.expired) > 0
        ORDER BY l.bucket
        LIMIT 1
    ), '-infinity')
    ORDER BY q.vt
    LIMIT 1;
    SELECT
        count(*) FILTER (WHERE x.attempts > 0) AS retrying,
        count(*) FILTER (WHERE x.attempts = 0 AND x.read_ct > 0) AS processing,
        min(x.enqueued_at) AS oldest
    INTO v_waiting
    FROM (
        SELECT q.attempts, q.read_ct, q.enqueued_at
        FROM pgmq.q_mqtt_messages AS q
        WHERE q.organization_id = queue_depth.organization_id AND q.vt > now()
        LIMIT 10000
    ) AS x;
    RETURN jsonb_build_object(
        'pending', v_counts.pending - v_waiting.processing, 'processing', v_waiting.processing, 'completed', v_counts.completed,
        'failed', v_counts.failed, 'retrying', v_waiting.retrying, 'dead', v_counts.failed,
        'oldest_pending_seconds', round(extract(EPOCH FROM clock_timestamp() - least(v_oldest, v_waiting.oldest)), 3)
    );
END;
$$;

ALTER FUNCTION mqtt.queue_depth(organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.queue_depth(organization_id uuid) IS 'How many messages of the organization are in each status, and how long the oldest one has waited: the first fields of api.get_mqtt_queue_stats.';

CREATE FUNCTION mqtt.queue_depths() RETURNS TABLE(queue text, messages bigint, oldest_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    -- The ledger's counters instead of rows where there are any; the other queue's rows are counted only as far as anyone would care.
    SELECT
        'ingest',
        greatest((SELECT sum(l.accepted - l.completed - l.dead - l.expired) FROM mqtt.ledger AS l WHERE l.shard > mqtt.ledger_level_settled()), 0)::bigint,
        -- From the oldest minute that is incomplete by the counters: there may be millions of dead rows before it.
        (
            SELECT CASE WHEN count(*) > 0 THEN greatest(extract(EPOCH FROM clock_timestamp() - min(f.enqueued_at)), 0) END
            FROM (
                SELECT o.organization_id, min(o.bucket) AS bucket
                FROM (
                    SELECT l.organization_id, l.bucket
                    FROM mqtt.ledger AS l
                    WHERE l.shard > mqtt.ledger_level_settled()
                    GROUP BY l.organization_id, l.bucket
                    HAVING sum(l.accepted - l.completed - l.dead - l.expired) > 0
                ) AS o
                GROUP BY o.organization_id
            ) AS w
            CROSS JOIN LATERAL (
                SELECT q.enqueued_at
                FROM pgmq.q_mqtt_messages AS q
                WHERE q.organization_id = w.organization_id AND q.vt >= w.bucket
                ORDER BY q.vt
                LIMIT 1
            ) AS f
        )
    UNION ALL
    SELECT
        'outbound',
        (SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_outbound LIMIT 1000000) AS q),
        -- Since it was due: a message that is scheduled for later is not late.
        (
            SELECT CASE WHEN count(*) > 0 THEN greatest(extract(EPOCH FROM clock_timestamp() - min(f.vt)), 0) END
            FROM mqtt.device_integrations AS i
            CROSS JOIN LATERAL (
                SELECT q.vt FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = i.id AND q.vt <= now() ORDER BY q.vt LIMIT 1
            ) AS f
        );
$$;

ALTER FUNCTION mqtt.queue_depths() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.queue_depths() IS 'The two queues: messages that wait (outbound is counted up to a million) and for how long the oldest has, one that waits for a retry counting as of when it is due; null when none does.';

CREATE FUNCTION mqtt.queue_rates(organization_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(
            w.minutes || 'm', jsonb_build_object(
                -- The counters are kept per minute, so this covers up to a minute more than asked for.
                'in_per_second', round(i.accepted / extract(EPOCH FROM now() - w.began), 3),
                'out_per_second', round(a.stored / (w.minutes * 60.0), 3),
                'retry_per_second', round(a.retried / (w.minutes * 60.0), 3),
                'dead_per_second', round(a.dead / (w.minutes * 60.0), 3)
            )
        )
        FROM (SELECT v.minutes, date_trunc('minute', now() - make_interval(mins => v.minutes)) AS began FROM (VALUES (1), (5), (60)) AS v (minutes)) AS w
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(l.accepted), 0) AS accepted
            FROM mqtt.ledger AS l
            WHERE l.organization_id = queue_rates.organization_id AND l.bucket >= w.began
        ) AS i
        CROSS JOIN LATERAL (
            SELECT
                coalesce(sum(l.message_count) FILTER (WHERE l.activity_type = 'messages_processed'), 0) AS stored,
                count(*) FILTER (WHERE l.activity_type = 'message_failed') AS retried,
                coalesce(sum(greatest(l.message_count, 1)) FILTER (WHERE l.activity_type = 'message_dead'), 0) AS dead
            FROM mqtt.integration_activity_log AS l
            WHERE l.organization_id = queue_rates.organization_id AND l.created_at >= now() - make_interval(mins => w.minutes)
        ) AS a
    );
END;
$$;

ALTER FUNCTION mqtt.queue_rates(organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.queue_rates(organization_id uuid) IS 'Messages of the organization per second over 1, 5 and 60 minutes: {"1m": {"in_per_second", "out_per_second", "retry_per_second", "dead_per_second"}, "5m", "60m"}.';

CREATE FUNCTION mqtt.queued_messages() RETURNS TABLE(id uuid, organization_id uuid, integration_id uuid, topic text, payload jsonb, body bytea, qos smallint, status text, attempts smallint, created_at timestamp with time zone, next_retry_at timestamp with time zone, error_message text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT
        coalesce(q.message_id, mqtt.message_id(q.enqueued_at, q.msg_id)), q.organization_id, q.integration_id, q.message ->> 'topic',
        coalesce(q.message -> 'payload', 'null'), q.body, coalesce((q.message ->> 'qos')::smallint, 0::smallint),
        CASE WHEN q.read_ct > 0 AND q.attempts = 0 AND q.vt > now() THEN 'processing' ELSE 'pending' END,
        q.attempts, q.enqueued_at, CASE WHEN q.attempts > 0 THEN q.vt END, q.errors -> -1 ->> 'error'
    FROM pgmq.q_mqtt_messages AS q
    WHERE mqtt.is_operator() OR q.organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []);
$$;

ALTER FUNCTION mqtt.queued_messages() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.queued_messages() IS 'Messages of the caller''s organizations that wait in the queue: pending, or processing while another pgmq reader holds them.';

CREATE FUNCTION mqtt.quick_jsonb(value text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((octet_length(value) <= 1000) AND (value !~ '\\u|[eE][+-]?0*[1-9][0-9]{2}'::text) AND ((octet_length(value) < 200) OR (value !~ '[0-9]{200}'::text))) THEN (value)::jsonb
             ELSE mqtt.checked_jsonb(value)
         END AS checked_jsonb;
END;

ALTER FUNCTION mqtt.quick_jsonb(value text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.quick_jsonb(value text) IS 'mqtt.checked_jsonb for text that is valid JSON of type json: what is short, without \u escapes and without far exponents cannot fail, and needs no subtransaction.';

CREATE FUNCTION mqtt.quota_wait(session mqtt.device_session) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (LEAST((3600)::numeric, GREATEST((1)::numeric, ceil(((1)::numeric / LEAST((session).credential_rate, (session).organization_rate))))))::integer AS "least";
END;

ALTER FUNCTION mqtt.quota_wait(session mqtt.device_session) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.quota_wait(session mqtt.device_session) IS 'Seconds after which at least one message is allowed again; at least 1.';

CREATE FUNCTION mqtt.rabbitmq_login() RETURNS mqtt.broker_keys
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.broker_login();
BEGIN
    IF v_broker.id IS NULL THEN
        RAISE EXCEPTION 'broker_unknown' USING
            ERRCODE = 'PT401',
            DETAIL = 'Only a broker with a valid key gets an answer.',
            HINT = 'Write the URLs as http://<username>:<key>@host/…, with the username and key that generate_broker_key returned.';
    END IF;
    RETURN v_broker;
END;
$$;

ALTER FUNCTION mqtt.rabbitmq_login() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.rabbitmq_login() IS 'The broker that asks. Raises PT401 broker_unknown if it is none, which RabbitMQ treats as a refusal and logs.';

CREATE FUNCTION mqtt.random_bytes(length integer) RETURNS bytea
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT public.gen_random_bytes(length) AS gen_random_bytes;
END;

ALTER FUNCTION mqtt.random_bytes(length integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.random_bytes(length integer) IS 'Cryptographically random bytes, 1 to 1024.';

CREATE FUNCTION mqtt.random_password() RETURNS text
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT translate(encode(public.gen_random_bytes(24), 'base64'::text), '+/'::text, '-_'::text) AS translate;
END;

ALTER FUNCTION mqtt.random_password() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.random_password() IS '32 random URL-safe characters (base64url, RFC 4648 section 5): 192 bits.';

CREATE FUNCTION mqtt.read_cursor(cursor text) RETURNS mqtt.message_cursor
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_hex text;
    v_cursor mqtt.message_cursor;
BEGIN
    IF cursor IS NULL THEN
        RETURN NULL;
    END IF;
    BEGIN
        IF cursor ~ '^[A-Za-z0-9_-]{64}$' THEN
            v_hex := encode(decode(translate(cursor, '-_', '+/'), 'base64'), 'hex');
            v_cursor.at := '1970-01-01 00:00:00+00'::timestamptz + ('x' || left(v_hex, 16))::bit(64)::bigint * interval '1 microsecond';
            v_cursor.received_at := '1970-01-01 00:00:00+00'::timestamptz + ('x' || substr(v_hex, 17, 16))::bit(64)::bigint * interval '1 microsecond';
            v_cursor.organization_id := substr(v_hex, 33, 32)::uuid;
            v_cursor.id := substr(v_hex, 65, 32)::uuid;
            RETURN v_cursor;
        END IF;
    EXCEPTION
        WHEN data_exception THEN
            NULL;
    END;
    RAISE EXCEPTION 'cursor_invalid' USING
        ERRCODE = 'PT400', DETAIL = 'cursor is that of a row of an earlier answer.', HINT = 'Omit it to begin at the start.';
END;
$_$;

ALTER FUNCTION mqtt.read_cursor(cursor text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.read_cursor(cursor text) IS 'The place that mqtt.encode_cursor made a cursor of; null for null. Raises PT400 cursor_invalid if it is none.';

CREATE FUNCTION mqtt.record_failure(failed tid, code text, error text, is_counted boolean DEFAULT false) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
    v_row pgmq.q_mqtt_messages;
    v_message_id uuid;
    v_limit integer;
BEGIN
    UPDATE pgmq.q_mqtt_messages AS q
    SET attempts = q.attempts + (NOT is_counted)::integer,
        vt = clock_timestamp() + mqtt.retry_delay(q.attempts + (NOT is_counted)::integer),
        errors = coalesce(CASE WHEN is_counted THEN q.errors - (-1) ELSE q.errors END, '[]') || jsonb_build_object('at', clock_timestamp(), 'code', code, 'error', left(error, 500))
    WHERE q.ctid = failed
    RETURNING q.* INTO v_row;
    IF NOT found THEN
        RETURN 'gone';
    END IF;
    SELECT coalesce((i.settings ->> 'max_attempts')::integer, c.max_attempts) INTO v_limit
    FROM mqtt.configuration AS c
    LEFT JOIN mqtt.device_integrations AS i ON i.id = v_row.integration_id;
    v_message_id := coalesce(v_row.message_id, mqtt.message_id(v_row.enqueued_at, v_row.msg_id));
    IF v_row.attempts >= v_limit THEN
        DELETE FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = v_row.msg_id;
        INSERT INTO mqtt.mqtt_dead_letters (
            received_at, organization_id, id, integration_id, credential_id, direction, attempts, topic, message, body, error_message, errors
        ) VALUES (
            v_row.enqueued_at, v_row.organization_id, v_message_id, v_row.integration_id, v_row.credential_id, 'incoming', v_row.attempts,
            v_row.message ->> 'topic', v_row.message, v_row.body, left(error, 500), v_row.errors
        );
        PERFORM mqtt.count_dead(v_row.organization_id, v_row.enqueued_at);
    END IF;
    PERFORM mqtt.log_activity(
        v_row.organization_id, v_row.integration_id, CASE WHEN v_row.attempts >= v_limit THEN 'message_dead' ELSE 'message_failed' END,
        'failed', jsonb_build_object('message_id', v_message_id, 'attempts', v_row.attempts, 'code', code), left(error, 500)
    );
    RETURN CASE WHEN v_row.attempts >= v_limit THEN 'dead' ELSE 'failed' END;
END;
$$;

ALTER FUNCTION mqtt.record_failure(failed tid, code text, error text, is_counted boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.record_failure(failed tid, code text, error text, is_counted boolean) IS 'Counts a failed attempt (unless it is counted already: then the error replaces the last one): the message waits for its next one (failed) or becomes a dead letter (dead).';

CREATE FUNCTION mqtt.record_stored(organization_ids uuid[], integration_ids uuid[], credential_ids uuid[], minutes timestamp with time zone[], counts bigint[], last_accepted_at timestamp with time zone[], is_deferred boolean) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
    WITH stored (organization_id, integration_id, credential_id, minute, n, last_at) AS MATERIALIZED (
        SELECT s.* FROM unnest(organization_ids, integration_ids, credential_ids, minutes, counts, last_accepted_at) AS s
    ),
    used AS MATERIALIZED (
        SELECT
            u.*,
            -- The first use is noted in the activity log, and so at once.
            record_stored.is_deferred
            AND EXISTS (SELECT FROM mqtt.mqtt_credentials AS c WHERE c.id = u.credential_id AND c.connection_count > 0) AS is_deferred
        FROM (
            SELECT s.organization_id, s.credential_id, sum(s.n)::bigint AS uses, max(s.last_at) AS last_at
            FROM stored AS s
            WHERE s.credential_id IS NOT NULL
            GROUP BY s.organization_id, s.credential_id
        ) AS u
    ),
    deferred AS (
        INSERT INTO mqtt.deferred_credential_updates (organization_id, credential_id, uses, last_connected_at)
        SELECT u.organization_id, u.credential_id, u.uses, u.last_at FROM used AS u WHERE u.is_deferred
    ),
    updated AS (
        UPDATE mqtt.mqtt_credentials AS c
        SET connection_count = c.connection_count + u.uses, last_connected_at = greatest(c.last_connected_at, u.last_at)
        FROM used AS u
        WHERE c.id = u.credential_id AND NOT u.is_deferred
        RETURNING c.organization_id, c.integration_id, c.id, c.username, c.connection_count = u.uses AS is_first
    ),
    counted AS (
        INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, completed)
        SELECT s.organization_id, s.minute, mqtt.ledger_level_outcomes(), sum(s.n)
        FROM stored AS s
        GROUP BY s.organization_id, s.minute
        ORDER BY s.organization_id, s.minute
        ON CONFLICT (organization_id, bucket, shard) DO UPDATE SET completed = l.completed + excluded.completed
    )
    INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, direction, message_count, activity_type, status, details)
    SELECT s.organization_id, s.integration_id, 'incoming'::mqtt.message_direction, sum(s.n), 'messages_processed', 'success', NULL::jsonb
    FROM stored AS s
    GROUP BY s.organization_id, s.integration_id
    UNION ALL
    SELECT
        u.organization_id, u.integration_id, NULL, 0, 'credential_first_used', 'success',
        jsonb_build_object('credential_id', u.id, 'username', u.username, 'via', 'http')
    FROM updated AS u
    WHERE u.is_first;
    RETURN (SELECT coalesce(sum(s.n), 0) FROM unnest(counts) AS s (n));
END;
$$;

ALTER FUNCTION mqtt.record_stored(organization_ids uuid[], integration_ids uuid[], credential_ids uuid[], minutes timestamp with time zone[], counts bigint[], last_accepted_at timestamp with time zone[], is_deferred boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.record_stored(organization_ids uuid[], integration_ids uuid[], credential_ids uuid[], minutes timestamp with time zone[], counts bigint[], last_accepted_at timestamp with time zone[], is_deferred boolean) IS 'What else there is to do for messages that mqtt.store_messages has stored, counted by organization, integration, credential (HTTP only) and minute of acceptance: ledger, activity log, statistics of credentials (at once or deferred, see mqtt.apply_due_updates). Returns how many there were.';

CREATE FUNCTION mqtt.refuse_for_now(status text, slug text, detail text, wait_seconds integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    -- PostgREST's own SQLSTATE: the only way for an error to carry a header.
    RAISE EXCEPTION USING
        ERRCODE = 'PGRST',
        MESSAGE = jsonb_build_object(
            'code', 'PT' || status, 'message', slug, 'details', detail, 'hint', format('Try again in %s seconds; nothing of this call was taken.', wait_seconds)
        ),
        DETAIL = jsonb_build_object('status', status::integer, 'headers', jsonb_build_object('Retry-After', wait_seconds::text));
END;
$$;

ALTER FUNCTION mqtt.refuse_for_now(status text, slug text, detail text, wait_seconds integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.refuse_for_now(status text, slug text, detail text, wait_seconds integer) IS 'Raises an error that PostgREST answers with that HTTP status and Retry-After (RFC 9110 section 10.2.3).';

CREATE FUNCTION mqtt.refuse_login(slug text, detail text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    CASE slug
        WHEN 'publish_not_allowed' THEN
            RAISE EXCEPTION 'publish_not_allowed' USING
                ERRCODE = 'PT403',
                DETAIL = 'This credential may only subscribe.',
                HINT = 'An admin of the organization can generate one that may publish.';
        WHEN 'integration_inactive' THEN
            RAISE EXCEPTION 'integration_inactive' USING
                ERRCODE = 'PT403',
                DETAIL = 'The integration of this credential is switched off.',
                HINT = 'An admin of the organization can switch it on again.';
        WHEN 'queue_paused' THEN
            -- Not 503, at which PostgREST reconnects to the database and sends a Retry-After of its own.
            PERFORM mqtt.refuse_for_now('429', slug, detail, 30);
    END CASE;
END;
$$;

ALTER FUNCTION mqtt.refuse_login(slug text, detail text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.refuse_login(slug text, detail text) IS 'Raises the fault that mqtt.device_login found, with its HTTP status and hint.';

CREATE FUNCTION mqtt.refuse_message(slug text, topic text, prefix text, max_bytes integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION '%', slug USING
        ERRCODE = CASE slug WHEN 'topic_not_allowed' THEN 'PT403' WHEN 'payload_too_large' THEN 'PT413' ELSE 'PT400' END,
        DETAIL = mqtt.fault_reason(slug, topic),
        HINT = CASE slug
            WHEN 'topic_not_allowed' THEN format('Topics start with %s/ and match the credential''s filters, if it has any.', prefix)
            WHEN 'payload_too_large' THEN format('A payload has at most %s bytes.', max_bytes)
            WHEN 'timestamp_invalid' THEN 'Send one such as 2026-02-19T12:00:00Z, 1771502400, 1771502400000, 1771502400000000 or 1771502400000000000.'
            ELSE 'The API reference lists the rules for each argument.'
        END;
END;
$$;

ALTER FUNCTION mqtt.refuse_message(slug text, topic text, prefix text, max_bytes integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.refuse_message(slug text, topic text, prefix text, max_bytes integer) IS 'Raises the slug with its HTTP status (400, 403 or 413), its words and a hint.';

CREATE FUNCTION mqtt.refuse_outbound(fault text, detail text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION '%', fault USING
            ERRCODE = CASE fault WHEN 'message_invalid' THEN 'PT400' WHEN 'payload_too_large' THEN 'PT413' ELSE 'PT403' END,
            DETAIL = coalesce(detail, CASE fault
                WHEN 'integration_inactive' THEN 'The integration is switched off.'
                WHEN 'topic_not_allowed' THEN 'Topics at the hosted broker must start with the organization''s own prefix.'
                ELSE 'A payload is larger than the organization may publish.'
            END),
            HINT = CASE fault
                WHEN 'integration_inactive' THEN 'An admin can switch it on with upsert_integration, status active.'
                ELSE 'None of the messages was queued.'
            END;
    END IF;
END;
$$;

ALTER FUNCTION mqtt.refuse_outbound(fault text, detail text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.refuse_outbound(fault text, detail text) IS 'Raises the fault, if there is one: a slug of mqtt.outbound_fault, or message_invalid. Without detail it says what the limit is, not which message exceeds it.';

CREATE FUNCTION mqtt.refuse_setting(name text, fault text, hint text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION 'setting_invalid' USING
        ERRCODE = 'PT400',
        DETAIL = format('settings.%s %s.', left(name, 64), rtrim(fault, '.')),
        HINT = coalesce(hint, 'The API reference lists every setting with its type and bounds.');
END;
$$;

ALTER FUNCTION mqtt.refuse_setting(name text, fault text, hint text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.refuse_setting(name text, fault text, hint text) IS 'Raises PT400 setting_invalid, which names the setting and the fault, but never the value.';

CREATE FUNCTION mqtt.refuse_write() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION 'read_only' USING
        ERRCODE = 'PT405', DETAIL = format('%I.%I cannot be written to.', tg_table_schema, tg_table_name), HINT = 'Send messages with mqtt_ingest.';
END;
$$;

ALTER FUNCTION mqtt.refuse_write() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.refuse_write() IS 'Trigger: refuses any write.';

CREATE FUNCTION mqtt.renumber_subscription() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    NEW.number := nextval(pg_get_serial_sequence('mqtt.mqtt_subscriptions', 'number'));
    RETURN NEW;
END;
$$;

ALTER FUNCTION mqtt.renumber_subscription() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.renumber_subscription() IS 'Trigger: a subscription that is asked for anew gets a new number.';

CREATE FUNCTION mqtt.repair_clock() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    -- The index finds messages that are not yet due, organization by organization; in most queues none was enqueued in the future.
    -- All of them move back by the same step, so that they keep their order.
    WITH late AS (
        SELECT
            q.msg_id,
            max(greatest(q.enqueued_at, (q.errors -> -1 ->> 'at')::timestamptz)) OVER () - clock_timestamp() AS step
        FROM mqtt.organizations AS o
        JOIN pgmq.q_mqtt_messages AS q ON q.organization_id = o.id AND q.vt > clock_timestamp() + interval '10 seconds'
        WHERE greatest(q.enqueued_at, (q.errors -> -1 ->> 'at')::timestamptz) > clock_timestamp() + interval '10 seconds'
            -- otherwise it has been repaired before
            AND q.vt >= greatest(q.enqueued_at, (q.errors -> -1 ->> 'at')::timestamptz)
    ),
    incoming AS (
        UPDATE pgmq.q_mqtt_messages AS q
        SET vt = q.vt - l.step
        FROM late AS l
        WHERE q.msg_id = l.msg_id
        RETURNING 1
    ),
    late_outgoing AS (
        SELECT q.msg_id, max(q.enqueued_at) OVER () - clock_timestamp() AS step
        FROM mqtt.device_integrations AS i
        JOIN pgmq.q_mqtt_outbound AS q ON q.integration_id = i.id AND q.vt > clock_timestamp() + interval '10 seconds'
        -- deliver_at is a calendar time, which does not move.
        WHERE q.enqueued_at > clock_timestamp() + interval '10 seconds' AND q.vt <= q.enqueued_at + interval '1 second'
    ),
    outgoing AS (
        UPDATE pgmq.q_mqtt_outbound AS q
        SET vt = q.vt - l.step, expires_at = q.expires_at - l.step
        FROM late_outgoing AS l
        WHERE q.msg_id = l.msg_id
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM incoming) + (SELECT count(*) FROM outgoing);
$$;

ALTER FUNCTION mqtt.repair_clock() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.repair_clock() IS 'Repairs the queues after the server''s clock was set back: messages that were enqueued or failed in what is now the future become due when they would have been, not when the clock reaches that time again. Returns how many.';

CREATE FUNCTION mqtt.replay(request mqtt.replay_request, dry_run boolean) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_is_history CONSTANT boolean := request.integration_id IS NOT NULL;
    v_now CONSTANT timestamptz := clock_timestamp();
    v_result record;
BEGIN
    WITH chosen AS MATERIALIZED (
        -- The first is due now, each further one its share of a second later.
        SELECT x.*, v_now + make_interval(secs => coalesce(((x.place - 1) / request.max_per_second)::double precision, 0)) AS due_at
        FROM (
            SELECT d.* FROM mqtt.dead_letters_to_replay(request) AS d WHERE NOT v_is_history
            UNION ALL
            SELECT h.* FROM mqtt.history_to_replay(request) AS h WHERE v_is_history
        ) AS x
    ), marked AS (
        UPDATE mqtt.mqtt_dead_letters AS d
        SET replayed_at = v_now, replay_count = d.replay_count + 1
        FROM chosen AS c
        WHERE NOT dry_run AND NOT v_is_history AND d.organization_id = request.organization_id AND d.failed_at = c.failed_at AND d.id = c.id
            AND d.replay_count = c.replay_count  -- another call may have replayed it meanwhile
        RETURNING d.failed_at, d.id
    ), taken AS MATERIALIZED (
        SELECT c.* FROM chosen AS c WHERE NOT dry_run AND (v_is_history OR (c.failed_at, c.id) IN (SELECT m.failed_at, m.id FROM marked AS m))
    ), ingested AS (
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id, body)
        SELECT t.due_at, t.message, request.organization_id, t.integration_id, t.credential_id, t.body
        FROM taken AS t
        WHERE t.direction = 'incoming'
        ORDER BY t.place
    ), published AS (
        INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, body)
        SELECT t.due_at, t.message, request.organization_id, t.integration_id, t.body
        FROM taken AS t
        WHERE t.direction = 'outgoing'
        ORDER BY t.place
    )
    SELECT
        jsonb_build_object('matched', count(*), 'replayed', (SELECT count(*) FROM taken), 'until', max(c.due_at), 'messages', coalesce(jsonb_agg(
            jsonb_build_object('id', c.id, 'topic', c.message ->> 'topic', 'direction', c.direction, 'due_at', c.due_at) ORDER BY c.place
        ) FILTER (WHERE c.place <= 100), '[]')) AS answer,
        (SELECT count(*) FROM taken AS t WHERE t.direction = 'incoming') AS incoming,
        (SELECT count(*) FROM taken AS t WHERE t.direction = 'outgoing') AS outgoing,
        min(mqtt.outbound_fault(
            l.is_inactive, l.required_prefix, l.max_bytes, c.message ->> 'topic', mqtt.outbound_bytes(c.message -> 'payload', c.body)
        )) FILTER (WHERE c.direction = 'outgoing') AS fault
    INTO v_result
    FROM chosen AS c
    LEFT JOIN LATERAL mqtt.outbound_limits(c.integration_id) AS l ON true;
    PERFORM mqtt.refuse_outbound(v_result.fault);
    PERFORM mqtt.announce_replay(request.organization_id, v_result.incoming::integer, v_result.outgoing::integer);
    IF v_result.incoming > 0 THEN
        PERFORM mqtt.count_accepted(request.organization_id, v_result.incoming::integer);
    END IF;
    RETURN v_result.answer;
END;
$$;

ALTER FUNCTION mqtt.replay(request mqtt.replay_request, dry_run boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.replay(request mqtt.replay_request, dry_run boolean) IS 'Enqueues again what the request selects, all or nothing, or with dry_run only tells: {"matched", "replayed", "until": when the last is due, "messages": [first 100]}. Raises what mqtt.refuse_outbound and mqtt.announce_replay raise.';

CREATE FUNCTION mqtt.replay_patch_reason(patch jsonb) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (patch IS NULL) THEN NULL::text
             WHEN ((jsonb_typeof(patch) <> 'object'::text) OR ((patch - '{topic,payload,qos,retain,content_type}'::text[]) <> '{}'::jsonb)) THEN 'patch must be an object with no keys other than topic, payload, qos, retain and content_type.'::text
             WHEN mqtt.has_extreme_number(patch) THEN 'patch.payload contains a number that cannot be stored.'::text
             ELSE ('patch: '::text || mqtt.publish_reason(('{"topic": "x", "payload": null}'::jsonb || patch)))
         END AS "case";
END;

ALTER FUNCTION mqtt.replay_patch_reason(patch jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.replay_patch_reason(patch jsonb) IS 'Why these fields cannot replace those of a message, in words, by the rules of mqtt.publish_reason; null when they can, or when there are none.';

CREATE FUNCTION mqtt.request_session() RETURNS SETOF mqtt.device_session
    LANGUAGE sql STABLE ROWS 1
    BEGIN ATOMIC
 SELECT c.id,
     c.organization_id,
     c.integration_id,
     c.topic_prefix,
     c.publish_filters,
     LEAST(o.max_payload_bytes, k.max_payload_bytes) AS "least",
     k.max_batch_messages,
     c.max_per_second,
     c.max_burst,
     o.max_per_second,
     o.max_burst,
         CASE
             WHEN ((((sha256((COALESCE(c.secret_salt, '\x00000000000000000000000000000000'::bytea) || l.password)) = c.secret_hash) OR ((c.previous_until > now()) AND (sha256((c.previous_salt || l.password)) = c.previous_hash))) IS NOT TRUE) OR (c.revoked_at IS NOT NULL) OR (c.expires_at <= now()) OR (c.client_id IS DISTINCT FROM l.client_id)) THEN 'invalid_credentials'::text
             WHEN (NOT c.can_publish) THEN 'publish_not_allowed'::text
             WHEN (i.status = 'inactive'::text) THEN 'integration_inactive'::text
             WHEN (COALESCE(k.ingest_pause, o.ingest_pause) IS NOT NULL) THEN 'queue_paused'::text
             ELSE NULL::text
         END AS "case",
     COALESCE(k.ingest_pause, o.ingest_pause) AS "coalesce",
     l.username
    FROM ((((( SELECT
                 CASE
                     WHEN (b.basic IS NULL) THEN (b.headers ->> 'x-username'::text)
                     ELSE split_part(b.basic, ':'::text, 1)
                 END AS username,
             convert_to(COALESCE(
                 CASE
                     WHEN (b.basic IS NULL) THEN (b.headers ->> 'x-password'::text)
                     ELSE substr(b.basic, (strpos(b.basic, ':'::text) + 1))
                 END, ''::text), 'UTF8'::name) AS password,
             (b.headers ->> 'x-client-id'::text) AS client_id
            FROM ( SELECT h.headers,
                     mqtt.basic_login(h.headers) AS basic
                    FROM ( SELECT (NULLIF(current_setting('request.headers'::text, true), ''::text))::jsonb AS headers
                          OFFSET 0) h
                  OFFSET 0) b) l
      CROSS JOIN mqtt.configuration k)
      LEFT JOIN mqtt.mqtt_credentials c ON ((c.username = l.username)))
      LEFT JOIN mqtt.device_integrations i ON ((i.id = c.integration_id)))
      LEFT JOIN mqtt.organizations o ON ((o.id = c.organization_id)));
END;

ALTER FUNCTION mqtt.request_session() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.request_session() IS 'The device behind this HTTP request, by its headers: Authorization: Basic, or X-Username and X-Password, with X-Client-ID; always one row. Where fault is set it may not send, and whoever asks answers with mqtt.answer_wrong_login. A part of the statement that asks, since it runs for every message.';

CREATE FUNCTION mqtt.require_batch(message_count integer, max_messages integer) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF message_count IS NULL THEN
        RAISE EXCEPTION 'messages_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'messages is an array of messages.',
            HINT = 'Send {"messages": [{"topic": …, "payload": …}, …]}.';
    ELSIF message_count = 0 THEN
        RAISE EXCEPTION 'batch_empty' USING
            ERRCODE = 'PT400', DETAIL = 'The array contains no message.', HINT = 'Send at least one message.';
    ELSIF message_count > max_messages THEN
        RAISE EXCEPTION 'batch_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('The array contains %s messages.', message_count),
            HINT = format('Send at most %s messages per call.', max_messages);
    END IF;
END;
$$;

ALTER FUNCTION mqtt.require_batch(message_count integer, max_messages integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.require_batch(message_count integer, max_messages integer) IS 'Raises messages_invalid for a count of null (not an array), batch_empty or batch_too_large.';

CREATE FUNCTION mqtt.require_callback(subscription_id uuid) RETURNS mqtt.mqtt_subscriptions
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_subscription mqtt.mqtt_subscriptions := mqtt.require_subscription(require_callback.subscription_id);
BEGIN
    IF v_subscription.callback_url IS NULL THEN
        RAISE EXCEPTION 'callback_missing' USING
            ERRCODE = 'PT400',
            DETAIL = format('Subscription %s has no callback_url.', v_subscription.id),
            HINT = 'Call mqtt_subscribe for the same topic with a callback_url.';
    END IF;
    RETURN v_subscription;
END;
$$;

ALTER FUNCTION mqtt.require_callback(subscription_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.require_callback(subscription_id uuid) IS 'The subscription, if the caller may see it (else PT404 subscription_not_found) and is an admin of its organization (else PT403 admin_required), and it has a callback_url (else PT400 callback_missing).';

CREATE FUNCTION mqtt.require_credential(credential_id uuid) RETURNS mqtt.mqtt_credentials
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_credential mqtt.mqtt_credentials;
BEGIN
    SELECT c.* INTO v_credential
    FROM mqtt.mqtt_credentials AS c
    WHERE c.id = require_credential.credential_id
        AND (mqtt.is_operator() OR c.organization_id = ANY (mqtt.current_organization_ids()))
    FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'credential_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no credential %s that you may see.', coalesce(credential_id::text, 'null')),
            HINT = 'get_mqtt_credentials lists yours.';
    END IF;
    PERFORM mqtt.require_organization(v_credential.organization_id, true);
    RETURN v_credential;
END;
$$;

ALTER FUNCTION mqtt.require_credential(credential_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.require_credential(credential_id uuid) IS 'The credential, locked, if the caller may see it (else PT404 credential_not_found) and is an admin of its organization (else PT403 admin_required).';

CREATE FUNCTION mqtt.require_integration(integration_id uuid, organization_id uuid DEFAULT NULL::uuid, admin_only boolean DEFAULT false) RETURNS mqtt.device_integrations
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_integration mqtt.device_integrations;
BEGIN
    SELECT i.* INTO v_integration
    FROM mqtt.device_integrations AS i
    WHERE i.id = require_integration.integration_id
        AND i.organization_id = coalesce(require_integration.organization_id, i.organization_id)
        AND (mqtt.is_operator() OR i.organization_id = ANY (mqtt.current_organization_ids()));
    IF NOT found THEN
        RAISE EXCEPTION 'integration_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no integration %s that you may see', coalesce(integration_id::text, 'null'))
                || coalesce(format(' in organization %s.', organization_id), '.'),
            HINT = 'GET /device_integrations lists yours.';
    END IF;
    IF admin_only THEN
        PERFORM mqtt.require_organization(v_integration.organization_id, true);
    END IF;
    RETURN v_integration;
END;
$$;

ALTER FUNCTION mqtt.require_integration(integration_id uuid, organization_id uuid, admin_only boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.require_integration(integration_id uuid, organization_id uuid, admin_only boolean) IS 'The integration, if the caller may see it and it belongs to the organization, where one is given (else PT404 integration_not_found), and, with admin_only, the caller is an admin of its organization (else PT403 admin_required).';

CREATE FUNCTION mqtt.require_open_queue(organization_id uuid, queue text) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_stop text := (
        SELECT CASE queue WHEN 'outbound' THEN c.publish_pause ELSE coalesce(c.ingest_pause, o.ingest_pause) END
        FROM mqtt.configuration AS c
        CROSS JOIN mqtt.organizations AS o
        WHERE o.id = require_open_queue.organization_id
    );
BEGIN
    IF v_stop IS NOT NULL THEN
        PERFORM mqtt.refuse_for_now('429', 'queue_paused', v_stop, 30);
    END IF;
END;
$$;

ALTER FUNCTION mqtt.require_open_queue(organization_id uuid, queue text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.require_open_queue(organization_id uuid, queue text) IS 'Raises 429 queue_paused while mqtt.check_capacity has closed that queue, ingest or outbound, for the organization.';

CREATE FUNCTION mqtt.require_organization(organization_id uuid, admin_only boolean DEFAULT false) RETURNS mqtt.organizations
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_organization mqtt.organizations;
BEGIN
    SELECT o.* INTO v_organization
    FROM mqtt.organizations AS o
    WHERE o.id = require_organization.organization_id
        AND (mqtt.is_operator() OR o.id = ANY (mqtt.current_organization_ids()));
    IF NOT found THEN
        RAISE EXCEPTION 'organization_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no organization %s that you may see.', coalesce(organization_id::text, 'null')),
            HINT = 'GET /organizations lists yours.';
    END IF;
    IF admin_only AND NOT mqtt.is_operator() AND NOT v_organization.id = ANY (mqtt.current_organization_ids(true)) THEN
        RAISE EXCEPTION 'admin_required' USING
            ERRCODE = 'PT403',
            DETAIL = format('You are a member of organization %s, but not an admin.', organization_id),
            HINT = 'Ask an admin of the organization to do it, or to make you one.';
    END IF;
    RETURN v_organization;
END;
$$;

ALTER FUNCTION mqtt.require_organization(organization_id uuid, admin_only boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.require_organization(organization_id uuid, admin_only boolean) IS 'The organization, if the caller may see it (else PT404 organization_not_found) and, with admin_only, is an admin of it (else PT403 admin_required).';

CREATE FUNCTION mqtt.require_publishable(messages jsonb, required_prefix text, max_bytes integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_first record;
BEGIN
    WITH message AS MATERIALIZED (
        SELECT
            e.ordinality - 1 AS place,
            mqtt.publish_reason(e.value) AS words,
            e.value ->> 'topic' AS topic,
            mqtt.outbound_bytes(e.value -> 'payload', mqtt.outbound_body(e.value -> 'payload', e.value ->> 'payload_encoding')) AS bytes
        FROM jsonb_array_elements(messages) WITH ORDINALITY AS e (value, ordinality)
    )
    SELECT j.* INTO v_first
    FROM (SELECT m.*, mqtt.outbound_fault(false, required_prefix, max_bytes, m.topic, m.bytes) AS fault FROM message AS m) AS j
    WHERE j.words IS NOT NULL OR j.fault IS NOT NULL
    ORDER BY j.place
    LIMIT 1;
    IF found THEN
        PERFORM mqtt.refuse_outbound(
            CASE WHEN v_first.words IS NULL THEN v_first.fault ELSE 'message_invalid' END,
            format('messages[%s]: ', v_first.place) || CASE
                WHEN v_first.words IS NOT NULL THEN v_first.words
                WHEN v_first.fault = 'topic_not_allowed' THEN format('topics at the hosted broker must start with %s/.', required_prefix)
                ELSE format('a payload of %s bytes is larger than the limit of %s.', v_first.bytes, max_bytes)
            END
        );
    END IF;
END;
$$;

ALTER FUNCTION mqtt.require_publishable(messages jsonb, required_prefix text, max_bytes integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.require_publishable(messages jsonb, required_prefix text, max_bytes integer) IS 'Raises message_invalid, topic_not_allowed or payload_too_large for the first message that must not be published within these limits (mqtt.outbound_limits).';

CREATE FUNCTION mqtt.require_replayable(request mqtt.replay_request) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_is_history CONSTANT boolean := request.integration_id IS NOT NULL;
    v_fault text;
BEGIN
    v_fault := CASE
        WHEN (v_is_history OR request.topic IS NOT NULL) AND mqtt.topic_filter_reason(request.topic) IS NOT NULL
            THEN mqtt.topic_filter_reason(request.topic)
        WHEN mqtt.replay_patch_reason(request.patch) IS NOT NULL THEN mqtt.replay_patch_reason(request.patch)
        WHEN request.to_topic IS NOT NULL AND mqtt.topic_name_reason(replace(request.to_topic, '{topic}', 'x')) IS NOT NULL
            THEN 'to_topic is not a topic name.'
        WHEN v_is_history AND request.since IS NULL THEN 'since is missing.'
        WHEN request.max_per_second <= 0 OR (v_is_history AND request.max_per_second IS NULL) THEN 'max_per_second must be more than 0.'
        WHEN (request.max_messages BETWEEN 1 AND 100000) IS NOT TRUE THEN 'limit must be from 1 to 100,000.'
    END;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'replay_invalid' USING
            ERRCODE = 'PT400', DETAIL = v_fault, HINT = 'Try it with dry_run: true first: that returns what would be replayed.';
    END IF;
END;
$$;

ALTER FUNCTION mqtt.require_replayable(request mqtt.replay_request) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.require_replayable(request mqtt.replay_request) IS 'Raises PT400 replay_invalid when the request makes no sense.';

CREATE FUNCTION mqtt.require_subscription(subscription_id uuid) RETURNS mqtt.mqtt_subscriptions
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_subscription mqtt.mqtt_subscriptions;
BEGIN
    SELECT s.* INTO v_subscription
    FROM mqtt.mqtt_subscriptions AS s
    WHERE s.id = require_subscription.subscription_id
        AND (mqtt.is_operator() OR s.organization_id = ANY (mqtt.current_organization_ids()));
    IF NOT found THEN
        RAISE EXCEPTION 'subscription_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no subscription %s that you may see.', coalesce(subscription_id::text, 'null')),
            HINT = 'GET /mqtt_subscriptions shows yours.';
    END IF;
    PERFORM mqtt.require_organization(v_subscription.organization_id, true);
    RETURN v_subscription;
END;
$$;

ALTER FUNCTION mqtt.require_subscription(subscription_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.require_subscription(subscription_id uuid) IS 'The subscription, where the caller may see it (else PT404 subscription_not_found) and is an admin there (else PT403 admin_required).';

CREATE FUNCTION mqtt.retry_delay(attempts integer) RETURNS interval
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT (LEAST(c.retry_cap, (c.retry_base * power((2)::double precision, ((LEAST(retry_delay.attempts, 30) - 1))::double precision))) * ((0.75)::double precision + (random() / (2)::double precision)))
    FROM mqtt.configuration c;
END;

ALTER FUNCTION mqtt.retry_delay(attempts integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.retry_delay(attempts integer) IS 'Delay after this many failed attempts: retry_base × 2ⁿ⁻¹, capped at retry_cap, ±25 % jitter.';

CREATE FUNCTION mqtt.roll_up_ledger(older_than interval DEFAULT '02:00:00'::interval) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_hour CONSTANT timestamptz := date_trunc('hour', now() - older_than);
    v_day CONSTANT timestamptz := now() - make_interval(days => greatest(mqtt.longest_term('completed_days'), mqtt.longest_term('failed_days')) + 1);
    v_rows bigint;
BEGIN
    WITH old AS (
        DELETE FROM mqtt.ledger AS l
        WHERE l.shard > mqtt.ledger_level_settled() AND (
            l.shard >= 0 AND l.bucket < now() - interval '6 minutes'
            OR l.bucket < v_hour AND (l.shard <> mqtt.ledger_level_hour() OR l.accepted = l.completed + l.dead + l.expired)
        )
        OR l.shard = mqtt.ledger_level_settled() AND l.bucket < v_day AND l.bucket > '-infinity'
        RETURNING l.*
    ),
    rolled AS (
        INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, accepted, completed, dead, expired)
        SELECT
            o.organization_id,
            CASE WHEN o.shard = mqtt.ledger_level_settled() THEN '-infinity' WHEN o.bucket < v_hour THEN date_trunc('hour', o.bucket) ELSE o.bucket END,
            CASE
                WHEN o.shard IN (mqtt.ledger_level_hour(), mqtt.ledger_level_settled()) THEN mqtt.ledger_level_settled()
                WHEN o.bucket < v_hour THEN mqtt.ledger_level_hour()
                ELSE mqtt.ledger_level_minute()
            END,
            sum(o.accepted), sum(o.completed), sum(o.dead), sum(o.expired)
        FROM old AS o
        GROUP BY 1, 2, 3
        ON CONFLICT (organization_id, bucket, shard) DO UPDATE SET
            accepted = l.accepted + excluded.accepted, completed = l.completed + excluded.completed,
            dead = l.dead + excluded.dead, expired = l.expired + excluded.expired
    )
    SELECT count(*) INTO v_rows FROM old;
    RETURN v_rows;
END;
$$;

ALTER FUNCTION mqtt.roll_up_ledger(older_than interval) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.roll_up_ledger(older_than interval) IS 'Sums up the ledger: the shards of each past minute into one row, older minutes into hours, and hours older than any retention into one row per organization; marks hours whose messages are all settled. Returns the number of rows removed.';

CREATE FUNCTION mqtt.run_maintenance() RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT CASE WHEN mqtt.try_maintenance_lock() THEN mqtt.check_capacity() || mqtt.apply_retention() || mqtt.run_periodic_tasks() ELSE '{"skipped": true}' END;
$$;

ALTER FUNCTION mqtt.run_maintenance() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.run_maintenance() IS 'All periodic maintenance in one call: capacity, retention, and mqtt.run_periodic_tasks. One caller at a time; any other gets {"skipped": true}. The bridge does the same in separate calls; without a bridge, SELECT cron.schedule(''topicbase'', ''* * * * *'', ''SELECT mqtt.run_maintenance()'').';

CREATE FUNCTION mqtt.run_periodic_tasks() RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_done jsonb := '{}';
    v_made integer;
BEGIN
    v_done := jsonb_build_object('clock_repaired', mqtt.repair_clock(), 'ledger_rows_rolled_up', mqtt.roll_up_ledger())
        || mqtt.check_health() || jsonb_build_object('credentials_expired', mqtt.log_expired_credentials());
    BEGIN
        v_made := mqtt.prepare_partitions();
        RETURN v_done || jsonb_build_object('partitions_made', v_made);
    EXCEPTION WHEN lock_not_available THEN
        RETURN v_done || jsonb_build_object('postponed', SQLERRM);
    END;
END;
$$;

ALTER FUNCTION mqtt.run_periodic_tasks() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.run_periodic_tasks() IS 'The quick part of periodic maintenance: messages hidden by a clock that was set back, the ledger, what holds back vacuum, expired credentials, partitions made ahead ("postponed" if a lock is not available).';

CREATE FUNCTION mqtt.sealed(label text, secret text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_key bytea := (SELECT c.sealing_public_key FROM mqtt.configuration AS c);
    v_box bytea;
BEGIN
    IF v_key IS NULL THEN
        RAISE EXCEPTION 'sealing_unavailable' USING
            ERRCODE = 'PT400',
            DETAIL = format('%s cannot be stored: this installation has no sealing key yet, and secrets are never stored in clear text.', label),
            HINT = 'Ask the operator to run topicbase keygen.';
    ELSIF to_regprocedure('mqtt.py_seal(bytea, text)') IS NULL THEN
        RAISE EXCEPTION 'sealing_unavailable' USING
            ERRCODE = 'PT400',
            DETAIL = format('%s cannot be sealed here: the database has no PL/Python, and secrets are never stored in clear text.', label),
            HINT = format(
                'Seal it yourself (libsodium crypto_box_seal, public key %s) and send {"sealed": "<base64>"}.',
                encode(v_key, 'base64')
            );
    END IF;
    BEGIN
        EXECUTE 'SELECT mqtt.py_seal($1, $2)' INTO v_box USING v_key, secret;
    EXCEPTION
        WHEN external_routine_exception OR insufficient_privilege THEN
            v_box := NULL;
    END;
    IF v_box IS NULL THEN
        RAISE EXCEPTION 'sealing_unavailable' USING
            ERRCODE = 'PT400',
            DETAIL = format('%s could not be sealed with this installation''s key.', label),
            HINT = 'SELECT * FROM mqtt.codecs() tells the operator why; topicbase keygen generates a new key.';
    END IF;
    RETURN jsonb_build_object('sealed', translate(encode(v_box, 'base64'), E'\n', ''), 'key', mqtt.sealing_key_id(v_key));
END;
$_$;

ALTER FUNCTION mqtt.sealed(label text, secret text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.sealed(label text, secret text) IS 'The secret as it may be stored: {"sealed": base64 of a libsodium sealed box, "key": id of the key}. Raises PT400 sealing_unavailable, which has the label, if it cannot be sealed.';

CREATE FUNCTION mqtt.sealed_setting(name text, value jsonb) RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'object' THEN value ELSE mqtt.sealed('settings.' || name, value #>> '{}') END;
$$;

ALTER FUNCTION mqtt.sealed_setting(name text, value jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.sealed_setting(name text, value jsonb) IS 'A secret among an integration''s settings as it may be stored: sealed here, or already sealed by the caller.';

CREATE FUNCTION mqtt.sealing_key_id(public_key bytea) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT "left"(encode(sha256(public_key), 'hex'::text), 16) AS "left";
END;

ALTER FUNCTION mqtt.sealing_key_id(public_key bytea) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.sealing_key_id(public_key bytea) IS 'The id that is stored with a sealed value to name its key pair: 16 digits of the SHA-256 of the public key.';

CREATE FUNCTION mqtt.seconds_in_queue(organization_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'p50', round((percentile_cont(0.5) WITHIN GROUP (ORDER BY s.seconds))::numeric, 4),
            'p99', round((percentile_cont(0.99) WITHIN GROUP (ORDER BY s.seconds))::numeric, 4)
        )
        FROM (
            SELECT extract(EPOCH FROM m.created_at - m.received_at) AS seconds
            FROM mqtt.mqtt_messages AS m
            WHERE m.organization_id = seconds_in_queue.organization_id AND m.direction = 'incoming' AND m.received_at > now() - interval '1 hour'
            ORDER BY m.received_at DESC
            LIMIT 1000
        ) AS s
    );
END;
$$;

ALTER FUNCTION mqtt.seconds_in_queue(organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.seconds_in_queue(organization_id uuid) IS 'How long the last 1,000 messages stored within the hour waited to be processed: {"p50", "p99"}, null when there were none.';

CREATE FUNCTION mqtt.set_callback_secret(organization_id uuid, subscription_id uuid, given jsonb DEFAULT NULL::jsonb, grace interval DEFAULT '00:00:00'::interval, only_if_none boolean DEFAULT false) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_secret text;
    v_sealed jsonb := given;
BEGIN
    PERFORM mqtt.require_organization(set_callback_secret.organization_id, true);
    IF only_if_none AND given IS NULL AND EXISTS (
        SELECT FROM mqtt.callback_secrets AS k
        WHERE k.organization_id = set_callback_secret.organization_id AND k.subscription_id = set_callback_secret.subscription_id
    ) THEN
        RETURN NULL;
    END IF;
    IF given IS NULL THEN
        v_secret := 'whsec_' || translate(encode(mqtt.random_bytes(32), 'base64'), E'\n', '');
        v_sealed := mqtt.sealed('callback_secret', v_secret);
    -- A sealed box is 48 bytes longer than its content; the shortest secret is whsec_ and 24 bytes in base64 (Standard Webhooks).
    ELSIF (
        jsonb_typeof(given) = 'object' AND given - 'sealed' = '{}' AND jsonb_typeof(given -> 'sealed') = 'string'
        AND octet_length(given ->> 'sealed') BETWEEN 112 AND 1000
        AND given ->> 'sealed' ~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$'
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'callback_secret_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'callback_secret must be {"sealed": "<base64>"}; a secret in clear text is rejected.',
            HINT = 'Omit it to have one generated, or seal "whsec_<base64 of 24 to 64 bytes>" with this installation''s public key.';
    END IF;
    INSERT INTO mqtt.callback_secrets AS k (organization_id, subscription_id, sealed)
    VALUES (set_callback_secret.organization_id, set_callback_secret.subscription_id, v_sealed)
    ON CONFLICT ON CONSTRAINT callback_secrets_pkey DO UPDATE
    SET previous = CASE WHEN grace > '0' THEN k.sealed END,
        previous_until = CASE WHEN grace > '0' THEN clock_timestamp() + grace END,
        sealed = excluded.sealed,
        created_at = clock_timestamp();
    PERFORM mqtt.log_activity(
        k.organization_id, k.integration_id, 'callback_secret_set',
        details => jsonb_build_object('subscription_id', k.id, 'user_id', mqtt.current_user_id())
    )
    FROM mqtt.mqtt_subscriptions AS k
    WHERE k.organization_id = set_callback_secret.organization_id AND k.id = set_callback_secret.subscription_id;
    RETURN v_secret;
END;
$_$;

ALTER FUNCTION mqtt.set_callback_secret(organization_id uuid, subscription_id uuid, given jsonb, grace interval, only_if_none boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.set_callback_secret(organization_id uuid, subscription_id uuid, given jsonb, grace interval, only_if_none boolean) IS 'Gives a subscription the secret that its requests are signed with: one generated here, which is returned in clear text, or one that the caller sealed
For the time of grace the old secret signs as well. With only_if_none a subscription that has a secret keeps it, and null is returned.
Errors: 400 `callback_secret_invalid`, `sealing_unavailable`; 403 `admin_required`; 404 `organization_not_found`.';

CREATE FUNCTION mqtt.setting_names(integration_type text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (ARRAY['topic_pattern'::text, 'content_type'::text, 'max_attempts'::text, 'outbound_max_in_flight'::text, 'status_topic'::text] ||
         CASE
             WHEN (integration_type <> 'mqtt_hosted'::text) THEN ARRAY['broker_url'::text, 'port'::text, 'protocol'::text, 'path'::text, 'username'::text, 'password'::text, 'client_id'::text, 'mqtt_version'::text, 'clean_start'::text, 'session_expiry'::text, 'keepalive'::text, 'use_tls'::text, 'verify_certificate'::text, 'ca_certificate'::text, 'client_certificate'::text, 'client_key'::text, 'server_name'::text, 'alpn'::text]
             ELSE '{}'::text[]
         END);
END;

ALTER FUNCTION mqtt.setting_names(integration_type text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.setting_names(integration_type text) IS 'The names of the settings that an integration of this type may have.';

CREATE FUNCTION mqtt.settings_with_secrets(checked jsonb, given jsonb, stored jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_settings jsonb := checked;
    v_secret text;
BEGIN
    FOREACH v_secret IN ARRAY mqtt.secret_setting_names() LOOP
        IF stored ? v_secret AND coalesce(given -> v_secret, stored -> v_secret) = stored -> v_secret THEN
            -- Otherwise anyone who may change the host could have the old secret sent to a host of their own.
            IF checked ->> 'broker_url' <> stored ->> 'broker_url' THEN
                PERFORM mqtt.refuse_setting(
                    v_secret, 'is stored for another broker and is not passed on to a new one', format('Send settings.%s again, or null for none.', v_secret)
                );
            END IF;
            v_settings := v_settings || jsonb_build_object(v_secret, stored -> v_secret);
        ELSIF checked ? v_secret THEN
            v_settings := v_settings || jsonb_build_object(v_secret, mqtt.sealed_setting(v_secret, checked -> v_secret));
        END IF;
    END LOOP;
    RETURN v_settings;
END;
$$;

ALTER FUNCTION mqtt.settings_with_secrets(checked jsonb, given jsonb, stored jsonb) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.settings_with_secrets(checked jsonb, given jsonb, stored jsonb) IS 'The checked settings with their secrets sealed; a secret that was not given, or given as it is stored, is kept. Raises PT400 setting_invalid or sealing_unavailable.';

CREATE FUNCTION mqtt.settle_deliveries(bridge_id uuid, organization_ids uuid[], ids uuid[], attempts smallint[], codes smallint[], errors text[], responses text[], retry_afters integer[], is_final boolean[]) RETURNS mqtt.callback_outcome[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
DECLARE
    v_settled mqtt.callback_outcome [];
BEGIN
    WITH outcome AS (
        SELECT
            o.*,
            o.code IS NULL AND o.error IS NULL AS is_released,
            o.code BETWEEN 200 AND 299 AS is_delivered,
            CASE WHEN o.retry_after > 0 THEN least(o.retry_after, 86400) * interval '1 second' END AS pause
        FROM unnest(
            settle_deliveries.organization_ids, settle_deliveries.ids, settle_deliveries.attempts, settle_deliveries.codes, settle_deliveries.errors,
            settle_deliveries.responses, settle_deliveries.retry_afters, settle_deliveries.is_final
        ) AS o (organization_id, id, attempt, code, error, response, retry_after, is_final)
    ), settled AS (
        UPDATE mqtt.mqtt_callback_deliveries AS d
        SET bridge_id = NULL,
            attempts = d.attempts - o.is_released::integer,
            status = CASE
                WHEN o.is_delivered THEN 'delivered'
                WHEN o.is_released THEN 'waiting'
                WHEN o.is_final OR o.code = 410 OR d.attempts >= c.callback_attempts THEN 'dead'
                ELSE 'waiting'
            END,
            due_at = CASE
                WHEN o.is_released THEN clock_timestamp()
                ELSE clock_timestamp() + greatest(mqtt.retry_delay(d.attempts), o.pause)
            END,
            finished_at = CASE
                WHEN o.is_delivered OR NOT o.is_released AND (o.is_final OR o.code = 410 OR d.attempts >= c.callback_attempts) THEN clock_timestamp()
            END,
            status_code = CASE WHEN o.is_released THEN d.status_code ELSE o.code END,
            error = CASE WHEN o.is_released THEN d.error WHEN NOT o.is_delivered IS TRUE THEN left(o.error, 500) END,
            response = CASE WHEN o.is_released THEN d.response WHEN NOT o.is_delivered IS TRUE THEN left(o.response, 200) END
        FROM outcome AS o
        CROSS JOIN mqtt.configuration AS c
        WHERE d.organization_id = o.organization_id AND d.id = o.id AND d.status = 'waiting' AND d.attempts = o.attempt
            AND d.bridge_id = settle_deliveries.bridge_id
        RETURNING d.organization_id, d.subscription_id, d.status, o.code, o.error, o.is_released, o.is_final, o.pause
    )
    SELECT
        array_agg(ROW(
            t.organization_id, s.integration_id, t.subscription_id, s.callback_url, t.status, t.code, t.error, t.pause, t.is_released,
            -- A receiver that answers about this message is reachable; a fault on our side says nothing about the receiver.
            coalesce(t.code NOT IN (408, 429) AND t.code BETWEEN 200 AND 499, false),
            NOT t.is_released AND NOT t.is_final AND coalesce(t.code IN (408, 429) OR t.code NOT BETWEEN 200 AND 499, true)
        )::mqtt.callback_outcome)
    INTO v_settled
    FROM settled AS t
    LEFT JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = t.organization_id AND s.id = t.subscription_id;
    RETURN v_settled;
END;
$$;

ALTER FUNCTION mqtt.settle_deliveries(bridge_id uuid, organization_ids uuid[], ids uuid[], attempts smallint[], codes smallint[], errors text[], responses text[], retry_afters integer[], is_final boolean[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.settle_deliveries(bridge_id uuid, organization_ids uuid[], ids uuid[], attempts smallint[], codes smallint[], errors text[], responses text[], retry_afters integer[], is_final boolean[]) IS 'Settles deliveries with the arguments of bridge.settle_callbacks: delivered, dead, or waiting for the next attempt. Returns what became of each; null if none of them was this bridge''s. A part of bridge.settle_callbacks.';

CREATE FUNCTION mqtt.settle_outbound(msg_ids bigint[], states text[], reason_codes smallint[], reasons text[], bridge_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_counts jsonb;
BEGIN
    WITH gone AS MATERIALIZED (
        DELETE FROM pgmq.q_mqtt_outbound AS q
        USING unnest(msg_ids, states, reason_codes, reasons) AS o (msg_id, state, reason_code, reason)
        WHERE q.msg_id = o.msg_id AND (
            settle_outbound.bridge_id IS NULL
            OR q.integration_id IN (SELECT l.integration_id FROM mqtt.bridge_leases AS l WHERE l.bridge_id = settle_outbound.bridge_id)
        )
        RETURNING
            q.organization_id, q.integration_id, q.enqueued_at, q.msg_id, q.message, q.body, mqtt.message_id(q.enqueued_at, q.msg_id, true) AS id,
            q.attempts + (o.state IN ('sent', 'acknowledged', 'failed'))::integer AS attempts,
            coalesce((q.message ->> 'qos')::smallint, 0::smallint) AS qos, coalesce(q.message ->> 'topic', '') AS topic,
            o.state, o.reason_code, left(o.reason, 500) AS reason, o.state IN ('sent', 'acknowledged') AS is_sent
    ), receipts AS (
        INSERT INTO mqtt.mqtt_publish_receipts (queued_at, organization_id, id, integration_id, qos, attempts, reason_code, state, topic, reason)
        SELECT g.enqueued_at, g.organization_id, g.id, g.integration_id, g.qos, g.attempts, g.reason_code, g.state, g.topic, g.reason
        FROM gone AS g
    ), history AS (
        INSERT INTO mqtt.mqtt_messages (
            received_at, measured_at, position, organization_id, id, integration_id, direction, qos, retain, topic, message_type, payload,
            content_type, body, properties
        )
        SELECT
            g.enqueued_at, g.enqueued_at, g.msg_id, g.organization_id, g.id, g.integration_id, 'outgoing', g.qos,
            coalesce((g.message ->> 'retain')::boolean, false), g.topic, mqtt.message_type_of_topic(g.topic, i.topic_like, i.message_type_level),
            CASE WHEN g.body IS NULL THEN coalesce(g.message -> 'payload', 'null') ELSE 'null' END, g.message ->> 'content_type', g.body,
            nullif(g.message - '{topic,payload,qos,retain,content_type}'::text [], '{}')
        FROM gone AS g
        LEFT JOIN mqtt.device_integrations AS i ON i.id = g.integration_id
        WHERE g.is_sent
    ), dead AS (
        INSERT INTO mqtt.mqtt_dead_letters (
            received_at, organization_id, id, integration_id, direction, attempts, topic, message, body, error_message, errors
        )
        SELECT
            g.enqueued_at, g.organization_id, g.id, g.integration_id, 'outgoing', g.attempts, g.topic, g.message, g.body, coalesce(g.reason, 'failed'),
            jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'code', g.reason_code, 'error', coalesce(g.reason, 'failed')))
        FROM gone AS g
        WHERE g.state = 'failed'
    ), logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, direction, message_count, activity_type, status, error_message)
        SELECT
            g.organization_id, g.integration_id, 'outgoing', count(*),
            CASE g.state WHEN 'failed' THEN 'publish_failed' WHEN 'expired' THEN 'publish_expired' ELSE 'messages_published' END,
            CASE WHEN g.is_sent THEN 'success' ELSE 'failed' END, CASE WHEN NOT g.is_sent THEN coalesce(g.reason, g.state) END
        FROM gone AS g
        GROUP BY g.organization_id, g.integration_id, 5, 6, 7
    )
    SELECT coalesce(jsonb_object_agg(s.state, s.n), '{}') INTO v_counts FROM (SELECT g.state, count(*) AS n FROM gone AS g GROUP BY g.state) AS s;
    RETURN v_counts;
END;
$$;

ALTER FUNCTION mqtt.settle_outbound(msg_ids bigint[], states text[], reason_codes smallint[], reasons text[], bridge_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.settle_outbound(msg_ids bigint[], states text[], reason_codes smallint[], reasons text[], bridge_id uuid) IS 'Settles messages of the outbound queue as sent, acknowledged, failed, expired or cancelled, with everything that follows in the same statement: receipt, history (if sent), dead letter (if failed), activity log. Returns the count of each. Skips messages that are no longer queued and, with bridge_id, those of integrations that this bridge does not hold.';

CREATE FUNCTION mqtt.settled_status(id uuid) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_time CONSTANT timestamptz := mqtt.message_id_time(id);
    v_from CONSTANT timestamptz := coalesce(v_time, now() - (SELECT c.idempotency_window FROM mqtt.configuration AS c));
BEGIN
    RETURN (
        SELECT x.status
        FROM mqtt.organizations AS o
        CROSS JOIN LATERAL (
            SELECT 'completed' AS status
            FROM mqtt.mqtt_messages AS m
            WHERE m.organization_id = o.id AND m.id = settled_status.id AND m.received_at >= v_from
                AND m.received_at <= coalesce(v_time + interval '1 millisecond', now())
            UNION ALL
            SELECT 'failed'
            FROM mqtt.mqtt_dead_letters AS d
            WHERE d.organization_id = o.id AND d.id = settled_status.id AND d.failed_at >= v_from
        ) AS x
        LIMIT 1
    );
END;
$$;

ALTER FUNCTION mqtt.settled_status(id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.settled_status(id uuid) IS 'completed for a message of the history, failed for a dead letter; null for any other id. A client''s own id is found within the idempotency window.';

CREATE FUNCTION mqtt.share_due(organizations uuid[], firsts timestamp with time zone[], waiting integer[], share integer, room integer, due_at timestamp with time zone, margin interval, busy_margin interval) RETURNS TABLE(tids tid[], marks jsonb)
    LANGUAGE sql STABLE ROWS 1
    BEGIN ATOMIC
 WITH due AS MATERIALIZED (
          SELECT o.id,
             o.mark,
                 CASE
                     WHEN (s.share = (share_due.share)::numeric) THEN (o.waiting)::bigint
                     WHEN (cardinality(share_due.organizations) = 1) THEN (share_due.room)::bigint
                     ELSE ( SELECT count(*) AS count
                        FROM ( SELECT
                                FROM pgmq.q_mqtt_messages q
                               WHERE ((q.organization_id = o.id) AND (q.vt > o.mark) AND (q.vt <= share_due.due_at))
                              LIMIT s.share) x)
                 END AS waiting,
             s.share
            FROM (UNNEST(share_due.organizations, share_due.firsts, share_due.waiting) o(id, mark, waiting)
              CROSS JOIN ( SELECT GREATEST((share_due.share)::numeric, ceil(((share_due.room)::numeric / (GREATEST(1, cardinality(share_due.organizations)))::numeric))) AS "greatest") s(share))
         ), spare AS (
          SELECT (GREATEST((0)::numeric, floor((((share_due.room)::numeric - sum(d.waiting)) / (NULLIF(count(*) FILTER (WHERE ((d.waiting)::numeric = d.share)), 0))::numeric))))::bigint AS each
            FROM due d
         ), taken AS MATERIALIZED (
          SELECT t_1.organization_id,
             t_1.tid,
             t_1.vt
            FROM ((due d
              CROSS JOIN spare s)
              CROSS JOIN LATERAL ( SELECT q.organization_id,
                     q.ctid AS tid,
                     q.vt
                    FROM pgmq.q_mqtt_messages q
                   WHERE ((q.organization_id = d.id) AND (q.vt > d.mark) AND (q.vt <= share_due.due_at))
                   ORDER BY q.vt
                  LIMIT (d.waiting +
                         CASE
                             WHEN ((d.waiting)::numeric = d.share) THEN COALESCE(s.each, (0)::bigint)
                             ELSE (0)::bigint
                         END)) t_1)
         )
  SELECT COALESCE(array_agg(t.tid), '{}'::tid[]) AS "coalesce",
     ( SELECT jsonb_object_agg(m.organization_id, m.mark) AS jsonb_object_agg
            FROM ( SELECT x.organization_id,
                     (max(x.vt) -
                         CASE
                             WHEN ((( SELECT count(*) AS count
                                FROM taken) * 10) >= share_due.room) THEN share_due.busy_margin
                             ELSE share_due.margin
                         END) AS mark
                    FROM taken x
                   GROUP BY x.organization_id) m) AS jsonb_object_agg
    FROM taken t;
END;

ALTER FUNCTION mqtt.share_due(organizations uuid[], firsts timestamp with time zone[], waiting integer[], share integer, room integer, due_at timestamp with time zone, margin interval, busy_margin interval) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.share_due(organizations uuid[], firsts timestamp with time zone[], waiting integer[], share integer, room integer, due_at timestamp with time zone, margin interval, busy_margin interval) IS 'Row addresses of due messages of these organizations, oldest first, as many as there is room for: each organization has its share, and what some do not need of theirs goes to the others. marks: where to go on reading each, a margin before the last taken. A part of mqtt.due_messages.';

CREATE FUNCTION mqtt.storable_messages(messages json, faults text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT jsonb_agg(
         CASE
             WHEN ((storable_messages.faults)[e.ordinality] IS NULL) THEN (e.value)::jsonb
             ELSE 'null'::jsonb
         END ORDER BY e.ordinality) AS jsonb_agg
    FROM json_array_elements(storable_messages.messages) WITH ORDINALITY e(value, ordinality);
END;

ALTER FUNCTION mqtt.storable_messages(messages json, faults text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.storable_messages(messages json, faults text[]) IS 'The array as jsonb, with null in place of each element that has a fault (mqtt.message_reasons).';

CREATE FUNCTION mqtt.store_messages(tids tid[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
    v_stored record;
    -- See mqtt.apply_due_updates.
    v_is_deferred CONSTANT boolean := coalesce(nullif(current_setting('topicbase.is_update_deferred', true), ''), 'false');
BEGIN
    -- PL/pgSQL, since it keeps the plan: making it takes longer than storing a small batch.
    WITH taken AS MATERIALIZED (
        DELETE FROM pgmq.q_mqtt_messages AS q
        WHERE q.ctid = ANY (tids)
        RETURNING q.msg_id, q.enqueued_at, q.organization_id, q.integration_id, q.credential_id, q.message_id, q.message, q.body
    ),
    -- Looked up once for each, not for each message.
    integration AS MATERIALIZED (
        SELECT i.id, i.topic_like, i.device_level, i.message_type_level, i.settings ->> 'content_type' AS content_type
        FROM mqtt.device_integrations AS i
        WHERE i.id IN (SELECT t.integration_id FROM taken AS t)
    ),
    decoded AS MATERIALIZED (
        SELECT
            t.msg_id, t.enqueued_at, t.organization_id, t.integration_id, t.message_id, m.*, m.retain AND t.credential_id IS NULL AS is_retained,
            mqtt.is_news(t.organization_id, t.integration_id, m.external_id, m.role, m.retain AND t.credential_id IS NULL) AS is_news
        FROM taken AS t
        CROSS JOIN mqtt.configuration AS c
        LEFT JOIN integration AS i ON i.id = t.integration_id
        CROSS JOIN LATERAL mqtt.decoded_message(
            t.message, t.body, t.enqueued_at, i.content_type, i.topic_like, i.device_level, i.message_type_level, c.max_time_behind, c.max_time_ahead
        ) AS m
    ),
    -- Of each device, what was measured last of its telemetry and is JSON, if anything is; of what was measured at the same time, the last that came.
    newest AS MATERIALIZED (
        SELECT x.organization_id, x.integration_id, x.external_id,
            max(x.enqueued_at) FILTER (WHERE NOT x.is_retained AND x.role NOT IN ('command', 'ignore')) AS last_seen_at,
            max(x.measured_at) FILTER (WHERE x.is_news) AS any_at, max(x.measured_at) FILTER (WHERE x.is_news AND x.body IS NULL) AS json_at
        FROM decoded AS x
        WHERE x.external_id IS NOT NULL
        GROUP BY x.organization_id, x.integration_id, x.external_id
    ),
    data AS MATERIALIZED (
        SELECT DISTINCT ON (n.organization_id, n.integration_id, n.external_id)
            n.organization_id, n.integration_id, n.external_id, CASE WHEN x.body IS NULL THEN x.payload END AS last_data,
            x.measured_at AS last_data_at, n.last_seen_at, x.msg_id
        FROM newest AS n
        LEFT JOIN decoded AS x ON x.integration_id = n.integration_id AND x.external_id = n.external_id AND x.is_news
            AND x.measured_at = coalesce(n.json_at, n.any_at) AND (x.body IS NULL) = (n.json_at IS NOT NULL)
        ORDER BY n.organization_id, n.integration_id, n.external_id, x.msg_id DESC
    ),
    latest AS MATERIALIZED (
        SELECT x.integration_id, x.external_id,
            jsonb_object_agg(r.metric, jsonb_build_object('value', r.value, 'at', x.at) ORDER BY x.measured_at, x.msg_id) AS latest
        FROM (SELECT l.*, ARRAY(SELECT jsonb_object_keys(mqtt.object_or_none(l.last_data))) AS names FROM data AS l OFFSET 0) AS d
        JOIN (SELECT m.*, to_jsonb(m.measured_at) AS at FROM decoded AS m OFFSET 0) AS x USING (integration_id, external_id)
        CROSS JOIN LATERAL mqtt.payload_metrics(mqtt.data_of_payload(x.payload, x.sent_at)) AS r
        WHERE x.body IS NULL AND mqtt.is_news(x.organization_id, x.integration_id, x.external_id, x.role, x.is_retained, r.metric)
            AND (x.msg_id = d.msg_id OR NOT mqtt.is_covered(x.payload, d.names))
        GROUP BY x.integration_id, x.external_id
    ),
    news AS MATERIALIZED (
        SELECT d.organization_id, integration_id, external_id, d.last_data, d.last_data_at, d.last_seen_at, coalesce(l.latest, '{}') AS latest
        FROM data AS d
        LEFT JOIN latest AS l USING (integration_id, external_id)
    ),
    known AS MATERIALIZED (
        SELECT d.id, n.*
        FROM news AS n
        CROSS JOIN LATERAL mqtt.known_device(n.organization_id, n.integration_id, n.external_id) AS d
        WHERE v_is_deferred
    ),
    deferred_news AS (
        INSERT INTO mqtt.deferred_device_updates (organization_id, device_id, last_data, last_data_at, last_seen_at, latest)
        SELECT k.organization_id, k.id, k.last_data, k.last_data_at, k.last_seen_at, k.latest FROM known AS k
    ),
    -- In the order of the key, so that two workers cannot lock each other out.
    seen AS (
        INSERT INTO mqtt.devices AS d (organization_id, integration_id, external_id, last_data, last_data_at, last_seen_at, latest)
        SELECT n.*
        FROM news AS n
        WHERE NOT v_is_deferred OR NOT EXISTS (SELECT FROM known AS k WHERE k.integration_id = n.integration_id AND k.external_id = n.external_id)
        ORDER BY n.organization_id, n.integration_id, n.external_id
        ON CONFLICT (organization_id, integration_id, external_id) DO UPDATE SET
            last_data = mqtt.latest_data(d.last_data, d.last_data_at, excluded.last_data, excluded.last_data_at),
            latest = mqtt.newest_values(d.latest, d.last_data_at, excluded.latest, excluded.last_data_at),
            last_data_at = greatest(d.last_data_at, excluded.last_data_at),
            last_seen_at = greatest(d.last_seen_at, excluded.last_seen_at)
        RETURNING d.id, d.integration_id, d.external_id
    ),
    stored AS (
        INSERT INTO mqtt.mqtt_messages (
            organization_id, id, integration_id, device_id, received_at, sent_at, measured_at, position, direction, qos, retain, topic,
            message_type, payload, content_type, body, decode_error, properties
        )
        SELECT
            x.organization_id, coalesce(x.message_id, mqtt.message_id(x.enqueued_at, x.msg_id)), x.integration_id, s.id, x.enqueued_at,
            x.sent_at, x.measured_at, x.msg_id, 'incoming', x.qos, x.retain, x.topic, x.message_type, x.payload, x.content_type, x.body,
            x.decode_error, x.properties
        FROM decoded AS x
        LEFT JOIN (SELECT * FROM seen UNION ALL SELECT k.id, k.integration_id, k.external_id FROM known AS k) AS s USING (integration_id, external_id)
        -- As they came, so that index pages fill up instead of being split in the middle.
        ORDER BY x.msg_id
    )
    SELECT
        array_agg(g.organization_id) AS organizations, array_agg(g.integration_id) AS integrations, array_agg(g.credential_id) AS credentials,
        array_agg(g.minute) AS minutes, array_agg(g.n) AS counts, array_agg(g.last_at) AS last_at INTO v_stored
    FROM (
        SELECT t.organization_id, t.integration_id, t.credential_id, date_trunc('minute', t.enqueued_at) AS minute, count(*) AS n, max(t.enqueued_at) AS last_at
        FROM taken AS t
        GROUP BY t.organization_id, t.integration_id, t.credential_id, minute
    ) AS g;
    RETURN mqtt.record_stored(
        v_stored.organizations, v_stored.integrations, v_stored.credentials, v_stored.minutes, v_stored.counts, v_stored.last_at, v_is_deferred
    );
END;
$$;

ALTER FUNCTION mqtt.store_messages(tids tid[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.store_messages(tids tid[]) IS 'Moves queued messages, by row address, into the history in one statement, with all their effects: devices (newest data wins), credential statistics (both deferred while vacuum is held back, see mqtt.apply_due_updates), activity log. Returns how many; raises when one of them cannot be stored.';

CREATE FUNCTION mqtt.store_or_split(tids tid[]) RETURNS integer[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_half integer := cardinality(tids) / 2;
    v_left integer [];
    v_right integer [];
BEGIN
    PERFORM mqtt.enqueue_callbacks(tids);
    RETURN ARRAY[mqtt.store_messages(tids), 0, 0];
EXCEPTION
    -- Not the messages' fault: the whole batch is tried again later.
    WHEN lock_not_available OR serialization_failure OR deadlock_detected OR insufficient_resources OR operator_intervention
        OR system_error OR insufficient_privilege OR undefined_function OR undefined_table THEN
        RAISE;
    WHEN OTHERS THEN
        IF v_half = 0 THEN
            RETURN CASE mqtt.record_failure(tids[1], SQLSTATE, SQLERRM)
                WHEN 'failed' THEN ARRAY[0, 1, 0]
                WHEN 'dead' THEN ARRAY[0, 0, 1]
                ELSE ARRAY[0, 0, 0]
            END;
        END IF;
        -- Halving finds one poison message in a thousand with ten tries, and its neighbours go through.
        v_left := mqtt.store_or_split(tids[:v_half]);
        v_right := mqtt.store_or_split(tids[v_half + 1:]);
        RETURN ARRAY[v_left[1] + v_right[1], v_left[2] + v_right[2], v_left[3] + v_right[3]];
END;
$$;

ALTER FUNCTION mqtt.store_or_split(tids tid[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.store_or_split(tids tid[]) IS 'Stores a batch; when that raises, its halves, down to the single message at fault. Returns how many were stored, failed and became dead letters.';

CREATE FUNCTION mqtt.surplus_privileges(role name) RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT unnest(array_remove(ARRAY[
        CASE WHEN r.rolsuper THEN 'is a superuser' END,
        CASE WHEN r.rolbypassrls THEN 'has BYPASSRLS' END,
        CASE WHEN r.rolcreaterole THEN 'has CREATEROLE' END,
        CASE WHEN r.rolcreatedb THEN 'has CREATEDB' END,
        CASE WHEN r.rolreplication THEN 'has REPLICATION' END
    ], NULL))
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname = surplus_privileges.role
    UNION ALL
    SELECT format('is a member of %I', g.rolname)
    FROM pg_catalog.pg_auth_members AS m
    JOIN pg_catalog.pg_roles AS g ON g.oid = m.roleid
    JOIN pg_catalog.pg_roles AS r ON r.oid = m.member AND r.rolname = surplus_privileges.role
    UNION ALL
    SELECT format('may use table %I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('api', 'mqtt', 'pgmq', 'bridge') AND c.relkind IN ('r', 'p', 'v', 'm')
        AND (has_table_privilege(role, c.oid, 'select, insert, update, delete, truncate') OR has_any_column_privilege(role, c.oid, 'select, insert, update'))
    UNION ALL
    SELECT format('may call %s', p.oid::regprocedure)
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('api', 'mqtt', 'pgmq') AND has_schema_privilege(role, n.oid, 'usage') AND has_function_privilege(role, p.oid, 'execute');
$$;

ALTER FUNCTION mqtt.surplus_privileges(role name) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.surplus_privileges(role name) IS 'What a bridge''s role can do beyond calling the functions of schema bridge, each in words; there should be no rows.';

CREATE FUNCTION mqtt.sweep_queue(start uuid, latest timestamp with time zone, most integer) RETURNS TABLE(candidates jsonb, is_cut boolean)
    LANGUAGE sql STABLE ROWS 1
    BEGIN ATOMIC
 WITH RECURSIVE walk AS (
          SELECT sweep_queue.start AS id,
             NULL::timestamp with time zone AS vt,
             false AS is_round
         UNION ALL
          SELECT n.organization_id,
             n.vt,
             n.is_round
            FROM (walk w
              CROSS JOIN LATERAL (( SELECT q.organization_id,
                     q.vt,
                     w.is_round
                    FROM pgmq.q_mqtt_messages q
                   WHERE (q.organization_id > w.id)
                   ORDER BY q.organization_id, q.vt
                  LIMIT 1)
                 UNION ALL
                  SELECT '00000000-0000-0000-0000-000000000000'::uuid,
                     NULL::timestamp with time zone,
                     true
                   WHERE (NOT w.is_round)
          LIMIT 1) n)
           WHERE ((NOT w.is_round) OR (w.id < sweep_queue.start))
         )
  SELECT COALESCE(jsonb_object_agg(s.id, (LEAST(s.vt, sweep_queue.latest) - '00:00:00.000001'::interval)) FILTER (WHERE (s.vt IS NOT NULL)), '{}'::jsonb) AS "coalesce",
     (count(s.vt) >= sweep_queue.most)
    FROM ( SELECT w.id,
             w.vt
            FROM walk w
          LIMIT (sweep_queue.most + 2)) s;
END;

ALTER FUNCTION mqtt.sweep_queue(start uuid, latest timestamp with time zone, most integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.sweep_queue(start uuid, latest timestamp with time zone, most integer) IS 'The organizations that have messages in the queue, those after start first, each with the time before its first (at most latest) in a JSON object; is_cut: there may be more than so many. A part of mqtt.due_messages.';

CREATE FUNCTION mqtt.take_batch_quota(session mqtt.device_session, message_count integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_granted CONSTANT integer := mqtt.take_quota(session, message_count);
BEGIN
    IF v_granted = 0 THEN
        PERFORM mqtt.refuse_for_now('429', 'quota_exceeded', 'More messages a second than this device or its organization may send.', mqtt.quota_wait(session));
    ELSIF v_granted < message_count THEN
        PERFORM set_config('response.headers', format('[{"Retry-After": "%s"}]', mqtt.quota_wait(session)), true);
    END IF;
    RETURN v_granted;
END;
$$;

ALTER FUNCTION mqtt.take_batch_quota(session mqtt.device_session, message_count integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.take_batch_quota(session mqtt.device_session, message_count integer) IS 'How many messages of a batch the quotas allow now. Raises 429 quota_exceeded when that is none; sets Retry-After when it is not all of them.';

CREATE FUNCTION mqtt.take_lease(bridge_id uuid, organization_id uuid, integration_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    -- What another holder had claimed counts as an attempt; claims of this process stay.
    WITH abandoned AS (
        DELETE FROM mqtt.outbound_batches AS b
        WHERE b.organization_id = take_lease.organization_id AND b.integration_id = take_lease.integration_id
            AND b.bridge_id <> take_lease.bridge_id
        RETURNING b.msg_ids
    )
    UPDATE pgmq.q_mqtt_outbound AS q
    SET attempts = q.attempts + 1
    FROM abandoned AS a
    CROSS JOIN LATERAL unnest(a.msg_ids) AS m (msg_id)
    WHERE q.msg_id = m.msg_id;
    -- Another holder's requests may have been answered: they are made again, with the same id.
    UPDATE mqtt.mqtt_callback_deliveries AS d
    SET bridge_id = NULL, due_at = clock_timestamp()
    FROM mqtt.mqtt_subscriptions AS s
    WHERE s.organization_id = take_lease.organization_id AND s.integration_id = take_lease.integration_id
        AND d.organization_id = s.organization_id AND d.subscription_id = s.id AND d.status = 'waiting'
        AND d.bridge_id <> take_lease.bridge_id;
    INSERT INTO mqtt.bridge_leases AS l (organization_id, integration_id, bridge_id)
    VALUES (take_lease.organization_id, take_lease.integration_id, take_lease.bridge_id)
    ON CONFLICT ON CONSTRAINT bridge_leases_pkey DO UPDATE
    SET bridge_id = excluded.bridge_id, taken_at = clock_timestamp()
    WHERE l.bridge_id <> excluded.bridge_id;
    RETURN found;
END;
$$;

ALTER FUNCTION mqtt.take_lease(bridge_id uuid, organization_id uuid, integration_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.take_lease(bridge_id uuid, organization_id uuid, integration_id uuid) IS 'Gives the bridge the lease of an integration whose lock it holds, and takes over what another holder had begun. Returns whether the lease is new to this bridge.';

CREATE FUNCTION mqtt.take_quota(session mqtt.device_session, wanted integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_granted integer := wanted;
BEGIN
    IF session.credential_rate IS NOT NULL THEN
        v_granted := mqtt.take_tokens(session.credential_id, session.credential_rate, session.credential_burst, v_granted);
    END IF;
    IF session.organization_rate IS NOT NULL AND v_granted > 0 THEN
        v_granted := mqtt.take_tokens(session.organization_id, session.organization_rate, session.organization_burst, v_granted);
    END IF;
    RETURN v_granted;
END;
$$;

ALTER FUNCTION mqtt.take_quota(session mqtt.device_session, wanted integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.take_quota(session mqtt.device_session, wanted integer) IS 'How many of so many messages the quotas of the credential and of its organization allow now.';

CREATE FUNCTION mqtt.take_tokens(subject_id uuid, rate numeric, burst integer, wanted integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_burst CONSTANT double precision := coalesce(burst, greatest(1, ceil(rate * 2)));
    v_shards CONSTANT integer := least(16, greatest(1, floor(v_burst / 50)))::integer;
    v_bucket record;
    v_tokens double precision;
    v_taken integer;
    v_left integer := wanted;
    v_at CONSTANT integer := pg_backend_pid() % v_shards;
BEGIN
    IF NOT EXISTS (SELECT FROM mqtt.quota_buckets AS b WHERE b.subject_id = take_tokens.subject_id AND b.shard = v_shards - 1) THEN
        INSERT INTO mqtt.quota_buckets (subject_id, shard, tokens)
        SELECT take_tokens.subject_id, s.shard, v_burst / v_shards FROM generate_series(0, v_shards - 1) AS s (shard)
        ON CONFLICT DO NOTHING;
    END IF;
    -- Its own shard first; the others, in one order for all, only when that is empty.
    FOR v_step IN 0..v_shards LOOP
        EXIT WHEN v_left = 0;
        CONTINUE WHEN v_step > 0 AND v_step - 1 = v_at;
        SELECT b.shard, b.tokens, b.filled_at INTO v_bucket
        FROM mqtt.quota_buckets AS b
        WHERE b.subject_id = take_tokens.subject_id AND b.shard = CASE WHEN v_step = 0 THEN v_at ELSE v_step - 1 END
        FOR UPDATE SKIP LOCKED;
        IF NOT found AND v_step = 0 AND v_shards = 1 THEN
            SELECT b.shard, b.tokens, b.filled_at INTO v_bucket
            FROM mqtt.quota_buckets AS b
            WHERE b.subject_id = take_tokens.subject_id AND b.shard = 0
            FOR UPDATE;
        END IF;
        CONTINUE WHEN v_bucket.shard IS NULL;
        v_tokens := least(
            v_burst / v_shards,
            CASE
                -- The clock was set back: full, or it would fill no sooner than the old time comes again.
                WHEN v_bucket.filled_at > clock_timestamp() + interval '1 second' THEN v_burst / v_shards
                ELSE v_bucket.tokens + greatest(0, extract(EPOCH FROM clock_timestamp() - v_bucket.filled_at)) * rate::double precision / v_shards
            END
        );
        v_taken := least(v_left, floor(v_tokens))::integer;
        UPDATE mqtt.quota_buckets AS b
        SET tokens = v_tokens - v_taken, filled_at = clock_timestamp()
        WHERE b.subject_id = take_tokens.subject_id AND b.shard = v_bucket.shard;
        v_left := v_left - v_taken;
    END LOOP;
    RETURN wanted - v_left;
END;
$$;

ALTER FUNCTION mqtt.take_tokens(subject_id uuid, rate numeric, burst integer, wanted integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.take_tokens(subject_id uuid, rate numeric, burst integer, wanted integer) IS 'Takes up to so many tokens from a bucket that fills at rate a second up to burst (two seconds'' worth when null); returns how many.';

CREATE VIEW mqtt.readings WITH (security_invoker='true') AS
 SELECT m.organization_id,
    m.integration_id,
    m.device_id,
    m.id AS message_id,
    m.message_type,
        CASE
            WHEN (m.payload = 'null'::jsonb) THEN 'ignore'::text
            ELSE mqtt.message_role(m.message_type)
        END AS role,
    m.received_at,
    m.measured_at,
    m."position",
    mqtt.data_of_payload(m.payload, m.sent_at) AS payload
   FROM mqtt.mqtt_messages m
  WHERE ((m.direction = 'incoming'::mqtt.message_direction) AND (m.device_id IS NOT NULL) AND (m.body IS NULL));

ALTER TABLE mqtt.readings OWNER TO mqtt_owner;

COMMENT ON VIEW mqtt.readings IS 'What devices measured: the one relation that every query of readings goes through. A row for each message with its role, whose metrics mqtt.metric_values finds in its payload, which is without the member that is its time. In order by (measured_at, position) or (received_at, position); position never leaves the database, as it counts the messages of all organizations.';

CREATE FUNCTION mqtt.telemetry(request mqtt.telemetry_request) RETURNS SETOF mqtt.readings
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_found record;
BEGIN
    IF request.by_received THEN
        RETURN QUERY SELECT t.* FROM mqtt.telemetry_by_received(request) AS t;
        RETURN;
    END IF;
    IF request.device_ids IS NULL AND request.most IS NOT NULL THEN
        -- As many as that were measured since then, so the newest were, too: of each of many devices only these need be read.
        SELECT count(*) AS n, min(t.measured_at) AS since INTO v_found
        FROM mqtt.telemetry_by_received(request) AS t
        WHERE t.measured_at >= request.since AND t.measured_at < request.until
            AND (request.before_at IS NULL OR (t.measured_at, t.position) < (request.before_at, request.before_position));
        IF v_found.n = request.most THEN
            request.since := v_found.since;
        END IF;
    END IF;
    RETURN QUERY SELECT t.* FROM mqtt.telemetry_by_measured(request) AS t;
END;
$$;

ALTER FUNCTION mqtt.telemetry(request mqtt.telemetry_request) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.telemetry(request mqtt.telemetry_request) IS 'The readings that the request selects among those that the caller sees, the newest first.';

CREATE FUNCTION mqtt.telemetry_buckets(request mqtt.telemetry_request, bucket interval, time_zone text, aggregates text[], cursor mqtt.message_cursor, most integer) RETURNS SETOF mqtt.telemetry_data
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $_$
BEGIN
    RETURN QUERY EXECUTE format(
        $query$
        SELECT d.external_id, b.metrics, b.starts_at, mqtt.encode_cursor(b.starts_at, b.starts_at, b.organization_id, b.device_id)
        FROM (
            SELECT s.organization_id, s.device_id, s.starts_at, jsonb_object_agg(s.metric, s.summary) AS metrics
            FROM (
                SELECT x.organization_id, x.device_id, mqtt.bucket_start(x.at, $2, $3) AS starts_at, x.metric, jsonb_build_object(%s) AS summary
                FROM (SELECT v.* %s FROM (
                    SELECT
                        r.organization_id, r.device_id, CASE WHEN ($1).by_received THEN r.received_at ELSE r.measured_at END AS at, r.position,
                        e.metric, mqtt.metric_number(e.value) AS value
                    FROM mqtt.telemetry($1) AS r
                    CROSS JOIN LATERAL mqtt.metric_values(r.payload, ($1).metrics) AS e
                ) AS v WHERE v.value IS NOT NULL) AS x
                GROUP BY 1, 2, 3, 4
            ) AS s
            WHERE $4 IS NULL OR s.starts_at < $4 OR (s.starts_at = $4 AND s.device_id > $5)
            GROUP BY 1, 2, 3
            ORDER BY s.starts_at DESC, s.device_id
            LIMIT $6
        ) AS b
        LEFT JOIN mqtt.devices AS d ON d.organization_id = b.organization_id AND d.id = b.device_id
        ORDER BY b.starts_at DESC, b.device_id
        $query$,
        mqtt.aggregates_sql(aggregates),
        CASE WHEN 'delta' = ANY (aggregates) THEN ', lag(v.value) OVER (PARTITION BY v.device_id, v.metric ORDER BY v.at, v.position) AS previous' END
    ) USING request, bucket, time_zone, cursor.at, cursor.id, most;
END;
$_$;

ALTER FUNCTION mqtt.telemetry_buckets(request mqtt.telemetry_request, bucket interval, time_zone text, aggregates text[], cursor mqtt.message_cursor, most integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.telemetry_buckets(request mqtt.telemetry_request, bucket interval, time_zone text, aggregates text[], cursor mqtt.message_cursor, most integer) IS 'The numbers among the metrics of mqtt.telemetry, summarized per device and span of time; newest span first, then by device, after the cursor, at most that many rows.';

CREATE FUNCTION mqtt.telemetry_by_measured(request mqtt.telemetry_request) RETURNS SETOF mqtt.readings
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
    RETURN QUERY
    SELECT t.*
    FROM (
        SELECT u.id FROM unnest(request.device_ids) AS u (id)
        UNION ALL
        SELECT d.id
        FROM mqtt.devices AS d
        WHERE request.device_ids IS NULL
            AND (request.integration_id IS NULL OR d.integration_id = request.integration_id)
            AND (request.organization_id IS NULL OR d.organization_id = request.organization_id)
    ) AS d
    CROSS JOIN LATERAL (
        SELECT r.*
        FROM mqtt.readings AS r
        WHERE r.device_id = d.id AND r.measured_at >= request.since AND r.measured_at < request.until
            AND (request.before_at IS NULL OR (r.measured_at, r.position) < (request.before_at, request.before_position))
            AND CASE
                WHEN request.message_types IS NULL THEN r.role = 'telemetry'
                ELSE r.message_type IS NULL OR r.message_type = ANY (request.message_types)
            END
            AND mqtt.has_metric(r.payload, request.metrics)
        ORDER BY r.measured_at DESC, r.position DESC
        LIMIT request.most
    ) AS t
    ORDER BY t.measured_at DESC, t.position DESC
    LIMIT request.most;
END;
$$;

ALTER FUNCTION mqtt.telemetry_by_measured(request mqtt.telemetry_request) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.telemetry_by_measured(request mqtt.telemetry_request) IS 'The readings that the request selects, by when they were measured, the newest first: those of each device, by its index, merged.';

CREATE FUNCTION mqtt.telemetry_by_received(request mqtt.telemetry_request) RETURNS SETOF mqtt.readings
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
    RETURN QUERY
    SELECT t.*
    FROM mqtt.device_integrations AS i
    CROSS JOIN LATERAL (
        SELECT r.*
        FROM mqtt.readings AS r
        WHERE r.integration_id = i.id AND r.received_at >= request.since AND r.received_at < request.until
            AND (request.before_at IS NULL OR (r.received_at, r.position) < (request.before_at, request.before_position))
            AND (request.device_ids IS NULL OR r.device_id = ANY (request.device_ids))
            AND CASE
                WHEN request.message_types IS NULL THEN r.role = 'telemetry'
                ELSE r.message_type IS NULL OR r.message_type = ANY (request.message_types)
            END
            AND mqtt.has_metric(r.payload, request.metrics)
        ORDER BY r.received_at DESC, r.position DESC
        LIMIT request.most
    ) AS t
    WHERE (request.integration_id IS NULL OR i.id = request.integration_id)
        AND (request.organization_id IS NULL OR i.organization_id = request.organization_id)
    ORDER BY t.received_at DESC, t.position DESC
    LIMIT request.most;
END;
$$;

ALTER FUNCTION mqtt.telemetry_by_received(request mqtt.telemetry_request) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.telemetry_by_received(request mqtt.telemetry_request) IS 'The readings that the request selects, by when they were received, the newest first: those of each integration, by its index, merged.';

CREATE FUNCTION mqtt.telemetry_metrics(payload jsonb, names text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (names IS NOT NULL) THEN ( SELECT jsonb_object_agg(n.name, mqtt.metric(telemetry_metrics.payload, n.name)) AS jsonb_object_agg
                FROM unnest(telemetry_metrics.names) n(name)
               WHERE (mqtt.metric(telemetry_metrics.payload, n.name) IS NOT NULL))
             WHEN (jsonb_typeof(payload) = 'object'::text) THEN payload
             ELSE jsonb_build_object('value', payload)
         END AS jsonb_build_object;
END;

ALTER FUNCTION mqtt.telemetry_metrics(payload jsonb, names text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.telemetry_metrics(payload jsonb, names text[]) IS 'The metrics in a payload: its members as they are, or {"value": payload} if it is not an object; or those named, by name; null if it has none of them.';

CREATE FUNCTION mqtt.top_errors(organization_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object('code', t.code, 'error', t.error, 'count', t.n) ORDER BY t.n DESC, t.error), '[]')
        FROM (
            SELECT a.code, max(a.error_message) AS error, count(*) AS n
            FROM (
                SELECT x.error_message, x.details ->> 'code' AS code
                FROM mqtt.integration_activity_log AS x
                WHERE x.organization_id = top_errors.organization_id AND x.status = 'failed' AND x.created_at > now() - interval '1 hour'
                ORDER BY x.created_at DESC
                LIMIT 1000
            ) AS a
            -- Errors that differ only in a name or a number count as one.
            GROUP BY a.code, regexp_replace(a.error_message, '"[^"]*"|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+', '', 'g')
            ORDER BY n DESC, error
            LIMIT 5
        ) AS t
    );
END;
$$;

ALTER FUNCTION mqtt.top_errors(organization_id uuid) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.top_errors(organization_id uuid) IS 'The five most frequent of the organization''s last 1,000 errors within the hour: [{"code", "error", "count"}], most frequent first.';

CREATE FUNCTION mqtt.topic_of_routing_key(routing_key text, wildcards boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT translate(routing_key,
         CASE
             WHEN wildcards THEN './*'::text
             ELSE './'::text
         END,
         CASE
             WHEN wildcards THEN '//+'::text
             ELSE '//'::text
         END) AS translate;
END;

ALTER FUNCTION mqtt.topic_of_routing_key(routing_key text, wildcards boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_of_routing_key(routing_key text, wildcards boolean) IS 'The MQTT topic (with wildcards: the filter) that RabbitMQ turned into a routing key.';

CREATE FUNCTION mqtt.topic_pattern_levels(pattern text, organization_prefix text) RETURNS TABLE(topic_like text, device_level smallint, message_type_level smallint)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT string_agg(
         CASE
             WHEN (l.level = ANY (ARRAY['{device_id}'::text, '{message_type}'::text, '+'::text, '#'::text])) THEN '%'::text
             ELSE regexp_replace(l.level, '([\\%_])'::text, '\\\1'::text, 'g'::text)
         END, '/'::text ORDER BY l.ordinality) AS string_agg,
     (array_position(array_agg(l.level ORDER BY l.ordinality), '{device_id}'::text))::smallint AS array_position,
     (COALESCE(array_position(array_agg(l.level ORDER BY l.ordinality), '{message_type}'::text), 0))::smallint AS "coalesce"
    FROM string_to_table(replace(topic_pattern_levels.pattern, '{organization_prefix}'::text, topic_pattern_levels.organization_prefix), '/'::text) WITH ORDINALITY l(level, ordinality);
END;

ALTER FUNCTION mqtt.topic_pattern_levels(pattern text, organization_prefix text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_pattern_levels(pattern text, organization_prefix text) IS 'The topic pattern as a LIKE pattern, and the levels of device id and message type, counted from 1 (0: none).';

CREATE FUNCTION mqtt.topic_prefix_reason(prefix text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((prefix = ''::text) OR (octet_length(prefix) > 512)) THEN 'A topic prefix must have 1 to 512 bytes.'::text
             WHEN (prefix ~ '(^/|/$|//)'::text) THEN 'A topic prefix must consist of whole levels, none of them empty, without / at its start or end.'::text
             ELSE mqtt.topic_name_reason(prefix)
         END AS topic_name_reason;
END;

ALTER FUNCTION mqtt.topic_prefix_reason(prefix text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.topic_prefix_reason(prefix text) IS 'Why this is not a topic prefix (whole levels without wildcards), as a sentence; null if it is one.';

CREATE FUNCTION mqtt.trim_rows(target regclass, time_column text, term text, most integer, OUT removed bigint, OUT is_more boolean) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_longest CONSTANT integer := mqtt.longest_term(term);
    v_organizations CONSTANT integer := 500;
    v_default text := (SELECT k.relname FROM pg_catalog.pg_class AS k WHERE k.oid = target) || '_default';
    v_organization_id uuid;
    v_before timestamptz;
    v_share bigint;
    v_until timestamptz;
    v_rows bigint;
BEGIN
    -- Whole partitions are dropped by the longest term. That leaves the rows of the default partition,
    EXECUTE format('SELECT max(x.t) FROM (SELECT %I AS t FROM mqtt.%I WHERE %1$I < $1 ORDER BY %1$I LIMIT $2) AS x', time_column, v_default)
    INTO v_until USING now() - make_interval(days => v_longest), most;
    EXECUTE format('DELETE FROM mqtt.%I WHERE %I <= $1', v_default, time_column) USING v_until;
    GET DIAGNOSTICS removed = ROW_COUNT;
    is_more := removed >= most;
    -- and organizations with a shorter term: each gets its share, in random order, so that none is always last.
    FOR v_organization_id, v_before, v_share IN EXECUTE format(
        'SELECT o.id, now() - make_interval(days => coalesce(o.%1$I, c.%1$I)) AS before, greatest(100, $2 / count(*) OVER ()) AS share '
        'FROM mqtt.organizations AS o CROSS JOIN mqtt.configuration AS c WHERE coalesce(o.%1$I, c.%1$I) < $1 ORDER BY random() LIMIT $3', term
    ) USING v_longest, most, v_organizations LOOP
        EXIT WHEN removed >= most;
        v_share := least(v_share, most - removed);
        -- By time, not row by row: a join might get a plan that reads the whole table for each row.
        EXECUTE format(
            'SELECT max(x.t) FROM (SELECT %I AS t FROM %s WHERE organization_id = $1 AND %1$I < $2 ORDER BY %1$I LIMIT $3) AS x', time_column, target
        ) INTO v_until USING v_organization_id, v_before, v_share;
        CONTINUE WHEN v_until IS NULL;
        EXECUTE format('DELETE FROM %s WHERE organization_id = $1 AND %I <= $2', target, time_column) USING v_organization_id, v_until;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        is_more := is_more OR v_rows >= v_share;
        removed := removed + v_rows;
    END LOOP;
END;
$_$;

ALTER FUNCTION mqtt.trim_rows(target regclass, time_column text, term text, most integer, OUT removed bigint, OUT is_more boolean) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.trim_rows(target regclass, time_column text, term text, most integer, OUT removed bigint, OUT is_more boolean) IS 'Deletes rows that are older than their organization''s term (the name of a column of configuration and organizations, in days) and that no dropped partition removes: at most this many, plus those with the same time as the last. Returns how many, and whether there may be more.';

CREATE FUNCTION mqtt.trim_small_tables(most integer) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_keys bigint;
    v_requests bigint;
    v_callbacks bigint;
BEGIN
    -- By row address, which needs no join.
    DELETE FROM mqtt.ingest_keys AS k
    WHERE k.ctid = ANY (ARRAY(
        SELECT x.ctid FROM mqtt.ingest_keys AS x WHERE x.received_at < now() - (SELECT c.idempotency_window FROM mqtt.configuration AS c) LIMIT most
    ));
    GET DIAGNOSTICS v_keys = ROW_COUNT;
    DELETE FROM mqtt.mqtt_requests AS r
    WHERE r.ctid = ANY (ARRAY(SELECT x.ctid FROM mqtt.mqtt_requests AS x WHERE x.created_at < now() - interval '1 day' LIMIT most));
    GET DIAGNOSTICS v_requests = ROW_COUNT;
    DELETE FROM mqtt.mqtt_callback_deliveries AS d
    WHERE d.ctid = ANY (ARRAY(
        SELECT x.address
        FROM mqtt.organizations AS o
        CROSS JOIN (SELECT c.receipt_days, mqtt.longest_term('completed_days') AS completed_days FROM mqtt.configuration AS c) AS t
        CROSS JOIN LATERAL (
            SELECT y.ctid AS address
            FROM mqtt.mqtt_callback_deliveries AS y
            -- A delivery that still waits after the longest term of the history has nothing left to post.
            WHERE y.organization_id = o.id AND y.created_at < now() - make_interval(days => t.receipt_days)
                AND (y.status <> 'waiting' OR y.created_at < now() - make_interval(days => t.completed_days))
            LIMIT most
        ) AS x
        LIMIT most
    ));
    GET DIAGNOSTICS v_callbacks = ROW_COUNT;
    RETURN jsonb_build_object('idempotency_keys', v_keys, 'requests', v_requests, 'callbacks', v_callbacks);
END;
$$;

ALTER FUNCTION mqtt.trim_small_tables(most integer) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.trim_small_tables(most integer) IS 'Deletes message ids past their window, requests older than a day and callback deliveries past their term, at most this many of each: {"idempotency_keys", "requests", "callbacks"}.';

CREATE FUNCTION mqtt.try_maintenance_lock() RETURNS boolean
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT pg_try_advisory_xact_lock(mqtt.maintenance_lock(), 0) AS pg_try_advisory_xact_lock;
END;

ALTER FUNCTION mqtt.try_maintenance_lock() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.try_maintenance_lock() IS 'Tries to take the maintenance lock for this transaction; true if acquired.';

CREATE FUNCTION mqtt.undo_attempt(attempted bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
    UPDATE pgmq.q_mqtt_messages AS q
    SET attempts = q.attempts - 1, errors = nullif(q.errors - (-1), '[]'), vt = clock_timestamp() + interval '1 second'
    WHERE q.msg_id = attempted AND q.attempts > 0;
    RETURN 'busy';
END;
$$;

ALTER FUNCTION mqtt.undo_attempt(attempted bigint) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.undo_attempt(attempted bigint) IS 'Takes back the attempt that mqtt.begin_attempt counted: somebody else''s lock, say, was in the way, and the message is not to blame.';

CREATE FUNCTION mqtt.vacuum_holders(older_than interval DEFAULT NULL::interval) RETURNS TABLE(kind text, pid integer, name text, state text, held_seconds integer, transactions integer)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    WITH holders AS (
        SELECT
            'session' AS kind, a.pid, concat_ws(' ', a.usename, nullif(a.application_name, '')) AS name, a.state, a.xact_start AS since,
            greatest(age(a.backend_xmin), age(a.backend_xid)) AS transactions
        FROM pg_catalog.pg_stat_activity AS a
        -- A transaction of another database holds nothing back here; that of a standby does everywhere. Vacuum itself does not count.
        WHERE (a.datname = current_database() OR a.backend_type = 'walsender') AND a.backend_type <> 'autovacuum worker'
            AND a.pid <> pg_backend_pid()
        UNION ALL
        SELECT 'prepared transaction', NULL, concat_ws(' ', p.owner, p.gid), 'prepared', p.prepared, age(p.transaction)
        FROM pg_catalog.pg_prepared_xacts AS p
        WHERE p.database = current_database()
        UNION ALL
        SELECT
            'replication slot', s.active_pid, s.slot_name::text, CASE WHEN s.active THEN 'active' ELSE 'inactive' END, NULL,
            greatest(age(s.xmin), age(s.catalog_xmin))
        FROM pg_catalog.pg_replication_slots AS s
    )
    SELECT h.kind, h.pid, h.name, h.state, extract(epoch FROM clock_timestamp() - h.since)::integer, h.transactions
    FROM holders AS h
    CROSS JOIN mqtt.configuration AS c
    -- Slots, and sessions that this role may not look at, tell no time: a million transactions are long.
    WHERE h.transactions IS NOT NULL
        AND coalesce(
            h.since < clock_timestamp() - coalesce(vacuum_holders.older_than, c.vacuum_alarm_after),
            h.transactions > 1000000 OR vacuum_holders.older_than = '0'
        )
    ORDER BY h.transactions DESC, h.since;
$$;

ALTER FUNCTION mqtt.vacuum_holders(older_than interval) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.vacuum_holders(older_than interval) IS 'Sessions, prepared transactions and replication slots that have kept vacuum from removing dead rows for longer than that (default: configuration.vacuum_alarm_after); the worst first.';

CREATE FUNCTION mqtt.verify_broker_view(checked regclass, readers text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_class pg_catalog.pg_class;
    v_readers text [];
BEGIN
    SELECT * INTO STRICT v_class FROM pg_catalog.pg_class WHERE oid = checked;
    IF v_class.relowner <> 'mqtt_owner'::regrole OR v_class.relkind <> 'v' OR (v_class.reloptions @> ARRAY['security_barrier=true']) IS NOT TRUE THEN
        RAISE EXCEPTION '%: must be a security_barrier view of mqtt_owner', checked;
    END IF;
    SELECT coalesce(array_agg(concat(a.grantee::regrole, ' ', a.privilege_type) ORDER BY concat(a.grantee::regrole, ' ', a.privilege_type)), '{}') INTO v_readers
    FROM aclexplode(v_class.relacl) AS a
    WHERE a.grantee <> v_class.relowner;
    IF v_readers <> ARRAY(SELECT r || ' SELECT' FROM unnest(readers) AS r ORDER BY 1) THEN
        RAISE EXCEPTION '%: read by %, must be by %', checked, v_readers, readers;
    END IF;
END;
$$;

ALTER FUNCTION mqtt.verify_broker_view(checked regclass, readers text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.verify_broker_view(checked regclass, readers text[]) IS 'For verify scripts: raises unless the view belongs to mqtt_owner, is a security barrier and can be read by exactly these roles.';

CREATE FUNCTION mqtt.verify_function(checked regprocedure, definer boolean, volatility text, callers text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    p pg_catalog.pg_proc;
    v_language text;
    v_callers text [];
BEGIN
    SELECT * INTO STRICT p FROM pg_catalog.pg_proc WHERE oid = checked;
    SELECT lanname INTO STRICT v_language FROM pg_catalog.pg_language WHERE oid = p.prolang;
    IF p.proowner <> 'mqtt_owner'::regrole OR p.prosecdef <> definer OR p.provolatile <> volatility::"char" THEN
        RAISE EXCEPTION '%: owner, security or volatility differs', checked;
    END IF;
    IF (v_language <> 'sql' OR p.prosecdef) AND (p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp']) IS NOT TRUE THEN
        RAISE EXCEPTION '%: search_path is not pinned', checked;
    END IF;
    SELECT coalesce(array_agg(r.rolname::text ORDER BY r.rolname), '{}') INTO v_callers
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname IN ('anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge')
        AND has_function_privilege(r.oid, checked, 'execute');
    IF v_callers <> ARRAY(SELECT c FROM unnest(callers) AS c ORDER BY c) THEN
        RAISE EXCEPTION '%: EXECUTE is with %, must be %', checked, v_callers, callers;
    END IF;
    IF has_function_privilege('public', checked, 'execute') THEN
        RAISE EXCEPTION '%: PUBLIC must not execute it', checked;
    END IF;
END;
$$;

ALTER FUNCTION mqtt.verify_function(checked regprocedure, definer boolean, volatility text, callers text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.verify_function(checked regprocedure, definer boolean, volatility text, callers text[]) IS 'Raises unless the function has the owner, security, volatility (i, s or v), pinned search_path and callers named; for verify scripts.';

CREATE FUNCTION mqtt.verify_table(checked regclass, for_members text[], for_service text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_class pg_catalog.pg_class;
    v_role text;
    v_wanted text [];
    v_had text [];
BEGIN
    SELECT * INTO STRICT v_class FROM pg_catalog.pg_class WHERE oid = checked;
    IF v_class.relowner <> 'mqtt_owner'::regrole THEN
        RAISE EXCEPTION '%: must belong to mqtt_owner', checked;
    END IF;
    IF v_class.relkind IN ('r', 'p') AND NOT v_class.relrowsecurity THEN
        RAISE EXCEPTION '%: row-level security is off', checked;
    END IF;
    IF v_class.relkind = 'v' AND (v_class.reloptions @> ARRAY['security_invoker=true']) IS NOT TRUE THEN
        RAISE EXCEPTION '%: must be a security_invoker view', checked;
    END IF;
    FOREACH v_role IN ARRAY ARRAY['anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge'] LOOP
        v_wanted := CASE v_role WHEN 'authenticated' THEN for_members WHEN 'service_role' THEN for_service ELSE '{}' END;
        SELECT coalesce(array_agg(x ORDER BY x), '{}') INTO v_had
        FROM unnest(ARRAY['DELETE', 'INSERT', 'SELECT', 'TRUNCATE', 'UPDATE']) AS x
        WHERE has_table_privilege(v_role, checked, x) OR (x IN ('INSERT', 'SELECT', 'UPDATE') AND has_any_column_privilege(v_role, checked, x));
        IF v_had <> ARRAY(SELECT w FROM unnest(v_wanted) AS w ORDER BY w) THEN
            RAISE EXCEPTION '%: role % has %, must have %', checked, v_role, v_had, v_wanted;
        END IF;
    END LOOP;
END;
$$;

ALTER FUNCTION mqtt.verify_table(checked regclass, for_members text[], for_service text[]) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.verify_table(checked regclass, for_members text[], for_service text[]) IS 'Raises unless the table or view has the owner, row-level security (or security_invoker) and privileges named; for verify scripts.';

CREATE FUNCTION mqtt.wait_for_organization(organization_id uuid, mark timestamp with time zone, due_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '50ms', true);
    PERFORM pg_advisory_xact_lock(mqtt.processing_lock(), hashtext(organization_id::text));
    PERFORM set_config('lock_timeout', v_lock_timeout, true);
    RETURN (
        SELECT q.vt
        FROM pgmq.q_mqtt_messages AS q
        WHERE q.organization_id = wait_for_organization.organization_id AND q.vt > mark AND q.vt <= due_at
        ORDER BY q.vt
        LIMIT 1
    );
EXCEPTION
    WHEN lock_not_available THEN
        RETURN NULL;
END;
$$;

ALTER FUNCTION mqtt.wait_for_organization(organization_id uuid, mark timestamp with time zone, due_at timestamp with time zone) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.wait_for_organization(organization_id uuid, mark timestamp with time zone, due_at timestamp with time zone) IS 'Waits a moment in line for an organization that another worker is at: when its first due message is due, once it is locked. A part of mqtt.due_messages.';

CREATE FUNCTION mqtt.wake_bridge(subject text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    -- A sleeping bridge holds this lock exclusively: only then is a NOTIFY worth the global lock it takes at commit.
    -- Held shared until then, it also keeps a bridge from falling asleep between our write and our commit.
    IF NOT pg_try_advisory_xact_lock_shared(mqtt.wakeup_lock(), hashtext(subject)) THEN
        PERFORM pg_notify('topicbase', subject);
    END IF;
END;
$$;

ALTER FUNCTION mqtt.wake_bridge(subject text) OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.wake_bridge(subject text) IS 'Sends NOTIFY topicbase, subject (ingest, outbound, callback or request) when a bridge sleeps, that is, holds advisory lock (mqtt.wakeup_lock(), hashtext(subject)).';

CREATE FUNCTION mqtt.wakeup_lock() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT 1953460322;
END;

ALTER FUNCTION mqtt.wakeup_lock() OWNER TO mqtt_owner;

COMMENT ON FUNCTION mqtt.wakeup_lock() IS 'Advisory lock of a sleeping bridge, with hashtext(subject): exclusive while a bridge sleeps on that subject, shared until commit by who writes what it waits for (mqtt.wake_bridge).';

CREATE PROCEDURE mqtt.work_queue(IN batch_size integer DEFAULT 1000)
    LANGUAGE plpgsql
    AS $$
DECLARE
    -- Every name here has its schema, operators are functions: what commits cannot have a search_path of its own.
    v_worker_id CONSTANT pg_catalog.uuid := pg_catalog.gen_random_uuid();
    v_began CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    v_is_orphaned pg_catalog.bool;
    v_msg_id pg_catalog.int8;
    v_counts pg_catalog.jsonb;
BEGIN
    PERFORM pg_catalog.pg_advisory_lock(mqtt.bridge_lock(v_worker_id));
    v_is_orphaned := mqtt.begin_work(v_worker_id);
    COMMIT;
    IF v_is_orphaned THEN
        -- Whoever was at it before ended in the middle, perhaps because of a message: as many as a batch one by one, each attempt counted before.
        FOR v_attempt IN 1..batch_size LOOP
            v_msg_id := mqtt.begin_attempt(v_began);
            COMMIT;
            EXIT WHEN v_msg_id IS NULL OR pg_catalog.int8eq(v_msg_id, 0);
            PERFORM mqtt.finish_attempt(v_msg_id);
            COMMIT;
        END LOOP;
    END IF;
    LOOP
        v_counts := mqtt.process_batch(batch_size);
        COMMIT;
        EXIT WHEN NOT pg_catalog.jsonb_extract_path_text(v_counts, 'more')::pg_catalog.bool;
    END LOOP;
    PERFORM mqtt.end_work(v_worker_id);
    PERFORM pg_catalog.pg_advisory_unlock(mqtt.bridge_lock(v_worker_id));
END;
$$;

ALTER PROCEDURE mqtt.work_queue(IN batch_size integer) OWNER TO mqtt_owner;

COMMENT ON PROCEDURE mqtt.work_queue(IN batch_size integer) IS 'Works the queue off, a transaction for each batch, for a scheduler: SELECT cron.schedule(''topicbase queue'', ''* * * * *'', ''CALL mqtt.work_queue()''). A message that ends the session, or hangs until the session''s statement_timeout, costs itself an attempt in each further call, and becomes a dead letter like any other. May run beside bridges and beside itself.';

CREATE VIEW api.device_integrations WITH (security_invoker='true') AS
 SELECT i.id,
    i.organization_id,
    i.name,
    i.integration_type,
    mqtt.visible_settings(i.settings) AS settings,
    (i.settings ? 'password'::text) AS has_password,
    i.status,
    i.status_detail,
    i.status_changed_at,
    i.created_at,
    i.updated_at
   FROM mqtt.device_integrations i;

ALTER TABLE api.device_integrations OWNER TO mqtt_owner;

COMMENT ON VIEW api.device_integrations IS 'Integrations

Settings without secrets: `has_password` and `has_client_key` say that one is stored.';

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

CREATE VIEW api.devices WITH (security_invoker='true') AS
 SELECT d.id,
    d.organization_id,
    d.integration_id,
    d.external_id,
    d.name,
    d.metadata,
    d.last_data,
    d.last_data_at,
    d.last_seen_at,
    d.created_at,
    d.latest
   FROM mqtt.devices d;

ALTER TABLE api.devices OWNER TO mqtt_owner;

COMMENT ON VIEW api.devices IS 'Devices';

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

CREATE TABLE mqtt.integration_activity_log (
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    organization_id uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    integration_id uuid,
    direction mqtt.message_direction,
    message_count integer DEFAULT 0 NOT NULL,
    activity_type text NOT NULL,
    status text NOT NULL,
    error_message text,
    details jsonb,
    CONSTRAINT integration_activity_log_status_check CHECK ((status = ANY (ARRAY['success'::text, 'failed'::text])))
)
PARTITION BY RANGE (created_at);

ALTER TABLE mqtt.integration_activity_log OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.integration_activity_log IS 'What happened in an integration: one row per processed batch, with its count, and one per failure or change.';

COMMENT ON COLUMN mqtt.integration_activity_log.message_count IS 'How many messages the row speaks of; 0 where it speaks of none.';

COMMENT ON COLUMN mqtt.integration_activity_log.activity_type IS 'What it was: messages_processed, message_failed, message_dead, messages_published, credential_generated, credential_first_used, credential_expired, …';

COMMENT ON COLUMN mqtt.integration_activity_log.details IS 'Facts of the case; never a secret, never a payload.';

CREATE VIEW api.integration_activity_log WITH (security_invoker='true') AS
 SELECT a.id,
    a.organization_id,
    a.integration_id,
    a.activity_type,
    (a.direction)::text AS direction,
    a.message_count,
    a.status,
    a.error_message,
    a.details,
    a.created_at
   FROM mqtt.integration_activity_log a;

ALTER TABLE api.integration_activity_log OWNER TO mqtt_owner;

COMMENT ON VIEW api.integration_activity_log IS 'Activity log

What happened: one row per processed batch, per failure and per change.';

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

CREATE VIEW api.mqtt_callback_deliveries WITH (security_invoker='true') AS
 SELECT d.id,
    d.organization_id,
    d.subscription_id,
    d.message_id,
    d.status,
    d.attempts,
    d.status_code,
    d.error,
    d.response,
    d.created_at,
    d.attempted_at,
        CASE
            WHEN (d.status = 'waiting'::text) THEN d.due_at
            ELSE NULL::timestamp with time zone
        END AS next_attempt_at,
    d.finished_at
   FROM mqtt.mqtt_callback_deliveries d;

ALTER TABLE api.mqtt_callback_deliveries OWNER TO mqtt_owner;

COMMENT ON VIEW api.mqtt_callback_deliveries IS 'Callback deliveries

Messages posted, or waiting to be posted, to the callback_url of subscriptions, and what became of them.';

COMMENT ON COLUMN api.mqtt_callback_deliveries.id IS 'Delivery id: the webhook-id header of every attempt';

COMMENT ON COLUMN api.mqtt_callback_deliveries.organization_id IS 'Organization that it belongs to';

COMMENT ON COLUMN api.mqtt_callback_deliveries.subscription_id IS 'Subscription that the message matched';

COMMENT ON COLUMN api.mqtt_callback_deliveries.message_id IS 'Message, by its id in mqtt_messages';

COMMENT ON COLUMN api.mqtt_callback_deliveries.status IS 'waiting (for its first or next attempt), delivered, or dead (given up)';

COMMENT ON COLUMN api.mqtt_callback_deliveries.attempts IS 'Attempts made';

COMMENT ON COLUMN api.mqtt_callback_deliveries.status_code IS 'HTTP status of the last answer';

COMMENT ON COLUMN api.mqtt_callback_deliveries.error IS 'Why the last attempt failed';

COMMENT ON COLUMN api.mqtt_callback_deliveries.response IS 'Beginning of the answer to a failed attempt, at most 200 characters';

COMMENT ON COLUMN api.mqtt_callback_deliveries.created_at IS 'When the message was stored';

COMMENT ON COLUMN api.mqtt_callback_deliveries.attempted_at IS 'When it was last attempted';

COMMENT ON COLUMN api.mqtt_callback_deliveries.next_attempt_at IS 'When the next attempt is due; null unless it is waiting';

COMMENT ON COLUMN api.mqtt_callback_deliveries.finished_at IS 'When it was delivered or given up';

CREATE VIEW api.mqtt_credentials WITH (security_invoker='true') AS
 SELECT c.id,
    c.organization_id,
    c.integration_id,
    c.device_id,
    c.username,
    c.client_id,
    c.topic_prefix,
    c.broker_url,
    c.can_publish,
    c.can_subscribe,
    c.publish_filters,
    c.subscribe_filters,
    c.max_per_second,
    c.max_burst,
        CASE
            WHEN (c.revoked_at IS NOT NULL) THEN 'revoked'::text
            WHEN (c.expires_at <= now()) THEN 'expired'::text
            ELSE 'active'::text
        END AS status,
    c.expires_at,
    c.revoked_at,
    c.rotated_at,
    c.previous_until,
    c.last_connected_at,
    c.connection_count,
    c.created_at
   FROM mqtt.mqtt_credentials c;

ALTER TABLE api.mqtt_credentials OWNER TO mqtt_owner;

COMMENT ON VIEW api.mqtt_credentials IS 'Device logins

Without passwords, verifiers and hashes.';

COMMENT ON COLUMN api.mqtt_credentials.id IS 'Credential id';

COMMENT ON COLUMN api.mqtt_credentials.organization_id IS 'Organization that it belongs to';

COMMENT ON COLUMN api.mqtt_credentials.integration_id IS 'Integration that it belongs to';

COMMENT ON COLUMN api.mqtt_credentials.device_id IS 'Device that it is bound to, if any';

COMMENT ON COLUMN api.mqtt_credentials.username IS 'MQTT user name, unique';

COMMENT ON COLUMN api.mqtt_credentials.client_id IS 'MQTT client id';

COMMENT ON COLUMN api.mqtt_credentials.topic_prefix IS 'Prefix of the topics that it may use, without the / that follows it';

COMMENT ON COLUMN api.mqtt_credentials.broker_url IS 'Broker that the device connects to';

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

COMMENT ON COLUMN api.mqtt_credentials.last_connected_at IS 'When it was last used over HTTP';

COMMENT ON COLUMN api.mqtt_credentials.connection_count IS 'Messages that it has delivered over HTTP';

COMMENT ON COLUMN api.mqtt_credentials.created_at IS 'When it was created';

CREATE TABLE mqtt.mqtt_dead_letters (
    failed_at timestamp with time zone DEFAULT now() NOT NULL,
    received_at timestamp with time zone NOT NULL,
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    integration_id uuid NOT NULL,
    credential_id uuid,
    direction mqtt.message_direction NOT NULL,
    attempts smallint NOT NULL,
    topic text,
    message jsonb,
    body bytea,
    error_message text NOT NULL,
    errors jsonb DEFAULT '[]'::jsonb NOT NULL,
    replayed_at timestamp with time zone,
    replay_count smallint DEFAULT 0 NOT NULL
)
PARTITION BY RANGE (failed_at);

ALTER TABLE mqtt.mqtt_dead_letters OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.mqtt_dead_letters IS 'Messages that failed for good, as they were accepted, with the error of each attempt; kept failed_days, replayable.';

COMMENT ON COLUMN mqtt.mqtt_dead_letters.id IS 'Message id that the sender was told.';

COMMENT ON COLUMN mqtt.mqtt_dead_letters.message IS 'The message as it stood in the queue: topic, payload, qos, retain and what else came with it.';

COMMENT ON COLUMN mqtt.mqtt_dead_letters.body IS 'The payload byte for byte, where it was not JSON.';

COMMENT ON COLUMN mqtt.mqtt_dead_letters.error_message IS 'Error of the last attempt.';

COMMENT ON COLUMN mqtt.mqtt_dead_letters.errors IS 'Every attempt: [{"at", "code", "error"}, …], oldest first.';

COMMENT ON COLUMN mqtt.mqtt_dead_letters.replayed_at IS 'When it was last put back into the queue; it stays here as the trace of that.';

CREATE VIEW api.mqtt_dead_letters WITH (security_invoker='true') AS
 SELECT d.id,
    d.organization_id,
    d.integration_id,
    d.credential_id,
    (d.direction)::text AS direction,
    d.topic,
    d.message,
    translate(encode(d.body, 'base64'::text), '
'::text, ''::text) AS body,
    d.attempts,
    d.error_message,
    d.errors,
    d.received_at,
    d.failed_at,
    d.replayed_at,
    d.replay_count
   FROM mqtt.mqtt_dead_letters d;

ALTER TABLE api.mqtt_dead_letters OWNER TO mqtt_owner;

COMMENT ON VIEW api.mqtt_dead_letters IS 'Dead letters

Messages that failed permanently, with every attempt; replay_mqtt_dead_letters puts them back into the queue.';

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

CREATE VIEW mqtt.mqtt_message_queue WITH (security_invoker='true') AS
 SELECT q.id,
    q.organization_id,
    q.integration_id,
    q.topic,
    q.payload,
    q.qos,
    q.status,
    q.attempts,
    COALESCE(((i.settings ->> 'max_attempts'::text))::smallint, c.max_attempts) AS max_attempts,
    q.created_at,
    NULL::timestamp with time zone AS processed_at,
    NULL::timestamp with time zone AS failed_at,
    q.next_retry_at,
    q.error_message
   FROM ((mqtt.queued_messages() q(id, organization_id, integration_id, topic, payload, body, qos, status, attempts, created_at, next_retry_at, error_message)
     CROSS JOIN mqtt.configuration c)
     LEFT JOIN mqtt.device_integrations i ON ((i.id = q.integration_id)))
UNION ALL
 SELECT m.id,
    m.organization_id,
    m.integration_id,
    m.topic,
    m.payload,
    m.qos,
    'completed'::text AS status,
    (0)::smallint AS attempts,
    c.max_attempts,
    m.received_at AS created_at,
    m.created_at AS processed_at,
    NULL::timestamp with time zone AS failed_at,
    NULL::timestamp with time zone AS next_retry_at,
    NULL::text AS error_message
   FROM (mqtt.mqtt_messages m
     CROSS JOIN mqtt.configuration c)
  WHERE (m.direction = 'incoming'::mqtt.message_direction)
UNION ALL
 SELECT d.id,
    d.organization_id,
    d.integration_id,
    d.topic,
    COALESCE((d.message -> 'payload'::text), 'null'::jsonb) AS payload,
    (COALESCE((d.message ->> 'qos'::text), '0'::text))::smallint AS qos,
    'failed'::text AS status,
    d.attempts,
    d.attempts AS max_attempts,
    d.received_at AS created_at,
    NULL::timestamp with time zone AS processed_at,
    d.failed_at,
    NULL::timestamp with time zone AS next_retry_at,
    d.error_message
   FROM mqtt.mqtt_dead_letters d
  WHERE (d.direction = 'incoming'::mqtt.message_direction);

ALTER TABLE mqtt.mqtt_message_queue OWNER TO mqtt_owner;

COMMENT ON VIEW mqtt.mqtt_message_queue IS 'Every incoming message with its status: pending, processing (held by a reader), completed (in the history) or failed (a dead letter).';

CREATE VIEW api.mqtt_message_queue WITH (security_invoker='true') AS
 SELECT mqtt_message_queue.id,
    mqtt_message_queue.organization_id,
    mqtt_message_queue.integration_id,
    mqtt_message_queue.topic,
    mqtt_message_queue.payload,
    mqtt_message_queue.qos,
    mqtt_message_queue.status,
    mqtt_message_queue.attempts,
    mqtt_message_queue.max_attempts,
    mqtt_message_queue.created_at,
    mqtt_message_queue.processed_at,
    mqtt_message_queue.failed_at,
    mqtt_message_queue.next_retry_at,
    mqtt_message_queue.error_message
   FROM mqtt.mqtt_message_queue;

ALTER TABLE api.mqtt_message_queue OWNER TO mqtt_owner;

COMMENT ON VIEW api.mqtt_message_queue IS 'Incoming messages by status

`pending` and `processing` messages wait in the queue, `completed` ones are in `mqtt_messages`, `failed` ones in `mqtt_dead_letters`.';

COMMENT ON COLUMN api.mqtt_message_queue.id IS 'Message id, as answered to the sender';

COMMENT ON COLUMN api.mqtt_message_queue.organization_id IS 'Organization of the message';

COMMENT ON COLUMN api.mqtt_message_queue.integration_id IS 'Integration of the message';

COMMENT ON COLUMN api.mqtt_message_queue.topic IS 'Topic name';

COMMENT ON COLUMN api.mqtt_message_queue.payload IS 'Payload as JSON; JSON null while it waits as bytes';

COMMENT ON COLUMN api.mqtt_message_queue.qos IS 'QoS: 0, 1 or 2';

COMMENT ON COLUMN api.mqtt_message_queue.status IS 'pending, processing, completed or failed';

COMMENT ON COLUMN api.mqtt_message_queue.attempts IS 'Failed attempts so far';

COMMENT ON COLUMN api.mqtt_message_queue.max_attempts IS 'Number of attempts after which it becomes a dead letter';

COMMENT ON COLUMN api.mqtt_message_queue.created_at IS 'When it was accepted';

COMMENT ON COLUMN api.mqtt_message_queue.processed_at IS 'When it was stored';

COMMENT ON COLUMN api.mqtt_message_queue.failed_at IS 'When it was given up';

COMMENT ON COLUMN api.mqtt_message_queue.next_retry_at IS 'When the next attempt is due';

COMMENT ON COLUMN api.mqtt_message_queue.error_message IS 'Error of the last attempt';

CREATE VIEW api.mqtt_messages WITH (security_invoker='true') AS
 SELECT m.id,
    m.organization_id,
    m.integration_id,
    m.device_id,
    (m.direction)::text AS direction,
    m.topic,
    m.message_type,
    m.payload,
    translate(encode(m.body, 'base64'::text), '
'::text, ''::text) AS body,
    m.content_type,
    m.decode_error,
    m.qos,
    m.retain,
    m.properties,
    m.sent_at,
    m.received_at,
    m.created_at,
    m.measured_at,
    (m.sent_at <> m.measured_at) AS timestamp_ignored
   FROM mqtt.mqtt_messages m;

ALTER TABLE api.mqtt_messages OWNER TO mqtt_owner;

COMMENT ON VIEW api.mqtt_messages IS 'Message history

All stored messages, incoming and outgoing. To read them in order, or page by page, call list_messages. Filters that an index serves:
organization_id or integration_id with received_at, device_id with measured_at.';

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

CREATE TABLE mqtt.mqtt_publish_receipts (
    queued_at timestamp with time zone NOT NULL,
    settled_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    integration_id uuid NOT NULL,
    qos smallint NOT NULL,
    attempts smallint NOT NULL,
    reason_code smallint,
    state text NOT NULL,
    topic text NOT NULL,
    reason text,
    CONSTRAINT mqtt_publish_receipts_state_check CHECK ((state = ANY (ARRAY['sent'::text, 'acknowledged'::text, 'failed'::text, 'expired'::text, 'cancelled'::text])))
)
PARTITION BY RANGE (queued_at);

ALTER TABLE mqtt.mqtt_publish_receipts OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.mqtt_publish_receipts IS 'What became of each message published; a row is written when that is settled, until then the message stands in the outbound queue.';

COMMENT ON COLUMN mqtt.mqtt_publish_receipts.attempts IS 'How often it was handed to the broker.';

COMMENT ON COLUMN mqtt.mqtt_publish_receipts.reason_code IS 'MQTT 5 reason code of the broker''s answer (section 2.4); null where there was none.';

COMMENT ON COLUMN mqtt.mqtt_publish_receipts.state IS 'sent (QoS 0, handed to the broker''s socket), acknowledged (PUBACK or PUBCOMP), failed (refused; see reason), expired (message_expiry passed) or cancelled.';

COMMENT ON COLUMN mqtt.mqtt_publish_receipts.reason IS 'The reason in words.';

CREATE VIEW api.mqtt_publish_receipts WITH (security_invoker='true') AS
 SELECT r.id,
    r.organization_id,
    r.integration_id,
    r.topic,
    r.qos,
    r.state,
    r.attempts,
    r.reason_code,
    r.reason,
    r.queued_at,
    r.settled_at
   FROM mqtt.mqtt_publish_receipts r;

ALTER TABLE api.mqtt_publish_receipts OWNER TO mqtt_owner;

COMMENT ON VIEW api.mqtt_publish_receipts IS 'Publish receipts

What became of published messages, once they are settled; get_mqtt_publish_receipts also shows those still queued.';

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

CREATE VIEW api.mqtt_subscriptions WITH (security_invoker='true') AS
 SELECT s.id,
    s.organization_id,
    s.integration_id,
    s.topic,
    s.qos,
    s.callback_url,
    s.callback_ordered,
    s.callback_gone_at,
    s.no_local,
    s.retain_handling,
    s.is_paused,
    s.status,
    s.status_detail,
    s.granted_qos,
    s.created_at,
    s.updated_at
   FROM mqtt.mqtt_subscriptions s;

ALTER TABLE api.mqtt_subscriptions OWNER TO mqtt_owner;

COMMENT ON VIEW api.mqtt_subscriptions IS 'Subscriptions

Topic filters that the bridge is subscribed to at the brokers.';

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

CREATE TABLE mqtt.organization_members (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text DEFAULT 'member'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT organization_members_role_check CHECK ((role = ANY (ARRAY['member'::text, 'admin'::text])))
);

ALTER TABLE mqtt.organization_members OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.organization_members IS 'Which users (the sub of their JWT) belong to an organization, and as what.';

COMMENT ON COLUMN mqtt.organization_members.role IS 'member reads and publishes; admin also manages integrations, credentials and subscriptions.';

CREATE VIEW api.organization_members WITH (security_invoker='true') AS
 SELECT m.organization_id,
    m.user_id,
    m.role,
    m.created_at
   FROM mqtt.organization_members m;

ALTER TABLE api.organization_members OWNER TO mqtt_owner;

COMMENT ON VIEW api.organization_members IS 'Members of your organizations';

COMMENT ON COLUMN api.organization_members.organization_id IS 'Organization that it belongs to';

COMMENT ON COLUMN api.organization_members.user_id IS 'User: the sub of their JWT';

COMMENT ON COLUMN api.organization_members.role IS 'member or admin';

COMMENT ON COLUMN api.organization_members.created_at IS 'When they were added';

CREATE VIEW api.organizations WITH (security_invoker='true') AS
 SELECT o.id,
    o.name,
    o.slug,
    o.topic_prefix,
    ( SELECT m.role
           FROM mqtt.organization_members m
          WHERE ((m.organization_id = o.id) AND (m.user_id = ( SELECT mqtt.current_user_id() AS current_user_id)))) AS role,
    o.completed_days,
    o.failed_days,
    o.activity_days,
    o.max_per_second,
    o.max_burst,
    o.max_queued,
    o.max_payload_bytes,
    o.created_at
   FROM mqtt.organizations o;

ALTER TABLE api.organizations OWNER TO mqtt_owner;

COMMENT ON VIEW api.organizations IS 'Organizations

The organizations that you are a member of; service_role sees all.';

COMMENT ON COLUMN api.organizations.id IS 'Organization id';

COMMENT ON COLUMN api.organizations.name IS 'Name, for people';

COMMENT ON COLUMN api.organizations.slug IS 'Short name';

COMMENT ON COLUMN api.organizations.topic_prefix IS 'First topic level of its hosted devices: org_<slug>';

COMMENT ON COLUMN api.organizations.role IS 'Your role in it: member or admin; null for service_role';

COMMENT ON COLUMN api.organizations.completed_days IS 'Days that its history is kept; null for the installation''s default';

COMMENT ON COLUMN api.organizations.failed_days IS 'Days that its dead letters are kept; null for the installation''s default';

COMMENT ON COLUMN api.organizations.activity_days IS 'Days that its activity log is kept; null for the installation''s default';

COMMENT ON COLUMN api.organizations.max_per_second IS 'Messages per second that its devices may send over HTTP; null for no limit';

COMMENT ON COLUMN api.organizations.max_burst IS 'Messages that they may send at once after a pause';

COMMENT ON COLUMN api.organizations.max_queued IS 'Messages that may wait to be processed; null for no limit of its own';

COMMENT ON COLUMN api.organizations.max_payload_bytes IS 'Largest payload in bytes; null for the installation''s limit';

COMMENT ON COLUMN api.organizations.created_at IS 'When it was created';

CREATE TABLE mqtt.bridges (
    id uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    main_pid integer NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT bridges_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT bridges_version_check CHECK (((length(version) >= 1) AND (length(version) <= 50)))
)
WITH (fillfactor='50');

ALTER TABLE mqtt.bridges OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.bridges IS 'Bridge processes that run or ran a moment ago; each holds a session advisory lock on its id, and says that it lives every few seconds.';

COMMENT ON COLUMN mqtt.bridges.id IS 'Made anew at each start of a process; its sessions carry it in their application_name.';

COMMENT ON COLUMN mqtt.bridges.name IS 'Host name and process id, for people.';

COMMENT ON COLUMN mqtt.bridges.main_pid IS 'Server process of the session that holds its locks.';

COMMENT ON COLUMN mqtt.bridges.seen_at IS 'When it last said that it lives.';

CREATE TABLE mqtt.callback_secrets (
    organization_id uuid NOT NULL,
    subscription_id uuid NOT NULL,
    sealed jsonb NOT NULL,
    previous jsonb,
    previous_until timestamp with time zone,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT callback_secrets_check CHECK (((sealed ? 'sealed'::text) AND ((previous IS NULL) OR (previous ? 'sealed'::text))))
);

ALTER TABLE mqtt.callback_secrets OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.callback_secrets IS 'What requests to a subscription''s callback_url are signed with: libsodium sealed boxes that only the bridge opens. No web role reads them.';

COMMENT ON COLUMN mqtt.callback_secrets.previous IS 'The secret before the last rotation, which requests are signed with as well until previous_until.';

CREATE TABLE mqtt.deferred_credential_updates (
    organization_id uuid NOT NULL,
    credential_id uuid NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    number bigint NOT NULL,
    uses bigint NOT NULL,
    last_connected_at timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='10000');

ALTER TABLE mqtt.deferred_credential_updates OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.deferred_credential_updates IS 'The same of mqtt.mqtt_credentials: messages delivered over HTTP, one row a credential and batch.';

ALTER TABLE mqtt.deferred_credential_updates ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME mqtt.deferred_credential_updates_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE mqtt.deferred_device_updates (
    organization_id uuid NOT NULL,
    device_id uuid NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    number bigint NOT NULL,
    last_data jsonb,
    last_data_at timestamp with time zone,
    last_seen_at timestamp with time zone,
    latest jsonb NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='10000');

ALTER TABLE mqtt.deferred_device_updates OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.deferred_device_updates IS 'What the newest messages say of devices, one row a device and batch, while vacuum is held back; within seconds mqtt.apply_deferred_updates takes it into mqtt.devices. Else empty.';

ALTER TABLE mqtt.deferred_device_updates ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME mqtt.deferred_device_updates_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE mqtt.ingest_keys (
    organization_id uuid NOT NULL,
    credential_id uuid NOT NULL,
    message_id uuid NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE mqtt.ingest_keys OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.ingest_keys IS 'Message ids that clients chose themselves, per credential (over HTTP) or integration (over MQTT), for configuration.idempotency_window: a repeat is answered like the first and not queued again.';

CREATE TABLE mqtt.ledger (
    organization_id uuid NOT NULL,
    bucket timestamp with time zone NOT NULL,
    shard smallint NOT NULL,
    accepted bigint DEFAULT 0 NOT NULL,
    completed bigint DEFAULT 0 NOT NULL,
    dead bigint DEFAULT 0 NOT NULL,
    expired bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000');

ALTER TABLE mqtt.ledger OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.ledger IS 'Per organization and minute in which messages were accepted: how many, and what became of them. accepted = completed + dead + expired + still queued, always.';

COMMENT ON COLUMN mqtt.ledger.bucket IS 'Minute (whole hours once it is old, -infinity for all that is older than any term of retention) in which the messages were accepted.';

COMMENT ON COLUMN mqtt.ledger.shard IS 'Rows that are added up: 0 and more by the backend that accepted and the time within the minute (mqtt.ledger_shard); below 0 one of mqtt.ledger_level_outcomes (-1, written by whoever settles messages), _minute (-3) and _hour (-2, both rolled up) and _settled (-4).';

ALTER TABLE mqtt.mqtt_callback_deliveries ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME mqtt.mqtt_callback_deliveries_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE mqtt.mqtt_requests (
    organization_id uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    integration_id uuid NOT NULL,
    request_type text NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    result jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    CONSTRAINT mqtt_requests_request_type_check CHECK ((request_type = 'test_connection'::text)),
    CONSTRAINT mqtt_requests_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text])))
);

ALTER TABLE mqtt.mqtt_requests OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.mqtt_requests IS 'What the bridge was asked to do on a broker, and its answer; kept for a day.';

COMMENT ON COLUMN mqtt.mqtt_requests.result IS 'The verdict: {"ok": bool, "reason": text, …} with each stage that was reached.';

ALTER TABLE mqtt.mqtt_subscriptions ALTER COLUMN number ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME mqtt.mqtt_subscriptions_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    MAXVALUE 268435455
    CACHE 1
);

CREATE TABLE mqtt.outbound_batches (
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    id bigint NOT NULL,
    bridge_id uuid NOT NULL,
    msg_ids bigint[] NOT NULL
);

ALTER TABLE mqtt.outbound_batches OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.outbound_batches IS 'Journal of messages handed to a bridge: a row per batch, gone when the batch is settled. What a bridge that died leaves here was begun once and counts as an attempt.';

COMMENT ON COLUMN mqtt.outbound_batches.msg_ids IS 'The messages, by their msg_id in pgmq.q_mqtt_outbound.';

ALTER TABLE mqtt.outbound_batches ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME mqtt.outbound_batches_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE UNLOGGED TABLE mqtt.quota_buckets (
    subject_id uuid NOT NULL,
    shard smallint NOT NULL,
    tokens double precision NOT NULL,
    filled_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE mqtt.quota_buckets OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.quota_buckets IS 'Token buckets of credentials and organizations that have a quota. A large one is spread over shards, so that its devices do not wait for one row.';

CREATE VIEW mqtt.sealed_values WITH (security_invoker='true') AS
 SELECT ('device_integrations.settings.'::text || n.name) AS place,
    i.organization_id,
    i.id,
    (i.settings -> n.name) AS value
   FROM (mqtt.device_integrations i
     CROSS JOIN LATERAL unnest(mqtt.secret_setting_names()) n(name))
  WHERE (i.settings ? n.name)
UNION ALL
 SELECT 'callback_secrets.sealed'::text AS place,
    k.organization_id,
    k.subscription_id AS id,
    k.sealed AS value
   FROM mqtt.callback_secrets k
UNION ALL
 SELECT 'callback_secrets.previous'::text AS place,
    k.organization_id,
    k.subscription_id AS id,
    k.previous AS value
   FROM mqtt.callback_secrets k
  WHERE (k.previous IS NOT NULL);

ALTER TABLE mqtt.sealed_values OWNER TO mqtt_owner;

COMMENT ON VIEW mqtt.sealed_values IS 'Every secret that is stored sealed: where (table.column.key), whose, the id of its integration or subscription, and its box. Add secrets of other tables here and in bridge.reseal.';

CREATE TABLE mqtt.workers (
    bridge_id uuid NOT NULL
);

ALTER TABLE mqtt.workers OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.workers IS 'Bridges whose queue worker has begun and not worked the queue off yet: one that is gone may have died of a message.';

CREATE UNLOGGED TABLE mqtt.wrong_passwords (
    bucket integer NOT NULL,
    since timestamp with time zone NOT NULL,
    tries integer NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE mqtt.wrong_passwords OWNER TO mqtt_owner;

COMMENT ON TABLE mqtt.wrong_passwords IS 'Wrong passwords of late, counted by a hash of the username; existing usernames and others alike.';

COMMENT ON COLUMN mqtt.wrong_passwords.since IS 'When the minute began that is counted.';

ALTER TABLE ONLY mqtt.bridge_leases
    ADD CONSTRAINT bridge_leases_integration_id_key UNIQUE (integration_id);

ALTER TABLE ONLY mqtt.bridge_leases
    ADD CONSTRAINT bridge_leases_pkey PRIMARY KEY (organization_id, integration_id);

ALTER TABLE ONLY mqtt.bridges
    ADD CONSTRAINT bridges_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mqtt.broker_keys
    ADD CONSTRAINT broker_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mqtt.broker_keys
    ADD CONSTRAINT broker_keys_username_key UNIQUE (username);

ALTER TABLE ONLY mqtt.callback_circuits
    ADD CONSTRAINT callback_circuits_pkey PRIMARY KEY (organization_id, url);

ALTER TABLE ONLY mqtt.callback_secrets
    ADD CONSTRAINT callback_secrets_pkey PRIMARY KEY (organization_id, subscription_id);

ALTER TABLE ONLY mqtt.configuration
    ADD CONSTRAINT configuration_pkey PRIMARY KEY (is_only_row);

ALTER TABLE ONLY mqtt.deferred_credential_updates
    ADD CONSTRAINT deferred_credential_updates_pkey PRIMARY KEY (noted_at, number);

ALTER TABLE ONLY mqtt.deferred_device_ids
    ADD CONSTRAINT deferred_device_ids_pkey PRIMARY KEY (organization_id, integration_id, external_id);

ALTER TABLE ONLY mqtt.deferred_device_updates
    ADD CONSTRAINT deferred_device_updates_pkey PRIMARY KEY (noted_at, number);

ALTER TABLE ONLY mqtt.device_integrations
    ADD CONSTRAINT device_integrations_organization_id_id_key UNIQUE (organization_id, id);

ALTER TABLE ONLY mqtt.device_integrations
    ADD CONSTRAINT device_integrations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mqtt.devices
    ADD CONSTRAINT devices_organization_id_integration_id_external_id_key UNIQUE (organization_id, integration_id, external_id);

ALTER TABLE ONLY mqtt.devices
    ADD CONSTRAINT devices_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY mqtt.ingest_keys
    ADD CONSTRAINT ingest_keys_pkey PRIMARY KEY (organization_id, credential_id, message_id);

ALTER TABLE ONLY mqtt.integration_activity_log
    ADD CONSTRAINT integration_activity_log_pkey PRIMARY KEY (organization_id, created_at, id);

ALTER TABLE ONLY mqtt.ledger
    ADD CONSTRAINT ledger_pkey PRIMARY KEY (organization_id, bucket, shard);

ALTER TABLE ONLY mqtt.mqtt_callback_deliveries
    ADD CONSTRAINT mqtt_callback_deliveries_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY mqtt.mqtt_credentials
    ADD CONSTRAINT mqtt_credentials_organization_id_id_key UNIQUE (organization_id, id);

ALTER TABLE ONLY mqtt.mqtt_credentials
    ADD CONSTRAINT mqtt_credentials_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mqtt.mqtt_credentials
    ADD CONSTRAINT mqtt_credentials_username_key UNIQUE (username);

ALTER TABLE ONLY mqtt.mqtt_dead_letters
    ADD CONSTRAINT mqtt_dead_letters_pkey PRIMARY KEY (organization_id, failed_at, id);

ALTER TABLE ONLY mqtt.mqtt_messages
    ADD CONSTRAINT mqtt_messages_pkey PRIMARY KEY (organization_id, received_at, id);

ALTER TABLE ONLY mqtt.mqtt_publish_receipts
    ADD CONSTRAINT mqtt_publish_receipts_pkey PRIMARY KEY (organization_id, queued_at, id);

ALTER TABLE ONLY mqtt.mqtt_requests
    ADD CONSTRAINT mqtt_requests_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY mqtt.mqtt_subscriptions
    ADD CONSTRAINT mqtt_subscriptions_organization_id_integration_id_topic_key UNIQUE (organization_id, integration_id, topic);

ALTER TABLE ONLY mqtt.mqtt_subscriptions
    ADD CONSTRAINT mqtt_subscriptions_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY mqtt.organization_members
    ADD CONSTRAINT organization_members_pkey PRIMARY KEY (organization_id, user_id);

ALTER TABLE ONLY mqtt.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mqtt.organizations
    ADD CONSTRAINT organizations_slug_key UNIQUE (slug);

ALTER TABLE ONLY mqtt.organizations
    ADD CONSTRAINT organizations_topic_prefix_key UNIQUE (topic_prefix);

ALTER TABLE ONLY mqtt.outbound_batches
    ADD CONSTRAINT outbound_batches_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY mqtt.quota_buckets
    ADD CONSTRAINT quota_buckets_pkey PRIMARY KEY (subject_id, shard);

ALTER TABLE ONLY mqtt.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (bridge_id);

ALTER TABLE ONLY mqtt.wrong_passwords
    ADD CONSTRAINT wrong_passwords_pkey PRIMARY KEY (bucket);

CREATE INDEX bridge_leases_bridge_idx ON mqtt.bridge_leases USING btree (bridge_id);

CREATE INDEX broker_keys_integration_idx ON mqtt.broker_keys USING btree (organization_id, integration_id);

CREATE INDEX ingest_keys_received_at_idx ON mqtt.ingest_keys USING brin (received_at);

CREATE INDEX integration_activity_log_integration_idx ON ONLY mqtt.integration_activity_log USING btree (integration_id, created_at);

CREATE INDEX ledger_open_idx ON mqtt.ledger USING btree (organization_id, bucket) WHERE (shard > '-4'::integer);

CREATE INDEX ledger_settled_idx ON mqtt.ledger USING btree (bucket) WHERE (shard = '-4'::integer);

CREATE INDEX mqtt_callback_deliveries_due_idx ON mqtt.mqtt_callback_deliveries USING btree (organization_id, subscription_id, due_at) WHERE (status = 'waiting'::text);

CREATE INDEX mqtt_callback_deliveries_log_idx ON mqtt.mqtt_callback_deliveries USING btree (organization_id, created_at);

CREATE INDEX mqtt_callback_deliveries_order_idx ON mqtt.mqtt_callback_deliveries USING btree (organization_id, subscription_id, number) WHERE (status = 'waiting'::text);

CREATE INDEX mqtt_credentials_device_idx ON mqtt.mqtt_credentials USING btree (organization_id, device_id);

CREATE INDEX mqtt_credentials_expiry_idx ON mqtt.mqtt_credentials USING btree (expires_at) WHERE ((NOT is_expiry_logged) AND (revoked_at IS NULL) AND (expires_at IS NOT NULL));

CREATE INDEX mqtt_credentials_integration_idx ON mqtt.mqtt_credentials USING btree (organization_id, integration_id);

CREATE INDEX mqtt_messages_device_idx ON ONLY mqtt.mqtt_messages USING btree (device_id, measured_at, "position") WHERE (device_id IS NOT NULL);

CREATE INDEX mqtt_messages_integration_idx ON ONLY mqtt.mqtt_messages USING btree (integration_id, received_at, "position");

CREATE INDEX mqtt_publish_receipts_integration_idx ON ONLY mqtt.mqtt_publish_receipts USING btree (integration_id, queued_at);

CREATE INDEX mqtt_requests_integration_idx ON mqtt.mqtt_requests USING btree (organization_id, integration_id);

CREATE INDEX mqtt_requests_open_idx ON mqtt.mqtt_requests USING btree (created_at) WHERE (status <> 'done'::text);

CREATE INDEX mqtt_subscriptions_callback_idx ON mqtt.mqtt_subscriptions USING btree (organization_id, integration_id, prefix) WHERE ((callback_url IS NOT NULL) AND (callback_gone_at IS NULL) AND (NOT is_paused));

CREATE INDEX mqtt_subscriptions_prefix_idx ON mqtt.mqtt_subscriptions USING btree (organization_id, integration_id, prefix);

CREATE INDEX organization_members_user_id_idx ON mqtt.organization_members USING btree (user_id) INCLUDE (organization_id, role);

CREATE INDEX outbound_batches_id_idx ON mqtt.outbound_batches USING btree (id);

CREATE INDEX outbound_batches_integration_idx ON mqtt.outbound_batches USING btree (organization_id, integration_id);

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON api.mqtt_message_queue FOR EACH ROW EXECUTE FUNCTION mqtt.refuse_write();

CREATE TRIGGER a_check BEFORE INSERT OR UPDATE OF organization_id, integration_type, settings, topic_like, device_level, message_type_level ON mqtt.device_integrations FOR EACH ROW EXECUTE FUNCTION mqtt.check_integration();

CREATE TRIGGER end_callbacks AFTER DELETE ON mqtt.mqtt_subscriptions FOR EACH ROW WHEN ((old.callback_url IS NOT NULL)) EXECUTE FUNCTION mqtt.end_callbacks();

CREATE TRIGGER end_callbacks_update AFTER UPDATE OF callback_url ON mqtt.mqtt_subscriptions FOR EACH ROW WHEN (((old.callback_url IS NOT NULL) AND (new.callback_url IS NULL))) EXECUTE FUNCTION mqtt.end_callbacks();

CREATE TRIGGER notify_config AFTER INSERT OR DELETE ON mqtt.device_integrations FOR EACH STATEMENT EXECUTE FUNCTION mqtt.notify_config();

CREATE TRIGGER notify_config AFTER INSERT OR DELETE OR UPDATE OF username, topic_prefix, can_publish, can_subscribe, publish_filters, subscribe_filters, mosquitto_hash, expires_at, revoked_at ON mqtt.mqtt_credentials FOR EACH STATEMENT EXECUTE FUNCTION mqtt.notify_config();

CREATE TRIGGER notify_config AFTER INSERT OR DELETE OR UPDATE OF topic, qos, no_local, retain_handling, is_paused ON mqtt.mqtt_subscriptions FOR EACH STATEMENT EXECUTE FUNCTION mqtt.notify_config();

CREATE TRIGGER notify_config_granted AFTER UPDATE OF granted_qos ON mqtt.mqtt_subscriptions FOR EACH ROW WHEN (((old.granted_qos IS NULL) AND (new.granted_qos IS NOT NULL))) EXECUTE FUNCTION mqtt.notify_config();

CREATE TRIGGER notify_config_update AFTER UPDATE ON mqtt.device_integrations FOR EACH ROW WHEN (((old.settings IS DISTINCT FROM new.settings) OR (old.integration_type <> new.integration_type) OR ((old.status = 'inactive'::text) <> (new.status = 'inactive'::text)))) EXECUTE FUNCTION mqtt.notify_config();

CREATE TRIGGER renumber BEFORE UPDATE OF qos, no_local, retain_handling, is_paused ON mqtt.mqtt_subscriptions FOR EACH ROW WHEN (((((old.qos IS DISTINCT FROM new.qos) OR (old.no_local IS DISTINCT FROM new.no_local)) OR (old.retain_handling IS DISTINCT FROM new.retain_handling)) OR (old.is_paused IS DISTINCT FROM new.is_paused))) EXECUTE FUNCTION mqtt.renumber_subscription();

CREATE TRIGGER z_changed AFTER INSERT OR DELETE OR UPDATE OF name, integration_type, settings, status ON mqtt.device_integrations FOR EACH ROW EXECUTE FUNCTION mqtt.integration_changed();

CREATE TRIGGER z_log AFTER INSERT OR DELETE ON mqtt.mqtt_subscriptions FOR EACH ROW EXECUTE FUNCTION mqtt.log_subscription();

ALTER TABLE ONLY mqtt.bridge_leases
    ADD CONSTRAINT bridge_leases_bridge_id_fkey FOREIGN KEY (bridge_id) REFERENCES mqtt.bridges(id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.bridge_leases
    ADD CONSTRAINT bridge_leases_organization_id_integration_id_fkey FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.broker_keys
    ADD CONSTRAINT broker_keys_organization_id_integration_id_fkey FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.callback_circuits
    ADD CONSTRAINT callback_circuits_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES mqtt.organizations(id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.callback_secrets
    ADD CONSTRAINT callback_secrets_organization_id_subscription_id_fkey FOREIGN KEY (organization_id, subscription_id) REFERENCES mqtt.mqtt_subscriptions(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.deferred_device_ids
    ADD CONSTRAINT deferred_device_ids_organization_id_integration_id_externa_fkey FOREIGN KEY (organization_id, integration_id, external_id) REFERENCES mqtt.devices(organization_id, integration_id, external_id) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.device_integrations
    ADD CONSTRAINT device_integrations_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES mqtt.organizations(id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.devices
    ADD CONSTRAINT devices_organization_id_integration_id_fkey FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.mqtt_credentials
    ADD CONSTRAINT mqtt_credentials_organization_id_device_id_fkey FOREIGN KEY (organization_id, device_id) REFERENCES mqtt.devices(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.mqtt_credentials
    ADD CONSTRAINT mqtt_credentials_organization_id_integration_id_fkey FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.mqtt_requests
    ADD CONSTRAINT mqtt_requests_organization_id_integration_id_fkey FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.mqtt_subscriptions
    ADD CONSTRAINT mqtt_subscriptions_organization_id_integration_id_fkey FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.organization_members
    ADD CONSTRAINT organization_members_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES mqtt.organizations(id) ON DELETE CASCADE;

ALTER TABLE ONLY mqtt.outbound_batches
    ADD CONSTRAINT outbound_batches_organization_id_integration_id_fkey FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations(organization_id, id) ON DELETE CASCADE;

CREATE POLICY admins_delete ON mqtt.device_integrations FOR DELETE TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids(true) AS current_organization_ids)::uuid[])));

CREATE POLICY admins_delete ON mqtt.devices FOR DELETE TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids(true) AS current_organization_ids)::uuid[])));

CREATE POLICY admins_delete ON mqtt.mqtt_subscriptions FOR DELETE TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids(true) AS current_organization_ids)::uuid[])));

CREATE POLICY admins_insert ON mqtt.device_integrations FOR INSERT TO authenticated WITH CHECK ((organization_id = ANY (( SELECT mqtt.current_organization_ids(true) AS current_organization_ids)::uuid[])));

CREATE POLICY admins_insert ON mqtt.mqtt_subscriptions FOR INSERT TO authenticated WITH CHECK ((organization_id = ANY (( SELECT mqtt.current_organization_ids(true) AS current_organization_ids)::uuid[])));

CREATE POLICY admins_update ON mqtt.device_integrations FOR UPDATE TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids(true) AS current_organization_ids)::uuid[]))) WITH CHECK ((organization_id = ANY (( SELECT mqtt.current_organization_ids(true) AS current_organization_ids)::uuid[])));

CREATE POLICY admins_update ON mqtt.mqtt_subscriptions FOR UPDATE TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids(true) AS current_organization_ids)::uuid[]))) WITH CHECK ((organization_id = ANY (( SELECT mqtt.current_organization_ids(true) AS current_organization_ids)::uuid[])));

ALTER TABLE mqtt.bridge_leases ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.bridges ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.broker_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.callback_circuits ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.callback_secrets ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.configuration ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.deferred_credential_updates ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.deferred_device_ids ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.deferred_device_updates ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.device_integrations ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.devices ENABLE ROW LEVEL SECURITY;

CREATE POLICY everyone_reads ON mqtt.configuration FOR SELECT TO authenticated, service_role USING (true);

ALTER TABLE mqtt.ingest_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.integration_activity_log ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.ledger ENABLE ROW LEVEL SECURITY;

CREATE POLICY members_insert ON mqtt.devices FOR INSERT TO authenticated WITH CHECK ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.device_integrations FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.devices FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.integration_activity_log FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.ledger FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.mqtt_callback_deliveries FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.mqtt_credentials FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.mqtt_dead_letters FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.mqtt_messages FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.mqtt_publish_receipts FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.mqtt_requests FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.mqtt_subscriptions FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.organization_members FOR SELECT TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_read ON mqtt.organizations FOR SELECT TO authenticated USING ((id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

CREATE POLICY members_update ON mqtt.devices FOR UPDATE TO authenticated USING ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[]))) WITH CHECK ((organization_id = ANY (( SELECT mqtt.current_organization_ids() AS current_organization_ids)::uuid[])));

ALTER TABLE mqtt.mqtt_callback_deliveries ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.mqtt_credentials ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.mqtt_dead_letters ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.mqtt_messages ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.mqtt_publish_receipts ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.mqtt_requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.mqtt_subscriptions ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.organization_members ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.organizations ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.outbound_batches ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.quota_buckets ENABLE ROW LEVEL SECURITY;

CREATE POLICY service_reads ON mqtt.bridge_leases FOR SELECT TO service_role USING (true);

CREATE POLICY service_reads ON mqtt.bridges FOR SELECT TO service_role USING (true);

CREATE POLICY service_reads ON mqtt.outbound_batches FOR SELECT TO service_role USING (true);

CREATE POLICY service_reads ON mqtt.workers FOR SELECT TO service_role USING (true);

ALTER TABLE mqtt.workers ENABLE ROW LEVEL SECURITY;

ALTER TABLE mqtt.wrong_passwords ENABLE ROW LEVEL SECURITY;

GRANT USAGE ON SCHEMA api TO anon;
GRANT USAGE ON SCHEMA api TO authenticated;
GRANT USAGE ON SCHEMA api TO service_role;

GRANT USAGE ON SCHEMA bridge TO mqtt_bridge;

GRANT USAGE ON SCHEMA mqtt TO authenticated;
GRANT USAGE ON SCHEMA mqtt TO service_role;
GRANT USAGE ON SCHEMA mqtt TO anon;

REVOKE ALL ON TYPE api."*/*" FROM PUBLIC;

REVOKE ALL ON TYPE mqtt.callback_outcome FROM PUBLIC;

REVOKE ALL ON TYPE mqtt.decoded_payload FROM PUBLIC;

REVOKE ALL ON TYPE mqtt.device_session FROM PUBLIC;

REVOKE ALL ON TYPE mqtt.listed_message FROM PUBLIC;
GRANT ALL ON TYPE mqtt.listed_message TO authenticated;
GRANT ALL ON TYPE mqtt.listed_message TO service_role;

REVOKE ALL ON TYPE mqtt.message_cursor FROM PUBLIC;
GRANT ALL ON TYPE mqtt.message_cursor TO authenticated;
GRANT ALL ON TYPE mqtt.message_cursor TO service_role;

REVOKE ALL ON TYPE mqtt.message_direction FROM PUBLIC;
GRANT ALL ON TYPE mqtt.message_direction TO authenticated;
GRANT ALL ON TYPE mqtt.message_direction TO service_role;

REVOKE ALL ON TYPE mqtt.message_request FROM PUBLIC;
GRANT ALL ON TYPE mqtt.message_request TO authenticated;
GRANT ALL ON TYPE mqtt.message_request TO service_role;

REVOKE ALL ON TYPE mqtt.replay_message FROM PUBLIC;

REVOKE ALL ON TYPE mqtt.replay_request FROM PUBLIC;

REVOKE ALL ON TYPE mqtt.telemetry_data FROM PUBLIC;
GRANT ALL ON TYPE mqtt.telemetry_data TO authenticated;
GRANT ALL ON TYPE mqtt.telemetry_data TO service_role;

REVOKE ALL ON TYPE mqtt.telemetry_request FROM PUBLIC;
GRANT ALL ON TYPE mqtt.telemetry_request TO authenticated;
GRANT ALL ON TYPE mqtt.telemetry_request TO service_role;

REVOKE ALL ON FUNCTION api.add_organization_member(organization_id uuid, user_id uuid, role text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.add_organization_member(organization_id uuid, user_id uuid, role text) TO authenticated;
GRANT ALL ON FUNCTION api.add_organization_member(organization_id uuid, user_id uuid, role text) TO service_role;

REVOKE ALL ON FUNCTION api.cancel_mqtt_publish(receipt_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION api.cancel_mqtt_publish(receipt_ids uuid[]) TO authenticated;
GRANT ALL ON FUNCTION api.cancel_mqtt_publish(receipt_ids uuid[]) TO service_role;

REVOKE ALL ON FUNCTION api.check_mqtt_ledger() FROM PUBLIC;
GRANT ALL ON FUNCTION api.check_mqtt_ledger() TO service_role;

REVOKE ALL ON FUNCTION api.cleanup_mqtt_queue() FROM PUBLIC;
GRANT ALL ON FUNCTION api.cleanup_mqtt_queue() TO service_role;

REVOKE ALL ON FUNCTION api.create_organization(name text, slug text, admin_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.create_organization(name text, slug text, admin_user_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.delete_integration(integration_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.delete_integration(integration_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.delete_integration(integration_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.emqx_authenticate(username text, password text, clientid text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.emqx_authenticate(username text, password text, clientid text) TO anon;
GRANT ALL ON FUNCTION api.emqx_authenticate(username text, password text, clientid text) TO authenticated;
GRANT ALL ON FUNCTION api.emqx_authenticate(username text, password text, clientid text) TO service_role;

REVOKE ALL ON FUNCTION api.emqx_authorize(username text, topic text, action text, clientid text, qos text, retain text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.emqx_authorize(username text, topic text, action text, clientid text, qos text, retain text) TO anon;
GRANT ALL ON FUNCTION api.emqx_authorize(username text, topic text, action text, clientid text, qos text, retain text) TO authenticated;
GRANT ALL ON FUNCTION api.emqx_authorize(username text, topic text, action text, clientid text, qos text, retain text) TO service_role;

REVOKE ALL ON FUNCTION api.explain_mqtt_access(credential_id uuid, action text, topic text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.explain_mqtt_access(credential_id uuid, action text, topic text) TO authenticated;
GRANT ALL ON FUNCTION api.explain_mqtt_access(credential_id uuid, action text, topic text) TO service_role;

REVOKE ALL ON FUNCTION api.generate_broker_key(name text, integration_id uuid, vhost text, exchange text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.generate_broker_key(name text, integration_id uuid, vhost text, exchange text) TO authenticated;
GRANT ALL ON FUNCTION api.generate_broker_key(name text, integration_id uuid, vhost text, exchange text) TO service_role;

REVOKE ALL ON FUNCTION api.generate_mqtt_credentials(integration_id uuid, device_id text, client_id text, topic_prefix text, expires_at timestamp with time zone, can_publish boolean, can_subscribe boolean, publish_filters text[], subscribe_filters text[], organization_id uuid, max_per_second numeric, max_burst integer, external_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.generate_mqtt_credentials(integration_id uuid, device_id text, client_id text, topic_prefix text, expires_at timestamp with time zone, can_publish boolean, can_subscribe boolean, publish_filters text[], subscribe_filters text[], organization_id uuid, max_per_second numeric, max_burst integer, external_id text) TO authenticated;
GRANT ALL ON FUNCTION api.generate_mqtt_credentials(integration_id uuid, device_id text, client_id text, topic_prefix text, expires_at timestamp with time zone, can_publish boolean, can_subscribe boolean, publish_filters text[], subscribe_filters text[], organization_id uuid, max_per_second numeric, max_burst integer, external_id text) TO service_role;

REVOKE ALL ON FUNCTION api.get_broker_keys() FROM PUBLIC;
GRANT ALL ON FUNCTION api.get_broker_keys() TO authenticated;
GRANT ALL ON FUNCTION api.get_broker_keys() TO service_role;

REVOKE ALL ON FUNCTION api.get_capabilities(integration_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.get_capabilities(integration_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.get_capabilities(integration_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.get_device(device_id text, integration_id uuid, organization_id uuid, external_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.get_device(device_id text, integration_id uuid, organization_id uuid, external_id text) TO authenticated;
GRANT ALL ON FUNCTION api.get_device(device_id text, integration_id uuid, organization_id uuid, external_id text) TO service_role;

REVOKE ALL ON FUNCTION api.get_mqtt_credentials(integration_id uuid, credential_id uuid, organization_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.get_mqtt_credentials(integration_id uuid, credential_id uuid, organization_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.get_mqtt_credentials(integration_id uuid, credential_id uuid, organization_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.get_mqtt_publish_receipts(receipt_ids uuid[], wait numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION api.get_mqtt_publish_receipts(receipt_ids uuid[], wait numeric) TO authenticated;
GRANT ALL ON FUNCTION api.get_mqtt_publish_receipts(receipt_ids uuid[], wait numeric) TO service_role;

REVOKE ALL ON FUNCTION api.get_mqtt_queue_stats(organization_id uuid, org_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.get_mqtt_queue_stats(organization_id uuid, org_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.get_mqtt_queue_stats(organization_id uuid, org_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.get_mqtt_request(request_id uuid, wait numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION api.get_mqtt_request(request_id uuid, wait numeric) TO authenticated;
GRANT ALL ON FUNCTION api.get_mqtt_request(request_id uuid, wait numeric) TO service_role;

REVOKE ALL ON FUNCTION api.get_vacuum_holders(older_than interval) FROM PUBLIC;
GRANT ALL ON FUNCTION api.get_vacuum_holders(older_than interval) TO service_role;

REVOKE ALL ON FUNCTION api.list_devices("limit" integer, cursor text, integration_id uuid, organization_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.list_devices("limit" integer, cursor text, integration_id uuid, organization_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.list_devices("limit" integer, cursor text, integration_id uuid, organization_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.list_messages(organization_id uuid, integration_id uuid, device_id text, topic text, filter text, id uuid, direction text, since timestamp with time zone, until timestamp with time zone, cursor text, "limit" integer, page_size integer, oldest_first boolean, stored_since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION api.list_messages(organization_id uuid, integration_id uuid, device_id text, topic text, filter text, id uuid, direction text, since timestamp with time zone, until timestamp with time zone, cursor text, "limit" integer, page_size integer, oldest_first boolean, stored_since timestamp with time zone) TO authenticated;
GRANT ALL ON FUNCTION api.list_messages(organization_id uuid, integration_id uuid, device_id text, topic text, filter text, id uuid, direction text, since timestamp with time zone, until timestamp with time zone, cursor text, "limit" integer, page_size integer, oldest_first boolean, stored_since timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION api.mqtt_hybrid_credentials(action text, integration_id uuid, organization_id uuid, credential_id uuid, device_id text, client_id text, topic_prefix text, expires_at timestamp with time zone, external_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.mqtt_hybrid_credentials(action text, integration_id uuid, organization_id uuid, credential_id uuid, device_id text, client_id text, topic_prefix text, expires_at timestamp with time zone, external_id text) TO authenticated;
GRANT ALL ON FUNCTION api.mqtt_hybrid_credentials(action text, integration_id uuid, organization_id uuid, credential_id uuid, device_id text, client_id text, topic_prefix text, expires_at timestamp with time zone, external_id text) TO service_role;

REVOKE ALL ON FUNCTION api.mqtt_ingest(topic text, payload json, qos integer, retain boolean, content_type text, payload_encoding text, message_id uuid, "timestamp" text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.mqtt_ingest(topic text, payload json, qos integer, retain boolean, content_type text, payload_encoding text, message_id uuid, "timestamp" text) TO anon;
GRANT ALL ON FUNCTION api.mqtt_ingest(topic text, payload json, qos integer, retain boolean, content_type text, payload_encoding text, message_id uuid, "timestamp" text) TO authenticated;
GRANT ALL ON FUNCTION api.mqtt_ingest(topic text, payload json, qos integer, retain boolean, content_type text, payload_encoding text, message_id uuid, "timestamp" text) TO service_role;

REVOKE ALL ON FUNCTION api.mqtt_ingest_batch(json) FROM PUBLIC;
GRANT ALL ON FUNCTION api.mqtt_ingest_batch(json) TO anon;
GRANT ALL ON FUNCTION api.mqtt_ingest_batch(json) TO authenticated;
GRANT ALL ON FUNCTION api.mqtt_ingest_batch(json) TO service_role;

REVOKE ALL ON FUNCTION api.mqtt_ingest_binary(bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION api.mqtt_ingest_binary(bytea) TO anon;
GRANT ALL ON FUNCTION api.mqtt_ingest_binary(bytea) TO authenticated;
GRANT ALL ON FUNCTION api.mqtt_ingest_binary(bytea) TO service_role;

REVOKE ALL ON FUNCTION api.mqtt_publish(integration_id uuid, messages json, organization_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.mqtt_publish(integration_id uuid, messages json, organization_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.mqtt_publish(integration_id uuid, messages json, organization_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.mqtt_subscribe(integration_id uuid, topic text, qos integer, callback_url text, organization_id uuid, no_local boolean, retain_handling integer, is_paused boolean, callback_ordered boolean, callback_secret jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION api.mqtt_subscribe(integration_id uuid, topic text, qos integer, callback_url text, organization_id uuid, no_local boolean, retain_handling integer, is_paused boolean, callback_ordered boolean, callback_secret jsonb) TO authenticated;
GRANT ALL ON FUNCTION api.mqtt_subscribe(integration_id uuid, topic text, qos integer, callback_url text, organization_id uuid, no_local boolean, retain_handling integer, is_paused boolean, callback_ordered boolean, callback_secret jsonb) TO service_role;

REVOKE ALL ON FUNCTION api.mqtt_test_connection(integration_id uuid, organization_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.mqtt_test_connection(integration_id uuid, organization_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.mqtt_test_connection(integration_id uuid, organization_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.mqtt_unsubscribe(subscription_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.mqtt_unsubscribe(subscription_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.mqtt_unsubscribe(subscription_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.process_mqtt_queue(batch_size integer) FROM PUBLIC;
GRANT ALL ON FUNCTION api.process_mqtt_queue(batch_size integer) TO service_role;

REVOKE ALL ON FUNCTION api.process_mqtt_queue_message(message_id uuid, p_message_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.process_mqtt_queue_message(message_id uuid, p_message_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.query_telemetry(integration_id uuid, device_id text, since timestamp with time zone, until timestamp with time zone, metrics text[], bucket interval, "limit" integer, message_types text[], organization_id uuid, external_id text, device_ids text[], "time" text, cursor text, aggregates text[], time_zone text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.query_telemetry(integration_id uuid, device_id text, since timestamp with time zone, until timestamp with time zone, metrics text[], bucket interval, "limit" integer, message_types text[], organization_id uuid, external_id text, device_ids text[], "time" text, cursor text, aggregates text[], time_zone text) TO authenticated;
GRANT ALL ON FUNCTION api.query_telemetry(integration_id uuid, device_id text, since timestamp with time zone, until timestamp with time zone, metrics text[], bucket interval, "limit" integer, message_types text[], organization_id uuid, external_id text, device_ids text[], "time" text, cursor text, aggregates text[], time_zone text) TO service_role;

REVOKE ALL ON FUNCTION api.rabbitmq_auth_resource(username text, vhost text, resource text, name text, permission text, tags text, client_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.rabbitmq_auth_resource(username text, vhost text, resource text, name text, permission text, tags text, client_id text) TO anon;
GRANT ALL ON FUNCTION api.rabbitmq_auth_resource(username text, vhost text, resource text, name text, permission text, tags text, client_id text) TO authenticated;
GRANT ALL ON FUNCTION api.rabbitmq_auth_resource(username text, vhost text, resource text, name text, permission text, tags text, client_id text) TO service_role;

REVOKE ALL ON FUNCTION api.rabbitmq_auth_topic(username text, vhost text, resource text, name text, permission text, routing_key text, tags text, "variable_map.client_id" text, "variable_map.username" text, "variable_map.vhost" text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.rabbitmq_auth_topic(username text, vhost text, resource text, name text, permission text, routing_key text, tags text, "variable_map.client_id" text, "variable_map.username" text, "variable_map.vhost" text) TO anon;
GRANT ALL ON FUNCTION api.rabbitmq_auth_topic(username text, vhost text, resource text, name text, permission text, routing_key text, tags text, "variable_map.client_id" text, "variable_map.username" text, "variable_map.vhost" text) TO authenticated;
GRANT ALL ON FUNCTION api.rabbitmq_auth_topic(username text, vhost text, resource text, name text, permission text, routing_key text, tags text, "variable_map.client_id" text, "variable_map.username" text, "variable_map.vhost" text) TO service_role;

REVOKE ALL ON FUNCTION api.rabbitmq_auth_user(username text, password text, client_id text, vhost text, ip text, tags text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.rabbitmq_auth_user(username text, password text, client_id text, vhost text, ip text, tags text) TO anon;
GRANT ALL ON FUNCTION api.rabbitmq_auth_user(username text, password text, client_id text, vhost text, ip text, tags text) TO authenticated;
GRANT ALL ON FUNCTION api.rabbitmq_auth_user(username text, password text, client_id text, vhost text, ip text, tags text) TO service_role;

REVOKE ALL ON FUNCTION api.rabbitmq_auth_vhost(username text, vhost text, ip text, tags text, client_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.rabbitmq_auth_vhost(username text, vhost text, ip text, tags text, client_id text) TO anon;
GRANT ALL ON FUNCTION api.rabbitmq_auth_vhost(username text, vhost text, ip text, tags text, client_id text) TO authenticated;
GRANT ALL ON FUNCTION api.rabbitmq_auth_vhost(username text, vhost text, ip text, tags text, client_id text) TO service_role;

REVOKE ALL ON FUNCTION api.remove_organization_member(organization_id uuid, user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.remove_organization_member(organization_id uuid, user_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.remove_organization_member(organization_id uuid, user_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.replay_mqtt_callback_deliveries(subscription_id uuid, ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION api.replay_mqtt_callback_deliveries(subscription_id uuid, ids uuid[]) TO authenticated;
GRANT ALL ON FUNCTION api.replay_mqtt_callback_deliveries(subscription_id uuid, ids uuid[]) TO service_role;

REVOKE ALL ON FUNCTION api.replay_mqtt_dead_letters(organization_id uuid, topic text, error text, since timestamp with time zone, until timestamp with time zone, ids uuid[], to_integration_id uuid, patch jsonb, max_per_second numeric, dry_run boolean, "limit" integer) FROM PUBLIC;
GRANT ALL ON FUNCTION api.replay_mqtt_dead_letters(organization_id uuid, topic text, error text, since timestamp with time zone, until timestamp with time zone, ids uuid[], to_integration_id uuid, patch jsonb, max_per_second numeric, dry_run boolean, "limit" integer) TO authenticated;
GRANT ALL ON FUNCTION api.replay_mqtt_dead_letters(organization_id uuid, topic text, error text, since timestamp with time zone, until timestamp with time zone, ids uuid[], to_integration_id uuid, patch jsonb, max_per_second numeric, dry_run boolean, "limit" integer) TO service_role;

REVOKE ALL ON FUNCTION api.replay_mqtt_messages(integration_id uuid, topic text, since timestamp with time zone, until timestamp with time zone, to_integration_id uuid, to_topic text, max_per_second numeric, dry_run boolean, "limit" integer) FROM PUBLIC;
GRANT ALL ON FUNCTION api.replay_mqtt_messages(integration_id uuid, topic text, since timestamp with time zone, until timestamp with time zone, to_integration_id uuid, to_topic text, max_per_second numeric, dry_run boolean, "limit" integer) TO authenticated;
GRANT ALL ON FUNCTION api.replay_mqtt_messages(integration_id uuid, topic text, since timestamp with time zone, until timestamp with time zone, to_integration_id uuid, to_topic text, max_per_second numeric, dry_run boolean, "limit" integer) TO service_role;

REVOKE ALL ON FUNCTION api.revoke_broker_key(key_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.revoke_broker_key(key_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.revoke_broker_key(key_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.revoke_mqtt_credentials(credential_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.revoke_mqtt_credentials(credential_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.revoke_mqtt_credentials(credential_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.rotate_mqtt_callback_secret(subscription_id uuid, grace_seconds integer, callback_secret jsonb, grace interval) FROM PUBLIC;
GRANT ALL ON FUNCTION api.rotate_mqtt_callback_secret(subscription_id uuid, grace_seconds integer, callback_secret jsonb, grace interval) TO authenticated;
GRANT ALL ON FUNCTION api.rotate_mqtt_callback_secret(subscription_id uuid, grace_seconds integer, callback_secret jsonb, grace interval) TO service_role;

REVOKE ALL ON FUNCTION api.rotate_mqtt_credentials(credential_id uuid, grace interval) FROM PUBLIC;
GRANT ALL ON FUNCTION api.rotate_mqtt_credentials(credential_id uuid, grace interval) TO authenticated;
GRANT ALL ON FUNCTION api.rotate_mqtt_credentials(credential_id uuid, grace interval) TO service_role;

GRANT SELECT ON TABLE mqtt.organizations TO authenticated;
GRANT SELECT ON TABLE mqtt.organizations TO service_role;

REVOKE ALL ON FUNCTION api.set_organization_limits(organization_id uuid, max_per_second numeric, max_burst integer, max_queued bigint, max_payload_bytes integer, completed_days integer, failed_days integer, activity_days integer) FROM PUBLIC;
GRANT ALL ON FUNCTION api.set_organization_limits(organization_id uuid, max_per_second numeric, max_burst integer, max_queued bigint, max_payload_bytes integer, completed_days integer, failed_days integer, activity_days integer) TO service_role;

REVOKE ALL ON FUNCTION api.sync_device(integration_id uuid, external_id text, name text, metadata jsonb, organization_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION api.sync_device(integration_id uuid, external_id text, name text, metadata jsonb, organization_id uuid) TO authenticated;
GRANT ALL ON FUNCTION api.sync_device(integration_id uuid, external_id text, name text, metadata jsonb, organization_id uuid) TO service_role;

REVOKE ALL ON FUNCTION api.upsert_integration(organization_id uuid, name text, integration_type text, settings jsonb, integration_id uuid, status text) FROM PUBLIC;
GRANT ALL ON FUNCTION api.upsert_integration(organization_id uuid, name text, integration_type text, settings jsonb, integration_id uuid, status text) TO authenticated;
GRANT ALL ON FUNCTION api.upsert_integration(organization_id uuid, name text, integration_type text, settings jsonb, integration_id uuid, status text) TO service_role;

REVOKE ALL ON FUNCTION bridge.answer_request(request_id uuid, result jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.answer_request(request_id uuid, result jsonb) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.apply_retention() FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.apply_retention() TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.begin_attempt(accepted_before timestamp with time zone, suspects bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.begin_attempt(accepted_before timestamp with time zone, suspects bigint[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.begin_work(bridge_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.begin_work(bridge_id uuid) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.check_capacity(bridge_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.check_capacity(bridge_id uuid) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.claim_callbacks(bridge_id uuid, room integer, busy_ids uuid[], busy_counts integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.claim_callbacks(bridge_id uuid, room integer, busy_ids uuid[], busy_counts integer[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.claim_outbound(bridge_id uuid, integration_ids uuid[], limits integer[], in_flight bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.claim_outbound(bridge_id uuid, integration_ids uuid[], limits integer[], in_flight bigint[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.claim_requests(bridge_id uuid, at_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.claim_requests(bridge_id uuid, at_most integer) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.diagnose() FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.diagnose() TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.end_bridge(bridge_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.end_bridge(bridge_id uuid) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.end_work(bridge_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.end_work(bridge_id uuid) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.expire_outbound(batch_size integer) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.expire_outbound(batch_size integer) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.finish_attempt(attempted bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.finish_attempt(attempted bigint) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.gauges() FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.gauges() TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.heartbeat(bridge_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.heartbeat(bridge_id uuid) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.hello(bridge_id uuid, name text, version text, schema_version integer) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.hello(bridge_id uuid, name text, version text, schema_version integer) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.ingest(bridge_id uuid, integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[], content_types text[], properties jsonb[], faults text[], subscription_numbers integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.ingest(bridge_id uuid, integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[], content_types text[], properties jsonb[], faults text[], subscription_numbers integer[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.integration_states(bridge_id uuid, integration_ids uuid[], states text[], details text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.integration_states(bridge_id uuid, integration_ids uuid[], states text[], details text[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.integrations(bridge_id uuid, known_stamps jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.integrations(bridge_id uuid, known_stamps jsonb) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.mosquitto_accounts(known_stamp text) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.mosquitto_accounts(known_stamp text) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.process_queue(batch_size integer) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.process_queue(batch_size integer) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.release_integrations(bridge_id uuid, integration_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.release_integrations(bridge_id uuid, integration_ids uuid[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.reseal(places text[], ids uuid[], old_values jsonb[], new_values jsonb[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.reseal(places text[], ids uuid[], old_values jsonb[], new_values jsonb[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.run_periodic_tasks() FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.run_periodic_tasks() TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.sealed_otherwise(after_place text, after_id uuid, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.sealed_otherwise(after_place text, after_id uuid, most integer) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.sealing_state() FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.sealing_state() TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.settle_callbacks(bridge_id uuid, organization_ids uuid[], ids uuid[], attempts smallint[], codes smallint[], errors text[], responses text[], retry_afters integer[], is_final boolean[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.settle_callbacks(bridge_id uuid, organization_ids uuid[], ids uuid[], attempts smallint[], codes smallint[], errors text[], responses text[], retry_afters integer[], is_final boolean[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.settle_outbound(bridge_id uuid, msg_ids bigint[], states text[], reason_codes smallint[], reasons text[], batches bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.settle_outbound(bridge_id uuid, msg_ids bigint[], states text[], reason_codes smallint[], reasons text[], batches bigint[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.sleep(subject text) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.sleep(subject text) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.status() FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.status() TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.subscription_results(bridge_id uuid, ids uuid[], granted smallint[], reasons text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.subscription_results(bridge_id uuid, ids uuid[], granted smallint[], reasons text[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.subscriptions(bridge_id uuid, known_stamp text) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.subscriptions(bridge_id uuid, known_stamp text) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.surplus_integrations(bridge_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.surplus_integrations(bridge_id uuid) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.suspects(tids tid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.suspects(tids tid[]) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.take_integrations(bridge_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.take_integrations(bridge_id uuid) TO mqtt_bridge;

REVOKE ALL ON FUNCTION bridge.wake(subject text) FROM PUBLIC;
GRANT ALL ON FUNCTION bridge.wake(subject text) TO mqtt_bridge;

GRANT SELECT(id) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(id) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(organization_id) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(organization_id) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(integration_id) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(integration_id) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(device_id) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(device_id) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(username) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(username) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(client_id) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(client_id) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(topic_prefix) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(topic_prefix) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(broker_url) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(broker_url) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(can_publish) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(can_publish) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(can_subscribe) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(can_subscribe) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(publish_filters) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(publish_filters) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(subscribe_filters) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(subscribe_filters) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(previous_until) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(previous_until) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(max_per_second) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(max_per_second) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(max_burst) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(max_burst) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(expires_at) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(expires_at) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(revoked_at) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(revoked_at) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(last_connected_at) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(last_connected_at) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(connection_count) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(connection_count) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(created_at) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(created_at) ON TABLE mqtt.mqtt_credentials TO service_role;

GRANT SELECT(rotated_at) ON TABLE mqtt.mqtt_credentials TO authenticated;
GRANT SELECT(rotated_at) ON TABLE mqtt.mqtt_credentials TO service_role;

REVOKE ALL ON FUNCTION mqtt.access_explanation(reason text, credential mqtt.mqtt_credentials, action text, topic text, topic_error text, rule text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.has_forbidden_character(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.has_forbidden_character(value text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.has_forbidden_character(value text) TO service_role;
GRANT ALL ON FUNCTION mqtt.has_forbidden_character(value text) TO rabbitmq_reader;
GRANT ALL ON FUNCTION mqtt.has_forbidden_character(value text) TO emqx_reader;
GRANT ALL ON FUNCTION mqtt.has_forbidden_character(value text) TO vernemq_reader;
GRANT ALL ON FUNCTION mqtt.has_forbidden_character(value text) TO go_auth_reader;

REVOKE ALL ON FUNCTION mqtt.is_plain_topic(topic text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.is_plain_topic(topic text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.is_plain_topic(topic text) TO service_role;
GRANT ALL ON FUNCTION mqtt.is_plain_topic(topic text) TO rabbitmq_reader;
GRANT ALL ON FUNCTION mqtt.is_plain_topic(topic text) TO emqx_reader;
GRANT ALL ON FUNCTION mqtt.is_plain_topic(topic text) TO vernemq_reader;
GRANT ALL ON FUNCTION mqtt.is_plain_topic(topic text) TO go_auth_reader;

REVOKE ALL ON FUNCTION mqtt.topic_filter_reason(filter text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.topic_filter_reason(filter text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.topic_filter_reason(filter text) TO service_role;
GRANT ALL ON FUNCTION mqtt.topic_filter_reason(filter text) TO rabbitmq_reader;
GRANT ALL ON FUNCTION mqtt.topic_filter_reason(filter text) TO emqx_reader;
GRANT ALL ON FUNCTION mqtt.topic_filter_reason(filter text) TO vernemq_reader;
GRANT ALL ON FUNCTION mqtt.topic_filter_reason(filter text) TO go_auth_reader;

REVOKE ALL ON FUNCTION mqtt.topic_is_under(topic text, prefix text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.topic_is_under(topic text, prefix text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.topic_is_under(topic text, prefix text) TO service_role;
GRANT ALL ON FUNCTION mqtt.topic_is_under(topic text, prefix text) TO rabbitmq_reader;
GRANT ALL ON FUNCTION mqtt.topic_is_under(topic text, prefix text) TO emqx_reader;
GRANT ALL ON FUNCTION mqtt.topic_is_under(topic text, prefix text) TO vernemq_reader;
GRANT ALL ON FUNCTION mqtt.topic_is_under(topic text, prefix text) TO go_auth_reader;

REVOKE ALL ON FUNCTION mqtt.topic_name_reason(topic text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.topic_name_reason(topic text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.topic_name_reason(topic text) TO service_role;
GRANT ALL ON FUNCTION mqtt.topic_name_reason(topic text) TO rabbitmq_reader;
GRANT ALL ON FUNCTION mqtt.topic_name_reason(topic text) TO emqx_reader;
GRANT ALL ON FUNCTION mqtt.topic_name_reason(topic text) TO vernemq_reader;
GRANT ALL ON FUNCTION mqtt.topic_name_reason(topic text) TO go_auth_reader;

REVOKE ALL ON FUNCTION mqtt.access_rules(credential mqtt.mqtt_credentials) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.access_rules(credential mqtt.mqtt_credentials) TO rabbitmq_reader;
GRANT ALL ON FUNCTION mqtt.access_rules(credential mqtt.mqtt_credentials) TO emqx_reader;
GRANT ALL ON FUNCTION mqtt.access_rules(credential mqtt.mqtt_credentials) TO vernemq_reader;
GRANT ALL ON FUNCTION mqtt.access_rules(credential mqtt.mqtt_credentials) TO go_auth_reader;

REVOKE ALL ON FUNCTION mqtt.topic_filter_pattern(filter text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.topic_filter_pattern(filter text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.topic_filter_pattern(filter text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.filter_contains(allowed text, requested text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.topic_matches(filter text, topic text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.topic_matches(filter text, topic text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.topic_matches(filter text, topic text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.rule_allows(filter text, action text, topic text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.access_rule(credential mqtt.mqtt_credentials, action text, topic text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.admits_hash(filter text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.admits_hash(filter text) TO rabbitmq_reader;
GRANT ALL ON FUNCTION mqtt.admits_hash(filter text) TO emqx_reader;
GRANT ALL ON FUNCTION mqtt.admits_hash(filter text) TO vernemq_reader;
GRANT ALL ON FUNCTION mqtt.admits_hash(filter text) TO go_auth_reader;

REVOKE ALL ON FUNCTION mqtt.aggregates_sql(aggregates text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.aggregates_sql(aggregates text[]) TO authenticated;
GRANT ALL ON FUNCTION mqtt.aggregates_sql(aggregates text[]) TO service_role;

REVOKE ALL ON FUNCTION mqtt.announce_replay(organization_id uuid, incoming integer, outgoing integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.answer_wrong_login(session mqtt.device_session) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.apply_deferred_credentials(noted_after timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.apply_deferred_devices(noted_after timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.apply_deferred_updates(noted_after timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.apply_due_updates() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.apply_retention(most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.bare_messages(document json) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.basic_login(headers jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.bcrypt_password_hash(password text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.begin_attempt(accepted_before timestamp with time zone, suspects bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.begin_work(worker_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.bridge_lock(subject uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.broker_credential(broker mqtt.broker_keys, username text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.broker_login() FROM PUBLIC;

GRANT SELECT ON TABLE mqtt.configuration TO authenticated;
GRANT SELECT ON TABLE mqtt.configuration TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE mqtt.device_integrations TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE mqtt.device_integrations TO service_role;

REVOKE ALL ON FUNCTION mqtt.broker_url(integration mqtt.device_integrations) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.broker_url_parts(url text, private_allowed boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.bucket_range(request mqtt.telemetry_request, bucket interval, time_zone text, cursor mqtt.message_cursor, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.bucket_range(request mqtt.telemetry_request, bucket interval, time_zone text, cursor mqtt.message_cursor, most integer) TO authenticated;
GRANT ALL ON FUNCTION mqtt.bucket_range(request mqtt.telemetry_request, bucket interval, time_zone text, cursor mqtt.message_cursor, most integer) TO service_role;

REVOKE ALL ON FUNCTION mqtt.bucket_start(at timestamp with time zone, bucket interval, time_zone text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.bucket_start(at timestamp with time zone, bucket interval, time_zone text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.bucket_start(at timestamp with time zone, bucket interval, time_zone text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.topic_filter_prefix(filter text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.topic_filter_prefix(filter text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.topic_filter_prefix(filter text) TO service_role;

GRANT SELECT ON TABLE mqtt.mqtt_callback_deliveries TO authenticated;
GRANT SELECT ON TABLE mqtt.mqtt_callback_deliveries TO service_role;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE mqtt.mqtt_subscriptions TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE mqtt.mqtt_subscriptions TO service_role;

REVOKE ALL ON FUNCTION mqtt.callback_body(delivery mqtt.mqtt_callback_deliveries, subscription mqtt.mqtt_subscriptions) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.host_reason(host text, private_allowed boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.host_reason(host text, private_allowed boolean) TO authenticated;
GRANT ALL ON FUNCTION mqtt.host_reason(host text, private_allowed boolean) TO service_role;

REVOKE ALL ON FUNCTION mqtt.url_parts(url text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.url_parts(url text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.url_parts(url text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.callback_url_reason(url text, private_allowed boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.callback_url_reason(url text, private_allowed boolean) TO authenticated;
GRANT ALL ON FUNCTION mqtt.callback_url_reason(url text, private_allowed boolean) TO service_role;

REVOKE ALL ON FUNCTION mqtt.capacity_lock() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.check_aggregates(aggregates text[], time_zone text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.check_aggregates(aggregates text[], time_zone text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.check_aggregates(aggregates text[], time_zone text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.check_capacity() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.check_health() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.check_hosted_settings(settings jsonb, organization_prefix text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.check_integration() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.check_ledger(is_full boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.check_message_request(direction text, topic text, filter text, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.check_message_request(direction text, topic text, filter text, most integer) TO authenticated;
GRANT ALL ON FUNCTION mqtt.check_message_request(direction text, topic text, filter text, most integer) TO service_role;

REVOKE ALL ON FUNCTION mqtt.check_new_credential(topic_prefix text, publish_filters text[], subscribe_filters text[], client_id text, expires_at timestamp with time zone, max_per_second numeric, max_burst integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.check_organization_queues() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.check_subscription(integration mqtt.device_integrations, topic text, qos integer, retain_handling integer, callback_url text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.check_subscription(integration mqtt.device_integrations, topic text, qos integer, retain_handling integer, callback_url text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.check_subscription(integration mqtt.device_integrations, topic text, qos integer, retain_handling integer, callback_url text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.check_telemetry_range(most integer, bucket interval, order_time text, device_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.check_telemetry_range(most integer, bucket interval, order_time text, device_ids text[]) TO authenticated;
GRANT ALL ON FUNCTION mqtt.check_telemetry_range(most integer, bucket interval, order_time text, device_ids text[]) TO service_role;

REVOKE ALL ON FUNCTION mqtt.check_token() FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.check_token() TO anon;
GRANT ALL ON FUNCTION mqtt.check_token() TO authenticated;
GRANT ALL ON FUNCTION mqtt.check_token() TO service_role;

REVOKE ALL ON FUNCTION mqtt.check_wait(wait numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.check_wait(wait numeric) TO authenticated;
GRANT ALL ON FUNCTION mqtt.check_wait(wait numeric) TO service_role;

REVOKE ALL ON FUNCTION mqtt.checked_jsonb(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.checked_jsonb(value text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.checked_jsonb(value text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.checked_settings(settings jsonb, integration_type text, organization_prefix text, stored jsonb, private_allowed boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.circuit_opens(failures bigint, open_until timestamp with time zone) FROM PUBLIC;

GRANT SELECT ON TABLE mqtt.bridge_leases TO service_role;

REVOKE ALL ON FUNCTION mqtt.claim_limits(bridge_id uuid, integration_ids uuid[], limits integer[], in_flight bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.codecs() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.complete_broker_settings(settings jsonb, private_allowed boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.core_document(topic text, payload jsonb, qos integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.count_accepted(organization_id uuid, messages integer, wakes boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.count_dead(organization_id uuid, accepted_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.count_outbound(enough bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.count_wrong_password(username text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.create_default_partition(parent regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.create_partition(parent regclass, day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.credential_json(credential mqtt.mqtt_credentials) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.credential_prefix(topic_prefix text, integration mqtt.device_integrations, organization mqtt.organizations, external_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.current_organization_ids(admin_only boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.current_organization_ids(admin_only boolean) TO authenticated;
GRANT ALL ON FUNCTION mqtt.current_organization_ids(admin_only boolean) TO service_role;

REVOKE ALL ON FUNCTION mqtt.current_user_id() FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.current_user_id() TO authenticated;
GRANT ALL ON FUNCTION mqtt.current_user_id() TO service_role;

REVOKE ALL ON FUNCTION mqtt.cursor_position(cursor mqtt.message_cursor) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.cursor_position(cursor mqtt.message_cursor) TO authenticated;
GRANT ALL ON FUNCTION mqtt.cursor_position(cursor mqtt.message_cursor) TO service_role;

REVOKE ALL ON FUNCTION mqtt.try_device_time(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.try_device_time(value text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.try_device_time(value text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.device_time(value jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.device_time(value jsonb) TO authenticated;
GRANT ALL ON FUNCTION mqtt.device_time(value jsonb) TO service_role;

REVOKE ALL ON FUNCTION mqtt.data_of_payload(payload jsonb, sent_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.data_of_payload(payload jsonb, sent_at timestamp with time zone) TO authenticated;
GRANT ALL ON FUNCTION mqtt.data_of_payload(payload jsonb, sent_at timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION mqtt.days_without_partition() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.dead_letters_to_replay(request mqtt.replay_request) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.decode_payload(content_type text, body bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.device_of_topic(topic text, topic_like text, device_level smallint) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.message_role(message_type text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.message_role(message_type text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.message_role(message_type text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.message_type_of_topic(topic text, topic_like text, message_type_level smallint) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.payload_time(payload jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.payload_time(payload jsonb) TO authenticated;
GRANT ALL ON FUNCTION mqtt.payload_time(payload jsonb) TO service_role;

REVOKE ALL ON FUNCTION mqtt.plausible_time(sent_at timestamp with time zone, received_at timestamp with time zone, max_behind interval, max_ahead interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.user_property(properties jsonb, name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.decoded_message(message jsonb, body bytea, received_at timestamp with time zone, content_type text, topic_like text, device_level smallint, message_type_level smallint, max_time_behind interval, max_time_ahead interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.default_topic_pattern() FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.default_topic_pattern() TO authenticated;
GRANT ALL ON FUNCTION mqtt.default_topic_pattern() TO service_role;

REVOKE ALL ON FUNCTION mqtt.deferred_updates_lock() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.filters_by_prefix(organization_id uuid, integration_id uuid, prefix text, for_callbacks boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.is_uuid(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.is_uuid(value text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.is_uuid(value text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.topic_prefixes(topic text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.topic_prefixes(topic text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.topic_prefixes(topic text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.matched_filters(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], qos smallint[], retains boolean[], subscription_numbers integer[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.message_document(topic text, payload jsonb, qos integer, retain boolean, content_type text, sent_at timestamp with time zone, properties jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.delivered_messages(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[], content_types text[], properties jsonb[], faults text[], subscription_numbers integer[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.deployed_changes() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.device_login() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.device_prefix(pattern text, organization_prefix text, external_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.device_prefix(pattern text, organization_prefix text, external_id text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.device_prefix(pattern text, organization_prefix text, external_id text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.drop_partitions(partitions regclass[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.due_callbacks(bridge_id uuid, due_at timestamp with time zone, busy_ids uuid[], busy_counts integer[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.due_messages(batch_size integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.encode_cursor(at timestamp with time zone, received_at timestamp with time zone, organization_id uuid, id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.encode_cursor(at timestamp with time zone, received_at timestamp with time zone, organization_id uuid, id uuid) TO authenticated;
GRANT ALL ON FUNCTION mqtt.encode_cursor(at timestamp with time zone, received_at timestamp with time zone, organization_id uuid, id uuid) TO service_role;

REVOKE ALL ON FUNCTION mqtt.end_callbacks() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.end_work(worker_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.enqueue_batch(session mqtt.device_session, messages jsonb, faults text[], most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.enqueue_callbacks(tids tid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.enqueue_message(session mqtt.device_session, topic text, payload jsonb, body bytea, qos integer, retain boolean, content_type text, message_id uuid, sent_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.enqueue_outbound(organization_id uuid, integration_id uuid, messages jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.enqueue_plain_batch(session mqtt.device_session, messages jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.expired_partitions(parent regclass, keep_days integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.fault_reason(slug text, topic text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.filters_reason(filters text[], prefix text) FROM PUBLIC;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE mqtt.devices TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE mqtt.devices TO service_role;

REVOKE ALL ON FUNCTION mqtt.find_device(device_id text, external_id text, integration_id uuid, organization_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.find_device(device_id text, external_id text, integration_id uuid, organization_id uuid) TO authenticated;
GRANT ALL ON FUNCTION mqtt.find_device(device_id text, external_id text, integration_id uuid, organization_id uuid) TO service_role;

REVOKE ALL ON FUNCTION mqtt.find_devices(device_ids text[], device_id text, external_id text, integration_id uuid, organization_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.find_devices(device_ids text[], device_id text, external_id text, integration_id uuid, organization_id uuid) TO authenticated;
GRANT ALL ON FUNCTION mqtt.find_devices(device_ids text[], device_id text, external_id text, integration_id uuid, organization_id uuid) TO service_role;

REVOKE ALL ON FUNCTION mqtt.finish_attempt(attempted bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.json_reason(value json) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.json_reason(value json) TO authenticated;
GRANT ALL ON FUNCTION mqtt.json_reason(value json) TO service_role;

REVOKE ALL ON FUNCTION mqtt.first_json_reason(elements json) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.flat_payload(payload jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.free_disk_bytes() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.has_extreme_number(value jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.has_extreme_number(value jsonb) TO authenticated;
GRANT ALL ON FUNCTION mqtt.has_extreme_number(value jsonb) TO service_role;

REVOKE ALL ON FUNCTION mqtt.metric(payload jsonb, name text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.metric(payload jsonb, name text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.metric(payload jsonb, name text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.has_metric(payload jsonb, names text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.has_metric(payload jsonb, names text[]) TO authenticated;
GRANT ALL ON FUNCTION mqtt.has_metric(payload jsonb, names text[]) TO service_role;

REVOKE ALL ON FUNCTION mqtt.has_placeholder(filter text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.has_placeholder(filter text) TO rabbitmq_reader;
GRANT ALL ON FUNCTION mqtt.has_placeholder(filter text) TO emqx_reader;
GRANT ALL ON FUNCTION mqtt.has_placeholder(filter text) TO vernemq_reader;
GRANT ALL ON FUNCTION mqtt.has_placeholder(filter text) TO go_auth_reader;

REVOKE ALL ON FUNCTION mqtt.has_reading(organization_id uuid, integration_id uuid, external_id text, metric text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.history_to_replay(request mqtt.replay_request) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.topic_matches_any(filters text[], topic text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.ingest_fault(topic text, qos integer, payload_bytes integer, prefix text, filters text[], max_bytes integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.ingest_message(topic text, payload json, qos integer, retain boolean, content_type text, payload_encoding text, message_id uuid, sent_at text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.ingest_plain(owners uuid[], integration_ids uuid[], integration_numbers integer[], topics text[], payloads bytea[], qos smallint[], retains boolean[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.integration_changed() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.secret_setting_names() FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.secret_setting_names() TO authenticated;
GRANT ALL ON FUNCTION mqtt.secret_setting_names() TO service_role;

REVOKE ALL ON FUNCTION mqtt.visible_settings(settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.visible_settings(settings jsonb) TO authenticated;
GRANT ALL ON FUNCTION mqtt.visible_settings(settings jsonb) TO service_role;

REVOKE ALL ON FUNCTION mqtt.integration_json(integration mqtt.device_integrations) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.integration_json(integration mqtt.device_integrations) TO authenticated;
GRANT ALL ON FUNCTION mqtt.integration_json(integration mqtt.device_integrations) TO service_role;

REVOKE ALL ON FUNCTION mqtt.is_covered(payload jsonb, names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.is_heard(credential mqtt.mqtt_credentials) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.is_news(organization_id uuid, integration_id uuid, external_id text, role text, is_retained boolean, metric text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.is_service() FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.is_service() TO authenticated;
GRANT ALL ON FUNCTION mqtt.is_service() TO service_role;

REVOKE ALL ON FUNCTION mqtt.is_operator() FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.is_operator() TO authenticated;
GRANT ALL ON FUNCTION mqtt.is_operator() TO service_role;

REVOKE ALL ON FUNCTION mqtt.is_private_address(address inet) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.is_private_address(address inet) TO authenticated;
GRANT ALL ON FUNCTION mqtt.is_private_address(address inet) TO service_role;

REVOKE ALL ON FUNCTION mqtt.jsonb_integer_between(value jsonb, low bigint, high bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.jsonb_integer_between(value jsonb, low bigint, high bigint) TO authenticated;
GRANT ALL ON FUNCTION mqtt.jsonb_integer_between(value jsonb, low bigint, high bigint) TO service_role;

REVOKE ALL ON FUNCTION mqtt.jsonb_text_reason(value jsonb, max_bytes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.jsonb_text_reason(value jsonb, max_bytes integer) TO authenticated;
GRANT ALL ON FUNCTION mqtt.jsonb_text_reason(value jsonb, max_bytes integer) TO service_role;

REVOKE ALL ON FUNCTION mqtt.topic_pattern_reason(pattern text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.topic_pattern_reason(pattern text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.topic_pattern_reason(pattern text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.try_base64(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.try_base64(value text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.try_base64(value text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.setting_reason(name text, value jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.setting_reason(name text, value jsonb) TO authenticated;
GRANT ALL ON FUNCTION mqtt.setting_reason(name text, value jsonb) TO service_role;

REVOKE ALL ON FUNCTION mqtt.is_resealed(old_settings jsonb, new_settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.is_valid_now(credential mqtt.mqtt_credentials) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.is_valid_now(credential mqtt.mqtt_credentials) TO rabbitmq_reader;
GRANT ALL ON FUNCTION mqtt.is_valid_now(credential mqtt.mqtt_credentials) TO emqx_reader;
GRANT ALL ON FUNCTION mqtt.is_valid_now(credential mqtt.mqtt_credentials) TO vernemq_reader;
GRANT ALL ON FUNCTION mqtt.is_valid_now(credential mqtt.mqtt_credentials) TO go_auth_reader;

REVOKE ALL ON FUNCTION mqtt.judged_messages(messages jsonb, faults text[], prefix text, filters text[], max_bytes integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.known_device(organization_id uuid, integration_id uuid, external_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.latest_data(known jsonb, known_at timestamp with time zone, data jsonb, data_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.ledger_level_hour() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.ledger_level_minute() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.ledger_level_outcomes() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.ledger_level_settled() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.ledger_shard() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.live_bridges(caller_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.lock_organizations(candidates jsonb, start uuid, due_at timestamp with time zone, share integer, most integer, room integer, OUT organizations uuid[], OUT firsts timestamp with time zone[], OUT waiting integer[], OUT kept uuid[], OUT busy uuid, OUT due integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.log_activity(organization_id uuid, integration_id uuid, activity_type text, status text, details jsonb, error_message text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.log_expired_credentials() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.log_subscription() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.longest_term(term text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.maintenance_jobs() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.maintenance_lock() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.merged_latest(known jsonb, news jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.message_id(enqueued_at timestamp with time zone, msg_id bigint, outbound boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.message_id(enqueued_at timestamp with time zone, msg_id bigint, outbound boolean) TO authenticated;
GRANT ALL ON FUNCTION mqtt.message_id(enqueued_at timestamp with time zone, msg_id bigint, outbound boolean) TO service_role;

REVOKE ALL ON FUNCTION mqtt.message_id_number(message_id uuid, outbound boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.message_id_number(message_id uuid, outbound boolean) TO authenticated;
GRANT ALL ON FUNCTION mqtt.message_id_number(message_id uuid, outbound boolean) TO service_role;

REVOKE ALL ON FUNCTION mqtt.message_id_time(message_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.message_id_time(message_id uuid) TO authenticated;
GRANT ALL ON FUNCTION mqtt.message_id_time(message_id uuid) TO service_role;

REVOKE ALL ON FUNCTION mqtt.message_reasons(messages json, nul_mark text) FROM PUBLIC;

GRANT SELECT ON TABLE mqtt.mqtt_messages TO authenticated;
GRANT SELECT ON TABLE mqtt.mqtt_messages TO service_role;

REVOKE ALL ON FUNCTION mqtt.messages(request mqtt.message_request) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.messages(request mqtt.message_request) TO authenticated;
GRANT ALL ON FUNCTION mqtt.messages(request mqtt.message_request) TO service_role;

REVOKE ALL ON FUNCTION mqtt.messages_sql(request mqtt.message_request) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.messages_sql(request mqtt.message_request) TO authenticated;
GRANT ALL ON FUNCTION mqtt.messages_sql(request mqtt.message_request) TO service_role;

REVOKE ALL ON FUNCTION mqtt.metric_number(value jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.metric_number(value jsonb) TO authenticated;
GRANT ALL ON FUNCTION mqtt.metric_number(value jsonb) TO service_role;

REVOKE ALL ON FUNCTION mqtt.metric_values(payload jsonb, names text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.metric_values(payload jsonb, names text[]) TO authenticated;
GRANT ALL ON FUNCTION mqtt.metric_values(payload jsonb, names text[]) TO service_role;

REVOKE ALL ON FUNCTION mqtt.mosquitto_password_hash(password text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.newest_in_queue(marks jsonb, seen bigint, looked_at timestamp with time zone, margin interval, most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.newest_metrics(latest jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.newest_values(known jsonb, known_at timestamp with time zone, news jsonb, news_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.not_held(owners uuid[], integration_ids uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.note_broker_login(credential mqtt.mqtt_credentials) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.note_receivers(settled mqtt.callback_outcome[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.notify_config() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.object_or_none(value jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.one_of(preferred anyelement, alias anyelement, preferred_name text, alias_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.one_of(preferred anyelement, alias anyelement, preferred_name text, alias_name text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.one_of(preferred anyelement, alias anyelement, preferred_name text, alias_name text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.outbound_array(messages json, max_messages integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.outbound_body(payload jsonb, encoding text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.outbound_bytes(payload jsonb, body bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.outbound_document(message jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.outbound_fault(is_inactive boolean, required_prefix text, max_bytes integer, topic text, bytes integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.outbound_limits(integration_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.outbound_lock() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.password_matches(credential mqtt.mqtt_credentials, password text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.password_verifier(salt bytea, password text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.payload_metrics(payload jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.payload_reason(payload jsonb, encoding jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.plain_verdict(allowed boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.plpython_obstacle(module text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.prepare_partitions() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.process_batch(batch_size integer, announces boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.processing_lock() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.try_timestamptz(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.try_timestamptz(value text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.try_timestamptz(value text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.user_properties_reason(value jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.publish_reason(message jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.publish_receipts(receipt_ids uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.py_decode_cbor(data bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.py_decode_msgpack(data bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.py_free_disk() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.py_seal(public_key bytea, secret text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.queue_depth(organization_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.queue_depths() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.queue_rates(organization_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.queued_messages() FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.queued_messages() TO authenticated;
GRANT ALL ON FUNCTION mqtt.queued_messages() TO service_role;

REVOKE ALL ON FUNCTION mqtt.quick_jsonb(value text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.quota_wait(session mqtt.device_session) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.rabbitmq_login() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.random_bytes(length integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.random_password() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.read_cursor(cursor text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.read_cursor(cursor text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.read_cursor(cursor text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.record_failure(failed tid, code text, error text, is_counted boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.record_stored(organization_ids uuid[], integration_ids uuid[], credential_ids uuid[], minutes timestamp with time zone[], counts bigint[], last_accepted_at timestamp with time zone[], is_deferred boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.refuse_for_now(status text, slug text, detail text, wait_seconds integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.refuse_login(slug text, detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.refuse_message(slug text, topic text, prefix text, max_bytes integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.refuse_outbound(fault text, detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.refuse_setting(name text, fault text, hint text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.refuse_write() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.renumber_subscription() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.repair_clock() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.replay(request mqtt.replay_request, dry_run boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.replay_patch_reason(patch jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.request_session() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.require_batch(message_count integer, max_messages integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.require_callback(subscription_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.require_callback(subscription_id uuid) TO authenticated;
GRANT ALL ON FUNCTION mqtt.require_callback(subscription_id uuid) TO service_role;

REVOKE ALL ON FUNCTION mqtt.require_credential(credential_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.require_integration(integration_id uuid, organization_id uuid, admin_only boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.require_integration(integration_id uuid, organization_id uuid, admin_only boolean) TO authenticated;
GRANT ALL ON FUNCTION mqtt.require_integration(integration_id uuid, organization_id uuid, admin_only boolean) TO service_role;

REVOKE ALL ON FUNCTION mqtt.require_open_queue(organization_id uuid, queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.require_organization(organization_id uuid, admin_only boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.require_organization(organization_id uuid, admin_only boolean) TO authenticated;
GRANT ALL ON FUNCTION mqtt.require_organization(organization_id uuid, admin_only boolean) TO service_role;

REVOKE ALL ON FUNCTION mqtt.require_publishable(messages jsonb, required_prefix text, max_bytes integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.require_replayable(request mqtt.replay_request) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.require_subscription(subscription_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.require_subscription(subscription_id uuid) TO authenticated;
GRANT ALL ON FUNCTION mqtt.require_subscription(subscription_id uuid) TO service_role;

REVOKE ALL ON FUNCTION mqtt.retry_delay(attempts integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.roll_up_ledger(older_than interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.run_maintenance() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.run_periodic_tasks() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.sealed(label text, secret text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.sealed_setting(name text, value jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.sealing_key_id(public_key bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.seconds_in_queue(organization_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.set_callback_secret(organization_id uuid, subscription_id uuid, given jsonb, grace interval, only_if_none boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.set_callback_secret(organization_id uuid, subscription_id uuid, given jsonb, grace interval, only_if_none boolean) TO authenticated;
GRANT ALL ON FUNCTION mqtt.set_callback_secret(organization_id uuid, subscription_id uuid, given jsonb, grace interval, only_if_none boolean) TO service_role;

REVOKE ALL ON FUNCTION mqtt.setting_names(integration_type text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.setting_names(integration_type text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.setting_names(integration_type text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.settings_with_secrets(checked jsonb, given jsonb, stored jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.settle_deliveries(bridge_id uuid, organization_ids uuid[], ids uuid[], attempts smallint[], codes smallint[], errors text[], responses text[], retry_afters integer[], is_final boolean[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.settle_outbound(msg_ids bigint[], states text[], reason_codes smallint[], reasons text[], bridge_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.settled_status(id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.share_due(organizations uuid[], firsts timestamp with time zone[], waiting integer[], share integer, room integer, due_at timestamp with time zone, margin interval, busy_margin interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.storable_messages(messages json, faults text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.store_messages(tids tid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.store_or_split(tids tid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.surplus_privileges(role name) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.sweep_queue(start uuid, latest timestamp with time zone, most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.take_batch_quota(session mqtt.device_session, message_count integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.take_lease(bridge_id uuid, organization_id uuid, integration_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.take_quota(session mqtt.device_session, wanted integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.take_tokens(subject_id uuid, rate numeric, burst integer, wanted integer) FROM PUBLIC;

GRANT SELECT ON TABLE mqtt.readings TO authenticated;
GRANT SELECT ON TABLE mqtt.readings TO service_role;

REVOKE ALL ON FUNCTION mqtt.telemetry(request mqtt.telemetry_request) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.telemetry(request mqtt.telemetry_request) TO authenticated;
GRANT ALL ON FUNCTION mqtt.telemetry(request mqtt.telemetry_request) TO service_role;

REVOKE ALL ON FUNCTION mqtt.telemetry_buckets(request mqtt.telemetry_request, bucket interval, time_zone text, aggregates text[], cursor mqtt.message_cursor, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.telemetry_buckets(request mqtt.telemetry_request, bucket interval, time_zone text, aggregates text[], cursor mqtt.message_cursor, most integer) TO authenticated;
GRANT ALL ON FUNCTION mqtt.telemetry_buckets(request mqtt.telemetry_request, bucket interval, time_zone text, aggregates text[], cursor mqtt.message_cursor, most integer) TO service_role;

REVOKE ALL ON FUNCTION mqtt.telemetry_by_measured(request mqtt.telemetry_request) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.telemetry_by_measured(request mqtt.telemetry_request) TO authenticated;
GRANT ALL ON FUNCTION mqtt.telemetry_by_measured(request mqtt.telemetry_request) TO service_role;

REVOKE ALL ON FUNCTION mqtt.telemetry_by_received(request mqtt.telemetry_request) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.telemetry_by_received(request mqtt.telemetry_request) TO authenticated;
GRANT ALL ON FUNCTION mqtt.telemetry_by_received(request mqtt.telemetry_request) TO service_role;

REVOKE ALL ON FUNCTION mqtt.telemetry_metrics(payload jsonb, names text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.telemetry_metrics(payload jsonb, names text[]) TO authenticated;
GRANT ALL ON FUNCTION mqtt.telemetry_metrics(payload jsonb, names text[]) TO service_role;

REVOKE ALL ON FUNCTION mqtt.top_errors(organization_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.topic_of_routing_key(routing_key text, wildcards boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.topic_pattern_levels(pattern text, organization_prefix text) FROM PUBLIC;
GRANT ALL ON FUNCTION mqtt.topic_pattern_levels(pattern text, organization_prefix text) TO authenticated;
GRANT ALL ON FUNCTION mqtt.topic_pattern_levels(pattern text, organization_prefix text) TO service_role;

REVOKE ALL ON FUNCTION mqtt.topic_prefix_reason(prefix text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.trim_rows(target regclass, time_column text, term text, most integer, OUT removed bigint, OUT is_more boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.trim_small_tables(most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.try_maintenance_lock() FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.undo_attempt(attempted bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.vacuum_holders(older_than interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.verify_broker_view(checked regclass, readers text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.verify_function(checked regprocedure, definer boolean, volatility text, callers text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.verify_table(checked regclass, for_members text[], for_service text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.wait_for_organization(organization_id uuid, mark timestamp with time zone, due_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.wake_bridge(subject text) FROM PUBLIC;

REVOKE ALL ON FUNCTION mqtt.wakeup_lock() FROM PUBLIC;

REVOKE ALL ON PROCEDURE mqtt.work_queue(IN batch_size integer) FROM PUBLIC;

GRANT SELECT ON TABLE api.device_integrations TO authenticated;
GRANT SELECT ON TABLE api.device_integrations TO service_role;

GRANT SELECT ON TABLE api.devices TO authenticated;
GRANT SELECT ON TABLE api.devices TO service_role;

GRANT SELECT ON TABLE mqtt.integration_activity_log TO authenticated;
GRANT SELECT ON TABLE mqtt.integration_activity_log TO service_role;

GRANT SELECT ON TABLE api.integration_activity_log TO authenticated;
GRANT SELECT ON TABLE api.integration_activity_log TO service_role;

GRANT SELECT ON TABLE api.mqtt_callback_deliveries TO authenticated;
GRANT SELECT ON TABLE api.mqtt_callback_deliveries TO service_role;

GRANT SELECT ON TABLE api.mqtt_credentials TO authenticated;
GRANT SELECT ON TABLE api.mqtt_credentials TO service_role;

GRANT SELECT ON TABLE mqtt.mqtt_dead_letters TO authenticated;
GRANT SELECT ON TABLE mqtt.mqtt_dead_letters TO service_role;

GRANT SELECT ON TABLE api.mqtt_dead_letters TO authenticated;
GRANT SELECT ON TABLE api.mqtt_dead_letters TO service_role;

GRANT SELECT ON TABLE mqtt.mqtt_message_queue TO authenticated;
GRANT SELECT ON TABLE mqtt.mqtt_message_queue TO service_role;

GRANT SELECT ON TABLE api.mqtt_message_queue TO authenticated;
GRANT SELECT ON TABLE api.mqtt_message_queue TO service_role;

GRANT SELECT ON TABLE api.mqtt_messages TO authenticated;
GRANT SELECT ON TABLE api.mqtt_messages TO service_role;

GRANT SELECT ON TABLE mqtt.mqtt_publish_receipts TO authenticated;
GRANT SELECT ON TABLE mqtt.mqtt_publish_receipts TO service_role;

GRANT SELECT ON TABLE api.mqtt_publish_receipts TO authenticated;
GRANT SELECT ON TABLE api.mqtt_publish_receipts TO service_role;

GRANT SELECT ON TABLE api.mqtt_subscriptions TO authenticated;
GRANT SELECT ON TABLE api.mqtt_subscriptions TO service_role;

GRANT SELECT ON TABLE mqtt.organization_members TO authenticated;
GRANT SELECT ON TABLE mqtt.organization_members TO service_role;

GRANT SELECT ON TABLE api.organization_members TO authenticated;
GRANT SELECT ON TABLE api.organization_members TO service_role;

GRANT SELECT ON TABLE api.organizations TO authenticated;
GRANT SELECT ON TABLE api.organizations TO service_role;

GRANT SELECT ON TABLE mqtt.bridges TO service_role;

GRANT SELECT ON TABLE mqtt.ledger TO authenticated;
GRANT SELECT ON TABLE mqtt.ledger TO service_role;

GRANT SELECT ON TABLE mqtt.mqtt_requests TO authenticated;
GRANT SELECT ON TABLE mqtt.mqtt_requests TO service_role;

GRANT SELECT ON TABLE mqtt.outbound_batches TO service_role;

GRANT SELECT ON TABLE mqtt.workers TO service_role;

CREATE TABLE pgmq.q_mqtt_outbound (
    msg_id bigint NOT NULL,
    read_ct integer DEFAULT 0 NOT NULL,
    enqueued_at timestamp with time zone DEFAULT now() NOT NULL,
    last_read_at timestamp with time zone,
    vt timestamp with time zone NOT NULL,
    message jsonb,
    headers jsonb,
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    expires_at timestamp with time zone,
    attempts smallint DEFAULT 0 NOT NULL,
    body bytea
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='10000', autovacuum_vacuum_cost_delay='0', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='100000', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='100000');

ALTER TABLE pgmq.q_mqtt_outbound OWNER TO mqtt_owner;

COMMENT ON TABLE pgmq.q_mqtt_outbound IS 'Messages to publish whose outcome is not settled. message: {"topic", "qos", "retain", "payload", properties…}; vt is when to publish.';

COMMENT ON COLUMN pgmq.q_mqtt_outbound.expires_at IS 'When it is worthless: message_expiry seconds after it was queued; null never.';

COMMENT ON COLUMN pgmq.q_mqtt_outbound.attempts IS 'How often it was handed to a broker without a final answer.';

COMMENT ON COLUMN pgmq.q_mqtt_outbound.body IS 'Payload byte for byte; null when message holds it as JSON.';

CREATE TABLE pgmq.q_mqtt_messages (
    msg_id bigint NOT NULL,
    read_ct integer DEFAULT 0 NOT NULL,
    enqueued_at timestamp with time zone DEFAULT now() NOT NULL,
    last_read_at timestamp with time zone,
    vt timestamp with time zone NOT NULL,
    message jsonb,
    headers jsonb,
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    credential_id uuid,
    message_id uuid,
    attempts smallint DEFAULT 0 NOT NULL,
    body bytea,
    errors jsonb
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='10000', autovacuum_vacuum_cost_delay='0', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='100000', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='100000');

ALTER TABLE pgmq.q_mqtt_messages OWNER TO mqtt_owner;

COMMENT ON TABLE pgmq.q_mqtt_messages IS 'Accepted messages that are not stored yet. message: {"topic", "payload", "qos", "retain", …}; defaults are left out.';

COMMENT ON COLUMN pgmq.q_mqtt_messages.message_id IS 'Message id that the client gave; null takes mqtt.message_id(enqueued_at, msg_id).';

COMMENT ON COLUMN pgmq.q_mqtt_messages.attempts IS 'Attempts that failed so far.';

COMMENT ON COLUMN pgmq.q_mqtt_messages.body IS 'Payload byte for byte, to be decoded by content type; null when message holds it as JSON.';

COMMENT ON COLUMN pgmq.q_mqtt_messages.errors IS 'Failed attempts: [{"at", "code", "error"}, …].';

ALTER TABLE pgmq.q_mqtt_messages ALTER COLUMN msg_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgmq.q_mqtt_messages_msg_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE pgmq.q_mqtt_outbound ALTER COLUMN msg_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgmq.q_mqtt_outbound_msg_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY pgmq.q_mqtt_messages
    ADD CONSTRAINT q_mqtt_messages_pkey PRIMARY KEY (msg_id);

ALTER TABLE ONLY pgmq.q_mqtt_outbound
    ADD CONSTRAINT q_mqtt_outbound_pkey PRIMARY KEY (msg_id);

CREATE INDEX q_mqtt_messages_message_id_idx ON pgmq.q_mqtt_messages USING btree (message_id) WHERE (message_id IS NOT NULL);

CREATE INDEX q_mqtt_messages_organization_idx ON pgmq.q_mqtt_messages USING btree (organization_id, vt);

CREATE INDEX q_mqtt_outbound_expires_idx ON pgmq.q_mqtt_outbound USING btree (expires_at) WHERE (expires_at IS NOT NULL);

CREATE INDEX q_mqtt_outbound_integration_idx ON pgmq.q_mqtt_outbound USING btree (integration_id, vt, msg_id);

CREATE INDEX q_mqtt_outbound_suspects_idx ON pgmq.q_mqtt_outbound USING btree (integration_id) WHERE (attempts > 1);

ALTER TABLE pgmq.q_mqtt_messages ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgmq.q_mqtt_outbound ENABLE ROW LEVEL SECURITY;

GRANT SELECT ON TABLE pgmq.q_mqtt_outbound TO pg_monitor;

GRANT SELECT ON TABLE pgmq.q_mqtt_messages TO pg_monitor;

GRANT SELECT ON SEQUENCE pgmq.q_mqtt_messages_msg_id_seq TO pg_monitor;

GRANT SELECT ON SEQUENCE pgmq.q_mqtt_outbound_msg_id_seq TO pg_monitor;
