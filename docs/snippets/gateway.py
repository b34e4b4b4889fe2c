"""A gateway in Python's standard library: it asks meterd whether a device may connect and whether each of its messages
may pass.

    python3 docs/snippets/gateway.py PRODUCT DEVICE MESSAGES
"""

import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request

TRIES = 8  # With the pauses between them about a minute: longer than a restart of meterd.


class Unavailable(Exception):
    """meterd did not answer, or refused the request as a whole. Let nothing pass."""


class Meterd:
    def __init__(self, url, token, producer):
        """producer is this gateway's own name: no other process may use it."""
        self.url, self.producer = url, producer
        self.headers = {"Authorization": "Bearer " + token, "Meterd-Producer": producer}
        # Sequences go on above the last one. The gap is for what a killed predecessor may still have on its way.
        self.sequence = (self._last_sequence() or 0) + 1000

    def _last_sequence(self):
        request = urllib.request.Request(f"{self.url}/v1/producers/{self.producer}", headers=self.headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)["last_sequence"]
        except urllib.error.HTTPError as e:
            if e.code == 404:
                return None  # meterd does not know this name yet.
            raise Unavailable(e.read().decode()) from e
        except (OSError, http.client.HTTPException, ValueError) as e:
            raise Unavailable(f"no answer: {e}") from e

    def decide(self, events):
        """Asks about events, in order. Returns for each None if it may pass, or its denial."""
        self.sequence += 1
        headers = self.headers | {"Content-Type": "application/json", "Meterd-Sequence": str(self.sequence)}
        body = json.dumps(events).encode()
        answer = self._post(urllib.request.Request(self.url + "/v1/events", body, headers))
        verdicts = [None] * len(events)
        for denial in answer["denied"]:
            verdicts[denial["index"]] = denial
        return verdicts

    def _post(self, request):
        """Without an answer nobody knows what was counted. The same bytes with the same sequence are sent again until
        there is one: they count once, however often they come."""
        for attempt in range(TRIES):
            pause = min(0.1 * 2**attempt, 15) * random.uniform(0.5, 1)
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    return json.load(response)
            except urllib.error.HTTPError as e:
                if e.code < 500:  # Nothing was counted, and asking again does not help.
                    raise Unavailable(e.read().decode()) from e
                pause = max(pause, int(e.headers.get("Retry-After") or 0))
            except (OSError, http.client.HTTPException, ValueError):
                pass  # No connection, one that broke, or half an answer.
            time.sleep(pause)
        raise Unavailable(f"no answer to sequence {self.sequence}")


def main():
    product, device, messages = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(os.environ.get("METERD_TOKEN_FILE", "data/admin.token")) as file:
        token = file.read().strip()
    url = os.environ.get("METERD_URL", "http://127.0.0.1:8480")
    meterd = Meterd(url, token, os.environ.get("METERD_PRODUCER", "gw-python"))

    def ask(kind):
        (denial,) = meterd.decide([{"type": kind, "product": product, "device": device, "size": 7}])
        return denial["code"] if denial else "accepted"

    verdict = ask("connect")
    print("connect:", verdict)
    if verdict != "accepted":
        sys.exit(1)  # Close the device's connection.
    for n in range(1, messages + 1):
        print(f"up {n}:", ask("up"))  # Hand an accepted message to the platform; drop a denied one.
    ask("disconnect")


if __name__ == "__main__":
    main()
