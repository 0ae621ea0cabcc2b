/* Fields a person does not want: "memory.slab_bytes", "disks.devices.discards", "vmstat.*", "cpu.cores". Looked up in
 * the Snapshot's descriptor once, then taken out of each section after its collector has filled it. Labels of any type
 * (names, CPU numbers, ifindex), other strings and states cannot be taken out: without them rows lose their identity
 * and sections their reason. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include <stddef.h>

#define FIELD_NAMES_MAX 64
#define FIELD_NAME_SIZE 96

struct field_names {
	size_t n;
	char names[FIELD_NAMES_MAX][FIELD_NAME_SIZE];
};

struct field_filter;

/* 0 and *ret (NULL for no names); -EINVAL with *ret_wrong the first name that is no field or may not be left out;
 * -ENOMEM. */
int field_filter_new(const struct field_names *names, struct field_filter **ret, const char **ret_wrong)
	__attribute__((nonnull, warn_unused_result));
void field_filter_free(struct field_filter *filter); /* accepts NULL */

/* Takes the fields out of a section of that type, which is of an arena: nothing is freed. Accepts a NULL filter. */
void field_filter_apply(const struct field_filter *filter, ProtobufCMessage *section) __attribute__((nonnull(2)));
