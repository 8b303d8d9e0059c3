// What a device needs to send its first reading, in several languages. `login` is the answer of generate_mqtt_credentials.
import { REST } from './api.js';

const shell = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
const c = (text) => JSON.stringify(String(text));

const PORTS = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 };

/** The parts of a broker's URL. `URL` knows nothing of mqtt, and of http it leaves out the port that is that of http. */
function broker(login) {
    const [, scheme, name, port, path] = /^(\w+):\/\/(\[[^\]]*\]|[^:/]*)(?::(\d+))?(.*)$/.exec(login.broker_url);
    return { scheme, name, host: name.replace(/^\[|\]$/g, ''), port: Number(port) || PORTS[scheme], path: path || '/mqtt', secure:
        scheme === 'mqtts' || scheme === 'wss' };
}

/** Whether the login's broker speaks MQTT over WebSocket, which mosquitto_pub and PubSubClient do not. */
export const isWebSocket = (login) => /^wss?:/.test(login.broker_url);

function pub(login, topic) {
    const { host, port, secure } = broker(login);
    return `mosquitto_pub -h ${host} -p ${port}${secure ? ' --capath /etc/ssl/certs' : ''} -i ${shell(login.client_id)} \\
    -u ${shell(login.username)} -P ${shell(login.password)} \\
    -t ${shell(topic)} -q 1 -m '{"temperature": 21.5}'`;
}

function curl(login, topic) {
    return `curl ${shell(`${REST}/rpc/mqtt_ingest`)} -u ${shell(`${login.username}:${login.password}`)} \\
    -H ${shell(`X-Client-ID: ${login.client_id}`)} -H 'Content-Type: application/json' \\
    -d ${shell(JSON.stringify({ topic, payload: { temperature: 21.5 } }))}`;
}

function arduino(login, topic) {
    const { host, port, secure } = broker(login);
    return `// ESP32, with the library PubSubClient (for an ESP8266: ESP8266WiFi.h)
#include <WiFi.h>${secure ? '\n#include <WiFiClientSecure.h>' : ''}
#include <PubSubClient.h>

${secure ? 'WiFiClientSecure' : 'WiFiClient'} network;
PubSubClient mqtt(network);

void setup() {
  WiFi.begin("your network", "its password");
  while (WiFi.status() != WL_CONNECTED) delay(100);
${secure ? '  network.setCACert(YOUR_BROKERS_CA);\n' : ''}  mqtt.setServer(${c(host)}, ${port});
}

void loop() {
  if (!mqtt.connected())
    mqtt.connect(${c(login.client_id)}, ${c(login.username)}, ${c(login.password)});
  String payload = String("{\\"temperature\\": ") + (20 + random(50) / 10.0) + "}";
  mqtt.publish(${c(topic)}, payload.c_str());
  for (int i = 0; i < 50; i++) { mqtt.loop(); delay(100); }
}`;
}

function paho(login, topic) {
    const { host, port, path, secure } = broker(login);
    return `# pip install paho-mqtt
import json, random, time
import paho.mqtt.client as mqtt

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=${c(login.client_id)}, protocol=mqtt.MQTTv5${isWebSocket(login) ?
    `,
                     transport="websockets")
client.ws_set_options(path=${c(path)}` : ''})
client.username_pw_set(${c(login.username)}, ${c(login.password)})
${secure ? 'client.tls_set()\n' : ''}client.connect(${c(host)}, ${port})
client.loop_start()
while True:
    client.publish(${c(topic)}, json.dumps({"temperature": 20 + random.random() * 5}), qos=1)
    time.sleep(5)`;
}

function mqttJs(login, topic) {
    const { scheme, name, port, path } = broker(login);
    return `// npm install mqtt, and in a file send.mjs
import { connect } from "mqtt";

const client = connect(${c(`${scheme}://${name}:${port}${path}`)}, {
    protocolVersion: 5, clientId: ${c(login.client_id)}, username: ${c(login.username)}, password: ${c(login.password)},
    reconnectOnConnackError: true, // the broker knows a new login a moment later
});
client.on("error", ({ message }) => console.warn(message));
setInterval(() => {
    client.publish(${c(topic)}, JSON.stringify({ temperature: 20 + Math.random() * 5 }), { qos: 1 });
}, 5000);`;
}

/** [[key, name, text], …] for a login and the topic that it sends to: those that its broker understands. */
export function snippets(login, topic) {
    if (isWebSocket(login)) {
        return [['javascript', 'JavaScript (MQTT.js)', mqttJs(login, topic)], ['python', 'Python (paho)', paho(login, topic)],
            ['curl', 'curl', curl(login, topic)]];
    }
    return [['mosquitto', 'mosquitto_pub', pub(login, topic)], ['curl', 'curl', curl(login, topic)],
        ['python', 'Python (paho)', paho(login, topic)], ['arduino', 'Arduino', arduino(login, topic)]];
}

/** The login as an address, for a QR code. */
export function address(login) {
    const { scheme, name, port, path } = broker(login);
    const user = `${encodeURIComponent(login.username)}:${encodeURIComponent(login.password)}`;
    const query = new URLSearchParams({ client_id: login.client_id, topic: login.topic_prefix });
    return `${scheme}://${user}@${name}:${port}${isWebSocket(login) ? path : '/'}?${query}`;
}

/** The topic of a device by the integration's topic pattern: where its messages of that type go. */
export function topicBy(pattern, organizationPrefix, externalId, type) {
    return (pattern ?? '{organization_prefix}/devices/{device_id}/{message_type}')
        .replace('{organization_prefix}', organizationPrefix)
        .replace('{device_id}', externalId)
        .replace('{message_type}', type)
        .replaceAll('+', 'x')
        .replace(/\/?#$/, '');
}

/** A topic that the login may publish telemetry to. */
export function topicOf(login, externalId) {
    return /\/devices\/[^/]+$/.test(login.topic_prefix) ? `${login.topic_prefix}/telemetry` :
        `${login.topic_prefix}/devices/${externalId ?? 'sensor01'}/telemetry`;
}
