/**
 * Head blocks: requests, responses, interim responses and trailers (`http.md` section 4).
 *
 * ```text
 * +------+-----------------+-------------+----------+-----------------+-----------+-----------------
 * | kind | method (kind 0) | path (0, 1) | name (2) | status (16, 17) | count u16 | name, value ...
 * +------+-----------------+-------------+----------+-----------------+-----------+-----------------
 * ```
 * Every text is `u16 BE length ‖ octets`; kind 2 has no fields. What `emitHead` refuses, `parseHead` refuses too.
 */
import { Reader, Writer } from './bytes.js';
import { emitFields, parseFields, type Fields } from './field.js';
import { HeadError } from './head-error.js';

/** Octets of a head block at most. */
export const HEAD_MAX = 65_536;
/** HEAD frames of a block at most. */
export const HEAD_FRAMES_MAX = 8;

const TEXT_MAX = 65_535;

export type Request =
  /** `path` is in origin-form: `/…`, with or without a query, no fragment. */
  | { readonly kind: 'http'; readonly method: string; readonly path: string; readonly fields: Fields }
  | { readonly kind: 'websocket'; readonly path: string; readonly fields: Fields }
  /** A stream that the owner configured under this name. */
  | { readonly kind: 'tcp'; readonly name: string };

export type Head =
  | Request
  /** 200 to 599, or 101 for an accepted WebSocket. */
  | { readonly kind: 'response'; readonly status: number; readonly fields: Fields }
  /** 102 to 199, any number (of up to eight) before the response. */
  | { readonly kind: 'interim'; readonly status: number; readonly fields: Fields }
  | { readonly kind: 'trailers'; readonly fields: Fields };

const NUMBERS = { http: 0, websocket: 1, tcp: 2, response: 16, interim: 17, trailers: 18 } as const;

/** Throws `HeadError`. */
export function parseHead(block: Uint8Array): Head {
  if (block.length > HEAD_MAX) throw new HeadError('too-large');
  const reader = new Reader(block);
  const head = read(reader);
  check(head);
  if (reader.left > 0) throw new HeadError('left-over');
  return head;
}

/** Throws `HeadError`; nothing can be sent then. */
export function emitHead(head: Head): Uint8Array<ArrayBuffer> {
  check(head);
  const into = new Writer();
  into.u8(NUMBERS[head.kind]);
  if (head.kind === 'http') into.text(head.method);
  if (head.kind === 'http' || head.kind === 'websocket') into.text(head.path);
  if (head.kind === 'tcp') into.text(head.name);
  if (head.kind === 'response' || head.kind === 'interim') into.u16(head.status);
  if (head.kind !== 'tcp') emitFields(head.fields, head.kind === 'interim' || head.kind === 'trailers' ? head.kind : 'head', into);
  if (into.length > HEAD_MAX) throw new HeadError('too-large');
  return into.bytes;
}

function read(reader: Reader): Head {
  const present = <T>(value: T | null): T => {
    if (value === null) throw new HeadError('truncated');
    return value;
  };
  switch (present(reader.u8())) {
    case NUMBERS.http:
      return { kind: 'http', method: present(reader.text()), path: present(reader.text()), fields: parseFields(reader, 'head') };
    case NUMBERS.websocket:
      return { kind: 'websocket', path: present(reader.text()), fields: parseFields(reader, 'head') };
    case NUMBERS.tcp:
      return { kind: 'tcp', name: present(reader.text()) };
    case NUMBERS.response:
      return { kind: 'response', status: present(reader.u16()), fields: parseFields(reader, 'head') };
    case NUMBERS.interim:
      return { kind: 'interim', status: present(reader.u16()), fields: parseFields(reader, 'interim') };
    case NUMBERS.trailers:
      return { kind: 'trailers', fields: parseFields(reader, 'trailers') };
    default:
      throw new HeadError('kind');
  }
}

/** The rules for everything but the fields, which check themselves. */
function check(head: Head): void {
  switch (head.kind) {
    case 'http':
      if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$/.test(head.method) || head.method === 'CONNECT' || head.method === 'TRACE') throw new HeadError('method');
      return checkPath(head.path);
    case 'websocket':
      return checkPath(head.path);
    case 'tcp':
      if (!/^[!-~]{1,128}$/.test(head.name)) throw new HeadError('stream');
      return;
    case 'response':
      if (head.status !== 101 && !inRange(head.status, 200, 599)) throw new HeadError('status');
      return;
    case 'interim':
      if (!inRange(head.status, 102, 199)) throw new HeadError('status');
      return;
    case 'trailers':
      return;
  }
}

function checkPath(path: string): void {
  if (!/^\/[!"$-~]*$/.test(path)) throw new HeadError('path');
  if (path.length > TEXT_MAX) throw new HeadError('too-large');
}

function inRange(status: number, least: number, most: number): boolean {
  return Number.isInteger(status) && status >= least && status <= most;
}
