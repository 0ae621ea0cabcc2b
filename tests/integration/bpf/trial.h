/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once

enum trial_meter { TRIAL_METER_GOOD, TRIAL_METERS };
