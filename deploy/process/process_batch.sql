-- Deploy topicbase:process/process_batch to pg
-- requires: process/deferred_updates
-- requires: process/due_messages
-- requires: process/store_in_turns
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.leave_heavy(batch tid [], own uuid [], OUT tids tid [], OUT organizations uuid [])
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_memory jsonb;
    v_costs jsonb;
BEGIN
    IF own <> '{}' THEN
        -- Those are to be measured again.
        v_costs := coalesce(nullif(current_setting('topicbase.organization_costs', true), ''), '{}');
        SELECT v_costs || jsonb_object_agg(o.id, 10) INTO v_costs
        FROM unnest(own) AS o (id)
        WHERE (v_costs ->> o.id::text)::double precision > 10;
        PERFORM set_config('topicbase.organization_costs', v_costs::text, false) WHERE v_costs IS NOT NULL;
    END IF;
    organizations := ARRAY(SELECT p.organization_id FROM mqtt.batch_parts(batch) AS p WHERE p.is_heavy AND p.organization_id <> ALL (own));
    tids := batch;
    IF organizations = '{}' THEN
        RETURN;
    END IF;
    tids := ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q WHERE q.ctid = ANY (batch) AND q.organization_id <> ALL (organizations) ORDER BY q.vt);
    -- Where mqtt.due_messages goes on reading when they are back.
    v_memory := current_setting('topicbase.queue_memory')::jsonb;
    PERFORM set_config('topicbase.queue_memory', (v_memory || jsonb_build_object('marks', coalesce(v_memory -> 'marks', '{}') || (
        SELECT jsonb_object_agg(x.organization_id, x.first - interval '1 microsecond')
        FROM (
            SELECT q.organization_id, min(q.vt) AS first
            FROM (SELECT m.* FROM pgmq.q_mqtt_messages AS m WHERE m.ctid = ANY (batch) OFFSET 0) AS q
            WHERE q.organization_id = ANY (organizations)
            GROUP BY q.organization_id
        ) AS x
    )))::text, false);
END;
$$;
COMMENT ON FUNCTION mqtt.leave_heavy(tid [], uuid []) IS
'Of a batch, by row address, what is not of organizations whose messages are much work each (but for own), and those.';

CREATE OR REPLACE FUNCTION mqtt.process_batch(
    batch_size integer DEFAULT 1000, announces boolean DEFAULT false, elsewhere uuid [] DEFAULT NULL, own uuid [] DEFAULT '{}'
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_due record;
    v_tids tid [];
    v_counts integer [] := '{0,0,0}';
    v_began timestamptz;
    v_is_slow boolean := false;
    v_heavy uuid [] := '{}';
    v_was_slow CONSTANT boolean := coalesce(nullif(current_setting('topicbase.batch_was_slow', true), ''), 'false');
    v_looked_at CONSTANT timestamptz := coalesce(nullif(current_setting('topicbase.deferral_looked_at', true), ''), '-infinity');
BEGIN
    IF clock_timestamp() NOT BETWEEN v_looked_at AND v_looked_at + interval '1 second' AND mqtt.apply_due_updates() THEN
        RETURN jsonb_build_object('processed', 0, 'failed', 0, 'dead', 0, 'more', true);
    END IF;
    v_due := mqtt.due_messages(batch_size, coalesce(elsewhere, '{}'));
    v_tids := v_due.tids;
    IF v_tids <> '{}' THEN
        IF announces THEN
            -- Goes out at once, and so before what may end the session.
            RAISE INFO 'batch' USING DETAIL = v_tids::text;
        END IF;
        v_tids := mqtt.cut_items(v_tids, v_due.cuts);
        IF elsewhere IS NOT NULL THEN
            SELECT l.tids, l.organizations INTO v_tids, v_heavy FROM mqtt.leave_heavy(v_tids, own) AS l;
        END IF;
        v_began := clock_timestamp();
        IF v_was_slow OR (SELECT sum(p.ms) > 100 FROM mqtt.batch_parts(v_tids) AS p) THEN
            v_counts := mqtt.store_in_turns(v_tids);
            v_is_slow := v_counts[5] = 1;
        ELSE
            v_counts := mqtt.store_or_split(v_tids);
            -- Whose messages these are is measured with the next ones.
            v_is_slow := clock_timestamp() > v_began + interval '0.3 seconds';
        END IF;
        PERFORM set_config('topicbase.batch_was_slow', v_is_slow::text, false);
    END IF;
    RETURN jsonb_build_object(
        'processed', v_counts[1], 'failed', v_counts[2], 'dead', v_counts[3], 'more', v_due.is_full OR v_counts[4] IS NOT DISTINCT FROM 1
    ) || CASE v_counts[4] WHEN 1 THEN '{"is_cut": true}'::jsonb ELSE '{}'::jsonb END || CASE WHEN v_heavy <> '{}' THEN jsonb_build_object('heavy', v_heavy) ELSE '{}' END;
END;
$$;
COMMENT ON FUNCTION mqtt.process_batch(integer, boolean, uuid [], uuid []) IS
'Processes up to batch_size due messages; any number of workers may call it at once. Returns {"processed", "failed", "dead", "more"}; more: a full batch was taken, or updates that were deferred were made instead; call again. With "is_cut", it was more work than there was time for (mqtt.store_in_turns). With elsewhere, organizations whose messages are much work each are left for mqtt.process_heavy, but for own, and named in "heavy"; those that are elsewhere already are passed over. With announces, an INFO names the row addresses before they are processed: a caller whose session dies of one knows which to look at (mqtt.begin_attempt).';
COMMIT;
