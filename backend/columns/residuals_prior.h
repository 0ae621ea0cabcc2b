/* What the decisions of residuals.c turn out to be on the average, early in a run: of 256 how many are 0, in the order
 * of struct residuals_model; nothing of RESIDUALS_UNPRIMED. Made from a recorded host by tests/bench/storage/prior.c,
 * which says how. Part of the format: another table is another form. Private to residuals.c. */
#pragma once

#include "backend/columns/residuals.h"

extern const uint8_t residuals_priors[RESIDUALS_PRIORS][RESIDUALS_DECISIONS];

#ifdef RESIDUALS_TALLY
/* The maker's: a model begins anew, and a decision of it (by its number) is encoded. */
void residuals_tally_begins(const struct residuals_model *model, enum residuals_prior prior);
void residuals_tally(const struct residuals_model *model, size_t decision, unsigned value);
#endif
