/* Counted first and then copied, into three pieces of memory whatever the number of series. */
#include "backend/query/source_outline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void outline_free(struct query_cached *cached)
{
	struct source_outline *o = (struct source_outline *)cached;
	free(o->series);
	free(o->labels);
	free(o->texts);
	free(o);
}

/* Calls fn for each series of the metric, which of a metric of the catalogue follow each other. */
static void each(const struct source_reading *reading, const struct section_reader *section,
		 void (*fn)(void *arg, uint32_t index, const struct columns_series *id), void *arg)
{
	const struct schema_metric *row = reading->row;
	int64_t i = row ? section_reader_find(section, row->numbers, row->n_numbers, NULL, 0) : 0;
	struct columns_series id;
	for (; i >= 0 && i < (int64_t)section_reader_series(section); i++) {
		section_reader_get(section, (uint32_t)i, &id);
		if (source_is_wanted(reading, &id))
			fn(arg, (uint32_t)i, &id);
		else if (row)
			break;
	}
}

struct size {
	size_t series, labels, texts;
};

static void count(void *arg, uint32_t index, const struct columns_series *id)
{
	struct size *size = arg;
	(void)index;
	size->series++;
	size->labels += id->n_labels;
	size->texts += strlen(id->custom) + 1;
	for (size_t i = 0; i < id->n_labels; i++)
		size->texts += strlen(id->labels[i].name) + 1 + (id->labels[i].is_text ? id->labels[i].len + 1 : 0);
}

struct filling {
	struct source_outline *outline;
	size_t labels;
	char *text;
};

static const char *copy(struct filling *f, const char *text, size_t len)
{
	char *to = f->text;
	memcpy(to, text, len);
	to[len] = '\0';
	f->text += len + 1;
	return to;
}

static void take(void *arg, uint32_t index, const struct columns_series *id)
{
	struct filling *f = arg;
	struct source_outline *o = f->outline;
	struct schema_label_value *labels = o->labels + f->labels;
	o->series[o->n++] = (struct source_outlined){.index = index,
						     .ordinal = id->ordinal,
						     .kind = id->kind,
						     .unit = id->unit,
						     .type = id->type,
						     .custom = copy(f, id->custom, strlen(id->custom)),
						     .labels = labels,
						     .n_labels = id->n_labels};
	f->labels += id->n_labels;
	for (size_t i = 0; i < id->n_labels; i++) {
		labels[i] = id->labels[i];
		labels[i].name = copy(f, id->labels[i].name, strlen(id->labels[i].name));
		if (id->labels[i].is_text)
			labels[i].text = copy(f, id->labels[i].text, id->labels[i].len);
	}
}

int source_outline_new(const struct source_reading *reading, const struct section_reader *section,
		       struct source_outline **ret)
{
	struct source_outline *o = calloc(1, sizeof(*o));
	struct size size = {0};
	if (!o)
		return -ENOMEM;
	if (section)
		each(reading, section, count, &size);
	query_cached_init(&o->cached, outline_free,
			  sizeof(*o) + size.series * sizeof(*o->series) + size.labels * sizeof(*o->labels) +
				  size.texts);
	o->section = reading->section;
	if (reading->row) {
		o->n_numbers = reading->row->n_numbers;
		memcpy(o->numbers, reading->row->numbers, sizeof(o->numbers));
	}
	o->series = malloc((size.series + 1) * sizeof(*o->series));
	o->labels = malloc((size.labels + 1) * sizeof(*o->labels));
	o->texts = malloc(size.texts + 1);
	if (!o->series || !o->labels || !o->texts) {
		query_cached_unref(&o->cached);
		return -ENOMEM;
	}
	struct filling filling = {.outline = o, .text = o->texts};
	if (section)
		each(reading, section, take, &filling);
	*ret = o;
	return 0;
}

void source_outline_get(const struct source_outline *o, uint32_t i, struct columns_series *ret)
{
	const struct source_outlined *series = &o->series[i];
	*ret = (struct columns_series){.section = o->section,
				       .n_numbers = o->n_numbers,
				       .custom = series->custom,
				       .kind = series->kind,
				       .unit = series->unit,
				       .type = series->type,
				       .n_labels = series->n_labels,
				       .ordinal = series->ordinal};
	memcpy(ret->numbers, o->numbers, sizeof(ret->numbers));
	memcpy(ret->labels, series->labels, series->n_labels * sizeof(*series->labels));
}
