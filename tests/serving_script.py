"""A server of the protocol of OpenAI in the standard library alone, started as a command.

`serving_script.py --model M --host H --port P [WORD...]`, where a word says how it misbehaves:
`never-ready`, `crash`, `big`, `taken` (the first time, as its marker file says), `slow=SECONDS`,
`talks` (its health has no end, and its log no lines), `child` (it leaves one that has a session of
its own). With `DIES_AFTER=N` in the environment it
ends after so many answers. Each answer is a function of the last message.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--model")
parser.add_argument("--host")
parser.add_argument("--port", type=int)
parser.add_argument("--trace")
parser.add_argument("words", nargs="*")
told = parser.parse_args()
words = dict(word.partition("=")[::2] for word in told.words)
trace = pathlib.Path(told.trace)
answered = 0
lock = threading.Lock()


def note(what: str, **more: object) -> None:
    """Add a line to the trace that the test reads."""
    line = json.dumps({"what": what, "pid": os.getpid(), "port": told.port, **more}) + "\n"
    with lock, trace.open("a", encoding="utf-8") as file:
        file.write(line)


class Handler(BaseHTTPRequestHandler):
    """Answers chat completions, and says that it is well."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "talks" in words:
            return self._talk()
        ready = "never-ready" not in words
        self._send(200 if self.path == "/health" and ready else 503, {})
        return None

    def _talk(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"well\n")
                time.sleep(0.1)

    def do_POST(self) -> None:
        global answered
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {os.environ.get('SCRIPT_KEY')}":
            return self._send(401, {"error": {"message": "who are you?"}})
        with lock:
            answered += 1
            number = answered
        if number > int(os.environ.get("DIES_AFTER", 10**9)):
            sys.stdout.write("\x1b[31mfatal\x1b[0m: the \x07GPU is gone\n")
            sys.stdout.flush()
            os._exit(9)
        time.sleep(float(words.get("slow", 0)))
        note("asked", model=body["model"], gpus=os.environ.get("CUDA_VISIBLE_DEVICES"))
        text = str(body["messages"][-1]["content"])
        choices = [
            {"finish_reason": "stop", "message": {"role": "assistant", "content": f"{n} {text}"}}
            for n in range(body.get("n", 1))
        ]
        values = {"A": -1 - len(text) % 3, "B": -1 - len(text) % 5, "C": -3}
        tops = [{"token": name, "logprob": value} for name, value in values.items()]
        choices[0]["logprobs"] = {"content": [{"token": "A", "top_logprobs": tops}]}
        self._send(200, {"choices": choices, "usage": {"total_tokens": 10, "completion_tokens": 4}})
        return None

    def _send(self, status: int, answer: object) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


marker = trace.with_suffix(".taken")
if "taken" in words and not marker.exists():
    marker.touch()
    sys.exit("OSError: [Errno 98] Address already in use")
if "big" in words:
    sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 15.00 GiB\nended")
if "crash" in words:
    key = os.environ.get("SCRIPT_KEY")
    sys.exit("\n".join(["ValueError: the cause", *["later"] * 20, f"key {key}", "\x1b[31mend"]))
if "talks" in words:
    sys.stdout.write(f"{os.environ.get('SCRIPT_KEY')} " * 50_000)
    sys.stdout.flush()
note("started", key=os.environ.get("SCRIPT_KEY"), words=sys.argv)
if "child" in words and not (child := os.fork()):
    os.setsid()  # as engines do with their workers
    note("child")
    time.sleep(3600)
server = ThreadingHTTPServer((told.host, told.port), Handler)
server.serve_forever()
