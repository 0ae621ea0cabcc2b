#include "agent/host/facts.h"

#include "agent/collectors/proc_meminfo.h"
#include "agent/collectors/proc_stat.h"
#include "agent/label.h"
#include "agent/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define FILE_MAX ((size_t)8 << 20) /* /proc/cpuinfo takes 1.5 KiB a CPU */

static int copy(struct word word, char *ret, size_t size)
{
	size_t len = word.len < size ? word.len : size - 1;
	memcpy(ret, word.text, len);
	ret[len] = '\0';
	return (int)len;
}

/* PRETTY_NAME="Debian GNU/Linux 12 (bookworm)" */
int facts_os_release(const char *text, size_t len, const char *key, char *ret, size_t size)
{
	struct scan rest = scan_text(text, len), line;
	struct word name;
	while (scan_line(&rest, &line) > 0) {
		if (scan_until(&line, '=', &name) < 0 || !word_is(name, key))
			continue;
		char quote = line.p < line.end && (*line.p == '"' || *line.p == '\'') ? *line.p++ : '\0';
		size_t n = 0;
		for (const char *p = line.p; p < line.end && *p != quote && n + 1 < size; p++) {
			if (*p == '\\' && quote != '\'' && p + 1 < line.end)
				p++;
			ret[n++] = *p;
		}
		ret[n] = '\0';
		return (int)n;
	}
	return -ENOENT;
}

/* model name	: AMD EPYC 7B13 */
int facts_cpu_model(const char *text, size_t len, char *ret, size_t size)
{
	static const char *const fields[] = {"model name", "Model", "cpu model", "machine", "uarch"};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct scan rest = scan_text(text, len), line;
		struct word name;
		while (scan_line(&rest, &line) > 0) {
			if (scan_until(&line, ':', &name) < 0)
				continue;
			while (name.len > 0 && name.text[name.len - 1] == '\t')
				name.len--;
			if (!word_is(name, fields[i]))
				continue;
			while (line.p < line.end && *line.p == ' ')
				line.p++;
			return copy((struct word){line.p, (size_t)(line.end - line.p)}, ret, size);
		}
	}
	return -ENOENT;
}

static bool read_file(const struct root *root, const char *path, struct root_file *ret)
{
	if (root_file_open(root, path, FILE_MAX, ret) < 0)
		return false;
	if (root_file_read(ret) == 0)
		return true;
	root_file_close(ret);
	return false;
}

/* A recorded host's names come from its tree; uname(2) answers for the running kernel only. */
static void read_names(const struct root *root, struct facts *facts)
{
	struct utsname name;
	bool has_name = uname(&name) == 0;
	if (root_read_text(root, "proc/sys/kernel/hostname", facts->hostname, sizeof(facts->hostname)) <= 0 && has_name)
		(void)copy((struct word){name.nodename, strlen(name.nodename)}, facts->hostname,
			   sizeof(facts->hostname));
	if (root_read_text(root, "proc/sys/kernel/osrelease", facts->kernel, sizeof(facts->kernel)) <= 0 && has_name)
		(void)copy((struct word){name.release, strlen(name.release)}, facts->kernel, sizeof(facts->kernel));
	if (root_read_text(root, "proc/sys/kernel/arch", facts->architecture, sizeof(facts->architecture)) <= 0 &&
	    has_name)
		(void)copy((struct word){name.machine, strlen(name.machine)}, facts->architecture,
			   sizeof(facts->architecture));
}

static void read_os(const struct root *root, struct facts *facts)
{
	struct root_file file;
	if (!read_file(root, "etc/os-release", &file) && !read_file(root, "usr/lib/os-release", &file))
		return;
	if (facts_os_release(file.text, file.len, "PRETTY_NAME", facts->os, sizeof(facts->os)) < 0)
		facts->os[0] = '\0';
	root_file_close(&file);
}

static void read_cpus(const struct root *root, struct facts *facts)
{
	struct root_file file;
	if (read_file(root, "proc/stat", &file)) {
		facts->cpus = (uint32_t)proc_stat_count_cpus(file.text, file.len);
		root_file_close(&file);
	}
	if (read_file(root, "proc/cpuinfo", &file)) {
		if (facts_cpu_model(file.text, file.len, facts->cpu_model, sizeof(facts->cpu_model)) < 0)
			facts->cpu_model[0] = '\0';
		root_file_close(&file);
	}
}

static void read_memory(const struct root *root, struct facts *facts)
{
	struct root_file file;
	Sonde__V1__Memory memory = SONDE__V1__MEMORY__INIT;
	if (!read_file(root, "proc/meminfo", &file))
		return;
	if (proc_meminfo_parse(file.text, file.len, &memory) == 0)
		facts->memory_bytes = memory.total_bytes;
	root_file_close(&file);
}

void facts_read(const struct root *root, struct facts *ret)
{
	*ret = (struct facts){.cpus = 0};
	read_names(root, ret);
	read_os(root, ret);
	read_cpus(root, ret);
	read_memory(root, ret);
	char *const texts[] = {ret->hostname, ret->kernel, ret->architecture, ret->os, ret->cpu_model};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		label_clean(texts[i], strlen(texts[i]));
}
