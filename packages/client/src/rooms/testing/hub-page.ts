/**
 * A hub in a page of Chromium, for the tests of the room client: true connections, and as much of a room as these need. What it does right or wrong says nothing of
 * the true hub.
 */
import { type Entry, type HubFrame, LABEL, type MemberFrame } from '../../protocol/room/frame.js';
import { emitHubFrame, parseMemberFrame } from '../../testing/room-hub.js';

type Octets = Uint8Array<ArrayBuffer>;

interface Seat extends Entry {
  readonly token: string;
  channel: RTCDataChannel | null;
  fast: RTCDataChannel | null;
  /** Counted frames that came. */
  heard: number;
}

interface Description {
  readonly sdp: string;
  readonly type: 'offer';
}

/** Of PeerPyRTC's clients, who hear each other as they would at an old server, or at one that says who is there and who is host. */
interface Old {
  readonly id: string;
  readonly channel: RTCDataChannel;
}

class Room {
  readonly #epoch = crypto.getRandomValues(new Uint8Array(8));
  readonly #log: { readonly seq: number; readonly to: ReadonlySet<number> | null; readonly octets: Octets }[] = [];
  readonly seats = new Map<number, Seat>();
  readonly #waiting = new Map<number, ReturnType<typeof setTimeout>>();
  old: Old[] = [];
  #seq = 0;
  #next = 1;
  #host = 0;

  hello(name: string, frame: Extract<MemberFrame, { type: 'hello' }>, channel: RTCDataChannel, fast: RTCDataChannel | null): Seat {
    const token = frame.token.join();
    const known = [...this.seats.values()].find((seat) => seat.name === name);
    if (known !== undefined && known.token === token) {
      const isHere = frame.epoch.join() === this.#epoch.join();
      clearTimeout(this.#waiting.get(known.number));
      Object.assign(known, { channel, fast });
      this.#welcome(known, isHere ? 'whole' : 'new');
      if (isHere) for (const { seq, to, octets } of this.#log) if (seq > frame.last && (to === null || to.has(known.number))) channel.send(octets);
      return known;
    }
    const seat: Seat = { number: this.#next++, name, metadata: frame.metadata, joined: Date.now(), token, channel, fast, heard: 0 };
    this.#tell({ type: 'joined', seq: 0, member: seat });
    this.seats.set(seat.number, seat);
    if (this.#host === 0) this.#host = seat.number;
    this.#welcome(seat, 'new');
    return seat;
  }

  #welcome(seat: Seat, resumed: 'new' | 'whole'): void {
    const members = resumed === 'whole' ? [] : [...this.seats.values()];
    seat.channel?.send(emitHubFrame({ type: 'welcome', epoch: this.#epoch, you: seat.number, seq: this.#seq, resumed, heard: seat.heard, host: resumed === 'whole' ? 0 : this.#host, total: members.length, members }));
  }

  /** In the room's order, to everybody or to these. */
  #tell(frame: Extract<HubFrame, { seq: number }>, to: ReadonlySet<number> | null = null): void {
    const seq = ++this.#seq;
    const octets = emitHubFrame({ ...frame, seq });
    this.#log.push({ seq, to, octets });
    for (const { number, channel } of this.seats.values()) if (to === null || to.has(number)) if (channel?.readyState === 'open') channel.send(octets);
  }

  heard(seat: Seat, frame: MemberFrame): void {
    const others = [...this.seats.keys()].filter((number) => number !== seat.number);
    if (frame.type === 'ack' || frame.type === 'metadata' || (frame.type === 'emit' && !frame.fast)) {
      if (++seat.heard % 32 === 0) seat.channel?.send(emitHubFrame({ type: 'heard', count: seat.heard }));
    }
    switch (frame.type) {
      case 'emit': {
        const { to, ack, event, body } = frame;
        const receivers = to === 'others' ? others : to === 'hub' ? [] : to;
        if (frame.fast) {
          const octets = emitHubFrame({ type: 'message', seq: 0, from: seat.number, ack: null, event, body });
          for (const number of receivers) (this.seats.get(number)?.fast ?? this.seats.get(number)?.channel)?.send(octets);
        } else this.#tell({ type: 'message', seq: 0, from: seat.number, ack, event, body }, new Set(receivers));
        if (ack !== null && to === 'others') seat.channel?.send(emitHubFrame({ type: 'asked', ack, members: receivers }));
        if (ack !== null && to === 'hub') seat.channel?.send(emitHubFrame({ type: 'ack', ack, from: 0, body }));
        return;
      }
      case 'ack':
        return this.seats.get(frame.to)?.channel?.send(emitHubFrame({ type: 'ack', ack: frame.ack, from: seat.number, body: frame.body }));
      case 'metadata':
        this.seats.set(seat.number, Object.assign(seat, { metadata: frame.metadata }));
        return this.#tell({ type: 'metadata', seq: 0, member: seat.number, metadata: frame.metadata });
      case 'leave':
        return this.leaves(seat, 'left');
    }
  }

  /** It may come back for a while. */
  lost(seat: Seat): void {
    this.#waiting.set(seat.number, setTimeout(() => this.leaves(seat, 'lost'), 10_000));
  }

  leaves(seat: Seat, reason: 'left' | 'lost' | 'kicked'): void {
    if (!this.seats.delete(seat.number)) return;
    clearTimeout(this.#waiting.get(seat.number));
    this.#tell({ type: 'left', seq: 0, member: seat.number, reason });
    if (this.#host !== seat.number) return;
    this.#host = this.seats.keys().next().value ?? 0;
    this.#tell({ type: 'host', seq: 0, member: this.#host });
  }
}

class HubPage {
  readonly #rooms = new Map<string, Room>();
  readonly #connections = new Map<string, RTCPeerConnection>();
  readonly #early = new Map<string, RTCIceCandidateInit[]>();
  /** Whether it says to old clients who is there and who is host. */
  decides = true;

  async offer(room: string, id: string, offer: Description): Promise<RTCSessionDescriptionInit> {
    const pc = new RTCPeerConnection();
    const key = `${room} ${id}`;
    this.#connections.set(key, pc);
    const channels: RTCDataChannel[] = [];
    pc.addEventListener('datachannel', ({ channel }) => {
      channel.binaryType = 'arraybuffer';
      channels.push(channel);
      if (channel.label === LABEL) this.#native(room, id, channel, channels);
      else if (channel.label === 'chat') this.#old(room, id, channel);
      else channel.addEventListener('message', ({ data }) => this.#said(room, id, new Uint8Array(data as ArrayBuffer)));
    });
    await pc.setRemoteDescription(offer);
    for (const candidate of this.#early.get(key) ?? []) await pc.addIceCandidate(candidate).catch(() => undefined);
    await pc.setLocalDescription();
    if (pc.iceGatheringState !== 'complete') await new Promise((resolve) => pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && resolve(null)));
    const { sdp = '', type = 'answer' } = pc.localDescription ?? {};
    return { sdp, type };
  }

  async candidate(room: string, id: string, candidate: RTCIceCandidateInit): Promise<void> {
    const pc = this.#connections.get(`${room} ${id}`);
    if (pc?.remoteDescription) await pc.addIceCandidate(candidate).catch(() => undefined);
  }

  leave(room: string, id: string): void {
    const seat = this.#seat(room, id);
    if (seat !== undefined) this.#room(room).leaves(seat, 'left');
  }

  /** The connection of a member breaks. */
  cut(room: string, id: string): void {
    this.#seat(room, id)?.channel?.close();
    this.#room(room).old.find((old) => old.id === id)?.channel.close();
  }

  kick(room: string, id: string): void {
    const seat = this.#seat(room, id);
    if (seat === undefined) return;
    seat.channel?.send(emitHubFrame({ type: 'refused', code: 'kicked' }));
    this.#room(room).leaves(seat, 'kicked');
  }

  /** To the old clients of a room, from the server. */
  say(room: string, text: string): void {
    for (const { channel } of this.#room(room).old) channel.send(text);
  }

  #room(name: string): Room {
    const room = this.#rooms.get(name) ?? new Room();
    this.#rooms.set(name, room);
    return room;
  }

  #seat(room: string, id: string): Seat | undefined {
    return [...this.#room(room).seats.values()].find(({ name }) => name === id);
  }

  #said(room: string, id: string, octets: Octets): void {
    const seat = this.#seat(room, id);
    if (seat !== undefined) this.#room(room).heard(seat, parseMemberFrame(octets));
  }

  #native(name: string, id: string, channel: RTCDataChannel, channels: readonly RTCDataChannel[]): void {
    const room = this.#room(name);
    let seat: Seat | null = null;
    channel.addEventListener('message', ({ data }) => {
      const frame = parseMemberFrame(new Uint8Array(data as ArrayBuffer));
      if (frame.type === 'hello') seat = room.hello(id, frame, channel, channels.find(({ label }) => label !== LABEL) ?? null);
      else if (seat !== null) room.heard(seat, frame);
    });
    channel.addEventListener('close', () => seat?.channel === channel && room.lost(seat));
  }

  #old(name: string, id: string, channel: RTCDataChannel): void {
    const room = this.#room(name);
    const system = (action: string, payload: unknown): string => JSON.stringify({ type: 'SYSTEM', action, payload, peer_id: 'server', target: null, timestamp: Date.now() });
    const others = (text: string): void => {
      for (const old of room.old) if (old.channel !== channel && old.channel.readyState === 'open') old.channel.send(text);
    };
    channel.addEventListener('message', ({ data }) => {
      const { action } = JSON.parse(String(data)) as { action?: string };
      if (action === 'PEER_JOIN') {
        room.old = [...room.old.filter((old) => old.id !== id), { id, channel }];
        if (this.decides) {
          const [host] = room.old;
          channel.send(system('ROOM_STATE', { peers: room.old.map((old, at) => ({ id: old.id, joinTime: at, lastSeen: at })), hostId: host?.id ?? null }));
          channel.send(system('HOST_CHANGE', host?.id ?? ''));
        }
      }
      others(String(data));
      if (action !== 'PEER_LEAVE') return;
      const wasHost = room.old[0]?.id === id;
      room.old = room.old.filter((old) => old.id !== id);
      if (wasHost && this.decides) others(system('HOST_CHANGE', room.old[0]?.id ?? ''));
    });
  }
}

(globalThis as unknown as { hub: HubPage }).hub = new HubPage();
