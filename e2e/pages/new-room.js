// Members of rooms by `joinRoom` of the npm package. What happens is told to the test by `tell_room(id, kind, more)`.

const newMembers = new Map();

window.join_room = async (name, id, options = {}) => {
    // A page that is loaded again shows that the name is its own.
    const known = sessionStorage.getItem(`token of ${id}`) ?? undefined;
    const room = await Peerage.joinRoom(name, { id, token: known, ...options });
    sessionStorage.setItem(`token of ${id}`, room.token);
    newMembers.set(id, room);
    const tell = (kind, more = {}) => window.tell_room(id, kind, more);
    const now = () => ({ peers: [...room.members.keys()], host: room.host });
    tell('open', now());
    room.on('joined', ({ id: peer }) => tell('joined', { peer }));
    room.on('left', ({ id: peer }, reason) => tell('left', { peer, reason }));
    room.on('host', (peer) => tell('host', { peer }));
    room.on('metadata', ({ id: peer, metadata }) => tell('metadata', { peer, metadata }));
    room.on('message', (value, sender) => tell('message', { sender, value: plain(value), event: null }));
    room.on('draw', (value, sender, ack) => {
        tell('message', { sender, value: plain(value), event: 'draw' });
        ack?.({ drawn: value });
    });
    room.on('state', (state) => tell('state', { state, ...now() }));
    room.on('missed', () => tell('missed'));
    room.on('closed', (error) => tell('closed', { code: error?.code ?? null }));
};

/** Bytes as a test can compare them. */
function plain(value) {
    return value instanceof Uint8Array ? { bytes: [...value] } : value;
}

window.do_room = (id, order) => {
    const room = newMembers.get(id);
    switch (order.do) {
        case 'say': return room.send(order.value);
        case 'emit': return room.emit(order.event, order.data);
        case 'broadcast': return room.broadcast(order.event, order.data);
        case 'bytes': return room.send(new Uint8Array(order.bytes));
        case 'ask': return room.emitWithAck(order.event, order.data, order.options).then((answer) => (answer instanceof Map ? [...answer] : answer));
        case 'leave': return room.leave();
    }
};
