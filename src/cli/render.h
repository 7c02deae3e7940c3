// How views look to people. Pure functions of values.
#pragma once

#include <string>
#include <vector>

#include "control/answer.h"
#include "control/view.h"

namespace mars::cli {

// A table with aligned columns; the last one is not padded.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

// "[######--------------]  30 %"; without a total "[....................]".
std::string bar_text(uint64_t done, uint64_t total);

// A row for each resource and host; bars, reasons and next steps below the row they belong to.
std::string status_text(const control::ClusterView& view);
// All about the resources of the view.
std::string view_text(const control::ClusterView& view);

// One line of a running command.
std::string progress_text(const control::Progress& progress);

}  // namespace mars::cli
