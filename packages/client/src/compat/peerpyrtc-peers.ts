/** Who is in a room, and who is host, as far as an old client is told. Pure. */
import { type RoomPeer, SERVER } from './peerpyrtc-messages.js';

/** Members that are known at a server which does not say who is there: anybody may say that anybody is. */
const KNOWN_MAX = 1_000;

type About = Readonly<Record<string, unknown>>;

interface Known {
  readonly id: string;
  readonly joinTime: number;
  lastSeen: number;
  readonly about: About;
}

export class RoomPeers {
  readonly #own: string;
  readonly #known = new Map<string, Known>();
  /** Said by a server that decides; it alone is believed from then on. */
  #decides = false;
  #host: string | null = null;

  /** Alone, with what this page says of itself. */
  constructor(own: string, about: About, now: number) {
    this.#own = own;
    this.#known.set(own, { id: own, joinTime: now, lastSeen: now, about });
  }

  /** Whether the server says who is there and who is host, so that members need not. */
  get serverDecides(): boolean {
    return this.#decides;
  }

  get size(): number {
    return this.#known.size;
  }

  /** At a server that names none: who says to have come first, of those who are there. */
  get host(): string | null {
    if (this.#host !== null || this.#decides) return this.#host;
    const since = ({ joinTime, about }: Known): number => (typeof about['timestamp'] === 'number' ? about['timestamp'] : joinTime);
    const [first] = [...this.#known.values()].sort((a, b) => since(a) - since(b) || (a.id < b.id ? -1 : 1));
    return first?.id ?? null;
  }

  list(): RoomPeer[] {
    const { host } = this;
    return [...this.#known.values()].map((known) => show(known, host));
  }

  /** `null` for oneself, and for one too many. */
  joined(id: string, about: About, now: number): RoomPeer | null {
    if (id === this.#own || this.#isFullFor(id)) return null;
    const known = { id, joinTime: now, lastSeen: now, about };
    this.#known.set(id, known);
    return show(known, this.host);
  }

  /** `null` for who was not there. */
  left(id: string): RoomPeer | null {
    const known = this.#known.get(id);
    if (known === undefined || id === this.#own) return null;
    const peer = show(known, this.host);
    this.#known.delete(id);
    if (this.#host === id && !this.#decides) this.#host = null;
    return peer;
  }

  /** A list of who is there: the server's is whole and in its order, another member's adds to what is known. */
  state(from: string, peers: readonly About[], hostId: string | null | undefined, now: number): void {
    if (from === SERVER) {
      const own = this.#known.get(this.#own);
      this.#decides = true;
      this.#known.clear();
      for (const peer of peers) {
        if (peer['id'] !== this.#own) this.#add(peer, now);
        else if (own !== undefined) this.#known.set(this.#own, own);
      }
      if (own !== undefined && !this.#known.has(this.#own)) this.#known.set(this.#own, own);
      if (hostId !== undefined) this.#host = hostId;
    } else if (!this.#decides) {
      for (const peer of peers) {
        const id = String(peer['id']);
        if (!this.#known.has(id) && !this.#isFullFor(id)) this.#add(peer, now);
      }
    }
  }

  /** Whether that changes anything. */
  hosted(from: string, id: string | null): boolean {
    const before = this.host;
    if (from === SERVER) {
      this.#decides = true;
      this.#host = id;
    } else if (!this.#decides && id !== null && this.#known.has(id)) this.#host = id;
    return this.host !== before;
  }

  seen(id: string, now: number): void {
    const known = this.#known.get(id);
    if (known !== undefined) known.lastSeen = now;
  }

  #isFullFor(id: string): boolean {
    return !this.#decides && this.#known.size >= KNOWN_MAX && !this.#known.has(id);
  }

  #add(peer: About, now: number): void {
    const { id, joinTime, lastSeen, ...about } = peer;
    const time = (value: unknown): number => (typeof value === 'number' ? value : now);
    this.#known.set(String(id), { id: String(id), joinTime: time(joinTime), lastSeen: time(lastSeen), about });
  }
}

function show({ id, joinTime, lastSeen, about }: Known, host: string | null): RoomPeer {
  return { joinTime, lastSeen, ...about, id, isHost: id === host };
}
