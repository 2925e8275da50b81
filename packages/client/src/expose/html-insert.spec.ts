import { describe, expect, it } from 'vitest';
import { insertAfterPrologue, insertionPoint } from './html-insert.js';

const SHIM = '<script src="/shim.js"></script>';
const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** Runs `html` through the transform in pieces of `size` bytes. */
async function inserted(html: string | Uint8Array<ArrayBuffer>, size = Number.MAX_SAFE_INTEGER): Promise<string> {
  const source = typeof html === 'string' ? bytes(html) : html;
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      for (let at = 0; at < source.length; at += size) controller.enqueue(source.slice(at, at + size));
      controller.close();
    },
  });
  const out = new Uint8Array(await new Response(stream.pipeThrough(insertAfterPrologue(bytes(SHIM)))).arrayBuffer());
  return new TextDecoder('latin1').decode(out);
}

// In each, `|` marks the place.
const PAGES = [
  '<!doctype html><html><head>|<title>x</title>',
  '<!DOCTYPE html>\n<html lang="en">\n  <head data-x=\'>\'>|\n<script>1</script>',
  '<html>|<body>no head',
  '<head/>|<script></script>',
  '<HEAD\n>|<meta charset=utf-8>',
  '<html a=">" b=\'>\' c=x>|text',
  '<html title=a"b>|<p>"',
  '<!doctype html>|<title>bare</title>',
  '<!doctype html public "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">|<p>',
  '<?xml version="1.0"?><!doctype html><html><head>|<link>',
  '<!-- a licence > with -- signs --><!doctype html><!----><!--x--!><html><!-- <head> --><head>|<!-- in head -->',
  '<!--><html><head>|',
  '<!---><p-->',
  '<header>not a head</header>',
  '<htmlx>',
  'plain text',
  '<p>fragment',
  '   <b>',
  '<!doctype html>   |',
  '<!doctype html',
  '<!-- never closed <html><head>',
  '<',
  '<!-',
  '<hea',
  '<html',
];

describe('insertAfterPrologue', () => {
  for (const page of PAGES) {
    const plain = page.replace('|', '');
    // Without a mark the place is the start; `<!--->` and trailing space are the special cases spelt out here.
    const marked = page.includes('|') ? page : page === '<!---><p-->' ? '<!--->|<p-->' : `|${page}`;
    const expected = page === '<!doctype html>   |' ? `<!doctype html>${SHIM}   ` : marked.replace('|', SHIM);

    it(`puts_the_shim_first_in ${JSON.stringify(plain)} however_the_pieces_are_cut`, async () => {
      for (const size of [1, 2, 3, 5, 7, 64, 4096]) expect(await inserted(plain, size)).toBe(expected);
    });
  }

  it('leaves_an_empty_body_empty', async () => {
    expect(await inserted('')).toBe('');
  });

  it('steps_over_a_byte_order_mark', async () => {
    const page = new Uint8Array([0xef, 0xbb, 0xbf, ...bytes('<p>')]);
    expect(await inserted(page, 1)).toBe(`\u00ef\u00bb\u00bf${SHIM}<p>`);
  });

  it('leaves_utf_16_alone', async () => {
    for (const page of [[0xff, 0xfe, 0x3c, 0], [0xfe, 0xff, 0, 0x3c], [0x3c, 0, 0x68, 0], [0, 0x3c, 0, 0x68]]) {
      const source = new Uint8Array(page);
      expect(await inserted(source, 1)).toBe(new TextDecoder('latin1').decode(source));
    }
  });

  it('does_not_wait_for_ever_for_the_end_of_a_comment', () => {
    expect(insertionPoint(bytes(`<!doctype html><!--${'x'.repeat(20_000)}`), false)).toBe(15);
  });

  it('passes_each_piece_on_as_soon_as_the_place_is_known', async () => {
    const transform = insertAfterPrologue(bytes(SHIM));
    const writer = transform.writable.getWriter();
    const reader = transform.readable.getReader();
    void writer.write(bytes('<!doctype html><html><head><title>'));
    expect(new TextDecoder().decode((await reader.read()).value)).toContain(SHIM);
    void writer.write(bytes('slow'));
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('slow');
  });
});
