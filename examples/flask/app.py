"""A backend of chat rooms: what is said is kept in SQLite and may be moderated; the rooms themselves are `peerage serve`'s. See README.md."""

import hashlib
import hmac
import json
import os
import re
import sqlite3
import time
from pathlib import Path

from flask import Flask, abort, g, jsonify, request

SECRET = Path(os.environ.get("WEBHOOK_SECRET_FILE", "secret")).read_text().strip().encode()
DATABASE = os.environ.get("DATABASE", "rooms.db")
# Requests older than this are not taken: somebody may have kept one to send it again.
FRESH_SECONDS = 300

# No more of an address is looked at than this: a pattern without an end takes seconds for a message of many beginnings.
FORBIDDEN = re.compile(r"https?://\S{0,200}?casino", re.IGNORECASE)
RUDE = re.compile(r"\b(darn|heck)\b", re.IGNORECASE)

app = Flask(__name__)


def database():
    if "database" not in g:
        g.database = sqlite3.connect(DATABASE)
        g.database.execute("PRAGMA journal_mode = WAL")
    return g.database


@app.teardown_appcontext
def close(_error):
    if opened := g.pop("database", None):
        opened.close()


with app.app_context(), database() as tables:
    # A request that was not answered in time comes again with the same id: it counts once. Requests may overtake each other: `order` says what was first.
    tables.execute("CREATE TABLE IF NOT EXISTS happened (id TEXT PRIMARY KEY, place INTEGER, at REAL, room TEXT, peer TEXT, event TEXT, name TEXT, message TEXT)")
    tables.execute("CREATE INDEX IF NOT EXISTS by_room ON happened (room, event, place)")


def signed(body):
    """Whether the server sent this, and lately: `peerage-signature: t=<seconds>,v1=<hex HMAC-SHA-256 of "t.body">`."""
    parts = dict(part.partition("=")[::2] for part in request.headers.get("peerage-signature", "").split(","))
    sent = parts.get("t", "")
    if not (sent.isascii() and sent.isdigit() and abs(time.time() - int(sent)) < FRESH_SECONDS):
        return False
    expected = hmac.new(SECRET, f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), parts.get("v1", "").encode())


def verdict(message):
    """What becomes of a message: `relay`, `drop`, or `replace` with another one."""
    if not isinstance(message, str):
        return {"action": "relay"}
    if FORBIDDEN.search(message):
        return {"action": "drop"}
    milder = RUDE.sub(lambda word: "*" * len(word[0]), message)
    return {"action": "relay"} if milder == message else {"action": "replace", "message": milder}


@app.post("/rooms")
def webhook():
    body = request.get_data()
    if not signed(body):
        abort(401)
    told = json.loads(body)
    answer = verdict(told.get("message")) if told["event"] == "message" else {}
    # What is for some alone (`to`) is nothing for a history that everybody reads.
    if answer.get("action") != "drop" and "to" not in told:
        message = answer.get("message", told.get("message"))
        with database() as db:
            db.execute(
                "INSERT OR IGNORE INTO happened VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (told["id"], told["order"], time.time(), told["room"], told.get("peer_id"), told["event"], told.get("name"), json.dumps(message)),
            )
    return jsonify(answer)


@app.get("/history/<room>")
def history(room):
    """The last hundred messages of a room, oldest first."""
    rows = database().execute(
        "SELECT * FROM (SELECT place, at, peer, name, message FROM happened WHERE room = ? AND event = 'message' ORDER BY place DESC LIMIT 100) ORDER BY place", (room,)
    )
    return jsonify([{"at": at, "peer": peer, "name": name, "message": json.loads(message)} for _place, at, peer, name, message in rows])


@app.get("/attendance/<room>")
def attendance(room):
    """Who came and went, oldest first."""
    rows = database().execute("SELECT at, peer, event FROM happened WHERE room = ? AND event IN ('joined', 'left') ORDER BY place", (room,))
    return jsonify([{"at": at, "peer": peer, "event": event} for at, peer, event in rows])
