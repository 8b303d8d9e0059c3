-- Deploy topicbase:bridge/callback_outcome to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
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
    is_down boolean,
    is_slow boolean
);
COMMENT ON TYPE mqtt.callback_outcome IS
'What became of a request, and what that says about its receiver; without integration_id and url where the subscription is gone.';
COMMIT;
