#include "base/out_of_memory.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>

namespace mars {
namespace {

std::terminate_handler former = nullptr;

[[noreturn]] void end_as_before() {
  if (former != nullptr) former();
  std::abort();
}

// Libraries throw by themselves: Boost.Asio std::bad_alloc, std::thread when the kernel or malloc gives it nothing.
[[noreturn]] void on_terminate() {
  if (const std::exception_ptr current = std::current_exception()) {
    try {
      std::rethrow_exception(current);
    } catch (const std::bad_alloc&) {
      out_of_memory();
    } catch (const std::system_error& error) {
      if (error.code() == std::errc::resource_unavailable_try_again) out_of_memory();
    } catch (...) {
      end_as_before();
    }
  }
  end_as_before();
}

}  // namespace

void out_of_memory() {
  std::fputs("out of memory: the process ends; started again it goes on from the log\n", stderr);
  std::fflush(stderr);
  std::abort();
}

void end_when_out_of_memory() {
  std::set_new_handler(&out_of_memory);
  former = std::set_terminate(&on_terminate);
}

}  // namespace mars
