"""(k) What compression costs: encoding and decoding as a share of an iteration.

SPARKLE with beer at y and z, hyper-cleaning with the perceptron 784-300-10: 238,510 floats in each
message. An agent with two neighbours encodes its row and decodes three.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np

from images import perceptron, random_images
from mpidbo import config
from mpidbo.network import BFloat16, Compressor, Quantize, RandomK, TopK
from mpidbo.parallel import keep_freed
from mpidbo.solver import Plan
from paired import median

AGENTS, NEIGHBOURS, ITERATIONS, REPETITIONS = 3, 2, 5, 9
MESSAGES = 4
"""Of y and of z, each s and its tracker."""
FORMS = (TopK(0.01), TopK(0.1), RandomK(0.1), Quantize(2), Quantize(4), Quantize(8), BFloat16())


def plan_of(folder: Path, batch: int) -> Plan:
    """SPARKLE in one process, all messages in full."""
    problem = perceptron(folder, batch)
    tables = {
        "problem": problem,
        "method": {"name": "sparkle-non-gt"},
        "run": {"agents": AGENTS},
    }
    return Plan(config.check(tables))


def iteration(plan: Plan) -> float:
    """Milliseconds of processor time of an agent's iteration, without compression."""
    state, taken = plan.method.start(*plan.rows()), []
    for repetition in range(REPETITIONS + 1):
        began = process_time()
        for k in range(ITERATIONS):
            state = plan.method.step(ITERATIONS * repetition + k, plan.oracle, plan.W, state)
        taken.append(process_time() - began)
    return 1e3 * median(taken[1:]) / ITERATIONS / AGENTS


def compression(form: Compressor, d: int) -> tuple[float, float]:
    """Milliseconds in which an agent encodes a row, and decodes its own and its neighbours'."""
    rows = np.random.default_rng(0).standard_normal((1, d)) ** 3
    keys = np.arange(1 + NEIGHBOURS, dtype=np.uint64)
    message = form.encode(rows, keys[:1])
    messages = np.repeat(message, 1 + NEIGHBOURS, axis=0)
    found = []
    for work in (
        lambda: form.encode(rows, keys[:1]),
        lambda: form.decode(messages, d, rows.dtype, keys),
    ):
        taken = []
        for _ in range(REPETITIONS):
            began = process_time()
            work()
            taken.append(process_time() - began)
        found.append(1e3 * median(taken))
    return found[0], found[1]


keep_freed()  # as every run does
with TemporaryDirectory() as name:
    folder = Path(name)
    random_images(folder, 6000, "train")
    random_images(folder, 500, "t10k")
    for batch in (64, 200):
        with plan_of(folder, batch) as plan:
            whole, d = iteration(plan), plan.dims[1]
        print(f"(k) batch {batch}: {whole:.1f} ms an iteration of an agent, d = {d:,}")
        for form in FORMS:
            encoding, decoding = (MESSAGES * part for part in compression(form, d))
            print(
                f"(k) {form}: encoding {encoding:.2f} ms, "
                f"{100 * encoding / (whole + encoding + decoding):.1f} % of an iteration, "
                f"decoding {decoding:.2f} ms, "
                f"{form.bytes(d, np.dtype(float)) / 8 / d * 100:.1f} % of the bytes",
                flush=True,
            )
