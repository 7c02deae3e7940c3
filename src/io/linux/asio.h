// What reactor.cc and readiness.cc share of Asio. Included by nothing else: its headers cost seconds per file.
#pragma once

#include <list>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "io/linux/reactor.h"

namespace mars::io {

namespace asio = boost::asio;

struct Reactor::Asio {
  struct Signal {
    Signal(asio::io_context& context, int number, std::move_only_function<void()> f)
        : set(context, number), function(std::move(f)) {}
    void listen() {
      set.async_wait([this](const boost::system::error_code& error, int) {
        if (error) return;
        listen();
        function();
      });
    }
    asio::signal_set set;
    std::move_only_function<void()> function;
  };

  explicit Asio(int doorbell_number) : doorbell(context, doorbell_number) {}

  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(context);
  asio::posix::stream_descriptor doorbell;
  asio::steady_timer alarm{context};
  std::optional<Instant> alarm_at;  // when the alarm will go off
  std::list<Signal> signals;
};

}  // namespace mars::io
