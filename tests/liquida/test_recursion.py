"""A body of nested brackets is an error, never the end of the process."""

import subprocess
import sys

PROGRAM = """
import json
import liquida.serve, liquida.worker
try:
    json.loads("[" * 60_000)
except RecursionError:
    print("refused")
"""


def test_of_json_ends_in_an_error_in_the_whole_program():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)

    assert (0, "refused\n") == (done.returncode, done.stdout)
