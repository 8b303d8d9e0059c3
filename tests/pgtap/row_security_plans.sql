-- What row-level security costs is in the plan: the memberships are read once for a statement, as an InitPlan, and the index is used as without it.
\ir setup.psql
CREATE TABLE tap.tenant_table AS
SELECT c.oid::regclass::text AS name
FROM pg_class AS c
WHERE c.relnamespace = 'mqtt'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND has_any_column_privilege('authenticated', c.oid, 'select')
    AND (c.oid = 'mqtt.organizations'::regclass OR EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'organization_id'));
GRANT SELECT ON tap.tenant_table TO public;
SELECT plan(16 + 2 * (SELECT count(*) FROM tenant_table)::integer);
SELECT cmp_ok((SELECT count(*) FROM tenant_table), '>=', 12::bigint, 'tables of tenants');

SELECT act_as('authenticated', :'anna');
SELECT matches(plan_of('SELECT FROM ' || t.name), 'InitPlan.*current_organization_ids', 'once a statement: ' || t.name) FROM tenant_table AS t ORDER BY t.name;
SELECT doesnt_match(plan_of('SELECT FROM ' || t.name), '(Filter|Cond): [^\n]*(mqtt\.\w+\(|SubPlan)', 'nothing is called per row: ' || t.name)
FROM tenant_table AS t ORDER BY t.name;

-- A table of the test's is too small for an index to pay.
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_sort = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
-- The half of the view that is not packed: packs have no order of their own, so a whole plan has a sort, which is disabled here.
\set last_100 'SELECT * FROM %s AS m WHERE NOT m.is_packed AND m.organization_id = %L ORDER BY m.received_at DESC LIMIT 100'
SELECT plan_of(format(:'last_100', 'mqtt.mqtt_messages', :'org_alice')) AS member \gset
SELECT act_as('service_role');
SELECT plan_of(format(:'last_100', 'mqtt.mqtt_messages', :'org_alice')) AS service \gset
SELECT act_as('none');
SELECT unalike(:'service'::text, '%current_organization%', 'the same without row-level security');
SELECT is(
    (SELECT count(*) FROM regexp_matches(:'member'::text, 'Index Scan Backward using history_\w+_received_at_organization_idx', 'g')),
    (SELECT count(*) FROM pg_inherits WHERE inhparent = 'mqtt.history'::regclass), 'the last 100: each partition backwards by its index'
);
SELECT is(
    (SELECT count(*) FROM regexp_matches(:'member'::text, 'Index Scan Backward using history_\w+_received_at_organization_idx', 'g')),
    (SELECT count(*) FROM regexp_matches(:'service'::text, 'Index Scan Backward using history_\w+_received_at_organization_idx', 'g')), 'as without row-level security'
);
SELECT doesnt_match(:'member'::text, '->  (Sort|Incremental Sort|Seq Scan on mqtt\.(history|topics)|Bitmap)', 'nothing is sorted or scanned as a whole');
SELECT matches(:'member'::text, '(Filter|Index Cond): \(+x_1\.organization = ANY \((\$\d+|\(InitPlan \d+\)\.col1)\)', 'membership is asked for in the order of the index');
SELECT is(
    (SELECT count(*) FROM regexp_matches(:'member'::text, 'mqtt\.(current_organization_(ids|numbers)|key_integration_ids)\(', 'g')),
    (SELECT count(*) - 1 FROM regexp_matches(:'member'::text, '\n\s*InitPlan', 'g')), 'memberships are read by InitPlans alone, beside the days that are packed'
);

-- What that costs is a plan that PL/pgSQL keeps, and a claim that is read once.
SELECT matches(
    plan_of('SELECT mqtt.current_user_id()'), 'Output: \(*"substring"', 'the caller''s id is an expression, not a call'
);
CREATE FUNCTION tap.id_of(sub text) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tap.act_as('none', sub);
    RETURN mqtt.current_user_id();
END;
$$;
SELECT is(id_of(upper(:'anna')), :'anna'::uuid, 'a sub that is a UUID is the caller''s id');
SELECT is(id_of(v.sub), NULL, 'none: ' || coalesce(to_json(v.sub)::text, 'null'))
FROM (VALUES (NULL), (''), ('admin'), (format('{%s}', :'anna')), (format(E'%s\n', :'anna')), (format(' %s', :'anna')), (replace(:'anna', '-', ''))) AS v (sub);
SELECT * FROM finish();
ROLLBACK;
