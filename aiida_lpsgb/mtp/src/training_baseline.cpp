// SPDX-License-Identifier: MIT
#define MTP_LANES 2
#define MTP_ROWS 4
#define MTP_NAME "baseline"
#define MTP_KERNEL kernel_baseline
#include "training_impl.hpp"
