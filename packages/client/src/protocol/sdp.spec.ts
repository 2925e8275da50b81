/** `vectors/sdp.json`: descriptions of browsers and of servers that alter them. */
import { describe, expect, test } from 'vitest';
import text from '../../../../vectors/sdp.json?raw';
import { cleanCandidate } from './candidate.js';
import { emitSdp, formatFingerprint, parseSdp, type DataDescription, type Setup } from './sdp.js';

interface Case {
  readonly name: string;
  readonly sdp: string;
  /** As a description is read that a statement vouches for: the only way here. */
  readonly strict: boolean;
}

interface Vectors {
  readonly good: readonly (Case & {
    readonly fields: Readonly<Record<string, unknown>>;
    readonly emitFingerprint: string;
    readonly emitSetup: Setup;
    readonly emitted: string;
  })[];
  readonly bad: readonly Case[];
  readonly candidates: readonly { readonly line: string; readonly written: string }[];
  readonly badCandidates: readonly { readonly line: string; readonly why: string }[];
}

const vectors = JSON.parse(text) as Vectors;

describe('descriptions', () => {
  test.each(vectors.good.filter(({ strict }) => strict))('read: $name', ({ sdp, fields }) => {
    expect(asFields(parseSdp(sdp))).toEqual(fields);
  });
  test.each(vectors.good.filter(({ strict }) => strict))('written from scratch: $name', ({ sdp, emitFingerprint, emitSetup, emitted }) => {
    const description = parseSdp(sdp);
    if (description === null) throw new Error('a description');
    const fingerprint = Uint8Array.from(emitFingerprint.split(':'), (pair) => Number.parseInt(pair, 16));
    expect(emitSdp(description, fingerprint, emitSetup)).toBe(emitted);
  });
  test.each([...vectors.bad, ...vectors.good].filter(({ strict }) => !strict))('refused: $name', ({ sdp }) => {
    expect(parseSdp(sdp)).toBeNull();
  });
});

describe('candidates', () => {
  test.each(vectors.candidates)('written anew: $written', ({ line, written }) => {
    expect(cleanCandidate(line)).toBe(written);
    expect(cleanCandidate(written)).toBe(written);
  });
  test.each(vectors.badCandidates)('refused: $why', ({ line }) => {
    expect(cleanCandidate(line)).toBeNull();
  });
});

function asFields(description: DataDescription | null): unknown {
  if (description === null) return null;
  return { ...description, fingerprint: formatFingerprint(description.fingerprint), maxMessageSize: Number(description.maxMessageSize) };
}
