/** Puts the shim in front of the script of a worker, without a parser: what stands before its first statement decides how. */

/** What must be known of a script. Both may be false: then nothing is lost by what is put before it. */
export interface Opening {
  /** It begins with the directive `"use strict"`, which would be none behind another statement. */
  readonly strict: boolean;
  /** It begins with a static `import`: a module, whose imports run before any other statement of it. */
  readonly imports: boolean;
}

/** Licences in comments run to a few KiB; beyond this nothing is assumed. */
const OPENING_LIMIT = 16 * 1024;

/** `more`: `text` does not decide it yet. `ended`: nothing follows `text`. */
export function opening(text: string, ended: boolean): Opening | 'more' {
  const decided = ended || text.length > OPENING_LIMIT;
  const first = text.replace(/^\uFEFF/, '').replace(/^#!.*/, '').replace(/^(?:\s+|\/\/[^\n]*(?:\n|$)|\/\*[^]*?\*\/)+/, '');
  // Enough to tell what it is, and no comment that goes on.
  if (!decided && (first.length < 16 || first.startsWith('/*') || /^(\/\/|#!)[^\n]*$/.test(text))) return 'more';
  return {
    strict: /^(['"])use strict\1/.test(first),
    // Not the calls `import(…)` and `import.meta`, which may begin other scripts.
    imports: /^import(?:\s*["'{*]|\s+[^\s("'{*.])/.test(first),
  };
}

/** Passes a script through with the shim before it: `shim` as a script of one line, or by `address` where only an import comes first. */
export function insertBeforeScript(shim: string, address: string): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let held: { pieces: Uint8Array<ArrayBuffer>[]; text: string } | null = { pieces: [], text: '' };
  const settle = (controller: TransformStreamDefaultController<Uint8Array<ArrayBuffer>>, ended: boolean): void => {
    if (held === null) return;
    const found = opening(held.text, ended);
    if (found === 'more') return;
    const before = found.imports ? `import ${JSON.stringify(address)};` : `${found.strict ? '"use strict";' : ''}${shim};`;
    controller.enqueue(new TextEncoder().encode(before));
    // A byte order mark is one at the beginning only.
    let skipped = held.text.startsWith('\uFEFF') ? 3 : 0;
    for (const piece of held.pieces) {
      if (piece.length > skipped) controller.enqueue(piece.subarray(skipped));
      skipped = Math.max(0, skipped - piece.length);
    }
    held = null;
  };
  return new TransformStream({
    transform(piece, controller) {
      if (held === null) {
        controller.enqueue(piece);
        return;
      }
      held.pieces.push(piece);
      held.text += decoder.decode(piece, { stream: true });
      settle(controller, false);
    },
    flush: (controller) => settle(controller, true),
  });
}
