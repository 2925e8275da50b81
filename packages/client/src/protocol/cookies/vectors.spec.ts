/** `vectors/cookies.json`: what the device's jar says, and what scripts read then. */
import { describe, expect, it } from 'vitest';
import text from '../../../../../vectors/cookies.json?raw';
import { CookieMirror } from './mirror.js';
import { type CookieState, type JarReport, readReport, readStateField } from './state.js';

type Change = { readonly path: string; readonly cookie: string };
interface Case {
  readonly name: string;
  readonly steps: readonly { readonly wait?: number; readonly news?: readonly string[]; readonly script?: { readonly changes: readonly Change[] }; readonly answer?: JarReport }[];
  readonly listing: JarReport;
  readonly documents: readonly { readonly path: string; readonly cookie: string }[];
}

const vectors = JSON.parse(text) as { readonly now: number; readonly cases: readonly Case[] };
/** This browser's clock, away from the device's. */
const BEHIND = 86_400_000;

function reads(mirror: CookieMirror, path: string, now: number): string {
  return mirror.visible(path, now).map(({ name, value }) => (name === '' ? value : `${name}=${value}`)).join('; ');
}

/** A mirror that knows the device's clock and an empty jar. */
function begun(): CookieMirror {
  const mirror = new CookieMirror('device.localhost');
  mirror.list({ stamp: 0, now: vectors.now, cookies: [] }, vectors.now - BEHIND, true);
  return mirror;
}

describe('vectors/cookies.json', () => {
  for (const { name, steps, listing, documents } of vectors.cases) {
    it(name, () => {
      const mirror = begun();
      let now = vectors.now - BEHIND;
      for (const { wait = 0, news = [], script: { changes } = { changes: [] }, answer } of steps) {
        now += wait;
        for (const each of news) {
          const state = readStateField(each);
          if (state === 'anew') mirror.list(listing, now, false);
          else mirror.apply([state as CookieState]);
        }
        changes.forEach((change, at) => mirror.change({ id: `${at}`, ...change, at: now }));
        const expected = documents.map(({ path }) => reads(mirror, path, now));
        mirror.settle(changes.map((_, at) => `${at}`), answer?.cookies ?? []);
        // What the device does not refuse shows from the first moment on as it does in the end.
        if (!name.includes('may not set')) expect(documents.map(({ path }) => reads(mirror, path, now))).toEqual(expected);
      }
      for (const { path, cookie } of documents) expect(reads(mirror, path, now), path).toBe(cookie);

      const other = new CookieMirror('device.localhost');
      other.list(readReport(JSON.stringify(listing)) ?? { stamp: 0, now: 0, cookies: [] }, now, true);
      for (const { path, cookie } of documents) expect(reads(other, path, now), path).toBe(cookie);
    });
  }
});
