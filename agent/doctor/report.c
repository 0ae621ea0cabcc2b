#include "agent/doctor/report.h"

#include "agent/label.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const verdict_names[] = {
	[VERDICT_OK] = "ok", [VERDICT_NOTE] = "note", [VERDICT_LIMITED] = "limited", [VERDICT_FAILED] = "failed"};

struct finding *report_add(struct report *report, const char *group, enum verdict verdict, const char *name)
{
	/* The last place is for what is not kept. */
	if (report->n == REPORT_MAX - 1)
		report->left_out++;
	struct finding *f = &report->findings[report->n < REPORT_MAX - 1 ? report->n++ : report->n];
	*f = (struct finding){.group = group, .verdict = verdict};
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	label_clean(f->name, strlen(f->name));
	return f;
}

void finding_value(struct finding *finding, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(finding->value, sizeof(finding->value), format, args);
	va_end(args);
	label_clean(finding->value, strlen(finding->value));
}

void finding_remedy(struct finding *finding, const char *reason, const char *format, ...)
{
	va_list args;
	(void)snprintf(finding->reason, sizeof(finding->reason), "%s", reason);
	va_start(args, format);
	(void)vsnprintf(finding->remedy, sizeof(finding->remedy), format, args);
	va_end(args);
	label_clean(finding->remedy, strlen(finding->remedy));
}

static size_t count(const struct report *report, enum verdict verdict)
{
	size_t n = 0;
	for (size_t i = 0; i < report->n; i++)
		n += report->findings[i].verdict == verdict;
	return n;
}

bool report_is_well(const struct report *report)
{
	return count(report, VERDICT_LIMITED) + count(report, VERDICT_FAILED) == 0;
}

static int write_finding(const struct finding *f, int width, struct buf *out)
{
	int r = buf_printf(out, "  %-8s %-*s  %s\n", verdict_names[f->verdict], width, f->name, f->value);
	if (r == 0 && f->remedy[0] != '\0')
		r = buf_printf(out, "           %*s  %s\n", width, "", f->remedy);
	return r;
}

/* Of the group that begins at `first`: the longest name, within reason. */
static int width_of(const struct report *report, size_t first)
{
	size_t width = 0;
	for (size_t i = first; i < report->n && strcmp(report->findings[i].group, report->findings[first].group) == 0;
	     i++) {
		size_t len = strlen(report->findings[i].name);
		width = len > width ? len : width;
	}
	return width > 40 ? 40 : (int)width;
}

int report_text(const struct report *report, const char *title, struct buf *out)
{
	int r = buf_printf(out, "%s\n", title), width = 0;
	const char *group = "";
	for (size_t i = 0; r == 0 && i < report->n; i++) {
		const struct finding *f = &report->findings[i];
		if (strcmp(group, f->group) != 0) {
			group = f->group;
			width = width_of(report, i);
			r = buf_printf(out, "\n%s\n", group);
		}
		if (r == 0)
			r = write_finding(f, width, out);
	}
	size_t failed = count(report, VERDICT_FAILED), limited = count(report, VERDICT_LIMITED);
	if (r == 0 && report->left_out > 0)
		r = buf_printf(out, "\n%zu more findings had no room\n", report->left_out);
	if (r == 0 && failed + limited == 0)
		r = buf_append_str(out, "\nEverything this host has works.\n");
	else if (r == 0)
		r = buf_printf(out, "\n%zu failed, %zu limited; all others work.\n", failed, limited);
	return r;
}

static int json_string(struct buf *out, const char *text)
{
	int r = buf_append(out, "\"", 1);
	for (const char *p = text; r == 0 && *p; p++) {
		if (*p == '"' || *p == '\\')
			r = buf_printf(out, "\\%c", *p);
		else if ((unsigned char)*p < 0x20)
			r = buf_printf(out, "\\u%04x", (unsigned)*p);
		else
			r = buf_append(out, p, 1);
	}
	return r < 0 ? r : buf_append(out, "\"", 1);
}

static int json_member(struct buf *out, const char *name, const char *text, const char *behind)
{
	int r = buf_printf(out, "\"%s\":", name);
	if (r == 0)
		r = json_string(out, text);
	return r < 0 ? r : buf_append_str(out, behind);
}

static int json_finding(const struct finding *f, struct buf *out)
{
	int r = json_member(out, "group", f->group, ",");
	if (r == 0)
		r = json_member(out, "name", f->name, ",");
	if (r == 0)
		r = json_member(out, "verdict", verdict_names[f->verdict], ",");
	if (r == 0)
		r = json_member(out, "reason", f->reason, ",");
	if (r == 0)
		r = json_member(out, "value", f->value, ",");
	return r < 0 ? r : json_member(out, "remedy", f->remedy, "");
}

int report_json(const struct report *report, const char *version, struct buf *out)
{
	int r = buf_append_str(out, "{");
	if (r == 0)
		r = json_member(out, "version", version, ",");
	if (r == 0)
		r = buf_printf(out, "\"well\":%s,\"left_out\":%zu,\"findings\":[",
			       report_is_well(report) ? "true" : "false", report->left_out);
	for (size_t i = 0; r == 0 && i < report->n; i++) {
		r = buf_append_str(out, i > 0 ? ",\n{" : "\n{");
		if (r == 0)
			r = json_finding(&report->findings[i], out);
		if (r == 0)
			r = buf_append_str(out, "}");
	}
	return r < 0 ? r : buf_append_str(out, "]}\n");
}
