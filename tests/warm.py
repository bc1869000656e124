"""Commands in processes that begin with Keras imported, which takes seconds of a processor each time.

A process that has imported Keras and run nothing (so that TensorFlow has no threads yet) forks for each
command. What is forked imports the package by itself, and has its own folder, environment, standard
streams and exit status, as a process does that is started afresh; only the seed of `hash` is the same in all.
"""

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

READ_AT_IMPORT = ("CUDA_", "JAX_", "KERAS_", "LD_", "MPL", "OMP_", "OPENBLAS_", "PYTHON", "TF_", "XLA_")
"""How variables begin that are read when Python starts or Keras is imported: later is too late for them."""

FLAGS = ["-W", "error::SyntaxWarning"]


class WarmPython:
    """A process of an environment that has imported Keras; it ends with `close`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        self._address = str(Path(self._folder.name, "socket"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self._address)
            listener.listen()
            self._server = subprocess.Popen(
                [sys.executable, *FLAGS, __file__, str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                env=environment,
            )

    def suits(self, environment: dict[str, str]) -> bool:
        """Whether a process of this environment would import the same."""
        return (
            environment.get("KERAS_BACKEND", "tensorflow")
            == "tensorflow"  # JAX has threads once it is imported
            and _read_at_import(environment) == _read_at_import(self._environment)
        )

    def run(
        self, arguments: list[str], cwd: Path, environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess:
        """As `subprocess.run` of Python with a script, or `-m` and a module, or `-c` and code."""
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection,
            Path(os.devnull).open("rb") as nothing,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as error,
        ):
            connection.connect(self._address)
            connection.settimeout(timeout)
            request = json.dumps([arguments, str(cwd), environment]).encode()
            socket.send_fds(connection, [request], [file.fileno() for file in (nothing, out, error)])
            process = int(connection.recv(64))
            try:
                status = int(connection.recv(64))
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, timeout) from None
            printed = []
            for file in (out, error):
                file.seek(0)
                printed.append(file.read().decode())
        return subprocess.CompletedProcess(arguments, status, *printed)

    def close(self) -> None:
        """End the process that forks; it is not to be used any more."""
        self._server.communicate()  # it ends with its standard input
        self._folder.cleanup()


def _read_at_import(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}


def _serve(listener: socket.socket) -> list[str]:
    """Fork for each request; return in what is forked, the arguments of its command."""
    while True:
        ready = select.select([listener, sys.stdin], [], [])[0]
        with contextlib.suppress(ChildProcessError):  # none is left
            while os.waitpid(-1, os.WNOHANG if listener in ready else 0)[0]:
                pass
        if listener not in ready:
            os._exit(0)
        connection = listener.accept()[0]
        if os.fork():
            connection.close()
            continue
        # This one only tells how the command ends, since the process of the tests is not its parent.
        request, files, *_ = socket.recv_fds(connection, 1 << 20, 3)
        command = os.fork()
        if not command:
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            connection.close()
            listener.close()
            return _become(*json.loads(request))
        for file in files:
            os.close(file)
        connection.send(str(command).encode())
        connection.send(str(os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])).encode())
        os._exit(0)


def _become(arguments: list[str], cwd: str, environment: dict[str, str]) -> list[str]:
    import numpy as np

    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    np.random.seed()
    return arguments


def _run(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = str(Path.cwd())
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path[0] = ""
        exec(compile(arguments[1], "<string>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    import keras  # noqa: F401

    # A process that is forked shares what is here, unless the garbage collector writes to it.
    gc.freeze()
    _run(_serve(socket.socket(fileno=int(sys.argv[1]))))
