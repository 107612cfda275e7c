"""A server on loopback that answers with recordings, whole or broken in a chosen way."""
import json, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from places import DATA

FOLDER = DATA/"cassettes"


class Replay:
    "Serves answers in order; `requests` holds what was asked. Use it in `with`"
    def __init__(self, answers, chunk=None, drop_after=None, stall=0.0, pause=0.0):
        if isinstance(answers, str | Path): answers = [i["response"] for i in json.loads((FOLDER/answers).read_text())["interactions"]]
        self.answers, self.chunk, self.drop_after, self.stall, self.pause, self.requests = list(answers), chunk, drop_after, stall, pause, []
        self.sent = []   # when each piece of a stream was sent, by the monotonic clock
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
            def log_message(self, *_): pass
            def do_POST(self): outer._answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads, self._server.handle_error = True, lambda *_: None
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, http):
        asked = http.rfile.read(int(http.headers["content-length"] or 0))
        self.requests.append(json.loads(asked))
        time.sleep(self.stall)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        data = (json.dumps(answer["json"]) if "json" in answer else answer["body"]).encode()
        streamed = "json" not in answer and ("stream" in answer["headers"].get("content-type", "") or "ndjson" in answer["headers"].get("content-type", ""))
        http.send_response(answer["status"])
        for name, value in answer["headers"].items(): http.send_header(name, value)
        http.send_header(*(("transfer-encoding", "chunked") if streamed else ("content-length", str(len(data)))))
        http.end_headers()
        try: self._stream(http, data) if streamed else http.wfile.write(data)
        except OSError: http.close_connection = True   # the client hung up

    def _stream(self, http, data):
        end = b"\n\n" if b"\n\n" in data else b"\n"
        pieces = [data[i:i + self.chunk] for i in range(0, len(data), self.chunk)] if self.chunk else [p + end for p in data.split(end) if p.strip()]
        sent = 0
        for piece in pieces:
            if self.drop_after is not None and sent + len(piece) > self.drop_after:
                http.close_connection = True
                return http.connection.close()
            self.sent.append(time.monotonic())
            http.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            http.wfile.flush()
            sent += len(piece)
            time.sleep(self.pause)
        http.wfile.write(b"0\r\n\r\n")
