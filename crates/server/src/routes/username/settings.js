// Which server this page talks to, and how browsers find each other's addresses.

/**
 * `config.json` beside this file says it. A Peerage server makes that itself: the page is its own and talks to it alone. Where somebody else serves the page
 * it may be a file with a `server`, and then (or where there is none at all) `?server=ws://host:port` in the page's address counts for more.
 *
 * @returns {Promise<{ url: string, iceServers: RTCIceServer[] }>}
 */
export async function settings() {
    const config = await load();
    const asked = new URLSearchParams(location.search).get('server');
    const stated = !config || config.server ? (asked ?? config?.server) : null;
    // Beside the page: at the root of the server, or of its part of it.
    const url = new URL(stated?.replace('{hostname}', location.hostname) ?? new URL('.', location.href));
    url.protocol = { 'http:': 'ws:', 'https:': 'wss:' }[url.protocol] ?? url.protocol;
    url.search = '';
    url.hash = '';
    if (!/^wss?:$/.test(url.protocol)) throw new Error(`“${stated}” is not the address of a server: it begins with ws:// or wss://.`);
    return { url: url.href, iceServers: config?.iceServers ?? [] };
}

async function load() {
    try {
        const answer = await fetch(new URL('config.json', import.meta.url), { cache: 'no-store' });
        return answer.ok ? await answer.json() : null;
    } catch {
        return null;
    }
}
