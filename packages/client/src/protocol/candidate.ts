/**
 * One ICE candidate as CANDIDATE frames and descriptions carry it (RFC 8839 section 5.1, RFC 6544 section 4.5 for TCP). Candidates are not authenticated: they
 * are hints. A strict grammar and fresh text keep what else a sender put into the line away from the browser, host names to be resolved above all.
 */

/** Longest candidate line, in characters. Browsers write about 200. */
export const MAX_CANDIDATE = 512;

const LINE =
  /^(?:a=)?candidate:([A-Za-z0-9+/]{1,32}) 1 (udp|tcp) ([0-9]{1,10}) (\S+) ([0-9]{1,5}) typ (host|srflx|prflx|relay)((?: \S+ \S+)*)$/i;

/** `candidate:…` anew, its extensions but `raddr`, `rport`, `tcptype` and `ufrag` left out; `null` for what a data connection cannot use. */
export function cleanCandidate(line: string): string | null {
  const match = line.length <= MAX_CANDIDATE && /^[ -~]*$/.test(line) ? LINE.exec(line) : null;
  if (match === null) return null;
  const [, foundation = '', protocol = '', priority = '', address = '', port = '', kind = '', extensions = ''] = match;
  const words = extensions.split(' ').slice(1);
  const values = new Map(words.flatMap((name, at) => (at % 2 === 0 ? [[name, words[at + 1] ?? ''] as const] : [])));
  const transport = protocol.toLowerCase();
  const role = values.get('tcptype');
  const fits = Number(priority) < 2 ** 32 && Number(port) <= 65_535 && (isIp(address) || isMdns(address));
  const transported = transport === 'udp' ? role === undefined : /^(?:active|passive|so)$/.test(role ?? '');
  if (!fits || !transported || kind !== kind.toLowerCase() || !/^(?:a=)?candidate:/.test(line)) return null;
  const [raddr = '', rport = '', ufrag = ''] = [values.get('raddr'), values.get('rport'), values.get('ufrag')];
  const related = isIp(raddr) && /^[0-9]{1,5}$/.test(rport) && Number(rport) <= 65_535 ? ` raddr ${raddr} rport ${rport}` : '';
  const tcptype = role === undefined ? '' : ` tcptype ${role}`;
  const fragment = /^[A-Za-z0-9+/]{4,256}$/.test(ufrag) ? ` ufrag ${ufrag}` : '';
  return `candidate:${foundation} 1 ${transport} ${priority} ${address.toLowerCase()} ${port} typ ${kind}${related}${tcptype}${fragment}`;
}

/** By its characters; the browser judges the rest, and resolves nothing that consists of these. */
function isIp(text: string): boolean {
  return /^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$/.test(text) || (text.includes(':') && /^[0-9A-Fa-f:.]{2,45}$/.test(text));
}

/** A one-time name under `.local` that browsers put in place of a private address. */
function isMdns(text: string): boolean {
  return /^[A-Za-z0-9-]{1,63}\.local$/i.test(text);
}
