// Any text as a join token: as it is, and as digits behind a right prefix.
#include "format/token.h"

#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mars::format;
  std::string text(reinterpret_cast<const char*>(data), size);
  for (const std::string& attempt : {text, "mars1-" + text}) {
    auto token = parse_token(attempt);
    if (token)
      CHECK(parse_token(to_string(*token)) == *token);
    else
      CHECK(!token.error().text.empty());
  }
  return 0;
}
