-- Deploy topicbase:integrations/check_settings to pg
-- requires: base/outward_addresses
-- requires: integrations/secrets
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.refuse_setting(name text, fault text, hint text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'setting_invalid' USING
        ERRCODE = 'PT400',
        DETAIL = format('settings.%s %s.', left(name, 64), rtrim(fault, '.')),
        HINT = coalesce(hint, 'The API reference lists every setting with its type and bounds.');
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_setting(text, text, text) IS 'Raises PT400 setting_invalid, which names the setting and the fault, but never the value.';

CREATE OR REPLACE FUNCTION mqtt.broker_url_parts(url text, private_allowed boolean) RETURNS text []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_parts text [] := CASE
        WHEN url ~ '^[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*$' THEN ARRAY[NULL, NULL, url, NULL, NULL, NULL]
        WHEN url ~ '://' THEN mqtt.url_parts(url)
        ELSE mqtt.url_parts('none://' || url)
    END;
    v_fault text;
BEGIN
    -- What other clients call these two.
    v_parts[1] := CASE v_parts[1] WHEN 'tcp' THEN 'mqtt' WHEN 'ssl' THEN 'mqtts' WHEN 'none' THEN NULL ELSE v_parts[1] END;
    v_parts[5] := nullif(v_parts[5], '/');
    v_fault := CASE
        WHEN url IS NULL THEN 'is required: the broker''s host name, or a URL such as mqtts://broker.example.com:8883'
        WHEN v_parts[3] IS NULL THEN 'must be a host name or a URL'
        WHEN v_parts[2] IS NOT NULL THEN 'must not have a user name or password; use settings.username and settings.password'
        WHEN v_parts[1] NOT IN ('mqtt', 'mqtts', 'ws', 'wss') THEN 'must start with mqtt:// (or tcp://), mqtts:// (or ssl://), ws:// or wss://, or be a bare host name'
        WHEN v_parts[6] IS NOT NULL THEN 'must not have a query or a fragment'
        WHEN v_parts[4]::integer NOT BETWEEN 1 AND 65535 THEN 'does not have a valid port'
        ELSE mqtt.host_reason(v_parts[3], private_allowed)
    END;
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_setting('broker_url', v_fault);
    END IF;
    RETURN v_parts;
END;
$$;
COMMENT ON FUNCTION mqtt.broker_url_parts(text, boolean) IS
'settings.broker_url as mqtt.url_parts has it; protocol, port and path are null where it does not name them. Raises PT400 setting_invalid.';

CREATE OR REPLACE FUNCTION mqtt.complete_broker_settings(settings jsonb, private_allowed boolean) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
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
COMMENT ON FUNCTION mqtt.complete_broker_settings(jsonb, boolean) IS
'The settings of an external broker with broker_url taken apart: broker_url becomes the host; port, protocol, use_tls and path are filled in. Raises PT400 setting_invalid.';

CREATE OR REPLACE FUNCTION mqtt.settings_with_secrets(checked jsonb, given jsonb, stored jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
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
COMMENT ON FUNCTION mqtt.settings_with_secrets(jsonb, jsonb, jsonb) IS
'The checked settings with their secrets sealed; a secret that was not given, or given as it is stored, is kept. Raises PT400 setting_invalid or sealing_unavailable.';

CREATE OR REPLACE FUNCTION mqtt.check_hosted_settings(settings jsonb, organization_prefix text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
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
COMMENT ON FUNCTION mqtt.check_hosted_settings(jsonb, text) IS
'Raises PT400 setting_invalid if a setting of a hosted integration leads out of the organization''s topics.';

CREATE OR REPLACE FUNCTION mqtt.checked_settings(
    settings jsonb, integration_type text, organization_prefix text, stored jsonb, private_allowed boolean
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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
COMMENT ON FUNCTION mqtt.checked_settings(jsonb, text, text, jsonb, boolean) IS
'The settings as they are stored: each is known and in bounds, nulls are omitted, secrets are sealed, and secrets that were not sent are kept. Raises PT400 setting_invalid or sealing_unavailable.';
COMMIT;
