import type { Answer } from "./client.js";
import { TopicbaseError } from "./errors.js";
import type { components } from "./openapi.js";
import type { WebhookMessage } from "./webhooks.js";

/** A message as a webhook has it, without what belongs to its subscription. */
export interface LiveMessage extends Omit<WebhookMessage, "type" | "subscription_id" | "subscription_topic"> {
  direction: "incoming" | "outgoing";
  message_type: string | null;
  measured_at: string;
  decode_error: string | null;
}
/** Whether a device is connected. `by` is `silence` where it is `offline` for having sent nothing. */
export interface LivePresence {
  id: string;
  organization_id: string;
  integration_id: string;
  external_id: string;
  state: "online" | "offline" | "unknown";
  since: string | null;
  by: string | null;
}
/** What there is no longer. */
export interface LiveDeleted {
  id: string;
  deleted: true;
}
/** Of an organization, or, to operators, of the installation. */
export type LiveStatistics =
  | (Answer<"get_mqtt_queue_stats"> & { at: string })
  | (Answer<"get_system_status"> & { organization_id: null });

/**
 * What an iteration gives, first `subscribed`, and again after a new connection. States and receipts begin with what there is, up to `current`.
 * `gap`: messages before this one are no longer there (`lost`), or come later than they might have.
 */
export type LiveEvent =
  | { type: "subscribed"; cursor?: string }
  | { type: "message"; cursor: string; message: LiveMessage }
  | { type: "readings"; cursor: string; readings: Omit<Answer<"query_telemetry">[number], "cursor"> }
  | { type: "receipts"; cursor: string; receipts: Answer<"get_mqtt_publish_receipts">[number] }
  | { type: "presence"; presence: LivePresence | LiveDeleted }
  | { type: "integrations"; integrations: components["schemas"]["device_integrations"] | LiveDeleted }
  | { type: "statistics"; statistics: LiveStatistics }
  | { type: "current"; cursor?: string }
  | { type: "gap"; cursor?: string; reason: string; lost: boolean };

export interface LiveSubscription {
  stream?: "messages" | "readings" | "receipts" | "presence" | "integrations" | "statistics";
  /** A topic filter. */
  topic?: string;
  device_id?: string;
  organization_id?: string;
  metrics?: string[];
  /** The cursor of an event, after which to begin; without it, what comes from now on. */
  since?: string;
}

export interface LiveOptions {
  /** `wss://host/stream`. */
  url: string;
  /** A JWT, or what gives one for each connection: then the stream goes on after the old one has expired. */
  token?: string | (() => string | Promise<string>);
  /** In place of a token. */
  apiKey?: string;
  /** Where there is no global one, as in Node.js 20. */
  WebSocket?: typeof WebSocket;
}

interface Frame {
  type: string;
  id?: string;
  cursor?: string;
  code?: string;
  detail?: string;
  hint?: string;
}

/** One `for await`: events that wait for it, and where to go on after a new connection. */
class Reader {
  readonly #events: LiveEvent[] = [];
  #wake = (): void => {};
  #end: { error?: TopicbaseError } | undefined;

  constructor(
    readonly id: string,
    readonly subscription: LiveSubscription,
  ) {}

  take(frame: Frame): void {
    if (frame.cursor !== undefined) this.subscription.since = frame.cursor;
    if (frame.type === "error") this.end(errorOf(frame));
    else if (frame.type !== "unsubscribed") this.#events.push(frame as unknown as LiveEvent);
    this.#wake();
  }

  end(error?: TopicbaseError): void {
    this.#end ??= error ? { error } : {};
    this.#wake();
  }

  async *events(): AsyncGenerator<LiveEvent, void> {
    for (;;) {
      const event = this.#events.shift();
      if (event) yield event;
      else if (this.#end?.error) throw this.#end.error;
      else if (this.#end) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

const errorOf = (frame: Frame): TopicbaseError => new TopicbaseError(0, frame.code ?? "answer_invalid", frame.detail ?? null, frame.hint ?? null);

/** Messages as they are settled, over one WebSocket. It connects again by itself and goes on where it was: nothing is lost, nothing comes twice. */
export class Live {
  readonly #options: LiveOptions;
  readonly #readers = new Map<string, Reader>();
  #socket: WebSocket | undefined;
  #isReady = false;
  #failures = 0;
  #names = 0;
  #refusal: TopicbaseError | undefined;

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  /** Events of a subscription, which ends when the loop does. */
  async *subscribe(subscription: LiveSubscription = {}): AsyncGenerator<LiveEvent, void> {
    const reader = new Reader(String(++this.#names), { ...subscription });
    this.#readers.set(reader.id, reader);
    if (this.#isReady) this.#send({ ...reader.subscription, type: "subscribe", id: reader.id });
    else if (this.#socket === undefined) this.#connect();
    try {
      yield* reader.events();
    } finally {
      if (this.#readers.delete(reader.id) && this.#isReady) this.#send({ type: "unsubscribe", id: reader.id });
      if (this.#readers.size === 0) this.#disconnect();
    }
  }

  /** Ends all loops. */
  close(): void {
    this.#endAll();
    this.#disconnect();
  }

  #disconnect(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#isReady = false;
    socket?.close();
  }

  #connect(): void {
    const { url, token, apiKey, WebSocket: Socket = WebSocket } = this.#options;
    const socket = new Socket(url.replace(/^http/, "ws"));
    this.#socket = socket;
    socket.onopen = async () => {
      try {
        const hello = { type: "hello", token: typeof token === "function" ? await token() : token, api_key: apiKey };
        if (this.#socket === socket) this.#send(hello);
      } catch (cause) {
        this.#endAll(new TopicbaseError(0, "token_missing", String(cause), null, null, { cause }));
        this.#disconnect();
      }
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#take(JSON.parse(String(data)) as Frame);
    };
    // Where a connection was never made, Node.js 20 tells only this.
    socket.onerror = () => {
      if (this.#socket === socket) this.#closed(1006);
    };
    socket.onclose = ({ code }) => {
      if (this.#socket === socket) this.#closed(code);
    };
  }

  #take(frame: Frame): void {
    if (frame.type === "ready") {
      this.#isReady = true;
      this.#failures = 0;
      for (const { id, subscription } of this.#readers.values()) this.#send({ ...subscription, type: "subscribe", id });
    } else if (frame.type === "error" && frame.code === "upstream_unavailable") {
      this.#socket?.close(); // and all is subscribed to again
    } else if (frame.id !== undefined) {
      this.#readers.get(frame.id)?.take(frame);
      if (frame.type === "error") this.#readers.delete(frame.id);
    } else if (frame.type === "error") {
      this.#refusal = errorOf(frame);
    }
  }

  #closed(code: number): void {
    const wasReady = this.#isReady;
    this.#socket = undefined;
    this.#isReady = false;
    // A refused token stays refused, unless it is one that expired and there will be another.
    if (code === 4401 && !(wasReady && typeof this.#options.token === "function")) {
      this.#endAll(this.#refusal ?? new TopicbaseError(401, "token_invalid", null, null));
      return;
    }
    const pause = Math.min(30_000, 500 * 2 ** this.#failures++) * (0.5 + Math.random() / 2);
    setTimeout(() => {
      if (this.#socket === undefined && this.#readers.size > 0) this.#connect();
    }, pause);
  }

  #endAll(error?: TopicbaseError): void {
    for (const reader of this.#readers.values()) reader.end(error);
    this.#readers.clear();
  }

  #send(frame: object): void {
    this.#socket?.send(JSON.stringify(frame));
  }
}
