"""The engine of many machines: each run a task of Ray.

Ray places a run where there is room and starts it again elsewhere when its worker or its machine
dies. Where the machines share the comparison's folder, a run works in it, and goes on from its last
checkpoint. Where they do not, it works in a folder of its machine, and its files are sent back.

Imports nothing heavy, Ray included; it is an extra.
"""

import io
import os
import socket
import tarfile
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo import __version__
from genzoo.benchmark.jobs import (
    Job,
    Message,
    Observer,
    Outcome,
    carry_out,
    cores,
    forwarding,
    longest_last,
)
from genzoo.errors import InputError
from genzoo.files import DRAFT, held, remove

if TYPE_CHECKING:
    from genzoo.data.dataset import DataSet

ANSWERS = 10  # seconds in which an address must take a call
JOINED = 45  # seconds in which it must have let us in; after 60, Ray ends this process
STARTED = 120  # seconds in which Ray must have started on this machine
LET_GO = 60  # seconds in which a worker that Ray has given up lets go of its folder
STORE = 500_000_000  # bytes of shared memory for what is sent: a data set, a run's files


class Ray:
    """Tasks on a cluster of Ray.

    Args:
        address: host:port of the cluster, or "auto" for the one this machine is part of; None
            starts one on this machine alone, and ends it with the comparison. A Ray to which this
            process is connected is used as it is.
        at_a_time: runs at a time, at most; 0: as many as the cluster has room for.
        cpus: cores of each run.
        gpus: of each run; 0.25 puts four runs on each. None: one where the cluster has some.
        retries: how often a run is started again whose worker or machine has died.
        shared: whether all machines see the folder of the comparison; None: each is asked.
    """

    def __init__(
        self,
        address: str | None = None,
        at_a_time: int = 0,
        cpus: int = 1,
        gpus: float | None = None,
        retries: int = 3,
        shared: bool | None = None,
    ):
        if cpus < 1:
            raise InputError(f"A run needs one core or more, got cpus {cpus}.")
        if gpus is not None and gpus < 0:
            raise InputError(f"A run needs 0 GPUs or more, or a share such as 0.25, got {gpus}.")
        self.address = address
        self.at_a_time = at_a_time
        self.cpus = cpus
        self.gpus = gpus
        self.retries = retries
        self.shared = shared

    def carry_out(self, jobs: Sequence[Job], observer: Observer) -> list[Outcome]:
        """Carry out all jobs, those with most steps first.

        On KeyboardInterrupt the tasks are ended (their checkpoints are whole) and the exception
        goes on.

        Raises:
            InputError: Ray is not installed, or no cluster answers at the address.
        """
        ray = _library()
        sent = [replace(job, folder=job.folder.resolve(), data=data_to_send(job)) for job in jobs]
        with _connected(ray, self.address, self.cpus), _token(sent) as token:
            return _Watch(self, ray, sent, token, observer).until_all_have_ended()


def data_to_send(job: Job) -> "DataSet | None":
    """The data set of a job; None where every machine can make it by its name.

    What was downloaded, or is the user's own, lies in a folder that others may not have.
    """
    from genzoo.data.loading import MADE_HERE

    if job.data is None and job.plan.data not in MADE_HERE:
        return _loaded(job.plan.data)
    return job.data


@cache
def _loaded(name: str) -> "DataSet":
    from genzoo.data import load

    return load(name)


class _Watch:
    """One comparison's tasks on Ray, from the process that waits for them."""

    def __init__(self, engine: Ray, ray: Any, jobs: Sequence[Job], token: str, observer: Observer):
        self.engine = engine
        self.ray = ray
        self.jobs = jobs
        self.token = token
        self.observer = observer
        self.mailbox = _mailbox(ray)
        self.task = ray.remote(_work).options(
            num_cpus=engine.cpus,
            num_gpus=_gpus(ray, engine.gpus),
            max_retries=engine.retries,
        )
        self.data: dict[int, Any] = {}  # a data set is sent once, whatever the number of its runs
        self.running: dict[Any, int] = {}
        self.begun: set[int] = set()
        self.outcomes: dict[int, Outcome] = {}

    def until_all_have_ended(self) -> list[Outcome]:
        waiting = longest_last(self.jobs)
        at_a_time = self.engine.at_a_time or len(self.jobs)
        try:
            while waiting or self.running:
                while waiting and len(self.running) < at_a_time:
                    i = waiting.pop()
                    self.running[self._sent(i)] = i
                ended, _ = self.ray.wait(list(self.running), num_returns=1, timeout=0.5)
                self._pass_on_messages()
                for task in ended:
                    self._end(task)
        finally:
            for task in self.running:
                self.ray.cancel(task, force=True)
        return [self.outcomes[i] for i in range(len(self.jobs))]

    def _sent(self, i: int) -> Any:
        """The task of a job."""
        job = self.jobs[i]
        data = job.data
        if data is not None and id(data) not in self.data:
            self.data[id(data)] = self.ray.put(data)
        errand = _Errand(
            index=i,
            job=replace(job, data=None),
            token=self.token,
            shared=self.engine.shared,
            before=self.ray.put(_packed(job.folder)) if job.folder.is_dir() else None,
            version=__version__,
        )
        return self.task.remote(errand, self.data.get(id(data)), self.mailbox)

    def _pass_on_messages(self) -> None:
        for i, message in self.ray.get(self.mailbox.take.remote()):
            if not isinstance(message, _Begun):
                self.observer.message(i, message)
                continue
            if i in self.begun:
                self.observer.note(i, f"its worker died: goes on on {message.where}")
            if not message.sees_folder:
                self.observer.note(
                    i,
                    f"{message.where} does not see {self.jobs[i].folder}: the run works in a "
                    "folder there, and its files are sent back when it is done",
                )
            self.begun.add(i)

    def _end(self, task: Any) -> None:
        i = self.running.pop(task)
        self.outcomes[i] = outcome = self._outcome(task, i)
        self.observer.outcome(i, outcome)

    def _outcome(self, task: Any, i: int) -> Outcome:
        errors = self.ray.exceptions
        try:
            outcome, content = self.ray.get(task)
        except errors.RayTaskError as error:  # not of the run: genzoo is not installed there, say
            last = str(error).strip().splitlines()[-1]
            return Outcome(failure=f"a worker of the cluster cannot take it: {last}")
        except errors.RayError:
            return Outcome(
                failure=f"its worker died {self.engine.retries + 1} times, perhaps for lack of "
                "memory; run again to resume it."
            )
        if content is not None:
            _unpack(content, self.jobs[i].folder)
        return outcome


# ------------------------------------------------------------------------------------- the cluster


def _library() -> Any:
    """Ray, which presents a token to clusters if this user has one.

    Ray gives its user a token when it starts on their machine alone, and from then on ``ray start``
    asks for it. Told an address it would present none, call in vain for a minute, and end the
    process. It reads the environment when it is imported.
    """
    has_token = os.path.isfile(os.path.expanduser("~/.ray/auth_token"))
    if has_token or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise InputError(
            "The engine ray needs Ray, which is not installed: pip install 'genzoo[ray]'."
        ) from error
    return ray


@contextmanager
def _connected(ray: Any, address: str | None, cpus: int) -> Iterator[None]:
    """Inside, this process is connected to a cluster, which is started if none is named."""
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"address": address}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call its makers
        os.environ.setdefault("RAY_worker_niceness", "0")  # 15 starves where others work
        options = {
            "address": "local",
            "num_cpus": max(cores(), cpus),
            "include_dashboard": False,
            "object_store_memory": STORE,
        }
    elif address != "auto":
        _call(address)
    with _joined(ray, address, options):
        yield


def _call(address: str) -> None:
    """Raise `InputError` unless a server accepts connections at ``address``."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        raise InputError(f"The address of a Ray cluster is host:port or auto, got {address!r}.")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWERS).close()
    except (OSError, OverflowError) as error:
        raise _unanswered(address, ANSWERS) from error


@contextmanager
def _joined(ray: Any, address: str | None, options: dict[str, Any]) -> Iterator[None]:
    """Inside, this process is connected; connecting takes a limited time.

    It is done in a thread, which can be waited for so long and no longer, and in which Ray cannot
    put its handlers of signals in the place of ours. The thread stays as long as the connection:
    the processes that it has started end with it.
    """
    failed: list[Exception] = []
    tried, done = threading.Event(), threading.Event()

    def join() -> None:
        try:
            ray.init(**options, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # of many kinds
            failed.append(error)
        tried.set()
        done.wait()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to Ray's own users
        threading.Thread(target=join, daemon=True).start()
        in_time = tried.wait(STARTED if address is None else JOINED)
    try:
        if not in_time and address is None:
            raise InputError(f"Ray has not started on this machine within {STARTED} seconds.")
        if not in_time or isinstance(failed[0] if failed else None, ConnectionError):
            raise _unanswered(address or "this machine", JOINED)
        if failed:
            first = (str(failed[0]).splitlines() or [""])[0]
            raise InputError(f"Ray cannot be joined: {first}") from failed[0]
        try:
            yield
        finally:
            ray.shutdown()
    finally:
        done.set()


def _unanswered(address: str, seconds: int) -> InputError:
    return InputError(
        f"No Ray cluster answers at {address} within {seconds} seconds: start one with `ray start "
        "--head`, which prints its address. A cluster with a token refuses connections without it: "
        "copy ~/.ray/auth_token from its machine."
    )


def _gpus(ray: Any, wanted: float | None) -> float:
    return min(1.0, ray.cluster_resources().get("GPU", 0.0)) if wanted is None else wanted


# -------------------------------------------------------------- messages and files between machines


class _Mailbox:
    """Messages of workers, kept until the observing process takes them."""

    def __init__(self):
        self.messages: list[tuple[int, Message | _Begun]] = []

    def put(self, i: int, message: "Message | _Begun") -> None:
        self.messages.append((i, message))

    def arrived(self) -> None:
        """Return when all that the caller has sent before has arrived."""

    def take(self) -> "list[tuple[int, Message | _Begun]]":
        taken, self.messages = self.messages, []
        return taken


def _mailbox(ray: Any) -> Any:
    """A mailbox on the machine of the observing process, which outlives any other machine.

    Ray may place it elsewhere as long as its wish is soft. Killed, it is started again; what it
    held was news and is lost, the runs are not.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    mailbox = ray.remote(_Mailbox).options(
        num_cpus=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
        max_restarts=-1,
        max_task_retries=-1,
    )
    return mailbox.remote()


@dataclass(frozen=True)
class _Begun:
    """A worker has begun with a run."""

    where: str
    sees_folder: bool


@dataclass(frozen=True)
class _Errand:
    """A job on its way to a worker.

    Args:
        index: of the job.
        job: without its data, which travels beside it.
        token: the name of a file that lies beside the run's folder, where that is the one meant.
        shared: whether the worker's machine sees the folder; None: the token tells.
        before: what the run's folder held, as a reference to its bytes; None if it was not there.
        version: of genzoo.
    """

    index: int
    job: Job
    token: str
    shared: bool | None
    before: Any
    version: str


@contextmanager
def _token(jobs: Sequence[Job]) -> Iterator[str]:
    """The name of a file by which a worker finds out whether it sees the comparison's folder."""
    name = f"{DRAFT}{uuid.uuid4().hex}"
    paths = {job.folder.parent / name for job in jobs}
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    try:
        yield name
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _packed(folder: Path) -> bytes:
    """The files of a folder, as an archive."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(folder, arcname=".")
    return content.getvalue()


def _unpack(content: bytes, folder: Path) -> None:
    """Put an archive's files into ``folder``, each whole, and last the row, which says "done"."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=DRAFT) as draft:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(draft, filter="data")
        files = [path for path in Path(draft).rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path.name == "row.json"):
            target = folder / path.relative_to(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)


# -------------------------------------------------------------------------------------- the worker


def _work(errand: _Errand, data: Any, mailbox: Any) -> tuple[Outcome, bytes | None]:
    """Carry out a job in a worker: in its folder, or in a temporary one if that is not visible.

    Returns:
        the outcome; and the files of the folder if it is not visible here.
    """
    import ray

    job = replace(errand.job, data=data)
    if errand.version != __version__:
        return Outcome(
            failure=f"{socket.gethostname()} has genzoo {__version__}, and this comparison is one "
            f"of {errand.version}: install that there."
        ), None
    sees = (job.folder.parent / errand.token).exists() if errand.shared is None else errand.shared

    def send(message: "Message | _Begun") -> Any:
        return mailbox.put.remote(errand.index, message)

    ray.get(send(_Begun(socket.gethostname(), sees)))
    with forwarding(send) as progress:
        if sees:
            _wait_for(job.folder)
            outcome, content = carry_out(job, progress), None
        else:
            before: Any = None if errand.before is None else ray.get(errand.before)
            outcome, content = _carry_out_apart(job, before, progress)
    ray.get(mailbox.arrived.remote())
    return outcome, content


def _wait_for(folder: Path) -> None:
    """Wait until no process holds ``folder``: a worker that Ray has given up may still do so."""
    for _ in range(LET_GO):
        try:
            with held(folder):
                return
        except InputError:
            time.sleep(1)


def _carry_out_apart(job: Job, before: bytes | None, progress: Any) -> tuple[Outcome, bytes]:
    """Carry out a job in a folder of this machine.

    It is named by the plan, so that a run that was started again here finds what it had done.
    """
    apart = Path.home() / ".cache" / "genzoo" / "runs" / job.plan.digest
    if before is not None and not apart.is_dir():
        _unpack(before, apart)
    _wait_for(apart)
    outcome = carry_out(replace(job, folder=apart), progress)
    content = _packed(apart)
    remove(apart)
    if outcome.failure is not None:
        outcome = Outcome(failure=outcome.failure.replace(str(apart), str(job.folder)))
    return outcome, content
