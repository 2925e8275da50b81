/** Lets one more script run under an app's Content-Security-Policy, and changes nothing else of it. Pure. */

/**
 * `policies` as in the header: several are separated by commas, and all must agree. The script is at `address`, its tag carries `nonce`. An address does
 * not switch `'unsafe-inline'` off, as a nonce would; but under `'strict-dynamic'` only a nonce counts.
 */
export function permitScript(policies: string, address: string, nonce: string): string {
  return policies
    .split(',')
    .map((policy) => permitIn(policy, address, nonce))
    .join(',');
}

/** The first of these that is there decides for scripts. */
const SCRIPTS = ['script-src-elem', 'script-src', 'default-src'];

function permitIn(policy: string, address: string, nonce: string): string {
  const directives = policy.split(';').map((directive) => directive.trim().split(/\s+/));
  const names = directives.map(([name]) => name?.toLowerCase() ?? '');
  // Of several directives of one name, the first counts.
  const deciding = SCRIPTS.map((name) => names.indexOf(name)).find((at) => at >= 0);
  if (deciding === undefined) return policy;
  const sources = directives[deciding]?.slice(1) ?? [];
  const states = (source: string): boolean => sources.some((each) => each.toLowerCase() === source);
  if (sources.includes(`'nonce-${nonce}'`)) return policy;
  const dynamic = states("'strict-dynamic'");
  if (!dynamic && (states("'self'") || states('*'))) return policy;
  const permitted = [...sources.filter((source) => source.toLowerCase() !== "'none'"), dynamic ? `'nonce-${nonce}'` : address];
  if (names[deciding] === 'default-src') directives.push(['script-src', ...permitted]);
  else directives[deciding] = [names[deciding] ?? '', ...permitted];
  return directives
    .map((parts) => parts.join(' '))
    .filter((directive) => directive !== '')
    .join('; ');
}
