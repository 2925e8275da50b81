import { describe, expect, it } from 'vitest';
import { knownLength, LENGTH, statedLength } from './length.js';

describe('the length of a long body', () => {
  it('is known of what is in memory, and of files', () => {
    expect(knownLength(new Blob(['twelve bytes']))?.length).toBe(12);
    expect(knownLength(new ArrayBuffer(7))?.length).toBe(7);
    expect(knownLength(new Uint8Array(9).subarray(2))?.length).toBe(7);
    for (const other of ['text', new URLSearchParams('a=b'), new ReadableStream(), null, undefined]) expect(knownLength(other)).toBeNull();
  });

  it('is that of the octets which the platform makes of a form', async () => {
    const form = new FormData();
    form.append('wörd "x"\n', 'one\ntwo\r\nthree');
    form.append('file', new File([new Uint8Array([0, 255, 13])], 'a "näme"\r.bin', { type: 'text/x-own' }));
    form.append('untyped', new Blob(['b']));
    const known = knownLength(form);
    const platform = new Response(form);
    const [ours, theirs] = [known?.body as Blob, await platform.blob()];
    const plain = async (body: Blob, type: string) => {
      const boundary = /boundary=(\S+)/.exec(type)?.[1] ?? '';
      const octets = String.fromCharCode(...new Uint8Array(await body.arrayBuffer()));
      return octets.replaceAll(boundary, 'BOUNDARY').replace(/content-(disposition|type)/gi, (name) => name.toLowerCase()).trimEnd();
    };
    expect(await plain(ours, ours.type)).toBe(await plain(theirs, platform.headers.get('content-type') ?? ''));
    expect(known?.length).toBe(ours.size);
  });

  it('is left alone for a form without files', () => {
    const form = new FormData();
    form.append('word', 'x'.repeat(2_000_000));
    expect(knownLength(form)).toBeNull();
  });

  it('is read only where it is a number', () => {
    for (const [value, length] of [['12', 12], ['-1', null], ['1e3', null], ['', null], ['9'.repeat(16), null]] as const) expect(statedLength(new Headers({ [LENGTH]: value }))).toBe(length);
    expect(statedLength(new Headers())).toBeNull();
  });
});
