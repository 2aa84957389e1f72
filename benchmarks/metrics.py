"""How long the page takes to read and draw a run's figures, and what memory that needs.

    python benchmarks/metrics.py [STEPS]

Writes a metrics.jsonl of STEPS steps (100,000 unless told) into a temporary folder, then does what the page does: reads
it whole, draws the seven figures, and then again and again with 20 more steps each. Prints one JSON object. Times are
in seconds, memory in MB of resident set: `page` is this process with Gradio and Plotly in it, as the page's is.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gradio  # noqa: F401 - part of what is measured

from pipeline.training.metrics import EvaluationPoint, MetricsReader, MetricsWriter, StepPoint
from ui.live_plot import show
from ui.plots import training_figures

STEPS_PER_EPOCH = 500
REDRAWS = 30


def main(steps: int) -> dict[str, float]:
    process = psutil.Process()

    def memory() -> float:
        return round(process.memory_info().rss / 1e6, 1)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        started = time.perf_counter()
        write(path, range(1, steps + 1))
        figures = {"steps": steps, "file_mb": round(path.stat().st_size / 1e6, 1)}
        figures["write"] = time.perf_counter() - started
        show(next(iter(training_figures(MetricsReader(Path(folder) / "none").read()).values())))  # plotly's own imports
        figures["page_before"] = memory()
        reader = MetricsReader(path)
        started = time.perf_counter()
        metrics = reader.read()
        figures["first_read"] = time.perf_counter() - started
        started = time.perf_counter()
        sent = draw(reader)
        figures["draw"] = time.perf_counter() - started
        again = []
        for number in range(REDRAWS):
            first = steps + 1 + 20 * number
            write(path, range(first, first + 20))
            started = time.perf_counter()
            draw(reader)
            again.append(time.perf_counter() - started)
        figures |= {
            "redraw_median": statistics.median(again),
            "redraw_worst": max(again),
            "page": memory(),
            "buckets": len(metrics.step),
            "sent_kb": sent / 1e3,
        }
    return {name: round(value, 4) for name, value in figures.items()}


def draw(reader: MetricsReader) -> int:
    """Read what is new and draw all figures, as the page does. Returns the bytes for the browser."""
    return sum(len(show(figure)) for figure in training_figures(reader.read()).values())


def write(path: Path, steps: range) -> None:
    dice = random.Random(steps.start)
    with MetricsWriter(path) as writer:
        for step in steps:
            epoch = (step - 1) // STEPS_PER_EPOCH + 1
            loss = 5 / step**0.1 + dice.gauss(0, 0.1)
            norm = dice.expovariate(1)
            writer.write(StepPoint(step, epoch, loss, 0.04, loss - 0.04, 5e-6, norm, 0.3, 0.01, 8 << 30))
            if step % STEPS_PER_EPOCH == 0:
                writer.write(EvaluationPoint(step, epoch, loss, 0.04, loss - 0.04, loss, best=True))


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000), indent=1))
