"""Pages' kernels are forks of one process that has imported torch: once, and not once a page.

An import of the library costs five seconds of a processor, and two dozen pages have cells. Each
page still has a process of its own, in which nothing was run before. They are not forks of the
process that builds, because autodoc changes the signatures of what it describes.
"""

import asyncio
import os
import signal
import socket
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.metadata import EntryPoint
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

# By most pages; but not the backend that shows figures in a page and closes them after each cell,
# for it does so in the kernel that imports it.
USED = ("genzoo.benchmark.run", "matplotlib.pyplot", "myst_nb", "sklearn.datasets")
FOLDER = tempfile.TemporaryDirectory()
ADDRESS = str(Path(FOLDER.name, "kernels"))  # where a kernel is asked for


# ----------------------------------------------------------------------- in the process that builds


class Fork(LocalProvisioner):
    """Asks for a fork where Jupyter's own starts a new interpreter."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any):
        arguments = cmd[3:]  # after `python -m ipykernel_launcher`
        self.process = Kernel(arguments, kwargs["cwd"], kwargs["env"])
        self.pid = self.process.pid
        self.cwd = kwargs["cwd"]
        return self.connection_info


class Kernel:
    """What Jupyter asks of a process, by the names of `subprocess.Popen`.

    Its line to the kernel ends when that does.
    """

    stdin = stdout = stderr = None

    def __init__(self, *request: Any):
        self.line = Client(ADDRESS)
        self.line.send(request)
        self.pid: int = self.line.recv()

    def poll(self) -> int | None:
        return 0 if self.line.poll() else None

    def wait(self) -> int:
        wait([self.line])
        return 0

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


def preload(app, config) -> None:
    """Import what the pages use, and from here on let kernels be served."""
    if config.nb_execution_mode == "off":
        return
    for name in USED:
        import_module(name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(ADDRESS)
        listening.listen()
        forked(serve, listening, *os.pipe())
    entry = EntryPoint("fork", f"{__name__}:{Fork.__name__}", KernelProvisionerFactory.GROUP_NAME)
    KernelProvisionerFactory.provisioners[entry.name] = entry
    os.environ[KernelProvisionerFactory.default_provisioner_name_env] = entry.name


def setup(app) -> dict[str, bool]:
    app.connect("config-inited", preload)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


# -------------------------------------------------------------------------- in processes of its own


def forked(work: Callable[..., None], *given: Any) -> None:
    """Let a fork of this process do the work, and end."""
    if os.fork() == 0:
        try:
            work(*given)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(0)


def serve(listening: socket.socket, build: int, its_end: int) -> None:
    """Fork a kernel for each request, until the pipe ends that the process that builds holds."""
    os.close(its_end)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while build not in wait([listening, build]):
        line = Connection(listening.accept()[0].detach())
        forked(be_kernel, line)
        line.close()


def be_kernel(line: Connection) -> None:
    """Be the kernel of a page, until it is told to shut down."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    arguments, folder, environment = line.recv()
    line.send(os.getpid())
    os.chdir(folder)
    os.environ.update(environment)
    asyncio.set_event_loop(asyncio.new_event_loop())
    IPKernelApp.launch_instance(argv=arguments, parent_handle=os.getppid())
