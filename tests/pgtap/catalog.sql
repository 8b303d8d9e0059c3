-- The house's rules, asked of the catalogue: each query names the offenders, and there must be none.
\ir setup.psql
SELECT plan(46);

CREATE TEMPORARY VIEW routine AS
SELECT
    p.oid, p.oid::regprocedure::text AS name, p.proname, n.nspname AS schema, p.prosecdef AS is_definer, p.proconfig AS config, p.prosrc AS source,
    p.prosqlbody IS NOT NULL AS is_atomic, l.lanname AS language, p.proowner::regrole::text AS owner, p.proacl AS acl, p.proargnames AS arguments,
    obj_description(p.oid, 'pg_proc') AS comment
FROM pg_catalog.pg_proc AS p
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
INNER JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
WHERE n.nspname IN ('api', 'mqtt', 'bridge', 'readings');

CREATE TEMPORARY VIEW relation AS
SELECT
    c.oid, c.oid::regclass::text AS name, n.nspname AS schema, c.relkind AS kind, c.relowner::regrole::text AS owner, c.relrowsecurity AS has_rls, c.reloptions AS options,
    c.relispartition AS is_partition
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('api', 'mqtt', 'bridge') OR (n.nspname = 'pgmq' AND c.relname ~ '^[qa]_mqtt_');

-- Who runs with the owner's rights, and why that is right.
CREATE TEMPORARY TABLE definer (name text PRIMARY KEY, reason text NOT NULL);
INSERT INTO definer VALUES
('mqtt.current_organization_ids', 'policy helper: reads the members table that its own policy protects'),
('mqtt.require_integration_total', 'counts what an API key for some integrations does not see'),
('mqtt.require_subscription_room', 'counts what an API key for some integrations does not see'),
('mqtt.current_organization_numbers', 'policy helper: the same by number'),
('mqtt.require_organization', 'policy helper: the same question for one organization'),
('mqtt.require_integration', 'policy helper: the same question for one integration'),
('mqtt.packed_topics', 'the index of ids cannot be used beneath a policy; tells topics of the caller''s organizations'),
('mqtt.queued_messages', 'the queue tables are closed to members; shows their own organizations'' messages'),
('mqtt.api_key_claims', 'a request''s login, by its API key'),
('api.create_api_key', 'writes the keys'' hashes'),
('api.list_api_keys', 'the keys table is closed to all'),
('api.revoke_api_key', 'the keys table is closed to all'),
('api.openapi', 'reads the documents, which no web role may'),
('api.get_api_version', 'tells a constant'),
('mqtt.protobuf_layout', 'calls a codec, which web roles may not'),
('mqtt.transform_reason', 'calls a codec, which web roles may not'),
('api.mqtt_ingest', 'device login'),
('api.mqtt_ingest_batch', 'device login'),
('api.mqtt_ingest_binary', 'device login'),
('api.mqtt_ingest_document', 'device login'),
('api.create_organization', 'provisioning'),
('api.add_organization_member', 'provisioning: members have no write access to the members table'),
('api.remove_organization_member', 'provisioning'),
('api.list_organization_invitations', 'the invitations table is closed to all'),
('api.accept_organization_invitation', 'provisioning: writes the members table for who was invited'),
('api.set_organization_limits', 'provisioning'),
('api.delete_organization', 'provisioning'),
('api.delete_mqtt_credentials', 'writes the credentials table'),
('mqtt.delete_device', 'writes the credentials and deletions tables'),
('mqtt.book_deletion', 'writes the deletions table'),
('api.generate_mqtt_credentials', 'writes verifiers and hashes, which no web role may read or write'),
('api.create_browser_login', 'writes verifiers and hashes'),
('mqtt.redeem_stream_ticket', 'the stream''s: its role reads no table'),
('mqtt.stream_members', 'the stream''s'),
('mqtt.stream_key', 'the stream''s'),
('mqtt.count_stream', 'the stream''s'),
('mqtt.open_states', 'the stream''s'),
('mqtt.stream_presence', 'the stream''s'),
('mqtt.stream_integrations', 'the stream''s'),
('mqtt.stream_statistics', 'the stream''s'),
('mqtt.stream_receipts', 'the stream''s'),
('mqtt.begin_stream', 'the stream''s'),
('mqtt.open_stream', 'the stream''s'),
('mqtt.watch_stream', 'the stream''s'),
('mqtt.stream_routes', 'the stream''s'),
('mqtt.stream_messages', 'the stream''s'),
('mqtt.reader_latest', 'a SQL tool''s login: computes, reads nothing'),
('mqtt.reader_organization_ids', 'a SQL tool''s login: says who it is'),
('mqtt.reader_device_ids', 'a SQL tool''s login: its organizations'' devices'),
('readings.series', 'a SQL tool''s login: its role reads no table'),
('readings.metrics', 'a SQL tool''s login'),
('readings.messages', 'a SQL tool''s login'),
('api.create_stream_ticket', 'writes the tickets table, which no web role may read'),
('api.get_mqtt_credentials', 'reads the credentials table for admins'),
('api.rotate_mqtt_credentials', 'writes verifiers and hashes'),
('api.revoke_mqtt_credentials', 'writes the credentials table'),
('api.mqtt_hybrid_credentials', 'calls the four above'),
('api.mqtt_publish', 'writes the outbound queue'),
('api.get_mqtt_publish_receipts', 'reads the outbound queue'),
('api.cancel_mqtt_publish', 'writes the outbound queue'),
('mqtt.may_wait', 'takes places among calls that wait, and reads nothing of anyone''s'),
('mqtt.take_call_place', 'reads how many calls may run'),
('mqtt.require_integration_room', 'locks the organization, for its admins'),
('api.mqtt_test_connection', 'writes the requests table'),
('api.get_mqtt_queue_stats', 'reads the queues'),
('api.process_mqtt_queue', 'writes the queue and the history'),
('api.process_mqtt_queue_message', 'writes the queue and the history'),
('api.cleanup_mqtt_queue', 'drops partitions'),
('api.check_mqtt_ledger', 'reads the queues'),
('api.get_system_status', 'reads bridges and queues, for operators'),
('api.get_organization_usage', 'reads what all organizations use, for operators'),
('api.get_vacuum_holders', 'reads what only mqtt_owner may of other sessions'),
('api.replay_mqtt_dead_letters', 'writes the queue'),
('api.replay_mqtt_messages', 'writes the queue'),
('api.replay_mqtt_callback_deliveries', 'writes the deliveries'),
('mqtt.set_callback_secret', 'writes the secrets, which no web role may read or write'),
('api.reapply_payload_rules', 'writes the readings'),
('api.import_messages', 'writes the history'),
('mqtt.is_pending', 'reads the queue'),
('api.try_payload_rules', 'decodes as the queue worker does'),
('api.explain_mqtt_access', 'reads the credentials table for admins'),
('api.generate_broker_key', 'writes the keys'' hashes'),
('api.get_broker_keys', 'the keys table is closed to all'),
('api.revoke_broker_key', 'the keys table is closed to all'),
('api.rabbitmq_auth_user', 'a broker''s login, by a key of its own; checks a device''s verifier'),
('api.rabbitmq_auth_vhost', 'a broker''s login'),
('api.rabbitmq_auth_resource', 'a broker''s login'),
('api.rabbitmq_auth_topic', 'a broker''s login'),
('api.emqx_authenticate', 'a broker''s login; checks a device''s verifier'),
('api.emqx_authorize', 'a broker''s login');

SELECT is_empty(
    $$SELECT r.name FROM routine AS r CROSS JOIN LATERAL aclexplode(coalesce(r.acl, acldefault('f', 'mqtt_owner'::regrole))) AS a WHERE a.grantee = 0$$,
    'PUBLIC executes nothing of ours'
);
SELECT is_empty(
    $$SELECT c.oid::regclass FROM pg_catalog.pg_class AS c JOIN relation AS r ON r.oid = c.oid CROSS JOIN LATERAL aclexplode(c.relacl) AS a WHERE a.grantee = 0$$,
    'PUBLIC reads nothing of ours'
);
SELECT is_empty(
    $$SELECT p.oid::regprocedure FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'pgmq'::regnamespace
        AND (has_function_privilege('anon', p.oid, 'execute') OR has_function_privilege('authenticated', p.oid, 'execute')
            OR has_function_privilege('service_role', p.oid, 'execute') OR has_function_privilege('mqtt_bridge', p.oid, 'execute'))
        AND has_schema_privilege('public', 'pgmq', 'usage')$$,
    'pgmq''s functions are out of reach'
);
SELECT is_empty(
    $$SELECT r.name, x FROM relation AS r CROSS JOIN unnest('{anon,authenticated,service_role,mqtt_bridge,authenticator}'::text []) AS x
        WHERE r.schema = 'pgmq' AND has_table_privilege(x, r.oid, 'select, insert, update, delete')$$,
    'and the queues'' tables too'
);
SELECT is_empty(
    $$SELECT r.name FROM routine AS r
        WHERE r.is_definer AND r.schema <> 'bridge' AND EXISTS (SELECT FROM aclexplode(r.acl) AS a WHERE a.grantee <> 'mqtt_owner'::regrole)
            AND NOT EXISTS (SELECT FROM definer AS d WHERE d.name = r.schema || '.' || r.proname)$$,
    'whoever calls with the owner''s rights is on the list above'
);
SELECT is_empty(
    $$SELECT d.name FROM definer AS d WHERE NOT EXISTS (SELECT FROM routine AS r WHERE r.is_definer AND r.schema || '.' || r.proname = d.name)$$,
    'and nothing else is on it'
);
SELECT is_empty(
    $$SELECT r.name FROM routine AS r
        -- mqtt.work_queue commits, and so cannot; it names all schemas, and nobody but the owner may call it.
        WHERE (r.is_definer OR NOT r.is_atomic) AND r.name <> 'mqtt.work_queue(integer)' AND (r.config @> ARRAY['search_path=pg_catalog, pg_temp']) IS NOT TRUE$$,
    'search_path is pinned, or names are bound at creation'
);
SELECT is_empty(
    $$SELECT r.name FROM routine AS r WHERE r.owner <> 'mqtt_owner' UNION ALL SELECT r.name FROM relation AS r WHERE r.owner <> 'mqtt_owner'
        UNION ALL SELECT t.oid::regtype::text FROM pg_catalog.pg_type AS t WHERE t.typnamespace IN ('api'::regnamespace, 'mqtt'::regnamespace, 'bridge'::regnamespace)
            AND t.typowner <> 'mqtt_owner'::regrole$$,
    'mqtt_owner owns all'
);
SELECT is_empty(
    $$SELECT 1 FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('mqtt_owner', 'anon', 'authenticated', 'authenticator', 'mqtt_bridge') AND (r.rolsuper OR r.rolbypassrls)
        UNION ALL SELECT 1 FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'mqtt_owner' AND r.rolcanlogin$$,
    'who owns it, and who calls it, is no superuser'
);
SELECT is_empty($$SELECT r.name FROM relation AS r WHERE r.kind IN ('r', 'p') AND NOT r.has_rls$$, 'row-level security is on everywhere');
SELECT is_empty(
    $$SELECT r.name, v.verb FROM relation AS r
        CROSS JOIN (VALUES ('select', 'r'), ('insert', 'a'), ('update', 'w'), ('delete', 'd')) AS v (verb, letter)
        WHERE r.kind IN ('r', 'p') AND r.schema = 'mqtt'
            AND (has_table_privilege('authenticated', r.oid, v.verb) OR (v.verb <> 'delete' AND has_any_column_privilege('authenticated', r.oid, v.verb)))
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = r.oid AND p.polcmd IN (v.letter::"char", '*') AND p.polroles <> '{0}')$$,
    'what members are granted, a policy bounds'
);
-- Not every server lets a role have BYPASSRLS.
SELECT is_empty(
    $$SELECT r.name, v.verb FROM relation AS r
        CROSS JOIN (VALUES ('select', 'r'), ('insert', 'a'), ('update', 'w'), ('delete', 'd')) AS v (verb, letter)
        WHERE r.kind IN ('r', 'p') AND NOT r.is_partition
            AND (has_table_privilege('service_role', r.oid, v.verb) OR (v.verb <> 'delete' AND has_any_column_privilege('service_role', r.oid, v.verb)))
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_policy AS p
                WHERE p.polrelid = r.oid AND p.polcmd IN (v.letter::"char", '*') AND 'service_role'::regrole = ANY (p.polroles) AND pg_get_expr(p.polqual, p.polrelid) = 'true'
            )$$,
    'what the service is granted, a policy lets it see whole'
);
-- pg-safeupdate, which Supabase loads for whoever comes through PostgREST, refuses such statements inside functions, too.
CREATE FUNCTION tap.without_where(source text) RETURNS SETOF text
LANGUAGE sql AS $$
    WITH code AS (SELECT regexp_replace(regexp_replace(source, '--[^\n]*', '', 'g'), '''([^'']|'''')*''', '''''', 'g') AS text),
    statement AS (
        SELECT m[1] AS text
        FROM code AS c CROSS JOIN LATERAL regexp_matches(
            regexp_replace(c.text, '\m(FOR|KEY|DO|OR)\s+UPDATE\M', '', 'gi'),
            '(\m(?:DELETE\s+FROM|UPDATE)\s(?:[^();]|\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*\))*)', 'gi'
        ) AS m
    ),
    outermost AS (
        SELECT s.text, regexp_replace(regexp_replace(regexp_replace(regexp_replace(s.text, '\([^()]*\)', '', 'g'), '\([^()]*\)', '', 'g'), '\([^()]*\)', '', 'g'), '\([^()]*\)', '', 'g') AS flat
        FROM statement AS s
    )
    SELECT o.text FROM outermost AS o WHERE o.flat !~* '\mWHERE\M';
$$;
SELECT results_eq(
    $$SELECT w FROM (VALUES ('BEGIN DELETE FROM a; UPDATE b SET c = 1 WHERE d; WITH x AS (UPDATE e SET f = (SELECT 1 WHERE true) RETURNING 1) SELECT FROM g FOR UPDATE; END')) AS v (source)
        CROSS JOIN LATERAL tap.without_where(v.source) AS w$$,
    $$VALUES ('DELETE FROM a'), ('UPDATE e SET f = (SELECT 1 WHERE true) RETURNING 1')$$, 'how a DELETE or UPDATE without a WHERE is found'
);
SELECT is_empty(
    $$SELECT r.name, w FROM routine AS r CROSS JOIN LATERAL tap.without_where(coalesce(pg_get_function_sqlbody(r.oid), r.source)) AS w
        WHERE r.language <> 'plpython3u'$$,
    'there is none'
);
SELECT is_empty(
    $$SELECT r.name, p.polname FROM pg_catalog.pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid
        WHERE p.polcmd IN ('a', 'w', '*') AND p.polwithcheck IS NULL$$,
    'policies on writes say what may be written'
);
SELECT is_empty(
    $$SELECT r.name, p.polname FROM pg_catalog.pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid
        CROSS JOIN LATERAL (SELECT concat(pg_get_expr(p.polqual, p.polrelid), ' ', pg_get_expr(p.polwithcheck, p.polrelid)) AS text) AS e
        WHERE regexp_replace(e.text, 'SELECT mqtt\.\w+\((true)?\)', '', 'g') ~ 'mqtt\.\w+\('$$,
    'policies call functions once per statement, in a scalar sub-select'
);
SELECT is_empty(
    $$SELECT c.conrelid::regclass, c.conname FROM pg_catalog.pg_constraint AS c
        JOIN relation AS r ON r.oid = c.conrelid
        WHERE c.contype = 'f' AND NOT r.is_partition AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = c.conrelid AND i.indpred IS NULL AND c.conkey <@ (i.indkey::int2 [])[0:cardinality(c.conkey) - 1]
        )$$,
    'each foreign key has an index'
);
SELECT is_empty($$SELECT r.name FROM relation AS r WHERE r.schema = 'api' 
        AND (r.kind <> 'v' OR (r.options @> '{security_invoker=true}') IS NOT TRUE)$$, 'api has views only, and they run as the caller');
SELECT is_empty(
    $$SELECT a.attrelid::regclass, a.attname FROM pg_catalog.pg_attribute AS a JOIN relation AS r ON r.oid = a.attrelid
        WHERE r.schema = 'api' AND a.attnum > 0 AND a.attname ~ 'password|secret|hash|salt|_key' AND a.attname !~ '^has_'$$,
    'no view of api has a column for a secret'
);
SELECT is_empty(
    $$SELECT r.name FROM routine AS r WHERE r.schema = 'api' AND (r.comment IS NULL OR r.comment !~ '^[^\n]{1,100}\n\n' OR split_part(r.comment, E'\n', 1) ~ '\.$')
        UNION ALL SELECT r.name FROM relation AS r WHERE r.schema = 'api' AND obj_description(r.oid, 'pg_class') IS NULL
        UNION ALL SELECT r.name FROM routine AS r WHERE r.comment IS NULL
        UNION ALL SELECT r.name FROM relation AS r WHERE r.schema = 'mqtt' AND r.kind IN ('r', 'p', 'v') AND NOT r.is_partition AND obj_description(r.oid, 'pg_class') IS NULL$$,
    'every function, table and view is commented; what api has, by a summary and its details'
);
SELECT is_empty(
    $$SELECT r.name FROM relation AS r
        WHERE r.schema = 'mqtt' AND r.kind IN ('r', 'p') AND NOT r.is_partition AND has_any_column_privilege('authenticated', r.oid, 'select')
            AND EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = r.oid AND a.attname IN ('integration_id', 'subscription_id') AND NOT a.attisdropped)
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = r.oid AND p.polname = 'api_keys' AND NOT p.polpermissive)$$,
    'of what belongs to an integration, a key for other integrations sees nothing'
);
SELECT is_empty(
    $$SELECT r.name FROM routine AS r JOIN pg_catalog.pg_proc AS p ON p.oid = r.oid
        WHERE r.schema = 'api' AND (p.prorettype IN ('json'::regtype, 'jsonb'::regtype, 'api."*/*"'::regtype)) AND mqtt.comment_shape(r.oid, 'Answer') IS NULL$$,
    'every call that answers JSON says in its comment what is in it'
);
-- As maintenance does after a deploy; until then api.openapi makes it for each who asks.
SELECT mqtt.refresh_openapi() \g /dev/null
SELECT results_eq(
    $$SELECT d.role, d.document::jsonb FROM mqtt.openapi_documents AS d ORDER BY d.role$$,
    $$SELECT r.role, r.document FROM mqtt.render_openapi('{anon,authenticated,service_role}') AS r ORDER BY r.role$$,
    'the documents that the API serves are those of the catalogue as it is'
);
SELECT is_empty(
    $$SELECT a.attrelid::regclass, a.attname FROM pg_catalog.pg_attribute AS a JOIN relation AS r ON r.oid = a.attrelid
        WHERE r.schema = 'api' AND a.attnum > 0 AND NOT a.attisdropped AND col_description(a.attrelid, a.attnum) IS NULL$$,
    'so is every column of api'
);
SELECT is_empty(
    -- Forms of one argument without a name are told apart by the Content-Type, and come after one with names.
    $$SELECT r.proname FROM routine AS r WHERE r.schema = 'api' GROUP BY r.proname
        HAVING count(r.arguments) > 1 OR count(*) > 1 AND bool_or(r.arguments IS NULL AND substring(r.name, '\((.*)\)') NOT IN ('json', 'text', 'xml', 'bytea'))$$, 'no function of api has two forms, which PostgREST could not tell apart'
);
SELECT is_empty(
    $$SELECT r.name FROM routine AS r WHERE has_function_privilege('anon', r.oid, 'execute') AND r.name !~ '^(api\.(mqtt_ingest|rabbitmq_auth_|emqx_auth|openapi|get_api_version)|mqtt\.(check_token|use_api_key|api_key_claims|call_scope|note_api_key)\()'
        UNION ALL SELECT r.name FROM relation AS r WHERE has_table_privilege('anon', r.oid, 'select, insert, update, delete') OR has_any_column_privilege('anon', r.oid, 'select')$$,
    'without a JWT there are only devices and brokers, who have logins of their own'
);
SELECT is_empty(
    $$SELECT r.name FROM routine AS r WHERE has_function_privilege('mqtt_bridge', r.oid, 'execute') AND r.schema <> 'bridge'
        UNION ALL SELECT r.name FROM relation AS r WHERE has_table_privilege('mqtt_bridge', r.oid, 'select, insert, update, delete') OR has_any_column_privilege('mqtt_bridge', r.oid, 'select')$$,
    'the bridge calls bridge.* and reads no table'
);
SELECT is_empty(
    $$SELECT r.name, x FROM routine AS r CROSS JOIN unnest('{anon,authenticated,service_role,authenticator}'::text []) AS x
        WHERE r.schema = 'bridge' AND has_function_privilege(x, r.oid, 'execute')$$,
    'nobody else calls bridge.*'
);
SELECT is_empty(
    $$SELECT r.name, m[1] FROM routine AS r CROSS JOIN LATERAL regexp_matches(r.source, 'ERRCODE\s*=\s*''([^'']+)''', 'g') AS m WHERE m[1] !~ '^(PT[45][0-9]{2}|PGRST)$'$$,
    'the errors that we raise carry an HTTP status'
);
-- These turn any failure of a message into that message's own fate: a dead letter, or a payload kept as it came; and of a table's partitions
-- into a line of the log, so that those of the others are made; and of a step of maintenance, so that the rest is done.
SELECT is_empty(
    $$SELECT r.name FROM routine AS r WHERE r.source ~* 'when\s+others' AND r.proname NOT IN ('store_or_split', 'finish_attempt', 'decode_payload', 'prepare_partitions', 'try_maintenance', 'interpretations', 'failed_interpretation')$$,
    'nothing else swallows what it does not know'
);
-- What Supabase's database linter looks for beside the above.
SELECT is_empty(
    $$SELECT r.name FROM relation AS r JOIN pg_catalog.pg_policy AS p ON p.polrelid = r.oid WHERE NOT r.has_rls$$,
    'no policy lies idle on a table without row-level security'
);
SELECT is_empty(
    $$SELECT r.name, p.polcmd, array_agg(p.polname) FROM relation AS r JOIN pg_catalog.pg_policy AS p ON p.polrelid = r.oid
        WHERE p.polpermissive GROUP BY r.name, p.polcmd, p.polroles HAVING count(*) > 1$$,
    'no two permissive policies are asked for the same'
);
SELECT is_empty(
    $$SELECT a.indexrelid::regclass, b.indexrelid::regclass
        FROM pg_catalog.pg_index AS a JOIN relation AS r ON r.oid = a.indrelid
        JOIN pg_catalog.pg_index AS b ON b.indrelid = a.indrelid AND b.indexrelid > a.indexrelid
        JOIN pg_catalog.pg_class AS x ON x.oid = a.indexrelid JOIN pg_catalog.pg_class AS y ON y.oid = b.indexrelid AND y.relam = x.relam
        WHERE a.indkey = b.indkey AND a.indclass = b.indclass AND a.indoption = b.indoption
            AND (a.indexprs, a.indpred) IS NOT DISTINCT FROM (b.indexprs, b.indpred)$$,
    'no index is there twice'
);
SELECT is_empty(
    $$SELECT r.name FROM relation AS r WHERE r.kind IN ('r', 'p') AND NOT r.is_partition AND r.schema <> 'pgmq' AND r.name NOT IN ('mqtt.history', 'mqtt.reading_rows')
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = r.oid AND i.indisprimary)$$,
    'each table has a primary key, but for the history and its readings, where it would cost more bytes than anybody looks for'
);
SELECT is_empty(
    $$SELECT r.name, x FROM relation AS r CROSS JOIN unnest('{anon,authenticated,service_role,mqtt_bridge,authenticator}'::text []) AS x
        WHERE r.kind = 'm' OR (r.schema <> 'api' AND r.kind IN ('r', 'p', 'v')
            AND has_table_privilege(x, r.oid, 'truncate, references, trigger'))
        UNION ALL SELECT n.nspname, x FROM pg_catalog.pg_namespace AS n CROSS JOIN unnest('{anon,authenticated,service_role,mqtt_bridge}'::text []) AS x
        WHERE n.nspname IN ('api', 'mqtt', 'bridge', 'pgmq', 'public') AND has_schema_privilege(x, n.oid, 'create')$$,
    'nobody can empty a table, hang a trigger on it or create objects; there are no materialized views, which row-level security does not reach'
);
SELECT is_empty(
    $$SELECT r.name, p.polname FROM pg_catalog.pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid
        WHERE p.polroles <> ARRAY['service_role'::regrole::oid]
            AND ((p.polcmd <> 'r' AND 'true' IN (pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)))
            OR (pg_get_expr(p.polqual, p.polrelid) = 'true' AND EXISTS (
                SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = p.polrelid AND a.attname = 'organization_id'
            ) AND has_any_column_privilege('authenticated', p.polrelid, 'select')))$$,
    'no policy lets everyone write, or read what belongs to organizations'
);
SELECT is_empty(
    $$SELECT r.name, p.polname FROM pg_catalog.pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid
        WHERE concat(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) ~ 'metadata|current_setting|auth\.'
        UNION ALL SELECT r.name, '' FROM routine AS r WHERE r.source ~ '(user|app)_metadata'$$,
    'rights come from rows, not from claims that a user may have set'
);
SELECT is_empty(
    $$SELECT r.name, x FROM relation AS r CROSS JOIN unnest('{anon,authenticated,service_role,mqtt_bridge,authenticator}'::text []) AS x
        WHERE r.kind = 'v' AND has_any_column_privilege(x, r.oid, 'select') AND (r.options @> '{security_invoker=true}') IS NOT TRUE
        UNION ALL SELECT c.oid::regclass::text, x FROM pg_catalog.pg_class AS c CROSS JOIN unnest('{anon,authenticated,service_role,mqtt_bridge,authenticator}'::text []) AS x
        WHERE c.relnamespace = 'broker'::regnamespace AND has_any_column_privilege(x, c.oid, 'select')$$,
    'no web role reads a view that runs with its owner''s rights'
);
SELECT is_empty(
    $$SELECT e.extname FROM pg_catalog.pg_extension AS e
        WHERE e.extnamespace = 'public'::regnamespace AND e.extname <> 'pgcrypto' AND obj_description(e.oid, 'pg_extension') LIKE '%topicbase%'
        UNION ALL SELECT c.oid::regclass::text FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relowner = 'mqtt_owner'::regrole
        UNION ALL SELECT p.oid::regprocedure::text FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = 'mqtt_owner'::regrole$$,
    'nothing of ours is in public, save pgcrypto where the server had it nowhere'
);
SELECT is_empty(
    $$SELECT r.name, x FROM relation AS r CROSS JOIN unnest('{anon,authenticated,service_role,mqtt_bridge,authenticator}'::text []) AS x
        WHERE r.kind = 'f' OR (r.kind = 'S' AND has_sequence_privilege(x, r.oid, 'usage, select, update'))
        UNION ALL SELECT p.pubname, '' FROM pg_catalog.pg_publication AS p WHERE p.puballtables$$,
    'no foreign tables, no sequences that a role could read or move on, no publication of everything'
);
SELECT is_empty(
    $$SELECT x FROM unnest('{store_messages,split_item,enqueue_callbacks,record_failure,due_messages,begin_attempt,undo_attempt,finish_attempt}'::text []) AS x
        WHERE NOT EXISTS (
            SELECT FROM routine AS r WHERE r.proname = x AND r.schema = 'mqtt' AND r.config @> '{enable_seqscan=off,jit=off}'
        )$$,
    'what takes rows of the queue by address or key never reads it whole, whatever it held when the plan was made'
);
SELECT is_empty(
    $$SELECT r.name FROM routine AS r
        WHERE r.source ~ 'INSERT INTO pgmq\.q_mqtt_messages' AND r.source !~ 'mqtt\.count_accepted\('
            -- Their caller, api.mqtt_ingest_batch, counts what each has queued.
            AND r.proname NOT IN ('enqueue_batch', 'enqueue_plain_batch', 'store_delivered', 'store_plain_batch')
            -- What it puts there was counted before.
            AND r.proname NOT IN ('redo_effects', 'split_item')$$,
    'whoever puts messages into the queue counts them, and so wakes the bridge'
);
SELECT is_empty(
    $$SELECT name FROM (VALUES
        ('SELECT mqtt.is_uuid(q.topic), mqtt.topic_is_under(q.topic, q.prefix), mqtt.topic_name_reason(q.topic), mqtt.ledger_level_settled()'),
        ('SELECT mqtt.message_document(q.topic, q.payload, q.qos, q.retain, q.topic, q.at)'),
        ('SELECT mqtt.matched_levels(q.topic, q.prefix, 1::smallint), mqtt.device_name(q.topic), mqtt.latest_data(q.payload, q.at, q.payload, q.at)'),
        ('SELECT j.* FROM mqtt.judged_messages(q.payload, NULL, q.topic, NULL, 1) AS j'),
        ('SELECT f.* FROM mqtt.filters_by_prefix(q.id, q.id, q.topic, true) AS f'),
        ('SELECT d.* FROM mqtt.known_device(q.id, q.id, q.topic) AS d')
    ) AS v (name)
    WHERE plan_of(format('SELECT x.* FROM mqtt.configuration AS one CROSS JOIN LATERAL (
        SELECT ''a''::text AS topic, ''b''::text AS prefix, ''{}''::jsonb AS payload, 1 AS qos, false AS retain, now() AS at, gen_random_uuid() AS id OFFSET 0
    ) AS q CROSS JOIN LATERAL (%s OFFSET 0) AS x', v.name)) ~ 'mqtt\.(?!try_device_time|properties_fault|message_properties)\w+\('$$,
    'what is asked for each message is a part of the statement that asks, not a call'
);
SELECT is_empty(
    $$SELECT r.name FROM routine AS r
        WHERE r.proname ~ '_error$' OR r.proname ~ '_fault$' AND r.comment !~ '^Slug ' OR r.proname ~ '_reason$' AND r.comment ~ '^Slug '$$,
    'what is named _fault answers a slug, what is named _reason a sentence, and nothing is named _error'
);
-- PostgREST applies what a role has set in every database; what it has set in this one, db-pre-request does.
SELECT act_as('anon');
SELECT mqtt.check_token() \g /dev/null
SELECT is(current_setting('statement_timeout') || ' ' || current_setting('lock_timeout'), '10s 3s', 'a request has the time limits that its role has in this database');
SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true), mqtt.check_token() \g /dev/null
SELECT is(current_setting('statement_timeout') || ' ' || current_setting('lock_timeout'), '10s 3s', 'so has the next one of the session, which does not look them up');
SELECT * FROM finish();
ROLLBACK;
