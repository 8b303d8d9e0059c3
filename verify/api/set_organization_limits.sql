-- Verify topicbase:api/set_organization_limits on pg
BEGIN;
SELECT mqtt.verify_function(
    'api.set_organization_limits(uuid, numeric, integer, bigint, integer, integer, integer, integer, integer, integer, integer, bigint, numeric, integer, integer, integer, integer)',
    true, 'v', '{service_role}'
);
ROLLBACK;
