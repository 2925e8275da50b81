import { PeerageError } from '../../error.js';

/** A break of the protocol after which the link is closed; nothing more is said in-band. */
export class Violation extends PeerageError {
  override readonly code: 'protocol' | 'flow' | 'hello';

  constructor(code: 'protocol' | 'flow' | 'hello', what: string) {
    super(code, `the other end breaks the protocol (${code}): ${what}`);
    this.code = code;
  }
}
