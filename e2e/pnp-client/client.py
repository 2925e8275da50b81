"""A client of ambianic-pnp that says to the server what peerjs-python's proxy program says, and nothing else: no HEARTBEAT, one {"ping":"once"}, a
WebSocket ping frame each 5 s, and each 3 s the room of its address, joined. Prints a JSON object for each thing that happens.

client.py HOST PORT
"""

import asyncio
import json
import sys
import time
import urllib.parse
import urllib.request
import uuid

import websockets

PING_EVERY = 5
ROOM_EVERY = 3
KEY = "peerjs"


def tell(**what):
    print(json.dumps(what), flush=True)


class Client:
    def __init__(self, host, port):
        self.server = f"{host}:{port}"
        self.token = str(uuid.uuid4())
        self.id = self.http("GET", f"{KEY}/id")

    def http(self, method, path):
        """One call; anything but 200 is an exception."""
        url = f"http://{self.server}/{path}?ts={int(time.time() * 1000)}"
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    async def call(self, method, path):
        return json.loads(await asyncio.to_thread(self.http, method, f"{KEY}/{self.id}/{self.token}/{path}"))

    async def run(self):
        query = urllib.parse.urlencode({"key": KEY, "id": self.id, "token": self.token})
        # The library's own pings are off: those of `ping` below are the program's.
        async with websockets.connect(f"ws://{self.server}/peerjs?{query}", ping_interval=None) as socket:
            tell(event="open", id=self.id, message=json.loads(await socket.recv()))
            await socket.send(json.dumps({"ping": "once"}))
            tasks = [asyncio.create_task(part) for part in (self.listen(socket), self.ping(socket), self.find())]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            done.pop().result()

    async def listen(self, socket):
        try:
            async for message in socket:
                tell(event="message", message=json.loads(message))
        finally:
            tell(event="closed", code=socket.close_code)

    async def ping(self, socket):
        while True:
            await asyncio.sleep(PING_EVERY)
            await socket.ping()

    async def find(self):
        turn = 0
        while True:
            turn += 1
            room = (await self.call("GET", "room/id"))["roomId"]
            members = (await self.call("POST", f"room/{room}/join"))["clientsIds"]
            tell(event="room", turn=turn, room=room, others=[member for member in members if member != self.id])
            await asyncio.sleep(ROOM_EVERY)


if __name__ == "__main__":
    asyncio.run(Client(sys.argv[1], sys.argv[2]).run())
