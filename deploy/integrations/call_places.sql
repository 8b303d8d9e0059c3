-- Deploy topicbase:integrations/call_places to pg
-- requires: base/configuration
-- requires: base/locks
-- requires: base/refuse_for_now
-- requires: tenants/operators
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.try_places(lock integer, owner text, places integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    FOR v_place IN 1..places LOOP
        IF pg_try_advisory_xact_lock(lock, hashtext(owner || ' ' || v_place)) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END;
$$;
COMMENT ON FUNCTION mqtt.try_places(integer, text, integer) IS 'Takes one of so many places, until the end of the transaction; false where all are taken.';

CREATE OR REPLACE FUNCTION mqtt.take_call_place() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Users of no organization are one to the others; but operators.
    v_owner CONSTANT text := coalesce(
        (SELECT min(o.id::text) FROM unnest(mqtt.current_organization_ids()) AS o (id)),
        (SELECT p.user_id::text FROM mqtt.operators AS p WHERE p.user_id = mqtt.current_user_id()), ''
    );
    v_most CONSTANT integer := coalesce(
        (SELECT o.max_calls FROM mqtt.organizations AS o WHERE o.id::text = v_owner), (SELECT c.max_calls_per_organization FROM mqtt.configuration AS c)
    );
BEGIN
    IF mqtt.try_places(mqtt.call_lock(), v_owner, v_most) THEN
        RETURN;
    END IF;
    -- Short calls that come at once: another ends soon. Few wait, since they do so with a connection.
    IF mqtt.try_places(mqtt.call_lock() + 1, v_owner, (v_most + 2) / 3) THEN
        FOR v_try IN 1..50 LOOP
            PERFORM pg_sleep(0.02);
            IF mqtt.try_places(mqtt.call_lock(), v_owner, v_most) THEN
                RETURN;
            END IF;
        END LOOP;
    END IF;
    PERFORM mqtt.refuse_for_now('429', 'too_many_calls', format('%s calls of the organization are running.', v_most), 1);
END;
$$;
COMMENT ON FUNCTION mqtt.take_call_place() IS
'Takes a place among the calls that run for the caller''s organization, until the end of the transaction, or waits up to a second for one. Raises 429 too_many_calls. Of a user in several organizations it is always the same one that counts.';
GRANT EXECUTE ON FUNCTION mqtt.take_call_place() TO authenticated;
COMMIT;
