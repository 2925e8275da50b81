// A member of a room as old pages have it: it speaks PeerPyRTC's JSON by one channel that may lose messages, and believes what it is told. Written from the description of that
// protocol. What happens is told to the test by `tell_room(id, kind, more)`.

class OldRoomMember {
    peers = new Map();
    host = null;

    constructor(room, id, { unreachable = false } = {}) {
        Object.assign(this, { room, id, unreachable });
    }

    tell(kind, more = {}) {
        window.tell_room(this.id, kind, more);
    }

    async post(path, more) {
        const response = await fetch(path, {
            method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ room: this.room, peer_id: this.id, ...more }),
        });
        if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
        return response.json();
    }

    /** The offer goes at once, its candidates when they are found, perhaps before it. */
    async join() {
        this.pc = new RTCPeerConnection({ iceServers: [] });
        this.channel = this.pc.createDataChannel('chat', { ordered: true, maxRetransmits: 3 });
        this.channel.binaryType = 'arraybuffer';
        this.channel.onopen = () => this.opened();
        this.channel.onmessage = ({ data }) => this.received(data);
        this.channel.onclose = () => this.tell('closed');
        this.pc.onicecandidate = ({ candidate: found }) => {
            if (!found?.candidate) return;
            const { candidate, sdpMid, sdpMLineIndex, foundation, component, priority, protocol, type, address, port } = found;
            this.post('/candidate', { candidate: { candidate, sdpMid, sdpMLineIndex, foundation, component, priority, protocol, type, address, port } });
        };
        await this.pc.setLocalDescription(await this.pc.createOffer());
        const { sdp, type } = this.pc.localDescription;
        const { answer } = await this.post('/offer', { offer: { sdp, type } });
        // One that knows no way to the server can only be found by what it told of itself.
        if (this.unreachable) answer.sdp = answer.sdp.replace(/^a=(candidate:|end-of-candidates).*\r\n/gm, '');
        await this.pc.setRemoteDescription(answer);
    }

    send(value) {
        this.channel.send(JSON.stringify(value));
    }

    system(action, payload, target = null) {
        this.send({ type: 'SYSTEM', action, payload, peer_id: this.id, target, timestamp: Date.now() });
    }

    async do(order) {
        switch (order.do) {
            case 'say': return this.send({ peer_id: this.id, message: order.value });
            case 'emit': return this.system('EVENT', { event: order.event, data: order.data });
            case 'broadcast': return this.system('BROADCAST', { event: order.event, data: order.data });
            case 'raw': return this.channel.send(order.text);
            case 'bytes': return this.channel.send(new Uint8Array(order.bytes));
            case 'leave':
                this.system('PEER_LEAVE', {});
                await this.post('/leave', {});
                return this.pc.close();
        }
    }

    opened() {
        const [timestamp, { userAgent }] = [Date.now(), navigator];
        this.peers.clear();
        this.peers.set(this.id, { id: this.id, joinTime: timestamp, lastSeen: timestamp, userAgent, timestamp });
        this.host = this.id;
        this.system('PEER_JOIN', { userAgent, timestamp });
        this.tell('open');
    }

    received(data) {
        if (typeof data !== 'string') return this.tell('received', { bytes: [...new Uint8Array(data)] });
        this.tell('received', { text: data });
        let value;
        try {
            value = JSON.parse(data);
        } catch {
            return this.tell('message', { sender: 'unknown', value: data, event: null });
        }
        if (value?.type === 'SYSTEM') return this.told(value);
        if (value?.peer_id && value.message !== undefined) return this.tell('message', { sender: value.peer_id, value: value.message, event: null });
        if (value?.event) return this.tell('message', { sender: 'server', value, event: value.event });
        return this.tell('message', { sender: 'unknown', value, event: null });
    }

    told({ action, payload, peer_id: peer }) {
        const updated = () => this.tell('update', { peers: [...this.peers.keys()] });
        switch (action) {
            case 'PEER_JOIN':
                if (peer === this.id) return;
                this.peers.set(peer, { id: peer, joinTime: Date.now(), lastSeen: Date.now(), ...payload });
                this.tell('joined', { peer });
                updated();
                return this.system('ROOM_STATE', { peers: [...this.peers.values()], hostId: this.host }, peer);
            case 'ROOM_STATE':
                for (const one of payload.peers) if (one.id !== this.id) this.peers.set(one.id, { ...this.peers.get(one.id), ...one });
                return updated();
            case 'PEER_LEAVE':
                if (this.peers.delete(peer)) {
                    this.tell('left', { peer });
                    updated();
                }
                if (peer === this.host) {
                    this.host = [...this.peers.values()].reduce((a, b) => (b.joinTime < a.joinTime ? b : a)).id;
                    this.tell('elected', { peer: this.host });
                    this.system('HOST_CHANGE', this.host);
                }
                return;
            case 'HOST_CHANGE':
                this.host = payload;
                return this.tell('host', { peer: payload });
            case 'EVENT':
            case 'BROADCAST':
                return this.tell('message', { sender: peer, value: payload.data, event: payload.event });
        }
    }
}

const oldMembers = new Map();

window.join_room = (room, id, options) => {
    const member = new OldRoomMember(room, id, options);
    oldMembers.set(id, member);
    return member.join();
};

window.do_room = (id, order) => oldMembers.get(id).do(order);
