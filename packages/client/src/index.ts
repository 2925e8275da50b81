/** Talk to a device over a verified WebRTC data channel. */
export { PeerageError } from './error.js';
export type { Code, LinkCode, ResetCode } from './error.js';
export { formatLink, parseLink } from './protocol/link-url.js';
export type { Link } from './protocol/link-url.js';
export { openLink } from './transport/link.js';
export type { LinkState, OpenLink, OpenLinkOptions } from './transport/link.js';
export { SocketClose } from './fetch/exchange.js';
export type { ExchangeRequest, ExchangeResponse, Field, HttpLink, LinkSocket, Puller, SocketMessage, SocketRequest } from './fetch/exchange.js';
export { connectPeer, createPeerFetch } from './fetch/peer.js';
export type { Peer, PeerOptions } from './fetch/peer.js';
export { PeerWebSocket, webSocketUrl } from './fetch/web-socket.js';
export type { SocketOpener } from './fetch/web-socket.js';
export { generateIdentity } from './identity/key.js';
export type { CallerIdentity } from './identity/key.js';
export { proofFromSecret } from './identity/proof.js';
export type { LinkProof } from './identity/proof.js';
export { hasGrant, loadIdentity, saveGrant } from './identity/store.js';
