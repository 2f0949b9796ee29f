"""On a GPU: the numbers of a CPU, to the bit where no sum of an oracle is in the way, over
ranks, restarts and kinds of buffers.

Everything here is skipped where there is no GPU; test_device.py has the same on a stand-in.
"""

import numpy as np
import pytest

from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.network import Average, Gossip, centralized, make
from mpidbo.parallel.agents import Agents
from mpidbo.parallel.backend import HOST, choose_backend, host
from mpidbo.storage import files, read_arrays
from support import SUPPORT
from support.devices import METHODS, PROBLEMS, TOLERANCE, Entrywise, N, apart, solved, updated
from support.runs import QUADRATIC, run, same, toml

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:problem .* its stacked")]
DTYPES = ("float64", "float32")
ALL = (
    "sparkle-ed-gt",
    {"name": "sparkle", "lower": "extra", "upper": "semi-gt", "schedule": "jacobi"},
    "d-soba",
    "sun-dsbo-gt",
)


@pytest.fixture(scope="module")
def gpu():
    return choose_backend("cuda", None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_runs_agree_with_the_cpu(problem, method, dtype):
    if problem == "hyper-cleaning":
        pytest.importorskip(
            "sklearn", reason="the digits are scikit-learn's: pip install 'mpidbo[data]'"
        )
    there, here = (
        solved(PROBLEMS[problem], method, device, dtype=dtype) for device in ("cuda", "cpu")
    )
    assert type(there.x) is np.ndarray and np.isfinite(there.x).all()
    assert apart(there, here) <= TOLERANCE[dtype]
    assert (
        apart(there, solved(PROBLEMS[problem], method, "cpu", dtype=dtype, seed=5)) > 0.01
    )  # the tolerance tells runs apart


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ALL, ids=str)
def test_runs_without_sums_have_the_bits_of_the_cpu(method, dtype):
    there, here = (solved(Entrywise, method, device, dtype=dtype) for device in ("cuda", "cpu"))
    assert (there.x.tobytes(), there.y.tobytes()) == (here.x.tobytes(), here.y.tobytes())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_updates_have_numpys_bits(gpu, name, dtype):
    rng = np.random.default_rng(1)
    given = [rng.standard_normal((3, 1001)).astype(dtype) for _ in range(6)]
    got, expected = updated(STRATEGIES[name], given, gpu.rows), updated(STRATEGIES[name], given)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.dtype == theirs.dtype and host(mine).tobytes() == theirs.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "topology", ["ring", {"name": "exponential", "directed": True}, "complete", "average"], ids=str
)
def test_mixing_has_the_bits_of_the_cpu(gpu, topology, dtype):
    agents, rng = Agents(N), np.random.default_rng(2)
    message = tuple(rng.standard_normal((N, d)).astype(dtype) for d in (1, 1000, 40_000))
    kind, W = (Average, centralized(N)) if topology == "average" else (Gossip, make(topology, N))
    got, expected = (
        kind(W, agents, np.dtype(dtype), backend) @ tuple(map(backend.rows, message))
        for backend in (gpu, HOST)
    )
    for mine, theirs in zip(got, expected, strict=True):
        assert host(mine).tobytes() == theirs.tobytes()


def digits_of(folder):
    """The bytes of the rows in a result."""
    found, _ = read_arrays(folder / files.RESULT)
    return {name: found[name].tobytes() for name in ("x", "y", "z")}


@pytest.fixture
def entrywise(tmp_path):
    """A configuration of a problem whose numbers depend on no library's order of sums."""
    at = SUPPORT / "devices.py"
    return toml(
        tmp_path,
        {
            "problem.name": f"{at}:Entrywise",
            "method.name": "sparkle-ed-gt",
            "run.agents": N,
            "run.iterations": 20,
            "run.evaluate_every": 20,
            "run.device": "cuda",
            "steps.alpha": 0.01,
        },
    )


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_on_one_gpu_have_the_bits_of_one_process(mpi, entrywise, tmp_path, ranks):
    run(entrywise, tmp_path / "alone")
    done = mpi(
        ranks,
        ["-m", "mpi4py", "-m", "mpidbo", "run", entrywise, "--out", tmp_path / "ranks"],
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert digits_of(tmp_path / "ranks") == digits_of(tmp_path / "alone")


def test_device_buffers_or_a_sentence(mpi, entrywise, tmp_path):
    """An MPI that cannot read device memory may also end the job; then a line says what was
    tried."""
    run(entrywise, tmp_path / "alone")
    words = ["run", entrywise, "--out", tmp_path / "device", "--set", "run.buffers=device"]
    done = mpi(2, ["-m", "mpi4py", "-m", "mpidbo", *words], timeout=100)
    assert 'trying run.buffers = "device"; if the job ends here' in done.stderr
    if done.returncode == 0:
        assert digits_of(tmp_path / "device") == digits_of(tmp_path / "alone")
    elif done.returncode == 2:
        assert 'set buffers = "host"' in done.stderr


def test_a_restart_has_the_bits_of_the_run_that_went_through(tmp_path):
    path = toml(tmp_path, QUADRATIC | {"run.device": "cuda"})
    run(path, tmp_path / "through")
    run(path, tmp_path / "again", run__iterations=14)
    run(path, tmp_path / "again")
    assert same(tmp_path / "through", tmp_path / "again")


@pytest.mark.parametrize(("first", "then"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_checkpoints_move(entrywise, tmp_path, first, then):
    run(entrywise, tmp_path / "through", run__device="cpu")
    run(entrywise, tmp_path / "moved", run__device=first, run__iterations=9)
    run(entrywise, tmp_path / "moved", run__device=then)
    assert digits_of(tmp_path / "moved") == digits_of(tmp_path / "through")
