/** Several rooms under one id, a connection each. */
import { RoomError } from '../rooms/error.js';
import { Handlers, report } from '../rooms/handlers.js';
import { type ConnectionStatus, HOOKS, WebRTCConnection, type WebRTCConnectionOptions } from './peerpyrtc-connection.js';

/** Those of connections too: they are for each of them, unless `joinRoom` says otherwise. */
export type WebRTCRoomManagerOptions = Omit<WebRTCConnectionOptions, 'peerId'>;

export type RoomEventHandler = (roomId: string, sender: string, data: any, event: string) => void;

export interface JoinResult {
  readonly roomId: string;
  readonly success: boolean;
  readonly connection?: WebRTCConnection;
  readonly error?: unknown;
}

export interface RoomStatus {
  readonly connected: boolean;
  readonly peerCount: number;
  readonly isHost: boolean;
  readonly connectionStatus: ConnectionStatus;
}

export class WebRTCRoomManager {
  onRoomJoined: ((roomId: string, connection: WebRTCConnection) => void) | null = null;
  onRoomLeft: ((roomId: string) => void) | null = null;
  /** `error` only with the status of that name. */
  onConnectionChange: ((roomId: string, status: 'connected' | 'disconnected' | 'error', error?: unknown) => void) | null = null;

  readonly userId: string;
  readonly #options: WebRTCRoomManagerOptions;
  readonly #rooms = new Map<string, WebRTCConnection>();
  readonly #joining = new Map<string, Promise<WebRTCConnection>>();
  /** Goodbyes, which a connection of the same id has to wait for: it would be meant by them. */
  readonly #leaving = new Map<string, Promise<void>>();
  readonly #global = new Handlers();
  readonly #ofRooms = new Map<string, Handlers>();

  constructor(userId: string, options: WebRTCRoomManagerOptions = {}) {
    this.userId = userId;
    this.#options = options;
  }

  /** The room's connection, which is made if there is none. Rejects as `connect` does. */
  joinRoom(roomId: string, options: WebRTCConnectionOptions = {}): Promise<WebRTCConnection> {
    const known = this.#rooms.get(roomId);
    if (known?.isConnected()) return Promise.resolve(known);
    const already = this.#joining.get(roomId);
    if (already !== undefined) return already;
    const joining = this.#join(roomId, options).finally(() => {
      if (this.#joining.get(roomId) === joining) this.#joining.delete(roomId);
    });
    this.#joining.set(roomId, joining);
    return joining;
  }

  joinRooms(roomIds: readonly string[], options: WebRTCConnectionOptions = {}): Promise<JoinResult[]> {
    return Promise.all(
      roomIds.map((roomId) =>
        this.joinRoom(roomId, options).then(
          (connection): JoinResult => ({ roomId, success: true, connection }),
          (error: unknown): JoinResult => ({ roomId, success: false, error }),
        ),
      ),
    );
  }

  joinRoomWithEvents(roomId: string, events: Readonly<Record<string, RoomEventHandler>>, options: WebRTCConnectionOptions = {}): Promise<WebRTCConnection> {
    for (const [event, handler] of Object.entries(events)) this.onRoom(roomId, event, handler);
    return this.joinRoom(roomId, options);
  }

  async leaveRoom(roomId: string): Promise<void> {
    const connection = this.#rooms.get(roomId);
    if (connection === undefined) return;
    this.#rooms.delete(roomId);
    this.#joining.delete(roomId);
    this.#ofRooms.delete(roomId);
    const leaving = connection.closeConnection();
    this.#leaving.set(roomId, leaving);
    await leaving;
    if (this.#leaving.get(roomId) === leaving) this.#leaving.delete(roomId);
    this.#call(this.onRoomLeft, roomId);
  }

  async leaveAllRooms(): Promise<void> {
    await Promise.all(this.getRoomIds().map((roomId) => this.leaveRoom(roomId)));
  }

  /** `false` for a room that was not joined. */
  emit(roomId: string, event: string, data?: unknown): boolean {
    return this.#rooms.get(roomId)?.emit(event, data) ?? false;
  }

  sendMessage(roomId: string, message: unknown): boolean {
    return this.#rooms.get(roomId)?.sendMessage(message) ?? false;
  }

  /** Returns the number of rooms that it goes to. */
  broadcastToAll(event: string, data?: unknown): number {
    return [...this.#rooms.values()].filter((connection) => connection.emit(event, data)).length;
  }

  /** Joins if need be, then emits. `false` where that was not possible. */
  async autoEmit(roomId: string, event: string, data?: unknown, options: WebRTCConnectionOptions = {}): Promise<boolean> {
    try {
      return (await this.joinRoom(roomId, options)).emit(event, data);
    } catch {
      // `onConnectionChange` has said why.
      return false;
    }
  }

  /** In any room. Every handler is called; the same one twice is called once. */
  on(event: string, handler: RoomEventHandler): void {
    this.#global.add(event, handler, false, undefined);
  }

  onRoom(roomId: string, event: string, handler: RoomEventHandler): void {
    const handlers = this.#ofRooms.get(roomId) ?? new Handlers();
    this.#ofRooms.set(roomId, handlers);
    handlers.add(event, handler, false, undefined);
  }

  /** Without a handler: all of that event. */
  off(event: string, handler?: RoomEventHandler): void {
    this.#global.remove(event, handler);
  }

  offRoom(roomId: string, event: string, handler?: RoomEventHandler): void {
    this.#ofRooms.get(roomId)?.remove(event, handler);
  }

  getStatus(): Record<string, RoomStatus> {
    return Object.fromEntries(
      [...this.#rooms].map(([roomId, connection]) => [
        roomId,
        { connected: connection.isConnected(), peerCount: connection.getPeerCount(), isHost: connection.isRoomHost(), connectionStatus: connection.getConnectionStatus() },
      ]),
    );
  }

  getRoom(roomId: string): WebRTCConnection | undefined {
    return this.#rooms.get(roomId);
  }

  getRoomIds(): string[] {
    return [...this.#rooms.keys()];
  }

  isConnectedTo(roomId: string): boolean {
    return this.#rooms.get(roomId)?.isConnected() ?? false;
  }

  async #join(roomId: string, options: WebRTCConnectionOptions): Promise<WebRTCConnection> {
    const connection = this.#rooms.get(roomId) ?? this.#make(roomId, options);
    this.#rooms.set(roomId, connection);
    try {
      await this.#leaving.get(roomId);
      if (this.#rooms.get(roomId) !== connection) throw new RoomError('closed', 'the room was left');
      await connection.connect();
    } catch (error) {
      if (this.#rooms.get(roomId) === connection) this.#rooms.delete(roomId);
      throw error;
    }
    this.#call(this.onRoomJoined, roomId, connection);
    return connection;
  }

  #make(roomId: string, options: WebRTCConnectionOptions): WebRTCConnection {
    const connection = new WebRTCConnection(roomId, { ...this.#options, ...options, peerId: this.userId });
    let isConnected = false;
    Object.assign(connection[HOOKS], {
      onOpen: () => {
        isConnected = true;
        this.#call(this.onConnectionChange, roomId, 'connected');
      },
      onLost: () => {
        if (isConnected) this.#call(this.onConnectionChange, roomId, 'disconnected');
        isConnected = false;
      },
      onError: (error: unknown) => this.#call(this.onConnectionChange, roomId, 'error', error),
      onEvent: (sender: string, data: unknown, event: string) => {
        this.#global.call(event, [roomId, sender, data, event]);
        this.#ofRooms.get(roomId)?.call(event, [roomId, sender, data, event]);
      },
    });
    return connection;
  }

  #call<Given extends unknown[]>(callback: ((...given: Given) => void) | null, ...given: Given): void {
    try {
      callback?.call(this, ...given);
    } catch (error) {
      report(error);
    }
  }
}
