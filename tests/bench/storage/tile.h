/* A chunk again at a later time, as if the host had gone on in the same way: times and sequences continue, counters go
 * on from where they stood, and rows that came and went within the chunk come and go as other ones (their generation is
 * another). No value is made up and no noise is added. */
#pragma once

#include "common/buf.h"

/* The chunk's k-th repetition; 0 is the chunk itself, encoded anew. Ends the program when it cannot. */
void tile_chunk(const struct buf *chunk, unsigned k, struct buf *out);
