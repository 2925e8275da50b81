/**
 * Puts the shim in front of everything a page runs, without a parser: after what may stand before the first script of an
 * HTML document (byte order mark, doctype, comments, `<html>`, `<head>`), and before anything else. Ahead of the doctype it
 * would switch the page to quirks mode.
 */

/** The longest prologue that is waited for. Licences in comments run to a few KiB; beyond this the last good place is taken. */
const PROLOGUE_LIMIT = 16 * 1024;

/** Where to insert: an offset, `more` when these bytes do not decide it yet, `never` when the text is not ASCII-compatible. */
export type InsertionPoint = number | 'more' | 'never';

/** `ended`: nothing follows `bytes`. */
export function insertionPoint(bytes: Uint8Array, ended: boolean): InsertionPoint {
  const undecided: InsertionPoint | undefined = ended || bytes.length > PROLOGUE_LIMIT ? undefined : 'more';
  if (bytes.length < 3 && undecided) return undecided;
  if (isUtf16(bytes)) return 'never';

  let best = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  for (;;) {
    const start = skipSpace(bytes, best);
    if (start === bytes.length) return undecided ?? best;
    if (bytes[start] !== LESS) return best;
    const construct = constructAt(bytes, start);
    if (construct === 'other') return best;
    if (construct === 'more' || construct.end === 'more') return undecided ?? best;
    best = construct.end;
    if (construct.name === 'head') return best;
  }
}

/** Passes an HTML body through with `insertion` at its insertion point. Holds back at most the prologue. */
export function insertAfterPrologue(insertion: Uint8Array<ArrayBuffer>): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let held: Uint8Array<ArrayBuffer> | null = new Uint8Array(0);
  const settle = (controller: TransformStreamDefaultController<Uint8Array<ArrayBuffer>>, ended: boolean): void => {
    if (held === null) return;
    const point = insertionPoint(held, ended);
    if (point === 'more') return;
    const whole = held;
    held = null;
    if (whole.length === 0) return;
    controller.enqueue(point === 'never' ? whole : concat(whole.subarray(0, point), insertion, whole.subarray(point)));
  };
  return new TransformStream({
    transform(piece, controller) {
      if (held === null) {
        controller.enqueue(piece);
        return;
      }
      held = concat(held, piece);
      settle(controller, false);
    },
    flush(controller) {
      settle(controller, true);
    },
  });
}

type Construct = 'other' | 'more' | { readonly name: 'comment' | 'html' | 'head'; readonly end: number | 'more' };

const LESS = 0x3c;
const GREATER = 0x3e;
const EQUALS = 0x3d;
const QUOTES: readonly number[] = [0x22, 0x27];

/** What begins at `start`, which is a `<`. Doctypes and processing instructions end like bogus comments: at the first `>`. */
function constructAt(bytes: Uint8Array, start: number): Construct {
  // The longest opening that matters is `<html>`; a shorter rest that could still become one is waited for.
  const opening = asciiLower(bytes.subarray(start, start + 6));
  if (opening.startsWith('<!--')) return { name: 'comment', end: commentEnd(bytes, start) };
  if (opening === '<' || opening === '<!-') return 'more';
  if (opening.startsWith('<!') || opening.startsWith('<?')) return { name: 'comment', end: after(bytes, start, GREATER) };
  for (const name of ['html', 'head'] as const) {
    const tag = `<${name}`;
    if (opening.length <= tag.length && tag.startsWith(opening)) return 'more';
    if (opening.startsWith(tag) && isTagNameEnd(opening.charCodeAt(tag.length))) return { name, end: tagEnd(bytes, start + tag.length) };
  }
  return 'other';
}

/** HTML 13.2.5.43 and following: `-->` and `--!>` end a comment, and so do `<!-->` and `<!--->`. */
function commentEnd(bytes: Uint8Array, start: number): number | 'more' {
  for (let at = start + 4; at < bytes.length; at++) {
    if (bytes[at] !== GREATER) continue;
    const before = asciiLower(bytes.subarray(Math.max(start + 2, at - 3), at));
    if (before.endsWith('--') || (before === '--!' && at - 3 >= start + 4)) return at + 1;
  }
  return 'more';
}

/** The end of a tag; a quote opens a value only after `=`, anywhere else it is part of a name. */
function tagEnd(bytes: Uint8Array, start: number): number | 'more' {
  let quote: number | null = null;
  let previous = 0;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (quote !== null) {
      if (byte === quote) quote = null;
      continue;
    }
    if (byte === GREATER) return at + 1;
    if (previous === EQUALS && QUOTES.includes(byte)) quote = byte;
    if (!isSpace(byte)) previous = byte;
  }
  return 'more';
}

function isUtf16(bytes: Uint8Array): boolean {
  const [first, second] = bytes;
  return (first === 0xfe && second === 0xff) || (first === 0xff && second === 0xfe) || first === 0 || second === 0;
}

function isTagNameEnd(byte: number): boolean {
  return isSpace(byte) || byte === GREATER || byte === 0x2f;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0c || byte === 0x0d;
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && isSpace(bytes[at] ?? 0)) at++;
  return at;
}

function after(bytes: Uint8Array, from: number, byte: number): number | 'more' {
  const at = bytes.indexOf(byte, from);
  return at < 0 ? 'more' : at + 1;
}

function asciiLower(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes).toLowerCase();
}

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
