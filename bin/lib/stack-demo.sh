# shellcheck shell=bash
# The demo's tenant in the local stack; sourced by bin/stack.

demo_organization_id='' demo_integration_id='' demo_user_id=''

load_demo() {
    local name value
    [[ -f $run/demo ]] || return 0
    while IFS='=' read -r name value; do
        case $name in
            DEMO_ORGANIZATION_ID) demo_organization_id=$value ;;
            DEMO_INTEGRATION_ID) demo_integration_id=$value ;;
            DEMO_USER_ID) demo_user_id=$value ;;
        esac
    done < "$run/demo"
}

# The demo's admin, for what acts as them: someone may have removed all admins.
require_demo_user() {
    load_demo
    [[ -n $demo_user_id ]] || die "the demo's organization has no admin: run bin/stack up, which adds one"
}

command_console() {
    [[ -f $run/secrets && -f $run/demo ]] || die "the stack was never started here: run make up"
    load_ports
    load_secrets
    require_demo_user
    printf 'http://127.0.0.1:%s/console/#token=' "${port[GATEWAY]}"
    # The secret goes through a pipe, since all users see arguments.
    printf '%s\n' "${secret[JWT_SECRET]}" "$jwt_audience" "$demo_user_id" | "$root/.venv/bin/python" -c '
import sys, time, jwt
secret, audience, user = sys.stdin.read().split()
print(jwt.encode({"role": "authenticated", "sub": user, "aud": audience, "exp": int(time.time()) + 86400}, secret, algorithm="HS256"))'
}

# Uses the product's own functions: the organization is created as the service would, the integration as its admin would. Its admin is an
# operator, too. Where all admins were removed, or left, the one of before is added again.
provision_demo() {
    load_demo
    superuser_psql --tuples-only --no-align --set=former="$demo_user_id" --file=- > "$run/demo.new" << 'SQL'
SET client_min_messages = warning;
SELECT count(*) = 0 AS missing FROM mqtt.organizations WHERE slug = 'demo' \gset
\if :missing
    BEGIN;
    SELECT gen_random_uuid() AS admin \gset
    SELECT set_config('request.jwt.claims', '{"role": "service_role"}', true) \g /dev/null
    SET LOCAL ROLE service_role;
    SELECT api.create_organization(name => 'Demo', slug => 'demo', admin_user_id => :'admin') \g /dev/null
    RESET ROLE;
    SELECT id AS organization FROM mqtt.organizations WHERE slug = 'demo' \gset
    SELECT set_config('request.jwt.claims', json_build_object('role', 'authenticated', 'sub', :'admin')::text, true) \g /dev/null
    SET LOCAL ROLE authenticated;
    SELECT api.upsert_integration(
        organization_id => :'organization', name => 'Hosted broker', integration_type => 'mqtt_hosted', settings => '{}') \g /dev/null
    RESET ROLE;
    COMMIT;
\endif
SELECT NOT EXISTS (
    SELECT FROM mqtt.organization_members AS m INNER JOIN mqtt.organizations AS o ON m.organization_id = o.id
    WHERE o.slug = 'demo' AND m.role = 'admin'
) AS has_no_admin \gset
\if :has_no_admin
    BEGIN;
    SELECT set_config('request.jwt.claims', '{"role": "service_role"}', true) \g /dev/null
    SET LOCAL ROLE service_role;
    SELECT api.add_organization_member(o.id, coalesce(nullif(:'former', '')::uuid, gen_random_uuid()), 'admin')
    FROM api.organizations AS o
    WHERE o.slug = 'demo' \g /dev/null
    COMMIT;
\endif
INSERT INTO mqtt.operators (user_id)
SELECT m.user_id
FROM mqtt.organization_members AS m INNER JOIN mqtt.organizations AS o ON m.organization_id = o.id
WHERE o.slug = 'demo' AND m.role = 'admin' ORDER BY m.created_at LIMIT 1
ON CONFLICT DO NOTHING;
SELECT 'DEMO_ORGANIZATION_ID=' || id FROM mqtt.organizations WHERE slug = 'demo';
SELECT 'DEMO_INTEGRATION_ID=' || i.id
FROM mqtt.device_integrations AS i INNER JOIN mqtt.organizations AS o ON i.organization_id = o.id
WHERE o.slug = 'demo' AND i.integration_type = 'mqtt_hosted' ORDER BY i.created_at LIMIT 1;
SELECT 'DEMO_USER_ID=' || m.user_id
FROM mqtt.organization_members AS m INNER JOIN mqtt.organizations AS o ON m.organization_id = o.id
WHERE o.slug = 'demo' AND m.role = 'admin' ORDER BY m.created_at LIMIT 1;
SQL
    mv "$run/demo.new" "$run/demo"
}
