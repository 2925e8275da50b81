import { describe, expect, it } from 'vitest';
import { permitScript } from './policy.js';

const ADDRESS = 'http://x.localhost/__peerage/shim.js';

describe('permitScript', () => {
  it.each([
    ["script-src 'none'", `script-src ${ADDRESS}`],
    ["default-src 'none'; img-src *", `default-src 'none'; img-src *; script-src ${ADDRESS}`],
    ["default-src https: 'unsafe-inline'", `default-src https: 'unsafe-inline'; script-src https: 'unsafe-inline' ${ADDRESS}`],
    ["script-src 'sha256-abc='", `script-src 'sha256-abc=' ${ADDRESS}`],
    ["script-src 'nonce-other'", `script-src 'nonce-other' ${ADDRESS}`],
    ["script-src 'strict-dynamic' 'sha256-abc='", "script-src 'strict-dynamic' 'sha256-abc=' 'nonce-ours'"],
    ["script-src 'self'; script-src-elem 'none'", `script-src 'self'; script-src-elem ${ADDRESS}`],
    ["script-src 'none', default-src 'none'", `script-src ${ADDRESS},default-src 'none'; script-src ${ADDRESS}`],
    ['script-src', `script-src ${ADDRESS}`],
    ["SCRIPT-SRC 'NONE'", `script-src ${ADDRESS}`],
  ])('%s', (policy, permitted) => expect(permitScript(policy, ADDRESS, 'ours')).toBe(permitted));

  it.each(["default-src 'self'", "script-src 'nonce-ours' 'strict-dynamic'", "script-src *", "img-src 'none'", "frame-ancestors 'self'", "script-src 'self' 'unsafe-inline'; default-src 'none'", ''])(
    'leaves_alone %s',
    (policy) => expect(permitScript(policy, ADDRESS, 'ours')).toBe(policy),
  );
});
