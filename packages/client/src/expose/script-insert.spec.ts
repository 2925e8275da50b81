import { describe, expect, it } from 'vitest';
import { insertBeforeScript, opening } from './script-insert.js';

const LICENCE = '/*! a licence\n import x from "y" */\n// and\n';

describe('opening', () => {
  it.each(['import a from "a";', 'import{a}from"a";', 'import "a"; more of it', "import'a';more of it", 'import * as a from "a"', `${LICENCE}import a, {b} from "a"`])('finds the import of %s', (text) => {
    expect(opening(text, true)).toEqual({ strict: false, imports: true });
  });

  it.each(['import("a").then(f)', 'import ("a").then(f)', 'import.meta.url', 'important = 1', `${LICENCE}f()`, 'x = `\nimport a from "a"\n`', ''])('finds none in %s', (text) => {
    expect(opening(text, true)).toEqual({ strict: false, imports: false });
  });

  it.each(['"use strict"; f()', "'use strict'\nf()", `#!/x\n${LICENCE}"use strict"`])('finds strictness in %s', (text) => {
    expect(opening(text, true)).toEqual({ strict: true, imports: false });
  });

  it('waits_for_the_end_of_a_comment_but_not_for_ever', () => {
    expect(opening('/* a', false)).toBe('more');
    expect(opening('// a long line of a comment', false)).toBe('more');
    expect(opening('imp', false)).toBe('more');
    expect(opening(`/*${' '.repeat(20_000)}`, false)).toEqual({ strict: false, imports: false });
  });
});

it.each([
  ['f();g();h();i();j();', 'shim();f();g();h();i();j();'],
  ['"use strict";f();g();h()', '"use strict";shim();"use strict";f();g();h()'],
  ['import a from "a";f()', 'import "/shim.js";import a from "a";f()'],
  ['\uFEFFf();g();h();i();j();', 'shim();f();g();h();i();j();'],
  ['', 'shim();'],
])('the_shim_comes_first_whatever_the_pieces: %s', async (script, expected) => {
  for (const size of [1, 7, 1000]) {
    const octets = new TextEncoder().encode(script);
    const pieces = Array.from({ length: Math.ceil(octets.length / size) }, (_, at) => octets.slice(at * size, at * size + size));
    const source = new ReadableStream<Uint8Array<ArrayBuffer>>({ start: (c) => (pieces.forEach((piece) => c.enqueue(piece)), c.close()) });
    expect(await new Response(source.pipeThrough(insertBeforeScript('shim()', '/shim.js'))).text()).toBe(expected);
  }
});
