/** The device's jar, as the tab that has the link sees it over one link: what changes there comes here, what scripts change goes there. */
import { PeerageError } from '../../error.js';
import type { ExchangeResponse, Field, HttpLink, Puller } from '../../fetch/exchange.js';
import type { CookieChange } from '../../protocol/cookies/mirror.js';
import { CHANGES_LIMIT, JAR_PATH, OPT_IN, readReport, readStateField, STATE_FIELD, type CookieState, type JarReport } from '../../protocol/cookies/state.js';
import type { SharedCookies } from './shared.js';

/** The jar answers from memory. Later than this something is wrong, and requests go on without. */
const ANSWER_MS = 10_000;
/** Far above a full jar: 180 cookies of 4 KiB. */
const REPORT_LIMIT = 4 * 1024 * 1024;

export class Jar {
  readonly #link: HttpLink;
  readonly #cookies: SharedCookies;
  #listing: Promise<void> | null = null;
  #sending: Promise<void> | null = null;

  /** Of a link that was just opened. */
  constructor(link: HttpLink, cookies: SharedCookies) {
    this.#link = link;
    this.#cookies = cookies;
    void this.#listed(true);
    this.changed();
  }

  /** A script has changed something: the device hears of it at once. */
  changed(): void {
    void this.told();
  }

  /** Resolves when the device knows of every change made until now, or cannot be told. Never rejects. */
  async told(): Promise<void> {
    const last = this.#cookies.pending.at(-1)?.id;
    if (last === undefined) return;
    // The list is of the jar as it was before.
    await this.#listed(true);
    while (this.#cookies.isPending(last)) {
      try {
        await (this.#sending ??= this.#send().finally(() => (this.#sending = null)));
      } catch {
        // The changes stay, for the next request or the next link.
        return;
      }
    }
  }

  /** Takes the news out of a response's fields; resolves when all tabs can know of it. */
  async taken(fields: readonly Field[]): Promise<Field[]> {
    await this.#listed(true);
    const states: CookieState[] = [];
    let anew = false;
    for (const [name, value] of fields) {
      if (name !== STATE_FIELD) continue;
      const state = readStateField(value);
      if (state === 'anew') anew = true;
      else if (state !== null) states.push(state);
    }
    await this.#cookies.heard(states);
    if (anew) {
      this.#listing = null;
      await this.#listed(false);
    }
    return fields.filter(([name]) => name !== STATE_FIELD);
  }

  /** Lists the jar, once a link unless there is reason to. Where that fails, what was known before goes on to count. Never rejects. */
  #listed(anew: boolean): Promise<void> {
    this.#listing ??= this.#ask('GET', null).then(
      (report) => this.#cookies.listed(report, anew),
      (error: unknown) => console.warn(`peerage: the cookies could not be listed: ${PeerageError.codeOf(error)}`),
    );
    return this.#listing;
  }

  async #send(): Promise<void> {
    const batch = firstOf(this.#cookies.pending);
    const ids = batch.map(({ id }) => id);
    let report: JarReport | null = null;
    try {
      report = await this.#ask('POST', JSON.stringify({ changes: batch.map(({ path, cookie }) => ({ path, cookie })) }));
    } catch (error) {
      // What the device does not take now it will never take; what did not reach it goes again.
      if (PeerageError.codeOf(error) !== 'malformed') throw error;
    }
    this.#cookies.settle(ids, report?.cookies ?? []);
  }

  /** Null: the device keeps no jar. Rejects with `malformed` where it refuses what it was asked. */
  async #ask(method: string, body: string | null): Promise<JarReport | null> {
    const octets = body === null ? null : new TextEncoder().encode(body);
    const fields: Field[] = [['accept', 'application/json'], [...OPT_IN]];
    if (octets !== null) fields.push(['content-type', 'application/json'], ['content-length', String(octets.length)]);
    const signal = AbortSignal.timeout(ANSWER_MS);
    const response = await this.#link.exchange({ method, path: JAR_PATH, fields, body: octets && once(octets), signal });
    if (response.status !== 200) response.body.cancel();
    if (response.status === 404) return null;
    if (response.status >= 400 && response.status < 500) throw new PeerageError('malformed', 'the device refuses a change of cookies');
    const report = response.status === 200 ? readReport(await text(response)) : null;
    if (report === null) throw new PeerageError('protocol', 'the device’s list of cookies cannot be read');
    return report;
  }
}

/** As many changes as one POST may hold, and one at least: what is too long alone is the device's to refuse. */
function firstOf(changes: readonly CookieChange[]): readonly CookieChange[] {
  let left = CHANGES_LIMIT - '{"changes":[]}'.length;
  const fitting = changes.findIndex(({ path, cookie }) => {
    left -= new TextEncoder().encode(JSON.stringify({ path, cookie })).length + 1;
    return left < 0;
  });
  return fitting < 0 ? changes : changes.slice(0, Math.max(1, fitting));
}

function once(octets: Uint8Array<ArrayBuffer>): Puller {
  let left: Uint8Array<ArrayBuffer> | null = octets;
  return {
    pull: () => {
      const piece = left;
      left = null;
      return Promise.resolve(piece);
    },
    cancel() {},
  };
}

async function text({ body }: ExchangeResponse): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for (let piece = await body.pull(); piece !== null; piece = await body.pull()) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > REPORT_LIMIT) {
      body.cancel();
      throw new PeerageError('too-large', 'the device’s list of cookies has no end');
    }
  }
  return text;
}
