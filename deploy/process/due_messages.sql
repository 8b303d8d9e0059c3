-- Deploy topicbase:process/due_messages to pg
-- requires: ingest/quotas
-- requires: process/due_organizations
-- requires: process/share_due
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.due_messages(batch_size integer, elsewhere uuid [], OUT tids tid [], OUT messages integer, OUT cuts jsonb, OUT is_full boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- A plan made while the queue was empty would go on reading the whole table when it is not, dead rows and all.
SET enable_seqscan = off
-- With many dead rows the planner overestimates the look-up's cost and JIT-compiles it, which takes longer than the look-up itself.
SET jit = off
SET enable_bitmapscan = off
AS $$
DECLARE
    -- What this session remembers, as a hint: where each organization's waiting messages begin, so that a batch need not
    -- read past the rows deleted before it, which stay in the index while some old transaction may still see them.
    v_memory jsonb := coalesce(nullif(current_setting('topicbase.queue_memory', true), ''), '{}')::jsonb;
    v_now CONSTANT timestamptz := clock_timestamp();
    v_start CONSTANT uuid := coalesce(v_memory ->> 'last', '00000000-0000-0000-0000-000000000000')::uuid;
    -- A row may appear behind a mark when its transaction commits late. While batches are small, each looks back 2 s. At high rates two
    -- seconds are 80,000 dead rows, so a busy worker looks back only 0.1 s, and 3 s once a second. A commit that is up to 2 s late is
    -- therefore picked up within another second; a later one by the next sweep.
    v_margin CONSTANT interval := '2 seconds';
    v_busy_margin CONSTANT interval := '0.1 seconds';
    v_looked_back_at timestamptz := coalesce((v_memory ->> 'looked_back_at')::timestamptz, '-infinity');
    v_swept_at timestamptz := (v_memory ->> 'swept_at')::timestamptz;
    -- A sweep reads all dead rows: it is made less often the longer it took, or seemed to take by a clock that was set meanwhile.
    -- A clock that was set back makes all marks worthless.
    v_sweep_took interval := least(coalesce((v_memory ->> 'sweep_took')::interval, '0'), interval '2 seconds');
    v_is_sweep boolean := coalesce(v_now NOT BETWEEN v_swept_at AND v_swept_at + greatest(interval '5 seconds', 50 * v_sweep_took), true);
    -- So many organizations are remembered. Where more have rows, the next sweep goes on where the last one was cut off, when those are served.
    v_remembered CONSTANT integer := 1000;
    v_is_cut boolean := coalesce((v_memory ->> 'is_cut')::boolean, false);
    v_marks jsonb := coalesce(v_memory -> 'marks', '{}');
    v_seen bigint := coalesce((v_memory ->> 'seen')::bigint, 0);
    v_newer bigint := 0;
    v_looks integer := 0;
    -- Where workers are more than one, each leaves half of the organizations to the others.
    v_contended_at timestamptz := (v_memory ->> 'contended_at')::timestamptz;
    -- 64 organizations share a batch, or more where some of these do not need their share, as far as the server's table of locks has room.
    v_share integer := ceil(batch_size / 64.0);
    v_most integer := least(batch_size, 400, current_setting('max_connections')::integer * current_setting('max_locks_per_transaction')::integer / 16);
    v_paused CONSTANT uuid [] := mqtt.out_of_time() || elsewhere;
    -- Beside organizations that have few messages, none has more than 100 in a batch, so that the next one, with theirs, comes soon.
    v_shared_at timestamptz := (v_memory ->> 'shared_at')::timestamptz;
    v_most_each integer;
    v_locked record;
    v_busy uuid;
    v_candidates jsonb := '{}';
    v_kept uuid [] := '{}';
    v_last uuid;
    v_first timestamptz;
    v_new jsonb;
BEGIN
    IF v_is_cut AND v_now > v_swept_at + 5 * v_sweep_took THEN
        v_is_sweep := v_is_sweep OR (SELECT count(*) FILTER (WHERE m.id::uuid > v_start) < v_most FROM jsonb_object_keys(v_marks) AS m (id));
    END IF;
    <<look>>
    LOOP
        IF v_is_sweep THEN
            -- What is in the queue by now is found here; from then on only newer rows need to be looked at, and those that commit late.
            SELECT greatest(v_seen, s.last_value - 500 * 1048576) INTO v_seen FROM pgmq.q_mqtt_messages_msg_id_seq AS s;
            SELECT w.candidates, w.is_cut INTO v_candidates, v_is_cut FROM mqtt.sweep_queue(v_start, v_now - v_margin, v_remembered) AS w;
            v_sweep_took := clock_timestamp() - v_now;
            v_swept_at := v_now;
        ELSE
            -- Those remembered, and those of the newest rows.
            SELECT n.candidates || v_marks || v_candidates, n.last_seen, n.newer INTO v_candidates, v_seen, v_newer
            FROM mqtt.newest_in_queue(v_marks, v_seen, v_now, v_margin, v_remembered) AS n;
            IF v_now NOT BETWEEN v_looked_back_at AND v_looked_back_at + interval '1 second' THEN
                -- All of them, since those whose turn is later keep the mark until then.
                SELECT coalesce(jsonb_object_agg(c.key, least(c.value::timestamptz, v_now - interval '3 seconds')), '{}') INTO v_candidates
                FROM jsonb_each_text(v_candidates) AS c;
                v_looked_back_at := v_now;
            END IF;
        END IF;
        IF v_now BETWEEN v_contended_at AND v_contended_at + interval '1 second' THEN
            v_most := least(v_most, (SELECT greatest(1, (count(*) + 1) / 2) FROM jsonb_object_keys(v_candidates)));
        END IF;
        v_locked := mqtt.lock_organizations(v_candidates, v_start, v_now, v_share, v_most, batch_size, v_paused);
        v_kept := v_kept || v_locked.kept;
        IF v_locked.busy IS NOT NULL THEN
            v_contended_at := v_now;
            v_busy := coalesce(v_busy, v_locked.busy);
        END IF;
        -- All of the newest belong to organizations that other workers are at: who comes after them need not wait.
        v_looks := v_looks + 1;
        CONTINUE look WHEN v_locked.organizations = '{}' AND NOT v_is_sweep AND v_newer = 1000 AND v_looks < 20;
        -- Nothing where something was expected: look everywhere, though not more than once a second, nor for long.
        EXIT look WHEN v_locked.organizations <> '{}' OR v_is_sweep OR v_now < v_swept_at + greatest(interval '1 second', 10 * v_sweep_took);
        v_is_sweep := true;
    END LOOP;
    IF v_locked.organizations = '{}' AND v_locked.due > 1 THEN
        -- Another worker holds every organization and would retake them right after its commit; queueing on the lock gives this worker the next turn.
        v_first := mqtt.wait_for_organization(v_busy, (v_candidates ->> v_busy::text)::timestamptz, v_now);
        IF v_first IS NOT NULL THEN
            v_locked.organizations := ARRAY[v_busy];
            v_locked.firsts := ARRAY[v_first - interval '1 microsecond'];
            v_locked.waiting := ARRAY[batch_size];
        END IF;
    END IF;
    v_last := v_locked.organizations[cardinality(v_locked.organizations)];
    v_shared_at := CASE WHEN cardinality(v_locked.organizations) > 1 AND v_share > ANY (v_locked.waiting) THEN v_now ELSE v_shared_at END;
    v_most_each := CASE WHEN v_now BETWEEN v_shared_at AND v_shared_at + interval '1 second' THEN least(batch_size, greatest(v_share, 100)) ELSE batch_size END;
    SELECT d.tids, d.messages, d.cuts, d.marks INTO tids, messages, cuts, v_new
    FROM mqtt.share_due(v_locked.organizations, v_locked.firsts, v_locked.waiting, v_share, batch_size, v_most_each, v_now, v_margin, v_busy_margin) AS d;
    is_full := messages >= v_most_each;
    v_marks := v_candidates || coalesce(v_new, '{}');
    IF (SELECT count(*) FROM jsonb_object_keys(v_marks)) > v_remembered THEN
        -- Those that were looked at and left without messages are forgotten: the newest rows, or a sweep, will tell of their next ones.
        SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}') INTO v_marks
        FROM jsonb_each(v_marks) AS m
        WHERE m.key IN (SELECT k::text FROM unnest(v_kept) AS k)
            OR CASE WHEN v_last > v_start THEN m.key::uuid <= v_start OR m.key::uuid > v_last ELSE m.key::uuid <= v_start AND m.key::uuid > v_last END;
    END IF;
    PERFORM set_config(
        'topicbase.queue_memory',
        jsonb_build_object(
            'swept_at', v_swept_at, 'sweep_took', v_sweep_took, 'is_cut', v_is_cut, 'looked_back_at', v_looked_back_at,
            'contended_at', v_contended_at, 'shared_at', v_shared_at, 'seen', v_seen, 'last', v_last, 'marks', v_marks
        )::text, false
    );
END;
$$;
COMMENT ON FUNCTION mqtt.due_messages(integer, uuid []) IS
'Row addresses of the next messages to process, at most batch_size, oldest first, in messages how many they are, and in cuts of which work items only so many messages are to be taken: shared fairly among at most 64 organizations, or more when some need less than their share, each locked for this transaction; while some have few, no other has more than 100. is_full: there may be more. None of the organizations that are elsewhere. Keeps its speed while an old transaction holds back vacuum.';
COMMIT;
