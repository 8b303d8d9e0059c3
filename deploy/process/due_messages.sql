-- Deploy topicbase:process/due_messages to pg
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.due_messages(batch_size integer) RETURNS tid []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- A plan made while the queue was empty would go on reading the whole table when it is not, dead rows and all.
SET enable_seqscan = off
-- Dead rows make the planner think a look-up dear enough to be compiled, which takes longer than the look-up.
SET jit = off
SET enable_bitmapscan = off
AS $$
DECLARE
    -- What this session remembers, as a hint: where each organization's waiting messages begin, so that a batch need not
    -- read past the rows deleted before it, which stay in the index while some old transaction may still see them.
    v_memory jsonb := coalesce(nullif(current_setting('topicbase.queue_memory', true), ''), '{}')::jsonb;
    v_now CONSTANT timestamptz := clock_timestamp();
    v_start CONSTANT uuid := coalesce(v_memory ->> 'last', '00000000-0000-0000-0000-000000000000')::uuid;
    -- A row may come to light behind a mark, when its transaction commits late. While batches are small, each reads 2 seconds back. A busy
    -- worker, to whom that would be 80,000 dead rows, reads 0.1 second back, and once a second 3, so that who commits within 2 seconds waits
    -- one more at most; who takes longer is found by the next sweep.
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
    v_room integer := batch_size;
    v_due integer;
    v_busy uuid;
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
    v_candidates jsonb := '{}';
    v_organizations uuid [] := '{}';
    v_firsts timestamptz [] := '{}';
    v_waiting integer [] := '{}';
    v_kept uuid [] := '{}';
    v_last uuid;
    v_next record;
    v_first timestamptz;
    v_tids tid [];
    v_new jsonb;
BEGIN
    IF v_is_cut AND v_now > v_swept_at + 5 * v_sweep_took THEN
        v_is_sweep := v_is_sweep OR (SELECT count(*) FILTER (WHERE m.id::uuid > v_start) < v_most FROM jsonb_object_keys(v_marks) AS m (id));
    END IF;
    <<look>>
    LOOP
        IF v_is_sweep THEN
            -- What is in the queue by now is found here; from then on only newer rows need to be looked at, and those that commit late.
            SELECT greatest(v_seen, s.last_value - 500) INTO v_seen FROM pgmq.q_mqtt_messages_msg_id_seq AS s;
            -- Every organization with rows, one index probe each, going on after the last one served. Where the first is due later, others
            -- may come that are due at once.
            WITH RECURSIVE walk AS (
                SELECT v_start AS id, NULL::timestamptz AS vt, false AS is_round
                UNION ALL
                SELECT n.organization_id, n.vt, n.is_round
                FROM walk AS w
                CROSS JOIN LATERAL (
                    (
                        SELECT q.organization_id, q.vt, w.is_round
                        FROM pgmq.q_mqtt_messages AS q
                        WHERE q.organization_id > w.id
                        ORDER BY q.organization_id, q.vt
                        LIMIT 1
                    )
                    UNION ALL
                    SELECT '00000000-0000-0000-0000-000000000000', NULL, true
                    WHERE NOT w.is_round
                    LIMIT 1
                ) AS n
                WHERE NOT w.is_round OR w.id < v_start
            )
            SELECT coalesce(jsonb_object_agg(s.id, least(s.vt, v_now - v_margin) - interval '1 microsecond') FILTER (WHERE s.vt IS NOT NULL), '{}'), count(s.vt) >= v_remembered
            INTO v_candidates, v_is_cut
            FROM (SELECT w.id, w.vt FROM walk AS w LIMIT v_remembered + 2) AS s;
            v_sweep_took := clock_timestamp() - v_now;
            v_swept_at := v_now;
        ELSE
            -- Those remembered, and those of the newest rows.
            SELECT
                coalesce(jsonb_object_agg(x.organization_id, least(x.mark, v_now) - v_margin), '{}') || v_marks || v_candidates,
                coalesce(max(x.seen), v_seen), coalesce(sum(x.newer), 0)
            INTO v_candidates, v_seen, v_newer
            FROM (
                SELECT r.organization_id, min(r.vt) AS mark, max(r.msg_id) AS seen, count(*) AS newer
                FROM (
                    SELECT q.organization_id, q.vt, q.msg_id
                    FROM pgmq.q_mqtt_messages AS q
                    WHERE q.msg_id > v_seen AND (SELECT count(*) FROM jsonb_object_keys(v_marks)) <= v_remembered
                    ORDER BY q.msg_id
                    LIMIT 1000
                ) AS r
                GROUP BY r.organization_id
            ) AS x;
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
        v_due := 0;
        FOR v_next IN
            SELECT c.id, f.first, f.waiting
            FROM (
                SELECT j.key::uuid AS id, j.value::timestamptz AS mark FROM jsonb_each_text(v_candidates) AS j ORDER BY j.key::uuid <= v_start, j.key::uuid
            ) AS c
            CROSS JOIN LATERAL (
                SELECT min(x.vt) AS first, count(*) AS waiting
                FROM (
                    SELECT q.vt
                    FROM pgmq.q_mqtt_messages AS q
                    WHERE q.organization_id = c.id AND q.vt > c.mark AND q.vt <= v_now
                    ORDER BY q.vt
                    LIMIT v_share
                ) AS x
            ) AS f
            WHERE f.waiting > 0
        LOOP
            EXIT look WHEN v_room = 0 OR cardinality(v_organizations) >= v_most;
            v_due := v_due + 1;
            -- One worker at a time takes from an organization: that keeps order and spares deadlocks.
            IF pg_try_advisory_xact_lock(1953460323, hashtext(v_next.id::text)) THEN
                v_organizations := v_organizations || v_next.id;
                -- What is dead has been read once now, and need not be again below.
                v_firsts := v_firsts || v_next.first - interval '1 microsecond';
                v_waiting := v_waiting || least(v_next.waiting, v_room)::integer;
                v_room := v_room - least(v_next.waiting, v_room)::integer;
                IF v_next.waiting >= v_share THEN
                    v_kept := v_kept || v_next.id;
                END IF;
            ELSE
                v_kept := v_kept || v_next.id;
                v_contended_at := v_now;
                v_busy := coalesce(v_busy, v_next.id);
            END IF;
        END LOOP;
        -- All of the newest belong to organizations that other workers are at: who comes after them need not wait.
        v_looks := v_looks + 1;
        CONTINUE look WHEN v_organizations = '{}' AND NOT v_is_sweep AND v_newer = 1000 AND v_looks < 20;
        -- Nothing where something was expected: look everywhere, though not more than once a second, nor for long.
        EXIT look WHEN v_organizations <> '{}' OR v_is_sweep OR v_now < v_swept_at + greatest(interval '1 second', 10 * v_sweep_took);
        v_is_sweep := true;
    END LOOP;
    IF v_organizations = '{}' AND v_due > 1 THEN
        -- Another worker has them all, and would again a moment after its commit: who waits in line comes first, and shows that it is there.
        BEGIN
            PERFORM set_config('lock_timeout', '50ms', true);
            PERFORM pg_advisory_xact_lock(1953460323, hashtext(v_busy::text));
            PERFORM set_config('lock_timeout', v_lock_timeout, true);
            SELECT q.vt INTO v_first
            FROM pgmq.q_mqtt_messages AS q
            WHERE q.organization_id = v_busy AND q.vt > (v_candidates ->> v_busy::text)::timestamptz AND q.vt <= v_now
            ORDER BY q.vt
            LIMIT 1;
            IF found THEN
                v_organizations := ARRAY[v_busy];
                v_firsts := ARRAY[v_first - interval '1 microsecond'];
                v_waiting := ARRAY[batch_size];
            END IF;
        EXCEPTION
            WHEN lock_not_available THEN
                NULL;
        END;
    END IF;
    v_last := v_organizations[cardinality(v_organizations)];
    WITH due AS MATERIALIZED (
        SELECT
            o.id,
            o.mark,
            CASE
                WHEN s.share = v_share THEN o.waiting
                WHEN cardinality(v_organizations) = 1 THEN batch_size
                ELSE (
                    SELECT count(*)
                    FROM (
                        SELECT FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = o.id AND q.vt > o.mark AND q.vt <= v_now LIMIT s.share
                    ) AS x
                )
            END AS waiting,
            s.share
        FROM unnest(v_organizations, v_firsts, v_waiting) AS o (id, mark, waiting)
        CROSS JOIN (SELECT greatest(v_share, ceil(batch_size::numeric / greatest(1, cardinality(v_organizations))))) AS s (share)
    ),
    -- What some organizations do not need of their share goes to those that do.
    spare AS (
        SELECT greatest(0, floor((batch_size - sum(d.waiting)) / nullif(count(*) FILTER (WHERE d.waiting = d.share), 0)))::bigint AS each FROM due AS d
    ),
    taken AS MATERIALIZED (
        SELECT t.*
        FROM due AS d
        CROSS JOIN spare AS s
        CROSS JOIN LATERAL (
            SELECT q.organization_id, q.ctid AS tid, q.vt
            FROM pgmq.q_mqtt_messages AS q
            WHERE q.organization_id = d.id AND q.vt > d.mark AND q.vt <= v_now
            ORDER BY q.vt
            LIMIT d.waiting + CASE WHEN d.waiting = d.share THEN coalesce(s.each, 0) ELSE 0 END
        ) AS t
    )
    SELECT coalesce(array_agg(t.tid), '{}'), (SELECT jsonb_object_agg(m.organization_id, m.mark) FROM (
        SELECT x.organization_id, max(x.vt) - CASE WHEN (SELECT count(*) FROM taken) * 10 >= batch_size THEN v_busy_margin ELSE v_margin END AS mark
        FROM taken AS x
        GROUP BY x.organization_id
    ) AS m)
    INTO v_tids, v_new
    FROM taken AS t;
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
            'contended_at', v_contended_at, 'seen', v_seen, 'last', v_last, 'marks', v_marks
        )::text, false
    );
    RETURN v_tids;
END;
$$;
COMMENT ON FUNCTION mqtt.due_messages(integer) IS
'Row addresses of the next messages to process, at most batch_size, oldest first and shared fairly among at most 64 organizations, or more when some need less than their share, each locked for this transaction. Keeps its speed while an old transaction holds back vacuum.';
COMMIT;
