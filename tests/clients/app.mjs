// An app on @supabase/postgrest-js. Reads commands, one JSON object a line, and answers each with what the client returned.
//   {"rpc": name, "args": {…}, "get": bool}   or   {"from": view, "steps": [[method, …arguments], …]}
import { createInterface } from "node:readline";
import { PostgrestClient } from "@supabase/postgrest-js";

const client = new PostgrestClient(process.env.REST_URL, { headers: { Authorization: `Bearer ${process.env.TOKEN}` } });

for await (const line of createInterface({ input: process.stdin })) {
  const { rpc, args, get, from, steps = [] } = JSON.parse(line);
  let query = rpc ? client.rpc(rpc, args ?? {}, { get: get ?? false }) : client.from(from);
  for (const [method, ...rest] of steps) query = query[method](...rest);
  const { data, error, status, count } = await query;
  console.log(JSON.stringify({ data, error, status, count }));
}
