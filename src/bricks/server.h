// Server: an origin that serves one Output to a Client on another host, over one channel. It acknowledges what the
// brick below completed, nothing else. Page: doc/brick/server.md.
//
// Its memory is bounded: what came or will go with the requests under way takes at most memory_bytes, and one message
// more; the rest waits inside the channel's window, and so at the client. What a client sends that is malformed closes
// the channel with the reason; what does not fit the device is answered as any brick would.
#pragma once

#include <memory>

#include "base/sync.h"
#include "base/task.h"
#include "brick/switch.h"
#include "bricks/remote_messages.h"
#include "net/channel.h"
#include "xio/pool.h"

namespace mars::bricks {

struct ServerOptions {
  uint32_t in_flight_max = 64;
  uint64_t memory_bytes = 4u << 20;  // at least two of the largest messages
  // The client may survive this host, so each change is durable before it is acknowledged (D6). False only where the
  // client starts again behind its last flush when the channel ends, as copy does.
  bool acknowledges_durable = true;
};

class Server final : public brick::Switch {
 public:
  // The channel is opened or accepted with a window of remote_window_bytes.
  Server(Ready& ready, xio::Output& below, std::unique_ptr<net::Channel> channel, ServerOptions options);
  ~Server() override;

  // Presses on; returns when the channel has ended, for whatever reason, and led_off is lit: safe to destroy. Pressed
  // off, it answers what is under way and closes; what comes meanwhile is dropped (gone, for the client).
  Task<Error> serve();

  size_t in_flight() const { return children_.size() - children_.free(); }
  uint64_t served() const { return served_; }  // answers sent
  xio::Edge& below() { return below_; }

 private:
  struct Child : xio::Request {
    uint64_t id = 0;
    uint64_t cost = 0;   // of memory_
    net::Bytes message;  // the client's write, or the answer with room for what is read
    size_t data_bytes() const;
  };

  void on_button() override;
  Task<void> converse();
  Task<Error> greet();
  Task<Error> receive_requests();
  Task<Error> take(net::Bytes message);
  void start(const RemoteRequest& remote, net::Bytes message, uint64_t cost);
  void left(xio::Request& request);
  Task<void> send_answers();
  net::Bytes answer_of(Child& child);
  void release(Child& child);

  const ServerOptions options_;
  std::unique_ptr<net::Channel> channel_;
  xio::RequestPool<Child> children_;
  xio::Line done_;  // to be answered
  Semaphore memory_;
  bool is_begun_ = false;
  bool is_serving_ = false;  // after the greeting
  bool has_ended_ = false;   // no more requests come
  Error ended_ = Status::ok;
  uint64_t served_ = 0;
  Notifier work_;     // for send_answers()
  Notifier changed_;  // for serve()
  Scope answerer_;
  Scope scope_;
  xio::Input<> below_;
};

}  // namespace mars::bricks
