-- Deploy topicbase:integrations/device_presets to pg
-- requires: tables/device_presets
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
INSERT INTO mqtt.device_presets (preset, title, description, topics, rules)
VALUES (
    'tasmota', 'Tasmota', 'tele/, stat/ and cmnd/ with the default FullTopic. Times are local: set the zone of the rules to that of the devices.',
    '{tele/#,stat/#,cmnd/#,tasmota/discovery/#}', $rules$[
        {"topic": "tele/+/LWT", "role": "status", "device": "{topic[2]}"},
        {"topic": "tele/+/SENSOR", "device": "{topic[2]}", "time": {"path": "$.Time"}, "metrics": {"*": "$", "Time": null, "TempUnit": null}},
        {"topic": "tele/+/STATE", "device": "{topic[2]}", "time": {"path": "$.Time"}, "metrics": {"*": "$", "Time": null, "Uptime": null}},
        {"topic": "tele/+/INFO1", "role": "attributes", "device": "{topic[2]}",
            "metrics": {"model": ["$.Info1.Module", "$.Module"], "firmware": ["$.Info1.Version", "$.Version"]}},
        {"topic": "tele/+/INFO2", "role": "attributes", "device": "{topic[2]}",
            "metrics": {"hostname": ["$.Info2.Hostname", "$.Hostname"], "address": ["$.Info2.IPAddress", "$.IPAddress"]}},
        {"topic": "tele/+/+", "role": "event", "device": "{topic[2]}", "metrics": {"*": "$"}},
        {"topic": "stat/+/RESULT", "role": "event", "device": "{topic[2]}", "metrics": {"*": "$"}},
        {"topic": "stat/+/+", "device": "{topic[2]}", "condition": "$.type() == \"string\" || $.type() == \"number\"", "metrics": {"{topic[3]}": "$"}},
        {"topic": "stat/+/+", "role": "event", "device": "{topic[2]}", "metrics": {"*": "$"}},
        {"topic": "cmnd/+/#", "role": "command", "device": "{topic[2]}"},
        {"topic": "tasmota/discovery/+/config", "role": "attributes", "device": "{$.t}",
            "metrics": {"name": "$.dn", "model": "$.md", "firmware": "$.sw", "address": "$.ip", "mac": "$.mac", "hostname": "$.hn"}},
        {"topic": "tasmota/discovery/#", "role": "ignore"}
    ]$rules$
), (
    'zigbee2mqtt', 'Zigbee2MQTT', 'Devices by their friendly names, which may have slashes, with availability and what bridge/devices tells of them.',
    '{zigbee2mqtt/#}', $rules$[
        {"topic": "zigbee2mqtt/bridge/devices", "role": "attributes", "samples": ["$[*] ? (@.type != \"Coordinator\")"], "device": "{$.friendly_name}",
            "metrics": {"vendor": "$.definition.vendor", "model": "$.definition.model", "description": "$.definition.description",
                "ieee_address": "$.ieee_address", "firmware": "$.software_build_id"}},
        {"topic": "zigbee2mqtt/bridge/#", "role": "ignore"},
        {"topic": "zigbee2mqtt/+/availability", "role": "status", "device": "{topic[2:-2]}", "presence": "$.state"},
        {"topic": "zigbee2mqtt/+/+/availability", "role": "status", "device": "{topic[2:-2]}", "presence": "$.state"},
        {"topic": "zigbee2mqtt/+/+/+/availability", "role": "status", "device": "{topic[2:-2]}", "presence": "$.state"},
        {"topic": "zigbee2mqtt/+/set/#", "role": "command", "device": "{topic[2]}"},
        {"topic": "zigbee2mqtt/+/get/#", "role": "command", "device": "{topic[2]}"},
        {"topic": "zigbee2mqtt/+/+/set/#", "role": "command", "device": "{topic[2:3]}"},
        {"topic": "zigbee2mqtt/+/+/get/#", "role": "command", "device": "{topic[2:3]}"},
        {"topic": "zigbee2mqtt/+/+/+/set/#", "role": "command", "device": "{topic[2:4]}"},
        {"topic": "zigbee2mqtt/+/+/+/get/#", "role": "command", "device": "{topic[2:4]}"},
        {"topic": "zigbee2mqtt/+/#", "device": "{topic[2:-1]}", "condition": "$.type() == \"object\"", "time": {"path": "$.last_seen"},
            "metrics": {"*": "$", "last_seen": null, "elapsed": null}},
        {"topic": "zigbee2mqtt/#", "role": "ignore"}
    ]$rules$
), (
    'shelly-gen2', 'Shelly Gen 2 and later', 'Devices with the default topic prefix, their id; status and RPC notifications over MQTT.',
    '{+/online,+/status/+,+/events/rpc,+/rpc,+/command/#}', $rules$[
        {"topic": "+/online", "role": "status", "device": "{topic[1]}"},
        {"topic": "+/status/+", "device": "{topic[1]}", "condition": "$.type() == \"object\"", "metrics": {"{topic[3]}.*": "$", "id": null}},
        {"topic": "+/events/rpc", "device": "{topic[1]}", "condition": "$.method == \"NotifyStatus\" || $.method == \"NotifyFullStatus\"",
            "time": {"path": "$.params.ts", "unit": "s"}, "metrics": {"*": "$.params", "ts": null}},
        {"topic": "+/events/rpc", "role": "event", "device": "{topic[1]}", "condition": "$.method == \"NotifyEvent\"",
            "samples": ["$.params.events[*]"], "time": {"path": "$.ts", "unit": "s"},
            "metrics": {"{$.component}.*": "$", "component": null, "id": null, "ts": null}},
        {"topic": "+/events/rpc", "role": "ignore"},
        {"topic": "+/rpc", "role": "command", "device": "{topic[1]}"},
        {"topic": "+/command/#", "role": "command", "device": "{topic[1]}"}
    ]$rules$
), (
    'esphome', 'ESPHome', 'Nodes with the default topic prefix, their name; a metric for each entity.',
    '{+/status,+/+/+/state,+/+/+/command,+/debug}', $rules$[
        {"topic": "homeassistant/status", "role": "ignore"},
        {"topic": "+/status", "role": "status", "device": "{topic[1]}"},
        {"topic": "+/sensor/+/state", "device": "{topic[1]}", "metrics": {"{topic[3]}": {"path": "$", "type": "number"}}},
        {"topic": "+/number/+/state", "device": "{topic[1]}", "metrics": {"{topic[3]}": {"path": "$", "type": "number"}}},
        {"topic": "+/+/+/state", "device": "{topic[1]}", "condition": "$.type() == \"object\"", "metrics": {"{topic[3]}.*": "$"}},
        {"topic": "+/+/+/state", "device": "{topic[1]}", "metrics": {"{topic[3]}": "$"}},
        {"topic": "+/+/+/command", "role": "command", "device": "{topic[1]}"},
        {"topic": "+/debug", "role": "ignore"}
    ]$rules$
), (
    'ttn-v3', 'The Things Network v3', 'Uplinks of The Things Stack with the payload that its formatter decoded, as v3/<application>/devices/<device>/up.',
    '{v3/#}', $rules$[
        {"topic": "v3/+/devices/+/up", "device": "{$.end_device_ids.device_id}", "time": {"path": "$.received_at"},
            "metrics": {"*": "$.uplink_message.decoded_payload", "f_cnt": "$.uplink_message.f_cnt", "rx.rssi": "$.uplink_message.rx_metadata[0].rssi",
                "rx.snr": "$.uplink_message.rx_metadata[0].snr"}},
        {"topic": "v3/+/devices/+/location/solved", "device": "{$.end_device_ids.device_id}", "time": {"path": "$.received_at"},
            "metrics": {"latitude": "$.location_solved.location.latitude", "longitude": "$.location_solved.location.longitude",
                "altitude": "$.location_solved.location.altitude"}},
        {"topic": "v3/+/devices/+/join", "role": "event", "device": "{topic[4]}", "time": {"path": "$.received_at"},
            "metrics": {"join.dev_addr": "$.end_device_ids.dev_addr"}},
        {"topic": "v3/+/devices/+/down/push", "role": "command", "device": "{topic[4]}"},
        {"topic": "v3/+/devices/+/down/replace", "role": "command", "device": "{topic[4]}"},
        {"topic": "v3/+/devices/+/down/+", "role": "event", "device": "{topic[4]}", "time": {"path": "$.received_at"}, "metrics": {"{topic[5]}.{topic[6]}.*": "$"}},
        {"topic": "v3/#", "role": "ignore"}
    ]$rules$
), (
    'chirpstack-v4', 'ChirpStack v4', 'Events in JSON, with the object that the codec of the device profile decoded, by DevEUI.',
    '{application/#}', $rules$[
        {"topic": "application/+/device/+/event/up", "device": "{topic[4]}", "time": {"path": "$.time"},
            "metrics": {"*": "$.object", "fCnt": "$.fCnt", "rx.rssi": "$.rxInfo[0].rssi", "rx.snr": "$.rxInfo[0].snr"}},
        {"topic": "application/+/device/+/event/status", "device": "{topic[4]}", "time": {"path": "$.time"},
            "metrics": {"batteryLevel": "$.batteryLevel", "margin": "$.margin", "externalPowerSource": "$.externalPowerSource"}},
        {"topic": "application/+/device/+/event/location", "device": "{topic[4]}", "time": {"path": "$.time"},
            "metrics": {"latitude": "$.location.latitude", "longitude": "$.location.longitude", "altitude": "$.location.altitude"}},
        {"topic": "application/+/device/+/event/+", "role": "event", "device": "{topic[4]}", "time": {"path": "$.time"},
            "metrics": {"{topic[6]}.level": "$.level", "{topic[6]}.code": "$.code", "{topic[6]}.description": "$.description",
                "{topic[6]}.devAddr": "$.devAddr", "{topic[6]}.acknowledged": "$.acknowledged", "{topic[6]}.queueItemId": "$.queueItemId"}},
        {"topic": "application/+/device/+/command/+", "role": "command", "device": "{topic[4]}"}
    ]$rules$
), (
    'owntracks', 'OwnTracks', 'Locations of phones as user/device, transitions as events, and the last will as presence.',
    '{owntracks/#}', $rules$[
        {"topic": "owntracks/+/+", "condition": "$._type == \"location\"", "device": "{topic[2]}/{topic[3]}", "time": {"path": "$.tst", "unit": "s"},
            "presence": "\"online\"", "metrics": {"*": "$", "_type": null, "tst": null, "tid": null, "topic": null, "created_at": null, "_id": null}},
        {"topic": "owntracks/+/+", "condition": "$._type == \"lwt\"", "role": "status", "device": "{topic[2]}/{topic[3]}", "presence": "\"offline\""},
        {"topic": "owntracks/+/+/event", "condition": "$._type == \"transition\"", "role": "event", "device": "{topic[2]}/{topic[3]}",
            "time": {"path": "$.tst", "unit": "s"}, "metrics": {"*": "$", "_type": null, "tst": null, "tid": null}},
        {"topic": "owntracks/+/+/cmd", "role": "command", "device": "{topic[2]}/{topic[3]}"},
        {"topic": "owntracks/#", "role": "ignore"}
    ]$rules$
), (
    'homie-4', 'Homie 4', 'Properties as node.property, $state as presence, units and names of properties as metadata.',
    '{homie/#}', $rules$[
        {"topic": "homie/$broadcast/#", "role": "ignore"},
        {"topic": "homie/+/$state", "role": "status", "device": "{topic[2]}"},
        {"topic": "homie/+/$name", "role": "attributes", "device": "{topic[2]}", "decode": "text", "metrics": {"name": "$"}},
        {"topic": "homie/+/$implementation", "role": "attributes", "device": "{topic[2]}", "decode": "text", "metrics": {"implementation": "$"}},
        {"topic": "homie/+/+", "role": "ignore"},
        {"topic": "homie/+/+/$name", "role": "ignore"},
        {"topic": "homie/+/+/$type", "role": "ignore"},
        {"topic": "homie/+/+/$properties", "role": "ignore"},
        {"topic": "homie/+/+/+", "device": "{topic[2]}", "metrics": {"{topic[3]}.{topic[4]}": "$"}},
        {"topic": "homie/+/+/+/set", "role": "command", "device": "{topic[2]}"},
        {"topic": "homie/+/+/+/$unit", "role": "attributes", "device": "{topic[2]}", "decode": "text", "metrics": {"metrics/{topic[3]}.{topic[4]}/unit": "$"}},
        {"topic": "homie/+/+/+/$name", "role": "attributes", "device": "{topic[2]}", "decode": "text", "metrics": {"metrics/{topic[3]}.{topic[4]}/name": "$"}},
        {"topic": "homie/+/+/+/$datatype", "role": "attributes", "device": "{topic[2]}", "decode": "text",
            "metrics": {"metrics/{topic[3]}.{topic[4]}/datatype": "$"}},
        {"topic": "homie/#", "role": "ignore"}
    ]$rules$
), (
    'home-assistant', 'Home Assistant discovery', 'Names, units and classes of metrics as metadata of the device; beside the rules for its state topics.',
    '{homeassistant/#}', $rules$[
        {"topic": "homeassistant/+/+/+/config", "role": "attributes", "device": "{$.device.identifiers[0] | $.dev.ids[0]}",
            "metrics": {"metrics/{topic[-2]}/unit": ["$.unit_of_measurement", "$.unit_of_meas"], "metrics/{topic[-2]}/class": ["$.device_class", "$.dev_cla"],
                "metrics/{topic[-2]}/name": "$.name", "metrics/{topic[-2]}/state_class": ["$.state_class", "$.stat_cla"],
                "name": ["$.device.name", "$.dev.name"], "model": ["$.device.model", "$.dev.mdl"], "manufacturer": ["$.device.manufacturer", "$.dev.mf"],
                "firmware": ["$.device.sw_version", "$.dev.sw"]}},
        {"topic": "homeassistant/+/+/config", "role": "attributes", "device": "{$.device.identifiers[0] | $.dev.ids[0]}",
            "metrics": {"metrics/{topic[-2]}/unit": ["$.unit_of_measurement", "$.unit_of_meas"], "metrics/{topic[-2]}/class": ["$.device_class", "$.dev_cla"],
                "metrics/{topic[-2]}/name": "$.name", "metrics/{topic[-2]}/state_class": ["$.state_class", "$.stat_cla"],
                "name": ["$.device.name", "$.dev.name"], "model": ["$.device.model", "$.dev.mdl"], "manufacturer": ["$.device.manufacturer", "$.dev.mf"],
                "firmware": ["$.device.sw_version", "$.dev.sw"]}},
        {"topic": "homeassistant/#", "role": "ignore"}
    ]$rules$
), (
    'sparkplug-b', 'Sparkplug B', 'Devices as group/node/device; births, aliases, sequence and deaths, and a rebirth request where one is missing. Needs PL/Python.',
    '{spBv1.0/#}', $rules$[
        {"topic": "spBv1.0/+/NDEATH/+", "decode": "sparkplug", "role": "status", "samples": ["$.devices[*]"], "device": "{$}", "presence": "\"offline\""},
        {"topic": "spBv1.0/+/DDEATH/+/+", "decode": "sparkplug", "role": "status", "samples": ["$.devices[*]"], "device": "{$}", "presence": "\"offline\""},
        {"topic": "spBv1.0/+/+/#", "decode": "sparkplug", "condition": "$.sparkplug like_regex \"BIRTH$\" && !exists($.samples[*])", "role": "status",
            "device": "{$.device}", "presence": "\"online\""},
        {"topic": "spBv1.0/+/+/#", "decode": "sparkplug", "condition": "$.sparkplug like_regex \"BIRTH$\"", "samples": ["$.samples[*]"],
            "device": "{$root.device}", "time": {"path": "$.ts", "unit": "ms"}, "metrics": {"*": "$.values"}, "presence": "\"online\""},
        {"topic": "spBv1.0/+/+/#", "decode": "sparkplug", "condition": "$.sparkplug like_regex \"DATA$\"", "samples": ["$.samples[*]"],
            "device": "{$root.device}", "time": {"path": "$.ts", "unit": "ms"}, "metrics": {"*": "$.values"}},
        {"topic": "spBv1.0/+/NCMD/+", "role": "command"},
        {"topic": "spBv1.0/+/DCMD/+/+", "role": "command"},
        {"topic": "spBv1.0/STATE/#", "role": "ignore"},
        {"topic": "spBv1.0/#", "decode": "sparkplug", "device": "{$.device}"}
    ]$rules$
)
ON CONFLICT (preset) DO UPDATE SET title = excluded.title, description = excluded.description, topics = excluded.topics, rules = excluded.rules;
COMMIT;
