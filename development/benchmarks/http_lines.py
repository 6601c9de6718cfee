"""Starts runs by one batch over HTTP; prints the rate."""

import http.client
import json
import sys
import time


def measure(port: int, path: str, key: str, lines: int) -> dict[str, float]:
    """As a script does that has many runs to start: it sends all lines, then reads all answers."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.perf_counter()
    connection.request("POST", path, b'{"input": {}}\n' * lines, headers)
    answers = connection.getresponse().read().splitlines()
    seconds = time.perf_counter() - began
    connection.close()
    accepted = sum(b'"run_id"' in line for line in answers)
    return {"rate": lines / seconds, "accepted": accepted}


if __name__ == "__main__":
    port, path, key, lines = sys.argv[1:]
    print(json.dumps(measure(int(port), path, key, int(lines))))
