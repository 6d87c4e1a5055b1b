"""How long a report of the paper's size takes: 3,600 runs, 1,000,800 test images, 10,000 draws.

    python benchmarks/report_scale.py [folder]

The made-up study is written to the folder (about 1.2 GB) and used again when it is there.
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lightning_seg.report.build import build_report
from lightning_seg.report.comparison import compare
from lightning_seg.report.current import is_current, keep_stamp, report_dir, stamp
from lightning_seg.report.records import load_study
from lightning_seg.report.verdict import judge, judge_comparison
from tests.report.make_study import DATASETS, LOSSES, MODELS, make_study


def main(folder: Path) -> None:
    """Print seconds, memory and the page's size."""
    study = folder / "scale"
    if not study.is_dir():
        make_study(study, DATASETS, MODELS, LOSSES, repeats=5, images=278, epochs=60, case_size=224)
    start = time.perf_counter()
    loaded = load_study(study)
    records = time.perf_counter() - start
    print(f"{len(loaded.runs)} runs, {len(loaded.images)} images, {os.cpu_count()} processors")
    print(f"records: {records:.1f} s (at most 15)")
    start = time.process_time()
    comparison = compare(loaded)
    judge_comparison(comparison)
    print(f"judged: {time.process_time() - start:.1f} s of processor time (at most 60)")
    few = comparison.pairs["dice"].iloc[:6, :4]
    start = time.process_time()
    judge(few)
    print(f"{few.size} runs judged: {time.process_time() - start:.2f} s of processor time (at most 2)")
    del loaded, comparison
    start, used = time.perf_counter(), time.process_time()
    index = build_report(study)
    whole, used = time.perf_counter() - start, time.process_time() - used
    print(f"whole report: {whole:.1f} s, {used:.1f} s of processor time (at most 30)")
    start, used = time.perf_counter(), time.process_time()
    build_report(study)
    whole, used = time.perf_counter() - start, time.process_time() - used
    print(f"once more, figures kept: {whole:.1f} s, {used:.1f} s of processor time")
    start = time.process_time()
    place = report_dir(study)
    keep_stamp(place, stamp(study, place, {}))
    assert is_current(place, stamp(study, place, {}))
    print(f"nothing has changed: {(time.process_time() - start) / 2:.2f} s of processor time (at most 2)")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB (below 3)")
    print(f"page: {index.stat().st_size / 1e6:.1f} MB (below 10)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
