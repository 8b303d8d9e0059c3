-- Deploy topicbase:tables/packed_changes to pg
-- requires: tables/packs
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.refuse_packed_day(day date) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'day_packed' USING
        ERRCODE = 'PT409',
        DETAIL = format('The messages received on %s (UTC) are packed, or have begun to be since this transaction took its snapshot.', day),
        HINT = 'A packed day takes no further messages, and its messages are not interpreted again.';
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_packed_day(date) IS 'Raises PT409 day_packed.';

CREATE OR REPLACE FUNCTION mqtt.note_packed_change() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_state text;
BEGIN
    -- Holds back whoever would show the packs, until this transaction ends, and waits for them.
    UPDATE mqtt.packed_days AS d
    SET changed_by = pg_current_xact_id()
    WHERE d.day = tg_argv[0]::date AND d.changed_by IS DISTINCT FROM pg_current_xact_id();
    SELECT d.state INTO v_state FROM mqtt.packed_days AS d WHERE d.day = tg_argv[0]::date;
    -- Null: with an older snapshot.
    IF v_state IS NULL OR tg_op <> 'DELETE' AND v_state <> 'packing' THEN
        PERFORM mqtt.refuse_packed_day(tg_argv[0]::date);
    END IF;
    RETURN CASE WHEN tg_op = 'DELETE' THEN OLD ELSE NEW END;
END;
$$;
COMMENT ON FUNCTION mqtt.note_packed_change() IS
'Trigger of a day''s partition of the history, from when its packing begins: what changes meanwhile has it packed again; afterwards only deletions pass.';
COMMIT;
