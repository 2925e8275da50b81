/** What applications say, as messages carry it. */
import type { Body } from '../protocol/room/frame.js';
import { RoomError } from './error.js';

/** Octets stay octets, `undefined` becomes `null`, and the rest JSON. Throws `not-json`. */
export function bodyOf(data: unknown): Body {
  if (ArrayBuffer.isView(data)) return { bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice() };
  if (Object.prototype.toString.call(data) === '[object ArrayBuffer]') return { bytes: new Uint8Array(data as ArrayBuffer).slice() };
  return { json: jsonOf(data) };
}

export function valueOf(body: Body): unknown {
  return 'bytes' in body ? body.bytes.slice() : JSON.parse(body.json);
}

export function jsonOf(data: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(data ?? null);
  } catch (error) {
    throw new RoomError('not-json', 'the data cannot be written as JSON', { cause: error });
  }
  if (json === undefined) throw new RoomError('not-json', 'the data cannot be written as JSON');
  return json;
}
