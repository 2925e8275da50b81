/** Why an exchange ended before its time: a closed list, the same numbers in every language (`http.md` section 6). */
import type { ResetCode } from '../../error.js';

/** All codes, in the order of their numbers. */
export const RESET_CODES: readonly ResetCode[] = [
  'none',
  'cancelled',
  'refused',
  'malformed',
  'too-large',
  'busy',
  'unreachable',
  'broken',
  'timeout',
  'unsupported',
  'gone',
  'internal',
];

export function resetNumber(code: ResetCode): number {
  return RESET_CODES.indexOf(code);
}

/** `internal` for a number that is not in the list. */
export function resetCode(number: number): ResetCode {
  return RESET_CODES[number] ?? 'internal';
}
