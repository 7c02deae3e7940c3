#include "node/forwarding.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace mars::node {

namespace {

using namespace std::chrono_literals;

constexpr uint32_t answer_window = 4u << 20;  // of what may be under way to us

net::Bytes bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// What another host says goes to a terminal.
void clean(std::string& text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' && c != '\n') c = '?';
  }
}

Answer not_reached(const std::string& host, const std::string& why) {
  return {ExitCode::unreachable,
          "host " + host + " cannot be asked: " + why,
          "look at the network and at marsd on " + host + ", or run the command there",
          {}};
}

Answer cut_off(const std::string& host, const std::string& why) {
  return {
      ExitCode::unreachable,
      "the connection with " + host + " ended before it answered (" + why + "); the command may have been carried out",
      "when it is back, see what happened there with `marsadm events --host " + host + "`",
      {}};
}

// The channel closes when nobody waits for its answer any more.
Task<void> watch(Call& call, net::Channel& channel, const bool& is_over) {
  while (!is_over && !call.is_abandoned() && !call.node.is_stopping()) {
    co_await io::wait_until(call.machine(), call.node.changed(), call.machine().now() + 1s);
  }
  if (!is_over) channel.close();
}

Answer from_there(Answer answer, const std::string& host) {
  const bool has_lines = answer.text.find('\n') != std::string::npos;
  if (!answer.text.empty()) answer.text.insert(0, "on " + host + (has_lines ? ":\n" : ": "));
  if (!answer.next_step.empty()) answer.next_step.insert(0, "on " + host + ": ");
  return answer;
}

// What this host has to say instead of an answer from there.
Reply unheard(Answer answer, bool was_cut_off = false) { return {std::move(answer), false, was_cut_off}; }

Task<Reply> converse(Call& call, net::Channel& channel, std::string host) {
  for (;;) {
    auto message = co_await channel.receive();
    if (call.is_abandoned() || call.node.is_stopping()) {
      co_return unheard(
          failed({Status::stopped, "nobody waits for " + host + " any more; what was begun there may go on"}));
    }
    if (!message && message.error().status == Status::unsupported) {
      co_return unheard(not_reached(host, message.error().text));
    }
    if (!message) co_return unheard(cut_off(host, message.error().text), true);
    auto line = control::decode_line(text_of(*message));
    if (!line)
      co_return unheard(failed({Status::damaged, host + " answers with something that is no answer"},
                               "look at the versions of both: `marsadm version`"));
    if (auto* answer = std::get_if<Answer>(&*line)) {
      clean(answer->text);
      clean(answer->next_step);
      co_return Reply{std::move(*answer), true};
    }
    auto& progress = std::get<control::Progress>(*line);
    clean(progress.text);
    call.say(host + ": " + progress.text, progress.done, progress.total);
  }
}

}  // namespace

Task<Answer> forward(Call& call, Member member) {
  Reply reply = co_await ask(call, member.host);
  co_return reply.is_from_there ? from_there(std::move(reply.answer), member.name) : std::move(reply.answer);
}

Task<Reply> ask(Call& call, Uuid member) {
  const std::string host = call.host_name(member);
  net::Session* session = call.cluster().net().find(member);
  if (session == nullptr) co_return unheard(not_reached(host, "there is no connection"));
  control::Command there = call.command;
  there.host.clear();
  net::Bytes opening = bytes_of(control::encode(there));
  if (opening.size() > net::opening_bytes_max) {
    co_return unheard(failed({Status::invalid, "the command is too long"}));
  }
  std::unique_ptr<net::Channel> channel = session->open(command_service, std::move(opening), answer_window);
  bool is_over = false;
  Scope scope(call.machine().ready());
  scope.spawn(watch(call, *channel, is_over));
  Reply reply = co_await converse(call, *channel, host);
  is_over = true;
  call.node.changed().notify();
  co_await scope.join();
  co_return reply;
}

namespace {

// Nothing is expected from the asking side but its end.
Task<void> wait_end(Node& node, net::Channel& channel, Event& gone) {
  for (;;) {
    auto message = co_await channel.receive();
    if (!message) break;
  }
  gone.set();
  node.changed().notify();
}

Answer not_here(std::string text) { return refused(std::move(text), "run it on that host itself"); }

Task<Answer> run_for(Node& node, net::Channel& channel, net::Bytes opening, Event& gone, bool& is_question) {
  Result<control::Command> command = control::decode_command(text_of(opening));
  if (command) command = control::check_command(std::move(*command));
  if (!command) co_return Answer{ExitCode::usage, command.error().text, {}, {}};
  is_question = command->name == "wait-resource";
  const bool may_be = control::find_command(command->name)->is_forwardable || is_question;
  if (!may_be || !command->host.empty()) {
    co_return not_here(command->name + " is not run for other hosts");
  }
  Node::Listener listener = [&channel](const control::Progress& progress) {
    net::Bytes line = bytes_of(control::encode(progress));
    static_cast<void>(channel.try_send(line));  // the next one comes soon
  };
  Node::Caller caller;
  caller.gone = &gone;
  if (node.cluster() == nullptr) {
    co_return Answer{ExitCode::failed, "marsd is just starting there", "repeat the command in a moment", {}};
  }
  caller.host = node.cluster()->resources().host_name(channel.peer());
  co_return co_await node.run(std::move(*command), std::move(listener), std::move(caller));
}

}  // namespace

Task<void> serve_command(Node& node, std::unique_ptr<net::Channel> channel, net::Bytes opening) {
  if (channel->peer().is_nil()) co_return channel->close({Status::permission, "not for strangers"});
  Event gone(node.machine().ready());
  Scope scope(node.machine().ready());
  scope.spawn(wait_end(node, *channel, gone));
  bool is_question = false;
  Answer answer = co_await run_for(node, *channel, std::move(opening), gone, is_question);
  net::Bytes line = bytes_of(control::encode(answer));
  if (line.size() > channel->message_bytes_max()) {
    answer.data.clear();
    answer.text.resize(std::min<size_t>(answer.text.size(), 256u << 10));
    line = bytes_of(control::encode(answer));
  }
  // That this marsd stops is no answer to a question that is about all: the connection ends, and who asks goes on.
  const bool is_cut_off = is_question && node.is_stopping() && answer.code != ExitCode::done;
  if (!gone.is_set() && !is_cut_off) static_cast<void>(co_await channel->send(std::move(line)));
  channel->close();
  co_await scope.join();
}

}  // namespace mars::node
