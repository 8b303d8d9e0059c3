-- Presets against payloads in the form that the ecosystems' public documentation gives (values made up); the real broker is in tests/bridge.
\ir setup.psql
SELECT to_regprocedure('mqtt.py_seal(bytea, text)') IS NULL AS lacks_plpython \gset
\if :lacks_plpython
SELECT plan(1);
SELECT skip('not run: it needs PL/Python', 1);
\else
SELECT plan(36);
SELECT act_as('authenticated', :'alice');
SELECT is(jsonb_array_length(api.list_device_presets()), 10, 'presets can be listed');
SELECT refuses(format('SELECT api.apply_device_preset(%L, %L)', :'external', 'none'), 'PT404', 'preset_not_found', 'one that there is not');
SELECT is(
    (SELECT api.apply_device_preset(:'hosted', 'zigbee2mqtt') #> '{rules,2}' ->> r FROM unnest('{topic}'::text []) AS r), 'org_alice/zigbee2mqtt/+/availability',
    'at the hosted broker the topics start with the prefix'
);
SELECT is(api.apply_device_preset(:'hosted', 'zigbee2mqtt') #>> '{rules,2,device}', '{topic[3:-2]}', 'and templates count from there');
SELECT act_as('none');
DELETE FROM mqtt.payload_rules;
SELECT api.apply_device_preset(:'external', p.preset) FROM mqtt.device_presets AS p \g /dev/null

-- {"device", and what there is of time, metrics, presence, metadata} of each sample, without what a case does not look at.
CREATE FUNCTION tap.seen(topic text, payload text) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_strip_nulls(s.value - '{time,reason}'::text []) || CASE WHEN s.value ->> 'time' IS NULL THEN '{}' ELSE jsonb_build_object(
        'time', extract(EPOCH FROM (s.value ->> 'time')::timestamptz)
    ) END)
    FROM jsonb_array_elements(api.try_payload_rules(
        '11111111-0000-4000-8000-000000000020', topic, payload_base64 => translate(encode(convert_to(payload, 'UTF8'), 'base64'), E'\n', '')
    ) -> 'samples') AS s;
$$;
SELECT is(seen(c.topic, c.payload) @> c.expected::jsonb, true, format('%s: %s', c.preset, c.topic) || CASE WHEN seen(c.topic, c.payload) @> c.expected::jsonb THEN '' ELSE E'\n# ' || coalesce(seen(c.topic, c.payload)::text, 'nothing') END)
FROM (VALUES
    ('tasmota', 'tele/t/STATE', '{"Time":"2024-02-24T22:20:38","Uptime":"0T00:10:11","UptimeSec":611,"Heap":24,"POWER":"OFF","Wifi":{"AP":1,"RSSI":44,"Signal":-78}}',
        '[{"role": "telemetry", "device": "t", "time": 1708813238, "metrics": {"POWER": "OFF", "Wifi.Signal": -78}}]'),
    ('tasmota', 'tele/t/SENSOR', '{"Time":"2021-06-13T06:59:52","ANALOG":{"CTEnergy":{"Energy":0.006,"Power":2068}},"DHT11":{"Temperature":23.0},"TempUnit":"C"}',
        '[{"device": "t", "metrics": {"ANALOG.CTEnergy.Power": 2068, "DHT11.Temperature": 23.0}}]'),
    ('tasmota', 'stat/t/STATUS10', '{"StatusSNS":{"Time":"2021-06-13T06:59:49","DHT11":{"Temperature":23.0}}}', '[{"role": "event", "device": "t"}]'),
    ('tasmota', 'tasmota/discovery/AABBCC/config', '{"ip":"192.0.2.7","dn":"Lamp","hn":"t-7","mac":"AABBCC","md":"Sonoff S31","sw":"12.1.1","t":"t","ft":"%prefix%/%topic%/"}',
        '[{"role": "attributes", "device": "t", "metadata": {"name": "Lamp", "model": "Sonoff S31"}}]'),
    ('zigbee2mqtt', 'zigbee2mqtt/kitchen/floor_light', '{"state":"ON","brightness":215,"color_temp":325}',
        '[{"device": "kitchen/floor_light", "metrics": {"state": "ON", "brightness": 215}}]'),
    ('zigbee2mqtt', 'zigbee2mqtt/climate', '{"temperature":27.34,"humidity":44.72,"last_seen":1708813238000}',
        '[{"device": "climate", "time": 1708813238, "metrics": {"temperature": 27.34, "humidity": 44.72}}]'),
    ('zigbee2mqtt', 'zigbee2mqtt/kitchen/floor_light/availability', '{"state":"offline"}', '[{"role": "status", "device": "kitchen/floor_light", "presence": "offline"}]'),
    ('zigbee2mqtt', 'zigbee2mqtt/bridge/devices', '[{"ieee_address":"0x1","type":"Coordinator","friendly_name":"Coordinator"},{"ieee_address":"0x2","type":"Router","friendly_name":"my_plug","definition":{"model":"ZNCZ02LM","vendor":"Xiaomi","description":"Mi power plug"}}]',
        '[{"role": "attributes", "device": "my_plug", "metadata": {"vendor": "Xiaomi", "model": "ZNCZ02LM"}}]'),
    ('shelly-gen2', 's-1/status/input:0', '{"id":0,"state":false}', '[{"device": "s-1", "metrics": {"input:0.state": false}}]'),
    ('shelly-gen2', 's-1/events/rpc', '{"src":"s-1","dst":"s-1/events","method":"NotifyStatus","params":{"ts":1631266595.43,"switch:0":{"id":0,"output":true,"source":"http"}}}',
        '[{"role": "telemetry", "device": "s-1", "time": 1631266595.43, "metrics": {"switch:0.output": true}}]'),
    ('shelly-gen2', 's-1/events/rpc', '{"src":"s-1","dst":"s-1/events","method":"NotifyEvent","params":{"ts":1631266595.43,"events":[{"component":"input:0","id":0,"event":"single_push","ts":1631266595.43}]}}',
        '[{"role": "event", "device": "s-1", "metrics": {"input:0.event": "single_push"}}]'),
    ('esphome', 'node/sensor/wifi/state', '-61', '[{"role": "telemetry", "device": "node", "metrics": {"wifi": -61}}]'),
    ('esphome', 'node/light/desk/state', '{"state":"ON","brightness":155,"color":{"r":255}}', '[{"device": "node", "metrics": {"desk.brightness": 155, "desk.color.r": 255}}]'),
    ('esphome', 'node/status', 'offline', '[{"role": "status", "device": "node", "presence": "offline"}]'),
    ('ttn-v3', 'v3/app1@ttn/devices/dev1/up', '{"end_device_ids":{"device_id":"dev1"},"received_at":"2020-02-12T15:15:45.787Z","uplink_message":{"f_port":1,"f_cnt":1,"frm_payload":"gkHe","decoded_payload":{"temperature":1.0,"luminosity":0.64},"rx_metadata":[{"rssi":-35,"snr":5}]}}',
        '[{"device": "dev1", "time": 1581520545.787, "metrics": {"luminosity": 0.64, "rx.rssi": -35, "f_cnt": 1}}]'),
    ('ttn-v3', 'v3/app1@ttn/devices/dev1/join', '{"end_device_ids":{"device_id":"dev1","dev_addr":"00BCB929"},"received_at":"2020-02-12T15:15:45Z","join_accept":{"session_key_id":"AXBSH1Pk6Z0G166"}}',
        '[{"role": "event", "device": "dev1", "metrics": {"join.dev_addr": "00BCB929"}}]'),
    ('ttn-v3', 'v3/app1@ttn/devices/dev1/down/push', '{"downlinks":[{"f_port":15,"frm_payload":"vu8=","priority":"NORMAL"}]}', '[{"role": "command", "device": "dev1"}]'),
    ('chirpstack-v4', 'application/a/device/0101010101010101/event/up', '{"time":"2022-07-18T09:34:15.775023242+00:00","deviceInfo":{"devEui":"0101010101010101"},"fCnt":4,"data":"qg==","object":{"temp":21.5},"rxInfo":[{"rssi":-48,"snr":9}]}',
        '[{"device": "0101010101010101", "metrics": {"temp": 21.5, "rx.rssi": -48, "fCnt": 4}}]'),
    ('chirpstack-v4', 'application/a/device/0101010101010101/event/join', '{"time":"2022-07-18T09:33:28Z","deviceInfo":{"devEui":"0101010101010101"},"devAddr":"00189440"}',
        '[{"role": "event", "device": "0101010101010101", "metrics": {"join.devAddr": "00189440"}}]'),
    ('chirpstack-v4', 'application/a/device/0101010101010101/event/ack', '{"queueItemId":"x","deviceInfo":{},"time":"2022-07-18T10:14:29Z","acknowledged":true,"fCntDown":15}',
        '[{"role": "event", "metrics": {"ack.acknowledged": true}}]'),
    ('owntracks', 'owntracks/jane/phone', '{"_type":"location","acc":75,"alt":13,"batt":77,"cog":270,"lat":52.5,"lon":13.4,"tid":"JP","tst":1376715317,"vel":54}',
        '[{"role": "telemetry", "device": "jane/phone", "time": 1376715317, "presence": "online", "metrics": {"vel": 54, "lat": 52.5}}]'),
    ('owntracks', 'owntracks/jane/phone/event', '{"_type":"transition","wtst":1425042603,"lat":12.34,"lon":44.5,"tst":1427634603,"acc":130,"tid":"JP","event":"enter","desc":"restaurant"}',
        '[{"role": "event", "device": "jane/phone", "time": 1427634603, "metrics": {"event": "enter", "desc": "restaurant"}}]'),
    ('owntracks', 'owntracks/jane/phone/waypoint', '{"_type":"waypoint","desc":"x","tst":1}', '[{"role": "ignore"}]'),
    ('homie-4', 'homie/super-car/engine/temperature', '21.5', '[{"role": "telemetry", "device": "super-car", "metrics": {"engine.temperature": 21.5}}]'),
    ('homie-4', 'homie/super-car/$state', 'lost', '[{"role": "status", "device": "super-car", "presence": "offline"}]'),
    ('homie-4', 'homie/super-car/engine/temperature/$unit', '°C', '[{"role": "attributes", "metadata": {"metrics": {"engine.temperature": {"unit": "°C"}}}}]'),
    ('home-assistant', 'homeassistant/sensor/sensorBedroomT/config', '{"device_class":"temperature","unit_of_measurement":"°C","state_topic":"x","unique_id":"temp01ae","device":{"identifiers":["bedroom01ae"],"name":"Bedroom"}}',
        '[{"role": "attributes", "device": "bedroom01ae", "metadata": {"name": "Bedroom", "metrics": {"sensorBedroomT": {"class": "temperature"}}}}]'),
    ('home-assistant', 'homeassistant/sensor/node/hum/config', '{"dev_cla":"humidity","unit_of_meas":"%","stat_t":"x","dev":{"ids":"node","mdl":"M"}}',
        '[{"device": "node", "metadata": {"model": "M", "metrics": {"hum": {"unit": "%", "class": "humidity"}}}}]'),
    ('home-assistant', 'homeassistant/status', 'online', '[{"role": "ignore"}]')
) AS c (preset, topic, payload, expected);
-- A preset may have all that a rule may.
INSERT INTO mqtt.device_presets (preset, title, description, topics, rules)
VALUES ('all-parts', 'All', 'A rule with every part', '{}', '[{"topic": "a/+/up", "condition": "$.a == 1", "role": "event", "device": "{topic[2]}", "decode": "base64 binary of $.b",
    "layout": [{"format": "B", "name": "t"}], "transform": "[@]", "samples": ["$[*]"], "time": {"path": "$.ts", "unit": "s"}, "metrics": {"t": "$.b.t"},
    "presence": "$.p", "offline_after": 60, "description": "why"}]');
SELECT is(
    api.apply_device_preset(:'external', 'all-parts') #> '{rules,0}' @> (p.rules -> 0), true, 'every part of a preset''s rule is copied'
)
FROM mqtt.device_presets AS p
WHERE p.preset = 'all-parts';
UPDATE mqtt.device_presets SET rules = (SELECT jsonb_agg('{"topic": "x", "role": "ignore"}'::jsonb) FROM generate_series(1, 400)) WHERE preset = 'all-parts';
SELECT refuses(
    format('SELECT api.apply_device_preset(%L, %L)', :'external', 'all-parts'), 'PT400', 'payload_rule_invalid', 'one too many for the limit of an integration''s rules'
);
SELECT is(mqtt.moved_template(t.template, 2), t.template, 'left as it is: ' || t.template) FROM (VALUES ('{$.a}')) AS t (template);
\endif
SELECT * FROM finish();
ROLLBACK;
