/**
 * The length of a long body, from the page that knows it to the worker that does not: a worker never sees `Content-Length`, and many targets refuse a
 * body without one. The worker takes this field out.
 */
export const LENGTH = 'peerage-length';

/** What the page said of a request's body; null: nothing. */
export function statedLength(headers: Headers): number | null {
  const stated = headers.get(LENGTH);
  return stated !== null && /^\d{1,15}$/.test(stated) ? Number(stated) : null;
}

/** A body and its octets, where the page can tell without reading it; a form becomes the octets that the browser would make of it. */
export function knownLength(body: unknown): { readonly body: BodyInit; readonly length: number } | null {
  if (body instanceof Blob) return { body, length: body.size };
  if (body instanceof ArrayBuffer) return { body, length: body.byteLength };
  if (ArrayBuffer.isView(body)) return { body: body as ArrayBufferView<ArrayBuffer>, length: body.byteLength };
  if (body instanceof FormData && [...body.values()].some((value) => typeof value !== 'string')) {
    const whole = multipart(body);
    return { body: whole, length: whole.size };
  }
  return null;
}

/** A form as HTML has it (`multipart/form-data`): its files are referred to, not read. */
function multipart(form: FormData): Blob {
  // A blob's type is lower case.
  const boundary = `----peerage${crypto.getRandomValues(new Uint32Array(4)).join('')}`;
  const lines = (text: string): string => text.replace(/\r\n|\r|\n/g, '\r\n');
  const quoted = (name: string): string => name.replace(/\r/g, '%0D').replace(/\n/g, '%0A').replace(/"/g, '%22');
  const parts: BlobPart[] = [];
  for (const [name, value] of form) {
    parts.push(`--${boundary}\r\ncontent-disposition: form-data; name="${quoted(lines(name))}"`);
    if (typeof value === 'string') parts.push(`\r\n\r\n${lines(value)}\r\n`);
    else parts.push(`; filename="${quoted(value.name)}"\r\ncontent-type: ${value.type || 'application/octet-stream'}\r\n\r\n`, value, '\r\n');
  }
  parts.push(`--${boundary}--\r\n`);
  return new Blob(parts, { type: `multipart/form-data; boundary=${boundary}` });
}
