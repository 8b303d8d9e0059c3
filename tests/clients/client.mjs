// An app on clients/typescript. Reads commands, one JSON object a line, and answers each with what the client returned or threw.
//   {"call": name, "args": {…}, "url": of another server}   {"list": "messages", "args": {…}}   {"provide": method, "args": […]}   {"verify": […arguments of verifyWebhook]}
import { createInterface } from "node:readline";
import { MqttIntegrationProvider, Topicbase, verifyWebhook } from "topicbase-client";

const { API_URL: url, TOKEN, ORGANIZATION_ID: organizationId, INTEGRATION_ID } = process.env;
const client = new Topicbase({ url, token: async () => TOKEN, organizationId });
const provider = new MqttIntegrationProvider(client, INTEGRATION_ID);

async function answer({ call, url, list, provide, verify, args = {} }) {
  if (call) return (url ? new Topicbase({ url }) : client).call(call, args);
  if (provide) return provider[provide](...args);
  if (verify) return verifyWebhook(...verify);
  const rows = [];
  for await (const row of client[list](args)) rows.push(row);
  return rows;
}

for await (const line of createInterface({ input: process.stdin })) {
  const outcome = await answer(JSON.parse(line)).then(
    (data) => ({ data: data ?? null }),
    ({ name, message, status, slug, detail, hint }) => ({ error: { name, message, status, slug, detail, hint } }),
  );
  console.log(JSON.stringify(outcome));
}
