/** Names of rooms and members, as `rooms.md` has them. */
import { utf8 } from './octets.js';

const ROOM_MAX = 256;
const NAME_MAX = 512;
const EVENT_MAX = 256;
/** Under these old clients show what the server says, and what nobody signed. */
const NOBODY: readonly string[] = ['server', 'unknown'];
/** The room's own events: a peer's message under one of these names is never delivered. */
const RESERVED: readonly string[] = ['joined', 'left', 'host', 'metadata', 'message', 'state', 'missed', 'closed', 'error'];

export function isRoomName(text: string): boolean {
  return isText(text, ROOM_MAX);
}

export function isMemberName(text: string): boolean {
  return isText(text, NAME_MAX) && !NOBODY.includes(text);
}

/** Reserved ones included. */
export function isEvent(text: string): boolean {
  return text !== '' && utf8(text).length <= EVENT_MAX;
}

export function isReserved(event: string): boolean {
  return RESERVED.includes(event);
}

function isText(text: string, most: number): boolean {
  return text !== '' && !/\p{Cc}/u.test(text) && utf8(text).length <= most;
}
