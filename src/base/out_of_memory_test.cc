#include "base/out_of_memory.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <exception>
#include <limits>
#include <new>
#include <system_error>
#include <utility>

#include "base/aligned.h"

namespace mars {
namespace {

// The allocator of the address sanitizer ends the process by itself, in its own words.
constexpr const char* last_words = "out of memory|exceeds maximum supported size";

TEST(OutOfMemoryDeathTest, an_allocation_that_fails_ends_the_process_and_says_so) {
  const auto allocate = [] {
    end_when_out_of_memory();
    void* volatile kept = ::operator new(std::numeric_limits<ptrdiff_t>::max());  // or it would be optimised away
    ::operator delete(kept);
  };
  EXPECT_DEATH(allocate(), last_words);
}

TEST(OutOfMemoryDeathTest, so_does_a_buffer_for_direct_access) {
  EXPECT_DEATH(AlignedBuffer(std::numeric_limits<ptrdiff_t>::max() - AlignedBuffer::alignment), last_words);
}

// As a library does it below a function from which nothing may escape.
void throw_in_vain(std::exception_ptr exception) noexcept {
  end_when_out_of_memory();
  std::rethrow_exception(std::move(exception));
}

std::exception_ptr cannot(std::errc why) {
  return std::make_exception_ptr(std::system_error(std::make_error_code(why), "begun"));
}

TEST(OutOfMemoryDeathTest, who_throws_it_ends_in_the_same_way) {
  EXPECT_DEATH(throw_in_vain(std::make_exception_ptr(std::bad_alloc())), "out of memory");
}

TEST(OutOfMemoryDeathTest, so_does_a_thread_that_cannot_start) {
  EXPECT_DEATH(throw_in_vain(cannot(std::errc::resource_unavailable_try_again)), "out of memory");
}

TEST(OutOfMemoryDeathTest, another_exception_keeps_its_words) {
  EXPECT_DEATH(throw_in_vain(cannot(std::errc::invalid_argument)), "begun: Invalid argument");
}

}  // namespace
}  // namespace mars
