/** A room at a hub that is played by hand, in virtual time. */
import { vi } from 'vitest';
import type { Entry, HubFrame } from '../protocol/room/frame.js';
import { type HubRoom, joinIn } from '../rooms/room.js';
import type { JoinRoomOptions, RoomEvents } from '../rooms/types.js';
import { entry, FakeHub, type FakeWire } from './room-hub.js';

export const ANN = entry(1, 'ann', { name: 'Ann' });
export const BOB = entry(2, 'bob', { name: 'Bob' });
export const ME = entry(3, 'me', {});

export interface Scene {
  readonly hub: FakeHub;
  readonly room: HubRoom;
  /** What the room told, in order. */
  readonly told: unknown[][];
}

const ROOM_EVENTS: readonly (keyof RoomEvents<object, unknown>)[] = ['message', 'joined', 'left', 'metadata', 'host', 'state', 'missed', 'error', 'closed'];

export function begin(hub: FakeHub, options: JoinRoomOptions = {}): Promise<HubRoom> {
  return joinIn({ open: hub.open, random: () => 1, now: () => Date.now() }, 'lobby', { server: 'http://hub.example', id: 'me', ...options });
}

/** Joined: Ann, who is host, and Bob are there. `listens`: events of the application that are noted too. */
export async function joined(options: JoinRoomOptions = {}, listens: readonly string[] = []): Promise<Scene> {
  const hub = new FakeHub();
  const joining = begin(hub, options);
  await settled();
  welcome(hub.last);
  const room = await joining;
  const told: unknown[][] = [];
  for (const event of [...ROOM_EVENTS, ...listens]) room.on(event, (...given: unknown[]) => void told.push([event, ...given.filter((one) => one !== undefined)]));
  return { hub, room, told };
}

export function welcome(wire: FakeWire, more: Partial<Extract<HubFrame, { type: 'welcome' }>> = {}, members: readonly Entry[] = [ANN, BOB, ME]): void {
  wire.welcomes(ME.number, members, more);
}

/** Promises that are due have had their turn; no time passes. */
export async function settled(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

export async function passes(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}
