/** What a browser keeps between requests and a service worker cannot: the cookies, and the passwords that were given. Put around the link, so that every exchange has them. */
import type { ExchangeRequest, ExchangeResponse, Field, HttpLink, SocketRequest } from '../fetch/exchange.js';
import { OPT_IN, STATE_FIELD } from '../protocol/cookies/state.js';
import type { OpenLink } from '../transport/link.js';
import { Jar } from './cookies/jar.js';
import type { SharedCookies } from './cookies/shared.js';
import { basicRealm, Credentials, type Given } from './credentials.js';
import { LOGIN_FIELD } from './messages.js';

export class Visit {
  readonly #cookies: SharedCookies;
  readonly #credentials = new Credentials();

  constructor(cookies: SharedCookies) {
    this.#cookies = cookies;
  }

  /** The same link, for a visitor who remembers. The cookies are listed at once. */
  over(link: OpenLink): OpenLink {
    const jar = new Jar(link, this.#cookies);
    this.#cookies.lead(() => jar.changed());
    return {
      closed: link.closed,
      close: () => link.close(),
      path: () => link.path(),
      watch: (listener) => link.watch(listener),
      exchange: (request) => this.#exchange(link, jar, request),
      openWebSocket: (request) => this.#openWebSocket(link, jar, request),
    };
  }

  /** A person logs in to `realm`, asked for at `path`. */
  logIn(realm: string, path: string, name: string, password: string): void {
    this.#credentials.give(realm, path, name, password);
  }

  async #exchange(link: HttpLink, jar: Jar, request: ExchangeRequest): Promise<ExchangeResponse> {
    await jar.told();
    const fields = withoutOwn(request.fields);
    // Without cookies there are no passwords either: both are what Fetch calls credentials.
    if (!optsIn(request.fields)) return link.exchange({ ...request, fields });
    const asks = !says(fields, 'authorization') && !request.fields.some(([name, value]) => name === LOGIN_FIELD && value === 'none');
    const known = asks ? this.#credentials.for(request.path) : null;
    const response = await this.#send(link, jar, { ...request, fields }, known);
    if (response.status !== 401 || !asks) return response;

    const realm = basicRealm(response.fields);
    if (realm === null) return response;
    if (known?.realm === realm) {
      this.#credentials.refuse(known);
      return refused(response);
    }
    const other = this.#credentials.answer(realm, request.path);
    // A body can be read once.
    if (other === null || request.body !== null) return response;
    response.body.cancel();
    const again = await this.#send(link, jar, { ...request, fields }, other);
    if (again.status !== 401 || basicRealm(again.fields) !== realm) return again;
    this.#credentials.refuse(other);
    return refused(again);
  }

  async #send(link: HttpLink, jar: Jar, request: ExchangeRequest, given: Given | null): Promise<ExchangeResponse> {
    const response = await link.exchange({ ...request, fields: withCredentials(request.fields, given) });
    const fields = await jar.taken(withoutOwn(response.fields, STATE_FIELD, 'peerage-error'));
    return { ...response, fields: given === null ? fields : [...fields, [LOGIN_FIELD, 'given']] };
  }

  async #openWebSocket(link: HttpLink, jar: Jar, request: SocketRequest): ReturnType<HttpLink['openWebSocket']> {
    await jar.told();
    const socket = await link.openWebSocket({ ...request, fields: withCredentials(withoutOwn(request.fields), this.#credentials.for(request.path)) });
    const fields = await jar.taken(socket.fields);
    return {
      fields,
      receive: () => socket.receive(),
      send: (message) => socket.send(message),
      close: (...how) => socket.close(...how),
      cancel: () => socket.cancel(),
    };
  }
}

function withCredentials(fields: readonly Field[], given: Given | null): Field[] {
  return given === null || says(fields, 'authorization') ? [...fields, [...OPT_IN]] : [...fields, ['authorization', given.authorization], [...OPT_IN]];
}

function refused(response: ExchangeResponse): ExchangeResponse {
  return { ...response, fields: [...response.fields.filter(([name]) => name !== LOGIN_FIELD), [LOGIN_FIELD, 'refused']] };
}

function withoutOwn(fields: readonly Field[], ...but: string[]): Field[] {
  return fields.filter(([name]) => !name.startsWith('peerage-') || but.includes(name));
}

function optsIn(fields: readonly Field[]): boolean {
  return fields.some(([name, value]) => name === OPT_IN[0] && value === OPT_IN[1]);
}

function says(fields: readonly Field[], name: string): boolean {
  return fields.some(([each]) => each === name);
}
