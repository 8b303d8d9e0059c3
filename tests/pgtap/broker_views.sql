-- Views for EMQX, VerneMQ and mosquitto-go-auth: by their documented queries; and what their login roles may read.
\ir setup.psql
SELECT plan(61);
-- A login with every kind of rule; one of an external broker, which no view may show.
UPDATE mqtt.mqtt_credentials
SET publish_filters = '{org_alice/+/up,org_alice/raw/+}',
    subscribe_filters = '{org_alice/a/+,org_alice/b/+/#,org_alice/c/#,org_alice/+/d,org_alice/%c/#,org_alice/%u,"org_alice/${clientid}/x"}'
WHERE id = :'pump_login';
INSERT INTO mqtt.mqtt_credentials (organization_id, integration_id, username, client_id, topic_prefix, secret_salt, secret_hash, mosquitto_hash, bcrypt_hash)
SELECT c.organization_id, :'external', 'foreign', 'foreign', 'org_bob', c.secret_salt, c.secret_hash, c.mosquitto_hash, c.bcrypt_hash
FROM mqtt.mqtt_credentials AS c WHERE c.id = :'pump_login';
-- As the role finds it when it has logged in.
SELECT option AS vernemq_path FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS option WHERE s.setrole = 'vernemq_reader'::regrole AND s.setdatabase <> 0 AND option LIKE 'search_path=%' \gset
SELECT is(:'vernemq_path'::text, 'search_path=broker, public', 'VerneMQ''s role finds the view and crypt() by their names');

-- EMQX, PostgreSQL authenticator and authorizer.
SET LOCAL ROLE emqx_reader;
PREPARE emqx_authn (text, text) AS SELECT password_hash, salt, is_superuser FROM broker.emqx_user WHERE username = $1 AND client_id = $2 LIMIT 1;
PREPARE emqx_authz (text) AS SELECT permission, action, topic, qos, retain FROM broker.emqx_acl WHERE username = $1 ORDER BY position;
SET LOCAL ROLE none;
SELECT results_eq(
    $$EXECUTE emqx_authn ('pump_login', 'pump_login_1')$$,
    $$SELECT bcrypt_hash, '', false FROM mqtt.mqtt_credentials WHERE username = 'pump_login'$$, 'EMQX authenticates'
);
SELECT is_empty(format('EXECUTE emqx_authn (%L, %L)', c.username, c.client_id), format('not %s as %s', c.username, c.client_id))
FROM (VALUES ('pump_login', 'other'), ('foreign', 'foreign'), ('nobody', 'nobody')) AS c (username, client_id);
SELECT results_eq(
    $$SELECT permission, action, topic FROM broker.emqx_acl WHERE username = 'pump_login' ORDER BY position, action, topic COLLATE "C"$$,
    $$VALUES ('allow', 'publish', 'org_alice/+/up'), ('allow', 'publish', 'org_alice/raw/+'), ('allow', 'subscribe', 'eq org_alice/a/+'), ('allow', 'subscribe', 'eq org_alice/b/+/#'),
        ('allow', 'subscribe', 'org_alice/+/d'), ('allow', 'subscribe', 'org_alice/c/#'), ('deny', 'all', '#')$$,
    'EMQX authorizes: nothing with a placeholder, a last + as that very filter, all else denied'
);
SELECT is_empty($$EXECUTE emqx_authz ('foreign')$$, 'no row of an external broker''s credential');
SELECT is((SELECT array_agg(DISTINCT qos || ' ' || retain) FROM broker.emqx_acl), '{"0,1,2 all"}', 'any QoS, retained or not');

-- VerneMQ, both ways of its script.
SET LOCAL search_path = tap, public, broker;
PREPARE vernemq_server (text, text, text, text) AS
SELECT publish_acl::TEXT, subscribe_acl::TEXT, client_id FROM vmq_auth_acl
WHERE mountpoint=$1 AND (client_id=$2 OR client_id='*') AND username=$3 AND password=crypt($4, password);
PREPARE vernemq_client (text, text, text) AS
SELECT publish_acl::TEXT, subscribe_acl::TEXT, password AS passhash, client_id FROM vmq_auth_acl WHERE mountpoint=$1 AND (client_id=$2 OR client_id='*') AND username=$3;
SELECT results_eq(
    format('EXECUTE vernemq_server ('''', %L, %L, %L)', 'pump_login_1', 'pump_login', :'pump_password'),
    $$VALUES ('[{"pattern" : "org_alice/+/up"}, {"pattern" : "org_alice/raw/+"}]', '[{"pattern" : "org_alice/+/d"}, {"pattern" : "org_alice/c/#"}]', 'pump_login_1')$$,
    'VerneMQ, hashing in the server: no placeholder, and no + at the end of what may be subscribed to'
);
SELECT is_empty(format('EXECUTE vernemq_server (%L, %L, %L, %L)', c.mountpoint, c.client_id, c.username, c.password), 'VerneMQ, server: ' || c.why)
FROM (VALUES
    ('', 'pump_login_1', 'pump_login', 'wrong', 'a wrong password'), ('', 'other', 'pump_login', :'pump_password', 'another client id'),
    ('x', 'pump_login_1', 'pump_login', :'pump_password', 'another mountpoint'), ('', 'foreign', 'foreign', :'pump_password', 'an external broker''s')
) AS c (mountpoint, client_id, username, password, why);
SELECT results_eq(
    $$EXECUTE vernemq_client ('', 'pump_login_1', 'pump_login')$$,
    $$SELECT v.publish_acl::text, v.subscribe_acl::text, c.bcrypt_hash, 'pump_login_1' FROM broker.vmq_auth_acl AS v JOIN mqtt.mqtt_credentials AS c USING (username, client_id)
        WHERE v.username = 'pump_login' AND c.bcrypt_hash LIKE '$2a$%' AND c.bcrypt_hash = public.crypt('pump-password-0123456789abcdefgh', c.bcrypt_hash)$$,
    'VerneMQ, hashing itself: bcrypt $2a$'
);
UPDATE mqtt.mqtt_credentials SET can_publish = false, can_subscribe = false WHERE username = 'bob_login';
SELECT results_eq(
    format('EXECUTE vernemq_server ('''', %L, %L, %L)', 'bob_login_1', 'bob_login', :'pump_password'), $$VALUES ('[]', '[]', 'bob_login_1')$$, 'nothing allowed is an empty list, not null'
);
UPDATE mqtt.mqtt_credentials SET can_publish = true, can_subscribe = true WHERE username = 'bob_login';
SELECT throws_ok(
    $$UPDATE mqtt.mqtt_credentials SET bcrypt_hash = '_J9..rasmBYk8r9AiWNc' WHERE username = 'bob_login'$$, '23514', NULL, 'a hash that pgcrypto made with DES is refused'
);

-- mosquitto-go-auth.
PREPARE go_user (text) AS SELECT password_hash FROM broker.go_auth_user WHERE username = $1 LIMIT 1;
PREPARE go_super (text) AS SELECT COALESCE(MAX(is_superuser), 0) FROM broker.go_auth_user WHERE username = $1;
PREPARE go_acl (text, integer) AS SELECT topic FROM broker.go_auth_acl WHERE username = $1 AND (access & $2) <> 0;
SELECT results_eq(
    $$EXECUTE go_user ('pump_login')$$, $$SELECT 'PBKDF2$sha512$1$' || split_part(mosquitto_hash, '$', 4) || '$' || split_part(mosquitto_hash, '$', 5) FROM mqtt.mqtt_credentials WHERE username = 'pump_login'$$,
    'go-auth: PBKDF2'
);
SELECT results_eq(format('EXECUTE go_super (%L)', u), 'VALUES (0)', 'go-auth: no superuser: ' || u) FROM unnest('{pump_login,nobody}'::text []) AS u;
SELECT set_eq(format('EXECUTE go_acl (%L, %s)', 'pump_login', c.access), format('SELECT unnest(%L::text [])', c.topics), format('go-auth: access %s', c.access))
FROM (VALUES
    (1, '{org_alice/a/+,org_alice/b/+/#,org_alice/c/#,org_alice/+/d}'), (2, '{org_alice/+/up,org_alice/raw/+}'), (4, '{org_alice/c/#,org_alice/+/d}')
) AS c (access, topics);
SELECT is_empty($$EXECUTE go_acl ('foreign', 1)$$, 'go-auth: no rule of an external broker''s');

-- Who has ended.
SELECT is_empty('SELECT * FROM broker.ended_credentials', 'nobody has ended');
UPDATE mqtt.mqtt_credentials SET revoked_at = now() WHERE username IN ('pump_login', 'foreign');
UPDATE mqtt.mqtt_credentials SET rotated_at = now() - interval '2 hours', previous_until = now() - interval '1 hour' WHERE username = 'bob_login';
SELECT results_eq(
    'SELECT username, client_id, reason, now() - ended_at FROM broker.ended_credentials ORDER BY username',
    $$VALUES ('bob_login', 'bob_login_1', 'rotated', interval '1 hour'), ('pump_login', 'pump_login_1', 'revoked', interval '0')$$, 'whose sessions to cut'
);
UPDATE mqtt.mqtt_credentials SET rotated_at = now() - interval '9 days', previous_until = now() + interval '1 hour' WHERE username = 'bob_login';
SELECT results_eq('SELECT username FROM broker.ended_credentials', $$VALUES ('pump_login')$$, 'an old password in its grace has not ended');
SELECT is_empty($$EXECUTE emqx_authn ('pump_login', 'pump_login_1')$$, 'EMQX: a revoked credential does not log in');
SELECT results_eq($$EXECUTE emqx_authz ('pump_login')$$, $$VALUES ('deny', 'all', '#', '0,1,2', 'all'), ('deny', 'all', '#', '0,1,2', 'all')$$, 'and its session may do nothing more');
SELECT is_empty(format('EXECUTE vernemq_server ('''', %L, %L, %L)', 'pump_login_1', 'pump_login', :'pump_password'), 'VerneMQ: a revoked one does not');
SELECT is_empty($$EXECUTE go_user ('pump_login')$$, 'go-auth: a revoked one does not');
SELECT is_empty($$EXECUTE go_acl ('pump_login', 1)$$, 'and its session receives nothing more');
UPDATE mqtt.mqtt_credentials SET revoked_at = NULL WHERE username = 'pump_login';
CREATE TEMPORARY VIEW logins AS
SELECT u.username FROM broker.emqx_user AS u
UNION ALL
SELECT v.username FROM broker.vmq_auth_acl AS v
UNION ALL
SELECT g.username FROM broker.go_auth_user AS g;
SELECT is((SELECT count(*) FROM logins WHERE username = 'pump_login'), 5::bigint, 'a login at each, and a connection test where there are client ids');
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic) VALUES (:'org_alice', :'hosted', 'org_alice/#');
SELECT is((SELECT count(*) FROM logins WHERE username = 'pump_login'), 0::bigint, 'not before the bridge''s first subscription is granted: what it published would be lost');
SELECT results_eq($$EXECUTE emqx_authz ('pump_login')$$, $$VALUES ('deny', 'all', '#', '0,1,2', 'all'), ('deny', 'all', '#', '0,1,2', 'all')$$, 'and whoever is in all the same may do nothing');
UPDATE mqtt.mqtt_subscriptions SET granted_qos = 1, status = 'active' WHERE integration_id = :'hosted';
SELECT is((SELECT count(*) FROM logins WHERE username = 'pump_login'), 5::bigint, 'but after');
UPDATE mqtt.mqtt_credentials SET expires_at = now() WHERE username = 'pump_login';
SELECT is((SELECT count(*) FROM broker.emqx_user) + (SELECT count(*) FROM broker.vmq_auth_acl) + (SELECT count(*) FROM broker.go_auth_user), 5::bigint, 'nor does an expired one');
UPDATE mqtt.device_integrations SET status = 'inactive' WHERE id = :'bob_hosted';
SELECT is((SELECT count(*) FROM broker.emqx_user) + (SELECT count(*) FROM broker.vmq_auth_acl) + (SELECT count(*) FROM broker.go_auth_user), 0::bigint, 'nor one whose integration is switched off');


-- Logins that end without being revoked.
SELECT results_eq(
    $$SELECT username, client_id, reason FROM broker.ended_credentials WHERE reason = 'switched_off' AND ended_at <= clock_timestamp()$$,
    $$VALUES ('bob_login', 'bob_login_1', 'switched_off')$$, 'those of an integration that is switched off'
);
DELETE FROM mqtt.device_integrations WHERE id = :'bob_hosted';
SELECT is((SELECT array_agg(reason) FROM broker.ended_credentials WHERE username = 'bob_login'), '{deleted}', 'that is deleted');
UPDATE mqtt.mqtt_credentials SET expires_at = NULL WHERE username = 'pump_login';
DELETE FROM mqtt.organizations WHERE id = :'org_alice';
SELECT is((SELECT array_agg(reason) FROM broker.ended_credentials WHERE username = 'pump_login'), '{deleted}', 'of an organization that is deleted');
UPDATE mqtt.ended_logins SET ended_at = now() - interval '8 days' WHERE username = 'pump_login';
SELECT is((SELECT array_agg(username) FROM broker.ended_credentials WHERE username <> 'foreign'), '{bob_login}', 'for seven days');

-- Each role reads its own views and nothing else.
CREATE TEMPORARY TABLE reader AS SELECT unnest('{rabbitmq_reader,emqx_reader,vernemq_reader,go_auth_reader}'::text []) AS role;
SELECT results_eq(
    $$SELECT r.role, array_agg((c.relname::text COLLATE "default") ORDER BY c.relname) FROM reader AS r
        JOIN pg_catalog.pg_class AS c ON c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
            AND c.relname NOT LIKE 'pg_stat_statements%' AND c.relnamespace <> 'tap'::regnamespace AND c.relpersistence <> 't'
            AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(r.role, c.oid, 'usage, select, update')
                ELSE has_any_column_privilege(r.role, c.oid, 'select, insert, update') OR has_table_privilege(r.role, c.oid, 'delete, truncate') END
        GROUP BY r.role ORDER BY r.role$$,
    $$VALUES ('emqx_reader', '{emqx_acl,emqx_user,ended_credentials}'::text []), ('go_auth_reader', '{ended_credentials,go_auth_acl,go_auth_user}'),
        ('rabbitmq_reader', '{ended_credentials}'), ('vernemq_reader', '{ended_credentials,vmq_auth_acl}')$$,
    'each role reads its own views'
);
SELECT is_empty(
    $$SELECT r.role, n.nspname FROM reader AS r JOIN pg_catalog.pg_namespace AS n ON n.nspname IN ('api', 'mqtt', 'bridge', 'pgmq') AND has_schema_privilege(r.role, n.oid, 'usage')$$,
    'the schemas of the product are closed to them'
);
SELECT is_empty(
    $$SELECT r.role FROM reader AS r JOIN pg_catalog.pg_roles AS p ON p.rolname = r.role
        WHERE p.rolsuper OR p.rolcreaterole OR p.rolcreatedb OR p.rolbypassrls OR EXISTS (SELECT FROM pg_catalog.pg_auth_members AS m WHERE m.member = p.oid)$$,
    'they are nothing else'
);
SELECT throws_ok(format('SET LOCAL ROLE %I; SELECT * FROM %s', c.role, c.relation), '42501', NULL, format('%s reads no %s', c.role, c.relation))
FROM (
    SELECT r.role, t.relation FROM reader AS r CROSS JOIN unnest('{mqtt.mqtt_credentials,mqtt.broker_keys,api.mqtt_credentials,pgmq.q_mqtt_messages}'::text []) AS t (relation)
) AS c;
SELECT throws_ok('SET LOCAL ROLE vernemq_reader; SELECT * FROM broker.emqx_user', '42501', NULL, 'nor another broker''s views');
SELECT * FROM finish();
ROLLBACK;
