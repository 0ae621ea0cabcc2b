/* Tests of TCP's probe where packets are lost (C3 in bpf/README.md). */
#pragma once

void segments_sent_again_are_those_of_the_kernel(void **unused);
void a_lost_syn_is_in_the_set_up_time(void **unused);
void a_lost_syn_ack_is_sent_again(void **unused);
