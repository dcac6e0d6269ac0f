"""Where runs take place: processes of this machine, or tasks on a cluster of Ray.

Whatever is killed there, the comparison ends with the same table.
"""

import importlib.util
import json
import multiprocessing
import os
import re
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from test_compare import measured

import genzoo
from genzoo.benchmark import Observer, Plan
from genzoo.benchmark.engines import cluster as cluster_engine
from genzoo.benchmark.engines import local
from genzoo.benchmark.plan import plan
from genzoo.benchmark.provenance import Provenance
from genzoo.cli import main
from genzoo.cli.compare import _options as compare_options
from genzoo.errors import InputError

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
SMALL = {
    "train": {"steps": 40, "batch_size": 16, "check_every": 5},
    "evaluate": {"k": 1},
}


@pytest.fixture
def recipe(tmp_path, monkeypatch, undrawn):
    """A recipe of seconds, in the folder where comparisons write."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"patient": SMALL}))
    return path


@pytest.fixture
def forks(monkeypatch):
    """Processes of the local engine are forks of this one, which has imported everything."""
    monkeypatch.setattr(local, "_context", lambda: multiprocessing.get_context("fork"))


def found(card) -> list:
    """The rows of a scorecard, without what says when and under what they were made."""
    return [replace(row, provenance=Provenance()) for row in measured(card)]


# ------------------------------------------------------------------------------------ what is asked


def test_equal_plans_have_one_digest_and_survive_the_way_there_and_back():
    one, same = plan("vae", "moons"), plan("vae", "moons")
    other = plan("vae", "moons", seed=1)
    assert one.digest == same.digest != other.digest
    assert Plan(**yaml.safe_load(yaml.safe_dump(one.stated))).digest == one.digest


def test_a_digest_is_of_what_is_computed_and_not_of_where():
    def digest(**settings):
        return plan("vae+diffusion", "moons", train=settings).digest

    elsewhere = {"devices": 2, "nodes": 2, "strategy": "ddp", "accelerator": "cpu", "compile": True}
    assert digest() == digest(**elsewhere)
    assert len({digest(), digest(precision="bf16"), digest(batch_size=32)}) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--engine rai", "Did you mean 'ray'"),
        ("--address host:6379", "Only the engine ray has address"),
        ("--gpus 0.5", "Only the engine ray has gpus"),
        ("--engine ray --address nowhere", "host:port or auto, got 'nowhere'"),
        ("--engine ray --cpus 0", "one core or more"),
        ("--engine ray --gpus -1", "0 GPUs or more"),
    ],
)
def test_a_mistake_about_the_engine_is_a_sentence(arguments, sentence, tmp_path, capsys):
    command = ["compare", "--data", "moons", "--families", "vae", "--out", str(tmp_path)]
    assert main([*command, *arguments.split()]) == 2
    assert sentence in capsys.readouterr().err


def test_without_ray_a_sentence_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'genzoo\[ray\]'"):
        genzoo.compare(["vae"], "moons", engine="ray", out=tmp_path)


def test_an_address_where_nobody_answers_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and takes no calls
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=f"No Ray cluster answers at {address}"):
            genzoo.compare(["vae"], "moons", engine="ray", address=address, out=tmp_path)


# -------------------------------------------------------------------------- the page about clusters


def test_the_page_gives_commands_that_are_understood():
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    lines = re.findall(r"genzoo (compare --seeds [^\"\n]+)", page)
    assert len(lines) == 2
    for line in lines:
        options = compare_options(line.split()[1:])
        assert options.engine == "ray" and options.seeds == [0, 1, 2, 3, 4]


def test_ray_would_take_the_cluster_file():
    jsonschema = pytest.importorskip("jsonschema", reason="needs pip install -e '.[ray]'")
    ray = importlib.util.find_spec("ray")
    if ray is None or ray.origin is None:
        pytest.skip("needs pip install -e '.[ray]'")
    rules = Path(ray.origin).parent / "autoscaler" / "ray-schema.json"
    asked = yaml.safe_load((DOCS / "cluster.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(asked, json.loads(rules.read_text(encoding="utf-8")))


def test_a_token_is_presented_where_there_is_one(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)  # it is not needed for this
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    for has_token in (False, True):
        if has_token:
            (tmp_path / ".ray").mkdir()
            (tmp_path / ".ray" / "auth_token").touch()
        with pytest.raises(InputError):
            cluster_engine._library()
        assert (os.environ.get("RAY_AUTH_MODE") == "token") is has_token


# -------------------------------------------------------------------------------------- a cluster


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Two nodes of one core each, both on this machine."""
    pytest.importorskip("ray", reason="needs pip install -e '.[ray]'")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *sys.path]))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATIENT_UNTIL", str(tmp_path / "killed"))
    monkeypatch.setenv("RAY_worker_niceness", "0")  # or a busy machine hardly lets them start
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    small = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    cluster.second = cluster.add_node(**small)
    yield cluster
    cluster.shutdown()


def at_work(node) -> list[int]:
    """Ids of the processes on a node that carry out a run."""
    (raylet,) = node.all_processes["raylet"]
    children = Path(f"/proc/{raylet.process.pid}/task/{raylet.process.pid}/children").read_text()
    return [
        int(child)
        for child in children.split()
        if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"ray::_work")
    ]


class Fate(Observer):
    """Kills a worker of the first node, then the second node, as soon as they are at work.

    Runs wait for it, wherever they are and however long a busy machine takes to start them.
    """

    def __init__(self, cluster):
        self.cluster = cluster
        self.killed = self.removed = False
        self.notes: list[str] = []

    def progress(self, i, done, total, text):
        if not self.killed and (pids := at_work(self.cluster.head_node)):
            os.kill(pids[0], signal.SIGKILL)
            self.killed = True
        elif self.killed and not self.removed and at_work(self.cluster.second):
            self.cluster.remove_node(self.cluster.second, allow_graceful=False)
            self.removed = True
            Path(os.environ["PATIENT_UNTIL"]).touch()

    def note(self, i, text):
        self.notes.append(text)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # four workers import everything
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_killed_worker_and_a_dead_node_change_nothing_in_the_table(cluster, recipe, forks):
    from patient import Patient

    def table(out, **engine):
        card = genzoo.compare([Patient], "moons", seeds=(0, 1), recipe=recipe, out=out, **engine)
        assert not card.failures
        return found(card)

    fate = Fate(cluster)
    on_ray = table("ray", engine="ray", address=cluster.address, observer=fate)
    assert fate.killed and fate.removed
    assert any("its worker died" in note for note in fate.notes)
    assert on_ray == table("local")

    from genzoo.benchmark.engines.cluster import Ray

    apart = Fate(cluster)
    apart.killed = apart.removed = True
    engine = Ray(cluster.address, shared=False)
    card = genzoo.compare(
        [Patient], "moons", recipe=recipe, out="apart", engine=engine, observer=apart
    )
    assert found(card) == on_ray[:1]
    assert any("does not see" in note for note in apart.notes)
    assert not list((Path.home() / ".cache" / "genzoo" / "runs").iterdir())
