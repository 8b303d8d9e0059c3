-- Deploy topicbase:tables/history_values to pg
-- requires: tables/history
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.history_flags(qos smallint, retain boolean, is_outgoing boolean, is_id_given boolean, is_time_given boolean) RETURNS smallint
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT (qos + retain::integer * 4 + is_outgoing::integer * 8 + is_id_given::integer * 16 + coalesce(is_time_given, false)::integer * 32)::smallint;
END;
COMMENT ON FUNCTION mqtt.history_flags(smallint, boolean, boolean, boolean, boolean) IS 'mqtt.history.flags.';

CREATE OR REPLACE FUNCTION mqtt.stored_after(received_at timestamptz, stored_at timestamptz) RETURNS integer
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT least(greatest(ceil(date_part('epoch', stored_at - date_trunc('milliseconds', received_at)) * 1000), 0), 2147483647)::integer;
END;
COMMENT ON FUNCTION mqtt.stored_after(timestamptz, timestamptz) IS 'mqtt.history.stored_after of a message stored at that time.';
COMMIT;
