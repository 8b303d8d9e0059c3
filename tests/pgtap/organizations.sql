-- api.create_organization and its members: who may, the happy path, each error.
\ir setup.psql
SELECT plan(48);
SELECT function_privs_are('api', 'create_organization', ARRAY['text', 'text', 'uuid'], 'anon', ARRAY[]::text[]);
SELECT function_privs_are('api', 'create_organization', ARRAY['text', 'text', 'uuid'], 'authenticated', ARRAY['EXECUTE']);
SELECT function_privs_are('api', 'add_organization_member', ARRAY['uuid', 'uuid', 'text'], 'anon', ARRAY[]::text[]);
SELECT function_privs_are('api', 'remove_organization_member', ARRAY['uuid', 'uuid'], 'anon', ARRAY[]::text[]);

SELECT act_as('service_role');
SELECT api.create_organization('Carol Ltd', 'carol', :'nobody') ->> 'id' AS org_carol \gset
SELECT is((SELECT o.topic_prefix FROM mqtt.organizations AS o WHERE o.id = :'org_carol'), 'org_carol', 'the prefix follows the slug');
SELECT is((SELECT m.role FROM mqtt.organization_members AS m WHERE m.organization_id = :'org_carol'), 'admin', 'its admin is an admin');
SELECT is((SELECT o.max_per_second FROM mqtt.organizations AS o WHERE o.id = :'org_carol'), NULL, 'without limit by default');
SELECT act_as('none');
UPDATE mqtt.configuration SET default_max_per_second = 2000;
SELECT act_as('service_role');
SELECT is(api.create_organization('Limited', 'limited') -> 'max_per_second', '2000', 'or with the installation''s limit for new ones');
SELECT refuses($$SELECT api.create_organization('Carol', 'carol')$$, 'PT409', 'slug_taken', 'a slug once');
SELECT refuses($$SELECT api.create_organization('Carol', 'Carol')$$, 'PT400', 'slug_invalid', 'an upper case slug');
SELECT refuses($$SELECT api.create_organization('Carol', 'a/b')$$, 'PT400', 'slug_invalid', 'a slug with a topic separator');
SELECT refuses($$SELECT api.create_organization('Carol', NULL)$$, 'PT400', 'slug_invalid', 'no slug');
SELECT refuses($$SELECT api.create_organization('', 'dave')$$, 'PT400', 'name_invalid', 'an empty name');
SELECT refuses(format('SELECT api.create_organization(%L, %L)', repeat('x', 201), 'dave'), 'PT400', 'name_invalid', 'a long name');

SELECT act_as('authenticated', :'alice');
SELECT refuses($$SELECT api.create_organization('Dave', 'dave')$$, 'PT403', 'operator_required', 'an admin of an organization is not an operator');
SELECT is(api.add_organization_member(:'org_alice', :'nobody', 'admin') ->> 'status', 'invited', 'an admin invites');
SELECT is(api.add_organization_member(:'org_alice', :'nobody') ->> 'role', 'member', 'and says again as what');
SELECT is(jsonb_path_query_array(api.list_organization_invitations(:'org_alice'), '$[*].user_id'), to_jsonb(ARRAY[:'nobody']), 'an admin sees the invitation');
SELECT is(api.list_organization_invitations(), '[]', 'which is not the admin''s');
SELECT refuses(format('SELECT api.list_organization_invitations(%L)', :'org_bob'), 'PT404', 'organization_not_found', 'others'' invitations');
SELECT act_as('authenticated', :'bob');
SELECT refuses(format('SELECT api.accept_organization_invitation(%L)', :'org_alice'), 'PT404', 'invitation_not_found', 'another''s invitation');
SELECT act_as('authenticated', :'nobody');
SELECT is((SELECT count(*) FROM api.organizations AS o WHERE o.id = :'org_alice'), 0::bigint, 'who is only invited is no member');
SELECT is(api.list_organization_invitations() -> 0 ->> 'organization_name', 'Alice Ltd', 'but sees by whom');
SELECT is(api.remove_organization_member(:'org_alice', :'nobody') ->> 'status', 'invited', 'may decline');
SELECT refuses(format('SELECT api.accept_organization_invitation(%L)', :'org_alice'), 'PT404', 'invitation_not_found', 'and then not accept');
SELECT act_as('authenticated', :'alice');
SELECT api.add_organization_member(:'org_alice', :'nobody');
SELECT act_as('authenticated', :'nobody');
SELECT is(api.accept_organization_invitation(:'org_alice') ->> 'status', 'member', 'or accepts');
SELECT is((SELECT count(*) FROM api.organizations AS o WHERE o.id = :'org_alice'), 1::bigint, 'and is a member');
SELECT is(api.remove_organization_member(:'org_alice', :'nobody') ->> 'status', 'member', 'who may leave');
SELECT refuses(format('SELECT api.remove_organization_member(%L, %L)', :'org_alice', :'nobody'), 'PT404', 'organization_not_found', 'once');
SELECT act_as('service_role');
SELECT is(api.add_organization_member(:'org_alice', :'nobody') ->> 'status', 'member', 'service_role adds a member');
SELECT act_as('authenticated', :'alice');
SELECT is(api.add_organization_member(:'org_alice', :'nobody', 'admin') ->> 'role', 'admin', 'and makes it an admin');
SELECT is(api.add_organization_member(:'org_alice', :'nobody', 'member') ->> 'role', 'member', 'and a member again');
SELECT is(api.remove_organization_member(:'org_alice', :'nobody') ->> 'user_id', :'nobody', 'and removes it');
SELECT refuses(format('SELECT api.remove_organization_member(%L, %L)', :'org_alice', :'nobody'), 'PT404', 'member_not_found', 'only once');
SELECT refuses(format('SELECT api.add_organization_member(%L, %L)', :'org_alice', :'alice'), 'PT409', 'last_admin', 'the last admin stays one');
SELECT refuses(format($$SELECT api.add_organization_member(%L, %L, 'owner')$$, :'org_alice', :'nobody'), 'PT400', 'member_invalid', 'an unknown role');
SELECT refuses(format('SELECT api.add_organization_member(%L, NULL)', :'org_alice'), 'PT400', 'member_invalid', 'no user');
SELECT refuses(
    format('SELECT api.add_organization_member(%L, %L)', :'org_bob', :'alice'), 'PT404', 'organization_not_found', 'another organization is invisible'
);
SELECT refuses(
    format('SELECT api.remove_organization_member(%L, %L)', :'org_bob', :'bob'), 'PT404', 'organization_not_found', 'for removal too'
);
-- Accepted later, an invitation that is left over would make an admin a member again, perhaps the last one.
SELECT act_as('authenticated', :'alice');
SELECT is(api.add_organization_member(:'org_alice', :'nobody') ->> 'status', 'invited', 'who is invited as a member');
SELECT act_as('service_role');
SELECT is(api.add_organization_member(:'org_alice', :'nobody', 'admin') ->> 'status', 'member', 'and is made an admin meanwhile');
SELECT act_as('authenticated', :'nobody');
SELECT refuses(format('SELECT api.accept_organization_invitation(%L)', :'org_alice'), 'PT404', 'invitation_not_found', 'has no invitation any longer');
SELECT is((SELECT o.role FROM api.organizations AS o WHERE o.id = :'org_alice'), 'admin', 'and stays an admin');
SELECT is(api.remove_organization_member(:'org_alice', :'nobody') ->> 'status', 'member', 'until it leaves');
SELECT act_as('authenticated', :'anna');
SELECT refuses(format('SELECT api.add_organization_member(%L, %L)', :'org_alice', :'nobody'), 'PT403', 'admin_required', 'a member may not');
SELECT refuses(format('SELECT api.remove_organization_member(%L, %L)', :'org_alice', :'alice'), 'PT403', 'admin_required', 'nor remove');
SELECT is(api.remove_organization_member(:'org_alice', :'anna') ->> 'user_id', :'anna', 'but leave');
SELECT act_as('authenticated', :'alice');
SELECT is(api.remove_organization_member(:'org_alice', :'alice') ->> 'user_id', :'alice', 'even the last admin');
SELECT * FROM finish();
ROLLBACK;
