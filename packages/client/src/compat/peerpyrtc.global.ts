/**
 * `<script src="…/peerpyrtc.js">`: the global `WebRTCConnection` has both classes, as pages of old take them from there, and is the first of them itself. Assigned and
 * not declared: a page may then have a `const` of that name.
 */
import { RoomError, WebRTCConnection, WebRTCRoomManager } from './peerpyrtc.js';

(globalThis as { WebRTCConnection?: unknown }).WebRTCConnection = Object.assign(WebRTCConnection, { WebRTCConnection, WebRTCRoomManager, RoomError });
