"""A worker process: reads runs from standard input, one line of JSON each, and answers on standard output.

    in   {"settings": {...}, "method": {"name": ..., "model": ..., "arguments": {...}}, "seed": 0, "path": "..."}
    out  {"step": 250}          from time to time
         {"done": "..."}        the result has been written to this path
         {"error": "..."}       the run has failed, and the process ends

The process also ends when its parent ends, so that workers of a killed comparison do not write to its folder any more.
"""

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path

from gan_zoo.compare.settings import Settings
from gan_zoo.registry.variant_lists import Method
from gan_zoo.util.files import atomic_file


def main() -> None:
    # Everything that TensorFlow and users' modules print goes to standard error: standard output is for answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(**fields):
        print(json.dumps(fields), file=answers, flush=True)

    threading.Thread(target=_leave_with, args=(int(sys.argv[1]),), daemon=True).start()
    for line in sys.stdin:
        job = json.loads(line)
        try:
            from gan_zoo.compare.run import run

            result = run(
                Settings(**job["settings"]), Method(**job["method"]), job["seed"], lambda step: answer(step=step)
            )
            with atomic_file(job["path"]) as file:
                file.write(json.dumps(result).encode())
        except Exception as error:  # the parent gets any error of a method and stops the comparison
            traceback.print_exc()
            answer(error=f"{type(error).__name__}: {error}")
            sys.exit(1)
        answer(done=str(Path(job["path"])))


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
