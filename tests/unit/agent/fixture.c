#include "tests/unit/agent/fixture.h"

#include "tests/unit/cmocka_all.h"

int fixture_setup(void **state, const struct collector *collector)
{
	static struct fixture f;
	f = (struct fixture){.collector = collector, .arena = arena_new(1 << 20), .now_us = 100000000};
	tree_make(&f.tree);
	f.context = (struct collector_context){.root = &f.tree.root};
	*state = &f;
	return f.arena ? 0 : -1;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	f->collector->destroy(f->self);
	arena_free(f->arena);
	tree_destroy(&f->tree);
	return 0;
}

int fixture_create(struct fixture *f)
{
	f->state = (struct collector_state){.reason = ""};
	return f->collector->create(&f->context, &f->self, &f->state);
}

int fixture_collect(struct fixture *f, uint64_t later_us, ProtobufCMessage *section)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(&sonde__v1__snapshot__descriptor, f->collector->name);
	if (!f->self)
		assert_int_equal(fixture_create(f), 0);
	protobuf_c_message_init(field->descriptor, section);
	arena_reset(f->arena);
	f->state = (struct collector_state){.reason = ""};
	f->now_us += later_us;
	struct tick tick = {.arena = f->arena, .boottime_us = f->now_us, .watched = f->watched, .state = &f->state};
	return f->collector->collect(f->self, &tick, section);
}
