"""The BPF programs' own tests in other kernels: arguments of tracepoints, numbers of flags and what the verifier accepts differ.

Emulated CPUs share the machine with others: what compares times may fail once. What is wrong in a probe is wrong twice."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from emulation import Machine, Unavailable, build_for, run_together  # noqa: E402

KERNELS = [("x86_64", "6.1"), ("x86_64", "6.12"), ("arm64", "6.1"), ("arm64", "6.12")]
TESTS = ["test_integration_block_io", "test_integration_perf", "test_integration_tasks"]


def main():
    jobs, failed = [], False
    for arch, release in KERNELS:
        try:
            build = build_for(arch, TESTS)
            machine = Machine(arch, release, modules=["loop"], files={f"/bin/{name}": build / name for name in TESTS})
        except Unavailable as reason:
            print(f"SKIP: {reason}")
            return 77
        jobs.append((machine, "".join(f"step {name} {name} || step {name}-again {name}\n" for name in TESTS), 400))
    for (machine, *_), run in zip(jobs, run_together(jobs)):
        if isinstance(run, Exception):
            print(f"{machine}: {run}")
            failed = True
            continue
        print(f"{run.kernel}, {run.seconds:.0f} s")
        for name in TESTS:
            step = run.steps.get(f"{name}-again", run.steps.get(name))
            passed = step is not None and step.status == 0
            print(f"  {name}: {'passed' if passed else 'FAILED'}{', at the second attempt' if f'{name}-again' in run.steps else ''}")
            if not passed:
                print("\n".join(line for line in (step.text if step else run.text).splitlines() if not re.match(r"\[ +(RUN|OK) ", line)))
                failed = True
    return 1 if failed else 0


sys.exit(main())
