/**
 * What a peer says under its key: one byte string, made once and signed as it is (`identity.md` section 3).
 *
 * ```text
 *  0               1               2
 *  0 1 2 3 4 5 6 7 8 9 a b c d e f 0 1 ...
 * +---------------+---------------+----------------
 * |        length (u16 BE)        | octets ...        one per field, in order, none left out
 * +---------------+---------------+----------------
 * ```
 */
import { MAX_ID } from './id.js';

/** Octets of a statement at most. */
export const MAX_STATEMENT = 4096;

type Octets = Uint8Array<ArrayBuffer>;

export interface Offer {
  readonly context: 'offer';
  /** 65-byte uncompressed point. */
  readonly key: Octets;
  /** SHA-256 of the DTLS certificate. */
  readonly fingerprint: Octets;
  readonly from: string;
  readonly to: string;
  readonly connection: string;
  readonly label: string;
  /** The link whose MAC comes along: 8 octets, or none. */
  readonly kid: Octets;
  /** Milliseconds since 1970. */
  readonly time: bigint;
  readonly nonce: Octets;
  /** The nonce of the refusal that asked for a second try, or empty. */
  readonly reply: Octets;
}

export interface Answer extends Omit<Offer, 'context'> {
  readonly context: 'answer';
  /** SHA-256 of the offer statement's bytes. */
  readonly reply: Octets;
}

export interface Refusal extends Omit<Answer, 'context' | 'fingerprint' | 'label' | 'kid'> {
  readonly context: 'refusal';
  readonly code: string;
}

export interface Register {
  readonly context: 'register';
  readonly key: Octets;
  readonly host: string;
  readonly id: string;
  readonly token: string;
  readonly time: bigint;
}

export type Statement = Offer | Answer | Refusal | Register;

type Kind = { readonly form: 'octets'; readonly lengths: readonly number[] } | { readonly form: 'text' } | { readonly form: 'time' };

const octets = (...lengths: number[]): Kind => ({ form: 'octets', lengths });
const text: Kind = { form: 'text' };
const time: Kind = { form: 'time' };
const parties = [['from', text], ['to', text], ['connection', text]] as const;

/** The table of section 3, a row for each context, without the context itself. */
const FIELDS: Readonly<Record<Statement['context'], readonly (readonly [name: string, kind: Kind])[]>> = {
  offer: [['key', octets(65)], ['fingerprint', octets(32)], ...parties, ['label', text], ['kid', octets(0, 8)], ['time', time], ['nonce', octets(16)], ['reply', octets(0, 16)]],
  answer: [['key', octets(65)], ['fingerprint', octets(32)], ...parties, ['label', text], ['kid', octets(0, 8)], ['time', time], ['nonce', octets(16)], ['reply', octets(32)]],
  refusal: [['key', octets(65)], ...parties, ['code', text], ['time', time], ['nonce', octets(16)], ['reply', octets(32)]],
  register: [['key', octets(65)], ['host', text], ['id', text], ['token', text], ['time', time]],
};

const PREFIX = 'peerage/1 ';

/** The bytes to sign and send. Throws `RangeError` for a member that the table does not allow: our own fault, never a peer's. */
export function emitStatement(statement: Statement): Octets {
  const members = statement as unknown as Readonly<Record<string, unknown>>;
  const fields = [encodeText(PREFIX + statement.context)];
  for (const [name, kind] of FIELDS[statement.context]) {
    const octets = encodeField(kind, members[name]);
    if (octets === null) throw new RangeError(`a statement's ${name} has a wrong length`);
    fields.push(octets);
  }
  const bytes = new Uint8Array(fields.reduce((sum, field) => sum + 2 + field.length, 0));
  let at = 0;
  for (const field of fields) {
    bytes[at] = field.length >>> 8;
    bytes[at + 1] = field.length & 255;
    bytes.set(field, at + 2);
    at += 2 + field.length;
  }
  return bytes;
}

/** `null` when the statement is malformed, or of an unknown context. */
export function parseStatement(bytes: Octets): Statement | null {
  const fields = splitFields(bytes);
  const first = decodeText(fields?.[0]);
  if (fields === null || first === null || !first.startsWith(PREFIX)) return null;
  const context = first.slice(PREFIX.length);
  if (!isContext(context)) return null;
  const row = FIELDS[context];
  if (fields.length !== row.length + 1) return null;
  const members: Record<string, unknown> = { context };
  for (const [index, [name, kind]] of row.entries()) {
    const value = decodeField(kind, fields[index + 1]);
    if (value === null) return null;
    members[name] = value;
  }
  // Every member of the context's row was set from its column.
  return members as unknown as Statement;
}

function isContext(text: string): text is Statement['context'] {
  return Object.hasOwn(FIELDS, text);
}

function splitFields(bytes: Octets): Octets[] | null {
  if (bytes.length > MAX_STATEMENT) return null;
  const fields: Octets[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    const end = at + 2 + length;
    if (end > bytes.length) return null;
    fields.push(bytes.slice(at + 2, end));
    at = end;
  }
  return fields;
}

function encodeField(kind: Kind, value: unknown): Octets | null {
  if (kind.form === 'time') return typeof value === 'bigint' && value >= 0n && value < 1n << 64n ? encodeTime(value) : null;
  const octets = kind.form === 'text' ? encodeText(value as string) : (value as Octets);
  return fits(kind, octets.length) ? octets : null;
}

function decodeField(kind: Kind, octets: Octets | undefined): Octets | string | bigint | null {
  if (octets === undefined || !fits(kind, octets.length)) return null;
  switch (kind.form) {
    case 'octets':
      return octets;
    case 'text':
      return decodeText(octets);
    case 'time':
      return new DataView(octets.buffer, octets.byteOffset, octets.length).getBigUint64(0);
  }
}

function fits(kind: Kind, length: number): boolean {
  switch (kind.form) {
    case 'octets':
      return kind.lengths.includes(length);
    case 'text':
      return length >= 1 && length <= MAX_ID;
    case 'time':
      return length === 8;
  }
}

function encodeTime(value: bigint): Octets {
  const octets = new Uint8Array(8);
  new DataView(octets.buffer).setBigUint64(0, value);
  return octets;
}

function encodeText(value: string): Octets {
  return new TextEncoder().encode(value);
}

function decodeText(octets: Octets | undefined): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets);
  } catch {
    return null;
  }
}
