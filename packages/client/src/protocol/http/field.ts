/** Header and trailer fields, and the rules that make smuggling impossible (`http.md` section 4). */
import type { Reader, Writer } from './bytes.js';
import { HeadError } from './head-error.js';

/** A lower-case name, and a value whose characters stand for octets (the browser's `ByteString`). */
export type Field = readonly [name: string, value: string];

/** In the order in which they were sent; a name may come several times. */
export type Fields = readonly Field[];

/** Fields of one head at most. */
export const FIELDS_MAX = 128;
const TEXT_MAX = 65_535;

/** Which head the fields stand in: some are allowed in one and not in another. */
export type Place = 'head' | 'interim' | 'trailers';

/** Hop by hop (RFC 9110 section 7.6.1), or decided by the owner: these never travel. */
const NEVER: ReadonlySet<string> = new Set([
  'connection',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** What a trailer could change after the head was acted upon (RFC 9110 section 6.5.1). */
const NEVER_IN_TRAILERS: ReadonlySet<string> = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'set-cookie',
]);

/** `tchar` of RFC 9110 section 5.6.2, upper case left out. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]{1,256}$/;
const VALUE = /^(?![\t ])[\t\x20-\x7e\x80-\xff]*(?<![\t ])$/;
const LENGTH = /^[0-9]{1,19}$/;

/** Whether fields of this lower-case name may travel at all: senders leave the others out. */
export function travels(name: string): boolean {
  return !NEVER.has(name);
}

/** The body's length as `content-length` states it; the value was checked when the head was parsed or emitted. */
export function contentLength(fields: Fields): number | null {
  const field = fields.find(([name]) => name === 'content-length');
  return field === undefined ? null : Number(field[1]);
}

export function parseFields(reader: Reader, place: Place): Fields {
  const count = reader.u16();
  if (count === null) throw new HeadError('truncated');
  if (count > FIELDS_MAX) throw new HeadError('too-large');
  const fields: Field[] = [];
  for (let index = 0; index < count; index++) {
    const name = reader.text();
    const value = reader.text();
    if (name === null || value === null) throw new HeadError('truncated');
    fields.push([name, value]);
  }
  check(fields, place);
  return fields;
}

export function emitFields(fields: Fields, place: Place, into: Writer): void {
  if (fields.length > FIELDS_MAX) throw new HeadError('too-large');
  check(fields, place);
  into.u16(fields.length);
  for (const [name, value] of fields) {
    if (value.length > TEXT_MAX) throw new HeadError('too-large');
    into.text(name);
    into.text(value);
  }
}

function check(fields: Fields, place: Place): void {
  let lengths = 0;
  for (const [name, value] of fields) {
    if (!NAME.test(name)) throw new HeadError('name');
    if (!VALUE.test(value)) throw new HeadError('value');
    if (!travels(name) || (place === 'trailers' && NEVER_IN_TRAILERS.has(name))) throw new HeadError('forbidden');
    if (name === 'content-length' && (place === 'interim' || ++lengths > 1 || !LENGTH.test(value))) throw new HeadError('content-length');
  }
}
