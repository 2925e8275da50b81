/** Whether a request that failed before its answer began is sent once more. Pure. */
import type { Code } from '../error.js';

/** RFC 9110 section 9.2.1: these change nothing. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
/** The link, or the tab that had it, went, and the target may have seen the request. */
const CUT: ReadonlySet<Code> = new Set(['gone', 'lost', 'closed']);
/** Nothing was done (`http.md` section 6). */
const UNDONE: ReadonlySet<Code> = new Set(['busy', 'unreachable']);

/** A device that was busy, or a target that is just starting, needs a moment. */
const MOMENT_MS = 500;

/** In how many milliseconds to send it again; null: not at all. A body that was begun cannot be had again. */
export function repeatIn(code: Code, method: string, body: 'none' | 'untouched' | 'begun'): number | null {
  if (body === 'begun') return null;
  if (UNDONE.has(code)) return MOMENT_MS;
  return CUT.has(code) && body === 'none' && SAFE.has(method) ? 0 : null;
}
