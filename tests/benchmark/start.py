"""From nothing to the page, and to the first word of an answer: the embedded model, assembled before, in a process of its own."""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from gradio_client import Client, handle_file

from tests.benchmark.pipeline import spread
from tests.tiny import photo

ROOT = Path(__file__).parents[2]


def cold(rounds: int) -> None:
    """Prints the seconds to the page, to the first word, and what the first word takes once the model is in memory."""
    reached, worded, again = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            picture = Path(folder) / f"{number}.png"
            photo(480, 640, seed=number).save(picture)
            begun = time.perf_counter()
            environment = {**os.environ, "GRADIO_SERVER_NAME": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
            server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                address = next(found[0] for line in server.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
                with urllib.request.urlopen(address) as page:
                    page.read()
                reached.append(time.perf_counter() - begun)
                client = Client(address, verbose=False)
                next(iter(client.submit(handle_file(picture), "What is this?", api_name="/answer")))
                worded.append(time.perf_counter() - begun)
                asked = time.perf_counter()
                next(iter(client.submit(handle_file(picture), "What colour is it?", api_name="/answer")))
                again.append(time.perf_counter() - asked)
            finally:
                server.kill()
                server.wait()
    print("| seconds from the start of `python app.py` | median (least to most) |\n|---|---|")
    for name, seconds in (("to the page", reached), ("to the first word of an answer", worded), ("then, from another question on the same photo to its first word", again)):
        print(f"| {name} | {spread(seconds)} |", flush=True)
