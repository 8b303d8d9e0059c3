// Prints what a live subscription gives, until a message says "end".
import { Live } from "topicbase-client";

const { STREAM_URL: url, TOKEN: token, TOPIC: topic } = process.env;
const live = new Live({ url, token, WebSocket });
try {
  for await (const event of live.subscribe({ topic })) {
    console.log(JSON.stringify(event));
    if (event.type === "message" && event.message.payload === "end") break;
  }
} catch ({ name, slug }) {
  console.log(JSON.stringify({ name, slug }));
}
