// Members of rooms by the classes that PeerPyRTC's client had, from the npm package. What happens is told to the test by `tell_room(id, kind, more)`.

const { WebRTCConnection: OneRoom } = window.WebRTCConnection;
const connections = new Map();

window.join_room = async (room, id, options = {}) => {
    const connection = new OneRoom(room, { peerId: id, ...options });
    connections.set(id, connection);
    const tell = (kind, more = {}) => window.tell_room(id, kind, more);
    let host = null;
    const hosted = () => {
        // Between the news that a host has left and who is host now, none is known.
        const now = connection.getRoomPeers().find((peer) => peer.isHost)?.id ?? host;
        if (now === host) return;
        host = now;
        tell('host', { peer: host });
    };
    connection.onOpen = () => tell('open', { count: connection.getPeerCount() });
    connection.onClose = () => tell('closed');
    connection.onError = (error) => tell('error', { message: String(error) });
    connection.onStatusChange = (status) => tell('status', { status });
    connection.onMessage = (sender, value, event) => tell('message', { sender, value, event: event ?? null });
    connection.onPeerJoined = ({ id: peer }) => tell('joined', { peer });
    connection.onPeerLeft = ({ id: peer }) => tell('left', { peer });
    connection.onRoomUpdate = (peers) => {
        tell('update', { peers: peers.map((peer) => peer.id), count: connection.getPeerCount() });
        hosted();
    };
    await connection.connect();
    tell('connected', { isConnected: connection.isConnected() });
};

window.do_room = (id, order) => {
    const connection = connections.get(id);
    switch (order.do) {
        case 'say': return void connection.sendMessage(order.value);
        case 'emit': return void connection.emit(order.event, order.data);
        case 'broadcast': return void connection.broadcast(order.event, order.data);
        case 'leave': return connection.closeConnection();
    }
};
