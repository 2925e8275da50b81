/** Reads the vectors that all languages share. */

/** Lower-case hexadecimal; `[61*20]` stands for twenty octets 61. */
export function unhex(text: string): Uint8Array<ArrayBuffer> {
  const octets: number[] = [];
  for (const [, value, count, pair] of text.matchAll(/\[([0-9a-f]{2})\*([0-9]+)\]|([0-9a-f]{2})/g)) {
    for (let times = Number(count ?? 1); times > 0; times--) octets.push(Number.parseInt(value ?? pair ?? '', 16));
  }
  return Uint8Array.from(octets);
}

export function hex(octets: Uint8Array): string {
  let text = '';
  for (let at = 0; at < octets.length; ) {
    let end = at + 1;
    while (end < octets.length && octets[end] === octets[at]) end++;
    const pair = (octets[at] ?? 0).toString(16).padStart(2, '0');
    text += end - at >= 16 ? `[${pair}*${end - at}]` : pair.repeat(end - at);
    at = end;
  }
  return text;
}
