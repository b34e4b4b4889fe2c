"""Answers Mosquitto's plug-in mosquitto-go-auth (its backend "http"), and asks meterd: connect when a client has proven
who it is, up for what it publishes, down for what is delivered to it. mosquitto.md says how to set it up.

    python3 docs/integrations/mosquitto_auth.py PORT

The MQTT username is the product, the client id the device.
"""

import http.server
import json
import os
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "snippets"))
import gateway  # noqa: E402  It asks meterd, with sequences.

READ, WRITE, SUBSCRIBE = 1, 2, 4  # What go-auth calls acc.


def password_is_right(product, device, password):
    """Yours to write: it must be false unless this is the device that it says it is."""
    return password == os.environ["DEVICE_PASSWORD"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    meterd = None
    turn = threading.Lock()  # Events are asked about in the order in which they came.

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            allowed = self.allowed(body)
        except gateway.Unavailable as e:
            print("meterd:", e, file=sys.stderr)
            allowed = False
        self.send_response(200 if allowed else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def allowed(self, body):
        product, device = body["username"], body.get("clientid", "")
        if self.path == "/user":
            return password_is_right(product, device, body["password"]) and self.ask("connect", product, device)
        if self.path != "/acl":
            return False  # Nobody is a superuser: those are asked about nothing.
        acc = body["acc"]
        if acc == SUBSCRIBE:
            return True  # No message. Say here what a device may subscribe to.
        return acc in (READ, WRITE) and self.ask("up" if acc == WRITE else "down", product, device)

    def ask(self, kind, product, device):
        with self.turn:
            (denial,) = self.meterd.decide([{"type": kind, "product": product, "device": device, "size": 0}])
        return denial is None

    def log_message(self, *args):
        """Nothing is logged for each message."""


def main():
    with open(os.environ.get("METERD_TOKEN_FILE", "data/admin.token")) as file:
        token = file.read().strip()
    url = os.environ.get("METERD_URL", "http://127.0.0.1:8480")
    Handler.meterd = gateway.Meterd(url, token, os.environ.get("METERD_PRODUCER", "mosquitto-1"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print("listening on", server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
