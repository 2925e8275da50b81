import { PeerageError } from '../../error.js';

/** The rules of `http.md` section 4, by the names that vectors use. */
export type HeadRule =
  | 'truncated'
  | 'left-over'
  | 'kind'
  | 'method'
  | 'path'
  | 'stream'
  | 'status'
  | 'name'
  | 'value'
  | 'forbidden'
  | 'content-length'
  | 'too-large';

/** A head that breaks a rule: its code is what the exchange is reset with. */
export class HeadError extends PeerageError {
  override readonly code: 'malformed' | 'too-large';
  readonly rule: HeadRule;

  constructor(rule: HeadRule) {
    const code = rule === 'too-large' ? 'too-large' : 'malformed';
    super(code, `the head breaks a rule: ${rule}`);
    this.code = code;
    this.rule = rule;
  }
}
