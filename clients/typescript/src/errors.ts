/** What the API refused, or could not be asked. `slug` is stable; docs/reference/errors.md lists them all. */
export class TopicbaseError extends Error {
  override readonly name = "TopicbaseError";

  constructor(
    /** HTTP status; 0 where there was no answer. */
    readonly status: number,
    /** For programs, such as `device_not_found`; `unreachable` without an answer, `answer_invalid` for one that is not the API's. */
    readonly slug: string,
    /** This case, for people. */
    readonly detail: string | null,
    /** What to do next. */
    readonly hint: string | null,
    /** Seconds to wait before the next attempt, where the answer says so. */
    readonly retryAfter: number | null = null,
    options?: ErrorOptions,
  ) {
    super([slug, detail, hint].filter(Boolean).join(": "), options);
  }
}

interface ErrorBody {
  message?: unknown;
  details?: unknown;
  hint?: unknown;
}

const text = (value: unknown): string | null => (typeof value === "string" ? value : null);

/** The error that an answer with a status of 400 or more is. */
export async function errorOf(response: Response): Promise<TopicbaseError> {
  const body = (await response.json().catch(() => null)) as ErrorBody | null;
  const seconds = Number(response.headers.get("Retry-After") ?? NaN);
  const slug = text(body?.message) ?? "answer_invalid";
  const detail = text(body?.details) ?? (body ? null : `Status ${response.status} without an error of the API.`);
  return new TopicbaseError(response.status, slug, detail, text(body?.hint), Number.isFinite(seconds) ? seconds : null);
}
