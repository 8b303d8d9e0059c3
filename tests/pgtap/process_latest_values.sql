-- The latest values of a device, compared with those of its readings: last_data tells them while it has all metrics there are, devices.latest the others.
\ir setup.psql
SELECT plan(20);
SELECT function_privs_are('mqtt', 'latest_of', ARRAY['mqtt.devices'], 'anon', ARRAY[]::text []);
CREATE FUNCTION tap.tell(messages jsonb, batch_size integer DEFAULT 1000) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mqtt.count_accepted(i.organization_id, jsonb_array_length(messages)) FROM mqtt.device_integrations AS i WHERE i.name = current_setting('tap.integration');
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
    SELECT clock_timestamp(), jsonb_build_object('topic', 'org_alice/devices/meter/telemetry', 'payload', m.value), i.organization_id, i.id
    FROM mqtt.device_integrations AS i
    CROSS JOIN jsonb_array_elements(messages) WITH ORDINALITY AS m
    WHERE i.name = current_setting('tap.integration')
    ORDER BY m.ordinality;
    WHILE (mqtt.process_batch(batch_size) ->> 'more')::boolean LOOP
    END LOOP;
END;
$$;
CREATE FUNCTION tap.is_right(is_data_latest boolean, description text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    v_device mqtt.devices := (SELECT d FROM mqtt.devices AS d WHERE d.external_id = 'meter');
    v_readings jsonb;
BEGIN
    SELECT jsonb_object_agg(m.metric, jsonb_build_object('value', m.value, 'at', r.measured_at AT TIME ZONE 'UTC') ORDER BY r.measured_at, r.position)
    INTO v_readings
    FROM mqtt.readings AS r
    CROSS JOIN mqtt.payload_metrics(r.payload) AS m
    WHERE r.device_id = v_device.id;
    RETURN NEXT is(
        (
            SELECT jsonb_object_agg(l.key, jsonb_build_object('value', l.value -> 'value', 'at', (l.value ->> 'at')::timestamptz AT TIME ZONE 'UTC'))
            FROM jsonb_each(mqtt.latest_of(v_device)) AS l
        ), v_readings, description
    );
    RETURN NEXT is(v_device.is_data_latest, is_right.is_data_latest, 'and last_data is ' || CASE WHEN is_data_latest THEN 'a part' ELSE 'not a part' END || ' of them');
END;
$$;
SELECT set_config('tap.integration', name, true) FROM mqtt.device_integrations WHERE id = :'hosted' \g /dev/null
SELECT floor(date_part('epoch', now())) AS now \gset

SELECT tap.tell('[{"a": 1, "b": 2}]') \g /dev/null
SELECT * FROM tap.is_right(true, 'a first message');
SELECT tap.tell('[{"a": 2, "b": 3}, {"b": 4, "a": 3}]', 1) \g /dev/null
SELECT * FROM tap.is_right(true, 'others with the same metrics');
SELECT is(latest, '{}', 'for which nothing is written besides') FROM mqtt.devices WHERE external_id = 'meter';
SELECT tap.tell('[{"a": 4, "c": 1}, {"c": {"x": 1}, "d": [1], "b": 5}, {"a": 6}]', 1) \g /dev/null
SELECT * FROM tap.is_right(true, 'fewer, nested and other metrics, one after the other');
SELECT tap.tell(format('[{"a": 7, "c": 3}, 21.5, {"a": {"b": 1}}, {"a": 8, "long": "%s"}, {"b": 9, "a": 1}]', repeat('x', 1100))::jsonb) \g /dev/null
SELECT * FROM tap.is_right(true, 'likewise in one batch');
SELECT tap.tell(format('[{"a": 1, "z": 1, "ts": %1$s}, {"a": 2, "ts": "no time"}, {"a": 3, "ts": %2$s}]', :now - 50, :now + 60)::jsonb, 1) \g /dev/null
SELECT * FROM tap.is_right(true, 'times of the device, and something else of that name');
SELECT tap.tell(format('[{"a": 4, "late": 1, "ts": %1$s}, {"a": 5, "late": 2, "ts": %2$s}]', :now - 100, :now - 200)::jsonb) \g /dev/null
SELECT * FROM tap.is_right(false, 'what is older than that');
SELECT tap.tell(format('[{"a": 6, "ts": %1$s}]', :now + 70)::jsonb) \g /dev/null
SELECT * FROM tap.is_right(true, 'and what is newer again');
SELECT act_as('authenticated', :'alice');
SELECT set_config('TimeZone', 'Asia/Tokyo', true) \g /dev/null
SELECT is(latest -> 'a' ->> 'at', to_char(to_timestamp(:now + 70) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS+00:00'), 'the view tells the time in UTC, whatever the session''s time zone is')
FROM api.devices WHERE external_id = 'meter';
SELECT is(api.get_device('meter') -> 'latest', (SELECT d.latest FROM api.devices AS d WHERE d.external_id = 'meter'), 'calls tell the same as the view');
RESET ROLE;
CREATE TEMPORARY TABLE shapes AS
SELECT s.value AS shape FROM jsonb_array_elements(
    '[1, "a", null, [], ["a"], [{"a": 1}], {}, {"a": 1}, {"a": [1]}, {"a": {}}, {"a": {"b": 1}}, {"a": 2, "b": null}, {"b": [{"a": 1}]}, {"a": [2], "b": "x"}]'
) AS s;
SELECT is_empty(
    $$SELECT p.shape, n.shape FROM shapes AS p CROSS JOIN shapes AS n
        WHERE mqtt.has_only_metrics(p.shape, mqtt.metric_names(n.shape), n.shape) AND NOT mqtt.has_metrics(p.shape, n.shape)$$,
    'a payload that is taken to have no metrics but those of a newer one has none'
);
SELECT ok(mqtt.has_only_metrics('{"b": 1}', '{a,b}', '{"a": 2, "b": 2}'), 'and one whose names are among those of the newer one is taken so');
SELECT * FROM finish();
ROLLBACK;
