-- Deploy topicbase:due_messages to pg
-- requires: queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.due_messages(batch_size integer) RETURNS tid []
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
    v_swept_at CONSTANT timestamptz := (v_memory ->> 'swept_at')::timestamptz;
    -- A sweep reads all dead rows: it is made less often the longer it took, or seemed to take by a clock that was set meanwhile.
    -- A clock that was set back makes all marks worthless.
    v_sweep_took interval := least(coalesce((v_memory ->> 'sweep_took')::interval, '0'), interval '2 seconds');
    v_is_sweep boolean := coalesce(v_now NOT BETWEEN v_swept_at AND v_swept_at + greatest(interval '5 seconds', 50 * v_sweep_took), true);
    v_seen bigint := coalesce((v_memory ->> 'seen')::bigint, 0);
    v_newer bigint := 0;
    v_looks integer := 0;
    -- Where workers are more than one, each leaves half of the organizations to the others.
    v_contended_at timestamptz := (v_memory ->> 'contended_at')::timestamptz;
    v_most integer := least(64, batch_size);
    v_due integer;
    v_busy uuid;
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
    v_candidates jsonb := '{}';
    v_organizations uuid [] := '{}';
    v_marks timestamptz [] := '{}';
    v_last uuid := v_start;
    v_next record;
    v_first timestamptz;
    v_share integer;
    v_tids tid [];
    v_new jsonb;
BEGIN
    <<look>>
    LOOP
        IF v_is_sweep THEN
            -- Every organization with rows, one index probe each, going on after the last one served.
            v_candidates := '{}';
            v_last := v_start;
            FOR v_step IN 1..1000 LOOP
                SELECT q.organization_id AS id, q.vt AS mark INTO v_next
                FROM pgmq.q_mqtt_messages AS q
                WHERE q.organization_id > v_last
                ORDER BY q.organization_id, q.vt
                LIMIT 1;
                IF v_next.id IS NULL THEN
                    EXIT WHEN v_last = '00000000-0000-0000-0000-000000000000' OR v_candidates ? '~';
                    v_candidates := v_candidates || '{"~": null}';
                    v_last := '00000000-0000-0000-0000-000000000000';
                    CONTINUE;
                END IF;
                EXIT WHEN v_candidates ? v_next.id::text;
                v_last := v_next.id;
                v_candidates := v_candidates || jsonb_build_object(v_next.id::text, v_next.mark - interval '1 microsecond');
            END LOOP;
            v_candidates := v_candidates - '~';
            v_sweep_took := clock_timestamp() - v_now;
            v_memory := jsonb_set(v_memory, '{swept_at}', to_jsonb(v_now));
        ELSE
            -- Those remembered, and those of the newest rows.
            SELECT
                coalesce(jsonb_object_agg(x.organization_id, x.mark - v_margin), '{}') || coalesce(v_memory -> 'marks', '{}') || v_candidates,
                coalesce(max(x.seen), v_seen), coalesce(sum(x.newer), 0)
            INTO v_candidates, v_seen, v_newer
            FROM (
                SELECT r.organization_id, min(r.vt) AS mark, max(r.msg_id) AS seen, count(*) AS newer
                FROM (
                    SELECT q.organization_id, q.vt, q.msg_id FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id > v_seen ORDER BY q.msg_id LIMIT 1000
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
            SELECT c.key::uuid AS id, c.value::timestamptz AS mark
            FROM jsonb_each_text(v_candidates) AS c
            ORDER BY c.key::uuid <= v_start, c.key::uuid
        LOOP
            EXIT look WHEN cardinality(v_organizations) >= v_most;
            SELECT q.vt INTO v_first
            FROM pgmq.q_mqtt_messages AS q
            WHERE q.organization_id = v_next.id AND q.vt > v_next.mark AND q.vt <= v_now
            ORDER BY q.vt
            LIMIT 1;
            CONTINUE WHEN NOT found;
            v_due := v_due + 1;
            -- One worker at a time takes from an organization: that keeps order and spares deadlocks.
            IF pg_try_advisory_xact_lock(1953460323, hashtext(v_next.id::text)) THEN
                v_organizations := v_organizations || v_next.id;
                -- What is dead has been read once now, and need not be again below.
                v_marks := v_marks || v_first - interval '1 microsecond';
            ELSE
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
                v_marks := ARRAY[v_first - interval '1 microsecond'];
            END IF;
        EXCEPTION
            WHEN lock_not_available THEN
                NULL;
        END;
    END IF;
    v_share := ceil(batch_size::numeric / greatest(1, cardinality(v_organizations)));
    WITH due AS MATERIALIZED (
        SELECT
            o.id,
            o.mark,
            CASE
                WHEN cardinality(v_organizations) = 1 THEN batch_size
                ELSE (
                    SELECT count(*)
                    FROM (
                        SELECT FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = o.id AND q.vt > o.mark AND q.vt <= v_now LIMIT v_share
                    ) AS x
                )
            END AS waiting
        FROM unnest(v_organizations, v_marks) AS o (id, mark)
    ),
    -- What some organizations do not need of their share goes to those that do.
    spare AS (
        SELECT greatest(0, floor((batch_size - sum(d.waiting)) / nullif(count(*) FILTER (WHERE d.waiting = v_share), 0)))::bigint AS each FROM due AS d
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
            LIMIT d.waiting + CASE WHEN d.waiting = v_share THEN coalesce(s.each, 0) ELSE 0 END
        ) AS t
    )
    SELECT coalesce(array_agg(t.tid), '{}'), (SELECT jsonb_object_agg(m.organization_id, m.mark) FROM (
        SELECT x.organization_id, max(x.vt) - CASE WHEN (SELECT count(*) FROM taken) * 10 >= batch_size THEN v_busy_margin ELSE v_margin END AS mark
        FROM taken AS x
        GROUP BY x.organization_id
    ) AS m)
    INTO v_tids, v_new
    FROM taken AS t;
    v_candidates := v_candidates || coalesce(v_new, '{}');
    PERFORM set_config(
        'topicbase.queue_memory',
        jsonb_build_object(
            'swept_at', v_memory -> 'swept_at', 'sweep_took', v_sweep_took, 'looked_back_at', v_looked_back_at, 'contended_at', v_contended_at, 'seen', v_seen, 'last', v_organizations[cardinality(v_organizations)],
            'marks', CASE WHEN (SELECT count(*) FROM jsonb_object_keys(v_candidates)) <= 1000 THEN v_candidates ELSE '{}' END
        )::text, false
    );
    RETURN v_tids;
END;
$$;
COMMENT ON FUNCTION mqtt.due_messages(integer) IS
'Row addresses of the next messages to process, at most batch_size, oldest first and shared fairly among at most 64 organizations, each locked for this transaction. Keeps its speed while an old transaction holds back vacuum.';
COMMIT;
