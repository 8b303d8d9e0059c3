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
        {"topic": "tele/+/SENSOR", "device": "{topic[2]}", "time": {"path": "$.Time"},
            "condition": "$.ENERGY.Power.type() == \"array\" || $.ENERGY.Voltage.type() == \"array\" || $.ENERGY.Current.type() == \"array\"",
            "metrics": {"*": "$", "Time": null, "TempUnit": null,
                "ENERGY.Total.1": "$.ENERGY ? (@.Total.type() == \"array\").Total[0]", "ENERGY.Total.2": "$.ENERGY.Total[1]", "ENERGY.Total.3": "$.ENERGY.Total[2]",
                "ENERGY.Power.1": "$.ENERGY ? (@.Power.type() == \"array\").Power[0]", "ENERGY.Power.2": "$.ENERGY.Power[1]", "ENERGY.Power.3": "$.ENERGY.Power[2]",
                "ENERGY.Voltage.1": "$.ENERGY ? (@.Voltage.type() == \"array\").Voltage[0]", "ENERGY.Voltage.2": "$.ENERGY.Voltage[1]", "ENERGY.Voltage.3": "$.ENERGY.Voltage[2]",
                "ENERGY.Current.1": "$.ENERGY ? (@.Current.type() == \"array\").Current[0]", "ENERGY.Current.2": "$.ENERGY.Current[1]", "ENERGY.Current.3": "$.ENERGY.Current[2]"}},
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
        {"topic": "cmnd/tasmotas/#", "role": "command"},
        {"topic": "cmnd/+/#", "role": "command", "device": "{topic[2]}"},
        {"topic": "tasmota/discovery/+/config", "role": "attributes", "device": "{$.t}",
            "metrics": {"name": "$.dn", "model": "$.md", "firmware": "$.sw", "address": "$.ip", "mac": "$.mac", "hostname": "$.hn"}},
        {"topic": "tasmota/discovery/#", "role": "ignore"}
    ]$rules$
), (
    'zigbee2mqtt', 'Zigbee2MQTT', 'Devices by their friendly names, which may have slashes, with availability and what bridge/devices tells of them.',
    '{zigbee2mqtt/#}', $rules$[
        {"topic": "zigbee2mqtt/bridge/devices", "role": "attributes", "device": "{$parent.friendly_name}", "samples": ["$[*] ? (@.type != \"Coordinator\")",
                "$.** ? (exists(@.friendly_name) || exists(@.property) && (exists(@.unit) || exists(@.label)) && @.access != 2)"],
            "metrics": {"vendor": "$.definition.vendor", "model": "$.definition.model", "description": "$.definition.description",
                "ieee_address": "$.ieee_address", "firmware": "$.software_build_id", "metrics/{$.property}/unit": "$.unit", "metrics/{$.property}/name": "$.label"}},
        {"topic": "zigbee2mqtt/bridge/#", "role": "ignore"},
        {"topic": "zigbee2mqtt/+/availability", "role": "status", "device": "{topic[2:-2]}", "presence": "$.** ? (@.type() == \"string\")"},
        {"topic": "zigbee2mqtt/+/+/availability", "role": "status", "device": "{topic[2:-2]}", "presence": "$.** ? (@.type() == \"string\")"},
        {"topic": "zigbee2mqtt/+/+/+/availability", "role": "status", "device": "{topic[2:-2]}", "presence": "$.** ? (@.type() == \"string\")"},
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
    '{+/status,+/+/+/state,+/+/+/+/state,+/+/+/command,+/+/+/+/command,+/debug,homeassistant/+/+/+/config}', $rules$[
        {"topic": "homeassistant/status", "role": "ignore"},
        {"topic": "homeassistant/+/+/+/config", "role": "attributes", "device": "{topic[3]}",
            "condition": "$.avty_t like_regex \"/status$\" || $.availability_topic like_regex \"/status$\"",
            "metrics": {"metrics/{topic[4]}/unit": ["$.unit_of_meas", "$.unit_of_measurement"], "metrics/{topic[4]}/class": ["$.dev_cla", "$.device_class"],
                "metrics/{topic[4]}/name": "$.name", "metrics/{topic[4]}/state_class": ["$.stat_cla", "$.state_class"],
                "name": ["$.dev.name", "$.device.name"], "model": ["$.dev.mdl", "$.device.model"], "manufacturer": ["$.dev.mf", "$.device.manufacturer"],
                "firmware": ["$.dev.sw", "$.device.sw_version"], "mac": ["$.dev.cns[0][1]", "$.device.connections[0][1]"]}},
        {"topic": "+/status", "role": "status", "device": "{topic[1]}"},
        {"topic": "+/text_sensor/+/state", "device": "{topic[1]}", "decode": "text", "metrics": {"{topic[3]}": "$"}},
        {"topic": "+/sensor/+/state", "device": "{topic[1]}", "metrics": {"{topic[3]}": {"path": "$", "type": "number"}}},
        {"topic": "+/number/+/state", "device": "{topic[1]}", "metrics": {"{topic[3]}": {"path": "$", "type": "number"}}},
        {"topic": "+/+/+/state", "device": "{topic[1]}", "condition": "$.type() == \"object\"", "metrics": {"{topic[3]}.*": "$"}},
        {"topic": "+/+/+/state", "device": "{topic[1]}", "metrics": {"{topic[3]}": "$"}},
        {"topic": "+/+/+/+/state", "device": "{topic[1]}", "metrics": {"{topic[3]}.{topic[4]}": "$"}},
        {"topic": "+/+/+/command", "role": "command", "device": "{topic[1]}"},
        {"topic": "+/+/+/+/command", "role": "command", "device": "{topic[1]}"},
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
        {"topic": "v3/+/devices/+/down/+", "role": "event", "device": "{topic[4]}", "time": {"path": "$.received_at"},
            "metrics": {"down.{topic[6]}.f_port": ["$.*.f_port", "$.*.downlink.f_port"], "down.{topic[6]}.f_cnt": "$.*.f_cnt",
                "down.{topic[6]}.confirmed": ["$.*.confirmed", "$.*.downlink.confirmed"], "down.{topic[6]}.error": "$.*.error.name"}},
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
        {"topic": "owntracks/+/+/step", "condition": "$._type == \"steps\"", "device": "{topic[2]}/{topic[3]}", "time": {"path": "$.tst", "unit": "s"},
            "metrics": {"steps": "$.steps", "distance": "$.distance", "floorsup": "$.floorsup", "floorsdown": "$.floorsdown"}},
        {"topic": "owntracks/+/+/beacon", "condition": "$._type == \"beacon\"", "role": "event", "device": "{topic[2]}/{topic[3]}",
            "time": {"path": "$.tst", "unit": "s"}, "metrics": {"beacon.*": "$", "_type": null, "tst": null, "tid": null}},
        {"topic": "owntracks/+/+/info", "condition": "$._type == \"card\"", "role": "attributes", "device": "{topic[2]}/{topic[3]}", "metrics": {"name": "$.name"}},
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
        {"topic": "homie/+/$mac", "role": "attributes", "device": "{topic[2]}", "decode": "text", "metrics": {"mac": "$"}},
        {"topic": "homie/+/$localip", "role": "attributes", "device": "{topic[2]}", "decode": "text", "metrics": {"address": "$"}},
        {"topic": "homie/+/$fw/version", "role": "attributes", "device": "{topic[2]}", "decode": "text", "metrics": {"firmware": "$"}},
        {"topic": "homie/+/$fw/+", "role": "ignore"},
        {"topic": "homie/+/$stats/interval", "role": "ignore"},
        {"topic": "homie/+/$stats/+", "device": "{topic[2]}", "metrics": {"stats.{topic[4]}": {"path": "$", "type": "number"}}},
        {"topic": "homie/+/$implementation/#", "role": "ignore"},
        {"topic": "homie/+/+", "role": "ignore"},
        {"topic": "homie/+/+/$array", "role": "ignore"},
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
        {"topic": "homeassistant/device/+/config", "role": "attributes", "samples": ["$.keyvalue() ? (@.key == \"components\" || @.key == \"cmps\").value.keyvalue()"],
            "device": "{$root.device.identifiers[0] | $root.dev.ids[0] | $root.device.connections[0][1] | $root.dev.cns[0][1]}",
            "metrics": {"metrics/{$.key}/unit": ["$.value.unit_of_measurement", "$.value.unit_of_meas"], "metrics/{$.key}/class": ["$.value.device_class", "$.value.dev_cla"],
                "metrics/{$.key}/name": "$.value.name", "metrics/{$.key}/state_class": ["$.value.state_class", "$.value.stat_cla"],
                "name": ["$root.device.name", "$root.dev.name"], "model": ["$root.device.model", "$root.dev.mdl"],
                "manufacturer": ["$root.device.manufacturer", "$root.dev.mf"], "firmware": ["$root.device.sw_version", "$root.dev.sw"]}},
        {"topic": "homeassistant/device/+/+/config", "role": "attributes", "samples": ["$.keyvalue() ? (@.key == \"components\" || @.key == \"cmps\").value.keyvalue()"],
            "device": "{$root.device.identifiers[0] | $root.dev.ids[0] | $root.device.connections[0][1] | $root.dev.cns[0][1]}",
            "metrics": {"metrics/{$.key}/unit": ["$.value.unit_of_measurement", "$.value.unit_of_meas"], "metrics/{$.key}/class": ["$.value.device_class", "$.value.dev_cla"],
                "metrics/{$.key}/name": "$.value.name", "metrics/{$.key}/state_class": ["$.value.state_class", "$.value.stat_cla"],
                "name": ["$root.device.name", "$root.dev.name"], "model": ["$root.device.model", "$root.dev.mdl"],
                "manufacturer": ["$root.device.manufacturer", "$root.dev.mf"], "firmware": ["$root.device.sw_version", "$root.dev.sw"]}},
        {"topic": "homeassistant/#", "condition": "!exists($.device) && !exists($.dev)", "role": "ignore"},
        {"topic": "homeassistant/+/+/+/config", "role": "attributes", "device": "{$.device.identifiers[0] | $.dev.ids[0] | $.device.connections[0][1] | $.dev.cns[0][1]}",
            "metrics": {"metrics/{topic[-2]}/unit": ["$.unit_of_measurement", "$.unit_of_meas"], "metrics/{topic[-2]}/class": ["$.device_class", "$.dev_cla"],
                "metrics/{topic[-2]}/name": "$.name", "metrics/{topic[-2]}/state_class": ["$.state_class", "$.stat_cla"],
                "name": ["$.device.name", "$.dev.name"], "model": ["$.device.model", "$.dev.mdl"],
                "manufacturer": ["$.device.manufacturer", "$.dev.mf"], "firmware": ["$.device.sw_version", "$.dev.sw"]}},
        {"topic": "homeassistant/+/+/config", "role": "attributes", "device": "{$.device.identifiers[0] | $.dev.ids[0] | $.device.connections[0][1] | $.dev.cns[0][1]}",
            "metrics": {"metrics/{topic[-2]}/unit": ["$.unit_of_measurement", "$.unit_of_meas"], "metrics/{topic[-2]}/class": ["$.device_class", "$.dev_cla"],
                "metrics/{topic[-2]}/name": "$.name", "metrics/{topic[-2]}/state_class": ["$.state_class", "$.stat_cla"],
                "name": ["$.device.name", "$.dev.name"], "model": ["$.device.model", "$.dev.mdl"],
                "manufacturer": ["$.device.manufacturer", "$.dev.mf"], "firmware": ["$.device.sw_version", "$.dev.sw"]}},
        {"topic": "homeassistant/#", "role": "ignore"}
    ]$rules$
), (
    'sparkplug-b', 'Sparkplug B', 'Devices as group/node/device; births, aliases, sequence and deaths, and a rebirth request where one is missing. Needs PL/Python.',
    '{spBv1.0/#}', $rules$[
        {"topic": "spBv1.0/+/DDATA/+/+", "decode": "sparkplug", "samples": ["$.samples[*]"], "device": "{$root.device}",
            "time": {"path": "$.ts", "unit": "ms"}, "metrics": {"*": "$.values"}},
        {"topic": "spBv1.0/+/NDATA/+", "decode": "sparkplug", "samples": ["$.samples[*]"], "device": "{$root.device}",
            "time": {"path": "$.ts", "unit": "ms"}, "metrics": {"*": "$.values"}},
        {"topic": "spBv1.0/+/DBIRTH/+/+", "decode": "sparkplug", "condition": "!exists($.samples[*])", "role": "status", "device": "{$.device}",
            "presence": "\"online\""},
        {"topic": "spBv1.0/+/DBIRTH/+/+", "decode": "sparkplug", "samples": ["$.samples[*]"], "device": "{$root.device}",
            "time": {"path": "$.ts", "unit": "ms"}, "metrics": {"*": "$.values"}, "presence": "\"online\""},
        {"topic": "spBv1.0/+/NBIRTH/+", "decode": "sparkplug", "condition": "!exists($.samples[*])", "role": "status", "device": "{$.device}",
            "presence": "\"online\""},
        {"topic": "spBv1.0/+/NBIRTH/+", "decode": "sparkplug", "samples": ["$.samples[*]"], "device": "{$root.device}",
            "time": {"path": "$.ts", "unit": "ms"}, "metrics": {"*": "$.values"}, "presence": "\"online\""},
        {"topic": "spBv1.0/+/DDEATH/+/+", "decode": "sparkplug", "role": "status", "samples": ["$.devices[*]"], "device": "{$}", "presence": "\"offline\""},
        {"topic": "spBv1.0/+/NDEATH/+", "decode": "sparkplug", "role": "status", "samples": ["$.devices[*]"], "device": "{$}", "presence": "\"offline\""},
        {"topic": "spBv1.0/+/NCMD/+", "role": "command"},
        {"topic": "spBv1.0/+/DCMD/+/+", "role": "command"},
        {"topic": "spBv1.0/STATE/#", "role": "ignore"},
        {"topic": "spBv1.0/#", "decode": "sparkplug", "device": "{$.device}"}
    ]$rules$
)
ON CONFLICT (preset) DO UPDATE SET title = excluded.title, description = excluded.description, topics = excluded.topics, rules = excluded.rules;
COMMIT;
