/** `vectors/room-frames.json`: a member here reads and writes what the Rust core does, octet by octet. */
import { describe, expect, test } from 'vitest';
import text from '../../../../../vectors/room-frames.json?raw';
import { emitHubFrame, parseMemberFrame } from '../../testing/room-hub.js';
import { hex, unhex } from '../../testing/vectors.js';
import { type Body, emitFrame, type HubFrame, type MemberFrame, parseFrame } from './frame.js';
import { BadFrame } from './octets.js';

type Json = Readonly<Record<string, unknown>>;

interface Vectors {
  readonly good: readonly { readonly from: 'member' | 'hub'; readonly hex: string; readonly frame: Json }[];
  readonly bad: readonly { readonly from: 'member' | 'hub'; readonly hex: string; readonly error: string; readonly why: string }[];
  readonly ignored: readonly { readonly from: 'member' | 'hub'; readonly hex: string }[];
}

const vectors = JSON.parse(text) as Vectors;
const ofHub = <T extends { readonly from: string }>(list: readonly T[]): T[] => list.filter(({ from }) => from === 'hub');
const ofMember = <T extends { readonly from: string }>(list: readonly T[]): T[] => list.filter(({ from }) => from === 'member');

describe('frames of the hub', () => {
  test.each(ofHub(vectors.good))('are read: $hex', ({ hex: octets, frame }) => {
    const read = parseFrame(unhex(octets));
    expect(read === null ? null : hubJson(read)).toEqual(frame);
  });

  test.each(ofHub(vectors.good))('are written by the tests’ hub as by the true one: $hex', ({ hex: octets }) => {
    const read = parseFrame(unhex(octets));
    expect(read === null ? null : hex(emitHubFrame(read))).toBe(hex(unhex(octets)));
  });

  test.each(ofHub(vectors.bad))('are refused for the same reason: $why', ({ hex: octets, error }) => {
    expect(() => parseFrame(unhex(octets))).toThrow(expect.objectContaining({ name: 'BadFrame', code: error }));
  });

  test.each(ofHub(vectors.ignored))('of unknown types are nothing: $hex', ({ hex: octets }) => {
    expect(parseFrame(unhex(octets))).toBe(null);
  });

  test('of more than 256 KiB are refused', () => {
    expect(() => parseFrame(new Uint8Array(262_145))).toThrow(BadFrame);
  });
});

describe('frames of a member', () => {
  test.each(ofMember(vectors.good))('are written: $hex', ({ hex: octets, frame }) => {
    expect(hex(emitFrame(memberFrame(frame)))).toBe(hex(unhex(octets)));
  });

  test.each(ofMember(vectors.good))('are read by the tests’ hub: $hex', ({ hex: octets, frame }) => {
    expect(parseMemberFrame(unhex(octets))).toEqual(memberFrame(frame));
  });
});

function hubJson(frame: HubFrame): Json {
  const nobody = (number: number): number | null => (number === 0 ? null : number);
  switch (frame.type) {
    case 'welcome':
      return { ...frame, epoch: plain(frame.epoch), host: nobody(frame.host) };
    case 'host':
      return { ...frame, member: nobody(frame.member) };
    case 'message':
    case 'ack': {
      const { body, ...rest } = frame;
      return { ...rest, from: nobody(frame.from), ...('bytes' in body ? { bytes: plain(body.bytes) } : body) };
    }
    case 'unacked':
      return { ...frame, from: nobody(frame.from) };
    case 'ping':
      return { ...frame, octets: plain(frame.octets) };
    default:
      return { ...frame };
  }
}

function memberFrame(json: Json): MemberFrame {
  const octets = (name: string): Uint8Array<ArrayBuffer> => unhex(String(json[name]));
  const body: Body = 'bytes' in json ? { bytes: octets('bytes') } : { json: String(json['json']) };
  const { type } = json as { type: MemberFrame['type'] };
  switch (type) {
    case 'hello':
      return { type, token: octets('token'), metadata: String(json['metadata']), epoch: octets('epoch'), last: Number(json['last']) };
    case 'emit': {
      const { to, ack, event, fast } = json as unknown as Extract<MemberFrame, { type: 'emit' }>;
      return { type, to, ack, event, fast, body };
    }
    case 'ack':
      return { type, to: Number(json['member']), ack: Number(json['ack']), body };
    case 'pong':
      return { type, octets: octets('octets') };
    default:
      return json as unknown as MemberFrame;
  }
}

/** `hex` without its abbreviations. */
function plain(octets: Uint8Array): string {
  return Array.from(octets, (octet) => octet.toString(16).padStart(2, '0')).join('');
}
