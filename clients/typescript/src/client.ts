import { callsWithOrganization } from "./calls.js";
import { errorOf, TopicbaseError } from "./errors.js";
import type { paths } from "./openapi.js";

type Json<T> = T extends { content: { "application/json": infer Body } } ? Body : never;

/** The calls that take JSON. */
type Operations = {
  [Path in keyof paths as Path extends `/rpc/${infer Name}` ? Name : never]: paths[Path] extends { post: infer Operation } ? Operation : never;
};
/** Arguments by name; where a call also takes an array alone, not that. */
type BodyOf<Operation> = Operation extends { requestBody?: infer Body } ? Exclude<Json<NonNullable<Body>>, readonly unknown[]> : never;
type Success<Responses> = Json<Responses[keyof Responses & (200 | 202)]>;

export type CallName = { [Name in keyof Operations]: [BodyOf<Operations[Name]>] extends [never] ? never : Name }[keyof Operations];

/** `organization_id` may be omitted from every call: the client's is sent. */
type WithDefault<Body> = Body extends { organization_id: infer Id } ? Omit<Body, "organization_id"> & { organization_id?: Id } : Body;
/** The arguments of a call. */
export type Arguments<Name extends CallName> = WithDefault<BodyOf<Operations[Name]>>;
/** Its answer. A later release may add members. */
export type Answer<Name extends CallName> = Operations[Name] extends { responses: infer Responses } ? Success<Responses> : never;

export interface CallOptions {
  /** Ends the call early. */
  signal?: AbortSignal;
}

export interface TopicbaseOptions {
  /** Of the API: `https://host/rest/v1` at the gateway, else PostgREST's. */
  url: string;
  /** A JWT, or what gives one for each call. */
  token?: string | (() => string | Promise<string>);
  /** Instead of a token. */
  apiKey?: string;
  /** Sent with each call that has an `organization_id` and is given none. */
  organizationId?: string;
  /** Milliseconds to wait for an answer; more than the longest `wait` of a call. */
  timeout?: number;
}

type Page<Name extends CallName> = Answer<Name> extends readonly (infer Row)[] ? Row : never;

/** A signed-in user, app or backend. */
export class Topicbase {
  readonly organizationId: string | undefined;
  readonly #url: string;
  readonly #options: TopicbaseOptions;

  constructor(options: TopicbaseOptions) {
    this.#options = options;
    this.#url = options.url.replace(/\/+$/, "");
    this.organizationId = options.organizationId;
  }

  /** Makes a call of the API. Rejects with a {@link TopicbaseError}. */
  async call<Name extends CallName>(
    name: Name,
    ...[args, options]: {} extends Arguments<Name> ? [args?: Arguments<Name>, options?: CallOptions] : [args: Arguments<Name>, options?: CallOptions]
  ): Promise<Answer<Name>> {
    const body = { ...(args as Record<string, unknown> | undefined) };
    if (this.organizationId !== undefined && body["organization_id"] === undefined && callsWithOrganization.has(name)) {
      body["organization_id"] = this.organizationId;
    }
    const response = await this.#post(`/rpc/${name}`, body, options?.signal);
    if (!response.ok) throw await errorOf(response);
    try {
      return (await response.json()) as Answer<Name>;
    } catch (cause) {
      if (options?.signal?.aborted) throw options.signal.reason;
      const detail = `Status ${response.status} without JSON: ${String(cause)}`;
      throw new TopicbaseError(response.status, "answer_invalid", detail, "Is the URL that of the API?", null, { cause });
    }
  }

  /** All devices, page by page, as `list_devices`; `limit` is the size of a page. */
  async *devices(args: Arguments<"list_devices"> = {}): AsyncGenerator<Answer<"list_devices">["devices"][number], void> {
    let cursor = args.cursor ?? null;
    do {
      const page = await this.call("list_devices", { ...args, cursor });
      yield* page.devices;
      cursor = page.next_cursor;
    } while (cursor !== null);
  }

  /** Stored messages, newest first unless `oldest_first`, as `list_messages`. */
  messages(args: Arguments<"list_messages"> = {}): AsyncGenerator<Page<"list_messages">, void> {
    return this.#rows("list_messages", args) as AsyncGenerator<Page<"list_messages">, void>;
  }

  /** Readings, newest first, as `query_telemetry`. */
  telemetry(args: Arguments<"query_telemetry"> = {}): AsyncGenerator<Page<"query_telemetry">, void> {
    return this.#rows("query_telemetry", args) as AsyncGenerator<Page<"query_telemetry">, void>;
  }

  /** Rows of a call whose next page begins after the `cursor` of the last row; it ends with an empty page. */
  async *#rows(name: "list_messages" | "query_telemetry", args: { cursor?: string | null }): AsyncGenerator<unknown, void> {
    let cursor = args.cursor ?? null;
    for (;;) {
      const page = (await this.call(name, { ...args, cursor })) as { cursor: string }[];
      yield* page;
      const last = page.at(-1);
      if (last === undefined) return;
      cursor = last.cursor;
    }
  }

  /** The token that is to be sent now. */
  async token(): Promise<string | undefined> {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }

  async #post(path: string, body: unknown, signal: AbortSignal | undefined): Promise<Response> {
    const headers: Record<string, string> = { "Content-Type": "application/json" };
    const token = await this.token();
    if (token !== undefined) headers["Authorization"] = `Bearer ${token}`;
    if (this.#options.apiKey !== undefined) headers["X-API-Key"] = this.#options.apiKey;
    const timeout = AbortSignal.timeout(this.#options.timeout ?? 60_000);
    try {
      return await fetch(this.#url + path, {
        method: "POST",
        headers,
        body: JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      throw new TopicbaseError(0, "unreachable", String(cause), "Try again; a message_id makes a repeat safe.", null, { cause });
    }
  }
}
