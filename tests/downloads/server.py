"""A web server on this machine, which can do what bad mirrors do."""

import contextlib
import http.server
import threading


class Mirror:
    """Serves files by name, and remembers what it was asked for.

    Attributes
    ----------
    files
        Content by name; what is not there is answered by 404.
    asked
        Pairs of a name and the header Range, or None.
    cut_after
        Break the connection after so many bytes of an answer; None: never.
    ranges
        Whether it can begin in the middle.
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.cut_after: int | None = None
        self.ranges = True
        self.url = ""


@contextlib.contextmanager
def serving():
    mirror = Mirror()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name, asked = self.path.lstrip("/"), self.headers["Range"]
            mirror.asked.append((name, asked))
            if name not in mirror.files:
                self.send_error(404)
                return
            content, first = mirror.files[name], 0
            if asked and mirror.ranges:
                first = int(asked.removeprefix("bytes=").rstrip("-"))
                if first >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}"
                )
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            self.wfile.write(content[first:][: mirror.cut_after])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
