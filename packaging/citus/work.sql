-- What moves packed days to an archive, and what it forgets; read by attach.sql.
CREATE FUNCTION archive.begin_day(archive_after integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_before CONSTANT date := now()::date - archive_after;
BEGIN
    INSERT INTO archive.runs (run, source_run, day)
    SELECT nextval(pg_get_serial_sequence('mqtt.packed_days', 'run')), x.run, x.day
    FROM (
        SELECT d.run, d.day
        FROM mqtt.packed_days AS d
        WHERE d.state = 'dropped' AND d.day < v_before AND EXISTS (SELECT FROM ONLY mqtt.packs AS p WHERE p.run = d.run)
        UNION ALL
        -- What came with organizations that moved here has no run of its own.
        SELECT 0, min(p.last_received_at)::date FROM ONLY mqtt.packs AS p WHERE p.run = 0 HAVING min(p.last_received_at)::date < v_before
    ) AS x
    ORDER BY x.day
    LIMIT 1;
    RETURN found;
END;
$$;
COMMENT ON FUNCTION archive.begin_day(integer) IS 'Takes up the oldest day whose packs are here and that ended so many days ago; false if there is none.';

CREATE FUNCTION archive.packs_of(run archive.runs, after_number bigint, most integer) RETURNS SETOF mqtt.packs
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT p.*
    FROM ONLY mqtt.packs AS p
    WHERE p.run = run.source_run AND p.number > after_number
        AND (run.source_run <> 0 OR (p.last_received_at >= run.day::timestamptz AND p.last_received_at < (run.day + 1)::timestamptz))
    ORDER BY p.number
    LIMIT most;
$$;
COMMENT ON FUNCTION archive.packs_of(archive.runs, bigint, integer) IS 'Packs of a day that are here, from after a number on.';

CREATE FUNCTION archive.copy_some(wanted archive.runs, most integer) RETURNS archive.runs
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_packs mqtt.packs [];
    v_count integer;
BEGIN
    -- What is there already if a transaction failed here after it was done there.
    DELETE FROM archive.packs AS p WHERE p.run = wanted.run AND p.number > wanted.last_number;
    v_packs := ARRAY(SELECT p FROM archive.packs_of(wanted, wanted.last_number, most) AS p);
    v_count := cardinality(v_packs);
    IF v_count = 0 THEN
        wanted.state := 'copied';
        wanted.copied_at := clock_timestamp();
        RETURN wanted;
    END IF;
    INSERT INTO archive.packs
    SELECT q.*
    FROM unnest(v_packs) AS p
    CROSS JOIN LATERAL jsonb_populate_record(p, jsonb_build_object('run', wanted.run)) AS q;
    wanted.last_number := v_packs[v_count].number;
    wanted.pack_count := wanted.pack_count + v_count;
    RETURN wanted;
END;
$$;
COMMENT ON FUNCTION archive.copy_some(archive.runs, integer) IS 'Copies the next packs of a day, which nobody reads there yet; the answer says how far it is.';

CREATE FUNCTION archive.show_day(wanted archive.runs) RETURNS archive.runs
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_here bigint [];
    v_there bigint [];
BEGIN
    -- A transaction keeps the snapshot that it has there: whoever has one of before the copy must not see the switch.
    IF (CASE
        WHEN pg_has_role('mqtt_owner', 'pg_read_all_stats', 'member') THEN EXISTS (
            SELECT
            FROM pg_stat_activity AS a
            WHERE a.datname = current_database() AND a.xact_start <= wanted.copied_at AND a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'
        )
        ELSE wanted.copied_at > now() - interval '1 day'
    END) THEN
        RETURN wanted;
    END IF;
    v_here := ARRAY(
        SELECT x.number
        FROM (
            SELECT p.number
            FROM ONLY mqtt.packs AS p
            WHERE p.number IN (SELECT q.number FROM archive.packs_of(wanted, 0, NULL) AS q)
            FOR UPDATE
        ) AS x
        ORDER BY 1
    );
    v_there := ARRAY(SELECT p.number FROM archive.packs AS p WHERE p.run = wanted.run ORDER BY 1);
    IF v_here = v_there THEN
        DELETE FROM ONLY mqtt.packs AS p WHERE p.number = ANY (v_here);
        wanted.state := 'archived';
        wanted.archived_at := clock_timestamp();
    ELSE
        -- Messages of the day were deleted meanwhile.
        RAISE LOG 'topicbase: % is copied to the archive again: % packs, of which % are there', wanted.day, cardinality(v_here), cardinality(v_there);
        wanted.state := 'copying';
        wanted.last_number := 0;
        wanted.pack_count := 0;
    END IF;
    RETURN wanted;
END;
$$;
COMMENT ON FUNCTION archive.show_day(archive.runs) IS
'Has readers see the packs of a day in the archive from now on, once no transaction is left that is older than the copy, if they are the same; otherwise the day is copied again.';

CREATE FUNCTION archive.apply_retention() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_term record;
    v_count bigint;
    v_packs bigint := 0;
BEGIN
    FOR v_term IN
        SELECT now() - make_interval(days => coalesce(o.completed_days, c.completed_days)) AS before, array_agg(o.number) AS organizations
        FROM mqtt.organizations AS o
        CROSS JOIN mqtt.configuration AS c
        GROUP BY 1
    LOOP
        DELETE FROM archive.packs AS p WHERE p.organization = ANY (v_term.organizations) AND p.last_received_at < v_term.before;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        v_packs := v_packs + v_count;
    END LOOP;
    DELETE FROM archive.runs AS r
    WHERE r.state = 'archived' AND r.day < now()::date - mqtt.longest_term('completed_days') - 1
        AND NOT (SELECT count(*) > 0 FROM archive.packs AS p WHERE p.run = r.run);
    RETURN v_packs;
END;
$$;
COMMENT ON FUNCTION archive.apply_retention() IS 'Deletes packs of the archive all of whose messages are past the term of their organization; returns how many.';

CREATE FUNCTION archive.forget_unknown() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_known CONSTANT integer [] := ARRAY(SELECT r.run FROM archive.runs AS r);
    v_packs bigint;
BEGIN
    DELETE FROM archive.packs AS p WHERE p.run <> ALL (v_known);
    GET DIAGNOSTICS v_packs = ROW_COUNT;
    RETURN v_packs;
END;
$$;
COMMENT ON FUNCTION archive.forget_unknown() IS
'After this database was restored from a backup: deletes what was archived since that backup, which it has here again; returns how many packs.';

CREATE FUNCTION archive.step(archive_after integer, most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_was archive.runs;
    v_is archive.runs;
BEGIN
    PERFORM pg_advisory_xact_lock(mqtt.maintenance_lock(), 0);
    SELECT r.* INTO v_was FROM archive.runs AS r WHERE r.state <> 'archived' LIMIT 1;
    IF NOT found THEN
        IF archive.begin_day(archive_after) THEN
            RETURN '{"more": true}';
        END IF;
        RETURN jsonb_build_object('packs_deleted', archive.apply_retention(), 'more', false);
    END IF;
    v_is := CASE v_was.state WHEN 'copying' THEN archive.copy_some(v_was, most) ELSE archive.show_day(v_was) END;
    UPDATE archive.runs AS r
    SET state = v_is.state, last_number = v_is.last_number, pack_count = v_is.pack_count, copied_at = v_is.copied_at, archived_at = v_is.archived_at
    WHERE r.run = v_is.run;
    RETURN jsonb_build_object(
        'day', v_is.day, 'state', v_is.state, 'packs', v_is.pack_count, 'more', v_is.state <> 'copied' OR v_was.state <> 'copied'
    );
END;
$$;
COMMENT ON FUNCTION archive.step(integer, integer) IS
'One step: copies so many packs, or shows a day, or deletes what is past its term. Answers where it is, and "more" if it should be called again at once.';

CREATE PROCEDURE archive.work(archive_after integer, most integer DEFAULT 1000)
LANGUAGE plpgsql
AS $$
DECLARE
    v_done jsonb;
BEGIN
    LOOP
        v_done := archive.step(archive_after, most);
        COMMIT;
        RAISE NOTICE '%', v_done;
        EXIT WHEN NOT (v_done ->> 'more')::boolean;
    END LOOP;
END;
$$;
COMMENT ON PROCEDURE archive.work(integer, integer) IS
'Moves what was packed of days that ended so many days ago to the archive, so many packs a transaction, and deletes what is past its term there. A day that transactions from before may still read here waits for the next call.';
