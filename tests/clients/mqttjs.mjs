// An MQTT.js client over WebSocket, which answers each line of JSON with one.
import { createInterface } from "node:readline";
import mqtt from "mqtt";

const { MQTT_WS_URL: url, USERNAME: username, PASSWORD: password, CLIENT_ID: clientId } = process.env;
const client = mqtt.connect(url, { protocolVersion: 5, username, password, clientId, reconnectPeriod: 0 });
const say = (answer) => console.log(JSON.stringify(answer));
client.on("connect", () => say({ connected: true }));
client.on("error", ({ code }) => say({ refused: code }));
client.on("disconnect", ({ reasonCode }) => say({ disconnected: reasonCode }));
client.on("close", () => say({ closed: true }));
client.on("message", (topic, payload) => say({ topic, payload: payload.toString() }));

for await (const line of createInterface({ input: process.stdin })) {
  const { subscribe, publish, payload } = JSON.parse(line);
  if (subscribe) client.subscribe(subscribe, { qos: 1 }, (_, granted, packet) => say({ granted: packet?.granted ?? granted }));
  else client.publish(publish, payload, { qos: 1 }, (_, packet) => say({ acknowledged: packet?.reasonCode ?? 0 }));
}
client.end(true);
