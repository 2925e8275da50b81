/** `vectors/identity.json`: the encodings, as the Rust core writes and refuses them. */
import { describe, expect, test } from 'vitest';
import text from '../../../../vectors/identity.json?raw';
import { PeerageError } from '../error.js';
import { hex, unhex } from '../testing/vectors.js';
import { decodeBase32, encodeBase32 } from './base32.js';
import { encodeBase64 } from './base64.js';
import { isDeviceId, isSecret } from './id.js';
import { formatLink, parseLink } from './link-url.js';
import { emitStatement, parseStatement, type Statement } from './statement.js';

interface Vectors {
  readonly base32: {
    readonly good: readonly { readonly bytesHex: string; readonly text: string }[];
    readonly bad: readonly { readonly text: string; readonly why: string }[];
  };
  readonly ids: readonly { readonly text: string; readonly keyShaped: boolean; readonly why: string }[];
  readonly secrets: { readonly bad: readonly { readonly text: string; readonly why: string }[] };
  readonly links: readonly (Record<string, unknown> & { readonly text: string; readonly canonical: string })[];
  readonly badLinks: readonly { readonly text: string; readonly why: string }[];
  readonly statements: readonly {
    readonly name: string;
    readonly kind: Statement['context'];
    readonly bytesHex: string;
    readonly bytesBase64: string;
    readonly fields: Readonly<Record<string, string | number | null>>;
  }[];
  readonly badStatements: readonly { readonly bytesHex: string; readonly why: string }[];
}

const vectors = JSON.parse(text) as Vectors;

describe('base32', () => {
  test.each(vectors.base32.good)('"$text" goes both ways', ({ bytesHex, text }) => {
    expect(encodeBase32(unhex(bytesHex))).toBe(text);
    expect(decodeBase32(text)).toEqual(unhex(bytesHex));
  });
  test.each(vectors.base32.bad)('refuses $why', ({ text }) => {
    expect(decodeBase32(text)).toBeNull();
  });
});

test.each(vectors.ids)('a device id: $why', ({ text, keyShaped }) => {
  expect(isDeviceId(text)).toBe(keyShaped);
});

test.each(vectors.secrets.bad)('no secret: $why', ({ text }) => {
  expect(isSecret(text)).toBe(false);
});

describe('links', () => {
  test.each(vectors.links)('$text is read', ({ text, canonical, secure, device, domain, port, secret, path }) => {
    const link = parseLink(text);
    expect(link).toEqual({ secure, device, domain, port, secret, path });
    expect(formatLink(link)).toBe(canonical);
  });
  test.each(vectors.badLinks)('refused: $why', ({ text }) => {
    expect(() => parseLink(text)).toThrow(PeerageError);
  });
  test.each(vectors.badLinks)('a refusal does not repeat the secret: $why', ({ text }) => {
    expect(messageOf(() => parseLink(text))).not.toMatch(/3vq7n2xw5tz4m/i);
  });
});

describe('statements', () => {
  test.each(vectors.statements)('$name is written and read', ({ kind, fields, bytesHex, bytesBase64 }) => {
    const bytes = unhex(bytesHex);
    expect(encodeBase64(bytes)).toBe(bytesBase64);
    expect(hex(emitStatement(statement(kind, fields)))).toBe(hex(bytes));
    expect(parseStatement(bytes)).toEqual(statement(kind, fields));
  });
  test.each(vectors.badStatements)('refused: $why', ({ bytesHex }) => {
    expect(parseStatement(unhex(bytesHex))).toBeNull();
  });
});

/** Members in hexadecimal have `Hex` behind their names; an absent one is empty on the wire. */
function statement(context: Statement['context'], fields: Readonly<Record<string, string | number | null>>): Statement {
  const members = Object.entries(fields).map(([name, value]): [string, unknown] => {
    if (name.endsWith('Hex')) return [name.slice(0, -3), unhex(String(value ?? ''))];
    return [name, typeof value === 'number' ? BigInt(value) : value];
  });
  return { context, ...Object.fromEntries(members) } as unknown as Statement;
}

function messageOf(action: () => unknown): string {
  try {
    action();
    return '';
  } catch (error) {
    return String(error);
  }
}
