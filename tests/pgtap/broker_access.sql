-- What a credential may do, said once: containment of filters, rules, api.explain_mqtt_access.
\ir setup.psql
SELECT plan(99);

SELECT is(mqtt.filter_contains(c.allowed, c.requested), c.expected, format('%s within %s: %s', c.requested, c.allowed, c.expected))
FROM (VALUES
    ('a/#', 'a/#', true), ('a/#', 'a', true), ('a/#', 'a/b', true), ('a/#', 'a/+', true), ('a/#', 'a/+/#', true), ('a/#', 'a/b/c/#', true),
    ('a/#', '#', false), ('a/#', '+/#', false), ('a/#', '+', false), ('a/#', '+/x', false), ('a/#', 'ab/#', false), ('a/#', 'ab', false), ('a/#', 'A/#', false),
    ('a/+', 'a/+', true), ('a/+', 'a/b', true), ('a/+', 'a/', true), ('a/+', 'a/#', false), ('a/+', 'a/+/#', false), ('a/+', 'a', false), ('a/+', 'a/b/c', false),
    ('a/+/#', 'a/+/#', true), ('a/+/#', 'a/b/#', true), ('a/+/#', 'a/b', true), ('a/+/#', 'a/#', false), ('a/+/#', 'a', false),
    ('a/+/c', 'a/b/c', true), ('a/+/c', 'a/+/c', true), ('a/+/c', 'a/#', false), ('a/+/c', 'a/+/+', false), ('a/+/c', 'a/b/#', false),
    ('a/b', 'a/b', true), ('a/b', 'a/+', false), ('a/b', 'a/#', false), ('a/b', 'a/b/#', false), ('a/b', 'a.b', false),
    ('#', '#', true), ('#', '+/x', true), ('#', '$SYS/#', false), ('+/#', '$SYS/#', false), ('$SYS/#', '$SYS/x', true), ('+/x', '$SYS/x', false),
    ('a/#', '$share/g/a/#', true), ('a/#', '$share/g/a/b', true), ('a/#', '$share/g/b/#', false), ('a/#', '$share/g/#', false), ('a/#', '$share/a/#', false),
    ('a.b*[x]/+', 'a.b*[x]/1', true), ('a.b*[x]/+', 'axbb/1', false)
) AS c (allowed, requested, expected);

CREATE FUNCTION pg_temp.rules(username text) RETURNS text [] LANGUAGE sql AS $$
    SELECT array_agg(r.action || ' ' || r.filter ORDER BY r.action, r.filter)
    FROM mqtt.mqtt_credentials AS c CROSS JOIN mqtt.access_rules(c) AS r WHERE c.username = rules.username
$$;
SELECT is(pg_temp.rules('pump_login'), '{publish org_alice/+/#,subscribe org_alice/#}', 'all below the prefix');
UPDATE mqtt.mqtt_credentials SET publish_filters = '{org_alice/+/up}', subscribe_filters = '{org_alice/a/+,org_alice/b/#}' WHERE id = :'pump_login';
SELECT is(pg_temp.rules('pump_login'), '{publish org_alice/+/up,subscribe org_alice/a/+,subscribe org_alice/b/#}', 'its own filters');
UPDATE mqtt.mqtt_credentials SET can_publish = false WHERE id = :'pump_login';
SELECT is(pg_temp.rules('pump_login'), '{subscribe org_alice/a/+,subscribe org_alice/b/#}', 'a direction switched off');
UPDATE mqtt.mqtt_credentials SET can_publish = true, publish_filters = '{org_bob/#,#,org_alicex/y,org_alice/ok,org_alice/x+,"",org_alice}',
    subscribe_filters = '{+/x,$share/g/org_alice/#}' WHERE id = :'pump_login';
SELECT is(pg_temp.rules('pump_login'), '{publish org_alice/ok}', 'nothing that a later hand wrote leads out of the prefix');
UPDATE mqtt.mqtt_credentials SET topic_prefix = '+', publish_filters = NULL, subscribe_filters = NULL WHERE id = :'pump_login';
SELECT is(pg_temp.rules('pump_login'), NULL, 'not even a prefix that is none');
UPDATE mqtt.mqtt_credentials SET topic_prefix = 'org_alice' WHERE id = :'pump_login';

SELECT act_as('authenticated', :'alice');
SELECT is(
    api.explain_mqtt_access(:'pump_login', c.action, c.topic) - '{explanation,rules}'::text [],
    jsonb_build_object('allowed', c.rule IS NOT NULL, 'reason', c.reason, 'rule', c.rule), format('%s %s', c.action, left(c.topic, 40))
)
FROM (VALUES
    ('publish', 'org_alice/x', 'allowed', 'org_alice/+/#'),
    ('publish', 'org_alice/', 'allowed', 'org_alice/+/#'),
    ('publish', 'org_alice/x/y', 'allowed', 'org_alice/+/#'),
    ('publish', 'org_alice', 'topic_not_allowed', NULL),
    ('publish', 'org_alicex/y', 'topic_not_allowed', NULL),
    ('publish', 'orgXalice/y', 'topic_not_allowed', NULL),
    ('publish', 'org_bob/y', 'topic_not_allowed', NULL),
    ('publish', 'ORG_ALICE/y', 'topic_not_allowed', NULL),
    ('publish', '/org_alice/y', 'topic_not_allowed', NULL),
    ('publish', 'org_alice/#', 'topic_invalid', NULL),
    ('publish', '+/x', 'topic_invalid', NULL),
    ('publish', '$SYS/x', 'topic_invalid', NULL),
    ('publish', '$share/g/org_alice/x', 'topic_invalid', NULL),
    ('publish', '', 'topic_invalid', NULL),
    ('publish', NULL, 'topic_invalid', NULL),
    ('publish', repeat('x', 65536), 'topic_invalid', NULL),
    ('subscribe', 'org_alice/#', 'allowed', 'org_alice/#'),
    ('subscribe', 'org_alice/+', 'allowed', 'org_alice/#'),
    ('subscribe', '$share/g/org_alice/#', 'allowed', 'org_alice/#'),
    ('subscribe', '#', 'topic_not_allowed', NULL),
    ('subscribe', '+/x', 'topic_not_allowed', NULL),
    ('subscribe', '+/#', 'topic_not_allowed', NULL),
    ('subscribe', 'org_alicex/#', 'topic_not_allowed', NULL),
    ('subscribe', '$share/g/org_bob/#', 'topic_not_allowed', NULL),
    ('subscribe', '$share/g/#', 'topic_not_allowed', NULL),
    ('subscribe', '$share/org_alice/#', 'topic_not_allowed', NULL),
    ('subscribe', '$SYS/#', 'topic_not_allowed', NULL),
    ('subscribe', '$queue/org_alice/#', 'topic_not_allowed', NULL),
    ('subscribe', '$share/g', 'topic_invalid', NULL),
    ('subscribe', 'org_alice/a#', 'topic_invalid', NULL),
    ('subscribe', 'org_alice/#/x', 'topic_invalid', NULL)
) AS c (action, topic, reason, rule);
SELECT is(api.explain_mqtt_access(:'pump_login', 'publish', 'org_alice/x') ->> 'explanation', 'Yes: org_alice/x matches org_alice/+/#.', 'yes in words');
SELECT is(
    api.explain_mqtt_access(:'pump_login', 'subscribe', '#') ->> 'explanation',
    'No: # may match topics outside every filter that the credential may subscribe to.', 'no in words'
);
SELECT is(api.explain_mqtt_access(:'pump_login', 'publish', 'x') -> 'rules', '["org_alice/+/#"]', 'all rules of the action');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET can_subscribe = false WHERE id = :'pump_login';
SELECT is(api.explain_mqtt_access(:'pump_login', 'subscribe', 'org_alice/#') ->> 'reason', 'subscribe_not_allowed', 'publish-only');
UPDATE mqtt.device_integrations SET status = 'inactive' WHERE id = :'hosted';
SELECT is(api.explain_mqtt_access(:'pump_login', 'publish', 'org_alice/x') ->> 'reason', 'integration_inactive', 'a switched-off integration');
UPDATE mqtt.mqtt_credentials SET expires_at = now() WHERE id = :'pump_login';
SELECT is(api.explain_mqtt_access(:'pump_login', 'publish', 'org_alice/x') ->> 'reason', 'expired', 'an expired credential');
UPDATE mqtt.mqtt_credentials SET revoked_at = now() WHERE id = :'pump_login';
SELECT is(
    (SELECT e - '{explanation,rules}'::text [] FROM api.explain_mqtt_access(:'pump_login', 'publish', 'org_alice/x') AS e),
    '{"allowed": false, "reason": "revoked", "rule": null}', 'a revoked one'
);

SELECT act_as('authenticated', :'alice');
SELECT refuses(format('SELECT api.explain_mqtt_access(%L, %L, %L)', :'pump_login', 'read', 'x'), 'PT400', 'action_invalid', 'another action');
SELECT refuses(format('SELECT api.explain_mqtt_access(%L, NULL, %L)', :'pump_login', 'x'), 'PT400', 'action_invalid', 'no action');
SELECT refuses(format('SELECT api.explain_mqtt_access(%L, %L, %L)', :'bob_login', 'publish', 'x'), 'PT404', 'credential_not_found', 'another organization''s');
SELECT refuses($$SELECT api.explain_mqtt_access(NULL, 'publish', 'x')$$, 'PT400', 'argument_missing', 'none');
SELECT act_as('authenticated', :'anna');
SELECT refuses(format('SELECT api.explain_mqtt_access(%L, %L, %L)', :'pump_login', 'publish', 'x'), 'PT403', 'admin_required', 'a member');
SELECT act_as('service_role');
SELECT is(api.explain_mqtt_access(:'bob_login', 'publish', 'org_bob/x') ->> 'allowed', 'true', 'service_role asks of anyone');
SELECT act_as('none');
SELECT is(has_function_privilege('anon', 'api.explain_mqtt_access(uuid, text, text)', 'execute'), false, 'anon does not');

-- Mosquitto's file says the same.
SELECT alike((SELECT access FROM bridge.mosquitto_accounts()), E'%\nbob_login\t%\tporg_bob/+/#\tsorg_bob/#\t\n', 'Mosquitto''s rules are these');
SELECT * FROM finish();
ROLLBACK;
