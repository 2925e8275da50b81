/** Which answers have a body, and how it is packed (RFC 9110 section 8.4): pure. */
import type { Field } from './exchange.js';

/** What platforms unpack by themselves (`DecompressionStream`). */
export type Coding = 'gzip' | 'deflate';

/** The coding is one that no `Accept-Encoding` of ours asked for. */
export class UnknownCoding extends Error {
  override readonly name = 'UnknownCoding';
}

/** Whether an answer has one: not to HEAD, and not with the statuses for which a `Response` refuses it. */
export function hasBody(method: string, status: number): boolean {
  return method !== 'HEAD' && !NULL_BODY_STATUS.has(status);
}

const NULL_BODY_STATUS = new Set([204, 205, 304]);

/** Codings to undo, the outermost first. Throws `UnknownCoding`. */
export function codings(fields: readonly Field[]): Coding[] {
  return fields
    .filter(([name]) => name === 'content-encoding')
    .flatMap(([, value]) => value.split(','))
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')
    .map((coding) => {
      if (coding === 'gzip' || coding === 'x-gzip') return 'gzip' as const;
      if (coding === 'deflate') return 'deflate' as const;
      throw new UnknownCoding(`the target answered in the coding ${coding}, which was not asked for`);
    })
    .reverse();
}
