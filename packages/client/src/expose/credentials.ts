/**
 * Names and passwords that a person gave for Basic challenges (RFC 7617). They live in the memory of the tab that has the link and nowhere else. Where they
 * go is decided as browsers do (section 2.2): to paths in the folder of one that asked for them, and anywhere else when the same realm is asked for.
 */
import type { Field } from '../fetch/exchange.js';

/** What was given for a realm, as it is sent. */
export interface Given {
  readonly realm: string;
  readonly authorization: string;
}

interface Space extends Given {
  /** Path prefixes that end with a slash. */
  readonly folders: string[];
}

const MOST_SPACES = 16;
const MOST_FOLDERS = 64;

export class Credentials {
  /** The one given last is the first. */
  #spaces: Space[] = [];

  give(realm: string, path: string, name: string, password: string): void {
    this.#spaces = [{ realm, authorization: authorization(name, password), folders: [folder(path)] }, ...this.#spaces.filter((space) => space.realm !== realm)].slice(0, MOST_SPACES);
  }

  /** What to send along without being asked; null: nothing. */
  for(path: string): Given | null {
    let best: { space: Space; length: number } | null = null;
    for (const space of this.#spaces) {
      for (const each of space.folders) if (path.startsWith(each) && each.length > (best?.length ?? 0)) best = { space, length: each.length };
    }
    return best?.space ?? null;
  }

  /** What to send when the realm is asked for at this path, which from now on gets it unasked; null: ask the person. */
  answer(realm: string, path: string): Given | null {
    const space = this.#spaces.find((each) => each.realm === realm);
    if (space === undefined) return null;
    const asking = folder(path);
    if (!space.folders.includes(asking) && space.folders.length < MOST_FOLDERS) space.folders.push(asking);
    return space;
  }

  /** The app did not accept it. */
  refuse(given: Given): void {
    this.#spaces = this.#spaces.filter((space) => space !== given);
  }
}

/** The realm of a Basic challenge among the fields of a 401; null where there is none. */
export function basicRealm(fields: readonly Field[]): string | null {
  for (const [name, value] of fields) {
    const realm = name === 'www-authenticate' ? realmOf(value) : null;
    if (realm !== null) return realm;
  }
  return null;
}

/** One field may hold several challenges: what separates them separates their parameters as well (RFC 9110 11.6.1). */
function realmOf(challenges: string): string | null {
  let basic = false;
  for (const [part] of challenges.matchAll(/(?:[^",]|"(?:[^"\\]|\\.)*")+/g)) {
    const scheme = /^\s*([^\s=",]+)(?:\s+(?!=)|\s*$)/.exec(part)?.[1];
    if (scheme !== undefined) {
      if (basic) return '';
      basic = scheme.toLowerCase() === 'basic';
    }
    const realm = basic ? /(?:^|\s)realm\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/i.exec(part) : null;
    if (realm !== null) return (realm[1] ?? realm[2] ?? '').replace(/\\(.)/g, '$1');
  }
  return basic ? '' : null;
}

function authorization(name: string, password: string): string {
  const octets = new TextEncoder().encode(`${name}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...octets))}`;
}

function folder(path: string): string {
  const plain = path.replace(/[?#].*/, '');
  return plain.slice(0, plain.lastIndexOf('/') + 1);
}
