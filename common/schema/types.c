#include "common/schema/plan.h"

#include <errno.h>
#include <string.h>

enum schema_value_type plan_value_type(enum plan_type type)
{
	switch (type) {
	case PLAN_DOUBLE:
	case PLAN_FLOAT:
		return SCHEMA_VALUE_DOUBLE;
	case PLAN_SINT32:
	case PLAN_SINT64:
	case PLAN_SFIXED32:
	case PLAN_SFIXED64:
	case PLAN_INT32:
	case PLAN_INT64:
		return SCHEMA_VALUE_INT;
	default:
		return SCHEMA_VALUE_UINT;
	}
}

int schema_metric_types(const struct schema *schema, const struct schema_metric *metric, enum schema_value_type *ret,
			bool is_text[SCHEMA_MAX_LABELS])
{
	const struct plan_node *node = schema->root;
	bool texts[SCHEMA_MAX_LABELS] = {false};
	size_t n = 0;
	for (size_t depth = 0; depth < metric->n_numbers; depth++) {
		int i = plan_find_field(node->message, metric->numbers[depth]);
		if (i < 0)
			return -ENOENT;
		if (depth + 1 == metric->n_numbers) {
			*ret = metric->kind == SCHEMA_KIND_HISTOGRAM ? SCHEMA_VALUE_HISTOGRAM
								     : plan_value_type(node->message->fields[i].type);
			memcpy(is_text, texts, sizeof(texts));
			return n == metric->n_labels ? 0 : -ENOENT;
		}
		if (node->children[i].action != PLAN_NODE)
			return -ENOENT;
		node = node->children[i].node;
		for (size_t k = 0; k < node->message->n && n < metric->n_labels; k++) {
			enum plan_type type = node->message->fields[k].type;
			if (node->children[k].action == PLAN_LABEL)
				texts[n++] = type == PLAN_STRING || type == PLAN_ENUM;
		}
	}
	return -ENOENT;
}
