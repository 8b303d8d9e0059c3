-- Deploy topicbase:base/locks to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.wakeup_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460322;
END;
COMMENT ON FUNCTION mqtt.wakeup_lock() IS
'Advisory lock of a sleeping bridge, with hashtext(subject): exclusive while a bridge sleeps on that subject, shared until commit by who writes what it waits for (mqtt.wake_bridge).';

CREATE OR REPLACE FUNCTION mqtt.processing_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460323;
END;
COMMENT ON FUNCTION mqtt.processing_lock() IS
'Advisory lock of the queue worker, with hashtext(organization_id::text): one worker at a time processes an organization, so that its order is kept.';

CREATE OR REPLACE FUNCTION mqtt.maintenance_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460324;
END;
COMMENT ON FUNCTION mqtt.maintenance_lock() IS
'Advisory lock of periodic maintenance, with 0: one caller at a time.';

CREATE OR REPLACE FUNCTION mqtt.outbound_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460325;
END;
COMMENT ON FUNCTION mqtt.outbound_lock() IS
'Advisory lock of the outbound queue, with 0: shared while a bridge claims, exclusive while messages are cancelled or expire, which must see every claim.';

CREATE OR REPLACE FUNCTION mqtt.capacity_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460326;
END;
COMMENT ON FUNCTION mqtt.capacity_lock() IS
'Advisory lock of mqtt.check_capacity, with 0: one bridge at a time looks.';

CREATE OR REPLACE FUNCTION mqtt.deferred_updates_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460327;
END;
COMMENT ON FUNCTION mqtt.deferred_updates_lock() IS
'Advisory lock of mqtt.apply_deferred_updates, with 0: one worker at a time applies them.';

CREATE OR REPLACE FUNCTION mqtt.topics_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460328;
END;
COMMENT ON FUNCTION mqtt.topics_lock() IS
'Advisory lock of an organization''s topics, with hashtext(organization_id::text): shared by who stores published messages, exclusive (with mqtt.processing_lock, which who stores received ones has) by who removes unused topics.';

CREATE OR REPLACE FUNCTION mqtt.settlement_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460341;
END;
COMMENT ON FUNCTION mqtt.settlement_lock() IS
'Advisory lock of published messages that are being settled, with an organization''s number: exclusive until the commit, so that their settlements are numbered in the order in which they become visible.';

CREATE OR REPLACE FUNCTION mqtt.client_id_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460340;
END;
COMMENT ON FUNCTION mqtt.client_id_lock() IS
'Advisory lock of client ids at the hosted broker, with a number from -63 to 63: one transaction at a time gives one of them to a login.';

CREATE OR REPLACE FUNCTION mqtt.wait_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460329;
END;
COMMENT ON FUNCTION mqtt.wait_lock() IS
'Advisory lock of a call that waits (mqtt.may_wait), with the number of its place among all, and 1953460330 with one among its organization''s.';

CREATE OR REPLACE FUNCTION mqtt.call_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460361;
END;
COMMENT ON FUNCTION mqtt.call_lock() IS
'Advisory lock of a member''s call (mqtt.take_call_place), with one of the places of their organization, and 1953460362 with a place among those that wait.';

CREATE OR REPLACE FUNCTION mqtt.rules_lock() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1953460351;
END;
COMMENT ON FUNCTION mqtt.rules_lock() IS
'Advisory lock of applying payload rules to stored messages, with hashtext(integration_id::text): one caller at a time.';

CREATE OR REPLACE FUNCTION mqtt.bridge_lock(subject uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT hashtextextended('topicbase ' || subject, 0);
END;
COMMENT ON FUNCTION mqtt.bridge_lock(uuid) IS 'Key of the advisory lock on a bridge or an integration.';
COMMIT;
