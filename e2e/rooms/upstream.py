"""PeerPyRTC behind Flask: upstream.py [PORT]

The three routes as its read-me and its chat example have them, and what the example's operator sees. It prints `listening on http://127.0.0.1:PORT`.

Its STUN and TURN servers are taken out: they are fixed public ones, and without internet each member would wait for them for seconds.
"""

import logging
import sys

import peerpyrtc.peerpyrtc
from aiortc import RTCConfiguration
from flask import Flask, jsonify, request
from peerpyrtc import Broadcaster, SignalingManager
from werkzeug.serving import make_server

peerpyrtc.peerpyrtc.RTCConfiguration = lambda servers: RTCConfiguration([])
logging.getLogger("werkzeug").setLevel(logging.ERROR)

app = Flask(__name__)
manager = SignalingManager()
broadcaster = Broadcaster(manager)


def tell(*what):
    print(*what, flush=True)


@manager.message_handler
async def message(room, sender, said):
    pass


@manager.peer_joined_handler
async def joined(room, peer, info):
    tell("joined", room, peer)


@manager.peer_left_handler
async def left(room, peer, info):
    tell("left", room, peer)


def fields(*names):
    data = request.get_json(force=True)
    return data if all(name in data for name in names) else None


@app.post("/offer")
def offer():
    data = fields("room", "peer_id", "offer")
    if data is None:
        return jsonify(error="Missing required fields: room, peer_id, offer"), 400
    return jsonify(answer=manager.offer(data["room"], data["peer_id"], data["offer"]))


@app.post("/candidate")
def candidate():
    data = fields("room", "peer_id", "candidate")
    if data is None:
        return jsonify(error="Missing required fields"), 400
    manager.candidate(data["room"], data["peer_id"], data["candidate"])
    return jsonify(status="ok")


@app.post("/leave")
def leave():
    data = fields("room", "peer_id")
    if data is None:
        return jsonify(error="Missing required fields"), 400
    manager.leave(data["room"], data["peer_id"])
    return jsonify(status="ok")


@app.get("/rooms")
def rooms():
    return jsonify(manager.rooms_info())


@app.get("/room-status/<room>")
def status(room):
    peers = manager.get_room_peers(room)
    host = manager.rooms[room].get_host_id() if room in manager.rooms else None
    return jsonify(peers=peers, count=len(peers), host_id=host)


@app.post("/broadcast")
def broadcast():
    data = fields("room", "message")
    broadcaster.broadcast(data["room"], data["message"])
    return jsonify(status="ok")


server = make_server("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0, app, threaded=True)
tell(f"listening on http://127.0.0.1:{server.server_port}")
server.serve_forever()
