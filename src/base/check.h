// CHECK: a programmer error ends the process, in release builds too. The log is the place to continue from.
#pragma once

namespace mars {

// Prints the condition and its place on stderr and aborts. Does not allocate.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace mars

#define CHECK(condition) ((condition) ? static_cast<void>(0) : ::mars::check_failed(#condition, __FILE__, __LINE__))
