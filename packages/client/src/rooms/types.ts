/** What `joinRoom` takes and gives. */
import type { LeftReason } from '../protocol/room/frame.js';
import type { RoomError } from './error.js';

/** Where an application does not say what its events carry. */
export type AnyEvents = Record<string, any>;

export interface RoomMember<Metadata = unknown> {
  readonly id: string;
  readonly metadata: Metadata;
  /** Milliseconds since 1970, by the hub's clock. */
  readonly joinedAt: number;
}

export type RoomState = 'joined' | 'reconnecting' | 'closed';

export interface Reconnect {
  /** How many in a row; no end where it is not given. */
  readonly attempts?: number | undefined;
  /** Milliseconds before the first, growing from there to `maxDelay`. Default 500 and 15,000. */
  readonly delay?: number | undefined;
  readonly maxDelay?: number | undefined;
}

export interface JoinRoomOptions<Metadata = unknown> {
  /** Where the hub is. Default: the page's origin; required where there is none. */
  readonly server?: string | URL | undefined;
  /** The name that others see: 1 to 512 octets. Default: a random one. */
  readonly id?: string | undefined;
  /** 32 hexadecimal digits that prove that the id is yours. Default: random ones. */
  readonly token?: string | undefined;
  /** What others see of you: JSON of at most 16 KiB. Default `{}`. */
  readonly metadata?: Metadata | undefined;
  /** A second channel for what may be lost and is never late. */
  readonly unreliable?: boolean | undefined;
  /** Default `true`. */
  readonly reconnect?: boolean | Reconnect | undefined;
  /** Milliseconds for one attempt. Default 15,000. */
  readonly timeout?: number | undefined;
  /** Ends joining, or leaves. */
  readonly signal?: AbortSignal | undefined;
  /** Default: none, as a hub needs none. */
  readonly iceServers?: readonly RTCIceServer[] | undefined;
  /** There are no others yet. */
  readonly topology?: 'hub' | undefined;
}

/** What an event carries: that of `{ event: Data }` and of `{ event(data: Data): Reply }`. */
export type DataOf<E> = E extends (data: infer D) => unknown ? D : E;
/** What it is answered with. */
export type ReplyOf<E> = 0 extends 1 & E ? E : E extends (data: never) => infer R ? Awaited<R> : unknown;
type NoData<E> = undefined extends DataOf<E> ? true : false;

/** Called with the data, the sender's id (`server` for the server itself), and a function to answer with where an answer is wanted. What it returns, or resolves to, answers as well. */
export type EventHandler<E> = (data: DataOf<E>, from: string, ack: ((reply: ReplyOf<E>) => void) | undefined) => ReplyOf<E> | Promise<ReplyOf<E>> | Promise<void> | void;

/** The room's own events. */
export interface RoomEvents<Events, Metadata> {
  /** What somebody `send`s. */
  message: EventHandler<'message' extends keyof Events ? Events['message'] : unknown>;
  joined: (member: RoomMember<Metadata>) => void;
  left: (member: RoomMember<Metadata>, reason: LeftReason) => void;
  metadata: (member: RoomMember<Metadata>) => void;
  /** The host is another; `null`: nobody. */
  host: (id: string | null) => void;
  state: (state: RoomState) => void;
  /** Messages were said while there was no connection that the hub no longer has. */
  missed: () => void;
  /** The room goes on. */
  error: (error: RoomError) => void;
  /** The end; `null` after `leave`. */
  closed: (error: RoomError | null) => void;
}

export type EventName<Events, Metadata> = keyof RoomEvents<Events, Metadata> | (keyof Events & string);
export type HandlerOf<Events, Metadata, K> = K extends keyof RoomEvents<Events, Metadata>
  ? RoomEvents<Events, Metadata>[K]
  : K extends keyof Events
    ? EventHandler<Events[K]>
    : never;

export interface SendOptions {
  /** An id or several; `server`: the hub alone. Default: everybody else. */
  readonly to?: string | readonly string[] | undefined;
  /** May be lost, and is never late. Needs the option of the same name of `joinRoom`, at both ends. */
  readonly unreliable?: boolean | undefined;
}

export interface AckOptions<To extends string | readonly string[] | undefined = undefined> {
  readonly to?: To;
  /** Milliseconds. Default 10,000. */
  readonly timeout?: number | undefined;
}

export interface ListenOptions {
  /** Ends it. */
  readonly signal?: AbortSignal | undefined;
}

type DataArguments<E, Options> = 0 extends 1 & E
  ? [data?: unknown, options?: Options]
  : NoData<E> extends true
    ? [data?: DataOf<E>, options?: Options]
    : [data: DataOf<E>, options?: Options];

/** A room that was joined. Every method that says something throws a `RoomError`. */
export interface Room<Events extends object = AnyEvents, Metadata = unknown> {
  readonly name: string;
  readonly id: string;
  readonly token: string;
  readonly state: RoomState;
  /** By id, oneself included, in the order in which they came. */
  readonly members: ReadonlyMap<string, RoomMember<Metadata>>;
  readonly host: string | null;
  readonly isHost: boolean;
  /** Octets that wait to be sent. */
  readonly buffered: number;

  /** Returns what ends it. */
  on<K extends EventName<Events, Metadata>>(event: K, handler: HandlerOf<Events, Metadata, K>, options?: ListenOptions): () => void;
  once<K extends EventName<Events, Metadata>>(event: K, handler: HandlerOf<Events, Metadata, K>, options?: ListenOptions): () => void;
  /** Without a handler: all of that event. */
  off<K extends EventName<Events, Metadata>>(event: K, handler?: HandlerOf<Events, Metadata, K>): void;

  emit<K extends keyof Events & string>(event: K, ...given: DataArguments<Events[K], SendOptions>): void;
  broadcast<K extends keyof Events & string>(event: K, ...given: DataArguments<Events[K], undefined>): void;
  send(value: 'message' extends keyof Events ? DataOf<Events['message']> : unknown, options?: SendOptions): void;
  /** To one id: its answer. To several, or to everybody: answers by id, when all have answered or left. */
  emitWithAck<K extends keyof Events & string, To extends string | readonly string[] | undefined = undefined>(
    event: K,
    ...given: DataArguments<Events[K], AckOptions<To>>
  ): Promise<To extends string ? ReplyOf<Events[K]> : Map<string, ReplyOf<Events[K]>>>;

  setMetadata(metadata: Metadata): void;
  /** Resolves when little waits to be sent. */
  drain(): Promise<void>;
  /** Resolves when it is said, within a second. */
  leave(): Promise<void>;
}
