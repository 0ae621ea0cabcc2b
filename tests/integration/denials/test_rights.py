"""What the agent is denied, for real, ends in a sentence of its own that says what to do, and everything else goes on."""
import resource
import subprocess
import unittest

from confined import BTF, BUILD, NOBODY, PLACE, Denial, doctor, nobody_but, once, rows_with

NO_BPF = "loading BPF programs needs CAP_BPF and CAP_PERFMON .*grant them to the agent"
BY_PROC = "/proc is read instead of the kernel's task list.*: .*"
# What only BPF can tell.
EXITS = ["processes.exits_left_out", "agent.programs"]
GRANT = "grant it"


class Capabilities(Denial):
    """An ordinary user with all the agent's capabilities but one, as a unit with AmbientCapabilities runs it."""

    def test_all_held(self):
        snapshot = self.check(nobody_but(), {})
        self.assertGreater(rows_with(snapshot, "read_bytes"), len(snapshot["processes"]["processes"]) / 2)

    def test_bpf(self):
        self.check(nobody_but("bpf"), self.without_bpf("no_cap_bpf", NO_BPF), lost=EXITS)
        report = doctor(nobody_but("bpf"))
        self.check_right(report, "CAP_BPF", "no block I/O tracing.*" + GRANT)
        self.check_right(report, "bpf(2)", "grant the capabilities that are missing")

    def test_perfmon(self):
        level = self.number("perf_event_paranoid")
        if level <= 0:
            self.skipTest(f"perf_event_paranoid is {level}: everybody may count")
        expected = self.without_bpf("no_cap_bpf", NO_BPF)
        expected["perf"] = ("denied", "perf_event_paranoid", f"perf_event_paranoid={level}: .*needs CAP_PERFMON.*or kernel.perf_event_paranoid=0")
        self.check(nobody_but("perfmon"), expected, lost=EXITS)
        report = doctor(nobody_but("perfmon"))
        self.check_right(report, "CAP_PERFMON", "no hardware counters.*" + GRANT)
        self.check_right(report, "perf_event_open(2)", "grant the capabilities that are missing")
        self.assertEqual(report["kernel"]["kernel.perf_event_paranoid"]["verdict"], "limited")

    def test_sys_ptrace(self):
        """BPF tells the I/O of others without it; /proc does not."""
        self.check(nobody_but("sys_ptrace"), {})
        self.check_right(doctor(nobody_but("sys_ptrace")), "CAP_SYS_PTRACE", "no I/O of other users' processes.*" + GRANT)
        by_proc = self.check(nobody_but("sys_ptrace", "bpf"), self.without_bpf("no_cap_bpf", NO_BPF), lost=EXITS)
        self.assertLess(rows_with(by_proc, "read_bytes"), len(by_proc["processes"]["processes"]) / 2)

    def test_dac_read_search(self):
        self.check(nobody_but("dac_read_search"), {})
        self.check_right(doctor(nobody_but("dac_read_search")), "CAP_DAC_READ_SEARCH", "no files that only root may read.*" + GRANT)

    def test_syslog(self):
        if self.number("dmesg_restrict") == 0:
            self.skipTest("dmesg_restrict is 0: everybody may read the kernel's messages")
        self.check(nobody_but("syslog"), {"events": ("degraded", "no_capability", "give the agent CAP_SYSLOG")},
                   lost=["events.kernel_messages", "events.kernel_messages_lost"])
        self.check_right(doctor(nobody_but("syslog")), "CAP_SYSLOG", "no kernel messages.*" + GRANT)

    def test_none(self):
        """The user has nothing, and still sees what everybody may."""
        expected = self.without_bpf("no_cap_bpf", NO_BPF)
        lost = list(EXITS)
        if self.number("perf_event_paranoid") > 0:
            expected["perf"] = ("denied", "perf_event_paranoid", "needs CAP_PERFMON")
        if self.number("dmesg_restrict") > 0:
            expected["events"] = ("degraded", "no_capability", "CAP_SYSLOG")
            lost += ["events.kernel_messages", "events.kernel_messages_lost"]
        self.check(["--user", str(NOBODY)], expected, lost=lost)

    def test_admin_stands_for_both(self):
        """As kernels before 5.8 had it, and containers that know no CAP_BPF still give it."""
        confinement = ["--drop", "cap_bpf", "--drop", "cap_perfmon"]
        self.check(confinement, {})
        rights = doctor(confinement)["rights"]
        self.assertEqual((rights["CAP_BPF"]["verdict"], rights["CAP_PERFMON"]["verdict"]), ("ok", "ok"))

    def test_root_without(self):
        self.check(["--drop", "cap_bpf", "--drop", "cap_sys_admin"], self.without_bpf("no_cap_bpf", NO_BPF), lost=EXITS)


class Seccomp(Denial):
    """A filter of system calls, as containers have one by default, refuses in spite of the capabilities."""

    def test_bpf(self):
        words = "refused in spite of the capabilities: run the container with a seccomp profile"
        self.check(["--deny", "bpf"], self.without_bpf("seccomp", words), lost=EXITS)
        report = doctor(["--deny", "bpf"])
        self.check_right(report, "bpf(2)", "seccomp profile")
        self.assertEqual(report["rights"]["seccomp"]["value"], "a filter is set")

    def test_perf(self):
        words = "seccomp .*perf_event_open.*run the container with a seccomp profile"
        self.check(["--deny", "perf_event_open"], {"perf": ("denied", "seccomp", words)})
        self.check_right(doctor(["--deny", "perf_event_open"]), "perf_event_open(2)", "seccomp profile")

    def test_both_for_a_user(self):
        confinement = nobody_but() + ["--deny", "bpf", "--deny", "perf_event_open"]
        expected = self.without_bpf("seccomp", "seccomp profile")
        expected["perf"] = ("denied", "seccomp", "seccomp profile")
        self.check(confinement, expected, lost=EXITS)


class TypeInformation(Denial):
    """BTF: missing, in a file, in the wrong file."""

    HIDDEN = ["--hide", "/sys/kernel/btf"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not BTF.exists():
            raise unittest.SkipTest("this kernel has no BTF to hide")
        cls.copy = PLACE / "vmlinux.btf"
        cls.copy.write_bytes(BTF.read_bytes())

    def renamed(self, name):
        """The kernel's types, but for one that it has under another name."""
        data = BTF.read_bytes()
        old = b"\0btf_trace_" + name.encode() + b"\0"
        self.assertEqual(data.count(old), 1)
        path = PLACE / f"without-{name}.btf"
        path.write_bytes(data.replace(old, old.upper()))
        return path

    def test_missing(self):
        words = "no /sys/kernel/btf/vmlinux .*CONFIG_DEBUG_INFO_BTF, or give its BTF file with --btf"
        self.check(self.HIDDEN, self.without_bpf("no_btf", words, "unavailable"), lost=EXITS)
        finding = doctor(self.HIDDEN)["kernel"]["type information (BTF)"]
        self.assertEqual((finding["verdict"], finding["reason"]), ("failed", "no_btf"))
        self.assertRegex(finding["remedy"], "--btf")

    def test_file_in_its_place(self):
        """Raw tracepoints want the types only to relocate fields; an iterator is checked against the kernel's own."""
        snapshot = self.check(self.HIDDEN, {"processes": ("degraded", "no_kernel_btf", BY_PROC + "the task iterator needs the kernel's own")},
                              "--btf", str(self.copy), lost=EXITS[:1])
        self.assertEqual(snapshot["block_io"]["attach"], "raw_tp")

    def test_file_wins_over_the_kernels(self):
        """What the file lacks the agent does not find elsewhere."""
        path = self.renamed("block_rq_issue")
        self.check([], {"block_io": ("unavailable", "no_block_tracepoints", "no block request tracepoints")}, "--btf", str(path))

    def test_one_tracepoint_missing(self):
        """As on kernels before 6.5: operations are counted at their last completion instead."""
        snapshot = self.check([], {}, "--btf", str(self.renamed("block_io_done")))
        programs = [p["program"] for p in snapshot["agent"]["programs"] if p["probe"] == "block_io"]
        self.assertFalse([name for name in programs if name.startswith("done")], programs)

    def test_wrong_file(self):
        words = "no type information in /etc/passwd .*--btf wants a BTF file of this very kernel"
        self.check([], self.without_bpf("no_btf", words, "unavailable"), "--btf", "/etc/passwd", lost=EXITS)


class Programs(Denial):
    """A security module that refuses one program."""

    def test_iterator(self):
        words = "the task iterator is refused .*--log-level debug"
        self.check(["--refuse-program", "visit_task"], {"processes": ("degraded", "load_failed", BY_PROC + words)}, lost=EXITS[:1])

    def test_first_rung(self):
        """The next rung of the ladder is taken."""
        snapshot = self.check(["--refuse-program", "complete_btf"], {})
        self.assertEqual(snapshot["block_io"]["attach"], "raw_tp")

    def test_both_rungs(self):
        confinement = ["--refuse-program", "complete_btf", "--refuse-program", "complete_raw"]
        self.check(confinement, {"block_io": ("denied", "load_failed", "the block probe is refused .*--log-level debug")})


class Limits(Denial):
    """Limits that some hosts have."""

    def test_no_locked_memory(self):
        """BPF maps and their mappings do not count by it."""
        self.check([], {}, limits={resource.RLIMIT_MEMLOCK: 0})
        self.check(nobody_but(), {}, limits={resource.RLIMIT_MEMLOCK: 0})

    def test_few_descriptors(self):
        """Those that come late get none, say so, and the first ones go on."""
        snapshot = once([], limits={resource.RLIMIT_NOFILE: 32})
        for name in ("cpu", "memory", "vmstat", "disks", "network"):
            self.assertEqual(snapshot[name]["state"]["code"], "ok", name)
        self.assertEqual(snapshot["block_io"]["state"]["reason"], "few_descriptors")
        self.assertRegex(snapshot["block_io"]["state"]["detail"], "raise the hard limit .LimitNOFILE")


class Namespaces(Denial):
    """Containers that see less."""

    def test_own_processes(self):
        snapshot = self.check(["--pid-namespace"], {"processes": ("degraded", "pid_namespace", "this container's processes only.*host's pid namespace")},
                              lost=EXITS[:1])
        names = {row["comm"] for row in snapshot["processes"]["processes"]}
        self.assertEqual(names, {"sonde-agent"})

    def test_read_only_sys(self):
        self.check(["--read-only", "/sys"], {})

    def test_no_tracefs(self):
        """Nothing needs the trace file systems, nor debugfs."""
        self.check(["--hide", "/sys/kernel/tracing", "--hide", "/sys/kernel/debug", "--hide", "/sys/kernel/security"], {})
        opened = subprocess.run(["strace", "-f", "-qq", "-e", "trace=open,openat,openat2,mount", "-o", "/dev/stdout", BUILD / "sonde-agent", "--once",
                                 "--config", "/dev/null", "--interval", "100ms", "--format", "json"], capture_output=True, text=True)
        if opened.returncode != 0:
            self.skipTest("strace is not installed, or may not trace")
        calls = [line for line in opened.stdout.splitlines() if "/tracing" in line or "/debug" in line or "mount(" in line]
        self.assertFalse(calls)

    def test_hidden_processes(self):
        """A user to whom /proc shows nothing of others: their rows are missing, nothing else."""
        confinement = ["--user", str(NOBODY), "--hide-processes"]
        snapshot = once(confinement)
        self.assertEqual({row["user_id"] for row in snapshot["processes"]["processes"]}, {NOBODY})
        for name in ("cpu", "memory", "disks", "network", "filesystems"):
            self.assertEqual(snapshot[name]["state"]["code"], "ok")


if __name__ == "__main__":
    unittest.main(verbosity=2)
