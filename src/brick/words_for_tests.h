// A second personality, small enough to read at a glance, and bricks of it for the tests of this folder. Its requests
// carry a word; a get may lend a pen, which is what other personalities call a supplied buffer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "brick/graph.h"

namespace mars::brick::words {

struct Request;
struct Info {
  int letters_max = 100;
};
struct Words {
  using Request = words::Request;
  using Info = words::Info;
  static bool holds_buffer(const Request& request);
  static const char* stricter(const Info& promised, const Info& offered) {
    return offered.letters_max < promised.letters_max ? "letters_max" : nullptr;
  }
};
struct Request : Trip<Words> {
  bool get = false;
  std::string word;
  int* pens_back = nullptr;  // set while a pen is lent
  void put() {
    if (pens_back == nullptr) return;
    ++*std::exchange(pens_back, nullptr);
    returned();
  }
};
inline bool Words::holds_buffer(const Request& request) { return request.pens_back != nullptr; }

// Holds what enters until the test says serve().
struct Leaf final : Output<Words> {
  explicit Leaf(Ready& ready, int letters_max = 100) : Output(ready), letters_max_(letters_max) {}
  Info info() const override { return {letters_max_}; }
  void enter(words::Request& request) override {
    seen += request.word;
    line.push(request);
  }
  void serve(Status status = Status::ok) {
    while (words::Request* request = line.pop()) {
      if (request->get) request->pens_back = &pens_back;
      complete(*request, status);
    }
  }
  void complete_again(words::Request& request) { complete(request, Status::ok); }
  Line<Words> line;
  std::string seen;
  int pens_back = 0;

 private:
  const int letters_max_;
};

// Appends a letter on the way down and restores the word's length on the way up.
class Suffix final : public Output<Words> {
 public:
  Suffix(Ready& ready, Output& below, char letter)
      : Output(ready), letter_(letter), below_(On<&Suffix::left>{}, this, this, below) {}
  Info info() const override { return below_.info(); }
  void enter(words::Request& request) override {
    Aspect aspect{request.word.size()};
    request.word += letter_;
    below_.enter(request, aspect);
  }
  Edge<Words>& below() { return below_; }

 private:
  struct Aspect {
    size_t letters;
  };
  void left(words::Request& request, Aspect aspect) {
    request.word.resize(aspect.letters);
    complete(request, request.status);
  }
  const char letter_;
  Input<Words, Aspect> below_;
};

// Sends requests and notes what comes back.
struct Origin {
  explicit Origin(Output<Words>& output) : below(On<&Origin::left>{}, this, nullptr, output) {}
  void left(words::Request& request) { back.push_back(&request); }
  Input<Words> below;
  std::vector<words::Request*> back;
};

}  // namespace mars::brick::words
