/** The body of a webhook: docs/reference/webhooks.md. */
export interface WebhookMessage {
  type: "mqtt.message";
  id: string;
  subscription_id: string;
  subscription_topic: string;
  organization_id: string;
  integration_id: string;
  /** The device's id in its topics, and by its older name. */
  external_id: string | null;
  device_id: string | null;
  topic: string;
  payload: unknown;
  payload_encoding: "json" | "base64";
  content_type: string | null;
  qos: 0 | 1 | 2;
  retain: boolean;
  properties: Record<string, unknown> | null;
  sent_at: string | null;
  received_at: string;
}

export class WebhookError extends Error {
  override readonly name = "WebhookError";
}

export interface WebhookOptions {
  /** Seconds that `webhook-timestamp` may differ from now; 300 unless given. */
  tolerance?: number;
}

type HeadersLike = Headers | Record<string, string | readonly string[] | undefined>;

function header(headers: HeadersLike, name: string): string {
  const value =
    headers instanceof Headers ? headers.get(name) : Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  if (typeof value !== "string" || value === "") throw new WebhookError(`The request has no ${name}.`);
  return value;
}

function decoded(base64: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

/**
 * The message of a webhook whose signature is right (Standard Webhooks, HMAC-SHA256); otherwise it rejects with a {@link WebhookError}.
 * @param secret `whsec_…`, as `mqtt_subscribe` showed it.
 * @param body the request's body as it came, before any parsing.
 */
export async function verifyWebhook(
  secret: string,
  headers: HeadersLike,
  body: string | Uint8Array,
  { tolerance = 300 }: WebhookOptions = {},
): Promise<WebhookMessage> {
  const [id, timestamp, signatures] = [header(headers, "webhook-id"), header(headers, "webhook-timestamp"), header(headers, "webhook-signature")];
  if (!/^\d{1,15}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > tolerance) {
    throw new WebhookError("The webhook-timestamp is not of now.");
  }
  const bytes = decoded(secret.replace(/^whsec_/, ""));
  if (bytes === null || bytes.length === 0) throw new WebhookError("The secret is not whsec_ and base64.");
  const content = typeof body === "string" ? body : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  const signed = new TextEncoder().encode(`${id}.${timestamp}.${content}`);
  // Several while a secret is being rotated.
  for (const candidate of signatures.split(" ")) {
    const signature = candidate.startsWith("v1,") ? decoded(candidate.slice(3)) : null;
    // subtle.verify compares in constant time.
    if (signature && (await crypto.subtle.verify("HMAC", key, signature, signed))) return JSON.parse(content) as WebhookMessage;
  }
  throw new WebhookError("None of the signatures is right.");
}
