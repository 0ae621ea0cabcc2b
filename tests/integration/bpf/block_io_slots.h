/* Tests of which device has which slot, and of how many there are (7 and 12 in bpf/README.md). */
#pragma once

void a_new_medium_is_a_new_series(void **state);
void a_medium_changed_between_two_ticks(void **state);
void requests_beyond_the_slots_are_counted(void **state);
void hot_added_disks_are_bounded(void **state);
void the_maps_are_as_large_as_planned(void **state);
