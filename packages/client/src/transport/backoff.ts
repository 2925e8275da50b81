/** How long to wait between attempts. Pure. */

const FIRST_MS = 1_000;
/** A person who looks at the page waits no longer than this after the device is back. */
const LONGEST_MS = 15_000;
/** A link that lived this long was a good one: losing it is a first failure, not one more. */
export const SETTLED_MS = 10_000;

/** `failures` in a row, at least one; `chance` in [0, 1) spreads those who lost the same device at the same moment. */
export function backoff(failures: number, chance: number, first = FIRST_MS, longest = LONGEST_MS): number {
  const full = Math.min(longest, first * 2 ** Math.min(failures - 1, 20));
  return Math.round(full * (0.75 + chance / 4));
}
