"""Other collectors, as Debian packages them, set to measure once a second. Each is (name, what it measures counted its own way)."""
import json
import shutil
import subprocess
import urllib.request
from pathlib import Path

OWN_EXPORTER_SERIES = ("go_", "process_", "promhttp_", "node_scrape_collector_", "node_exporter_")

NETDATA = """[global]
    run as user = root
[directories]
    config = {d}/etc
    lib = {d}/lib
    cache = {d}/cache
    log = {d}/log
    registry = {d}/lib/registry
[db]
    mode = ram
    retention = 300
    update every = 1
[ml]
    enabled = no
[health]
    enabled = no
[statsd]
    enabled = no
[web]
    bind to = 127.0.0.1:{port}
[plugins]
    proc = yes
    cgroups = yes
    apps = yes
    diskspace = yes
    tc = no
    idlejitter = no
    timex = no
    ebpf = no
    python.d = no
    go.d = no
    charts.d = no
    node.d = no
    fping = no
    ioping = no
    perf = no
    slabinfo = no
    nfacct = no
    cups = no
    netdata monitoring = no
    enable running new plugins = no
[plugin:cgroups]
    enable by default cgroups matching = *
    check for new cgroups every = 10
"""

COLLECTD = """Hostname "bench"
FQDNLookup false
BaseDir "{d}"
PIDFile "{d}/pid"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db"
Interval 1
{plugins}
<Plugin csv>
    DataDir "{d}/csv"
    StoreRates false
</Plugin>
<Plugin vmem>
    Verbose true
</Plugin>
"""
COLLECTD_PLUGINS = ("cpu", "memory", "load", "disk", "interface", "processes", "df", "vmem", "csv")


def get(url):
    with urllib.request.urlopen(url, timeout=10) as reply:
        return reply.read().decode()


class Peer:
    program = None

    def installed(self):
        return shutil.which(self.command) or (Path("/usr/sbin") / self.command if (Path("/usr/sbin") / self.command).exists() else None)

    def spawn(self, *arguments):
        self.program = subprocess.Popen([self.installed(), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)

    def tick(self):
        """What a user of it does at every tick."""

    def stop(self):
        if not self.program:
            return
        self.program.terminate()
        try:
            self.program.wait(20)
        except subprocess.TimeoutExpired:
            self.program.kill()
            self.program.wait()


class NodeExporter(Peer):
    name, command = "prometheus-node-exporter, scraped", "prometheus-node-exporter"

    def start(self, directory, port):
        self.url = f"http://127.0.0.1:{port}/metrics"
        self.spawn(f"--web.listen-address=127.0.0.1:{port}")

    def tick(self):
        self.text = get(self.url)

    def facts(self):
        return sum(1 for line in self.text.splitlines() if line and not line.startswith(("#", *OWN_EXPORTER_SERIES)))


class Netdata(Peer):
    name, command = "netdata (proc, apps, cgroups, diskspace)", "netdata"

    def start(self, directory, port):
        self.port = port
        for part in ("etc", "lib/registry", "cache", "log"):
            (directory / part).mkdir(parents=True)
        (directory / "etc/netdata.conf").write_text(NETDATA.format(d=directory, port=port))
        self.spawn("-D", "-c", directory / "etc/netdata.conf", "-P", directory / "pid")

    def facts(self):
        charts = json.loads(get(f"http://127.0.0.1:{self.port}/api/v1/allmetrics?format=json"))
        return sum(sum(1 for d in chart["dimensions"].values() if d["value"] is not None) for name, chart in charts.items()
                   if not name.startswith("netdata."))


class Collectd(Peer):
    name, command = "collectd (8 plugins, csv)", "collectd"

    def start(self, directory, port):
        self.directory = directory
        (directory / "collectd.conf").write_text(COLLECTD.format(d=directory, plugins="\n".join(f"LoadPlugin {p}" for p in COLLECTD_PLUGINS)))
        self.spawn("-f", "-C", directory / "collectd.conf")

    def facts(self):
        return sum(path.read_text().splitlines()[-1].count(",") for path in self.directory.glob("csv/bench/*/*"))


def every():
    return [NodeExporter(), Netdata(), Collectd()]
