/** Rooms over data channels: `peerage/rooms`. */
export { RoomError } from './error.js';
export type { RoomCode } from './error.js';
export { joinRoom } from './room.js';
export type { AckOptions, AnyEvents, EventHandler, JoinRoomOptions, ListenOptions, Reconnect, Room, RoomEvents, RoomMember, RoomState, SendOptions } from './types.js';
export type { LeftReason } from '../protocol/room/frame.js';
