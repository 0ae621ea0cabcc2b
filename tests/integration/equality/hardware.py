"""Gives a recorded host made-up hardware: sensors, thermal zones, energy counters, throttled CPUs, memory controllers,
frequencies, RAID. Laid out as the kernel documents it (hwmon/sysfs-interface.rst, edac.rst, power/powercap.rst, md.rst)."""

import os
import shutil

MDSTAT = """Personalities : [raid1] [raid6] [raid5] [raid4]
md1 : active raid5 sdd1[3](F) sdc1[2] sdb2[1] sda2[0] sde1[4](S)
      585930432 blocks super 1.2 level 5, 64k chunk, algorithm 2 [4/3] [UUU_]
      [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec

md0 : active raid1 sdb1[1] sda1[0]
      248896 blocks [2/2] [UU]

unused devices: <none>
"""

# chip, bus, device, files
CHIPS = [
    ("coretemp", "platform", "coretemp.0", {
        "temp1_input": 41000, "temp1_label": "Package id 0", "temp1_max": 80000, "temp1_crit": 100000,
        "temp2_input": 39500, "temp2_label": "Core 0", "temp2_max": 80000, "temp2_crit": 100000}),
    ("coretemp", "platform", "coretemp.1", {
        "temp1_input": 43000, "temp1_label": "Package id 1", "temp1_max": 82000, "temp1_crit": 101000}),
    ("nct6775", "platform", "nct6775.656", {
        "temp1_input": -5500, "fan1_input": 1234, "fan2_input": 0, "in0_input": 1008, "in1_input": 3344, "in1_label": "+3.3V"}),
    ("amdgpu", "pci0000:00", "0000:00:18.3", {
        "temp1_input": 55000, "temp1_label": "edge", "power1_average": 31000000, "power1_label": "PPT"}),
    ("power_meter", "LNXSYBUS:00", "ACPI000D:00", {"power1_input": 187500000, "energy1_input": 123456789012}),
]


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")


def add_chips(sys):
    for number, (name, bus, device, files) in enumerate(CHIPS):
        chip, target = sys / f"class/hwmon/hwmon{number}", sys / "devices" / bus / device
        target.mkdir(parents=True, exist_ok=True)
        write(chip / "name", name)
        (chip / "device").symlink_to(os.path.relpath(target, chip))
        for file, value in files.items():
            write(chip / file, value)


def add_zones(sys):
    for number, (name, value) in enumerate((("x86_pkg_temp", 44000), ("acpitz", 27800))):
        zone = sys / f"class/thermal/thermal_zone{number}"
        write(zone / "type", name)
        write(zone / "temp", value)
        write(zone / "policy", "step_wise")


def add_energy(sys):
    for zone, name, value in (("intel-rapl:0", "package-0", 31234567890), ("intel-rapl:0:0", "core", 1234567),
                              ("intel-rapl:0:1", "dram", 987654321), ("intel-rapl:0:2", "uncore", 7654321),
                              ("intel-rapl:2", "psys", 98765432109), ("intel-rapl:1", "package-1", 262143328849)):
        write(sys / "class/powercap" / zone / "name", name)
        write(sys / "class/powercap" / zone / "energy_uj", value)
        write(sys / "class/powercap" / zone / "max_energy_range_uj", 262143328850)


def add_cpus(sys, numbers):
    """Two threads a core, two cores a package; the packages are not numbered one by one. Threads of a core, and all CPUs of
    a package, show the same counter."""
    for package in (0, 3):
        throttles = numbers.next()
        for core in (0, 1):
            core_throttles, first = numbers.next(), (package > 0) * 4 + core * 2
            for thread in (0, 1):
                cpu = sys / f"devices/system/cpu/cpu{first + thread}"
                write(cpu / "topology/physical_package_id", package)
                write(cpu / "topology/core_id", core)
                write(cpu / "topology/thread_siblings_list", f"{first}-{first + 1}")
                write(cpu / "thermal_throttle/core_throttle_count", core_throttles)
                write(cpu / "thermal_throttle/package_throttle_count", throttles)
    for cpu in (0, 1):
        for file, value in (("scaling_cur_freq", 2400000 + 1234 * cpu),
                            ("scaling_min_freq", 800000), ("scaling_max_freq", 4000000),
                            ("cpuinfo_cur_freq", 2500000), ("cpuinfo_min_freq", 800000), ("cpuinfo_max_freq", 4200000),
                            ("cpuinfo_transition_latency", 0), ("related_cpus", cpu), ("scaling_driver", "intel_pstate"),
                            ("scaling_available_governors", "performance powersave"), ("scaling_governor", "powersave"),
                            ("scaling_setspeed", "<unsupported>")):
            write(sys / f"devices/system/cpu/cpu{cpu}/cpufreq/{file}", value)


def add_memory_controllers(sys, numbers):
    for number in (0, 1):
        controller = sys / f"devices/system/edac/mc/mc{number}"
        write(controller / "mc_name", "skx_edac")
        for file in ("ce_count", "ue_count", "ce_noinfo_count", "ue_noinfo_count"):
            write(controller / file, numbers.next())
        for row in (0, 1):
            for file in ("ce_count", "ue_count"):
                write(controller / f"csrow{row}/{file}", numbers.next())
            write(controller / f"csrow{row}/ch0_dimm_label", f"mc#{number}csrow#{row}channel#0")


def add_hardware(root, numbers, with_chips):
    sys = root / "sys"
    shutil.rmtree(sys / "class/hwmon", ignore_errors=True)
    if with_chips:
        add_chips(sys)
    add_zones(sys)
    add_energy(sys)
    add_cpus(sys, numbers)
    add_memory_controllers(sys, numbers)
    (root / "proc/mdstat").write_text(MDSTAT)
