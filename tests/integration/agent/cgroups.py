"""The cgroups section on the running kernel: cgroups made by the test, a process that burns CPU and memory in one, and what the
agent says of them. Works on v1, v2 and hybrid hosts, in whatever hierarchies this one lets root write to."""
import json
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

AGENT = Path(os.environ["SONDE_BUILD"]) / "sonde-agent"
NAME = f"sonde-test-{os.getpid()}.slice"
CONTAINER = "docker-" + "0123456789abcdef" * 4 + ".scope"
BURN = "import time\nx = bytearray(32 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nend = time.process_time() + 1.0\n" \
       "while time.process_time() < end: pass\nprint(time.process_time(), flush=True)\ntime.sleep(60)\n"


def hierarchies():
    """(directory, controllers) of each mounted hierarchy with a controller; v2 has None."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        kind, options = right.split()[0], right.split()[2].split(",")
        if kind == "cgroup" and {"memory", "cpuacct", "pids"} & set(options):
            found.append((Path(left.split()[4]), set(options)))
        elif kind == "cgroup2":
            found.append((Path(left.split()[4]), None))
    v1 = [h for h in found if h[1] is not None]
    return v1 or found


class CgroupsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.made, cls.used_in_all = [], 0.0
        try:
            for directory, controllers in hierarchies():
                if controllers is None:
                    (directory / "cgroup.subtree_control").write_text("+cpu +memory +pids")
                (directory / NAME).mkdir()
                cls.made.append(directory / NAME)
                if controllers is None:
                    (directory / NAME / "cgroup.subtree_control").write_text("+cpu +memory +pids")
                (directory / NAME / CONTAINER).mkdir()
                cls.made.append(directory / NAME / CONTAINER)
        except OSError as e:
            cls.remove()
            raise unittest.SkipTest(f"no cgroup can be made here: {e}")
        if not cls.made:
            raise unittest.SkipTest("no hierarchy with memory, cpuacct or pids is mounted")

    @classmethod
    def remove(cls):
        for directory in reversed(cls.made):
            directory.rmdir()

    @classmethod
    def tearDownClass(cls):
        cls.remove()

    def setUp(self):
        leaves = [str(d) for d in self.made if d.name == CONTAINER]

        def enter():
            for leaf in leaves:
                with open(leaf + "/cgroup.procs", "w") as procs:
                    procs.write("0")

        self.process = subprocess.Popen([sys.executable, "-c", BURN], stdout=subprocess.PIPE, text=True, preexec_fn=enter)
        self.used = float(self.process.stdout.readline())
        type(self).used_in_all += self.used  # the cgroups outlive a test

    def tearDown(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        time.sleep(0.2)

    def once(self):
        done = subprocess.run([AGENT, "--once", "--config", "/dev/null", "--interval", "100ms"], capture_output=True, text=True,
                              check=True, timeout=60)
        return json.loads(done.stdout)

    def test_what_is_said_of_them(self):
        snapshot = self.once()
        section = snapshot["cgroups"]
        self.assertEqual(section["state"]["code"], "ok", section["state"])
        rows = {row["path"]: row for row in section["cgroups"]}
        inner, leaf = rows[f"/{NAME}"], rows[f"/{NAME}/{CONTAINER}"]
        self.assertEqual((inner["name"], inner["manager"], inner["depth"]), (NAME, "systemd", 1))
        self.assertEqual((leaf["name"], leaf["manager"], leaf["depth"]), ("container 0123456789ab", "docker", 2))
        self.assertEqual(leaf["container_id"], "0123456789abcdef" * 4)
        tree = next(d for d in self.made if d.name == CONTAINER and d.stat().st_ino == int(leaf["id"]))
        self.assertTrue(tree.exists())
        if "cpu_us" in leaf:
            self.assertGreaterEqual(leaf["cpu_us"], self.used_in_all * 1e6 * 0.99)
            self.assertLess(leaf["cpu_us"], self.used_in_all * 1e6 + 5e5)
            self.assertGreaterEqual(inner["cpu_us"], leaf["cpu_us"])
        if "memory_bytes" in leaf:
            self.assertGreaterEqual(leaf["memory_bytes"], 32 << 20)
            self.assertGreaterEqual(leaf["anonymous_bytes"], 32 << 20)
            self.assertLess(leaf["memory_bytes"], 256 << 20)
        if "tasks" in leaf:
            self.assertEqual(leaf["tasks"], 1)
        self.assertIn("/", rows)
        # The processes section names it by the same path, where the tree is the hierarchy processes are told by.
        process = next(p for p in snapshot["processes"]["processes"] if p["pid"] == self.process.pid)
        self.assertEqual(process["cgroup"], f"/{NAME}/{CONTAINER}")
        self.assertEqual(process["cgroup_name"], "container 0123456789ab")

    def test_limits(self):
        limited = False
        for directory in self.made:
            if directory.name != CONTAINER:
                continue
            for name, value in (("memory.limit_in_bytes", 128 << 20), ("memory.max", 128 << 20), ("pids.max", 50)):
                if (directory / name).exists():
                    (directory / name).write_text(str(value))
                    limited = True
        self.assertTrue(limited)
        leaf = next(row for row in self.once()["cgroups"]["cgroups"] if row["path"] == f"/{NAME}/{CONTAINER}")
        if "memory_bytes" in leaf:
            self.assertEqual(leaf["memory_limit_bytes"], 128 << 20)
        if "tasks" in leaf:
            self.assertEqual(leaf["tasks_limit"], 50)


class ManyTest(unittest.TestCase):
    """What a cgroup more costs, of idle ones. The bound is generous: a debug build on a busy machine must hold it too."""

    def setUp(self):
        self.made = []
        self.addCleanup(lambda: [directory.rmdir() for directory in reversed(self.made)])

    def least_us(self):
        """The least of some readings, and how many cgroups they were of."""
        sections = [CgroupsTest.once(self)["cgroups"] for _ in range(5)]
        self.assertEqual({section["state"]["code"] for section in sections}, {"ok"})
        return min(section["state"]["duration_us"] for section in sections), sections[-1]["cgroup_count"]

    def test_slope(self):
        few_us, few = self.least_us()
        try:
            for i in range(100):
                for directory, _ in hierarchies():
                    (directory / f"sonde-test-{os.getpid()}-{i}").mkdir()
                    self.made.append(directory / f"sonde-test-{os.getpid()}-{i}")
        except OSError as e:
            self.skipTest(f"no cgroup can be made here: {e}")
        many_us, many = self.least_us()
        self.assertEqual(many - few, 100)
        slope = (many_us - few_us) / (many - few)
        print(f"{few} cgroups {few_us} us, {many} cgroups {many_us} us: {slope:.2f} us a cgroup more", flush=True)
        self.assertLess(slope, 200)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP: wants root, to make cgroups")
        sys.exit(77)
    program = unittest.main(verbosity=2, exit=False)
    for _, reason in program.result.skipped:
        print(f"SKIP: {reason}")
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
