-- That the schema keeps to what Citus asks of tables and statements, so that packaging/citus/distribute.sql can spread it over several nodes.
-- Citus itself is not here: its documented rules are asked of the catalogue.
\ir setup.psql
SELECT plan(14);
\ir ../../packaging/citus/placement.sql

CREATE TEMPORARY VIEW source AS
SELECT p.oid::regprocedure::text AS name, p.pronargs, l.lanname AS language, concat(p.prosrc, pg_get_function_sqlbody(p.oid)) AS text
FROM pg_catalog.pg_proc AS p
INNER JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace IN ('api'::regnamespace, 'mqtt'::regnamespace, 'bridge'::regnamespace);
CREATE TEMPORARY VIEW spread AS SELECT p.relation, p.kind FROM placement AS p WHERE p.kind <> 'local';
CREATE TEMPORARY TABLE distributed AS
SELECT string_agg(split_part(p.relation::text, '.', 2), '|') AS pattern FROM placement AS p WHERE p.kind = 'distributed';

-- Unique keys that do not start with the organization, and why: none of these tables is ever distributed.
CREATE TEMPORARY TABLE exception (name text PRIMARY KEY, reason text NOT NULL);
INSERT INTO exception VALUES
('mqtt.payload_rules_pkey', 'callers name a rule by its id alone'),
('mqtt.payload_rules_integration_id_position_key', 'one rule a position of an integration'),
('mqtt.sparkplug_nodes_pkey', 'a node belongs to an integration'),
('mqtt.device_presets_pkey', 'belongs to no organization'),
('mqtt.device_integrations_pkey', 'callers name an integration by its id alone'),
('mqtt.mqtt_credentials_pkey', 'callers name a credential by its id alone'),
('mqtt.mqtt_credentials_username_key', 'a login knows only its name'),
('mqtt.api_keys_key_hash_key', 'a request knows only the key'),
('mqtt.broker_keys_pkey', 'callers name a key by its id alone'),
('mqtt.broker_keys_username_key', 'a login knows only its name'),
('mqtt.bridge_leases_integration_id_key', 'one holder an integration'),
('mqtt.organizations_number_key', 'the history names an organization by its number'),
('mqtt.topics_number_key', 'the history names a topic by its number'),
('mqtt.deferred_device_updates_pkey', 'is emptied by age, of all organizations at once'),
('mqtt.deferred_credential_updates_pkey', 'is emptied by age, of all organizations at once');

SELECT set_eq(
    'SELECT relation::oid FROM placement',
    $$SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND (c.relnamespace = 'mqtt'::regnamespace OR c.oid::regclass::text IN ('pgmq.q_mqtt_messages', 'pgmq.q_mqtt_outbound'))$$,
    'every table has its place'
);
SELECT is_empty($$SELECT p.relation FROM placement AS p WHERE p.kind NOT IN ('distributed', 'reference', 'local')$$, 'and it is one of three');
SELECT is_empty(
    $$SELECT p.relation FROM placement AS p WHERE p.kind = 'distributed' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a
        JOIN placement_key AS k ON k.relation = a.attrelid AND k.key = a.attname
        WHERE a.attrelid = p.relation AND a.atttypid = CASE k.key WHEN 'organization' THEN 'integer' ELSE 'uuid' END::regtype AND a.attnotnull)$$,
    'what is distributed has an organization, of the type that its key has, so that an organization''s rows lie together'
);
SELECT is_empty(
    $$SELECT i.indexrelid::regclass FROM pg_catalog.pg_index AS i
        JOIN placement AS p ON p.relation = i.indrelid
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attname = 'organization_id'
        WHERE i.indisunique AND i.indkey[0] <> a.attnum AND p.relation::text !~ '^pgmq\.'
            AND (p.kind = 'distributed' OR i.indexrelid::regclass::text NOT IN (SELECT e.name FROM exception AS e))$$,
    'primary and unique keys start with the organization, but for the exceptions above'
);
SELECT is_empty(
    $$SELECT e.name FROM exception AS e WHERE to_regclass(e.name) IS NULL$$, 'and no exception is left over'
);
SELECT is_empty(
    $$SELECT c.conrelid::regclass, c.conname FROM pg_catalog.pg_constraint AS c
        JOIN placement AS near ON near.relation = c.conrelid JOIN placement AS far ON far.relation = c.confrelid
        WHERE c.contype = 'f' AND NOT CASE near.kind
            WHEN 'distributed' THEN far.kind = 'reference' OR (far.kind = 'distributed' AND EXISTS (
                SELECT FROM unnest(c.conkey, c.confkey) AS k (near, far)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.near AND a.attname = 'organization_id'
                JOIN pg_catalog.pg_attribute AS b ON b.attrelid = c.confrelid AND b.attnum = k.far AND b.attname = 'organization_id'))
            WHEN 'reference' THEN far.kind = 'reference'
            ELSE far.kind <> 'distributed'
        END$$,
    'foreign keys lead to rows on the same node, or to a reference table'
);
SELECT is_empty(
    $$SELECT t.tgrelid::regclass, t.tgname FROM pg_catalog.pg_trigger AS t JOIN spread AS s ON s.relation = t.tgrelid WHERE NOT t.tgisinternal
        UNION ALL SELECT r.ev_class::regclass, r.rulename FROM pg_catalog.pg_rewrite AS r JOIN spread AS s ON s.relation = r.ev_class
        UNION ALL SELECT c.conrelid::regclass, c.conname FROM pg_catalog.pg_constraint AS c JOIN spread AS s ON s.relation = c.conrelid WHERE c.contype = 'x'$$,
    'what is spread has no triggers, rules or exclusion constraints'
);
SELECT is_empty(
    $$SELECT a.attrelid::regclass, a.attname FROM pg_catalog.pg_attribute AS a JOIN spread AS s ON s.relation = a.attrelid
        LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE s.kind = 'distributed' AND a.attnum > 0 AND NOT a.attisdropped AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) ~ 'nextval')$$,
    'nor what is distributed numbers from a sequence, which would differ from node to node'
);
SELECT is_empty(
    $$SELECT i.inhrelid::regclass FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
        JOIN spread AS s ON s.relation = i.inhparent WHERE c.relkind <> 'r'$$,
    'partitions have no partitions of their own'
);
SELECT is_empty(
    $$SELECT s.name FROM source AS s CROSS JOIN distributed AS d
        WHERE s.language = 'sql' AND s.pronargs > 0 AND s.text ~ format('mqtt\.(%s)\M', d.pattern)$$,
    'no SQL function with arguments reads or writes what is distributed: Citus plans such statements in PL/pgSQL only'
);
SELECT is_empty(
    $$SELECT s.name, m[1] FROM source AS s CROSS JOIN distributed AS d
        CROSS JOIN LATERAL regexp_matches(s.text, format('UPDATE mqtt\.(?:%s)\M([^;]*?)\mWHERE\M', d.pattern), 'g') AS m
        WHERE m[1] ~ '(clock_timestamp|random|gen_random_\w+|nextval)\('$$,
    'no UPDATE of what is distributed calls a volatile function'
);
SELECT is_empty(
    $$SELECT s.name FROM source AS s CROSS JOIN distributed AS d
        WHERE s.text ~ format('mqtt\.(%s)\M[^;]*\m(FOR (NO KEY )?UPDATE|FOR (KEY )?SHARE|TABLESAMPLE|GROUPING SETS)\M', d.pattern)
            OR s.text ~ format('WITH RECURSIVE[^;]*mqtt\.(%s)\M', d.pattern)$$,
    'none locks its rows across nodes, samples it, or recurs over it'
);
SELECT is_empty(
    $$SELECT p.polname, p.polrelid::regclass, m[1] FROM pg_catalog.pg_policy AS p JOIN spread AS s ON s.relation = p.polrelid
        CROSS JOIN LATERAL regexp_matches(concat(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)), 'mqtt\.(\w+)', 'g') AS m
        CROSS JOIN LATERAL (SELECT string_agg(f.text, ' ') AS text FROM source AS f WHERE f.name ~ format('^mqtt\.%s\(', m[1])) AS f
        WHERE EXISTS (SELECT FROM placement AS l WHERE l.kind = 'local' AND f.text ~ format('%s\M', replace(l.relation::text, '.', '\.')))$$,
    'row-level security on what is spread asks only for what every node has'
);
SELECT results_eq(
    'SELECT statement FROM distribution ORDER BY place',
    $$VALUES
        ('SELECT create_reference_table(''mqtt.organizations'')'),
        ('SELECT create_reference_table(''mqtt.organization_members'')'),
        ('SELECT create_reference_table(''mqtt.topics'')'),
        ('SELECT create_distributed_table(''mqtt.history'', ''organization'', colocate_with => ''none'')'),
        ('SELECT create_distributed_table(''mqtt.reading_rows'', ''organization'', colocate_with => ''mqtt.history'')'),
        ('SELECT create_distributed_table(''mqtt.mqtt_publish_receipts'', ''organization_id'', colocate_with => ''none'')'),
        ('SELECT create_distributed_table(''mqtt.mqtt_dead_letters'', ''organization_id'', colocate_with => ''mqtt.mqtt_publish_receipts'')'),
        ('SELECT create_distributed_table(''mqtt.integration_activity_log'', ''organization_id'', colocate_with => ''mqtt.mqtt_publish_receipts'')')$$,
    'the statements that distribute it'
);
SELECT * FROM finish();
ROLLBACK;
