/**
 * `WebRTCConnection` and `WebRTCRoomManager` as pages of PeerPyRTC know them, doing what its read-me said that they do. They speak its JSON on a channel `chat`, so that
 * they work with its Python servers as well.
 */
export { RoomError } from '../rooms/error.js';
export type { RoomCode } from '../rooms/error.js';
export { WebRTCConnection } from './peerpyrtc-connection.js';
export type { ConnectionStatus, WebRTCConnectionOptions } from './peerpyrtc-connection.js';
export { WebRTCRoomManager } from './peerpyrtc-manager.js';
export type { JoinResult, RoomEventHandler, RoomStatus, WebRTCRoomManagerOptions } from './peerpyrtc-manager.js';
export type { RoomPeer } from './peerpyrtc-messages.js';
