// What the types allow, and what they must not; `bin/lint typescript` checks it.
import { Live, Topicbase } from "../src/index.js";

const client = new Topicbase({ url: "http://localhost", token: "t", organizationId: "o" });

export async function types(): Promise<void> {
  const published = await client.call("mqtt_publish", { integration_id: "i", messages: [{ topic: "a", payload: { led: "on" }, qos: 1 }] });
  const receipt: string | undefined = published.receipts[0]?.receipt_id;
  await client.call("upsert_integration", { name: "n", integration_type: "mqtt_hosted" });
  await client.call("get_caller");
  for await (const row of client.telemetry({ device_id: "d" })) console.log(row.deviceId, row.metrics, receipt);
  for await (const row of client.messages()) console.log(row.topic);
  for await (const device of client.devices()) console.log(device.external_id);
  for await (const event of new Live({ url: "", token: "t" }).subscribe({ topic: "a/#" })) {
    if (event.type === "message") console.log(event.message.topic, event.message.measured_at);
    if (event.type === "readings") console.log(event.readings.deviceId);
    if (event.type === "receipts") console.log(event.receipts.state, event.receipts.topic);
    if (event.type === "presence") console.log("deleted" in event.presence ? event.presence.id : event.presence.state);
    if (event.type === "integrations" && !("deleted" in event.integrations)) console.log(event.integrations.status);
    if (event.type === "statistics" && event.statistics.organization_id !== null) console.log(event.statistics.pending);
    // @ts-expect-error statistics have no cursor
    if (event.type === "statistics") console.log(event.cursor);
  }
  new Live({ url: "", apiKey: "k" }).subscribe({ stream: "presence", device_id: "d" });
  // @ts-expect-error no such stream
  new Live({ url: "", apiKey: "k" }).subscribe({ stream: "devices" });
  // @ts-expect-error no such call
  await client.call("mqtt_publsh", {});
  // @ts-expect-error no such argument
  await client.call("get_device", { device: "d" });
  // @ts-expect-error an argument is missing
  await client.call("mqtt_publish", { integration_id: "i" });
  // @ts-expect-error no such member of the answer
  console.log((await client.call("get_caller")).name);
}
