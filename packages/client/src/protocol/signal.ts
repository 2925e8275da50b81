/** PeerJS frames, and what two peers tell each other inside them. Unknown members are ignored, nothing that is received is trusted to have a shape. */
import { cleanCandidate, MAX_CANDIDATE } from './candidate.js';
import { MAX_ID } from './id.js';
import { MAX_SDP } from './sdp.js';

/** What a frame is for: its `type` member. */
export type Kind = 'OPEN' | 'ERROR' | 'ID-TAKEN' | 'INVALID-KEY' | 'HEARTBEAT' | 'OFFER' | 'ANSWER' | 'CANDIDATE' | 'LEAVE' | 'EXPIRE';

const KINDS: ReadonlySet<string> = new Set<Kind>([
  'OPEN', 'ERROR', 'ID-TAKEN', 'INVALID-KEY', 'HEARTBEAT', 'OFFER', 'ANSWER', 'CANDIDATE', 'LEAVE', 'EXPIRE',
]);

/** Longest frame in characters, either direction. */
const MAX_FRAME = 2 * 1024 * 1024;
/** Longest text of an ERROR that is shown. */
const MAX_MESSAGE = 256;
/** Longest base64 text of a `peerage` member: that of a statement of 4 KiB. */
const MAX_ENCODED = 5464;

export interface Frame {
  readonly kind: Kind;
  /** Who sent it, as the server says. */
  readonly src: string | null;
  readonly dst: string | null;
  readonly payload: unknown;
}

/** `null` for what is no frame: too long, no JSON object, an unknown type. */
export function parseFrame(text: string): Frame | null {
  if (text.length > MAX_FRAME) return null;
  const frame = asObject(parseJson(text));
  const kind = frame?.['type'];
  if (frame === null || typeof kind !== 'string' || !KINDS.has(kind)) return null;
  return { kind: kind as Kind, src: asText(frame['src'], MAX_ID), dst: asText(frame['dst'], MAX_ID), payload: frame['payload'] };
}

/** A frame from a client, its members in the order of peerjs-server. */
export function emitFrame(kind: Kind, dst?: string, payload?: unknown): string {
  return JSON.stringify({ type: kind, dst, payload });
}

/** The text of an ERROR or ID-TAKEN frame. */
export function messageOf(frame: Frame): string | null {
  return asText(asObject(frame.payload)?.['msg'], MAX_MESSAGE);
}

/** The `peerage` member (`identity.md` section 4): base64 texts as they came. */
export interface PeerageMember {
  readonly statement?: string;
  readonly signature?: string;
  readonly mac?: string;
  readonly refusal?: string;
}

export interface OfferPayload {
  readonly sdp: { readonly sdp: string; readonly type: 'offer' };
  readonly type: 'data';
  readonly connectionId: string;
  readonly label: string;
  readonly reliable: true;
  readonly serialization: 'raw';
  readonly peerage: PeerageMember;
}

export interface AnswerPayload {
  readonly connectionId: string;
  /** `null` in a refusal. */
  readonly sdp: string | null;
  readonly peerage: PeerageMember | null;
}

/** `null` for what is no answer to a data connection. */
export function parseAnswer(payload: unknown): AnswerPayload | null {
  const answer = asObject(payload);
  const connectionId = asText(answer?.['connectionId'], MAX_ID);
  if (answer === null || connectionId === null || answer['type'] !== 'data') return null;
  const description = asObject(answer['sdp']);
  const sdp = description?.['type'] === 'answer' ? asText(description['sdp'], MAX_SDP) : null;
  return { connectionId, sdp, peerage: parseMember(answer['peerage']) };
}

export interface CandidatePayload {
  readonly connectionId: string;
  readonly candidate: {
    readonly candidate: string;
    readonly sdpMid: string | null;
    readonly sdpMLineIndex: number | null;
    readonly usernameFragment?: string;
  };
}

/** `null` for what is no candidate that a data connection can use, and for the empty one that marks the end. */
export function parseCandidate(payload: unknown): CandidatePayload | null {
  const outer = asObject(payload);
  const connectionId = asText(outer?.['connectionId'], MAX_ID);
  const inner = asObject(outer?.['candidate']);
  const candidate = cleanCandidate(asText(inner?.['candidate'], MAX_CANDIDATE) ?? '');
  if (outer === null || inner === null || connectionId === null || candidate === null || outer['type'] !== 'data') return null;
  const index = inner['sdpMLineIndex'];
  const sdpMLineIndex = typeof index === 'number' && Number.isInteger(index) && index >= 0 && index <= 65_535 ? index : null;
  const usernameFragment = asText(inner['usernameFragment'], MAX_CANDIDATE);
  return {
    connectionId,
    candidate: { candidate, sdpMid: asText(inner['sdpMid'], MAX_CANDIDATE), sdpMLineIndex, ...(usernameFragment !== null && { usernameFragment }) },
  };
}

/** The payload of a CANDIDATE frame, members in PeerJS's order; `candidate` as the browser writes it to JSON. */
export function emitCandidate(candidate: unknown, connectionId: string): unknown {
  return { candidate, type: 'data', connectionId };
}

function parseMember(value: unknown): PeerageMember | null {
  const member = asObject(value);
  if (member === null) return null;
  const text = (name: string) => asText(member[name], MAX_ENCODED);
  const [statement, signature, refusal] = [text('statement'), text('signature'), text('refusal')];
  return { ...(statement !== null && { statement }), ...(signature !== null && { signature }), ...(refusal !== null && { refusal }) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
}

/** A text of 1 to `max` characters. */
function asText(value: unknown, max: number): string | null {
  return typeof value === 'string' && value.length >= 1 && value.length <= max ? value : null;
}
