// Client: a device that lies on another host, behind a Server and a net::Channel. So any edge of the graph may cross
// hosts. Page: doc/brick/client.md.
//
// Pressed on with a channel it says hello, learns the Info and lights led_on: wire it then. When the channel ends,
// whatever is under way or comes later ends with Status::gone (its outcome is unknown), led_on goes dark, ended() says
// why, and the owner gives it another channel or wires something else in its place.
#pragma once

#include <memory>
#include <vector>

#include "base/sync.h"
#include "base/task.h"
#include "brick/switch.h"
#include "bricks/remote_messages.h"
#include "net/channel.h"
#include "xio/request.h"

namespace mars::bricks {

struct ClientOptions {
  uint32_t in_flight_max = 64;  // more wait in order; the server may allow less
};

class Client final : public xio::Output, public brick::Switch {
 public:
  Client(Ready& ready, ClientOptions options);
  ~Client() override;

  // The conversation to use from now on, opened with a window of remote_window_bytes; one that is under way ends. A
  // device that keeps less than was promised before is refused. While the button is off the channel waits.
  void use(std::unique_ptr<net::Channel> channel);

  // Promises nothing until led_on was lit for the first time, then what the server said last.
  xio::Info info() const override { return info_; }
  void enter(xio::Request& request) override;

  // Why the latest channel ended; ok before that.
  const Error& ended() const { return ended_; }
  // No channel, under way or next: give it one. The LEDs alone do not tell of one that ended before the greeting.
  bool needs_channel() const { return channel_ == nullptr && next_ == nullptr; }
  Notifier& changed() { return changed_; }
  size_t in_flight() const { return slots_.size() - free_.size(); }
  size_t waiting() const { return waiting_.size(); }

 private:
  struct Slot {
    xio::Request* request = nullptr;  // null: free
    uint64_t id = 0;
  };

  void on_button() override;
  bool is_idle() const { return in_flight() == 0 && waiting_.empty(); }
  bool may_send() const { return !waiting_.empty() && in_flight() < limit_; }

  Task<void> converse();
  Task<Error> greet();
  Error accept(ByteView message);
  Task<void> send_requests();
  std::vector<std::byte> next_message();
  Task<Error> receive_answers();
  Error on_answer(ByteView message);
  void finish(Slot& slot, Status status);
  void fail_all();

  const ClientOptions options_;
  xio::Info info_;
  uint32_t limit_ = 0;  // requests under way at once; 0: not connected
  bool was_welcome_ = false;
  Error ended_ = Status::ok;
  std::unique_ptr<net::Channel> channel_;  // the conversation under way
  std::unique_ptr<net::Channel> next_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  uint64_t requests_ = 0;  // sent, ever
  xio::Line waiting_;
  Notifier work_;     // for send_requests()
  Notifier changed_;  // for the owner
  Scope sender_;
  Scope scope_;
};

}  // namespace mars::bricks
