/** The JSON that PeerPyRTC's clients say to each other, read as it was and written as it was. Pure. */

/** A member as the old clients list it. */
export interface RoomPeer {
  readonly id: string;
  /** Milliseconds since 1970: by the server that says so, or when we heard of it. */
  readonly joinTime: number;
  readonly lastSeen: number;
  readonly isHost: boolean;
  readonly userAgent?: string;
  /** Milliseconds since 1970, by the member's own clock. */
  readonly timestamp?: number;
  readonly [more: string]: unknown;
}

export type Heard =
  | { readonly type: 'joined'; readonly id: string; readonly about: Readonly<Record<string, unknown>> }
  | { readonly type: 'left'; readonly id: string }
  /** `hostId`: `undefined` where nothing is said of it. */
  | { readonly type: 'state'; readonly from: string; readonly peers: readonly Readonly<Record<string, unknown>>[]; readonly hostId: string | null | undefined }
  | { readonly type: 'host'; readonly from: string; readonly id: string | null }
  /** `isUnsigned`: from the server, as old clients have it; anybody can say so. */
  | { readonly type: 'message'; readonly from: string; readonly value: unknown; readonly event?: string; readonly isUnsigned?: true }
  | { readonly type: 'nothing' };

/** Says whom it believes: a server that takes part in the room, as Peerage's does. */
export const SERVER = 'server';
export const UNKNOWN = 'unknown';

export function chat(peerId: string, message: unknown): string {
  return JSON.stringify({ peer_id: peerId, message: message === undefined ? null : message });
}

export function system(action: string, payload: unknown, peerId: string, now: number, target: string | null = null): string {
  return JSON.stringify({ type: 'SYSTEM', action, payload, peer_id: peerId, target, timestamp: now });
}

export function hear(data: unknown): Heard {
  if (typeof data !== 'string') return { type: 'message', from: UNKNOWN, value: data };
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return { type: 'message', from: UNKNOWN, value: data };
  }
  const said = recordOf(value);
  if (said === null) return { type: 'message', from: UNKNOWN, value };
  const { type, peer_id, message, event } = said;
  if (type === 'SYSTEM') return hearSystem(said);
  if (peer_id && message !== undefined) return { type: 'message', from: String(peer_id), value: message };
  if (event) return { type: 'message', from: SERVER, value, event: String(event), isUnsigned: true };
  return { type: 'message', from: UNKNOWN, value };
}

function hearSystem({ action, payload, peer_id }: Readonly<Record<string, unknown>>): Heard {
  const from = typeof peer_id === 'string' ? peer_id : '';
  const given = recordOf(payload) ?? {};
  switch (action) {
    case 'PEER_JOIN':
      return from === '' ? { type: 'nothing' } : { type: 'joined', id: from, about: given };
    case 'PEER_LEAVE':
      return { type: 'left', id: from };
    case 'HOST_CHANGE':
      return typeof payload === 'string' ? { type: 'host', from, id: payload === '' ? null : payload } : { type: 'nothing' };
    case 'ROOM_STATE': {
      const { peers, hostId } = given;
      const known = (Array.isArray(peers) ? peers : []).map(recordOf).filter((peer) => typeof peer?.['id'] === 'string') as Readonly<Record<string, unknown>>[];
      return { type: 'state', from, peers: known, hostId: typeof hostId === 'string' || hostId === null ? hostId : undefined };
    }
    case 'EVENT':
    case 'BROADCAST':
      return given['event'] ? { type: 'message', from: from || UNKNOWN, value: given['data'], event: String(given['event']) } : { type: 'nothing' };
    default:
      return { type: 'nothing' };
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : null;
}
