// Stands in for the device's jar (`http.md` section 9), as much of it as the tests of the page need. It shares no line with what it tests.

/** One caller's jar. */
export function makeJar() {
  const cookies = new Map();
  let stamp = 0;
  const told = [];

  const matches = (path, { path: own }) => path === own || (path.startsWith(own) && (own.endsWith('/') || path[own.length] === '/'));
  const live = () => [...cookies.values()].filter(({ expires }) => expires === null || expires > Date.now());
  const state = ({ name, value, path, domain, expires, created, stamp }) => ({ name, value, path, domain, expires, created, stamp });
  const ordered = (some) => some.sort((a, b) => b.path.length - a.path.length || a.created - b.created);

  /** A line of a script or of `set-cookie`; the states that scripts may know of. */
  function take(documentPath, line, script) {
    const [pair, ...rest] = line.split(';').map((each) => each.trim());
    const name = pair.slice(0, pair.indexOf('='));
    const attributes = new Map(rest.map((each) => [each.split('=')[0].toLowerCase(), each.split('=').slice(1).join('=')]));
    const path = attributes.get('path') || documentPath.split('?')[0].replace(/\/[^/]*$/, '') || '/';
    const domain = attributes.get('domain') ?? null;
    const key = JSON.stringify([name, path, domain]);
    const old = cookies.get(key);
    const httpOnly = attributes.has('httponly');
    const gone = { name, value: null, path, domain, expires: null, created: old?.created ?? 0, stamp };
    if (script && (httpOnly || old?.httpOnly || (name.startsWith('__Host-') && (path !== '/' || domain !== null || !attributes.has('secure'))))) return [gone];
    let expires = attributes.has('expires') ? Date.parse(attributes.get('expires')) : null;
    if (attributes.has('max-age')) expires = Date.now() + 1_000 * Number(attributes.get('max-age'));
    stamp++;
    if (expires !== null && expires <= Date.now()) {
      cookies.delete(key);
      return old?.httpOnly ? [] : [{ ...gone, stamp }];
    }
    const cookie = { name, value: pair.slice(pair.indexOf('=') + 1), path, domain, expires, created: old?.created ?? stamp, stamp, httpOnly, sameSite: (attributes.get('samesite') ?? 'lax').toLowerCase() };
    cookies.set(key, cookie);
    return httpOnly ? [] : [state(cookie)];
  }

  const report = (states) => JSON.stringify({ stamp, now: Date.now(), cookies: states });

  return {
    /** Bodies of changes, as they came. */
    told,
    /** Answers for the device's own paths; null for all others. */
    own(method, path, body) {
      if (path !== '/__peerage/cookies') return null;
      if (method === 'GET') return { status: 200, body: report(live().filter(({ httpOnly }) => !httpOnly).map(state)) };
      told.push(body);
      return { status: 200, body: report(JSON.parse(body).changes.flatMap(({ path, cookie }) => take(path, cookie, true))) };
    },
    /** The fields that reach the app. */
    sent(method, path, fields) {
      const opted = fields.some(([name, value]) => name === 'peerage-cookies' && value === 'jar');
      const rest = fields.filter(([name]) => name !== 'peerage-cookies' && !(opted && name === 'cookie'));
      if (!opted) return rest;
      const foreign = fields.some(([name, value]) => name === 'sec-fetch-site' && value === 'cross-site');
      const navigation = method === 'GET' && fields.some(([name, value]) => name === 'sec-fetch-mode' && value === 'navigate');
      const some = ordered(live().filter((cookie) => matches(path.split('?')[0], cookie) && (!foreign || (cookie.sameSite !== 'strict' && navigation))));
      return some.length === 0 ? rest : [...rest, ['cookie', some.map(({ name, value }) => `${name}=${value}`).join('; ')]];
    },
    /** The fields that leave the device. */
    returned(path, asked, fields) {
      if (!asked.some(([name]) => name === 'peerage-cookies')) return fields;
      const states = fields.filter(([name]) => name === 'set-cookie').flatMap(([, line]) => take(path, line, false));
      const news = states.length > 32 ? ['*'] : states.map((each) => encodeURIComponent(JSON.stringify(each)));
      return [...fields.filter(([name]) => name !== 'set-cookie'), ...news.map((each) => ['peerage-cookie', each])];
    },
  };
}
