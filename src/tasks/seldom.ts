/** Passes on an error unless the same went by a moment ago: a server that is away would fill the log. */

/** Long enough to read a log by, short enough to see that it still lasts. */
export const REPEAT_AFTER_MS = 60_000;
/** Different errors remembered; more are passed on as if they were new. */
const MAX_REMEMBERED = 100;

export function seldom(onError: (error: unknown) => void, nowMs: () => number): (error: unknown) => void {
  const passed = new Map<string, number>();
  return (error) => {
    const now = nowMs();
    const key = kindOf(error);
    const before = passed.get(key);
    if (before !== undefined && now - before < REPEAT_AFTER_MS) return;
    if (passed.size >= MAX_REMEMBERED) passed.clear();
    passed.set(key, now);
    onError(error);
  };
}

/** What it says apart from figures: ports, delays and counts differ each time. */
function kindOf(error: unknown): string {
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  return `${code} ${message ?? error}`.replace(/\d+/g, '#');
}
