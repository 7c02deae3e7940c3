// The version of this MARS, of marsd and marsadm alike.
#pragma once

#include <string_view>

namespace mars::control {

inline constexpr std::string_view version = "0.1.0";

}  // namespace mars::control
